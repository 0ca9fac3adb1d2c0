"""Batches over real servers: what arrives, what each message is told, how each server is served."""

import itertools
import threading
import time

import pytest

import smtpclient
from smtpclient import Batch, CallerError, Client, WireError
from test_lists import Lister

TLS_MODES = {"plain": smtpclient.TLS_NONE, "starttls": smtpclient.TLS_REQUIRED, "tls": smtpclient.TLS_IMPLICIT}

# How each server is served as it is, and the fall-back where CHUNKING is forbidden.
MODES = {
    "postfix": (smtpclient.BATCH_MODE_IN_FLIGHT, smtpclient.BATCH_MODE_PIPELINED),
    "exim-gsasl": (smtpclient.BATCH_MODE_IN_FLIGHT, smtpclient.BATCH_MODE_PIPELINED),
    "dovecot-submission": (smtpclient.BATCH_MODE_IN_FLIGHT, smtpclient.BATCH_MODE_PIPELINED),
    "smtp-server": (smtpclient.BATCH_MODE_PIPELINED, smtpclient.BATCH_MODE_PIPELINED),
    "aiosmtpd": (smtpclient.BATCH_MODE_ONE_BY_ONE, smtpclient.BATCH_MODE_ONE_BY_ONE),
    "mail_server": (smtpclient.BATCH_MODE_ONE_BY_ONE, smtpclient.BATCH_MODE_ONE_BY_ONE),
}

marks = (f"b{time.time_ns():x}-{number}" for number in itertools.count())


def compose(body=b"Hello.\r\n.\r\n..x\r\n"):
    mark = next(marks)
    header = (
        f"X-Mark: {mark}\r\nFrom: bob@example.test\r\nTo: alice@example.test\r\nSubject: test\r\n"
        f"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{mark}@client.example.test>\r\n\r\n"
    )
    return mark, header.encode() + body


def open_client(server, port, login):
    client = Client()
    client.ca_file = server.ca
    client.timeout = 60000
    client.local_name = "client.example.test"
    client.tls_mode = TLS_MODES[port]
    client.connect(server.tls_name if port != "plain" else server.host, server.ports[port])
    if login:
        client.authenticate(server.user, server.password)
    return client


@pytest.mark.parametrize("chunking", [True, False], ids=["chunking", "data"])
@pytest.mark.parametrize("port", ["plain", "starttls", "tls"])
@pytest.mark.parametrize("name", MODES)
def test_all_arrive_once_and_refusals_are_told_apart(servers, name, port, chunking, tmp_path):
    server = servers(name)
    login = name in ("dovecot-submission", "mail_server")
    messages = [compose() for _ in range(40)]
    large = compose(b"0123456789012345678901234567890123456789012345678901234567890123456789\r\n" * 4000)
    path = tmp_path / "message"
    path.write_bytes(large[1])
    sender, good = f"bob@{server.domain}", f"alice@{server.domain}"
    batch = Batch()
    for mark, message in messages[:20]:
        batch.add(sender, [good], message)
    batch.add_file(sender, [good], path)
    for mark, message in messages[20:]:
        batch.add(sender, [good], message)
    batch.add_file(sender, [good], tmp_path / "missing")
    if name == "dovecot-submission" and not chunking:
        pytest.skip("see test_a_server_that_does_not_bear_it_is_remembered")
    with open_client(server, port, login) as client:
        client.chunking = smtpclient.CHUNKING_WHEN_NEEDED if chunking else smtpclient.CHUNKING_NEVER
        told = []
        client.on_event(lambda event: told.append((event.message, event.outcome)), smtpclient.EVENT_MESSAGE)
        results = client.send_batch(batch)
        assert client.batch_mode == MODES[name][0 if chunking else 1]
        assert sorted(told) == [(index, smtpclient.OUTCOME_ACCEPTED) for index in range(41)]
        missing = results.pop()
        assert missing.error.name == "SMTP_ERROR_FILE" and missing.outcome == smtpclient.OUTCOME_NOT_SENT
        assert [result.error for result in results] == [None] * 41
        assert {(result.outcome, result.recipients_accepted) for result in results} == {(smtpclient.OUTCOME_ACCEPTED, 1)}
        assert {result.result_code for result in results} == {250}
        # The connection is as good as before.
        client.send_message(sender, good, compose()[1])
    for mark, message in [messages[0], messages[19], large, messages[20], messages[39]]:
        assert server.stored(mark) == server.expected(message)


def test_a_server_that_does_not_bear_it_is_remembered(servers):
    """Dovecot 2.3 hangs up when an envelope comes in behind the end of DATA."""
    server = servers("dovecot-submission")
    marked = [compose() for _ in range(5)]
    batch = Batch()
    for _, message in marked:
        batch.add(f"bob@{server.domain}", f"alice@{server.domain}", message)
    with open_client(server, "plain", True) as client:
        client.chunking = smtpclient.CHUNKING_NEVER
        first = [result.outcome for result in client.send_batch(batch)]
        if client.is_connected:
            pytest.skip("this version bears it")
        assert client.batch_mode == smtpclient.BATCH_MODE_PIPELINED
        assert first == [smtpclient.OUTCOME_UNKNOWN] + [smtpclient.OUTCOME_NOT_SENT] * 4
        client.tls_mode = smtpclient.TLS_NONE
        client.connect(server.host, server.ports["plain"])
        client.authenticate(server.user, server.password)
        again = [result.outcome for result in client.send_batch(batch)]
        assert client.batch_mode == smtpclient.BATCH_MODE_ONE_BY_ONE
        assert again == [smtpclient.OUTCOME_UNKNOWN] + [smtpclient.OUTCOME_ACCEPTED] * 4
    for mark, message in marked[1:]:
        assert server.stored(mark) == server.expected(message)


