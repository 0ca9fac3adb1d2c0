"""A message by commands of the program's own, from Python: what goes out octet by octet, and what is told of it."""

import io
import signal
import threading

import pytest
from script_server import ScriptServer

import smtpclient
from smtpclient import CallerError, Client, ServerError, SmtpError, WireError

GREETING = b"220 test ESMTP\r\n"
EHLO = b"EHLO client.example\r\n"
QUIT = [("expect", b"QUIT\r\n"), ("send", b"221 bye\r\n")]
MAIL = b"MAIL FROM:<s@a.example>\r\n"
RCPT = b"RCPT TO:<r@b.example>\r\n"
OK = b"250 ok\r\n"
SENDER, RECIPIENT = "s@a.example", "r@b.example"

ACCEPTED = smtpclient.RECIPIENT_ACCEPTED
NOT_TRIED = smtpclient.RECIPIENT_NOT_TRIED
TEMPORARY = smtpclient.RECIPIENT_REFUSED_TEMPORARY
PERMANENT = smtpclient.RECIPIENT_REFUSED_PERMANENT
UNKNOWN = smtpclient.RECIPIENT_UNKNOWN


def hello(*extensions):
    lines = ["test", *extensions]
    reply = "".join(f"250-{line}\r\n" for line in lines[:-1]) + f"250 {lines[-1]}\r\n"
    return [("send", GREETING), ("expect", EHLO), ("send", reply.encode())]


def asked(command, reply=OK):
    return [("expect", command), ("send", reply)]


BEGUN = [*asked(MAIL), *asked(RCPT)]


def taken(content, end=b"250 2.0.0 Ok: queued as 4F1B2\r\n"):
    return [*asked(b"DATA\r\n", b"354 go\r\n"), *asked(content + b".\r\n", end)]


def whole(*steps):
    return ScriptServer(*hello(), *steps, *QUIT)


def new_client(**settings):
    client = Client()
    client.local_name = "client.example"
    client.timeout = 10000
    for name, value in settings.items():
        setattr(client, name, value)
    return client


def connected(server, **settings):
    client = new_client(**settings)
    client.connect("127.0.0.1", server.port)
    return client


def begin(client, *recipients):
    client.create_message(SENDER)
    for recipient in recipients or [RECIPIENT]:
        client.add_recipient(recipient)


def states(client):
    return [recipient.state for recipient in client.recipients]


# Content

MESSAGE = b".one\r\n..two\nthree\r\r\n.\r\n\n.\nfour\r.five\r\n.\r\nMAIL FROM:<x@y>\r\nend"
WIRE = (
    b"..one\r\n...two\r\nthree\r\n\r\n..\r\n\r\n..\r\nfour\r\n..five\r\n..\r\nMAIL FROM:<x@y>\r\nend\r\n"
)


def by_write(client, cuts, tmp_path):
    for piece in cuts:
        client.write(piece)


def by_append_message(client, cuts, tmp_path):
    for piece in cuts:
        client.append_message(memoryview(piece))


def by_append_file(client, cuts, tmp_path):
    for number, piece in enumerate(cuts):
        path = tmp_path / f"st\u00fcck {number}"
        path.write_bytes(piece)
        client.append_file(path if number % 2 else str(path))


def by_append_stream(client, cuts, tmp_path):
    # Several pieces of one source, and several sources.
    for number, piece in enumerate(cuts):
        client.append_stream(io.BytesIO(piece) if number % 2 else [piece[:1], b"", bytearray(piece[1:])])


def by_turns(client, cuts, tmp_path):
    ways = [by_write, by_append_file, by_append_stream, by_append_message]
    for number, piece in enumerate(cuts):
        ways[number % len(ways)](client, [piece], tmp_path)


@pytest.mark.parametrize("way", [by_write, by_append_message, by_append_file, by_append_stream, by_turns])
def test_content_cut_anywhere(way, tmp_path):
    cuttings = [[MESSAGE], [bytes([octet]) for octet in MESSAGE]]
    cuttings += [[MESSAGE[:at], MESSAGE[at:]] for at in range(0, len(MESSAGE), 7)]
    steps = [*BEGUN, *taken(WIRE)] * len(cuttings)
    with whole(*steps) as server, connected(server) as client:
        for cuts in cuttings:
            begin(client)
            way(client, cuts, tmp_path)
            client.close_message()
            assert (client.outcome, client.queue_id) == (smtpclient.OUTCOME_ACCEPTED, "4F1B2")
            assert states(client) == [ACCEPTED]


