"""The client for asyncio: hundreds in one loop, ended at every phase, and what nobody waits for any more."""

import asyncio
import gc
import inspect
import os
import socket
import sys
import threading
import weakref

import pytest
from script_server import ScriptServer
from test_python import ADDRESSES, EHLO, GREETING, QUIT, session, taken

import smtpclient
from smtpclient import AsyncClient, CallerError, Client, ServerError, SmtpError, WireError

HELLO = b"250-test\r\n250 AUTH PLAIN\r\n"
ENVELOPE = taken()[:6]


def run(main):
    """Runs a coroutine, and fails on anything that is reported to nobody."""
    reported = []

    async def watched():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
        try:
            return await asyncio.wait_for(main, 60)
        finally:
            gc.collect()

    result = asyncio.run(watched())
    gc.collect()
    assert reported == []
    return result


def new_client():
    client = AsyncClient()
    client.local_name = "client.example"
    client.timeout = 20000
    return client


async def connected(server):
    client = new_client()
    await client.connect("127.0.0.1", server.port)
    return client


def test_no_operation_of_the_client_is_left_out():
    found = 0
    for name, method in vars(Client).items():
        if inspect.isfunction(method) and not name.startswith("_") and name != "process":
            runs = any(f"self.{end}(" in inspect.getsource(method) for end in ("_finish", "_run", "_reply"))
            found += runs
            assert inspect.iscoroutinefunction(getattr(AsyncClient, name)) == runs, name
    assert found > 20


def test_every_operation(tmp_path):
    (tmp_path / "mail").write_bytes(b"x\r\n")
    asked = [
        (b"VRFY a\r\n", b"252 perhaps\r\n"),
        (b"EXPN l\r\n", b"250-a\r\n250 b\r\n"),
        (b"HELP MAIL\r\n", b"214 no\r\n"),
        (b"ETRN n\r\n", b"251 nothing\r\n"),
        (b"NOOP\r\n", b"250 alive\r\n"),
        (b"XTHING\r\n", b"250 done\r\n"),
        (b"RSET\r\n", b"250 ok\r\n"),
        (b"AUTH PLAIN AHUAcA==\r\n", b"235 in\r\n"),
    ]
    steps = [step for line, reply in asked for step in (("expect", line), ("send", reply))]

    async def main():
        async with new_client() as client:
            client.insecure_auth = True
            await client.connect("127.0.0.1", server.port)
            assert client.is_connected
            assert await client.verify("a") == (252, "perhaps")
            assert await client.expand("l") == ["a", "b"]
            assert await client.help("MAIL") == "no"
            assert await client.extended_turn("n") == (251, "nothing")
            assert await client.noop() is None
            assert await client.command("XTHING") == (250, "done")
            await client.reset()
            await client.authenticate("u", "p")
            await client.send_message(*ADDRESSES, b"x\r\n")
            await client.send_file(*ADDRESSES, tmp_path / "mail")
            await client.send_stream(*ADDRESSES, iter([b"x", b"\r\n"]))
            for give in (
                lambda: client.write(b"x\r\n"),
                lambda: client.append_file(tmp_path / "mail"),
                lambda: client.append_stream([b"x\r\n"]),
            ):
                await client.create_message(ADDRESSES[0])
                await client.add_recipient(ADDRESSES[1])
                await give()
                await client.close_message()
                assert client.outcome == smtpclient.OUTCOME_ACCEPTED
            assert [recipient.address for recipient in client.recipients] == [ADDRESSES[1]]

    with session(*steps, *(6 * taken()), *QUIT, extensions=HELLO) as server:
        run(main())


