"""The pool and the reactor in Python: against a real server, and against one that fails."""

import asyncio
import concurrent.futures
import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest
import smtpclient
from conftest import ROOT
from script_server import ScriptServer
from smtpclient import Client, Pool, Reactor, SmtpError

MESSAGE = "Subject: {}\r\nX-Mark: {}\r\n\r\nHello.\r\n"
GREETING = [("send", b"220 test\r\n"), ("expect", b"EHLO client.example\r\n"), ("send", b"250 test\r\n")]
ENVELOPE = [
    ("expect", b"MAIL FROM:<s@a.example>\r\n"),
    ("send", b"250 ok\r\n"),
    ("expect", b"RCPT TO:<r@b.example>\r\n"),
    ("send", b"250 ok\r\n"),
    ("expect", b"DATA\r\n"),
    ("send", b"354 go\r\n"),
    ("expect", b"x\r\n.\r\n"),
]


@pytest.fixture(scope="module")
def server(servers):
    return servers("mail_server")


def addresses(server):
    return f"bob@{server.domain}", f"alice@{server.domain}"


def test_a_pool_delivers(server):
    with Pool(host=server.host, port=server.ports["plain"], connections=3) as pool:
        marks = [f"pool-{number}" for number in range(20)]
        futures = [pool.submit(*addresses(server), MESSAGE.format(mark, mark)) for mark in marks]
        for future in concurrent.futures.as_completed(futures):
            result = future.result()
            assert result.outcome == smtpclient.OUTCOME_ACCEPTED and result.error is None
            assert [recipient.accepted for recipient in result.recipients] == [True]
        statistics = pool.statistics
        assert (statistics.accepted, statistics.queued, statistics.in_flight) == (20, 0, 0)
        assert 1 <= statistics.opened <= 3
    for mark in marks:
        assert b"Hello." in server.stored(mark)


def test_over_tls_with_a_login(server):
    properties = {"tls_mode": smtpclient.TLS_REQUIRED, "ca_file": server.ca, "connections": 2}
    properties.update(user=server.user, password=server.password)
    with Pool(host="localhost", port=server.ports["starttls"], **properties) as pool:
        futures = [pool.submit(*addresses(server), MESSAGE.format("x", f"tls-{n}")) for n in range(6)]
        assert all(future.result().outcome == smtpclient.OUTCOME_ACCEPTED for future in futures)
    assert server.stored("tls-5")


def test_from_asyncio(server):
    async def main():
        with Pool(host=server.host, port=server.ports["plain"], queue_limit=2) as pool:
            sent = [pool.send(*addresses(server), MESSAGE.format("x", f"asyncio-{n}")) for n in range(10)]
            return await asyncio.gather(*sent)

    assert [result.accepted for result in asyncio.run(main())] == [1] * 10


def test_a_failure_is_an_exception_with_the_facts(tmp_path):
    with ScriptServer(*GREETING, *ENVELOPE, ("send", b"550 5.7.1 no\r\n"), ("stall",)) as server:
        pool = Pool(host="127.0.0.1", port=server.port, local_name="client.example")
        with pytest.raises(smtpclient.ServerError) as caught:
            pool.submit("s@a.example", "r@b.example", b"x\r\n").result()
        error = caught.value
        assert (error.result_code, error.enhanced_code, error.reply) == (550, "5.7.1", "5.7.1 no")
        assert error.outcome == smtpclient.OUTCOME_REJECTED_PERMANENT and error.safe_to_retry
        pool.close()


def test_unknown_is_told_as_such():
    with ScriptServer(*GREETING, *ENVELOPE, ("close",)) as server:
        with Pool(host="127.0.0.1", port=server.port, local_name="client.example") as pool:
            with pytest.raises(SmtpError) as caught:
                pool.submit("s@a.example", "r@b.example", b"x\r\n").result()
            assert caught.value.outcome == smtpclient.OUTCOME_UNKNOWN and not caught.value.safe_to_retry


def test_closing_tells_what_is_not_over():
    with ScriptServer(("stall",)) as server:
        pool = Pool(host="127.0.0.1", port=server.port)
        future = pool.submit("s@a.example", "r@b.example", b"x\r\n")
        assert pool.drain(timeout=0.01) is False
        assert not future.cancel()
        pool.close()
        with pytest.raises(SmtpError) as caught:
            future.result(timeout=60)
        assert caught.value.outcome == smtpclient.OUTCOME_NOT_SENT
        with pytest.raises(SmtpError):
            pool.submit("s@a.example", "r@b.example", b"x\r\n")
        pool.close()