def test_a_message_without_content_is_empty():
    with whole(*BEGUN, *taken(b""), *BEGUN, *taken(b"")) as server, connected(server) as client:
        begin(client)
        client.close_message()
        begin(client)
        client.write(b"")
        client.append_stream([])
        client.close_message()
        assert client.outcome == smtpclient.OUTCOME_ACCEPTED


def test_every_octet_goes_through():
    octets = bytes(range(256)).replace(b"\r", b"").replace(b"\n", b"") + b"\r\n"
    with whole(*BEGUN, *taken(octets * 500)) as server, connected(server) as client:
        begin(client)
        for _ in range(500):
            client.write(octets)
        client.close_message()


def test_the_end_of_a_line_may_be_cut_under_strict_line_ends():
    with whole(*BEGUN, *taken(b"one\r\ntwo\r\n")) as server, connected(server, strict_line_ends=True) as client:
        begin(client)
        for piece in (b"one\r", b"\ntwo", b"\r", b"\n"):
            client.write(piece)
        client.close_message()


def test_what_breaks_strict_line_ends_is_not_sent_and_the_message_goes_on(tmp_path):
    path = tmp_path / "bad.eml"
    path.write_bytes(b"two\r\nthr\nee\r\n")
    with whole(*BEGUN, *taken(b"one\r\ntwo\r\n")) as server, connected(server, strict_line_ends=True) as client:
        begin(client)
        client.write(b"one\r\n")
        for bad, line in ((lambda: client.write(b"two\nx"), 2), (lambda: client.append_file(path), 3)):
            with pytest.raises(CallerError, match=f"line {line}") as failed:
                bad()
            assert (failed.value.name, failed.value.safe_to_retry) == ("SMTP_ERROR_LINE_END", True)
            assert client.is_connected
        client.write(b"two\r\n")
        client.close_message()
        assert client.outcome == smtpclient.OUTCOME_ACCEPTED


def test_a_line_that_ends_with_a_bare_cr_is_found_at_the_end():
    with ScriptServer(*hello(), *BEGUN, *asked(b"DATA\r\n", b"354 go\r\n"), ("stall",)) as server:
        with connected(server, strict_line_ends=True) as client:
            begin(client)
            client.write(b"one\r")
            with pytest.raises(CallerError) as failed:
                client.close_message()
            assert failed.value.name == "SMTP_ERROR_LINE_END"
            assert client.outcome == smtpclient.OUTCOME_NOT_SENT
            # It can still be made good.
            client.write(b"\n")
            assert client.is_connected
    assert not server.received.endswith(b".\r\n")


def test_chunks():
    content = b"one\r\n.\r\ntwo\r\n"
    steps = [*BEGUN, *asked(b"BDAT %d LAST\r\n%s" % (len(content), content))]
    with ScriptServer(*hello("CHUNKING"), *steps, *steps, *QUIT) as server:
        with connected(server, chunking=smtpclient.CHUNKING_ALWAYS) as client:
            for cuts in ([content], [b"one\n", b".", b"\r", b"two"]):
                begin(client)
                for piece in cuts:
                    client.write(piece)
                client.close_message()
                assert (client.outcome, states(client)) == (smtpclient.OUTCOME_ACCEPTED, [ACCEPTED])


# The envelope


@pytest.mark.parametrize(
    "size, octets",
    [(0, b""), (5, b" SIZE=5"), (1000, b" SIZE=1000")],
)
def test_the_size_is_declared_if_it_is_known(size, octets):
    steps = [*asked(b"MAIL FROM:<s@a.example>" + octets + b" BODY=8BITMIME\r\n"), *asked(b"RSET\r\n")]
    with ScriptServer(*hello("SIZE 1000", "8BITMIME"), *steps, *QUIT) as server, connected(server) as client:
        client.create_message(SENDER, size)
        client.reset()


def test_a_size_that_is_none():
    with whole() as server, connected(server) as client:
        for size in (-1, (1 << 64) - 1, 1 << 64):
            with pytest.raises(ValueError):
                client.create_message(SENDER, size)
        with pytest.raises(TypeError):
            client.create_message(SENDER, "1")


def test_the_properties_of_messages_apply():
    mail = b"MAIL FROM:<s@a.example> RET=HDRS ENVID=id MT-PRIORITY=3 X=1\r\n"
    steps = [
        *asked(mail),
        *asked(b"RCPT TO:<r@b.example> NOTIFY=FAILURE ORCPT=rfc822;r@b.example\r\n"),
        *asked(b"RCPT TO:<q@b.example> NOTIFY=NEVER ORCPT=rfc822;old@c.example\r\n"),
        *taken(b"x\r\n"),
    ]
    with ScriptServer(*hello("DSN", "MT-PRIORITY"), *steps, *QUIT) as server, connected(server) as client:
        client.delivery_options = smtpclient.DELIVERY_NOTIFY_FAILURE | smtpclient.DELIVERY_RETURN_HEADERS
        client.envelope_id = "id"
        client.mt_priority = 3
        client.mail_parameters = "X=1"
        client.set_recipient_delivery("q@b.example", smtpclient.DELIVERY_NOTIFY_NEVER, "old@c.example")
        begin(client, RECIPIENT, "q@b.example")
        client.write(b"x")
        client.close_message()


