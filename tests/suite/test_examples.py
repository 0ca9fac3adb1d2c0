"""The examples, run as a reader would run them: those in Python, and those that
exist in both languages and do the same.

SMTPCLIENT_TARGET names the directory with the libraries; without it, it is
target/release. CC names the compiler.
"""

import email
import email.policy
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

TARGET = Path(os.environ.get("SMTPCLIENT_TARGET", ROOT / "target" / "release"))
CC = os.environ.get("CC", "gcc")
STRICT = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]

EXAMPLE = ROOT / "examples-python" / "send.py"


@pytest.fixture(scope="module")
def server(servers):
    return servers("mail_server")


def run(*arguments, text="", **environment):
    # Without the path that the tests set, as from a fresh checkout.
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "SMTP_PASSWORD")}
    return subprocess.run(
        [sys.executable, EXAMPLE, *arguments],
        input=text.encode(),
        env={**clean, **environment},
        cwd="/",
        capture_output=True,
        timeout=60,
    )


def common(server, port, tls, *recipients):
    arguments = ["--server", "localhost", "--port", str(server.ports[port]), "--tls", tls, "--ca-file", server.ca]
    arguments += ["--sender", "bob@example.test"]
    for recipient in recipients or ["alice@example.test"]:
        arguments += ["--recipient", recipient]
    return arguments


def message(mark):
    return f"X-Mark: {mark}\r\nSubject: example\r\n\r\n.dot\r\nGr\u00fc\u00dfe\r\n"


def test_help():
    result = run("--help")
    assert result.returncode == 0
    for option in (b"--server", b"--tls", b"--ca-file", b"--password-file", b"SMTP_PASSWORD", b"--recipient"):
        assert option in result.stdout


def test_a_file_over_starttls_with_a_password_file(server, tmp_path):
    secret, mail = tmp_path / "secret", tmp_path / "mail.eml"
    secret.write_text(server.password + "\n")
    mail.write_bytes(message("example-file").encode())
    login = ["--user", server.user, "--password-file", str(secret)]
    result = run(*common(server, "starttls", "required"), *login, "--trace", str(mail))
    assert result.returncode == 0, result.stderr
    assert b"Sent to 1 of 1 recipients: 250" in result.stdout
    assert b"C: QUIT" in result.stderr and server.password.encode() not in result.stderr
    assert server.stored("example-file") == mail.read_bytes()


def test_standard_input_over_implicit_tls_with_the_environment(server):
    mail = message("example-stdin")
    result = run(*common(server, "tls", "implicit"), "--user", server.user, text=mail, SMTP_PASSWORD=server.password)
    assert result.returncode == 0, result.stderr
    assert server.stored("example-stdin") == mail.encode()


def test_a_text_from_the_command_line_and_a_refused_recipient(server):
    recipients = ["alice@example.test", "reject@example.test"]
    arguments = [*common(server, "plain", "none", *recipients), "--subject", "Gr\u00fc\u00dfe", "--text", "Hello"]
    result = run(*arguments, "--user", server.user, "--password", server.password)
    assert result.returncode == 0, result.stderr
    assert b"Sent to 1 of 2 recipients" in result.stdout
    assert b"reject@example.test: 550" in result.stderr


def test_the_systems_trust_store_alone_counts_without_a_ca_file(server):
    arguments = [word for word in common(server, "tls", "implicit") if word not in ("--ca-file", server.ca)]
    login = ["--user", server.user, "--password", server.password]
    # The environment, by which OpenSSL would find an authority, changes nothing.
    for environment in ({}, {"SSL_CERT_FILE": server.ca}):
        unknown = run(*arguments, *login, text=message("unknown-authority"), **environment)
        assert unknown.returncode != 0
        assert b"not issued by a trusted authority" in unknown.stderr or b"could not be read" in unknown.stderr


