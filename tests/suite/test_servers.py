"""Real servers that this project did not write: what arrives, and what is refused."""

import io
import itertools
import json
import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509  # trustme needs it too

import smtpclient
from smtpclient import CallerError, Client, ServerError, WireError

SERVERS = ["postfix", "dovecot-submission", "smtp-server", "aiosmtpd", "mail_server"]
TLS_MODES = {
    "plain": smtpclient.TLS_NONE,
    "starttls": smtpclient.TLS_REQUIRED,
    "tls": smtpclient.TLS_IMPLICIT,
}

LINE = b"%07d 0123456789012345678901234567890123456789012345678901234\r\n"

# What follows the header and its empty line.
BODIES = {
    "dots": b".\r\n..\r\n.x\r\n...\r\nx.\r\n. \r\nend\r\n.last\r\n",
    "8-bit": "Gr\u00fc\u00dfe \u20ac\r\n".encode() + bytes(range(0x80, 0x100)) + b"\r\n",
    "998 octets": b"a" * 998 + b"\r\n" + b"." + b"b" * 997 + b"\r\n",
    "empty": b"",
    "no final line end": b"first\r\nlast",
    "blanks": b"a  \r\n\t\r\n \r\n\r\n\r\nFrom here\r\n",
    "2 MiB": b"".join(LINE % number for number in range(32768)),
}

marks = (f"{time.time_ns():x}-{number}" for number in itertools.count())