def test_properties():
    pool = Pool(host="mail.example", port=587, connections=7, rate=5)
    assert [pool.get(name) for name in ("host", "port", "connections", "rate")] == ["mail.example", 587, 7, 5]
    for name, value in [("no_such", 1), ("connections", 0), ("blocking", 0), ("host", 5)]:
        with pytest.raises(SmtpError):
            pool.set(**{name: value})
    with pytest.raises(SmtpError):
        Pool(connections=0)
    pool.close()


def test_a_pool_that_is_forgotten_is_released():
    before = threading.active_count()
    pool = Pool(host="mail.example")
    gone = weakref.ref(pool)
    del pool
    gc.collect()
    assert gone() is None and threading.active_count() == before


def test_a_child_leaves_its_parents_pool_alone():
    pool = Pool(host="127.0.0.1", port=9)
    child = os.fork()
    if child == 0:
        try:
            pool.submit("s@a.example", "r@b.example", b"x")
        except SmtpError as error:
            os._exit(0 if "forked" in str(error) else 2)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    pool.close()


def test_a_reactor_carries_many_clients(server):
    count = 50
    over = threading.Semaphore(0)
    errors = []
    sender, recipient = addresses(server)

    def chain(number):
        yield lambda client: client.connect(server.host, server.ports["plain"])
        yield lambda client: client.send_message(sender, recipient, MESSAGE.format("x", f"reactor-{number}"))
        yield lambda client: client.disconnect()

    def follow(steps):
        def go_on(client, error):
            step = None if error else next(steps, None)
            if step is None:
                errors.append(error)
                over.release()
            elif step(client) is not False:
                go_on(client, None)

        return go_on

    clients = [Client() for _ in range(count)]
    with Reactor() as reactor:
        for number, client in enumerate(clients):
            go_on = follow(chain(number))
            reactor.attach(client, go_on)
            go_on(client, None)
        for _ in range(count):
            assert over.acquire(timeout=60)
        reactor.detach(clients[0])
    assert errors == [None] * count
    assert server.stored("reactor-49")
    for client in clients:
        client.close()


def test_a_reactor_tells_errors_and_what_is_pending_at_its_end():
    with ScriptServer(("stall",)) as server:
        told = []
        client, other = Client(), Client()
        reactor = Reactor()
        reactor.attach(client, lambda client, error: told.append((client, error)))
        with pytest.raises(SmtpError):
            reactor.attach(client, print)
        assert client.connect("127.0.0.1", server.port) is False
        with pytest.raises(SmtpError):
            reactor.detach(client)
        reactor.close()
        assert [(who, error.code) for who, error in told] == [(client, smtpclient._errors.CODES["SMTP_ERROR_CANCELLED"])]
        with pytest.raises(SmtpError):
            reactor.attach(other, print)
        reactor.close()


@pytest.mark.parametrize("language", ["c", "python"])
def test_the_example(server, tmp_path, language):
    if language == "python":
        command = [sys.executable, ROOT / "examples-python" / "pool.py"]
    else:
        target = Path(os.environ.get("SMTPCLIENT_TARGET", ROOT / "target" / "release"))
        program = tmp_path / "pool"
        (tmp_path / "libsmtpclient.so.0").symlink_to((target / "libsmtpclient.so").resolve())
        build = [os.environ.get("CC", "gcc"), "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", f"-I{ROOT / 'include'}"]
        build += [str(ROOT / "examples-c" / "pool.c"), str(target / "libsmtpclient.so"), f"-Wl,-rpath,{tmp_path}"]
        subprocess.run([*build, "-o", str(program)], check=True, timeout=120)
        command = [program]
    paths = []
    for number in range(5):
        path = tmp_path / f"{number}.eml"
        path.write_text(MESSAGE.format("x", f"example-{language}-{number}"))
        paths.append(str(path))
    where = [server.host, str(server.ports["plain"]), *addresses(server)]
    done = subprocess.run([*command, *where, *paths], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert sorted(line.split("\t")[:2] for line in done.stdout.splitlines()) == [[path, "accepted"] for path in paths]
    assert server.stored(f"example-{language}-4")
    done = subprocess.run([*command, *where, "/no/such/file.eml"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stdout.startswith("/no/such/file.eml\tnot sent\t")
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 2
