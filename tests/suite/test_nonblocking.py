"""Calls of the Python client that do not wait, in a loop of the test's own."""

import gc
import select
import socket
import threading
import weakref

import pytest
from test_python import ADDRESSES, QUIT, session, taken

import smtpclient
from smtpclient import CallerError, Client, ServerError, WireError


def settle(client, done):
    """Waits as an event loop does until the operation is over; how often it had to."""
    waits = 0
    while not done:
        info = client.poll_info()
        events = (select.POLLIN if info.read else 0) | (select.POLLOUT if info.write else 0)
        poll = select.poll()
        poll.register(info.descriptor, events)
        poll.poll(None if info.timeout is None else max(1, info.timeout * 1000))
        waits += 1
        done = client.process()
    assert client.poll_info() is None
    return waits


def nonblocking():
    client = Client()
    client.blocking = False
    client.local_name = "client.example"
    client.timeout = 10000
    return client


def connected(server):
    client = nonblocking()
    settle(client, client.connect("127.0.0.1", server.port))
    assert client.is_connected
    return client


def test_every_way_of_sending(tmp_path):
    (tmp_path / "mail").write_bytes(b"x\r\n")
    with session(*(5 * taken()), *QUIT) as server:
        client = connected(server)
        message = bytearray(b"x\r\n")
        done = client.send_message(*ADDRESSES, message)
        # It was copied.
        message[:] = b"changed"
        assert done is False and settle(client, done) > 0
        assert client.outcome == smtpclient.OUTCOME_ACCEPTED
        settle(client, client.send_file(*ADDRESSES, tmp_path / "mail"))
        done = client.send_stream(*ADDRESSES, iter([b"x", b"\r\n"]))
        gc.collect()
        settle(client, done)
        settle(client, client.create_message(ADDRESSES[0]))
        settle(client, client.add_recipient(ADDRESSES[1]))
        settle(client, client.write(b"x\r\n"))
        settle(client, client.close_message())
        settle(client, client.create_message(ADDRESSES[0]))
        settle(client, client.add_recipient(ADDRESSES[1]))
        settle(client, client.append_stream([b"x\r\n"]))
        settle(client, client.close_message())
        assert client.outcome == smtpclient.OUTCOME_ACCEPTED
        settle(client, client.disconnect())
        assert not client.is_connected
        client.close()


def test_replies_are_read_when_they_are_there():
    steps = [("expect", b"VRFY a\r\n"), ("send", b"252 perhaps\r\n")]
    steps += [("expect", b"EXPN l\r\n"), ("send", b"250-a\r\n250 b\r\n")]
    steps += [("expect", b"HELP\r\n"), ("send", b"214 no\r\n")]
    steps += [("expect", b"NOOP\r\n"), ("send", b"250 ok\r\n")]
    steps += [("expect", b"ETRN n\r\n"), ("send", b"251 nothing\r\n")]
    with session(*steps, *QUIT) as server:
        client = connected(server)
        assert client.verify("a") == (0, "")
        settle(client, False)
        assert (client.result_code, client.result_string) == (252, "perhaps")
        assert client.expand("l") == []
        settle(client, False)
        assert client.result_string == "a\nb"
        assert client.help() == ""
        settle(client, False)
        assert client.result_string == "no"
        assert client.noop() is False
        settle(client, False)
        assert client.extended_turn("n") == (0, "")
        settle(client, False)
        assert client.result_code == 251
        settle(client, client.disconnect())
        client.close()


def test_submit():
    with session(*taken(), *QUIT) as server:
        client = nonblocking()
        settle(client, client.submit(*ADDRESSES, b"x\r\n", "127.0.0.1", server.port))
        assert client.outcome == smtpclient.OUTCOME_ACCEPTED and not client.is_connected
        client.close()


def test_a_failure_comes_out_of_process():
    with session(("expect", b"VRFY a\r\n"), ("send", b"550 5.1.1 nobody\r\n"), *QUIT) as server:
        client = connected(server)
        client.verify("a")
        with pytest.raises(CallerError) as refused:
            client.noop()
        assert refused.value.name == "SMTP_ERROR_OPERATION_IN_PROGRESS"
        with pytest.raises(ServerError) as refused:
            settle(client, False)
        assert refused.value.result_code == 550
        with pytest.raises(CallerError) as refused:
            client.process()
        assert refused.value.name == "SMTP_ERROR_NO_OPERATION"
        settle(client, client.disconnect())
        client.close()


def test_cancel_makes_the_descriptor_ready():
    with session(("expect", b"NOOP\r\n"), ("stall",)) as server:
        client = connected(server)
        assert client.noop() is False and client.process() is False
        info = client.poll_info()
        client.cancel()
        assert select.select([info.descriptor], [], [], 10)[0]
        with pytest.raises(CallerError) as cancelled:
            client.process()
        assert cancelled.value.name == "SMTP_ERROR_CANCELLED"
        client.close()


def test_what_a_source_raises_comes_out_of_process():
    def source():
        yield b"x\r\n"
        raise LookupError("in the source")

    for stepwise in (False, True):
        with session(*taken()[:-2], ("stall",)) as server:
            client = connected(server)
            if stepwise:
                settle(client, client.create_message(ADDRESSES[0]))
                settle(client, client.add_recipient(ADDRESSES[1]))
            with pytest.raises(LookupError, match="in the source"):
                settle(client, client.append_stream(source()) if stepwise else client.send_stream(*ADDRESSES, source()))
            assert client.outcome == smtpclient.OUTCOME_NOT_SENT
            client.close()


def test_what_a_callback_raises_comes_out_of_process():
    def callback(event):
        raise LookupError("in the callback")

    with session(("expect", b"NOOP\r\n"), ("send", b"250 ok\r\n"), ("stall",)) as server:
        client = connected(server)
        client.on_event(callback, smtpclient.EVENT_REPLY)
        assert client.noop() is False
        with pytest.raises(LookupError, match="in the callback"):
            settle(client, False)
        client.close()


def test_a_socket_is_taken_over_when_it_is_over():
    with session(*QUIT) as server:
        connection = socket.create_connection(("127.0.0.1", server.port))
        client = nonblocking()
        done = client.attach(connection, "mail.example")
        assert connection.fileno() != -1 or done
        settle(client, done)
        assert connection.fileno() == -1
        settle(client, client.disconnect())
        client.close()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert client_that_fails(ours, theirs).name == "SMTP_ERROR_CONNECTION_CLOSED"
        # Still the caller's to close.
        assert ours.fileno() != -1


def client_that_fails(ours, theirs):
    client = nonblocking()
    done = client.attach(ours, "mail.example")
    theirs.close()
    with pytest.raises(WireError) as failed:
        settle(client, done)
    client.close()
    return failed.value


def test_another_thread_goes_on():
    with session(*taken(), *QUIT) as server:
        client = connected(server)
        done = client.send_stream(*ADDRESSES, [b"x\r\n"])
        thread = threading.Thread(target=settle, args=(client, done))
        thread.start()
        thread.join(10)
        assert client.poll_info() is None and client.outcome == smtpclient.OUTCOME_ACCEPTED
        settle(client, client.disconnect())
        client.close()


def test_a_client_that_nobody_refers_to_ends_what_is_pending():
    with session(*taken()[:1], ("stall",)) as server:
        client = connected(server)
        source = iter([b"x\r\n"])
        client.send_stream(*ADDRESSES, source)
        gone = weakref.ref(client)
        del client
        gc.collect()
        assert gone() is None