def test_mailboxes_beyond_ascii():
    steps = [
        *asked("MAIL FROM:<j\u00f6rg@xn--bcher-kva.example> BODY=8BITMIME SMTPUTF8\r\n".encode()),
        *asked("RCPT TO:<\u044e\u043b\u044f@b.example>\r\n".encode()),
        *asked(b"RSET\r\n"),
        *asked(b"MAIL FROM:<s@a.example> BODY=8BITMIME\r\n"),
        *asked(b"RSET\r\n"),
        *asked(b"MAIL FROM:<s@a.example> BODY=8BITMIME SMTPUTF8\r\n"),
        *asked("RCPT TO:<\u044e\u043b\u044f@b.example>\r\n".encode()),
        *asked(b"RSET\r\n"),
    ]
    with ScriptServer(*hello("SMTPUTF8", "8BITMIME"), *steps, *QUIT) as server, connected(server) as client:
        client.create_message("j\u00f6rg@b\u00fccher.example")
        client.add_recipient("\u044e\u043b\u044f@b.example")
        client.reset()
        # What MAIL was to say cannot be said any more.
        client.create_message(SENDER)
        with pytest.raises(CallerError) as failed:
            client.add_recipient("\u044e\u043b\u044f@b.example")
        assert failed.value.name == "SMTP_ERROR_SMTPUTF8_REQUIRED" and "SMTP_PROPERTY_SMTPUTF8" in str(failed.value)
        client.reset()
        client.smtputf8 = True
        client.create_message(SENDER)
        client.add_recipient("\u044e\u043b\u044f@b.example")
        client.reset()


# Order


def calls_of(tmp_path):
    path = tmp_path / "x.eml"
    path.write_bytes(b"x\r\n")
    return {
        "create": lambda client: client.create_message(SENDER),
        "recipient": lambda client: client.add_recipient(RECIPIENT),
        "write": lambda client: client.write(b"x\r\n"),
        "file": lambda client: client.append_file(path),
        "stream": lambda client: client.append_stream([b"x\r\n"]),
        "close": lambda client: client.close_message(),
        "send": lambda client: client.send_message(SENDER, RECIPIENT, b"x\r\n"),
        "send file": lambda client: client.send_file(SENDER, RECIPIENT, path),
        "send stream": lambda client: client.send_stream(SENDER, RECIPIENT, [b"x\r\n"]),
        "submit": lambda client: client.submit(SENDER, RECIPIENT, b"x\r\n", "127.0.0.1", 1),
        "login": lambda client: client.authenticate("user", "secret"),
        "noop": lambda client: client.noop(),
        "command": lambda client: client.command("X-OWN"),
        "verify": lambda client: client.verify("x"),
        "expand": lambda client: client.expand("x"),
        "help": lambda client: client.help(),
        "turn": lambda client: client.extended_turn("b.example"),
        "reset": lambda client: client.reset(),
    }


OPEN, NONE, NOBODY = "SMTP_ERROR_MESSAGE_OPEN", "SMTP_ERROR_NO_MESSAGE_OPEN", "SMTP_ERROR_NO_RECIPIENTS"
CONTENT = ("write", "file", "stream", "close")
WHOLE = ("create", "send", "send file", "send stream", "submit")
BETWEEN = ("noop", "command", "verify", "expand", "help", "turn")
# What each call that is out of order comes to, by how far the message is.
ORDER = {
    "ready": {call: NONE for call in ("recipient", *CONTENT)},
    "begun": {**{call: OPEN for call in (*WHOLE, "login")}, **{call: NOBODY for call in CONTENT}},
    "addressed": {call: OPEN for call in (*WHOLE, "login")},
    "content": {call: OPEN for call in (*WHOLE, "login", "recipient", "reset", *BETWEEN)},
}


