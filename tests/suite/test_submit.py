"""A message and a server in one call, from Python: what goes out, what is told, and that the connection never stays."""

import ctypes
import gc
import socket
from pathlib import Path

import pytest
from script_server import ScriptServer

import smtpclient
from smtpclient import ArgumentError, CallerError, Client, ServerError, SmtpError, WireError, _library

GREETING = b"220 test ESMTP\r\n"
EHLO = b"EHLO client.example\r\n"
QUIT = [("expect", b"QUIT\r\n"), ("send", b"221 bye\r\n")]
OK = b"250 ok\r\n"
LOGIN = [("expect", b"AUTH PLAIN AHVzZXIAc2VjcmV0\r\n"), ("send", b"235 in\r\n")]
SENDER, RECIPIENT = "s@a.example", "r@b.example"
ACCEPTED, NOT_SENT = smtpclient.OUTCOME_ACCEPTED, smtpclient.OUTCOME_NOT_SENT


def hello(*extensions):
    lines = ["test", *extensions]
    reply = "".join(f"250-{line}\r\n" for line in lines[:-1]) + f"250 {lines[-1]}\r\n"
    return [("send", GREETING), ("expect", EHLO), ("send", reply.encode())]


def envelope(*recipients):
    steps = [("expect", b"MAIL FROM:<s@a.example>\r\n"), ("send", OK)]
    for recipient in recipients or ["r@b.example"]:
        steps += [("expect", f"RCPT TO:<{recipient}>\r\n".encode()), ("send", OK)]
    return steps


def taken(*recipients, content=b"x\r\n", end=b"250 2.0.0 Ok: queued as 4F1B2\r\n"):
    data = [("expect", b"DATA\r\n"), ("send", b"354 go\r\n"), ("expect", content + b".\r\n"), ("send", end)]
    return [*envelope(*recipients), *data]


@pytest.fixture
def client():
    with Client() as client:
        client.local_name = "client.example"
        client.timeout = 10000
        yield client


@pytest.mark.parametrize("recipients", ["r@b.example, Q <q@b.example>", ["r@b.example", "q@b.example"]])
@pytest.mark.parametrize("login", [True, False])
def test_the_whole_of_it(client, tmp_path, login, recipients):
    path = tmp_path / "gr\u00fc\u00df.eml"
    path.write_bytes(b".x")
    for message in (b".x", ".x", memoryview(b".x"), path):
        steps = [*hello("AUTH PLAIN"), *(LOGIN if login else []), *taken("r@b.example", "q@b.example", content=b"..x\r\n"), *QUIT]
        with ScriptServer(*steps) as server:
            who = ("user", "secret") if login else ()
            client.submit(SENDER, recipients, message, "127.0.0.1", server.port, *who)
            assert (client.outcome, client.queue_id, client.is_connected) == (ACCEPTED, "4F1B2", False)
            assert [recipient.accepted for recipient in client.recipients] == [True, True]
            assert client.final_reply == "250 2.0.0 Ok: queued as 4F1B2"


def test_what_is_left_out_comes_from_the_properties(client):
    with ScriptServer(*hello("AUTH PLAIN"), *LOGIN, *taken(), *QUIT) as server:
        client.host, client.port, client.user, client.password = "127.0.0.1", server.port, "user", "secret"
        client.submit(SENDER, RECIPIENT, b"x")
    # Only the password.
    with ScriptServer(*hello("AUTH PLAIN"), *LOGIN, *taken(), *QUIT) as server:
        client.user, client.port = "somebody", 1
        client.submit(SENDER, RECIPIENT, b"x", port=server.port, user="user")
    with ScriptServer(("send", GREETING), ("expect", b"HELO client.example\r\n"), ("send", OK), *taken(), *QUIT) as server:
        client.user = ""
        client.options = smtpclient.OPTION_BASIC
        client.submit(SENDER, RECIPIENT, b"x", port=server.port)
    assert (client.outcome, client.is_connected) == (ACCEPTED, False)


def test_an_empty_user_is_nobody(client):
    client.user, client.password = "user", "secret"
    with ScriptServer(*hello("AUTH PLAIN"), *taken(), *QUIT) as server:
        client.submit(SENDER, RECIPIENT, b"x", "127.0.0.1", server.port, "", "")
    assert client.outcome == ACCEPTED


def test_the_properties_of_messages_apply(client):
    sent = b"MAIL FROM:<s@a.example> SIZE=1 MT-PRIORITY=2 X\r\nRCPT TO:<r@b.example>\r\nDATA\r\n"
    answer = b"250 ok\r\n550 no\r\n503 no\r\n"
    steps = [*hello("PIPELINING", "MT-PRIORITY", "SIZE 9"), ("expect", sent), ("send", answer), *QUIT]
    client.mt_priority = 2
    client.mail_parameters = "X"
    with ScriptServer(*steps) as server:
        with pytest.raises(ServerError) as failed:
            client.submit(SENDER, RECIPIENT, b"x", "127.0.0.1", server.port)
        assert failed.value.name == "SMTP_ERROR_RECIPIENTS_REJECTED"