def compose(body, mark):
    # The mark comes first: what the servers put in front is told apart by it.
    header = (
        f"X-Mark: {mark}\r\nFrom: bob@example.test\r\nTo: alice@example.test\r\nSubject: test\r\n"
        f"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{mark}@client.example.test>\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    )
    return header.encode("ascii") + body


def open_client(server, port, login):
    client = Client()
    client.ca_file = server.ca
    client.timeout = 30000
    client.local_name = "client.example.test"
    client.tls_mode = TLS_MODES[port]
    client.connect(server.tls_name if port != "plain" else server.host, server.ports[port])
    if login:
        client.authenticate(server.user, server.password)
    return client


def send(client, server, body, recipients="alice"):
    mark = next(marks)
    message = compose(body, mark)
    addresses = [f"{local}@{server.domain}" for local in recipients.split()]
    client.send_message(f"bob@{server.domain}", addresses, message)
    return mark, message


@pytest.mark.parametrize("login", [True, False], ids=["login", "no login"])
@pytest.mark.parametrize("port", TLS_MODES)
@pytest.mark.parametrize("name", SERVERS)
def test_mail_arrives_octet_by_octet(servers, name, port, login):
    server = servers(name)
    with open_client(server, port, login) as client:
        assert client.is_extended
        assert client.tls_verified is (port != "plain")
        assert (client.tls_protocol == "") is (port == "plain")
        security = client.security_information
        assert (security.protocol == smtpclient.PROTOCOL_NONE) is (port == "plain")
        assert (security.cipher_strength, security.verified) == (client.cipher_strength, client.tls_verified)
        assert (security.hash_strength, security.certificate_status) == (client.hash_strength, client.certificate_status)
        assert (client.auth_mechanism != "") is login
        if not login and (name == "dovecot-submission" or (name == "mail_server" and port != "plain")):
            with pytest.raises(ServerError) as failed:
                send(client, server, b"x\r\n")
            assert failed.value.result_code == 530
            assert failed.value.safe_to_retry
            return
        sent = {}
        for kind, body in BODIES.items():
            sent[kind] = send(client, server, body)
            assert client.outcome == smtpclient.OUTCOME_ACCEPTED
            assert (client.recipients_accepted, client.recipients_refused) == (1, 0)
            assert client.final_reply.startswith("250")
    for kind, (mark, message) in sent.items():
        # The library ends the last line, without which there is no end of data.
        if not message.endswith(b"\r\n"):
            message += b"\r\n"
        # Not by assert alone, which would print 2 MiB.
        same = server.stored(mark) == server.expected(message)
        assert same, f"{kind} was changed"


@pytest.mark.parametrize("name", SERVERS)
def test_bare_line_ends_are_made_whole(servers, name):
    server = servers(name)
    with open_client(server, "tls", True) as client:
        mark, message = send(client, server, b"one\ntwo\rthree\r\n.\nfour\n.\r\nfive\n")
    whole = message[: message.index(b"\r\n\r\n")] + b"\r\n\r\none\r\ntwo\r\nthree\r\n.\r\nfour\r\n.\r\nfive\r\n"
    assert server.stored(mark) == server.expected(whole)


@pytest.mark.parametrize("name", SERVERS)
def test_a_wrong_password_leaves_the_connection_open(servers, name):
    server = servers(name)
    with open_client(server, "tls", False) as client:
        with pytest.raises(ServerError) as failed:
            client.authenticate(server.user, "wrong")
        assert failed.value.name == "SMTP_ERROR_AUTHENTICATION_FAILED"
        assert failed.value.result_code == 535
        assert "wrong" not in str(failed.value)
        assert client.is_connected
        client.authenticate(server.user, server.password)
        assert client.auth_mechanism in client.auth_mechanisms.split()
        mark, message = send(client, server, b"after the second try\r\n")
    assert server.stored(mark) == server.expected(message)


@pytest.mark.parametrize("name", [name for name in SERVERS if name != "dovecot-submission"])
def test_a_refused_recipient_is_a_result(servers, name):
    server = servers(name)
    with open_client(server, "starttls", True) as client:
        mark, message = send(client, server, b"for some\r\n", "reject alice later bob")
        assert client.outcome == smtpclient.OUTCOME_ACCEPTED
        assert (client.recipients_accepted, client.recipients_refused) == (2, 2)
        refused = client.refused_recipients.splitlines()
        assert [line.split(" ")[:2] for line in refused] == [
            [f"reject@{server.domain}:", "550"],
            [f"later@{server.domain}:", "451"],
        ]
    assert server.stored(mark) == server.expected(message)


@pytest.mark.parametrize("name", [name for name in SERVERS if name != "dovecot-submission"])
def test_no_recipient_is_left(servers, name):
    server = servers(name)
    outcomes = {"4": smtpclient.OUTCOME_REJECTED_TEMPORARY, "5": smtpclient.OUTCOME_REJECTED_PERMANENT}
    assert len(server.refused) >= 2
    with open_client(server, "plain", False) as client:
        for address, code in server.refused.items():
            with pytest.raises(ServerError) as failed:
                send(client, server, b"for nobody\r\n", address.partition("@")[0])
            error = failed.value
            assert error.name == "SMTP_ERROR_RECIPIENTS_REJECTED"
            assert error.result_code == int(code)
            assert (error.outcome, error.safe_to_retry) == (outcomes[code[0]], True)
            assert error.address == address
            assert code in str(error) and error.reply.splitlines()[0][:40] in str(error)
            assert (client.recipients_accepted, client.recipients_refused) == (0, 1)
        # The session goes on.
        mark, message = send(client, server, b"for alice\r\n")
        assert client.outcome == smtpclient.OUTCOME_ACCEPTED
    assert server.stored(mark) == server.expected(message)


@pytest.mark.parametrize("name", ["postfix", "mail_server"])
def test_the_queue_id_is_found(servers, name):
    server = servers(name)
    with open_client(server, "plain", False) as client:
        send(client, server, b"x\r\n")
        assert client.queue_id and client.final_reply.endswith(f"queued as {client.queue_id}")


@pytest.mark.parametrize("name", ["postfix", "smtp-server", "aiosmtpd", "mail_server"])
def test_a_message_above_the_size_limit_is_not_sent(servers, name):
    server = servers(name)
    with open_client(server, "plain", False) as client:
        assert client.size_limit > 0
        with pytest.raises(CallerError) as failed:
            send(client, server, b"x" * 1000 + b"\r\n" * (client.size_limit // 2))
        assert failed.value.name == "SMTP_ERROR_MESSAGE_TOO_LARGE"
        assert (failed.value.outcome, failed.value.safe_to_retry) == (smtpclient.OUTCOME_NOT_SENT, True)


def test_a_server_without_ehlo(servers):
    server = servers("net-smtp-server")
    # It keeps one message a connection, and delivers it at QUIT.
    for kind in ("dots", "8-bit", "998 octets", "2 MiB"):
        with open_client(server, "plain", False) as client:
            assert not client.is_extended and client.extensions == ""
            mark, message = send(client, server, BODIES[kind])
            client.disconnect()
        # It writes a line end more than it got.
        assert server.stored(mark).rstrip(b"\r\n") == message.rstrip(b"\r\n"), kind


# What the error must say of each kind of certificate: its code, and words of the sentence.
BAD_CERTIFICATES = {
    "wronghost": ("SMTP_ERROR_TLS_CERTIFICATE_NAME", ["localhost"]),
    "expired": ("SMTP_ERROR_TLS_CERTIFICATE_EXPIRED", ["expired"]),
    "selfsigned": ("SMTP_ERROR_TLS_CERTIFICATE_UNTRUSTED", ["trust"]),
    "untrusted": ("SMTP_ERROR_TLS_CERTIFICATE_UNTRUSTED", ["trust"]),
}


def names_in_certificate(server):
    """The DNS names in the certificate, as Python's own TLS reads it."""
    certificate = x509.load_pem_x509_certificate(
        ssl.get_server_certificate((server.host, server.ports["tls"])).encode("ascii")
    )
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName)


@pytest.mark.parametrize("port", ["starttls", "tls"])
@pytest.mark.parametrize(
    "name, kind",
    [(name, kind) for name in ("postfix", "smtp-server") for kind in ("wronghost", "expired", "selfsigned")]
    + [("mail_server", kind) for kind in ("wronghost", "expired", "untrusted")],
)
def test_a_bad_certificate_is_refused(servers, name, kind, port):
    server = servers(name, kind)
    code, words = BAD_CERTIFICATES[kind]
    with pytest.raises(WireError) as failed:
        open_client(server, port, False)
    error = failed.value
    assert error.name == code
    assert error.phase == smtpclient.PHASE_TLS
    assert error.tls_reason and error.remedy
    if kind == "wronghost":
        found = names_in_certificate(server)
        assert found and "localhost" not in found
        words = words + found
    for word in words:
        assert word in str(error), (word, str(error))


@pytest.mark.parametrize("kind", ["wronghost", "expired", "untrusted"])
def test_tls_where_offered_takes_any_certificate_and_tells_why_it_is_bad(servers, kind):
    server = servers("mail_server", kind)
    with Client() as client:
        client.ca_file = server.ca
        client.connect(server.tls_name, server.ports["starttls"], timeout=20)
        assert client.tls_protocol and not client.tls_verified
        assert client.tls_objection


def test_plain_text_where_tls_is_expected_and_the_other_way_round(servers):
    server = servers("mail_server")
    with Client() as client:
        client.ca_file = server.ca
        with pytest.raises(WireError) as failed:
            client.connect("localhost", server.ports["plain"], timeout=10, options=smtpclient.OPTION_SECURE_IMPLICIT)
        assert failed.value.name == "SMTP_ERROR_TLS_NOT_TLS"
        with pytest.raises(ServerError) as refused:
            client.connect("localhost", server.ports["plain"], timeout=10, options=smtpclient.OPTION_SECURE)
        assert refused.value.name == "SMTP_ERROR_STARTTLS_UNAVAILABLE"


def test_the_envelope_is_made_of_the_arguments_alone(servers):
    server = servers("mail_server")
    with open_client(server, "starttls", True) as client:
        send(client, server, b"x\r\n", "carol dave")
        number = client.queue_id
    facts = json.loads((Path(server.envelopes) / f"{number}.json").read_text())
    assert facts["from"] == f"bob@{server.domain}"
    assert facts["to"] == [f"carol@{server.domain}", f"dave@{server.domain}"]
    assert (facts["tls"], facts["login"]) == (True, server.user)


@pytest.mark.parametrize("way", ["file", "stream", "pieces"])
@pytest.mark.parametrize("name", ["mail_server", "postfix"])
def test_2_mib_from_a_file_and_from_a_stream(servers, name, way, tmp_path):
    server = servers(name)
    mark = next(marks)
    message = compose(BODIES["2 MiB"], mark)
    envelope = (f"bob@{server.domain}", [f"alice@{server.domain}"])
    with open_client(server, "starttls", True) as client:
        if way == "file":
            path = tmp_path / "gr\u00fc\u00df.eml"
            path.write_bytes(message)
            client.send_file(*envelope, path)
        elif way == "stream":
            client.send_stream(*envelope, io.BytesIO(message), size=len(message))
        else:
            client.send_stream(*envelope, message.splitlines(keepends=True))
        assert client.outcome == smtpclient.OUTCOME_ACCEPTED
        assert [recipient.accepted for recipient in client.recipients] == [True]
    # Not by assert alone, which would print 2 MiB.
    same = server.stored(mark) == server.expected(message)
    assert same, f"the message from a {way} was changed"


def is_stored(server, mark):
    paths = (path for path in Path(server.delivered).rglob("*") if path.is_file())
    return any(mark.encode() in path.read_bytes()[:16384] for path in paths)


@pytest.mark.parametrize("name", ["mail_server", "postfix"])
def test_a_source_that_raises_leaves_nothing_behind(servers, name):
    server = servers(name)
    mark = next(marks)

    def source():
        yield compose(BODIES["2 MiB"], mark)
        raise KeyError(mark)

    with open_client(server, "tls", True) as client:
        with pytest.raises(KeyError, match=mark):
            client.send_stream(f"bob@{server.domain}", f"alice@{server.domain}", source())
        assert (client.outcome, client.safe_to_retry) == (smtpclient.OUTCOME_NOT_SENT, True)
        assert not client.is_connected
    # The next message has arrived, and this one has not.
    with open_client(server, "tls", True) as client:
        after, _ = send(client, server, b"after it\r\n")
    server.stored(after)
    assert not is_stored(server, mark)


def test_each_recipients_own_answer(servers):
    server = servers("postfix")
    with open_client(server, "starttls", True) as client:
        mark, message = send(client, server, b"for two\r\n", "reject alice later full long nosuch bob")
        found = client.recipients
    assert [recipient.address.partition("@")[0] for recipient in found] == [
        "reject", "alice", "later", "full", "long", "nosuch", "bob"
    ]  # fmt: skip
    temporary, permanent = smtpclient.RECIPIENT_REFUSED_TEMPORARY, smtpclient.RECIPIENT_REFUSED_PERMANENT
    accepted = smtpclient.RECIPIENT_ACCEPTED
    facts = [(recipient.state, recipient.result_code, recipient.enhanced_code) for recipient in found]
    assert facts == [
        (permanent, 550, "5.7.1"),
        (accepted, 0, ""),
        (temporary, 451, "4.3.0"),
        (permanent, 552, "5.2.2"),
        (permanent, 550, "5.7.1"),
        (permanent, 550, "5.1.1"),
        (accepted, 0, ""),
    ]
    assert [recipient.accepted for recipient in found] == [fact[0] == accepted for fact in facts]
    for recipient, word in zip(found, ["no mail for this one", "", "not now", "mailbox full", "x" * 300, "unknown", ""]):
        assert word in recipient.reply and bool(recipient.reply) is bool(word)
    assert server.stored(mark) == server.expected(message)


@pytest.mark.parametrize("name", ["mail_server", "postfix"])
def test_all_or_nothing_delivers_to_nobody(servers, name):
    server = servers(name)
    with open_client(server, "starttls", True) as client:
        client.all_or_nothing = True
        mark = next(marks)
        addresses = [f"{local}@{server.domain}" for local in ("alice", "reject", "bob")]
        with pytest.raises(ServerError) as failed:
            client.send_message(f"bob@{server.domain}", addresses, compose(b"for nobody\r\n", mark))
        assert failed.value.name == "SMTP_ERROR_RECIPIENT_REJECTED"
        assert (failed.value.result_code, failed.value.address) == (550, addresses[1])
        assert failed.value.safe_to_retry
        states = [recipient.state for recipient in client.recipients]
        assert states == [smtpclient.RECIPIENT_NOT_TRIED, smtpclient.RECIPIENT_REFUSED_PERMANENT, smtpclient.RECIPIENT_NOT_TRIED]
        # The session goes on, and with it the wait for what would have come before.
        after, message = send(client, server, b"for both\r\n", "alice bob")
    assert server.stored(after) == server.expected(message)
    assert not is_stored(server, mark)


def test_commands_of_postfix(servers):
    server = servers("postfix")
    with open_client(server, "starttls", False) as client:
        client.noop()
        code, text = client.verify(f"alice@{server.domain}")
        assert code == 252 and f"alice@{server.domain}" in text
        with pytest.raises(ServerError) as failed:
            client.verify(f"nosuch@{server.domain}")
        assert (failed.value.name, failed.value.result_code) == ("SMTP_ERROR_COMMAND_REJECTED", 550)
        with pytest.raises(ServerError) as failed:
            client.expand("staff")
        error = failed.value
        assert (error.name, error.result_code) == ("SMTP_ERROR_COMMAND_REJECTED", 500)
        assert (error.phase, error.enhanced_code) == (smtpclient.PHASE_COMMAND, "5.5.2")
        assert "500" in str(error) and error.reply and error.reply in str(error)
        assert client.command("ETRN", server.domain) == (250, "Queuing started")
        with pytest.raises(ServerError) as failed:
            client.command("ETRN", "elsewhere.example")
        assert failed.value.result_code in (458, 459)
        mark, message = send(client, server, b"after the commands\r\n")
    assert server.stored(mark) == server.expected(message)


def envelopes(server):
    return [json.loads(path.read_text()) for path in Path(server.log).glob("*.envelope.json")]


def test_notifications_and_8bitmime_in_the_envelope_of_a_server(servers):
    server = servers("smtp-server")
    mark = next(marks)
    with open_client(server, "tls", True) as client:
        client.delivery_options = (
            smtpclient.DELIVERY_NOTIFY_SUCCESS | smtpclient.DELIVERY_NOTIFY_FAILURE | smtpclient.DELIVERY_RETURN_HEADERS
        )
        client.envelope_id = f"id+{mark}"
        message = compose("Gr\u00fc\u00dfe\r\n".encode(), mark)
        client.send_message(f"bob@{server.domain}", f"alice+tag=1@{server.domain}", message)
        assert client.outcome == smtpclient.OUTCOME_ACCEPTED
    assert server.stored(mark) == server.expected(message)
    envelope = next(each for each in envelopes(server) if mark in json.dumps(each))
    text = json.dumps(envelope)
    # The server has taken the xtext apart.
    assert f"id+{mark}" in text
    assert "HDRS" in text and "SUCCESS" in text and "FAILURE" in text
    assert f"alice+tag=1@{server.domain}" in text
    assert "8bit" in text.lower()


def test_notifications_that_a_server_does_not_offer(servers):
    server = servers("mail_server")
    with open_client(server, "starttls", True) as client:
        client.delivery_options = smtpclient.DELIVERY_NOTIFY_NEVER
        with pytest.raises(CallerError) as failed:
            send(client, server, b"x\r\n")
        assert failed.value.name == "SMTP_ERROR_EXTENSION_UNAVAILABLE"
        assert client.outcome == smtpclient.OUTCOME_NOT_SENT and failed.value.safe_to_retry
        client.leave_out = True
        mark, message = send(client, server, b"x\r\n")
    assert server.stored(mark) == server.expected(message)


@pytest.mark.parametrize("name", ["postfix", "smtp-server", "aiosmtpd"])
def test_a_mailbox_beyond_ascii_and_a_domain_in_ascii(servers, name):
    server = servers(name)
    mark = next(marks)
    message = compose(b"x\r\n", mark)
    # Postfix knows this one mailbox beyond ASCII; the others take any.
    recipient = "user@\u03c0\u03b1\u03c1\u03ac\u03b4\u03b5\u03b9\u03b3\u03bc\u03b1.test" if name == "postfix" else f"\u044e\u043b\u044f@{server.domain}"
    with open_client(server, "starttls", True) as client:
        assert "SMTPUTF8" in client.extensions
        client.send_message(f"j\u00f6rg@{server.domain}", recipient, message)
        assert client.outcome == smtpclient.OUTCOME_ACCEPTED
        address = client.recipients[0].address
    if name == "postfix":
        assert address.endswith("@xn--hxajbheg2az3al.test")
    assert server.stored(mark) == server.expected(message)


def test_a_mailbox_beyond_ascii_where_it_is_not_offered(servers):
    server = servers("net-smtp-server")
    with open_client(server, "plain", False) as client:
        with pytest.raises(CallerError) as failed:
            client.send_message("a@example.test", "j\u00f6rg@example.test", b"x\r\n")
    assert failed.value.name == "SMTP_ERROR_SMTPUTF8_REQUIRED"
    assert failed.value.address == "j\u00f6rg@example.test" and "does not offer" in str(failed.value)


def test_tls_all_the_way_in_the_envelope_of_a_server(servers):
    server = servers("smtp-server")
    mark = next(marks)
    message = compose(b"x\r\n", mark)
    with open_client(server, "tls", False) as client:
        client.require_tls = True
        assert client.capability("REQUIRETLS") == ""
        assert client.extended_options & smtpclient.EXTOPT_REQUIRETLS
        client.envelope_id = mark
        client.set_recipient_delivery(
            f"alice@{server.domain}", smtpclient.DELIVERY_NOTIFY_DELAY, f"first+one@{server.domain}"
        )
        client.send_message(f"bob@{server.domain}", [f"alice@{server.domain}", f"bob@{server.domain}"], message)
        assert client.outcome == smtpclient.OUTCOME_ACCEPTED
    assert server.stored(mark) == server.expected(message)
    facts = next(each for each in envelopes(server) if mark in json.dumps(each))
    assert facts["requireTLS"] is True
    dsn = {recipient["address"].partition("@")[0]: recipient.get("dsn") or {} for recipient in facts["rcptTo"]}
    assert dsn["alice"]["notify"] in ("DELAY", ["DELAY"])
    assert dsn["alice"]["orcpt"] == f"rfc822;first+one@{server.domain}"
    assert not dsn["bob"].get("notify")


def test_tls_all_the_way_is_not_asked_for_where_it_cannot_be(servers):
    server = servers("smtp-server")
    with open_client(server, "plain", False) as client:
        client.require_tls = True
        client.leave_out = True
        with pytest.raises(CallerError) as failed:
            send(client, server, b"x\r\n")
        assert failed.value.name == "SMTP_ERROR_EXTENSION_UNAVAILABLE"
        assert "not encrypted" in str(failed.value)
        assert client.outcome == smtpclient.OUTCOME_NOT_SENT
    with Client() as client:
        client.insecure_skip_verify = True
        client.require_tls = True
        client.connect(server.host, server.ports["tls"], timeout=20, options=smtpclient.OPTION_SECURE_IMPLICIT)
        with pytest.raises(CallerError, match="not verified"):
            send(client, server, b"x\r\n")


def test_extensions_of_exim_one_by_one(servers):
    server = servers("exim-gsasl")
    with open_client(server, "starttls", False) as client:
        limits = dict(word.split("=") for word in client.capability("limits").split())
        assert limits == {"MAILMAX": "10", "RCPTMAX": "20"}
        assert client.capability("SIZE") == str(client.size_limit)
        for line in client.extensions.split("\n"):
            keyword, _, rest = line.partition(" ")
            assert client.capability(keyword.lower()) == rest
        assert client.capability("ETRN") is None
        bits = client.extended_options
        assert bits & smtpclient.EXTOPT_LIMITS and bits & smtpclient.EXTOPT_VRFY and bits & smtpclient.EXTOPT_HELP
        assert not bits & smtpclient.EXTOPT_ETRN
        assert "MAIL" in client.help()
        mark, message = send(client, server, b"x\r\n")
    assert server.stored(mark) == server.expected(message)


def test_turns_and_questions_of_postfix(servers):
    server = servers("postfix")
    with open_client(server, "starttls", False) as client:
        assert client.capability("VRFY") == "" and client.extended_options & smtpclient.EXTOPT_ETRN
        assert client.extended_turn(server.domain) == (250, "Queuing started")
        with pytest.raises(ServerError) as failed:
            client.extended_turn("elsewhere.example")
        assert failed.value.result_code in (458, 459)
        # Postfix knows this one mailbox beyond ASCII.
        code, text = client.verify("user@\u03c0\u03b1\u03c1\u03ac\u03b4\u03b5\u03b9\u03b3\u03bc\u03b1.test")
        assert code == 252 and text


@pytest.mark.parametrize("name", ["postfix", "smtp-server"])
def test_extensions_switched_off(servers, name):
    server = servers(name)
    with Client() as client:
        client.ca_file = server.ca
        client.disabled_extensions = "PIPELINING SIZE 8BITMIME DSN SMTPUTF8 ENHANCEDSTATUSCODES"
        sent = []
        client.on_event(lambda event: sent.append(event.text), smtpclient.EVENT_COMMAND)
        client.connect(server.tls_name, server.ports["starttls"], timeout=20, options=smtpclient.OPTION_SECURE)
        mark, message = send(client, server, "Gr\u00fc\u00dfe\r\n".encode())
        assert f"MAIL FROM:<bob@{server.domain}>" in sent
        assert len(client.left_out_extensions.split("\n")) == 6
    assert server.stored(mark) == server.expected(message)