@pytest.mark.parametrize(
    "change, step, words",
    [
        (["--port", "1"], b"Connect:", b"refused"),
        (["--tls", "implicit"], b"Connect:", b"TLS"),
        (["--port", "70000"], b"Connect:", b"port"),
        (["--ca-file", "/nowhere"], b"Connect:", b"/nowhere"),
        (["--user", "alice", "--password", "wrong"], b"Authenticate:", b"535"),
        (["--recipient", "not an address"], b"Send:", b"not an address"),
        (["--sender", "bob@example.test\nDATA"], b"Send:", b"U+000A"),
    ],
)
def test_failures_say_where_and_why(server, change, step, words):
    result = run(*common(server, "starttls", "required"), *change, text=message("example-failure"))
    assert result.returncode == 1
    assert result.stderr.startswith(step), result.stderr
    assert words in result.stderr and b"Traceback" not in result.stderr


def test_a_message_file_that_is_not_there(server):
    result = run(*common(server, "plain", "none"), "/nowhere/mail.eml")
    assert result.returncode == 2
    assert b"/nowhere/mail.eml" in result.stderr and b"Traceback" not in result.stderr


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """Call it with a name and a language to get the command of the example."""
    folder = tmp_path_factory.mktemp("programs")
    library = TARGET / "libsmtpclient.so"
    # What a program looks for at run time is the soname.
    (folder / "libsmtpclient.so.0").symlink_to(library.resolve())

    def command(name, language):
        if language == "python":
            return [sys.executable, ROOT / "examples-python" / f"{name}.py"]
        program, source = folder / name, ROOT / "examples-c" / f"{name}.c"
        build = [CC, *STRICT, f"-I{ROOT / 'include'}", "-o", program, source, library, f"-Wl,-rpath,{folder}"]
        built = subprocess.run(build, capture_output=True, text=True, timeout=120)
        assert built.returncode == 0, built.stderr
        return [program]

    return command


