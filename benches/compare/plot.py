#!/usr/bin/env python3
"""Draws docs/plots/*.svg from results/figures.json: bars, one picture a scenario."""

import json
import math
from pathlib import Path
from xml.sax.saxutils import escape

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "results" / "figures.json"
PLOTS = HERE.parents[1] / "docs" / "plots"

# As the figures name them, and as the pictures do.
NAMES = {
    "ours": "this library",
    "ours:bdat": "this library, CHUNKING",
    "ours:batch": "this library, batch",
    "ours:batchbdat": "this library, batch, CHUNKING",
    "ours:epoll": "this library, non-blocking",
    "libcurl": "libcurl",
    "libcurl-multi": "libcurl, multi",
    "libesmtp": "libESMTP",
    "smtp-source": "smtp-source",
    "lettre": "lettre",
    "smtplib": "smtplib",
}

# File, title, scenario, how the names are found in it, figure, factor, unit.
PLOTS_OF = [
    ("instructions", "User instructions of a message of 1 KiB", "a", "{}", "instr", 1, ""),
    ("calls", "System calls of a message of 1 KiB", "a", "{}", "syscalls", 1, ""),
    ("cpu", "CPU of a message of 1 KiB", "a", "{}", "cpu_us", 1, " µs"),
    ("turns", "Round trips of a message on a warm connection", "b", "{}", "rtt_msg", 1, ""),
    ("large", "CPU of 100 MiB, plain, ordinary lines", "c", "plain/{}", "cpu", 1000, " ms"),
    ("dots", "CPU of 100 MiB, plain, nothing but dots", "c", "worst/{}", "cpu", 1000, " ms"),
    ("memory", "Peak memory with 100 MiB, plain, ordinary lines", "c", "plain/{}", "rss_mb", 1, " MiB"),
    ("tls", "CPU of 100 MiB over TLS", "d", "plain/{}", "cpu", 1000, " ms"),
    ("recipients", "CPU of 1 KiB to 1,000 recipients", "e", "{}", "cpu_us", 1, " µs"),
    ("connections", "CPU of 1,000 connections of one process", "f", "{}", "cpu", 1000, " ms"),
    ("start", "CPU from start to one message and exit, plain", "g", "{}", ("n", "cpu"), 1000, " ms"),
]

WIDTH, LEFT, RIGHT, TOP, STEP, BAR = 760, 230, 110, 52, 26, 16
OURS, LIMIT, OTHER = "#1f6feb", "#57606a", "#b1bac4"


def colour(name):
    if name.startswith("ours"):
        return OURS
    return LIMIT if name.startswith("limit") else OTHER


def shown(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def picture(title, bars, unit):
    """`bars` are names with values. Values that differ a hundredfold get a logarithmic axis."""
    greatest, least = max(value for _, value in bars), min(value for _, value in bars)
    logarithmic = least > 0 and greatest / least > 100
    start = 10 ** math.floor(math.log10(least)) if logarithmic else 0
    if logarithmic and least < 2 * start:
        start /= 2

    def length(value):
        room = WIDTH - LEFT - RIGHT
        if not logarithmic:
            return room * max(value, 0) / greatest if greatest > 0 else 0
        return room * math.log(value / start) / math.log(greatest / start)

    height = TOP + STEP * len(bars) + 12
    note = "logarithmic; less is better" if logarithmic else "less is better"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="24" font-size="16" font-weight="bold">{escape(title)}</text>',
        f'<text x="12" y="42" fill="#57606a">{note}</text>',
    ]
    for place, (name, value) in enumerate(bars):
        top = TOP + STEP * place
        middle, end = top + BAR - 3, LEFT + length(value)
        label = escape(NAMES.get(name, name))
        lines += [
            f'<text x="{LEFT - 8}" y="{middle}" text-anchor="end">{label}</text>',
            f'<rect x="{LEFT}" y="{top}" width="{end - LEFT:.1f}" height="{BAR}" fill="{colour(name)}"/>',
            f'<text x="{end + 6:.1f}" y="{middle}">{shown(value)}{unit}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def bars_of(figures, pattern, key):
    """Who has the figure, the least first."""
    found = []
    before, after = pattern.split("{}")
    for name, row in figures.items():
        if not (name.startswith(before) and name.endswith(after)):
            continue
        value = row
        for step in key if isinstance(key, tuple) else (key,):
            value = value.get(step) if isinstance(value, dict) else None
        if value is not None:
            found.append((name[len(before) : len(name) - len(after)], value))
    return sorted(found, key=lambda bar: bar[1])


def main():
    scenarios = json.loads(FIGURES.read_text())["scenarios"]
    PLOTS.mkdir(exist_ok=True)
    for file, title, letter, pattern, key, scale, unit in PLOTS_OF:
        bars = bars_of(scenarios.get(letter, {}).get("figures", {}), pattern, key)
        if bars:
            scaled = [(name, value * scale) for name, value in bars]
            (PLOTS / f"{file}.svg").write_text(picture(title, scaled, unit))


if __name__ == "__main__":
    main()
