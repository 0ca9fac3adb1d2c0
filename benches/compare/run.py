#!/usr/bin/env python3
"""Measures this library beside other clients and beside programs that do nothing else.

    benches/compare/run.py [-s abcdefghmwx] [-r REPETITIONS] [--harness FOLDER]

Needs the bench harness: a folder with run.py, build.sh, a sink and the other
clients' drivers. It is copied to a scratch folder, built there, and given the
driver ours.c. The figures of each scenario go into results/figures.json; those
of scenarios that were not run this time stay as they are there. table.py and
plot.py make docs/performance.md and docs/plots from them.

The letters a to h are the harness's own scenarios. Further ones:

    m   a message of 100 MiB in the caller's memory: how much memory the library adds
    w   waits: one connection, messages from 1 octet to 1 MiB, plain and over TLS
    x   10,000 connections of one process
"""

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FIGURES = HERE / "results" / "figures.json"
OTHERS = ["libcurl", "libesmtp", "smtp-source", "lettre", "smtplib"]

# The scenarios, with who takes part: what has not been built is left out by the harness.
SCENARIOS = {
    "a": ["limit:data2", "limit:bdat1", "limit:data1", "limit:bdatw", "ours", "ours:bdat", *OTHERS],
    "b": ["limit:data2", "limit:bdat1", "limit:data1", "limit:bdatw", "limit-rustls:ring", "ours", "ours:bdat", *OTHERS],
    "c": ["limit:data2", "limit:bdat1", "ours", "ours:bdat", *OTHERS],
    "d": ["limit:data2", "limit-rustls:ring", "ours", *OTHERS],
    "e": ["limit:data2", "limit:bdat1", "ours", "ours:bdat", *OTHERS],
    "f": ["limit:epoll", "limit:thr", "ours", "ours:epoll", "libcurl-multi", *OTHERS],
    "g": ["limit:data2", "limit:plain", "limit-rustls:ring", "ours", *OTHERS],
    "h": ["ours"],
    "m": ["ours:memory"],
    "w": ["ours", "ours:bdat"],
    "x": ["limit:epoll", "limit:thr", "ours", "ours:epoll"],
}

# Around the edges of buffers, segments and records.
SIZES = [1, 2, 100, 1000, 1448, 1460, 4096, 16384, 16385, 65536, 65537, 131072, 262144, 524288, 1 << 20]


def find_harness(named):
    """The harness's folder; without one, an end with a sentence on where it is looked for."""
    if named:
        folders = [Path(named)]
    else:
        folders = [ROOT.parent / "shared" / "bench"]
    for folder in folders:
        if (folder / "run.py").is_file() and (folder / "build.sh").is_file():
            return folder
    sys.exit(
        f"error: no bench harness at {folders[0]}: it is a folder with run.py, build.sh, sink, tools and drivers. "
        "Name it with --harness FOLDER or in the variable SMTP_BENCH."
    )


