#!/usr/bin/env python3
"""Writes the tables of docs/performance.md from results/figures.json.

    benches/compare/table.py [--check]

What stands between the two markers of the page is replaced; with --check
nothing is written, and the status is 1 if it would have to be.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "results" / "figures.json"
PAGE = HERE.parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- compare: begin -->", "<!-- compare: end -->"
NOT_MEASURED = "not measured"

COLUMNS = [
    ("this library", "ours"),
    ("libcurl", "libcurl"),
    ("libESMTP", "libesmtp"),
    ("smtp-source", "smtp-source"),
    ("lettre", "lettre"),
    ("smtplib", "smtplib"),
]


class Figures:
    """The raw figures: figure("a", "ours", "cpu_us") is a number, or None if it was not measured."""

    def __init__(self, found):
        self.found = found

    def __call__(self, letter, name, key):
        if letter == "g":
            name, key = name.rsplit("/", 1)[0], (name.rsplit("/", 1)[1], key)
        value = self.found["scenarios"].get(letter, {}).get("figures", {}).get(name, {})
        for step in key if isinstance(key, tuple) else (key,):
            value = value.get(step) if value is not None else None
        return value

    def all(self, letter):
        return self.found["scenarios"].get(letter, {}).get("figures", {})


def number(value, unit="", scale=1):
    if value is None:
        return ""
    value *= scale
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}{unit}"


def verdict(value, must, aim):
    """Whether a value, smaller being better, is within what must be and what is aimed at."""
    if value is None:
        return NOT_MEASURED
    if value > must:
        return "**no**"
    return "yes, and the aim" if value <= aim else "yes"


class Table:
    """The rows of what has to be reached."""

    def __init__(self, figure):
        self.figure = figure
        self.lines = ["| | must | aim | measured | limit program | ratio | met |", "|---|---|---|---|---|---|---|"]
        self.missed = []

    def row(self, what, must, aim, measured, unit="", compared=None, limit="", ratio=None):
        """`compared` is the value that the marks are for, when it is not the measured one."""
        value = measured if compared is None else compared
        met = verdict(value, must[1], aim[1])
        if met not in ("yes", "yes, and the aim"):
            self.missed.append(what)
        shown = number(measured, unit) or NOT_MEASURED
        self.lines.append(f"| {what} | {must[0]} | {aim[0]} | {shown} | {limit} | {ratio or ''} | {met} |")

    def absolute(self, what, must, aim, measured, unit="", limit=None, compared=None):
        marks = [(number_of(mark) + unit, mark) for mark in (must, aim)]
        self.row(what, *marks, measured, unit, compared, number(limit, unit))

    def relative(self, what, must, aim, measured, against, unit="", aimed_at=None):
        """Against a limit program; the aim may be against another one."""
        ratio = measured / against if measured is not None and against else None
        aim_value = aim
        aim_text = f"{aim}×"
        limit = number(against, unit)
        if aimed_at is not None:
            name, other = aimed_at
            # In terms of the first limit program.
            aim_value = aim * other / against if other and against else 0
            aim_text = f"{aim}× `{name}`"
            limit += f" (`{name}`: {number(other, unit)})"
        met = verdict(ratio, must, aim_value)
        if met not in ("yes", "yes, and the aim"):
            self.missed.append(what)
        shown = number(measured, unit) or NOT_MEASURED
        shown_ratio = f"{ratio:.2f}×" if ratio else ""
        self.lines.append(f"| {what} | {must}× | {aim_text} | {shown} | {limit} | {shown_ratio} | {met} |")


def number_of(mark):
    return f"{mark:,}"


def whole(turns):
    """Whole round trips: what is left over is the time that the processes take."""
    return int(turns) if turns is not None else None


def marks(figure):
    """What has to be reached, with what was."""
    table = Table(figure)
    small = "1 KiB, one warm connection, DATA: "
    table.absolute(small + "user instructions", 8000, 4000, figure("a", "ours", "instr"), "", figure("a", "limit:data2", "instr"))
    table.absolute(small + "system calls", 4, 4, figure("a", "ours", "syscalls"), "", figure("a", "limit:data2", "syscalls"), rounded(figure("a", "ours", "syscalls")))
    table.absolute(small + "round trips", 2.1, 2.05, figure("b", "ours", "rtt_msg"), "", figure("b", "limit:data2", "rtt_msg"))
    table.relative("the same: CPU against `limit:data2`", 1.25, 1.10, figure("a", "ours", "cpu_us"), figure("a", "limit:data2", "cpu_us"), " µs")
    table.relative("with CHUNKING: CPU against `limit:bdat1`", 1.25, 1.10, figure("a", "ours:bdat", "cpu_us"), figure("a", "limit:bdat1", "cpu_us"), " µs")
    table.absolute("batch with DATA: round trips a message", 1.05, 1.0, figure("b", "ours:batch", "rtt_msg"), "", figure("b", "limit:data1", "rtt_msg"))
    table.absolute("batch with CHUNKING: round trips a message", 0.05, 0.03, figure("b", "ours:batchbdat", "rtt_msg"), "", figure("b", "limit:bdatw", "rtt_msg"))
    table.relative("batch with DATA: CPU against `limit:data1`", 1.25, 1.1, figure("a", "ours:batch", "cpu_us"), figure("a", "limit:data1", "cpu_us"), " µs")
    table.relative("batch with CHUNKING: CPU against `limit:bdatw`", 2, 1.5, figure("a", "ours:batchbdat", "cpu_us"), figure("a", "limit:bdatw", "cpu_us"), " µs")
    one_shots(table, figure)
    large(table, figure)
    table.absolute("1 KiB to 1,000 recipients: round trips", 7, 6, figure("e", "ours", "rtts"), "", figure("e", "limit:data2", "rtts"), whole(figure("e", "ours", "rtts")))
    table.absolute("the same: CPU", 200, 100, figure("e", "ours", "cpu_us"), " µs", figure("e", "limit:data2", "cpu_us"))
    table.absolute("the same: user instructions", 500_000, 150_000, figure("e", "ours", "instructions"), "", figure("e", "limit:data2", "instructions"))
    many(table, figure)
    start = in_ms(figure("g", "ours/n", "cpu"), figure("g", "limit:plain/n", "cpu"))
    table.relative("cold start to one plain message: CPU", 1.5, 1.2, *start, " ms")
    waits(table, figure)
    return table


def rounded(calls):
    """A few calls of the loader's and the like differ from run to run."""
    return round(calls, 1) if calls is not None else None


