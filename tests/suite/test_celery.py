"""The worker on Celery and Redis: workers are killed in the middle of their work, and every
message is accounted for.

Needs redis-server (Debian: redis-server), and celery and redis from PyPI.
"""

import os
import random
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
from conftest import ROOT

EXAMPLES = ROOT / "examples-python"
MESSAGES = 60
WORKERS = 2


@pytest.fixture
def broker(tmp_path):
    """A Redis of its own; its URL."""
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("redis-server is not installed")
    pytest.importorskip("celery")
    redis = pytest.importorskip("redis")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    url = f"redis://127.0.0.1:{port}/0"
    try:
        connection = redis.Redis.from_url(url)
        while True:
            assert process.poll() is None, "redis-server has ended"
            try:
                connection.ping()
                break
            except redis.exceptions.ConnectionError:
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(30)


class MailServer(socketserver.ThreadingTCPServer):
    """Keeps the subjects of what it takes; often slow, sometimes failing."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, seed):
        self.stored = []
        self.dice = random.Random(seed)
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Conversation)

    def roll(self):
        with self.lock:
            return self.dice.random()


class Conversation(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        try:
            self.converse()
        except OSError:
            pass

    def converse(self):
        self.say("220 mail.example")
        for line in self.rfile:
            verb = line.split()[0].upper()
            if verb == b"EHLO":
                self.say("250 mail.example")
            elif verb == b"DATA":
                self.say("354 go on")
                if not self.take_message():
                    return
            elif verb == b"QUIT":
                self.say("221 bye")
                return
            elif verb == b"MAIL" and self.server.roll() < 0.1:
                self.say("451 4.3.0 not now")
            else:
                self.say("250 ok")

    def take_message(self):
        content = b""
        for line in self.rfile:
            if line == b".\r\n":
                break
            content += line
        else:
            return True
        time.sleep(self.server.roll() * 0.1)
        fate = self.server.roll()
        if fate < 0.03:
            return False
        if fate < 0.1:
            self.say("452 4.3.1 too full")
            return True
        subject = re.search(rb"^Subject: (.*?)\r$", content, re.MULTILINE).group(1).decode()
        with self.server.lock:
            self.server.stored.append(subject)
        if fate < 0.13:
            return False
        # A worker that is killed here never hears of it.
        time.sleep(self.server.roll() * 0.1)
        self.say("250 2.0.0 taken")
        return True


@pytest.fixture
def mail_server():
    with MailServer(seed=7) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


def start_worker(environment, log):
    command = [sys.executable, "-m", "celery", "-A", "celery_worker", "worker", "--pool=threads", "--concurrency=4"]
    command += ["--without-gossip", "--without-mingle", "--loglevel=INFO"]
    return subprocess.Popen(command, cwd=EXAMPLES, env=environment, stdout=log, stderr=subprocess.STDOUT)


def test_killed_workers_lose_and_double_nothing(broker, mail_server, tmp_path):
    import redis

    environment = {**os.environ, "REDIS_URL": broker, "SMTP_HOST": "127.0.0.1"}
    environment |= {"SMTP_PORT": str(mail_server.server_address[1]), "VISIBILITY_TIMEOUT": "3", "FIRST_PAUSE": "0.1"}
    store = redis.Redis.from_url(broker)
    paths = []
    for number in range(MESSAGES):
        path = tmp_path / f"m{number}.eml"
        path.write_bytes(b"Subject: m%d\r\n\r\nx\r\n" % number)
        paths.append(str(path))
    command = [sys.executable, EXAMPLES / "celery_worker.py", "enqueue", "a@x.example", "b@y.example", *paths]
    queued = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert queued.returncode == 0, queued.stderr
    names = {}
    for line in queued.stdout.splitlines():
        key, path = line.split("\t")
        names[key] = os.path.basename(path)[: -len(".eml")]
    assert len(names) == MESSAGES

    kills = 0
    dice = random.Random(11)
    with open(tmp_path / "workers.log", "wb") as log:
        workers = [start_worker(environment, log) for _ in range(WORKERS)]
        try:
            def states():
                return dict(zip(names, store.mget([f"mail:{key}" for key in names])))

            end = time.monotonic() + 240
            while any(state in (None, b"sending") for state in states().values()):
                assert time.monotonic() < end, f"{Counter(states().values())}\n{(tmp_path / 'workers.log').read_text()[-5000:]}"
                # Only a worker that is in the middle of something is worth killing.
                if kills < 5 and b"sending" in states().values() and dice.random() < 0.3:
                    at = dice.randrange(WORKERS)
                    workers[at].send_signal(signal.SIGKILL)
                    workers[at].wait(30)
                    workers[at] = start_worker(environment, log)
                    kills += 1
                time.sleep(0.1)
        finally:
            for worker in workers:
                worker.send_signal(signal.SIGKILL)
                worker.wait(30)
    # What the server was about to store when the last worker was killed.
    time.sleep(0.5)
    assert kills >= 3, "the workers were too fast to be killed"
    stored = Counter(mail_server.stored)
    final = Counter()
    for key, state in states().items():
        count = stored[names[key]]
        final[state] += 1
        if state == b"accepted":
            assert count == 1, names[key]
        elif state == b"unknown":
            assert count <= 1 and store.hexists("mail:unknown", key), names[key]
        else:
            assert state in (b"failed", b"rejected") and count == 0, (names[key], state, count)
    assert final[b"accepted"] > MESSAGES / 2
    assert set(stored.values()) <= {1}
    shown = subprocess.run([*command[:2], "unknown"], env=environment, capture_output=True, text=True, timeout=60)
    assert len(shown.stdout.splitlines()) == final[b"unknown"]