def run_program(command, *arguments, text="", **environment):
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH" and not name.startswith("SMTP_")}
    return subprocess.run(
        [*command, *map(str, arguments)],
        input=text,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


BOTH = pytest.mark.parametrize("language", ["c", "python"])


@BOTH
def test_step_by_step(server, programs, language):
    command = programs("stepwise", language)
    plain = [server.host, server.ports["plain"], "bob@example.test"]
    mark = f"stepwise-{language}"
    done = run_program(
        command,
        *plain,
        "alice@example.test",
        "reject@example.test",
        "not an address",
        "carol@example.test",
        text=f"X-Mark: {mark}\n.dot\nno line end",
        SMTP_USER=server.user,
        SMTP_PASSWORD=server.password,
    )
    assert done.returncode == 0, done.stderr
    assert "accepted: alice@example.test" in done.stdout and "accepted: carol@example.test" in done.stdout
    assert "sent: 250 " in done.stdout
    assert "refused: reject@example.test: " in done.stderr and "550" in done.stderr
    assert "refused: not an address: " in done.stderr
    # The mark is in the body here.
    assert server.stored(mark) == f"X-Mark: {mark}\r\n.dot\r\nno line end\r\n".encode()

    nobody = run_program(command, *plain, "reject@example.test", text="x")
    assert nobody.returncode == 1 and "nobody is left" in nobody.stderr and "sent:" not in nobody.stdout
    assert run_program(command, *plain).returncode == 2
    refused = run_program(command, server.host, 1, "bob@example.test", "alice@example.test")
    assert refused.returncode == 1 and "refused" in refused.stderr and "Traceback" not in refused.stderr


@BOTH
def test_a_newsletter(server, programs, language, tmp_path):
    command = programs("newsletter", language)
    users = [f"reader{number}@example.test" for number in range(300)]
    addresses = ["alice@example.test", "", "later@example.test", *users, "reject@example.test"]
    mark = f"newsletter-{language}"
    (tmp_path / "list").write_bytes("\r\n".join(addresses).encode())
    (tmp_path / "message.eml").write_bytes(message(mark).encode())
    arguments = [server.host, server.ports["plain"], "bob@example.test", tmp_path / "list", tmp_path / "message.eml"]
    done = run_program(command, *arguments)
    assert done.returncode == 1, "not everybody has it"
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == [address for address in addresses if address]
    states = {row[0]: (row[1], row[2]) for row in rows}
    assert states["alice@example.test"] == states["reader299@example.test"] == ("accepted", "")
    assert states["later@example.test"] == ("refused for now", "451 4.3.0 not now")
    assert states["reject@example.test"] == ("refused", "550 5.7.1 no mail for this one")
    assert "301 of 303 have it; 1 can be tried again" in done.stderr
    assert server.stored(mark) == message(mark).encode()

    (tmp_path / "list").write_text("alice@example.test\n")
    everybody = run_program(command, *arguments, SMTP_USER=server.user, SMTP_PASSWORD=server.password)
    assert (everybody.returncode, everybody.stdout) == (0, "alice@example.test\taccepted\t\n"), everybody.stderr
    assert run_program(command, *arguments[:4]).returncode == 2
    assert run_program(command, *arguments[:3], "/nowhere/list", arguments[4]).returncode == 2
    missing = run_program(command, *arguments[:4], "/nowhere/mail.eml")
    assert missing.returncode == 1 and "/nowhere/mail.eml" in missing.stderr and "Traceback" not in missing.stderr


CALENDAR = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n"


@BOTH
def test_composed_messages(server, programs, language, tmp_path):
    (tmp_path / "one.png").write_bytes(b"\x89PNG one")
    (tmp_path / "two.jpg").write_bytes(b"JPEG two")
    (tmp_path / "Rechnung \u00fc.pdf").write_bytes(b"%PDF-1.7\n" * 1000)
    (tmp_path / "meeting.ics").write_text(CALENDAR, newline="")
    wanted = {
        "note": (["Gr\u00fc\u00dfe"], ["text/plain"]),
        "html_newsletter": (
            [tmp_path / "one.png", tmp_path / "two.jpg"],
            ["multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png", "image/jpeg"],
        ),
        "invoice": ([tmp_path / "Rechnung \u00fc.pdf"], ["multipart/mixed", "text/plain", "application/pdf"]),
        "invitation": (
            [tmp_path / "meeting.ics"],
            ["multipart/mixed", "multipart/alternative", "text/plain", "text/calendar", "text/calendar"],
        ),
    }
    where = [server.host, server.ports["plain"]]
    for name, (more, types) in wanted.items():
        command, sender = programs(name, language), f"{name}-{language} <bob@example.test>"
        done = run_program(command, *where, sender, "Alice <alice@example.test>", *more)
        assert done.returncode == 0, done.stderr
        read = stored_from(server, f"From: {name}-{language} ")
        assert [part.get_content_type() for part in read.walk()] == types
        if name == "note":
            assert read.get_content().rstrip() == "Gr\u00fc\u00dfe"
        elif name == "html_newsletter":
            assert read["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        elif name == "invoice":
            (attached,) = read.iter_attachments()
            assert attached.get_filename() == "Rechnung \u00fc.pdf"
            assert attached.get_payload(decode=True) == b"%PDF-1.7\n" * 1000
        else:
            calendars = [part for part in read.walk() if part.get_content_type() == "text/calendar"]
            assert calendars[0].get_param("method") == "REQUEST"
            assert [part.get_payload(decode=True) for part in calendars] == [CALENDAR.encode()] * 2
        assert run_program(command, *where).returncode == 2
        refused = run_program(command, *where, "no address", "alice@example.test", *more)
        assert refused.returncode == 1 and "no address" in refused.stderr and "Traceback" not in refused.stderr
    missing = run_program(programs("invoice", language), *where, "bob@example.test", "alice@example.test", "/nowhere")
    assert missing.returncode == 1 and "/nowhere" in missing.stderr


def stored_from(server, beginning):
    """The message that the server has stored with this in its header."""
    end = time.monotonic() + 15
    while time.monotonic() < end:
        for path in Path(server.delivered).rglob("*"):
            if path.is_file() and beginning.encode() in (octets := path.read_bytes()):
                return email.message_from_bytes(octets, policy=email.policy.default)
        time.sleep(0.05)
    raise AssertionError(f"there is no message with {beginning}")