@pytest.mark.parametrize("point", ORDER)
def test_a_call_out_of_order_sends_nothing_and_spoils_nothing(point, tmp_path):
    calls = calls_of(tmp_path)
    with ScriptServer(*hello("AUTH PLAIN"), *BEGUN, *taken(b"one\r\n"), *BEGUN, *taken(b"x\r\n"), *QUIT) as server:
        with connected(server) as client:

            def misuse(where):
                for name in ORDER[point] if where == point else ():
                    with pytest.raises(CallerError) as failed:
                        calls[name](client)
                    assert failed.value.name == ORDER[point][name], name
                    assert str(failed.value) and client.is_connected, name
                    assert client.outcome == smtpclient.OUTCOME_NOT_SENT, name

            misuse("ready")
            client.create_message(SENDER)
            misuse("begun")
            client.add_recipient(RECIPIENT)
            misuse("addressed")
            assert states(client) == [ACCEPTED]
            client.write(b"one")
            misuse("content")
            client.close_message()
            assert (client.outcome, states(client)) == (smtpclient.OUTCOME_ACCEPTED, [ACCEPTED])
            calls["send"](client) if point == "ready" else [begin(client), calls["write"](client), client.close_message()]
            assert client.outcome == smtpclient.OUTCOME_ACCEPTED


def test_without_a_connection_nothing_can_be_begun(tmp_path):
    with new_client() as client:
        for name, call in calls_of(tmp_path).items():
            if name == "submit":
                continue
            with pytest.raises(CallerError) as failed:
                call(client)
            assert failed.value.name == "SMTP_ERROR_NOT_CONNECTED", name


def test_commands_between_the_steps(tmp_path):
    calls = calls_of(tmp_path)
    lines = [b"NOOP", b"X-OWN", b"VRFY x", b"EXPN x", b"HELP", b"ETRN b.example"]
    answers = [*asked(lines[0] + b"\r\n")]
    for line in lines[1:]:
        answers += asked(line + b"\r\n")
    refusals = []
    for line in lines:
        refusals += asked(line + b"\r\n", b"502 5.5.1 no\r\n")
    steps = [*asked(MAIL), *answers, *refusals, *asked(RCPT), *answers, *refusals, *taken(b"x\r\n")]
    with whole(*steps) as server, connected(server) as client:
        for step in (lambda: client.create_message(SENDER), lambda: client.add_recipient(RECIPIENT)):
            step()
            for name in BETWEEN:
                calls[name](client)
            for name in BETWEEN:
                with pytest.raises(ServerError) as failed:
                    calls[name](client)
                assert failed.value.name == "SMTP_ERROR_COMMAND_REJECTED"
        client.write(b"x")
        client.close_message()
        assert (client.outcome, states(client)) == (smtpclient.OUTCOME_ACCEPTED, [ACCEPTED])


def test_a_message_that_was_reset_is_gone():
    steps = [*BEGUN, *asked(b"RSET\r\n"), *asked(MAIL), *asked(b"RSET\r\n", b"502 no\r\n")]
    # A server that does not know RSET is asked again, as it may hold the message.
    steps += [*asked(b"RSET\r\n"), *BEGUN, *taken(b"x\r\n")]
    with whole(*steps) as server, connected(server) as client:
        begin(client)
        client.reset()
        assert client.outcome == smtpclient.OUTCOME_NOT_SENT and client.safe_to_retry
        assert states(client) == [NOT_TRIED]
        with pytest.raises(CallerError) as failed:
            client.add_recipient(RECIPIENT)
        assert failed.value.name == NONE
        client.create_message(SENDER)
        with pytest.raises(ServerError):
            client.reset()
        begin(client)
        client.write(b"x")
        client.close_message()
        assert states(client) == [ACCEPTED]


def test_a_message_that_was_begun_ends_with_the_connection():
    # After MAIL, after RCPT, in the content: QUIT only where it is a command.
    for step in range(3):
        steps = [*hello(), *BEGUN[: 2 if step == 0 else 4]]
        steps += [*asked(b"DATA\r\n", b"354 go\r\n")] if step == 2 else QUIT
        with ScriptServer(*steps, ("stall",)) as server:
            client = connected(server)
            client.create_message(SENDER)
            if step:
                client.add_recipient(RECIPIENT)
            if step == 2:
                client.write(b"x\r\n")
            client.disconnect()
            assert not client.is_connected and client.outcome == smtpclient.OUTCOME_NOT_SENT
            assert states(client) == [NOT_TRIED] * min(step, 1)
            client.close()
        assert b".\r\n" not in server.received[len(EHLO) :].replace(b"example>\r\n", b"")


# Failures: where, what the server does there, and what is told of it

