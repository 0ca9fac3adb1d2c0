"""The programs of tests/c under ThreadSanitizer, the library and Rust's own
library included.

Needs a compiler with the source of Rust's library, which is built anew with
every access counted: a nightly with the component rust-src, or Debian's
packages rustc-web, cargo-web and rust-web-src; either with the run-time
archive of a nightly, and clang and lld. The build is kept in target/tsan.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

SOURCES = ROOT / "tests" / "c"
TARGET = "x86_64-unknown-linux-gnu"
RUNTIME = "librustc-nightly_rt.tsan.a"
# Every program, so that a new one need not be thought of here; but none of these.
NOT = {"fork": "ThreadSanitizer does not support threads after a fork of a process with threads"}
PROGRAMS = sorted({path.stem for path in SOURCES.glob("*.c")} - set(NOT))

STRICT = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
SYSTEM = ["-lstdc++", "-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"]
PATIENCE = 300
BUILD_PATIENCE = 1800
# What ThreadSanitizer returns when it has something to say.
REPORTED = 66
OPTIONS = f"exitcode={REPORTED} second_deadlock_stack=1"

PLANTED_RACE = r"""
#include <pthread.h>
static int shared;
static void *write_it(void *argument)
{
    shared++;
    return argument;
}
int main(void)
{
    pthread_t thread;
    if (pthread_create(&thread, 0, write_it, 0) != 0) {
        return 1;
    }
    shared++;
    pthread_join(thread, 0);
    return 0;
}
"""

# A thread changes the address that the library is given: only the library's accesses, which
# are Rust's, can be found in conflict with it.
PLANTED_RACE_WITH_THE_LIBRARY = r"""
#include <pthread.h>
#include <smtpclient.h>
static char host[] = "a name that is refused \x01";
static void *write_it(void *argument)
{
    host[0] = 'b';
    return argument;
}
int main(void)
{
    SmtpClient *client = SmtpClientCreate();
    pthread_t thread;
    int32_t result;
    if (pthread_create(&thread, 0, write_it, 0) != 0) {
        return 1;
    }
    result = SmtpSetString(client, SMTP_PROPERTY_LOCAL_NAME, host);
    pthread_join(thread, 0);
    SmtpClientRelease(client);
    return result == 0;
}
"""


def said(*command):
    """What a program prints; nothing if it is not there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def first(*names):
    return next(filter(None, map(shutil.which, names)), None)


class Tools:
    """What the build needs; `missing` says what is not there."""

    def __init__(self):
        nightly = said("rustup", "which", "--toolchain", "nightly", "rustc")
        compilers = [path for path in (nightly, "/usr/bin/rustc") if path and self.source(path)]
        runtime = Path(said(nightly, "--print", "sysroot") if nightly else "/nowhere")
        self.runtime = runtime / "lib" / "rustlib" / TARGET / "lib" / RUNTIME
        self.rustc = compilers[0] if compilers else None
        self.cargo = Path(self.rustc).with_name("cargo") if self.rustc else None
        self.clang = first("clang", "clang-19", "clang-16", "clang-14")
        self.linker = first("ld.lld", "ld.lld-19", "ld.lld-16", "ld.lld-14")
        self.missing = "; ".join(self.reasons())

    @staticmethod
    def source(rustc):
        """Whether the source of Rust's library lies where -Zbuild-std looks."""
        return (Path(said(rustc, "--print", "sysroot")) / "lib/rustlib/src/rust/library/std/Cargo.toml").is_file()

    def reasons(self):
        if os.uname().machine != "x86_64" or os.uname().sysname != "Linux":
            yield "only for Linux on x86-64"
        if self.rustc is None:
            yield "no Rust with its source: the nightly's rust-src, or Debian's rustc-web, cargo-web and rust-web-src"
        elif not self.cargo.is_file():
            yield f"{self.cargo} is missing"
        if not self.runtime.is_file():
            yield f"no nightly, whose {RUNTIME} is needed"
        if self.clang is None or self.linker is None:
            yield "clang or lld is missing"


def run(command, **options):
    options.setdefault("timeout", PATIENCE)
    return subprocess.run(command, capture_output=True, text=True, errors="replace", **options)


def check_run(command, **options):
    done = run(command, **options)
    output = done.stdout + done.stderr
    assert done.returncode == 0, f"{' '.join(map(str, command))}\nstatus {done.returncode}\n{output[-12000:]}"


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """Builds the library under ThreadSanitizer; gives what builds a program with it."""
    tools = Tools()
    if tools.missing:
        pytest.skip(tools.missing)
    directory = tmp_path_factory.mktemp("tsan")
    linker = directory / "linker"
    linker.write_text(f'#!/bin/sh\nexec {tools.clang} --ld-path={tools.linker} "$@"\n')
    linker.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RUST", "CARGO"))}
    for name in ("CARGO_HOME", "RUSTUP_HOME"):
        if name in os.environ:
            environment[name] = os.environ[name]
    environment |= {
        # The flags are those of a nightly.
        "RUSTC_BOOTSTRAP": "1",
        "RUSTC": str(tools.rustc),
        "RUSTFLAGS": "-Zsanitizer=thread -Zexternal-clangrt",
        "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER": str(linker),
        "CARGO_PROFILE_DEV_OPT_LEVEL": "1",
    }
    target = ROOT / "target" / "tsan"
    words = [tools.cargo, "rustc", "--locked", "--lib", "--crate-type", "staticlib", "-Zbuild-std=std,panic_unwind"]
    words += ["--target", TARGET, "--target-dir", target]
    check_run(words, cwd=ROOT, env=environment, timeout=BUILD_PATIENCE)
    # Under its own name, so that a build that runs meanwhile does not matter.
    library = directory / "libsmtpclient.a"
    shutil.copy(target / TARGET / "debug" / "libsmtpclient.a", library)

    def compile_program(source):
        program = directory / source.stem
        flags = [*STRICT, "-fsanitize=thread", "-g", "-O1", "-pthread", f"-I{ROOT / 'include'}", f"-I{SOURCES}"]
        check_run([tools.clang, *flags, "-c", source, "-o", f"{program}.o"])
        # The sanitizer's own archive, not the one that clang would add.
        archive = ["-Wl,--whole-archive", tools.runtime, "-Wl,--no-whole-archive"]
        check_run([linker, f"{program}.o", library, *archive, "-o", program, *SYSTEM])
        return program

    return compile_program


def environment():
    return {**os.environ, "TSAN_OPTIONS": OPTIONS}


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_race(build, name):
    check_run([build(SOURCES / f"{name}.c")], env=environment())


@pytest.mark.parametrize(
    "text, where",
    [(PLANTED_RACE, "write_it"), (PLANTED_RACE_WITH_THE_LIBRARY, "smtpclient::ffi")],
    ids=["program", "library"],
)
def test_a_race_is_found(build, tmp_path, text, where):
    source = tmp_path / "planted.c"
    source.write_text(text)
    done = run([build(source)], env=environment())
    assert done.returncode == REPORTED, done.stderr
    assert "data race" in done.stderr
    assert where in done.stderr


def test_those_left_out_are_there():
    assert all((SOURCES / f"{name}.c").is_file() for name in NOT)