# Where it fails: the steps until then, and what is told.
FAILURES = {
    "greeting": ([("send", b"554 5.3.2 no service\r\n")], ServerError, "SERVER_REFUSED", "GREETING", NOT_SENT),
    "ehlo": (
        [("send", GREETING), ("expect", EHLO), ("send", b"421 bye\r\n")],
        ServerError,
        "SERVER_CLOSING",
        "EHLO",
        NOT_SENT,
    ),
    "login": (
        [*hello("AUTH PLAIN"), LOGIN[0], ("send", b"535 5.7.8 no\r\n"), *QUIT],
        ServerError,
        "AUTHENTICATION_FAILED",
        "AUTH",
        NOT_SENT,
    ),
    "no login": ([*hello("HELP"), *QUIT], ServerError, "INVALID_AUTHENTICATION_TYPE", "AUTH", NOT_SENT),
    "mail": (
        [*hello("AUTH PLAIN"), *LOGIN, envelope()[0], ("send", b"451 4.3.0 later\r\n"), *QUIT],
        ServerError,
        "SENDER_REJECTED",
        "MAIL",
        smtpclient.OUTCOME_REJECTED_TEMPORARY,
    ),
    "rcpt": (
        [*hello("AUTH PLAIN"), *LOGIN, *envelope()[:3], ("send", b"550-5.1.1 no\r\n550 5.1.1 body\r\n"), *QUIT],
        ServerError,
        "RECIPIENTS_REJECTED",
        "RCPT",
        smtpclient.OUTCOME_REJECTED_PERMANENT,
    ),
    "end": (
        [*hello("AUTH PLAIN"), *LOGIN, *taken(end=b"554 5.6.0 spam\r\n"), *QUIT],
        ServerError,
        "MESSAGE_REJECTED",
        "END",
        smtpclient.OUTCOME_REJECTED_PERMANENT,
    ),
    "lost": (
        [*hello("AUTH PLAIN"), *LOGIN, *taken()[:-1], ("close",)],
        WireError,
        "CONNECTION_CLOSED",
        "END",
        smtpclient.OUTCOME_UNKNOWN,
    ),
}


@pytest.mark.parametrize("where", FAILURES)
def test_failures_end_the_connection(client, where):
    steps, kind, name, phase, outcome = FAILURES[where]
    with ScriptServer(*steps) as server:
        with pytest.raises(kind) as failed:
            client.submit(SENDER, RECIPIENT, b"x", "127.0.0.1", server.port, "user", "secret")
        error = failed.value
        assert (error.name, error.phase) == (f"SMTP_ERROR_{name}", getattr(smtpclient, f"PHASE_{phase}")), str(error)
        safe = outcome != smtpclient.OUTCOME_UNKNOWN
        assert (error.outcome, error.safe_to_retry) == (client.outcome, client.safe_to_retry) == (outcome, safe)
        assert not client.is_connected and "secret" not in str(error)
        expected = {"rcpt": smtpclient.RECIPIENT_REFUSED_PERMANENT, "end": smtpclient.RECIPIENT_REFUSED_PERMANENT}
        expected = {**expected, "lost": smtpclient.RECIPIENT_UNKNOWN}.get(where, smtpclient.RECIPIENT_NOT_TRIED)
        assert [found.state for found in client.recipients] in ([expected], [])
    # The client can be used again at once.
    with ScriptServer(*hello(), *taken(), *QUIT) as server:
        client.submit(SENDER, RECIPIENT, b"x", "127.0.0.1", server.port)
        assert client.outcome == ACCEPTED


def test_nobody_there(client):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(WireError) as failed:
        client.submit(SENDER, RECIPIENT, b"x", "127.0.0.1", port)
    assert failed.value.name == "SMTP_ERROR_CONNECTION_REFUSED"
    assert (client.outcome, failed.value.safe_to_retry, client.recipients) == (NOT_SENT, True, [])


@pytest.mark.parametrize("quit_steps", [[("expect", b"QUIT\r\n"), ("close",)], [("expect", b"QUIT\r\n"), ("send", b"500 what?\r\n")], [("expect", b"QUIT\r\n"), ("stall",)]])  # fmt: skip
def test_a_bad_goodbye_does_not_matter(client, quit_steps):
    client.timeout_quit = 300
    with ScriptServer(*hello(), *taken(), *quit_steps) as server:
        client.submit(SENDER, RECIPIENT, b"x", "127.0.0.1", server.port)
        assert (client.outcome, client.is_connected) == (ACCEPTED, False)


@pytest.mark.parametrize("where", ["greeting", "ehlo", "login", "mail", "data", "end"])
def test_the_limit_is_that_of_the_whole(client, where):
    # Each step is well within the limit, and all of them together are not.
    client.timeout = 0
    pauses = {
        "greeting": [("stall",)],
        "ehlo": [("send", GREETING), ("expect", EHLO), ("stall",)],
        "login": [*hello("AUTH PLAIN"), LOGIN[0], ("stall",)],
        "mail": [*hello("AUTH PLAIN"), *LOGIN, envelope()[0], ("stall",)],
        "data": [*hello("AUTH PLAIN"), *LOGIN, *taken()[:5], ("stall",)],
        "end": [*hello("AUTH PLAIN"), *LOGIN, *taken()[:-1], ("stall",)],
    }
    with ScriptServer(*pauses[where]) as server:
        with pytest.raises(WireError) as failed:
            client.submit(SENDER, RECIPIENT, b"x", "127.0.0.1", server.port, "user", "secret", timeout=0.5)
        assert failed.value.name == "SMTP_ERROR_TIMEOUT"
        assert client.outcome == (smtpclient.OUTCOME_UNKNOWN if where == "end" else NOT_SENT)
        assert not client.is_connected


