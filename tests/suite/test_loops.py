"""Hundreds of clients in one thread of a program with an event loop that is not the
library's: poll, epoll and libuv (asyncio is in test_asyncio.py). Every message arrives.

SMTPCLIENT_TARGET names the directory with the libraries; without it, it is
target/release. CC names the compiler.
"""

import os
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

TARGET = Path(os.environ.get("SMTPCLIENT_TARGET", ROOT / "target" / "release"))
SOURCES = ROOT / "tests" / "c" / "loops"
CC = os.environ.get("CC", "gcc")
STRICT = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
CLIENTS = 300


def build(folder, name, *libraries, system=()):
    library = TARGET / "libsmtpclient.so"
    # What a program looks for at run time is the soname.
    (folder / "libsmtpclient.so.0").symlink_to(library.resolve())
    program = folder / name
    include = [f"-I{ROOT / 'include'}", *(f"-isystem{path}" for path in system)]
    command = [CC, *STRICT, *include, "-o", program, SOURCES / f"{name}.c", library, f"-Wl,-rpath,{folder}", *libraries]
    built = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stderr
    return program


def has_header(name):
    probe = subprocess.run([CC, "-E", "-x", "c", "-"], input=f"#include <{name}>\n", capture_output=True, text=True)
    return probe.returncode == 0


def play(server, program, host, mark):
    arguments = [host, server.ports["plain"], CLIENTS, f"bob@{server.domain}", f"alice@{server.domain}", mark]
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    for number in range(CLIENTS):
        for message in (1, 2):
            assert server.stored(f"{mark}-{number}-{message}").endswith(b"\r\n\r\nfrom a loop\r\n")


def test_poll(servers, tmp_path):
    play(servers("mail_server"), build(tmp_path, "poll"), "127.0.0.1", "poll")


def test_epoll(servers, tmp_path):
    # By name: each is looked up off the thread.
    play(servers("mail_server"), build(tmp_path, "epoll"), "localhost", "epoll")


def test_libuv(servers, tmp_path):
    if not has_header("uv.h"):
        pytest.skip("libuv is not installed (on Debian: libuv1-dev)")
    play(servers("mail_server"), build(tmp_path, "libuv", "-luv"), "localhost", "libuv")
