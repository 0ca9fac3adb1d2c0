"""Many clients for a while: descriptors and memory stay where they were, and what the
clients say was accepted is what the server has taken.

SOAK_SECONDS says how long; without it, 10 seconds, so that the soak does not
rot. `make soak` takes ten minutes.

SMTPCLIENT_TARGET names the directory with the libraries; without it, it is
target/release. CC names the compiler.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, SUPPORT

TARGET = Path(os.environ.get("SMTPCLIENT_TARGET", ROOT / "target" / "release"))
CC = os.environ.get("CC", "gcc")
STRICT = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
SECONDS = float(os.environ.get("SOAK_SECONDS", "10"))


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if shutil.which(CC) is None:
        pytest.skip(f"{CC} is not installed")
    folder = tmp_path_factory.mktemp("soak")
    shared = folder / "libsmtpclient.so.0"
    shutil.copy(TARGET / "libsmtpclient.so", shared)
    words = [CC, *STRICT, "-g", "-O1", "-pthread", f"-I{ROOT / 'include'}", f"-I{ROOT / 'tests' / 'c'}"]
    words += [ROOT / "tests" / "long" / "soak.c", "-o", folder / "soak", shared, f"-Wl,-rpath,{folder}"]
    built = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stderr
    return folder / "soak"


def soak(program, folder, seconds, *more):
    """Runs it against a server of its own; gives status, what was printed, and what the server has taken."""
    server = subprocess.Popen(
        [sys.executable, SUPPORT / "soak_server.py", folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        facts = json.loads(server.stdout.readline())
        words = [program, str(facts["plain"]), str(facts["tls"]), facts["authority"], str(seconds), *more]
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds + 120)
        output, _ = server.communicate("", timeout=60)
        return done.returncode, done.stdout + done.stderr, json.loads(output)["taken"]
    finally:
        server.kill()
        server.wait()


def test_soak(program, tmp_path):
    status, output, taken = soak(program, tmp_path, SECONDS)
    print(output, f"the server has taken {taken}")
    assert status == 0, output[-8000:]
    counts = re.search(r"accepted: (\d+), in doubt: (\d+), failed: (\d+), cancelled: (\d+)", output)
    accepted, in_doubt, failed, cancelled = map(int, counts.groups())
    assert accepted <= taken <= accepted + in_doubt
    # It is no soak if nothing goes wrong in it.
    assert accepted > 100 and failed > 0 and cancelled > 0


def test_a_leak_is_noticed(program, tmp_path):
    status, output, _ = soak(program, tmp_path, 4, "leak")
    assert status == 1
    assert "descriptors are left behind" in output
