"""Extensions as properties and methods: what goes out, octet by octet, and what does not."""

import json

import pytest
from script_server import ScriptServer

import smtpclient
from smtpclient import CallerError, Client, ServerError

GREETING = b"220 test ESMTP\r\n"
EHLO = b"EHLO client.example\r\n"
QUIT = [("expect", b"QUIT\r\n"), ("send", b"221 bye\r\n")]
ADDRESSES = ("s@a.example", "r@b.example")


def hello(*extensions):
    lines = ["test", *extensions]
    reply = "".join(f"250-{line}\r\n" for line in lines[:-1]) + f"250 {lines[-1]}\r\n"
    return [("send", GREETING), ("expect", EHLO), ("send", reply.encode())]


def envelope(mail=b"", recipients=(b"r@b.example>",), replies=None):
    """The steps of a message in one write."""
    text = b"MAIL FROM:<s@a.example>" + mail + b"\r\n"
    text += b"".join(b"RCPT TO:<" + recipient + b"\r\n" for recipient in recipients) + b"DATA\r\n"
    if replies is not None:
        return [("expect", text), ("send", replies)]
    taken = b"250 ok\r\n" * (1 + len(recipients)) + b"354 go\r\n"
    return [("expect", text), ("send", taken), ("expect", b"x\r\n.\r\n"), ("send", b"250 ok\r\n")]


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


OFFER = ["PIPELINING", "DELIVERBY 60", "FUTURERELEASE 3600 2026-11-02T10:00:00Z", "MT-PRIORITY MIXER", "AUTH PLAIN"]


@pytest.mark.parametrize(
    "settings, octets",
    [
        ({"deliver_by": "120;R"}, b" BY=120;R"),
        ({"deliver_by": "-5;nt"}, b" BY=-5;NT"),
        ({"hold_for": 3600}, b" HOLDFOR=3600"),
        ({"hold_until": "2026-11-02T10:30:00.25+00:30"}, b" HOLDUNTIL=2026-11-02T10:00:00Z"),
        ({"mt_priority": -9}, b" MT-PRIORITY=-9"),
        ({"auth_sender": "Jane <e+mc2@a.example>"}, b" AUTH=e+2Bmc2@a.example"),
        ({"auth_sender": "<>"}, b" AUTH=<>"),
        (
            {"mt_priority": 3, "deliver_by": "99;N", "hold_for": 1, "auth_sender": "e@a.example", "mail_parameters": "X"},
            b" BY=99;N HOLDFOR=1 MT-PRIORITY=3 AUTH=e@a.example X",
        ),
    ],
    ids=lambda value: value.decode().strip() if isinstance(value, bytes) else "",
)
def test_parameters_octet_by_octet(settings, octets):
    with ScriptServer(*hello(*OFFER), *envelope(octets), *QUIT) as server, connected(server, **settings) as client:
        client.send_message(*ADDRESSES, b"x\r\n")
        assert client.outcome == smtpclient.OUTCOME_ACCEPTED


@pytest.mark.parametrize(
    "settings, offer, words, is_left_out",
    [
        ({"deliver_by": "120;N"}, [], ["DELIVERBY", "RFC 2852"], True),
        ({"deliver_by": "120;R"}, [], ["DELIVERBY", "RFC 2852", "never left out"], False),
        ({"deliver_by": "59;RT"}, OFFER, ["59 seconds", "at least 60"], False),
        ({"hold_for": 1}, [], ["FUTURERELEASE", "RFC 4865", "never left out"], False),
        ({"hold_for": 3601}, OFFER, ["longer", "3600"], False),
        ({"hold_until": "2026-11-02T10:00:01Z"}, OFFER, ["longer", "2026-11-02T10:00:00Z"], False),
        ({"mt_priority": 1}, [], ["MT-PRIORITY", "RFC 6710"], True),
        ({"require_tls": True}, ["REQUIRETLS"], ["REQUIRETLS", "RFC 8689", "not encrypted"], False),
        ({"auth_sender": "e@a.example"}, [], ["AUTH", "RFC 4954"], True),
    ],
)
def test_what_is_not_offered_is_an_error_or_left_out(settings, offer, words, is_left_out):
    offer = list(dict.fromkeys([*offer, "PIPELINING"]))
    steps = [*envelope(), *envelope()] if is_left_out else envelope()
    with ScriptServer(*hello(*offer), *steps, *QUIT) as server, connected(server, **settings) as client:
        for leave_out in (False, True):
            client.leave_out = leave_out
            if leave_out and is_left_out:
                client.send_message(*ADDRESSES, b"x\r\n")
                continue
            with pytest.raises(CallerError) as failed:
                client.send_message(*ADDRESSES, b"x\r\n")
            error = failed.value
            assert error.name == "SMTP_ERROR_EXTENSION_UNAVAILABLE"
            assert (error.outcome, error.safe_to_retry) == (smtpclient.OUTCOME_NOT_SENT, True)
            assert all(word in str(error) for word in words), str(error)
            assert error.offered == tuple(offer) and error.skipped == ()
            assert json.loads(client.error_json)["offered"] == offer
        # Taken back, nothing is in the way.
        for name, value in settings.items():
            setattr(client, name, type(value)())
        client.send_message(*ADDRESSES, b"x\r\n")