def build(harness, scratch, library):
    """Copies and builds the harness and our driver; gives the harness's run.py as a module."""
    copy, made = scratch / "bench", scratch / "build"
    shutil.copytree(harness, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    os.environ["BENCH_BUILD"] = str(made)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SMTPCLIENT_")}
    subprocess.run([copy / "build.sh"], check=True, env=environment)
    # A copy under its soname, so that a build that runs meanwhile does not matter.
    shared = scratch / "lib" / "libsmtpclient.so.0"
    shared.parent.mkdir(exist_ok=True)
    shutil.copy(library, shared)
    flags = ["-std=c99", "-O2", "-Wall", "-Wextra", "-pedantic", "-Werror", "-pthread"]
    include = [f"-I{ROOT / 'include'}", f"-I{ROOT / 'tests' / 'c'}"]
    link = [str(shared), f"-Wl,-rpath,{shared.parent}"]
    compiler = os.environ.get("CC", "gcc")
    subprocess.run([compiler, *flags, *include, HERE / "ours.c", "-o", made / "bin" / "ours", *link], check=True)
    return load(copy / "run.py")


def load(path):
    """The harness's script without the call that runs it, so that its parts can be used from here."""
    source = path.read_text()
    call, both = "\nmain()\n", "for nc in (1000, 10000):"
    if not source.endswith(call) or both not in source:
        sys.exit(f"error: {path} is not the bench harness that this script knows; look at load()")
    # Ten thousand connections are a scenario of their own: most of the others cannot do it.
    source = source[: -len(call)].replace(both, "for nc in (1000,):") + "\n"
    module = types.ModuleType("harness")
    module.__file__ = str(path)
    exec(compile(source, str(path), "exec"), module.__dict__)
    ours, limit = module.b("ours"), module.b("limit")
    module.PEERS.update(
        {
            "limit:plain": (limit + ["-m", "data2"], 1, "n", ""),
            "ours:bdat": (ours + ["-m", "bdat"], 1, "nsi", ""),
            "ours:epoll": (ours + ["-m", "epoll"], 1, "", "loop"),
            "ours:memory": (ours + ["-m", "memory"], 1, "n", ""),
        }
    )
    return module


def run_harness(harness, letter, repetitions, scratch):
    """One of the harness's own scenarios."""
    output = scratch / f"{letter}.json"
    output.unlink(missing_ok=True)
    sys.argv = ["run.py", "-s", letter, "-p", ",".join(SCENARIOS[letter]), "-r", str(repetitions), "-o", str(output)]
    harness.main()
    found = json.loads(output.read_text())
    figures = found.get("f1000" if letter == "f" else letter, {})
    if letter == "e":
        for name, more in long_lists(harness, repetitions).items():
            figures.setdefault(name, {}).update(more)
    return figures


def with_sink(work):
    """Runs work(harness, sink, ...) with a sink of its own."""

    def run(harness, *rest):
        sink = harness.Sink()
        try:
            return work(harness, sink, *rest)
        finally:
            sink.stop()

    return run


@with_sink
def long_lists(harness, sink, repetitions):
    """User instructions and CPU of one message to 1,000 recipients, as slopes.

    The harness's own slope, over five messages, is too short for those that take a tenth of a millisecond.
    """
    found = {}
    names = [name for name in SCENARIOS["e"] if harness.have(name)]
    commands = {
        (name, n): harness.cmd(name, harness.P["plain"], n, r=1000)
        for name in names
        if name.startswith(("limit", "ours", "libesmtp"))
        for n in (1, 101)
    }
    runs = harness.interleave(commands, repetitions)
    for name in names:
        few, many = (harness.callgrind(harness.cmd(name, harness.P["plain"], n, r=1000)) for n in (1, 3))
        if few and many:
            found[name] = {"instructions": (many - few) / 2}
        if (name, 1) in runs and (name, 101) in runs:
            short, long = (harness.med(runs[name, n], "cpu") for n in (1, 101))
            found.setdefault(name, {})["cpu_us"] = (long - short) / 100 * 1e6
    return found


@with_sink
def memory_of_the_caller(harness, sink):
    """By how much the peak of the process's memory grows while 100 MiB in the caller's memory are sent, in KiB."""
    figures = {}
    for tls, port in (("none", "plain"), ("implicit", "tls")):
        for content in ("plain", "dots", "worst"):
            command = harness.cmd("ours:memory", harness.P[port], tls=tls, f=f"big-{content}.eml")
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=harness.ENV)
            figures[f"{content}/{tls}"] = {"extra_kib": int(done.stdout)}
    return figures


