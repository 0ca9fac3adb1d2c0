"""Real servers and the ways of delivery: LMTP, chunks, split lists, a message step by step and in one call."""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

import smtpclient
from smtpclient import CallerError, Client, ServerError

SERVERS = ["postfix", "exim-gsasl", "dovecot-submission", "smtp-server", "aiosmtpd", "mail_server"]
TLS_MODES = {"plain": smtpclient.TLS_NONE, "starttls": smtpclient.TLS_REQUIRED, "tls": smtpclient.TLS_IMPLICIT}
ACCEPTED = smtpclient.RECIPIENT_ACCEPTED
TEMPORARY = smtpclient.RECIPIENT_REFUSED_TEMPORARY
PERMANENT = smtpclient.RECIPIENT_REFUSED_PERMANENT

marks = (f"d{time.time_ns():x}-{number}" for number in itertools.count())
LINE = b"%07d 0123456789012345678901234567890123456789012345678901234\r\n"
BODIES = {
    "small": b"Hello.\r\n",
    "dots": b".\r\n..\r\n.x\r\n...\r\n.last\r\n",
    "8-bit": "Gr\u00fc\u00dfe \u20ac\r\n".encode() + bytes(range(0x80, 0x100)) + b"\r\n",
    "chunks": b"".join(LINE % number for number in range(6000)),
}