def test_submit_and_attach():
    async def submit():
        async with new_client() as client:
            await client.submit(*ADDRESSES, b"x\r\n", "localhost", server.port)
            assert client.outcome == smtpclient.OUTCOME_ACCEPTED and not client.is_connected

    async def attach():
        connection = socket.create_connection(("127.0.0.1", server.port))
        async with new_client() as client:
            await client.attach(connection, "mail.example")
            assert connection.fileno() == -1
            await client.noop()

    with session(*taken(), *QUIT) as server:
        run(submit())
    with session(("expect", b"NOOP\r\n"), ("send", b"250 ok\r\n"), *QUIT) as server:
        run(attach())


def test_calls_of_several_tasks_queue_up():
    async def main():
        async with await connected(server) as client:
            await asyncio.gather(*(client.send_message(*ADDRESSES, b"%d\r\n" % number) for number in range(20)))

    steps = [step for number in range(20) for step in taken(content=b"%d\r\n" % number)]
    with session(*steps, *QUIT) as server:
        run(main())


def test_whoever_waits_for_their_turn_is_cancelled_without_harm():
    async def main():
        async with await connected(server) as client:
            first = asyncio.create_task(client.send_message(*ADDRESSES, b"x\r\n"))
            second = asyncio.create_task(client.send_message(*ADDRESSES, b"y\r\n"))
            await asyncio.sleep(0)
            second.cancel()
            with pytest.raises(asyncio.CancelledError) as cancelled:
                await second
            if sys.version_info >= (3, 11):
                assert cancelled.value.outcome == smtpclient.OUTCOME_NOT_SENT and cancelled.value.safe_to_retry
            await first
            assert client.outcome == smtpclient.OUTCOME_ACCEPTED

    with session(*taken(), *QUIT) as server:
        run(main())


async def send_all(count, concurrent, server, work):
    gate = asyncio.Semaphore(concurrent)

    async def one(number):
        async with gate, new_client() as client:
            await work(client, number)

    await asyncio.gather(*(one(number) for number in range(count)))


def test_hundreds_of_clients_in_one_loop(servers):
    server = servers("mail_server")
    together = threading.active_count()

    async def work(client, number):
        client.tls_mode = smtpclient.TLS_NONE
        await client.connect(server.host, server.ports["plain"])
        message = f"X-Mark: loop-{number}\r\nSubject: {number}\r\n\r\n{'x' * 50}\r\n"
        await client.send_message("bob@example.test", "alice@example.test", message)
        assert client.outcome == smtpclient.OUTCOME_ACCEPTED
        assert threading.active_count() == together

    run(send_all(500, 500, server, work))
    stored = {server.stored(f"loop-{number}") for number in range(500)}
    assert len(stored) == 500


@pytest.mark.parametrize("port, mode", [("starttls", smtpclient.TLS_REQUIRED), ("tls", smtpclient.TLS_IMPLICIT)])
def test_tls_and_logins_by_name(servers, port, mode):
    server = servers("mail_server")

    async def work(client, number):
        client.tls_mode = mode
        client.ca_file = server.ca
        await client.connect("localhost", server.ports[port])
        assert client.tls_verified
        await client.authenticate(server.user, server.password)
        message = f"X-Mark: loop-{port}-{number}\r\n\r\n" + 5000 * "x\r\n"
        await client.send_stream("bob@example.test", ["alice@example.test"], iter([message.encode()]))

    run(send_all(40, 20, server, work))
    for number in range(40):
        assert server.stored(f"loop-{port}-{number}").count(b"x") >= 5000


REAL = ["postfix", "smtp-server", "dovecot-submission"]


@pytest.mark.parametrize("name", REAL)
def test_real_servers(servers, name):
    server = servers(name)

    async def work(client, number):
        client.tls_mode = smtpclient.TLS_REQUIRED
        client.ca_file = server.ca
        await client.connect("localhost", server.ports["starttls"])
        await client.authenticate(server.user, server.password)
        for message in range(3):
            text = f"X-Mark: loop-{name}-{number}-{message}\r\nSubject: x\r\n\r\nx\r\n"
            await client.send_message(f"bob@{server.domain}", f"alice@{server.domain}", text)

    run(send_all(10, 10, server, work))
    for number in range(10):
        for message in range(3):
            assert server.stored(f"loop-{name}-{number}-{message}")