def one_shots(table, figure):
    for what, key, limit, must, aim, more in (
        ("plain", "one_plain", "limit:data2", 6, 5, 0),
        ("STARTTLS", "one_starttls", "limit-rustls:ring", 9, 8, 0),
        # The sink lets the handshake of TCP pass at once on this port.
        ("implicit TLS", "one_implicit", "limit-rustls:ring", 7, 6, 1),
    ):
        ours, least = (figure("b", name, key) for name in ("ours", limit))
        ours, least = (value + more if value is not None else None for value in (ours, least))
        table.absolute(f"one message from start to exit, DATA: round trips, {what}", must, aim, ours, "", least, whole(ours))


def large(table, figure):
    for what, content in (("ordinary lines", "plain"), ("a dot before each", "dots"), ("nothing but dots", "worst")):
        ours, limit = (figure("c", f"{content}/{name}", "cpu") for name in ("ours", "limit:scan"))
        table.relative(f"100 MiB from a file, {what}: CPU against `limit:scan`", 1.5, 1.2, *in_ms(ours, limit), " ms")
    table.absolute("the same: peak memory of the process", 8, 3, most(figure, "c", "ours"), " MiB", most(figure, "c", "limit:scan"))
    for what, content in (("ordinary lines", "plain"), ("a dot before each", "dots")):
        ours, limit = (figure("d", f"{content}/{name}", "cpu") for name in ("ours", "limit-rustls:ring"))
        table.relative(f"100 MiB over TLS, {what}: CPU against `limit-rustls:ring`", 1.4, 1.15, *in_ms(ours, limit), " ms")
    table.absolute("the same: peak memory of the process", 8, 5, most(figure, "d", "ours"), " MiB", most(figure, "d", "limit-rustls:ring"))
    extra = [row["extra_kib"] for row in figure.all("m").values()]
    table.absolute("100 MiB from the caller's memory, plain and over TLS: memory beside it", 1024, 256, max(extra, default=None), " KiB")
    ours, limit, best = (figure("c", f"plain/{name}", "cpu") for name in ("ours:bdat", "limit:bdat1", "limit:sendfile"))
    ours, limit, best = in_ms(ours, limit, best)
    table.relative("100 MiB from a file with CHUNKING: CPU against `limit:bdat1`", 1.3, 1.2, ours, limit, " ms", ("sendfile", best))


def in_ms(*seconds):
    return [value * 1000 if value is not None else None for value in seconds]


def most(figure, letter, name):
    """The most memory over all contents."""
    return max((row["rss_mb"] for key, row in figure.all(letter).items() if key.endswith(f"/{name}")), default=None)


def many(table, figure):
    for what, key, must, unit, scale in (("wall clock", "wall", 1.3, " s", 1), ("CPU", "cpu", 1.5, " ms", 1000), ("memory", "rss_mb", 1.5, " MiB", 1)):
        ours, limit = (figure("f", name, key) for name in ("ours", "limit:thr"))
        ours, limit = (value * scale if value is not None else None for value in (ours, limit))
        table.relative(f"1,000 clients in 1,000 threads against `limit:thr`: {what}", must, 1.15, ours, limit, unit)
    table.relative("10,000 clients in one thread: CPU each against `limit:epoll`", 2, 1.5, figure("x", "ours:epoll", "cpu_us"), figure("x", "limit:epoll", "cpu_us"), " µs")
    table.absolute("the same: memory of a client", 16, 8, figure("x", "ours:epoll", "kib_each"), " KiB", figure("x", "limit:epoll", "kib_each"))