def compose(body, mark, subject="test"):
    header = (
        f"X-Mark: {mark}\r\nFrom: bob@example.test\r\nTo: alice@example.test\r\nSubject: {subject}\r\n"
        f"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{mark}@client.example.test>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    )
    return header.encode() + body


def new_client(server, **settings):
    client = Client()
    client.ca_file = server.ca
    client.timeout = 30000
    client.local_name = "client.example.test"
    for name, value in settings.items():
        setattr(client, name, value)
    return client


def open_client(server, port, login=False, **settings):
    client = new_client(server, tls_mode=TLS_MODES[port], **settings)
    client.connect(server.tls_name if port != "plain" else server.host, server.ports[port])
    if login:
        client.authenticate(server.user, server.password)
    return client


def sent(client):
    """The commands that go out from now on."""
    lines = []
    client.on_event(lambda event: lines.append(event.text), smtpclient.EVENT_COMMAND)
    return lines


# Step by step, and in one call


@pytest.mark.parametrize("port", ["plain", "starttls", "tls"])
@pytest.mark.parametrize("name", SERVERS)
def test_step_by_step(servers, name, port, tmp_path):
    server = servers(name)
    login = name in ("dovecot-submission", "mail_server")
    mark = next(marks)
    message = compose(BODIES["dots"] + BODIES["8-bit"] + BODIES["chunks"], mark)
    path = tmp_path / "part"
    path.write_bytes(message[300:600])
    with open_client(server, port, login) as client:
        client.create_message(f"bob@{server.domain}")
        client.add_recipient(f"alice@{server.domain}")
        for local, code in (("reject", 550), ("later", 451)):
            if name in ("postfix", "smtp-server", "aiosmtpd", "mail_server"):
                with pytest.raises(ServerError) as failed:
                    client.add_recipient(f"{local}@{server.domain}")
                assert failed.value.result_code == code
        client.noop()
        client.add_recipient(f"bob@{server.domain}")
        client.write(message[:300])
        client.append_file(path)
        client.append_stream(message[at : at + 1000] for at in range(600, len(message), 1000))
        client.close_message()
        assert client.outcome == smtpclient.OUTCOME_ACCEPTED
        assert [found.state for found in client.recipients if found.state == ACCEPTED] == [ACCEPTED] * 2
        # Another one that is dropped, and one behind it.
        client.create_message(f"bob@{server.domain}")
        client.add_recipient(f"alice@{server.domain}")
        client.reset()
        after = next(marks)
        client.send_message(f"bob@{server.domain}", f"alice@{server.domain}", compose(b"after\r\n", after))
    assert server.stored(mark) == server.expected(message)
    assert server.stored(after) == server.expected(compose(b"after\r\n", after))


@pytest.mark.parametrize("port", ["starttls", "tls"])
@pytest.mark.parametrize("name", SERVERS)
def test_in_one_call(servers, name, port):
    server = servers(name)
    mark = next(marks)
    message = compose(BODIES["dots"], mark)
    with new_client(server, tls_mode=TLS_MODES[port]) as client:
        where = (server.tls_name, server.ports[port], server.user)
        seen = []
        client.on_event(lambda event: seen.append((client.tls_verified, client.tls_protocol)), smtpclient.EVENT_PROGRESS)
        client.submit(f"bob@{server.domain}", f"alice@{server.domain}", message, *where, server.password)
        client.on_event(None)
        assert (client.outcome, client.is_connected) == (smtpclient.OUTCOME_ACCEPTED, False)
        # While it lasted.
        assert seen and all(verified and mechanism for verified, mechanism in seen)
        with pytest.raises(ServerError) as failed:
            client.submit(f"bob@{server.domain}", f"alice@{server.domain}", message, *where, "wrong")
        assert failed.value.name == "SMTP_ERROR_AUTHENTICATION_FAILED"
        assert (client.outcome, client.is_connected) == (smtpclient.OUTCOME_NOT_SENT, False)
    assert server.stored(mark) == server.expected(message)


@pytest.mark.parametrize("name", SERVERS)
def test_strict_line_ends(servers, name):
    server = servers(name)
    mark = next(marks)
    with open_client(server, "tls", True, strict_line_ends=True) as client:
        for bad in (b"one\ntwo\r\n", b"one\rtwo\r\n", b"one\r\n.\n.\r\n"):
            with pytest.raises(CallerError) as failed:
                client.send_message(f"bob@{server.domain}", f"alice@{server.domain}", compose(bad, mark))
            assert failed.value.name == "SMTP_ERROR_LINE_END" and failed.value.safe_to_retry
        message = compose(b"good\r\n.\r\n", mark)
        client.send_message(f"bob@{server.domain}", f"alice@{server.domain}", message)
    assert server.stored(mark) == server.expected(message)


# CHUNKING


@pytest.mark.parametrize("way", ["memory", "file", "stream", "steps"])
@pytest.mark.parametrize("name", ["postfix", "dovecot-submission", "exim-gsasl"])
def test_chunks(servers, name, way, tmp_path):
    server = servers(name)
    envelope = (f"bob@{server.domain}", f"alice@{server.domain}")
    expected = {}
    with open_client(server, "tls", True, chunking=smtpclient.CHUNKING_ALWAYS) as client:
        assert client.extended_options & smtpclient.EXTOPT_CHUNKING
        commands = sent(client)
        bodies = {**BODIES, "bare": b"one\ntwo\n.\nthree\r.\r\n"}
        for kind, body in bodies.items():
            mark = next(marks)
            message = compose(body, mark)
            expected[mark] = (kind, compose(b"one\r\ntwo\r\n.\r\nthree\r\n.\r\n", mark) if kind == "bare" else message)
            if way == "memory":
                client.send_message(*envelope, message)
            elif way == "file":
                path = tmp_path / kind
                path.write_bytes(message)
                client.send_file(*envelope, path)
            elif way == "stream":
                client.send_stream(*envelope, (message[at : at + 777] for at in range(0, len(message), 777)))
            else:
                client.create_message(envelope[0])
                client.add_recipient(envelope[1])
                for at in range(0, len(message), 5555):
                    client.write(message[at : at + 5555])
                client.close_message()
            assert client.outcome == smtpclient.OUTCOME_ACCEPTED
        client.on_event(None)
    chunks = [line.split() for line in commands if line.startswith("BDAT")]
    assert not any(line == "DATA" for line in commands)
    assert len([chunk for chunk in chunks if chunk[-1] == "LAST"]) == len(bodies)
    # One where the size is known before it is sent.
    assert (len(chunks) == len(bodies)) == (way in ("memory", "file"))
    assert all(int(chunk[1]) > 0 for chunk in chunks)
    for mark, (kind, message) in expected.items():
        assert server.stored(mark) == server.expected(message), kind


def test_a_chunk_that_goes_out_with_its_envelope(servers, tmp_path):
    server = servers("postfix")
    sender, alice, reject = (f"{local}@{server.domain}" for local in ("bob", "alice", "reject"))
    with open_client(server, "plain", chunking=smtpclient.CHUNKING_ALWAYS) as client:
        marks_of = {}
        for recipients in ([alice], [reject, alice], [reject], [alice]):
            mark = next(marks)
            message = compose(BODIES["dots"], mark)
            if alice in recipients:
                marks_of[mark] = message
                client.send_message(sender, recipients, message)
                assert client.outcome == smtpclient.OUTCOME_ACCEPTED
                assert client.recipients_refused == len(recipients) - 1
            else:
                with pytest.raises(smtpclient.ServerError) as refused:
                    client.send_message(sender, recipients, message)
                assert refused.value.name == "SMTP_ERROR_RECIPIENTS_REJECTED"
                assert client.outcome == smtpclient.OUTCOME_REJECTED_PERMANENT
        # Long enough to go from the file to the socket without being read.
        mark = next(marks)
        marks_of[mark] = compose(BODIES["chunks"], mark)
        path = tmp_path / "long"
        path.write_bytes(marks_of[mark])
        client.send_file(sender, alice, path)
    for mark, message in marks_of.items():
        assert server.stored(mark) == server.expected(message)


def test_chunks_where_they_are_not_offered(servers):
    server = servers("mail_server")
    mark = next(marks)
    message = compose(BODIES["small"], mark)
    with open_client(server, "tls", True, chunking=smtpclient.CHUNKING_ALWAYS) as client:
        client.send_message(f"bob@{server.domain}", f"alice@{server.domain}", message)
        client.binary = True
        with pytest.raises(CallerError) as failed:
            client.send_message(f"bob@{server.domain}", f"alice@{server.domain}", message)
        assert failed.value.name == "SMTP_ERROR_EXTENSION_UNAVAILABLE"
    assert server.stored(mark) == server.expected(message)


# Lists


class Own:
    """A server of its own, with settings in its environment."""

    def __init__(self, name, directory, **environment):
        from conftest import Server, server_directory

        folder = server_directory()
        if folder is None or not (folder / name / "start.sh").is_file():
            pytest.skip(f"there is no server {name}")
        self.stop = [folder / name / "stop.sh", str(directory)]
        started = subprocess.run(
            [folder / name / "start.sh", str(directory)],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )
        if started.returncode != 0:
            pytest.skip(f"{name} was not started: {started.stderr[-300:]}")
        self.server = Server(json.loads(started.stdout.strip().splitlines()[-1]))

    def __enter__(self):
        return self.server

    def __exit__(self, *_):
        subprocess.run(self.stop, capture_output=True, timeout=60)


def test_limits_of_exim(tmp_path):
    with Own("exim-gsasl", tmp_path / "exim", RCPT_MAX="2", MAIL_MAX="2") as server:
        marks_of = {}
        with open_client(server, "starttls", True) as client:
            commands = sent(client)
            for number in range(2):
                mark = next(marks)
                recipients = [f"r{number}{local}@{server.domain}" for local in range(5)]
                message = compose(BODIES["small"], mark)
                client.send_message(f"bob@{server.domain}", recipients, message)
                marks_of[mark] = (recipients, message)
                assert client.outcome == smtpclient.OUTCOME_ACCEPTED
                found = client.recipients
                assert [each.address for each in found] == recipients
                assert all(each.state == ACCEPTED for each in found)
                assert client.tls_verified and client.auth_mechanism
            client.on_event(None)
        # Six transactions, two a connection, each of which logs in under TLS.
        assert [line.split(" ")[0] for line in commands].count("MAIL") == 6
        assert sum(line.startswith("STARTTLS") for line in commands) == 2
        assert sum(line.startswith("AUTH") for line in commands) == 2
        for mark, (recipients, message) in marks_of.items():
            assert server.stored(mark) == server.expected(message)
            folders = []
            end = time.monotonic() + 15
            while len(folders) < 5 and time.monotonic() < end:
                paths = [path for path in Path(server.delivered).rglob("*") if path.is_file()]
                folders = [str(path) for path in paths if mark.encode() in path.read_bytes()]
                time.sleep(0.05)
            for recipient in recipients:
                local = recipient.partition("@")[0]
                assert sum(f"/{local}/" in folder for folder in folders) == 1, (recipient, folders)


def test_1500_recipients_of_postfix_make_two_transactions(servers):
    """Postfix takes 1000 at a time, and says 452 4.5.3 to the next."""
    server = servers("postfix")
    with open_client(server, "plain") as client:
        commands = sent(client)
        mark = next(marks)
        recipients = [f"{local}@{server.domain}" for local in ("alice", "bob", "carol") for _ in range(500)]
        client.send_message(f"bob@{server.domain}", recipients, compose(BODIES["small"], mark))
        client.on_event(None)
        assert (client.recipients_accepted, client.recipients_refused) == (1500, 0)
        assert sum(line.startswith("MAIL") for line in commands) == 2
    assert server.stored(mark) == server.expected(compose(BODIES["small"], mark))


# Refusals


def test_refusals_of_postfix_step_by_step(servers):
    server = servers("postfix")
    mark = next(marks)
    message = compose(BODIES["small"], mark)
    cases = [
        ("reject", PERMANENT, 550, "5.7.1", "no mail for this one"),
        ("later", TEMPORARY, 451, "4.3.0", "not now"),
        ("full", PERMANENT, 552, "5.2.2", "mailbox full"),
        ("long", PERMANENT, 550, "5.7.1", "x" * 300),
        ("nosuch", PERMANENT, 550, "5.1.1", "unknown"),
    ]
    with open_client(server, "starttls") as client:
        client.create_message(f"bob@{server.domain}", len(message))
        for local, state, code, enhanced, word in cases:
            with pytest.raises(ServerError) as failed:
                client.add_recipient(f"{local}@{server.domain}")
            error = failed.value
            assert (error.name, error.result_code) == ("SMTP_ERROR_RECIPIENT_REJECTED", code)
            assert (error.enhanced_code, error.address) == (enhanced, f"{local}@{server.domain}")
            assert word in error.reply and error.phase == smtpclient.PHASE_RCPT
            found = client.recipients[-1]
            assert (found.state, found.result_code, found.enhanced_code) == (state, code, enhanced)
            assert found.reply == error.reply
        with pytest.raises(CallerError) as refused:
            client.write(message)
        assert refused.value.name == "SMTP_ERROR_NO_RECIPIENTS"
        client.add_recipient(f"alice@{server.domain}")
        client.write(message)
        client.close_message()
        assert [each.state for each in client.recipients] == [*(case[1] for case in cases), ACCEPTED]
    assert server.stored(mark) == server.expected(message)


def test_refusals_of_postfix_in_several_lines(servers):
    server = servers("postfix")
    with open_client(server, "starttls") as client:
        with pytest.raises(ServerError) as failed:
            client.send_message(f"bob@{server.domain}", "somebody@elsewhere.example", compose(b"x\r\n", next(marks)))
        assert failed.value.result_code in (454, 554) and client.recipients[0].reply == failed.value.reply


# Extensions of the envelope


@pytest.mark.parametrize("name", ["postfix", "smtp-server", "exim-gsasl"])
def test_notifications_of_each_recipient(servers, name):
    server = servers(name)
    mark = next(marks)
    message = compose(BODIES["small"], mark)
    with open_client(server, "starttls") as client:
        commands = sent(client)
        client.delivery_options = smtpclient.DELIVERY_NOTIFY_FAILURE | smtpclient.DELIVERY_RETURN_HEADERS
        client.envelope_id = mark
        client.set_recipient_delivery(f"bob@{server.domain}", smtpclient.DELIVERY_NOTIFY_NEVER, "old+one@c.example")
        client.send_message(f"bob@{server.domain}", [f"alice@{server.domain}", f"bob@{server.domain}"], message)
        assert [found.state for found in client.recipients] == [ACCEPTED] * 2
        client.on_event(None)
    lines = [line for line in commands if line.startswith(("MAIL", "RCPT"))]
    assert "RET=HDRS" in lines[0] and f"ENVID={mark}" in lines[0]
    assert "NOTIFY=FAILURE" in lines[1] and "NOTIFY=NEVER ORCPT=rfc822;old+2Bone@c.example" in lines[2]
    assert server.stored(mark) == server.expected(message)


@pytest.mark.parametrize("name", ["postfix", "dovecot-submission", "exim-gsasl"])
def test_a_header_beyond_ascii(servers, name):
    server = servers(name)
    mark = next(marks)
    message = compose(BODIES["small"], mark, "Gr\u00fc\u00dfe")
    with open_client(server, "tls", True) as client:
        commands = sent(client)
        envelope = (f"bob@{server.domain}", f"alice@{server.domain}")
        if "SMTPUTF8" not in client.extensions.split():
            with pytest.raises(CallerError) as failed:
                client.send_message(*envelope, message)
            assert failed.value.name == "SMTP_ERROR_SMTPUTF8_REQUIRED" and failed.value.safe_to_retry
            client.leave_out = True
        client.send_message(*envelope, message)
        client.on_event(None)
        mail = next(line for line in commands if line.startswith("MAIL"))
        assert mail.endswith(" SMTPUTF8") is not client.leave_out
    assert server.stored(mark) == server.expected(message)


@pytest.mark.parametrize("steps", [False, True], ids=["one call", "steps"])
@pytest.mark.parametrize(
    "recipient",
    ["\u03b4\u03bf\u03ba\u03b9\u03bc\u03ae@example.test", "user@\u03c0\u03b1\u03c1\u03ac\u03b4\u03b5\u03b9\u03b3\u03bc\u03b1.test"],
)
def test_mailboxes_of_postfix_beyond_ascii(servers, recipient, steps):
    server = servers("postfix")
    mark = next(marks)
    message = compose(BODIES["small"], mark)
    with open_client(server, "starttls") as client:
        if steps:
            client.smtputf8 = True
            client.create_message(f"j\u00f6rg@{server.domain}")
            client.add_recipient(recipient)
            client.write(message)
            client.close_message()
        else:
            client.send_message(f"j\u00f6rg@{server.domain}", recipient, message)
        assert (client.outcome, client.recipients_accepted) == (smtpclient.OUTCOME_ACCEPTED, 1)
    assert server.stored(mark) == server.expected(message)


# Addresses


@pytest.mark.parametrize(
    "sender",
    [
        "<>",
        '"quoted local"@example.test',
        '"a\\"b"@example.test',
        "x" * 64 + "@example.test",
        "a@" + ".".join(["d" * 61] * 4)[: 255 - 5] + ".test",
        "a@[127.0.0.1]",
        "a@[IPv6:2001:db8::1]",
    ],
)
def test_senders_of_every_form(servers, sender):
    server = servers("postfix")
    mark = next(marks)
    message = compose(BODIES["small"], mark)
    with open_client(server, "starttls") as client:
        client.send_message(sender, f"alice@{server.domain}", message)
        assert client.outcome == smtpclient.OUTCOME_ACCEPTED
    assert server.stored(mark) == server.expected(message)


@pytest.mark.parametrize(
    "recipient, accepted",
    [
        ("alice@EXAMPLE.test", True),
        ('"alice"@example.test', True),
        ("<alice@example.test>", True),
        ("Alice <alice@example.test>", True),
        ("postmaster@[127.0.0.1]", True),
        ("x" * 64 + "@example.test", False),
        ('"a b"@example.test', False),
    ],
)
def test_recipients_of_every_form(servers, recipient, accepted):
    server = servers("postfix")
    mark = next(marks)
    message = compose(BODIES["small"], mark)
    with open_client(server, "starttls") as client:
        try:
            client.send_message(f"bob@{server.domain}", recipient, message)
        except ServerError as error:
            # Well-formed, and nobody's.
            assert not accepted and error.name == "SMTP_ERROR_RECIPIENTS_REJECTED" and error.result_code in (550, 554)
        assert (client.recipients_accepted == 1) is accepted
    if "alice" in recipient:
        assert server.stored(mark) == server.expected(message)


def test_source_routes_are_refused_and_not_sent(servers):
    """RFC 5321 section 3.3: a client does not make any."""
    server = servers("postfix")
    with open_client(server, "plain") as client:
        commands = sent(client)
        route = f"<@relay.example,@other.example:alice@{server.domain}>"
        for call in (
            lambda: client.send_message(f"bob@{server.domain}", route, b"x"),
            lambda: client.send_message(route, f"alice@{server.domain}", b"x"),
            lambda: client.create_message(route),
        ):
            with pytest.raises(CallerError) as failed:
                call()
            assert failed.value.name == "SMTP_ERROR_INVALID_ADDRESS"
        client.on_event(None)
    assert commands == []


# Questions


@pytest.mark.parametrize("name", [*SERVERS, "smtp-sink"])
def test_questions_have_an_answer_or_a_refusal(servers, name):
    server = servers(name)
    with open_client(server, "plain", name == "dovecot-submission") as client:
        answers = {}
        asks = {
            "VRFY": lambda: client.verify("alice"),
            "VRFY @": lambda: client.verify(f"alice@{server.domain}"),
            "EXPN": lambda: client.expand("alice"),
            "HELP": lambda: client.help(),
            "ETRN": lambda: client.extended_turn(server.domain),
            "NOOP": lambda: client.noop(),
        }
        for verb, ask in asks.items():
            try:
                ask()
                answers[verb] = client.result_code
            except ServerError as error:
                assert error.name == "SMTP_ERROR_COMMAND_REJECTED" and error.reply
                answers[verb] = error.result_code
            assert client.is_connected, verb
        expected = {
            "postfix": (554, 252, 500, 500, 250, 250),
            "exim-gsasl": (501, 250, 553, 214, 458, 250),
            "dovecot-submission": (554, 501, 500, 500, 500, 250),
            "smtp-server": (252, 252, 500, 214, 500, 250),
        }
        if name in expected:
            assert tuple(answers.values()) == expected[name]
        if name not in ("smtp-sink", "dovecot-submission"):
            mark = next(marks)
            client.send_message(f"bob@{server.domain}", f"alice@{server.domain}", compose(b"x\r\n", mark))


def test_smtp_sink(servers):
    server = servers("smtp-sink")
    body = BODIES["dots"] + BODIES["8-bit"]
    with open_client(server, "plain", chunking=smtpclient.CHUNKING_ALWAYS) as client:
        commands = sent(client)
        mark, second = next(marks), next(marks)
        client.send_message(f"bob@{server.domain}", f"alice@{server.domain}", compose(body, mark))
        client.create_message("<>")
        for number in range(300):
            client.add_recipient(f"r{number}@{server.domain}")
        client.write(compose(body, second))
        client.close_message()
        assert client.recipients_accepted == 300
        client.on_event(None)
    # Whichever of the two it offers.
    assert any(line.startswith(("BDAT", "DATA")) for line in commands)
    for each in (mark, second):
        # It adds a line end.
        assert server.stored(each).rstrip(b"\n") == server.expected(compose(body, each)).rstrip(b"\n")


# LMTP


@pytest.mark.parametrize("chunking", [smtpclient.CHUNKING_NEVER, smtpclient.CHUNKING_ALWAYS])
@pytest.mark.parametrize("port", ["plain", "starttls", "tls"])
def test_lmtp_of_dovecot(servers, port, chunking):
    server = servers("dovecot-lmtp")
    expected = {}
    with open_client(server, port, options=smtpclient.OPTION_LMTP, chunking=chunking) as client:
        for kind, body in BODIES.items():
            mark = next(marks)
            message = compose(body, mark)
            recipients = [f"{local}@{server.domain}" for local in ("alice", "bob")]
            client.send_message(f"bob@{server.domain}", [*recipients, "who@elsewhere.example"], message)
            assert client.outcome == smtpclient.OUTCOME_ACCEPTED
            found = client.recipients
            assert [each.accepted for each in found][:2] == [True, True]
            expected[mark] = (kind, message)
        mark = next(marks)
        message = compose(BODIES["dots"], mark)
        client.create_message(f"bob@{server.domain}")
        for local in ("alice", "bob", "carol"):
            client.add_recipient(f"{local}@{server.domain}")
        for at in range(0, len(message), 50):
            client.write(message[at : at + 50])
        client.close_message()
        assert [each.state for each in client.recipients] == [ACCEPTED] * 3
        expected[mark] = ("steps", message)
    for mark, (kind, message) in expected.items():
        assert server.stored(mark) == server.expected(message), kind


LMTP_SERVER = textwrap.dedent(
    """
    import asyncio, json, sys
    from aiosmtpd.lmtp import LMTP

    class Handler:
        async def handle_RCPT(self, server, session, envelope, address, options):
            if address.startswith("reject"):
                return "550 5.1.1 no mail for this one"
            envelope.rcpt_tos.append(address)
            return "250 2.1.5 OK"

        async def handle_DATA(self, server, session, envelope):
            with open(sys.argv[2], "ab") as file:
                file.write(envelope.original_content)
            replies = {"full": "452 4.2.2 mailbox full", "never": "554-5.6.0 no\\r\\n554 5.6.0 never"}
            return "\\r\\n".join(replies.get(to.partition("@")[0], "250 2.0.0 saved") for to in envelope.rcpt_tos)

    async def main():
        loop = asyncio.get_running_loop()
        await loop.create_unix_server(lambda: LMTP(Handler(), hostname="mail.example.test"), sys.argv[1])
        print("ready", flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())
    """
)


def test_lmtp_of_aiosmtpd_over_a_unix_socket():
    with tempfile.TemporaryDirectory() as folder:
        path, stored = Path(folder, "lmtp"), Path(folder, "stored")
        process = subprocess.Popen([sys.executable, "-c", LMTP_SERVER, path, stored], stdout=subprocess.PIPE)
        try:
            if process.stdout.readline() != b"ready\n":
                pytest.skip("aiosmtpd is not installed")
            with Client() as client:
                client.local_name = "client.example.test"
                client.timeout = 20000
                client.connect(str(path), options=smtpclient.OPTION_LMTP)
                assert client.peer_address == str(path)
                locals_ = ["alice", "reject", "full", "bob", "never"]
                recipients = [f"{local}@example.test" for local in locals_]
                client.send_message("s@example.test", recipients, b".one\ntwo")
                facts = [(each.state, each.result_code, each.enhanced_code) for each in client.recipients]
                assert facts == [
                    (ACCEPTED, 0, ""),
                    (PERMANENT, 550, "5.1.1"),
                    (TEMPORARY, 452, "4.2.2"),
                    (ACCEPTED, 0, ""),
                    (PERMANENT, 554, "5.6.0"),
                ]
                assert client.recipients[4].reply == "5.6.0 no\n5.6.0 never"
                assert (client.outcome, client.recipients_accepted) == (smtpclient.OUTCOME_ACCEPTED, 2)
                for wanted, outcome in (
                    (["full@example.test"], smtpclient.OUTCOME_REJECTED_TEMPORARY),
                    (["never@example.test"], smtpclient.OUTCOME_REJECTED_PERMANENT),
                    (["never@example.test", "full@example.test"], smtpclient.OUTCOME_REJECTED_TEMPORARY),
                ):
                    with pytest.raises(ServerError) as failed:
                        client.send_message("s@example.test", wanted, b"x")
                    assert failed.value.name == "SMTP_ERROR_MESSAGE_REJECTED"
                    assert (client.outcome, failed.value.address) == (outcome, wanted[0])
                client.disconnect()
                client.submit("s@example.test", "alice@example.test", b"last", str(path), options=smtpclient.OPTION_LMTP)
                assert client.outcome == smtpclient.OUTCOME_ACCEPTED
            assert stored.read_bytes().startswith(b".one\r\ntwo\r\n") and stored.read_bytes().endswith(b"last\r\n")
        finally:
            process.terminate()
            process.wait(10)
            process.stdout.close()


def test_lmtp_of_smtp_server_and_of_aiosmtpd(servers):
    for name in ("smtp-server", "aiosmtpd"):
        server = servers(name)
        mark = next(marks)
        message = compose(BODIES["dots"], mark)
        with new_client(server, tls_mode=smtpclient.TLS_NONE) as client:
            client.connect(server.host, int(server.lmtp_port), options=smtpclient.OPTION_LMTP)
            # The handler of aiosmtpd gives one reply, however many there should be.
            locals_ = ["alice", "reject", "bob"] if name == "smtp-server" else ["reject", "alice"]
            client.send_message(f"bob@{server.domain}", [f"{local}@{server.domain}" for local in locals_], message)
            states = [PERMANENT if local == "reject" else ACCEPTED for local in locals_]
            assert [each.state for each in client.recipients] == states
        assert server.stored(mark) == server.expected(message)