def test_batches_and_composed_messages(servers):
    server = servers("mail_server")

    async def work(client, number):
        client.tls_mode = smtpclient.TLS_NONE
        await client.connect(server.host, server.ports["plain"])
        batch = [
            ("bob@example.test", "alice@example.test", f"X-Mark: batch-{number}-{index}\r\nSubject: x\r\n\r\nx\r\n")
            for index in range(5)
        ]
        results = await client.send_batch(batch)
        assert [result.outcome for result in results] == [smtpclient.OUTCOME_ACCEPTED] * 5
        message = smtpclient.Message()
        message.compose("bob@example.test", "alice@example.test", "Composed", "Good day")
        message["X-Mark"] = f"composed-{number}"
        await client.send_composed(message)
        assert client.outcome == smtpclient.OUTCOME_ACCEPTED

    run(send_all(20, 20, server, work))
    for number in range(20):
        assert server.stored(f"composed-{number}")
        for index in range(5):
            assert server.stored(f"batch-{number}-{index}")

    async def unconnected():
        with pytest.raises(CallerError):
            await new_client().send_batch([("a@x.example", "b@y.example", b"x")])

    run(unconnected())


STALLED = ("stall",)
# The phase, what the server does before it falls silent, and what became of the message.
PHASES = {
    "greeting": ([STALLED], None),
    "ehlo": ([("send", GREETING), ("expect", EHLO), STALLED], None),
    "auth": ([("expect", b"AUTH PLAIN AHUAcA==\r\n"), STALLED], None),
    "mail": ([*ENVELOPE[:1], STALLED], smtpclient.OUTCOME_NOT_SENT),
    "rcpt": ([*ENVELOPE[:3], STALLED], smtpclient.OUTCOME_NOT_SENT),
    "data": ([*ENVELOPE[:5], STALLED], smtpclient.OUTCOME_NOT_SENT),
    "end": ([*taken()[:-1], STALLED], smtpclient.OUTCOME_UNKNOWN),
    "command": ([("expect", b"NOOP\r\n"), STALLED], None),
    "quit": ([("expect", b"QUIT\r\n"), STALLED], None),
}


async def reach(phase, server):
    """A client whose operation hangs in a phase, and the operation."""
    if phase in ("greeting", "ehlo"):
        client = new_client()
        operation = client.connect("127.0.0.1", server.port)
    else:
        client = await connected(server)
        client.insecure_auth = True
        operation = {
            "auth": lambda: client.authenticate("u", "p"),
            "command": client.noop,
            "quit": client.disconnect,
        }.get(phase, lambda: client.send_message(*ADDRESSES, b"x\r\n"))()
    return client, operation


async def until_silent(client, server, steps):
    """Until the server has all that it expects, and a client has connected."""
    expected = b"".join(step[1] for step in steps if step[0] == "expect")
    while not server.received.endswith(expected) or client.phase <= smtpclient.PHASE_CONNECT:
        await asyncio.sleep(0.005)


