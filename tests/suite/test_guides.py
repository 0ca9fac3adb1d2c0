"""The examples of the guides: each code block of docs/*.md that begins with a
comment "example: NAME" is a whole program, which is compiled and run against the
local mail server with host, port, sender and recipient as its arguments; those about
signing in get the user and the password instead of the addresses.

SMTPCLIENT_TARGET names the directory with the libraries; without it, it is
target/release. CC names the compiler.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

TARGET = Path(os.environ.get("SMTPCLIENT_TARGET", ROOT / "target" / "release"))
CC = os.environ.get("CC", "gcc")
STRICT = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]

BLOCK = re.compile(r"^```(c|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARKERS = {"c": re.compile(r"/\* example: ([\w-]+) \*/"), "python": re.compile(r"# example: ([\w-]+)$", re.MULTILINE)}


def examples():
    """Each example: its guide and name, its language, its text."""
    for guide in sorted((ROOT / "docs").glob("*.md")):
        for language, text in BLOCK.findall(guide.read_text()):
            marker = MARKERS[language].match(text)
            if marker:
                yield f"{guide.stem}-{marker.group(1)}-{language}", language, text


EXAMPLES = list(examples())


@pytest.fixture(scope="module")
def server(servers):
    return servers("mail_server")


def command(language, text, folder):
    if language == "python":
        source = folder / "example.py"
        source.write_text(text)
        return [sys.executable, str(source)]
    source, program = folder / "example.c", folder / "example"
    source.write_text(text)
    library = TARGET / "libsmtpclient.so"
    # What a program looks for at run time is the soname.
    (folder / "libsmtpclient.so.0").symlink_to(library.resolve())
    build = [CC, *STRICT, f"-I{ROOT / 'include'}", "-o", str(program), str(source), str(library), f"-Wl,-rpath,{folder}"]
    built = subprocess.run(build, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stderr
    return [str(program)]


def test_the_examples_are_found():
    names = [name for name, _, _ in EXAMPLES]
    assert {"tracing-trace-keep-c", "events-events-c", "errors-retry-c", "errors-error-record-python"} <= set(names)
    for guide in ("sending-messages", "recipients-all-or-nothing", "low-level-questions", "signing-in-sign_in", "composing-first", "composing-reading"):
        assert {f"{guide}-c", f"{guide}-python"} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name, language, text", EXAMPLES, ids=[name for name, _, _ in EXAMPLES])
def test_example(server, tmp_path, name, language, text):
    arguments = [server.host, str(server.ports["plain"])]
    if name.startswith("signing-in"):
        arguments += [server.user, server.password]
    else:
        arguments += [f"bob@{server.domain}", f"alice@{server.domain}"]
    result = subprocess.run(
        [*command(language, text, tmp_path), *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, f"{name}\n{result.stdout}{result.stderr}"
