"""Messages composed, loaded and sent through the Python package, read back by
Python's own email package, also from the servers that took them.
"""

import email
import email.header
import email.policy
import email.utils
import io
import os
import re
import threading
import time
from email.message import EmailMessage
from pathlib import Path

import pytest
import smtpclient
from smtpclient import CallerError, Client, Message

TEXTS = {
    "latin": "Grüße aus Köln",
    "cyrillic": "Привет, мир",
    "greek": "Γειά σου Κόσμε",
    "hebrew": "שלום עולם",
    "arabic": "مرحبا بالعالم",
    "chinese": "你好，世界",
    "japanese": "こんにちは世界",
    "korean": "안녕하세요 세계",
    "thai": "สวัสดีชาวโลก",
    "devanagari": "नमस्ते दुनिया",
    "bengali": "হ্যালো বিশ্ব",
    "tamil": "வணக்கம் உலகம்",
    "telugu": "నమస్కారం ప్రపంచం",
    "kannada": "ನಮಸ್ಕಾರ ವಿಶ್ವ",
    "malayalam": "ഹലോ വേൾഡ്",
    "georgian": "გამარჯობა სამყარო",
    "armenian": "Բարեւ աշխարհ",
    "ethiopic": "ሰላም ልዑል",
    "khmer": "សួស្តីពិភពលោក",
    "cherokee": "ᏏᏲ ᎡᎶᎯ",
    "emoji": "👩‍👩‍👧‍👦 🇩🇪",
    "right to left": "\u202eabc\u202c def",
    "specials": 'a "b", <c@d> (e) \\ ; : =?utf-8?q?x?=',
}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
SERVERS = ["postfix", "dovecot-submission", "smtp-server", "aiosmtpd", "mail_server"]


def parse(octets):
    assert not re.search(rb"[^\r]\n|\r[^\n]", octets)
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    return email.message_from_bytes(octets, policy=email.policy.default)


def display_name(octets):
    """The name in From. The newer policies put a blank between the encoded words of a name."""
    ((name, _),) = email.utils.getaddresses([email.message_from_bytes(octets)["From"].replace("\r\n", "")])
    return str(email.header.make_header(email.header.decode_header(name)))


def crlf(text):
    return re.sub("\r\n|\r|\n", "\r\n", text)


@pytest.mark.parametrize("script", TEXTS)
def test_every_script_reads_back(script):
    text = TEXTS[script]
    name = text.replace("\\", "\\\\").replace('"', '\\"')
    message = Message(f'"{name}" <ann@example.com>', "bob@example.org", subject=text, text=text, html=f"<p>{text}</p>")
    message.attach(text.encode(), f"{text}.txt")
    read = parse(message.as_bytes())
    assert read["Subject"] == text == message.subject
    assert read["From"].addresses[0].addr_spec == "ann@example.com"
    assert display_name(message.as_bytes()) == text
    assert read.get_body(("plain",)).get_content().rstrip("\n") == text
    assert read.get_body(("html",)).get_content().rstrip("\n") == f"<p>{text}</p>"
    (attached,) = read.iter_attachments()
    assert attached.get_filename() == f"{text}.txt"
    assert attached.get_payload(decode=True) == text.encode()


@pytest.mark.parametrize("script", TEXTS)
def test_a_header_of_ten_thousand_characters(script):
    text = (" ".join([TEXTS[script]] * 1000))[:10000].strip()
    message = Message("a@example.com", "b@example.org")
    message["X-Long"] = text
    octets = message.as_bytes()
    assert str(parse(octets)["X-Long"]) == text
    assert Message.from_bytes(octets)["x-long"] == text