@pytest.mark.parametrize(
    "name, values",
    [
        ("deliver_by", ["120", "0;R", "x;N", "1;Q", "1234567890;N"]),
        ("hold_for", [-1, 1_000_000_000]),
        ("hold_until", ["tomorrow", "2026-11-02", "2026-02-30T10:00:00Z", "2026-11-02T10:00:00"]),
        ("mt_priority", [-10, 10, 1 << 40]),
        ("auth_sender", ["a@b@c", "j\u00f6rg@a.example", "a"]),
        ("disabled_extensions", ["SIZE,DSN", "A=B", "-"]),
    ],
)
def test_values_are_checked_when_they_are_set(name, values):
    with Client() as client:
        before = getattr(client, name)
        for value in values:
            with pytest.raises(CallerError) as failed:
                setattr(client, name, value)
            assert failed.value.name in ("SMTP_ERROR_INVALID_PARAMETER", "SMTP_ERROR_INVALID_ADDRESS")
            assert getattr(client, name) == before
        with pytest.raises(ValueError):
            client.mt_priority = -(1 << 63) - 1


def test_holding_in_two_ways():
    with Client() as client:
        client.hold_for = 10
        with pytest.raises(CallerError, match="HOLD_UNTIL excludes HOLD_FOR"):
            client.hold_until = "2026-11-02T10:00:00Z"
        client.hold_for = 0
        client.hold_until = "2026-11-02T10:00:00Z"
        with pytest.raises(CallerError, match="HOLD_FOR excludes HOLD_UNTIL"):
            client.hold_for = 10
        assert (client.hold_for, client.hold_until) == (0, "2026-11-02T10:00:00Z")


def test_capabilities():
    offer = ["Size 1000", "dsn", "AUTH PLAIN LOGIN", "X-OWN \u00e9 b", "ETRN"]
    with ScriptServer(*hello(*offer), *QUIT) as server:
        client = new_client(disabled_extensions="dsn 8bitmime")
        assert client.capability("SIZE") is None and client.extended_options == 0
        client.connect("127.0.0.1", server.port)
        with client:
            found = [client.capability(keyword) for keyword in ("SIZE", "x-own", "Etrn", "DSN", "PIPELINING")]
            assert found == ["1000", "\u00e9 b", "", None, None]
            assert client.extended_options == (
                smtpclient.EXTOPT_SIZE | smtpclient.EXTOPT_AUTHLOGIN | smtpclient.EXTOPT_ETRN
            )
            assert client.extensions.split("\n") == offer
            assert client.left_out_extensions == "DSN: switched off by SMTP_PROPERTY_DISABLED_EXTENSIONS"
            with pytest.raises(CallerError) as failed:
                client.capability("SIZE 1000")
            assert failed.value.name == "SMTP_ERROR_INVALID_PARAMETER"
            client.envelope_id = "id"
            with pytest.raises(CallerError) as failed:
                client.send_message(*ADDRESSES, b"x\r\n")
            reason = "switched off by SMTP_PROPERTY_DISABLED_EXTENSIONS"
            assert failed.value.skipped == (("DSN", reason),)
            assert json.loads(client.error_json)["skipped"] == [{"name": "DSN", "reason": reason}]


def test_a_login_that_nobody_knows():
    with ScriptServer(*hello("AUTH X-ONE X-TWO"), *QUIT) as server, connected(server) as client:
        with pytest.raises(ServerError) as failed:
            client.authenticate("tim", "secret")
        assert failed.value.name == "SMTP_ERROR_INVALID_AUTHENTICATION_TYPE"
        assert failed.value.offered == ("X-ONE", "X-TWO")
        assert [name for name, reason in failed.value.skipped if reason] == ["X-ONE", "X-TWO"]


def test_a_server_that_does_not_understand_what_it_offers():
    refused = b"555 5.5.4 unsupported option\r\n503 no\r\n503 no\r\n"
    offer = hello("PIPELINING", "SIZE 1000", "8BITMIME")
    with ScriptServer(*offer, *envelope(b" SIZE=3", replies=refused), *envelope(), *envelope(), *QUIT) as server:
        with connected(server) as client:
            client.send_message(*ADDRESSES, b"x\r\n")
            assert (client.outcome, client.recipients_accepted) == (smtpclient.OUTCOME_ACCEPTED, 1)
            assert client.left_out_extensions.startswith("SIZE: ")
            assert "555 5.5.4 unsupported option" in client.left_out_extensions
            client.send_message(*ADDRESSES, b"x\r\n")