NOT_SENT, REJECTED_LATER = smtpclient.OUTCOME_NOT_SENT, smtpclient.OUTCOME_REJECTED_TEMPORARY
REJECTED, LOST = smtpclient.OUTCOME_REJECTED_PERMANENT, smtpclient.OUTCOME_UNKNOWN
POINTS = {"create": MAIL, "recipient": RCPT, "write": b"DATA\r\n", "close": b"x\r\n.\r\n"}
PHASES = {
    "create": smtpclient.PHASE_MAIL,
    "recipient": smtpclient.PHASE_RCPT,
    "write": smtpclient.PHASE_DATA,
    "close": smtpclient.PHASE_END,
}
CASES = [
    ("create", b"451 4.3.0 not now\r\n", ServerError, "SENDER_REJECTED", REJECTED_LATER, [], True),
    ("create", b"550-5.7.1 not\r\n550 5.7.1 you\r\n", ServerError, "SENDER_REJECTED", REJECTED, [], True),
    ("create", b"421 bye\r\n", ServerError, "SERVER_CLOSING", NOT_SENT, [], False),
    ("create", b"354 what?\r\n", ServerError, "PROTOCOL", NOT_SENT, [], False),
    ("create", None, WireError, "CONNECTION_CLOSED", NOT_SENT, [], False),
    ("create", "", WireError, "TIMEOUT", NOT_SENT, [], False),
    ("recipient", b"451 4.2.0 later\r\n", ServerError, "RECIPIENT_REJECTED", NOT_SENT, [TEMPORARY], True),
    ("recipient", b"550-5.1.1 no\r\n550 5.1.1 body\r\n", ServerError, "RECIPIENT_REJECTED", NOT_SENT, [PERMANENT], True),
    ("recipient", b"452 4.5.3 too many\r\n", ServerError, "RECIPIENT_REJECTED", NOT_SENT, [TEMPORARY], True),
    ("recipient", b"421 bye\r\n", ServerError, "SERVER_CLOSING", NOT_SENT, [NOT_TRIED], False),
    ("recipient", b"354 what?\r\n", ServerError, "PROTOCOL", NOT_SENT, [NOT_TRIED], False),
    ("recipient", None, WireError, "CONNECTION_CLOSED", NOT_SENT, [NOT_TRIED], False),
    ("recipient", "", WireError, "TIMEOUT", NOT_SENT, [NOT_TRIED], False),
    ("write", b"451 4.3.0 later\r\n", ServerError, "DATA_REJECTED", REJECTED_LATER, [TEMPORARY], True),
    ("write", b"554-5.6.0 no\r\n554 5.6.0 never\r\n", ServerError, "DATA_REJECTED", REJECTED, [PERMANENT], True),
    ("write", b"250 thanks\r\n", ServerError, "PROTOCOL", NOT_SENT, [NOT_TRIED], False),
    ("write", b"421 bye\r\n", ServerError, "SERVER_CLOSING", NOT_SENT, [NOT_TRIED], False),
    ("write", None, WireError, "CONNECTION_CLOSED", NOT_SENT, [NOT_TRIED], False),
    ("write", "", WireError, "TIMEOUT", NOT_SENT, [NOT_TRIED], False),
    ("close", b"452 4.3.1 full\r\n", ServerError, "MESSAGE_REJECTED", REJECTED_LATER, [TEMPORARY], True),
    ("close", b"554-5.6.0 no\r\n554 5.6.0 spam\r\n", ServerError, "MESSAGE_REJECTED", REJECTED, [PERMANENT], True),
    ("close", b"354 what?\r\n", ServerError, "PROTOCOL", LOST, [UNKNOWN], False),
    ("close", b"421 4.3.2 bye\r\n", ServerError, "SERVER_CLOSING", REJECTED_LATER, [TEMPORARY], False),
    ("close", None, WireError, "CONNECTION_CLOSED", LOST, [UNKNOWN], False),
    ("close", "", WireError, "TIMEOUT", LOST, [UNKNOWN], False),
]


def steps_to(point, answer):
    steps = []
    for name, octets in POINTS.items():
        steps.append(("expect", octets))
        if name == point:
            return [*steps, ("close",) if answer is None else ("stall",) if answer == "" else ("send", answer)]
        steps.append(("send", b"354 go\r\n" if name == "write" else OK))
    raise AssertionError(point)