def stalling(phase):
    steps, outcome = PHASES[phase]
    if phase in ("greeting", "ehlo"):
        return ScriptServer(*steps), steps, outcome
    return session(*steps, extensions=HELLO), steps, outcome


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("ended_by", ["cancel", "wait_for", "timeout"])
def test_ended_in_every_phase(phase, ended_by):
    server, steps, outcome = stalling(phase)

    async def main():
        client, operation = await reach(phase, server)
        if ended_by == "cancel":
            task = asyncio.create_task(operation)
            await until_silent(client, server, steps)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as ended:
                await task
            cancelled = ended.value
        elif ended_by == "wait_for" or sys.version_info < (3, 11):
            with pytest.raises(asyncio.TimeoutError) as ended:
                await asyncio.wait_for(operation, 0.3)
            cancelled = ended.value.__cause__
        else:
            with pytest.raises(TimeoutError) as ended:
                async with asyncio.timeout(0.3):
                    await operation
            cancelled = ended.value.__cause__
        assert not client.is_connected and client.poll_info() is None
        if outcome is not None:
            assert client.outcome == outcome
            assert client.safe_to_retry is (outcome != smtpclient.OUTCOME_UNKNOWN)
            if sys.version_info >= (3, 11):
                assert cancelled.outcome == outcome and cancelled.safe_to_retry is client.safe_to_retry
                assert any("delivered" in note for note in cancelled.__notes__) is not client.safe_to_retry
        # It can be used again.
        with session(*taken(), *QUIT) as other:
            await client.connect("127.0.0.1", other.port)
            await client.send_message(*ADDRESSES, b"x\r\n")
            await client.disconnect()
        client.close()

    with server:
        run(main())


def test_cancelled_while_a_name_is_looked_up_and_while_tls_begins():
    async def cancelled_soon(operation):
        task = asyncio.create_task(operation)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def main():
        client = new_client()
        await cancelled_soon(client.connect("localhost", server.port))
        client.tls_mode = smtpclient.TLS_IMPLICIT
        task = asyncio.create_task(client.connect("127.0.0.1", server.port))
        while not server.received:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not client.is_connected
        client.close()

    with ScriptServer(("stall",)) as silent:
        # The look-up is cancelled before it leads anywhere.
        server = silent
        run(main())


def test_cancelled_while_a_large_message_is_sent():
    def pieces():
        while True:
            yield bytes(65536)

    async def main():
        client = await connected(server)
        task = asyncio.create_task(client.send_stream(*ADDRESSES, pieces()))
        while client.transfer_status.bytes_copied < 200000:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert client.outcome == smtpclient.OUTCOME_NOT_SENT and not client.is_connected
        client.close()

    with session(*ENVELOPE, ("wait", 0.5), STALLED) as server:
        run(main())


def test_an_operation_that_was_over_when_the_cancel_came():
    async def main():
        client = await connected(server)
        task = asyncio.create_task(client.send_message(*ADDRESSES, b"x\r\n"))
        while client.outcome != smtpclient.OUTCOME_ACCEPTED:
            await asyncio.sleep(0)
        # The result is there, and the task has not seen it.
        if not task.done():
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as cancelled:
                await task
            assert not client.is_connected
            if sys.version_info >= (3, 11):
                assert cancelled.value.outcome == smtpclient.OUTCOME_ACCEPTED
        client.close()

    with session(*taken(), ("stall",)) as server:
        run(main())


def test_cancel_and_close_of_the_client_end_what_is_pending():
    async def main(end, name):
        client = await connected(server)
        task = asyncio.create_task(client.noop())
        await until_silent(client, server, [("expect", b"NOOP\r\n")])
        end(client)
        with pytest.raises(CallerError) as ended:
            await task
        assert ended.value.name == name
        client.close()

    for end, name in (
        (AsyncClient.cancel, "SMTP_ERROR_CANCELLED"),
        (AsyncClient.close, "SMTP_ERROR_INVALID_HANDLE"),
    ):
        with session(("expect", b"NOOP\r\n"), STALLED) as server:
            run(main(end, name))


def test_failures_are_those_of_the_client():
    async def main():
        client = new_client()
        client.timeout_greeting = 200
        with pytest.raises(WireError) as failed:
            await client.connect("127.0.0.1", silent.port)
        assert failed.value.name == "SMTP_ERROR_TIMEOUT" and failed.value.phase == smtpclient.PHASE_GREETING
        await client.connect("127.0.0.1", server.port)
        with pytest.raises(ServerError) as refused:
            await client.verify("a")
        assert refused.value.result_code == 550
        with pytest.raises(SmtpError):
            await client.send_message("no address", "r@b.example", b"x")
        await client.disconnect()
        client.close()

    with ScriptServer(STALLED) as silent:
        with session(("expect", b"VRFY a\r\n"), ("send", b"550 no\r\n"), *QUIT) as server:
            run(main())