@with_sink
def waits(harness, sink, repetitions):
    """Milliseconds that the first message of a connection, and the next ones, take with a server that answers at once.

    A wait that the library brings on itself, such as the 40 ms of an acknowledgement that is
    held back, comes every time: the least of the repetitions has it too, but not the machine's noise.
    """
    figures, counts = {}, (0, 1, 6)
    for name in SCENARIOS["w"]:
        for tls, port in (("none", "plain"), ("implicit", "tls")):
            for size in SIZES:
                path = Path(harness.MSG) / f"{size}.eml"
                text = b"0123456789" * 7 + b"abcd\r\n"
                path.write_bytes((text * (size // len(text) + 1))[: size - 2] + b"\r\n" if size > 1 else b"x")
                walls = {}
                for count in counts:
                    command = harness.cmd(name, harness.P[port], count, tls=tls, f=path.name)
                    runs = [harness.once(command) for _ in range(repetitions)]
                    if any(run["rc"] for run in runs):
                        sys.exit(f"error: {' '.join(command)} failed: {runs}")
                    walls[count] = min(run["wall"] for run in runs)
                figures[f"{name}/{tls}/{size}"] = {
                    "first_ms": (walls[1] - walls[0]) * 1e3,
                    "next_ms": (walls[6] - walls[1]) / 5 * 1e3,
                }
    return figures


@with_sink
def ten_thousand(harness, sink, repetitions):
    """10,000 connections of one process, one message each, at a round trip of 100 ms."""
    figures, count = {}, 10000
    names = [name for name in SCENARIOS["x"] if harness.have(name)]
    commands = {name: harness.cmd(name, harness.P["plain100"], count, c=count) for name in names}
    alone = {name: harness.once(harness.cmd(name, harness.P["plain"], 1))["rss_kb"] for name in names}
    for name, runs in harness.interleave(commands, min(repetitions, 3)).items():
        middle = {key: harness.med(runs, key) for key in ("wall", "cpu", "rss_kb")}
        figures[name] = {
            "wall": middle["wall"],
            "cpu_us": middle["cpu"] / count * 1e6,
            "rss_mb": middle["rss_kb"] / 1024,
            "kib_each": (middle["rss_kb"] - alone[name]) / count,
        }
    return figures


def machine():
    """What the figures were taken on."""
    processor = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    system = re.search(r'^PRETTY_NAME="(.*)"$', Path("/etc/os-release").read_text(), re.MULTILINE)
    return {
        "processor": processor[1] if processor else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "system": system[1] if system else platform.system(),
        "rust": said("rustc", "--version"),
        "revision": said("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
    }


def versions(scratch):
    """The others' versions."""
    lock = scratch / "bench" / "drivers" / "rust" / "Cargo.lock"
    lettre = re.search(r'name = "lettre"\nversion = "(.*)"', lock.read_text()) if lock.is_file() else None
    return {
        "libcurl": said("pkg-config", "--modversion", "libcurl"),
        "libesmtp": said("pkg-config", "--modversion", "libesmtp-1.0") or said("pkg-config", "--modversion", "libesmtp"),
        "smtp-source": "Postfix " + said("dpkg-query", "-W", "-f", "${Version}", "postfix").split("-")[0],
        "lettre": lettre[1] if lettre else "",
        "smtplib": "Python " + platform.python_version(),
    }


def said(*command):
    """What a program prints; nothing if it is not there."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-s", "--scenarios", default="".join(SCENARIOS), help="letters; without it, all")
    parser.add_argument("-r", "--repetitions", type=int, default=5)
    parser.add_argument("--harness", default=os.environ.get("SMTP_BENCH"), help="the bench harness (SMTP_BENCH)")
    parser.add_argument("--scratch", type=Path, default=ROOT / "target" / "compare", help="where to build")
    parser.add_argument("--library", type=Path, default=ROOT / "target" / "release" / "libsmtpclient.so")
    options = parser.parse_args()
    unknown = set(options.scenarios) - set(SCENARIOS)
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    if not options.library.is_file():
        parser.error(f"{options.library} is not there; cargo build --release --locked makes it")
    scratch = options.scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    harness = build(find_harness(options.harness), scratch, options.library.resolve())
    found = json.loads(FIGURES.read_text()) if FIGURES.is_file() else {"scenarios": {}}
    found.update({"machine": machine(), "versions": versions(scratch)})
    for letter in options.scenarios:
        harness.BAD.clear()
        before = os.getloadavg()[0]
        if letter == "m":
            figures = memory_of_the_caller(harness)
        elif letter == "w":
            figures = waits(harness, options.repetitions)
        elif letter == "x":
            figures = ten_thousand(harness, options.repetitions)
        else:
            figures = run_harness(harness, letter, options.repetitions, scratch)
        found["scenarios"][letter] = {
            "figures": figures,
            "when": datetime.date.today().isoformat(),
            "revision": found["machine"]["revision"],
            "repetitions": options.repetitions,
            "load": [round(before, 1), round(os.getloadavg()[0], 1)],
            "failed": sorted(str(key) for key in harness.BAD),
        }
        FIGURES.parent.mkdir(exist_ok=True)
        FIGURES.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    print(f"figures: {FIGURES}")


if __name__ == "__main__":
    main()
