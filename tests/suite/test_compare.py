"""The comparison with other clients: its driver works in every variant, and the guide's tables
are those of the figures. The comparison itself is `make compare`.

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
COMPARE = ROOT / "benches" / "compare"
VARIANTS = re.findall(r"^ \*   (\w+) {2,}\S", (COMPARE / "ours.c").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    if shutil.which(CC) is None:
        pytest.skip(f"{CC} is not installed")
    folder = tmp_path_factory.mktemp("compare")
    shared = folder / "libsmtpclient.so.0"
    shutil.copy(TARGET / "libsmtpclient.so", shared)
    words = [CC, *STRICT, "-O2", "-pthread", f"-I{ROOT / 'include'}", f"-I{ROOT / 'tests' / 'c'}", COMPARE / "ours.c"]
    built = subprocess.run([*words, "-o", folder / "ours", shared, f"-Wl,-rpath,{folder}"], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder / "ours"


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("tls, port", [("none", "plain"), ("starttls", "plain"), ("implicit", "tls")])
def test_every_message_arrives(driver, tmp_path, variant, tls, port):
    file = tmp_path / "message.eml"
    file.write_bytes(b"Subject: Test\r\n\r\nText.\r\n.A dot.\r\n")
    server = subprocess.Popen(
        [sys.executable, SUPPORT / "soak_server.py", tmp_path, "calm"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        number = json.loads(server.stdout.readline())[port]
        words = [driver, "-H", "127.0.0.1", "-p", str(number), "-n", "7", "-c", "3", "-r", "2", "-t", tls]
        done = subprocess.run([*words, "-f", file, "-m", variant], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        output, _ = server.communicate("", timeout=60)
        assert json.loads(output)["taken"] == 7
    finally:
        server.kill()
        server.wait()


def test_what_fails_is_not_passed_over(driver, tmp_path):
    file = tmp_path / "message.eml"
    file.write_text("\r\n")
    for words in (["-p", "1", "-f", file], ["-p", "1", "-f", file, "-m", "epoll"], ["-f", tmp_path / "none"], ["-x", "1"]):
        assert subprocess.run([driver, *words], capture_output=True, timeout=60).returncode != 0


def test_the_guide_has_the_figures():
    assert subprocess.run([sys.executable, COMPARE / "table.py", "--check"], timeout=60).returncode == 0