def waits(table, figure):
    rows = figure.all("w")
    longest = max((value for row in rows.values() for value in row.values()), default=None)
    table.row("the longest a message of 1 B to 1 MiB takes with a server that answers at once", ("10 ms", 10), ("10 ms", 10), longest, " ms")


def beside(figure):
    """The same figures of the others."""
    rows = [
        ("1 KiB, one warm connection: user instructions", "a", "{}", "instr", 1, ""),
        ("system calls", "a", "{}", "syscalls", 1, ""),
        ("CPU a message", "a", "{}", "cpu_us", 1, " µs"),
        ("round trips a message", "b", "{}", "rtt_msg", 1, ""),
        ("one message from start to exit: round trips, plain", "b", "{}", "one_plain", 1, ""),
        ("STARTTLS", "b", "{}", "one_starttls", 1, ""),
        ("implicit TLS, without the one of TCP", "b", "{}", "one_implicit", 1, ""),
        ("100 MiB, plain, ordinary lines: CPU", "c", "plain/{}", "cpu", 1000, " ms"),
        ("a dot before each line", "c", "dots/{}", "cpu", 1000, " ms"),
        ("nothing but dots", "c", "worst/{}", "cpu", 1000, " ms"),
        ("peak memory, ordinary lines", "c", "plain/{}", "rss_mb", 1, " MiB"),
        ("peak memory, nothing but dots", "c", "worst/{}", "rss_mb", 1, " MiB"),
        ("100 MiB over TLS, ordinary lines: CPU", "d", "plain/{}", "cpu", 1000, " ms"),
        ("peak memory", "d", "plain/{}", "rss_mb", 1, " MiB"),
        ("1 KiB to 1,000 recipients: round trips", "e", "{}", "rtts", 1, ""),
        ("CPU", "e", "{}", "cpu_us", 1, " µs"),
        ("user instructions", "e", "{}", "instructions", 1, ""),
        ("1,000 connections of one process: wall clock", "f", "{}", "wall", 1, " s"),
        ("CPU", "f", "{}", "cpu", 1000, " ms"),
        ("peak memory", "f", "{}", "rss_mb", 1, " MiB"),
        ("cold start to one message, plain: CPU", "g", "{}/n", "cpu", 1000, " ms"),
        ("peak memory", "g", "{}/n", "rss_kb", 1 / 1024, " MiB"),
        ("implicit TLS: CPU", "g", "{}/i", "cpu", 1000, " ms"),
        ("peak memory", "g", "{}/i", "rss_kb", 1 / 1024, " MiB"),
    ]
    lines = ["| | " + " | ".join(title for title, _ in COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for title, letter, pattern, key, scale, unit in rows:
        cells = [number(figure(letter, pattern.format(name), key), unit, scale) for _, name in COLUMNS]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def circumstances(found):
    machine, scenarios = found["machine"], found["scenarios"]
    days = sorted({scenario["when"] for scenario in scenarios.values()})
    loads = [load for scenario in scenarios.values() for load in scenario["load"]]
    revisions = sorted({scenario["revision"] for scenario in scenarios.values()})
    versions = [f"{name} {version}" for name, version in found["versions"].items()]
    repetitions = sorted({scenario["repetitions"] for scenario in scenarios.values()})
    text = [
        f"Measured on {' to '.join(dict.fromkeys((days[0], days[-1])))}, {machine['cores']} cores of an {machine['processor']}, Linux",
        f"{machine['kernel']}, {machine['system']}, {machine['rust'].split(' (')[0]}, everything on loopback, load",
        f"{min(loads)} to {max(loads)}; medians of {' or '.join(map(str, repetitions))} repetitions; this library at {', '.join(revisions)}.",
        f"The others: {', '.join(versions)}.",
    ]
    return " ".join(text)


def page(found):
    figure = Figures(found)
    table = marks(figure)
    lines = [circumstances(found), "", *table.lines, ""]
    if table.missed:
        lines += ["Not met, or not measured:", "", *(f"- {what}" for what in table.missed), ""]
    failed = sorted({f"{key} in scenario {letter}" for letter, scenario in found["scenarios"].items() for key in scenario["failed"]})
    if failed:
        lines += ["Runs that failed, and are left out: " + "; ".join(failed) + ".", ""]
    lines += ["The same beside other clients, from the same runs; empty where a client cannot do it:", "", *beside(figure)]
    return "\n".join(lines)


def main():
    found = json.loads(FIGURES.read_text())
    text = PAGE.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        sys.exit(f"error: {PAGE} has to have one line {BEGIN} and one line {END}")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    new = f"{before}{BEGIN}\n\n{page(found)}\n\n{END}{after}"
    if "--check" in sys.argv[1:]:
        sys.exit(new != text)
    PAGE.write_text(new)


if __name__ == "__main__":
    main()
