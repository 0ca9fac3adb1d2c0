"""What the tests of the suite share: paths and servers."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "bindings" / "python"
SUPPORT = ROOT / "tests" / "support"
sys.path[:0] = [str(PACKAGE), str(SUPPORT)]

# For programs that the tests run.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE), os.environ.get("PYTHONPATH")]))


def server_directory():
    """A directory with one folder a server, each with start.sh and stop.sh; or None.

    start.sh WORKDIR prints one line of JSON, of the form that mail_server.py prints.
    """
    named = os.environ.get("SMTP_SERVERS_DIR")
    if named:
        return Path(named)
    beside = ROOT.parent / "shared" / "servers"
    return beside if beside.is_dir() else None


class Server:
    """A running server: its facts as attributes, and the mail that it has stored."""

    def __init__(self, facts):
        self.__dict__.update(facts)
        self.refused = dict(pair.split("=") for pair in facts.get("refused", "").split())

    def stored(self, mark):
        """The octets stored of the message whose first header is "X-Mark: mark"; waits for them."""
        wanted = b"X-Mark: " + mark.encode()
        end = time.monotonic() + 15
        seen = set()
        while time.monotonic() < end:
            for folder, _, names in os.walk(self.delivered):
                for path in (Path(folder, name) for name in names):
                    if path in seen or path.parent.name == "tmp" or path.name.startswith("."):
                        continue
                    octets = path.read_bytes()
                    found = re.search(rb"^" + re.escape(wanted) + rb"\r?$", octets[:16384], re.MULTILINE)
                    if found:
                        # The servers put header lines of their own in front.
                        return octets[found.start() :]
                    if octets:
                        seen.add(path)
            time.sleep(0.05)
        raise AssertionError(f"{self.name} has not delivered the message {mark}")

    def expected(self, message):
        """What is to be stored of a message with CRLF line ends."""
        return message.replace(b"\r\n", b"\n") if self.eol == "lf" else message


class Servers:
    """Starts servers when they are first asked for, and stops them all at the end."""

    def __init__(self, directory):
        self.directory = directory
        self.found = {}
        self.stops = []

    def __call__(self, name, kind="good"):
        """A running server; skips the test, with the reason, if there is none."""
        key = (name, kind)
        if key not in self.found:
            start = self._start_own if name == "mail_server" else self._start_other
            try:
                self.found[key] = Server(start(name, kind))
            except Exception as error:
                self.found[key] = f"{name} was not started: {error}"
        if isinstance(self.found[key], str):
            pytest.skip(self.found[key])
        return self.found[key]

    def _start_own(self, name, kind):
        command = [sys.executable, SUPPORT / "mail_server.py", self.directory / f"{name}-{kind}", "--certificate", kind]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.stops.append(lambda: (process.terminate(), process.wait(10), process.stdout.close()))
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("it ended at once; are aiosmtpd and trustme installed?")
        return json.loads(line)

    def _start_other(self, name, kind):
        folder = server_directory()
        if folder is None:
            raise RuntimeError("no directory of servers; SMTP_SERVERS_DIR can name one")
        if not (folder / name / "start.sh").is_file():
            raise RuntimeError(f"{folder} has no such server")
        work = str(self.directory / f"{name}-{kind}")
        self.stops.append(lambda: subprocess.run([folder / name / "stop.sh", work], capture_output=True, timeout=60))
        result = subprocess.run(
            [folder / name / "start.sh", work],
            env={**os.environ, "CERT_KIND": kind},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )
        if result.returncode != 0:
            raise RuntimeError((result.stderr.strip().splitlines() or ["no reason given"])[-1])
        return json.loads(result.stdout.strip().splitlines()[-1])

    def stop(self):
        for stop in self.stops:
            stop()


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    """Call it with a server's name, and a kind of certificate, to get a running Server."""
    running = Servers(tmp_path_factory.mktemp("servers"))
    yield running
    running.stop()