def test_what_makes_no_server_is_found_before_anything_is_sent(client):
    with ScriptServer(*hello(), *taken(), *QUIT) as server:
        where = ("127.0.0.1", server.port)
        for host in ("a b", "127.0.0.1\r\nQUIT", ""):
            with pytest.raises(CallerError) as failed:
                client.submit(SENDER, RECIPIENT, b"x", host, 25)
            assert failed.value.name == "SMTP_ERROR_INVALID_PARAMETER"
            assert (failed.value.outcome, failed.value.safe_to_retry) == (NOT_SENT, True)
        for bad in ("a\0b", "\ud800"):
            for position in (0, 1, 3, 5, 6):
                arguments = [SENDER, RECIPIENT, b"x", *where, "user", "secret"]
                arguments[position] = bad
                with pytest.raises(ArgumentError):
                    client.submit(*arguments)
        for number in (-1, 65536):
            with pytest.raises(ArgumentError):
                client.submit(SENDER, RECIPIENT, b"x", "127.0.0.1", number)
        client.submit(SENDER, RECIPIENT, b"x", *where)


@pytest.mark.parametrize(
    "change, name",
    [
        ({"sender": "a b"}, "INVALID_ADDRESS"),
        ({"recipients": " , "}, "NO_RECIPIENTS"),
        ({"recipients": "a@b\r\nDATA"}, "INVALID_ADDRESS"),
        ({"message": Path("/no/such/file")}, "FILE"),
    ],
)
def test_a_bad_message_is_found_before_there_is_a_connection(client, change, name):
    arguments = {"sender": SENDER, "recipients": RECIPIENT, "message": b"x", **change}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        with pytest.raises(SmtpError) as failed:
            client.submit(host="127.0.0.1", port=listener.getsockname()[1], **arguments)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert failed.value.name == f"SMTP_ERROR_{name}"
    assert (client.outcome, client.safe_to_retry, client.is_connected) == (NOT_SENT, True, False)


def test_a_connected_client_stays_as_it_is(client):
    with ScriptServer(*hello(), *taken(), *envelope(), *QUIT) as server:
        client.connect("127.0.0.1", server.port)
        with pytest.raises(CallerError) as failed:
            client.submit(SENDER, RECIPIENT, b"x", "127.0.0.1", server.port)
        assert failed.value.name == "SMTP_ERROR_ALREADY_CONNECTED" and client.is_connected
        client.send_message(SENDER, RECIPIENT, b"x")
        client.create_message(SENDER)
        client.add_recipient(RECIPIENT)
        with pytest.raises(CallerError) as failed:
            client.submit(SENDER, RECIPIENT, b"x", "127.0.0.1", server.port)
        assert failed.value.name == "SMTP_ERROR_MESSAGE_OPEN" and client.is_connected
        client.disconnect()


def test_events_trace_and_password(client):
    events, records = [], []
    client.on_event(lambda event: events.append((event.kind, event.text)))
    client.on_trace(lambda record: records.append(record.text))
    with ScriptServer(*hello("AUTH PLAIN"), *LOGIN, *taken(), *QUIT) as server:
        client.submit(SENDER, RECIPIENT, b"x", "127.0.0.1", server.port, "user", "secret")
    kinds = [kind for kind, _ in events]
    assert kinds.count(smtpclient.EVENT_CONNECT) == kinds.count(smtpclient.EVENT_DISCONNECT) == 1
    assert kinds[-1] == smtpclient.EVENT_DISCONNECT and smtpclient.EVENT_PROGRESS in kinds
    text = repr(events) + repr(records)
    assert "QUIT" in text and "AHVzZXIAc2VjcmV0" not in text and "secret" not in text
    client.on_event(None)
    client.on_trace(None)


def test_without_a_client_in_c():
    """The structures as a C program fills them, and NULL for the client, which has the machine's own name."""
    library = _library.library
    message = _library.SmtpMessageInfo(size=ctypes.sizeof(_library.SmtpMessageInfo))
    message.sender, message.recipients, message.path = SENDER.encode(), RECIPIENT.encode(), b"/no/such/file"
    info = _library.SmtpServerInfo(size=ctypes.sizeof(_library.SmtpServerInfo), port=9, timeout_ms=300)
    info.host = b"127.0.0.1"
    gc.collect()
    code = library.SmtpSubmitMessage(None, ctypes.byref(message), ctypes.byref(info))
    assert code == library.SmtpGetLastError(None) == smtpclient._errors.CODES["SMTP_ERROR_FILE"]
    assert b"/no/such/file" in library.SmtpGetLastErrorString(None)