@pytest.mark.parametrize("point, answer, kind, name, outcome, left, goes_on", CASES)
def test_failures(point, answer, kind, name, outcome, left, goes_on):
    after = []
    if goes_on:
        # Behind the end there is nothing to drop; the rest is dropped by the next message.
        if point == "recipient":
            after = asked(b"RSET\r\n")
        elif point == "write":
            after = asked(b"RSET\r\n")
        after = [*after, *BEGUN, *taken(b"x\r\n"), *QUIT]
    with ScriptServer(*hello(), *steps_to(point, answer), *after) as server:
        client = connected(server)
        if answer == "":
            for phase in ("mail", "rcpt", "data", "end"):
                setattr(client, f"timeout_{phase}", 200)
        calls = {
            "create": lambda: client.create_message(SENDER),
            "recipient": lambda: client.add_recipient(RECIPIENT),
            "write": lambda: client.write(b"x"),
            "close": lambda: client.close_message(),
        }
        for step, call in calls.items():
            if step == point:
                with pytest.raises(kind) as failed:
                    call()
                break
            call()
        error = failed.value
        assert error.name == f"SMTP_ERROR_{name}" and error.phase == PHASES[point], str(error)
        assert (error.outcome, error.safe_to_retry) == (outcome, outcome != LOST)
        assert (client.outcome, client.safe_to_retry) == (outcome, outcome != LOST)
        assert states(client) == left
        assert client.is_connected is goes_on
        if kind is ServerError:
            lines = [line[4:] for line in answer.decode().splitlines()]
            assert error.result_code == int(answer[:3]) and error.reply == "\n".join(lines)
        if left and left[0] in (TEMPORARY, PERMANENT):
            found = client.recipients[0]
            assert (found.address, found.result_code) == (RECIPIENT, int(answer[:3]))
            assert found.reply == error.reply and found.enhanced_code == error.enhanced_code
        if goes_on:
            if point == "recipient":
                # It is still open, for others or to be dropped.
                client.reset()
            begin(client)
            client.write(b"x\r\n")
            client.close_message()
            assert (client.outcome, states(client)) == (smtpclient.OUTCOME_ACCEPTED, [ACCEPTED])
            client.disconnect()
        else:
            with pytest.raises(CallerError) as failed:
                calls["recipient"]()
            assert failed.value.name == "SMTP_ERROR_NOT_CONNECTED"
            assert (client.outcome, states(client)) == (outcome, left)
        client.close()


def test_some_are_refused_and_the_message_goes_to_the_others():
    steps = [*asked(MAIL)]
    steps += asked(b"RCPT TO:<a@b.example>\r\n", b"550 5.1.1 nobody\r\n")
    steps += asked(b"RCPT TO:<b@b.example>\r\n")
    steps += asked(b"RCPT TO:<c@b.example>\r\n", b"451-4.2.0 later\r\n451 4.2.0 perhaps\r\n")
    with whole(*steps, *taken(b"x\r\n")) as server, connected(server, all_or_nothing=True) as client:
        client.create_message(SENDER)
        for local, name in (("a", "550"), ("b", ""), ("c", "451")):
            try:
                client.add_recipient(f"{local}@b.example")
                assert not name
            except ServerError as error:
                assert str(error.result_code) == name and error.address == f"{local}@b.example"
        client.write(b"x")
        client.close_message()
        facts = [(found.state, found.result_code, found.reply) for found in client.recipients]
        assert facts == [
            (PERMANENT, 550, "5.1.1 nobody"),
            (ACCEPTED, 0, ""),
            (TEMPORARY, 451, "4.2.0 later\n4.2.0 perhaps"),
        ]
        assert (client.recipients_accepted, client.recipients_refused) == (1, 2)


@pytest.mark.parametrize(
    "said, name, outcome, left",
    [
        (b"452 4.3.1 full\r\n", "MESSAGE_REJECTED", REJECTED_LATER, [TEMPORARY]),
        (b"552 5.3.4 too big\r\n", "MESSAGE_REJECTED", REJECTED, [PERMANENT]),
        (b"250 thanks\r\n", "PROTOCOL", NOT_SENT, [NOT_TRIED]),
        (b"421 bye\r\n", "SERVER_CLOSING", NOT_SENT, [NOT_TRIED]),
    ],
)
def test_what_the_server_says_during_the_content_is_not_the_answer_to_its_end(said, name, outcome, left):
    steps = [*hello(), *BEGUN, *asked(b"DATA\r\n", b"354 go\r\n"), ("expect", b"x" * 100000 + b"\r\n"), ("send", said)]
    with ScriptServer(*steps, ("stall",)) as server:
        client = connected(server)
        begin(client)
        client.write(b"x" * 100000 + b"\r\n")
        with pytest.raises(SmtpError) as failed:
            # It may come in any of the calls that follow.
            for _ in range(1000):
                client.write(b"y" * 70000 + b"\r\n")
            client.close_message()
        assert failed.value.name == f"SMTP_ERROR_{name}", str(failed.value)
        assert (client.outcome, states(client)) == (outcome, left)
        assert not client.is_connected
        client.close()
    assert not server.received.endswith(b"\r\n.\r\n")