def test_the_structure():
    message = Message("a@example.com", "b@example.org", text="one", html='<img src="cid:logo">')
    message.embed(PNG, "logo", "logo.png")
    message.set_calendar("BEGIN:VCALENDAR\nMETHOD:REQUEST\nEND:VCALENDAR\n")
    message.attach(b"%PDF-1.7", "invoice.pdf")
    inner = Message("c@example.com", "d@example.org", subject="inner", text="inner text")
    message.attach(inner, "forwarded.eml")
    read = parse(message.as_bytes())

    def outline(part):
        children = part.get_payload() if part.is_multipart() else []
        return [part.get_content_type(), *map(outline, children)]

    related = ["multipart/related", ["text/html"], ["image/png"]]
    assert outline(read) == [
        "multipart/mixed",
        ["multipart/alternative", ["text/plain"], related, ["text/calendar"]],
        ["application/pdf"],
        ["message/rfc822", ["text/plain"]],
    ]
    calendar = [part for part in read.walk() if part.get_content_type() == "text/calendar"][0]
    assert calendar.get_param("method") == "REQUEST" and calendar.get_content_charset() == "utf-8"
    image = [part for part in read.walk() if part.get_content_type() == "image/png"][0]
    assert image["Content-ID"] == "<logo>" and image.get_payload(decode=True) == PNG
    assert read.get_payload()[2].get_payload(0)["Subject"] == "inner"

    loaded = Message.from_bytes(message.as_bytes())
    assert [part.type for part in loaded.parts] == [part.get_content_type() for part in read.walk()]
    assert [part.type for part in message.parts] == [part.type for part in loaded.parts][:-1]
    assert [part.name for part in loaded.attachments] == ["invoice.pdf", "forwarded.eml"]
    assert loaded.part_content(loaded.attachments[0]) == b"%PDF-1.7"
    (shown,) = [part for part in loaded.parts if part.content_id == "logo"]
    assert (shown.disposition, loaded.part_content(shown)) == ("inline", PNG)
    assert (loaded.text, loaded.html) == ("one", '<img src="cid:logo">')


