"""The Python examples, run as a reader would run them."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

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


def test_the_systems_trust_store_is_used_without_a_ca_file(server):
    arguments = [word for word in common(server, "tls", "implicit") if word not in ("--ca-file", server.ca)]
    login = ["--user", server.user, "--password", server.password]
    # Where the system's authorities are looked for, as by OpenSSL.
    trusted = run(*arguments, *login, text=message("system-trust"), SSL_CERT_FILE=server.ca)
    assert trusted.returncode == 0, trusted.stderr
    assert server.stored("system-trust") == message("system-trust").encode()
    unknown = run(*arguments, *login, text=message("unknown-authority"))
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