@pytest.mark.parametrize("last", [b"421 4.4.2 idle\r\n", None])
@pytest.mark.parametrize("point", ["recipient", "write", "close"])
def test_a_server_that_gives_up_between_the_steps(point, last):
    before = {"recipient": BEGUN[:2], "write": BEGUN, "close": [*BEGUN, *asked(b"DATA\r\n", b"354 go\r\n")]}[point]
    before = [*before, ("wait", 0.1)]
    with ScriptServer(*hello(), *before, ("close",) if last is None else ("send", last), ("close",)) as server:
        client = connected(server)
        client.create_message(SENDER)
        calls = {"recipient": lambda: client.add_recipient(RECIPIENT), "write": lambda: client.write(b"x"), "close": client.close_message}
        for name, call in calls.items():
            if name == point:
                server.thread.join(10)
                with pytest.raises(SmtpError) as failed:
                    call()
                break
            call()
        assert failed.value.name == ("SMTP_ERROR_CONNECTION_CLOSED" if last is None else "SMTP_ERROR_SERVER_CLOSING")
        assert (client.outcome, client.safe_to_retry) == (NOT_SENT, True)
        assert states(client) in ([], [NOT_TRIED])
        assert not client.is_connected
        client.close()


# Sources


def test_a_source_that_raises_costs_the_connection():
    def source():
        yield b"one\r\n"
        raise KeyError("mine")

    with ScriptServer(*hello(), *BEGUN, *asked(b"DATA\r\n", b"354 go\r\n"), ("stall",)) as server:
        client = connected(server)
        begin(client)
        with pytest.raises(KeyError, match="mine"):
            client.append_stream(source())
        assert not client.is_connected
        assert (client.outcome, client.safe_to_retry, states(client)) == (NOT_SENT, True, [NOT_TRIED])
        client.close()
    assert b"\r\n.\r\n" not in server.received


@pytest.mark.parametrize("source", ["text", b"octets", 5, None])
def test_what_is_no_source_sends_nothing(source):
    with whole(*BEGUN, *taken(b"x\r\n")) as server, connected(server) as client:
        begin(client)
        with pytest.raises(TypeError):
            client.append_stream(source)
        with pytest.raises(TypeError):
            client.write([source])
        client.write(b"x")
        client.close_message()


def test_a_file_that_is_missing_sends_nothing(tmp_path):
    with whole(*BEGUN, *taken(b"x\r\n")) as server, connected(server) as client:
        begin(client)
        for path in (tmp_path / "missing", tmp_path, ""):
            with pytest.raises(CallerError) as failed:
                client.append_file(path)
            assert failed.value.name == "SMTP_ERROR_FILE"
            assert (failed.value.outcome, client.is_connected) == (NOT_SENT, True)
        client.write(b"x")
        client.close_message()


def test_sources_are_not_asked_when_there_is_no_message():
    def source():
        raise AssertionError("asked")
        yield b""

    with whole(*asked(MAIL), *asked(b"RSET\r\n")) as server, connected(server) as client:
        for name in (NONE, NOBODY):
            with pytest.raises(CallerError) as failed:
                client.append_stream(source())
            assert failed.value.name == name
            if name == NONE:
                client.create_message(SENDER)
        client.reset()


def test_an_interrupt_during_a_source():
    before = signal.getsignal(signal.SIGINT)
    main = threading.main_thread().ident

    def source():
        yield b"one\r\n"
        signal.pthread_kill(main, signal.SIGINT)
        yield b"two\r\n"

    with ScriptServer(*hello(), *BEGUN, *asked(b"DATA\r\n", b"354 go\r\n"), ("stall",)) as server:
        client = connected(server)
        begin(client)
        with pytest.raises(KeyboardInterrupt):
            client.append_stream(source())
        assert signal.getsignal(signal.SIGINT) is before
        # Where it came is not known, and the message must not be taken for whole.
        assert client.outcome == NOT_SENT and not client.is_connected
        client.close()
    assert b"\r\n.\r\n" not in server.received


def test_a_cancel_from_a_source_and_from_another_thread():
    for point in ("source", "end"):
        steps = [*hello(), *BEGUN, *asked(b"DATA\r\n", b"354 go\r\n"), ("stall",)]
        with ScriptServer(*steps) as server:
            client = connected(server)
            begin(client)
            if point == "source":
                with pytest.raises(CallerError) as failed:
                    client.append_stream(piece for piece in iter(lambda: client.cancel() or b"x\r\n", None))
            else:
                client.write(b"x\r\n")
                timer = threading.Timer(0.2, client.cancel)
                timer.start()
                with pytest.raises(CallerError) as failed:
                    client.close_message()
                timer.join()
            assert failed.value.name == "SMTP_ERROR_CANCELLED"
            expected = (LOST, [UNKNOWN]) if point == "end" else (NOT_SENT, [NOT_TRIED])
            assert (client.outcome, states(client)) == expected
            client.close()