def test_header_fields():
    message = Message("a@example.com", ["b@example.org", "Carl <c@example.org>"], "x", "y", bcc="d@example.org")
    assert message.to == "b@example.org, Carl <c@example.org>"
    message.reply_to = "Office <office@example.com>"
    message.priority = smtpclient.PRIORITY_HIGH
    message.set_read_receipt("a@example.com")
    message.set_unsubscribe("leave@example.com", "https://example.com/u?id=1", one_click=True)
    message.add_header("X-Two", "first")
    message.add_header("X-Two", "second")
    read = parse(message.as_bytes())
    assert read["Bcc"] is None and read["Reply-To"] == "Office <office@example.com>"
    assert (read["X-Priority"], read["Importance"]) == ("2", "high")
    assert read["Disposition-Notification-To"] == "a@example.com"
    assert read["List-Unsubscribe"] == "<mailto:leave@example.com>, <https://example.com/u?id=1>"
    assert read["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert read.get_all("X-Two") == ["first", "second"]
    assert read["Date"].datetime and read["Message-ID"].endswith("@example.com>")
    assert message.as_bytes() == message.as_bytes(), "what is made once stays"
    everything = parse(message.as_bytes(smtpclient.EXPORT_ALLHEADERS | smtpclient.EXPORT_KEEPORDER))
    assert everything["Bcc"] == "d@example.org" and everything.keys()[0] == "From"
    at = [name for name, _ in message.headers].index("X-Two")
    message.set_header_at(at, "new")
    message.remove_header_at(at + 1)
    assert ("X-Two", "new") in message.headers and message.get("X-Two", occurrence=1) is None
    del message["X-Two"]
    assert "X-Two" not in message and message.get("X-Two", "none") == "none"
    with pytest.raises(KeyError):
        message["X-Two"]
    message.subject = None
    assert message.subject is None and message.priority == 2
    assert message.size() == len(message.as_bytes())


@pytest.mark.parametrize(
    "name, value",
    [
        ("Subject", "a\r\nBcc: b@example.org"),
        ("Subject", "a\nb"),
        ("Subject", "a\rb"),
        ("Subject", "a\x85b"),
        ("X\r\nBcc", "b"),
        ("X Y", "b"),
        ("To", "a@example.com\r\nBcc: b@example.org"),
        ("Content-Type", "text/html"),
        ("Message-ID", "<ü@example.com>"),
        ("", "x"),
    ],
)
def test_no_value_makes_another_field(name, value):
    message = Message("a@example.com", "b@example.org")
    before = message.headers
    for change in (message.__setitem__, message.add_header):
        with pytest.raises(CallerError) as failed:
            change(name, value)
        assert failed.value.name in ("SMTP_ERROR_HEADER", "SMTP_ERROR_INVALID_ADDRESS")
        assert "\r" not in str(failed.value) and "\n" not in str(failed.value)
    assert message.headers == before


def test_readers(tmp_path):
    content = os.urandom(200_000)
    path = tmp_path / "Übung 1.bin"
    path.write_bytes(content)
    message = Message("a@example.com", "b@example.org", text="x")
    message.attach_file(path)
    message.attach(io.BytesIO(content), "memory.bin")

    class Once:
        def __init__(self):
            self.rest = content

        def read(self, count):
            some, self.rest = self.rest[: count // 2 + 1], self.rest[count // 2 + 1 :]
            return some

    for _ in range(2):
        read = parse(message.as_bytes())
        assert [part.get_payload(decode=True) == content for part in read.iter_attachments()] == [True, True]
    assert [part.get_filename() for part in read.iter_attachments()] == ["Übung 1.bin", "memory.bin"]
    message.attach(Once(), "once.bin")
    assert message.size() is None
    assert [part.get_payload(decode=True) == content for part in parse(message.as_bytes()).iter_attachments()] == [True] * 3
    with pytest.raises(CallerError, match="once"):
        message.as_bytes()
    target = io.BytesIO()
    other = Message("a@example.com", "b@example.org", text="x")
    other.attach(Once(), "told.bin", size=len(content) - 1)
    with pytest.raises(CallerError, match="more than"):
        other.save(target)

    class Broken:
        def read(self, count):
            raise ZeroDivisionError

    broken = Message("a@example.com", "b@example.org")
    broken.attach(Broken(), "x")
    with pytest.raises(ZeroDivisionError):
        broken.as_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(CallerError) as failed:
        message.save(tmp_path / "out.eml")
    assert failed.value.name == "SMTP_ERROR_ATTACHMENT" and "fewer" in str(failed.value)


def test_load_and_save(tmp_path):
    octets = Message("a@example.com", "b@example.org", "Grüße", "text\n").as_bytes()
    (tmp_path / "m.eml").write_bytes(octets.replace(b"\r\n", b"\n"))
    keep = smtpclient.EXPORT_ALLHEADERS | smtpclient.EXPORT_KEEPORDER
    with open(tmp_path / "m.eml", "rb") as file:
        for source in (str(tmp_path / "m.eml"), tmp_path / "m.eml", file):
            loaded = Message.from_file(source)
            assert loaded.as_bytes(keep) == octets and loaded.subject == "Grüße" and loaded.text == "text\r\n"
    loaded.save(tmp_path / "again.eml", keep)
    assert (tmp_path / "again.eml").read_bytes() == octets
    loaded.save_part(loaded.parts[0], tmp_path / "text")
    assert (tmp_path / "text").read_bytes() == b"text\r\n"
    with pytest.raises(CallerError) as failed:
        loaded.text = "new"
    assert failed.value.name == "SMTP_ERROR_LOADED_BODY"
    for bad in (b"", b"no header\n", b"\r\n\r\n"):
        with pytest.raises(CallerError) as failed:
            Message.from_bytes(bad)
        assert failed.value.name == "SMTP_ERROR_NOT_A_MESSAGE"
    with pytest.raises(CallerError):
        Message.from_file(tmp_path / "missing.eml")
    with pytest.raises(CallerError) as failed:
        loaded.save(tmp_path / "no" / "such" / "folder")
    assert failed.value.name == "SMTP_ERROR_WRITER"


def test_encodings():
    text = "Grüße und mehr Text in dieser Zeile\n" * 3 + "=" + "x" * 100 + " \n.\nFrom me\n"
    found = {}
    for name in ("AUTOMATIC", "QUOTED", "BASE64", "8BIT"):
        message = Message("a@example.com", "b@example.org", text=text)
        message.text_encoding = getattr(smtpclient, f"ENCODING_{name}")
        read = parse(message.as_bytes())
        found[name] = read["Content-Transfer-Encoding"]
        assert crlf(read.get_content()) == crlf(text)
    wanted = {"AUTOMATIC": "quoted-printable", "QUOTED": "quoted-printable", "BASE64": "base64", "8BIT": "8bit"}
    assert found == wanted
    message = Message("a@example.com", "b@example.org", text="word " * 100 + "\n> quoted\n")
    message.flowed = True
    read = parse(message.as_bytes())
    assert read.get_param("format") == "flowed"
    assert max(map(len, read.get_payload().splitlines())) <= 78
    assert "".join(read.get_payload().splitlines()[:7]).startswith("word word word")


def test_a_child_process_leaves_messages_alone():
    message = Message("a@example.com", "b@example.org", text="x")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            message.as_bytes()
        except smtpclient.SmtpError as error:
            os.write(writing, error.name.encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100) == b"SMTP_ERROR_FORKED"
    assert parse(message.as_bytes()).get_content() == "x\r\n"
    message.close()
    message.close()
    with pytest.raises(CallerError):
        message.as_bytes()


def connect(server, login=True):
    client = Client()
    client.ca_file = server.ca
    client.tls_mode = smtpclient.TLS_IMPLICIT
    client.connect("localhost", server.ports["tls"], timeout=30)
    if login:
        client.authenticate(server.user, server.password)
    return client


def delivered(server, mark):
    """The whole of a delivered message, with what the server put in front."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for folder, _, names in os.walk(server.delivered):
            for path in (Path(folder, name) for name in names):
                if path.parent.name != "tmp" and mark.encode() in (octets := path.read_bytes()):
                    return email.message_from_bytes(octets, policy=email.policy.default)
        time.sleep(0.05)
    raise AssertionError(f"{server.name} has not delivered {mark}")


@pytest.mark.parametrize("name", SERVERS)
def test_deliveries_read_back(servers, name, tmp_path):
    server = servers(name)
    content = os.urandom(300_000)
    (tmp_path / "Rechnung März.pdf").write_bytes(content)
    sender, mark = f"bob@{server.domain}", f"composed-{name}-{os.getpid()}"
    text = "Grüße\n.\n..\nFrom here\n" + "x" * 2000 + "\n"
    message = Message(f"Bob Müller <{sender}>", f"Friends: alice@{server.domain};", f"{mark} 你好", text, f"<p>{mark}</p>")
    message.bcc = f"Alice <alice@{server.domain}>"
    message.embed(PNG, "logo", "logo.png")
    message.attach_file(tmp_path / "Rechnung März.pdf")
    with connect(server) as client:
        client.send_composed(message)
        assert (client.recipients_accepted, client.recipients_refused) == (1, 0)
        status = client.transfer_status
        assert status.bytes_total == status.bytes_copied == message.size()
    read = delivered(server, message.message_id)
    assert read["Bcc"] is None and read["Subject"] == f"{mark} 你好"
    assert read["From"].addresses[0].display_name == "Bob Müller"
    assert crlf(read.get_body(("plain",)).get_content()) == crlf(text)
    (attached,) = read.iter_attachments()
    assert attached.get_filename() == "Rechnung März.pdf"
    assert attached.get_payload(decode=True) == content


def test_an_email_message_is_sent(servers):
    server = servers("mail_server")
    message = EmailMessage()
    message["From"], message["To"] = f"bob@{server.domain}", f"alice@{server.domain}"
    message["Bcc"], message["Subject"] = f"carol@{server.domain}", "Grüße"
    message.set_content("Hallo Wörld\n")
    message.add_attachment(PNG, maintype="image", subtype="png", filename="ü.png")
    with connect(server) as client:
        for number, send in enumerate(
            (lambda: client.send_message(message["From"], message["To"], message), lambda: client.send_composed(message))
        ):
            del message["Message-ID"]
            message["Message-ID"] = f"<email-{number}-{os.getpid()}@example.com>"
            send()
            assert client.recipients_accepted == number + 1
            assert message["Bcc"] is not None
            read = delivered(server, message["Message-ID"])
            assert read["Bcc"] is None and read["Subject"] == "Grüße"
            assert read.get_body().get_content() == "Hallo Wörld\r\n"
            assert [part.get_payload(decode=True) for part in read.iter_attachments()] == [PNG]


def test_what_cannot_be_sent(servers, tmp_path):
    server = servers("mail_server")
    with connect(server) as client:
        for message, wanted in (
            (Message(None, f"alice@{server.domain}"), "SMTP_ERROR_NO_SENDER"),
            (Message(f"bob@{server.domain}", None, "x"), "SMTP_ERROR_NO_RECIPIENTS"),
            (Message.from_bytes(b"From: a@b\nTo: nobody\n\nx"), "SMTP_ERROR_INVALID_ADDRESS"),
        ):
            with pytest.raises(CallerError) as failed:
                client.send_composed(message)
            assert failed.value.name == wanted and client.is_connected
            assert client.outcome == smtpclient.OUTCOME_NOT_SENT
        changing = tmp_path / "changing"
        changing.write_bytes(b"x" * 1000)
        message = Message(f"bob@{server.domain}", f"alice@{server.domain}", text="x")
        message.attach_file(changing)
        changing.write_bytes(b"x" * 1001)
        with pytest.raises(CallerError) as failed:
            client.send_composed(message)
        assert failed.value.name == "SMTP_ERROR_ATTACHMENT"
        assert client.outcome == smtpclient.OUTCOME_NOT_SENT and not client.is_connected


def test_one_message_from_many_threads(servers):
    server = servers("mail_server")
    message = Message(f"bob@{server.domain}", f"alice@{server.domain}", "shared", "text")
    message.attach(PNG * 1000, "a.png")
    failures = []

    def run():
        try:
            with connect(server) as client:
                for _ in range(5):
                    client.send_composed(message)
                    assert len(message.as_bytes()) == message.size()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