@pytest.mark.parametrize("raised", [LookupError, StopIteration])
@pytest.mark.parametrize("where", ["event", "trace", "token", "source"])
def test_exceptions_of_callbacks(where, raised):
    def callback(*_):
        raise raised("in the callback")

    def source():
        yield b"x\r\n"
        raise LookupError("in the callback")

    async def main():
        client = await connected(server)
        expected = LookupError if raised is LookupError or where == "source" else (RuntimeError, StopIteration)
        with pytest.raises(expected):
            if where == "token":
                client.auth_type = smtpclient.AUTH_XOAUTH2
                client.insecure_auth = True
                client.on_token(callback)
                await client.authenticate("u")
            elif where == "source":
                await client.send_stream(*ADDRESSES, source())
            else:
                if where == "event":
                    client.on_event(callback, smtpclient.EVENT_REPLY)
                else:
                    client.on_trace(callback)
                await client.noop()
        client.close()

    steps = {"source": [*ENVELOPE, STALLED], "event": [("expect", b"NOOP\r\n"), ("send", b"250 ok\r\n"), STALLED]}
    steps = steps.get(where, [STALLED])
    with session(*steps, extensions=b"250-test\r\n250 AUTH XOAUTH2\r\n") as server:
        run(main())


def test_a_loop_that_was_left_behind():
    """Tasks that never end are ended with their loop; nothing hangs, and no descriptor is left."""
    loop = asyncio.new_event_loop()
    with session(("expect", b"NOOP\r\n"), STALLED) as server:
        client = loop.run_until_complete(connected(server))
        before = len(os.listdir("/proc/self/fd"))
        task = loop.create_task(client.noop())
        loop.run_until_complete(until_silent(client, server, [("expect", b"NOOP\r\n")]))
        task._log_destroy_pending = False
        loop.close()
        gone = weakref.ref(client)
        del client, task
        gc.collect()
        assert gone() is None
        assert len(os.listdir("/proc/self/fd")) < before


def test_no_descriptor_is_left():
    async def main():
        for _ in range(20):
            client = await connected(server_of.pop())
            task = asyncio.create_task(client.noop())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            del client, task

    scripts = [session(STALLED) for _ in range(20)]
    server_of = list(scripts)
    before = len(os.listdir("/proc/self/fd"))
    run(main())
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before
    for script in scripts:
        script.__exit__(None, None, None)


def test_a_client_in_one_loop_after_the_other():
    with session(*(2 * taken()), *QUIT) as server:
        client = run(connected(server))
        run(client.send_message(*ADDRESSES, b"x\r\n"))
        run(client.send_message(*ADDRESSES, b"x\r\n"))
        run(client.disconnect())
        client.close()


def test_a_loop_without_add_reader_is_named():
    class Loop(asyncio.SelectorEventLoop):
        def add_reader(self, *_):
            raise NotImplementedError

    loop = Loop()
    client = new_client()
    with ScriptServer(STALLED) as server:
        with pytest.raises(RuntimeError, match="Loop has none: use asyncio.SelectorEventLoop"):
            loop.run_until_complete(client.connect("127.0.0.1", server.port))
        assert client.poll_info() is None
        loop.close()
        client.close()


def test_it_is_used_with_async_with_only():
    client = AsyncClient()
    with pytest.raises(TypeError, match="async with"):
        with client:
            pass
    client.close()


def test_the_loop_is_never_blocked():
    """While clients wait for a silent server, the loop goes on."""
    async def main():
        clients = [new_client() for _ in range(50)]
        tasks = [asyncio.create_task(client.connect("127.0.0.1", port)) for client in clients]
        for _ in range(1000):
            await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)
        for client in clients:
            client.close()

    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        port = listener.getsockname()[1]
        run(main())