@pytest.mark.parametrize("chunking", [True, False], ids=["chunking", "data"])
@pytest.mark.parametrize("name", [name for name in MODES if name not in ("dovecot-submission", "exim-gsasl")])
def test_refused_recipients_concern_their_message_alone(servers, name, chunking):
    server = servers(name)
    marked = [compose() for _ in range(6)]
    addresses = [["alice"], ["reject"], ["reject", "alice"], ["later"], ["alice", "bob"], ["alice"]]
    messages = [
        (f"bob@{server.domain}", [f"{local}@{server.domain}" for local in locals_], message)
        for locals_, (_, message) in zip(addresses, marked)
    ]
    batch = Batch()
    for message in messages:
        batch.add(*message)
    with open_client(server, "plain", False) as client:
        client.chunking = smtpclient.CHUNKING_WHEN_NEEDED if chunking else smtpclient.CHUNKING_NEVER
        results = client.send_batch(batch)
    accepted, temporary, permanent = (
        smtpclient.OUTCOME_ACCEPTED,
        smtpclient.OUTCOME_REJECTED_TEMPORARY,
        smtpclient.OUTCOME_REJECTED_PERMANENT,
    )
    assert [result.outcome for result in results] == [accepted, permanent, accepted, temporary, accepted, accepted]
    assert [(result.recipients_accepted, result.recipients_refused) for result in results] == [
        (1, 0), (0, 1), (1, 1), (0, 1), (2, 0), (1, 0),
    ]  # fmt: skip
    assert results[1].error.name == "SMTP_ERROR_RECIPIENTS_REJECTED" and results[1].result_code == 550
    first, second = batch.recipients(2)
    assert (first.address, first.state) == (f"reject@{server.domain}", smtpclient.RECIPIENT_REFUSED_PERMANENT)
    assert second.accepted
    for index in (0, 2, 4, 5):
        assert server.stored(marked[index][0]) == server.expected(marked[index][1])


def test_the_same_batch_again_sends_what_was_not_sent():
    def end(number):
        if number == 3:
            raise ConnectionError
        return b"250 ok"

    lister = Lister(end=end)
    lister.start()
    batch = Batch()
    for number in range(6):
        batch.add("s@a.example", "r@b.example", f"Subject: {number}\r\n\r\n")
    with Client() as client:
        client.connect("127.0.0.1", lister.port)
        results = client.send_batch(batch)
        outcomes = [result.outcome for result in results]
        accepted, unknown, not_sent = (
            smtpclient.OUTCOME_ACCEPTED,
            smtpclient.OUTCOME_UNKNOWN,
            smtpclient.OUTCOME_NOT_SENT,
        )
        assert outcomes == [accepted, accepted, unknown, not_sent, not_sent, not_sent]
        assert [result.safe_to_retry for result in results] == [False, False, False, True, True, True]
        assert isinstance(results[2].error, WireError)
        assert results[5].error.name == "SMTP_ERROR_BATCH_ENDED"
        assert '"outcome":"UNKNOWN"' in batch.error_json(2)
        client.connect("127.0.0.1", lister.port)
        results = client.send_batch(batch)
        assert [result.outcome for result in results] == [accepted, accepted, unknown, accepted, accepted, accepted]
        # There is nothing left to do.
        assert [result.outcome for result in client.send_batch(batch)] == [result.outcome for result in results]
    assert [len(taken) for taken in lister.taken] == [2, 3]


@pytest.mark.parametrize("offer", [[], ["PIPELINING"]], ids=["one by one", "pipelined"])
def test_a_time_out_tells_what_is_unknown_and_what_was_not_sent(offer):
    stall = threading.Event()
    lister = Lister(offer, end=lambda number: b"250 ok" if number < 3 or stall.wait(20) else b"")
    with lister, Client() as client:
        client.connect("127.0.0.1", lister.port)
        client.timeout_end = 300
        results = client.send_batch([("s@a.example", "r@b.example", b"Subject: x\r\n\r\n")] * 5)
        assert [result.outcome for result in results] == [
            smtpclient.OUTCOME_ACCEPTED,
            smtpclient.OUTCOME_ACCEPTED,
            smtpclient.OUTCOME_UNKNOWN,
            smtpclient.OUTCOME_NOT_SENT,
            smtpclient.OUTCOME_NOT_SENT,
        ]
        assert results[2].error.name == "SMTP_ERROR_TIMEOUT"
        assert not client.is_connected
        stall.set()


def test_a_call_that_cannot_begin_raises():
    client = Client()
    with pytest.raises(CallerError) as failed:
        client.send_batch([("s@a.example", "r@b.example", b"")])
    assert failed.value.name == "SMTP_ERROR_NOT_CONNECTED"
    with pytest.raises(CallerError) as failed:
        client.send_batch([("s@a.example", "r@b.example", b""), ("no address", "r@b.example", b"")])
    assert failed.value.name == "SMTP_ERROR_INVALID_ADDRESS"
    batch = Batch()
    batch.close()
    with pytest.raises(CallerError) as failed:
        client.send_batch(batch)
    assert failed.value.name == "SMTP_ERROR_INVALID_HANDLE"
    with pytest.raises(CallerError):
        len(batch)
    client.close()


def test_an_empty_batch_is_a_success_and_a_cleared_one_is_empty():
    lister = Lister()
    lister.start()
    batch = Batch()
    batch.add("s@a.example", ["r@b.example"], b"x")
    batch.clear()
    assert len(batch) == 0
    with Client() as client:
        client.connect("127.0.0.1", lister.port)
        assert client.send_batch(batch) == []
        assert client.is_connected
