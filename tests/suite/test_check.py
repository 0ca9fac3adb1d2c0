"""Checks of messages: from memory, from a file, and of composed ones."""

import pytest

import smtpclient
from smtpclient import CallerError, Message

GOOD = (
    b"From: Bob <bob@example.test>\r\nTo: alice@example.test\r\nSubject: Hello\r\n"
    b"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.test>\r\n\r\nHello.\r\n"
)


def names(found):
    return [(each.severity, each.name, each.header) for each in found]


def test_memory_and_file_tell_the_same(tmp_path):
    path = tmp_path / "message.eml"
    bad = GOOD.replace(b"To: ", b"To: p\xd0\xb0ul@p\xd0\xb0ypal.example, nobody, ").replace(b"Hello.", b"\xff\0")
    for message, expected in (
        (GOOD, []),
        (GOOD.replace(b"\r\n", b"\n"), [("WARNING", "BARE_LINE_END", "")]),
        (
            bad,
            [
                ("WARNING", "HEADER_EIGHT_BIT", "To"),
                ("WARNING", "LOOK_ALIKE", "To"),
                ("ERROR", "ADDRESS", "To"),
                ("ERROR", "EIGHT_BIT_UNDECLARED", "Content-Transfer-Encoding"),
                ("WARNING", "CHARSET", "Content-Type"),
                ("ERROR", "NUL", ""),
            ],
        ),
    ):
        path.write_bytes(message)
        found = smtpclient.check_message(message)
        assert names(found) == expected
        assert found == smtpclient.check_file(path)
        assert all(each.what and each.remedy and each.code > 0 and each.count > 0 for each in found)


def test_places():
    found = smtpclient.check_message(GOOD + b"x" * 999 + b"\r\n" + b"y" * 1000 + b"\r\n")
    assert [(each.code, each.line, each.count) for each in found] == [(smtpclient.CHECK_LINE_TOO_LONG, 8, 2)]


def test_limit():
    assert smtpclient.check_message(GOOD, len(GOOD)) == []
    assert names(smtpclient.check_message(GOOD, len(GOOD) - 1)) == [("ERROR", "OVERSIZE", "")]


def test_a_flood_of_findings():
    found = smtpclient.check_message(GOOD.replace(b"To: ", b"To: " + b", ".join(b"n%d" % n for n in range(5000)) + b", "))
    assert len(found) == 100


def test_arguments(tmp_path):
    with pytest.raises(CallerError) as failed:
        smtpclient.check_file(tmp_path / "none")
    assert failed.value.name == "SMTP_ERROR_FILE" and "none" in str(failed.value)
    with pytest.raises(TypeError):
        smtpclient.check_message("text")
    with pytest.raises(smtpclient.ArgumentError):
        smtpclient.check_message(b"", -1)


def test_composed(tmp_path):
    message = Message()
    message.compose("Bob <bob@example.test>", "alice@example.test", bcc="c@example.test", subject="Gr\u00fc\u00dfe", text="Hello\n.\n\u00fc")
    message.attach(bytes(range(256)) * 100, "data.bin")
    assert message.check() == []
    assert names(message.check(1000)) == [("ERROR", "OVERSIZE", "")]
    message.text = " "
    assert names(message.check()) == [("WARNING", "TEXT_EMPTY", "")]
    message["To"] = "x@xn--pypal-4ve.example"
    message["X-Long"] = "x" * 1200
    assert {"LOOK_ALIKE", "TEXT_EMPTY"} <= {each.name for each in message.check()}