# Events and trace


def test_events_of_the_steps():
    with whole(*BEGUN, *taken(b"x" * 1000 + b"\r\n")) as server, new_client() as client:
        events = []
        client.on_event(lambda event: events.append(event))
        client.connect("127.0.0.1", server.port)
        del events[:]
        begin(client)
        client.write(b"x" * 400)
        client.append_stream([b"x" * 600])
        client.close_message()
        client.on_event(None)
        commands = [event.text for event in events if event.kind == smtpclient.EVENT_COMMAND]
        assert commands == ["MAIL FROM:<s@a.example>", "RCPT TO:<r@b.example>", "DATA"]
        replies = [event.text for event in events if event.kind == smtpclient.EVENT_REPLY]
        assert len(replies) == 4 and "queued as 4F1B2" in replies[-1]
        progress = [event for event in events if event.kind == smtpclient.EVENT_PROGRESS]
        copied = [event.bytes_copied for event in progress]
        assert copied == sorted(copied) and (copied[0], copied[-1]) == (0, 1000)
        recipients = [event for event in events if event.kind == smtpclient.EVENT_RECIPIENT]
        assert [(event.recipient, event.text, event.recipient_state) for event in recipients] == [(0, RECIPIENT, ACCEPTED)]


@pytest.mark.parametrize("point, kind", [("create", "REPLY"), ("recipient", "RECIPIENT"), ("write", "PROGRESS"), ("close", "REPLY")])
def test_a_callback_that_asks_for_an_end(point, kind):
    with ScriptServer(*hello(), *steps_to(point, b"354 go\r\n" if point == "write" else OK), ("stall",)) as server:
        client = connected(server)
        calls = {
            "create": lambda: client.create_message(SENDER),
            "recipient": lambda: client.add_recipient(RECIPIENT),
            "write": lambda: client.write(b"x"),
            "close": lambda: client.close_message(),
        }
        for name, call in calls.items():
            if name == point:
                client.on_event(lambda event: True, getattr(smtpclient, f"EVENT_{kind}"))
                break
            call()
        if point == "close":
            # The end was answered: the message is safe.
            call()
            assert (client.outcome, states(client)) == (smtpclient.OUTCOME_ACCEPTED, [ACCEPTED])
        else:
            with pytest.raises(CallerError) as failed:
                call()
            assert failed.value.name == "SMTP_ERROR_CANCELLED"
            assert (client.outcome, states(client)) == (NOT_SENT, [] if point == "create" else [NOT_TRIED])
        assert not client.is_connected
        client.on_event(None)
        client.close()


def test_the_trace_of_the_steps():
    with whole(*BEGUN, *taken(b"..x\r\n")) as server, new_client() as client:
        records = []
        client.on_trace(lambda record: records.append((record.direction, record.text)))
        client.connect("127.0.0.1", server.port)
        del records[:]
        begin(client)
        client.write(b".x")
        client.close_message()
        client.on_trace(None)
        ours = [text for direction, text in records if direction == smtpclient.DIRECTION_CLIENT]
        assert ours[:3] == ["MAIL FROM:<s@a.example>", "RCPT TO:<r@b.example>", "DATA"]
        theirs = [text for direction, text in records if direction == smtpclient.DIRECTION_SERVER]
        assert theirs == ["ok", "ok", "go", "2.0.0 Ok: queued as 4F1B2"]


# Large numbers


def test_12000_recipients_step_by_step():
    count = 12000
    refused = range(0, count, 1000)
    steps = [*asked(MAIL)]
    for number in range(count):
        reply = b"550 no\r\n" if number in refused else OK
        steps += asked(b"RCPT TO:<r%05d@b.example>\r\n" % number, reply)
    with whole(*steps, *taken(b"x\r\n")) as server, connected(server) as client:
        client.create_message(SENDER)
        for number in range(count):
            try:
                client.add_recipient(f"r{number:05}@b.example")
                assert number not in refused
            except ServerError:
                assert number in refused
        client.write(b"x")
        client.close_message()
        assert (client.recipients_accepted, client.recipients_refused) == (count - len(refused), len(refused))
        found = client.recipients
        assert [recipient.address for recipient in found] == [f"r{number:05}@b.example" for number in range(count)]
        assert [number for number in range(count) if not found[number].accepted] == list(refused)