def test_notifications_of_single_recipients():
    steps = envelope(
        b" RET=FULL",
        [
            b"r@b.example> NOTIFY=FAILURE ORCPT=rfc822;r@b.example",
            b"Q@B.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;old+2Bq@c.example",
            b"q@b.example> NOTIFY=FAILURE ORCPT=rfc822;q@b.example",
            b"n@b.example> NOTIFY=NEVER ORCPT=utf-8;j\\x{F6}rg@c.example",
        ],
    )
    after = envelope(b" RET=FULL", [b"n@b.example> NOTIFY=FAILURE ORCPT=rfc822;n@b.example"])
    with ScriptServer(*hello("PIPELINING", "DSN"), *steps, *after, *QUIT) as server, connected(server) as client:
        client.delivery_options = smtpclient.DELIVERY_NOTIFY_FAILURE | smtpclient.DELIVERY_RETURN_MESSAGE
        success = smtpclient.DELIVERY_NOTIFY_SUCCESS | smtpclient.DELIVERY_NOTIFY_DELAY
        client.set_recipient_delivery("Q <Q@b.EXAMPLE>", success, "rfc822;old+q@c.example")
        client.set_recipient_delivery("n@b.example", smtpclient.DELIVERY_NOTIFY_NEVER, "j\u00f6rg@c.example")
        client.set_recipient_delivery("r@b.example", smtpclient.DELIVERY_NOTIFY_NEVER)
        client.set_recipient_delivery("r@b.example")
        client.send_message("s@a.example", ["r@b.example", "Q@B.example", "q@b.example", "n@b.example"], b"x\r\n")
        client.set_recipient_delivery(None)
        client.send_message("s@a.example", "n@b.example", b"x\r\n")


@pytest.mark.parametrize(
    "arguments, name",
    [
        (("a@b@c",), "SMTP_ERROR_INVALID_ADDRESS"),
        (("a@b", smtpclient.DELIVERY_RETURN_HEADERS), "SMTP_ERROR_INVALID_PARAMETER"),
        (("a@b", smtpclient.DELIVERY_NOTIFY_NEVER | smtpclient.DELIVERY_NOTIFY_DELAY), "SMTP_ERROR_INVALID_PARAMETER"),
        (("a@b", 0, "rfc822;a"), "SMTP_ERROR_INVALID_ADDRESS"),
        (("a@b", 0, "x 400;a"), "SMTP_ERROR_INVALID_PARAMETER"),
        (("a@b", 0, "x400;" + "x" * 496), "SMTP_ERROR_TOO_LONG"),
    ],
)
def test_recipients_that_are_refused(arguments, name):
    with Client() as client:
        with pytest.raises(CallerError) as failed:
            client.set_recipient_delivery(*arguments)
        assert failed.value.name == name


def asked(command, reply):
    return [("expect", command.encode() + b"\r\n"), ("send", reply)]


def test_questions():
    steps = [
        *asked("VRFY j\u00f6rg SMTPUTF8", "250 J\u00f6rg <j\u00f6rg@b.example>\r\n".encode()),
        *asked("EXPN \u044e@xn--bcher-kva.example SMTPUTF8", b"250 <a@b.example>\r\n"),
        *asked("HELP", b"214-one\r\n214 two\r\n"),
        *asked("HELP MAIL", b"504 nothing\r\n"),
        *asked("ETRN @b.example", b"253 14 pending\r\n"),
        *asked("ETRN b.example", b"459 not allowed\r\n"),
        *QUIT,
    ]
    with ScriptServer(*hello("SMTPUTF8"), *steps) as server, connected(server) as client:
        assert client.verify("j\u00f6rg") == (250, "J\u00f6rg <j\u00f6rg@b.example>")
        assert client.expand("\u044e@b\u00fccher.example") == ["<a@b.example>"]
        assert client.help() == "one\ntwo"
        with pytest.raises(ServerError) as failed:
            client.help("MAIL")
        assert failed.value.result_code == 504
        assert client.extended_turn("@b.example") == (253, "14 pending")
        with pytest.raises(ServerError) as failed:
            client.extended_turn("b.example")
        assert (failed.value.name, failed.value.result_code) == ("SMTP_ERROR_COMMAND_REJECTED", 459)
        with pytest.raises(CallerError):
            client.extended_turn("b..example")


def test_questions_beyond_ascii_that_are_not_sent():
    with ScriptServer(*hello("VRFY"), *QUIT) as server, connected(server) as client:
        for ask in (client.verify, client.expand):
            with pytest.raises(CallerError) as failed:
                ask("j\u00f6rg")
            assert (failed.value.name, failed.value.address) == ("SMTP_ERROR_SMTPUTF8_REQUIRED", "j\u00f6rg")
            assert failed.value.offered == ("VRFY",)
