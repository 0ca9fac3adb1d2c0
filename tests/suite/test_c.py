"""The programs of tests/c against the shared library, against the static one
under AddressSanitizer and UndefinedBehaviorSanitizer, and under valgrind; and
the C example.

SMTPCLIENT_TARGET names the directory with the libraries; without it, it is
target/release. CC names the compiler.
"""

import os
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("SMTPCLIENT_TARGET", REPO / "target" / "release"))
SOURCES = REPO / "tests" / "c"
PROGRAMS = sorted(path.stem for path in SOURCES.glob("*.c"))
CC = os.environ.get("CC", "gcc")

STRICT = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
# What a Rust static library needs of the system.
STATIC_NEEDS = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"]
# Longer than the alarm by which a program that hangs ends itself.
PATIENCE = 150

PLANTED_OVERFLOW = r"""
#include <stdlib.h>
int main(int count, char **arguments)
{
    volatile char *block = malloc(8);
    (void)arguments;
    return block[count + 7];
}
"""

PLANTED_OVERRUN_OF_AN_INTEGER = r"""
#include <limits.h>
int main(int count, char **arguments)
{
    volatile int number = INT_MAX;
    (void)arguments;
    number += count;
    return number == 0;
}
"""

PLANTED_LEAK = r"""
#include <stdlib.h>
int main(void)
{
    volatile char *block = malloc(1234);
    block[0] = 1;
    block = 0;
    return 0;
}
"""


def need(tool):
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")


def run(command, **options):
    options.setdefault("timeout", PATIENCE)
    return subprocess.run(command, capture_output=True, text=True, errors="replace", **options)


def check_run(command, **options):
    done = run(command, **options)
    output = done.stdout + done.stderr
    assert done.returncode == 0, f"{' '.join(map(str, command))}\nstatus {done.returncode}\n{output[-8000:]}"
    return output


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """Compiles a program once for each variant."""
    need(CC)
    directory = tmp_path_factory.mktemp("c")
    # A copy under its soname, so that a build that runs meanwhile does not matter.
    shared = directory / "libsmtpclient.so.0"
    shutil.copy(TARGET / "libsmtpclient.so", shared)
    static = TARGET / "libsmtpclient.a"
    built = {}

    def compile_program(source, variant):
        if (source, variant) not in built:
            program = directory / f"{source.stem}-{variant}"
            flags = {
                "shared": [str(shared), f"-Wl,-rpath,{directory}"],
                "sanitized": [*SANITIZE, str(static), *STATIC_NEEDS],
            }[variant]
            include = [f"-I{REPO / 'include'}", f"-I{SOURCES}"]
            check_run([CC, *STRICT, "-g", "-O1", "-pthread", *include, str(source), "-o", str(program), *flags])
            built[source, variant] = program
        return built[source, variant]

    return compile_program


def planted(directory, text, flags):
    source = directory / "planted.c"
    source.write_text(text)
    program = directory / "planted"
    check_run([CC, "-std=c99", "-g", *flags, str(source), "-o", str(program)])
    return program


@pytest.mark.parametrize("name", PROGRAMS)
def test_shared_library(build, name):
    print(check_run([build(SOURCES / f"{name}.c", "shared")]))


@pytest.mark.parametrize("name", PROGRAMS)
def test_static_library_sanitized(build, name):
    """The programs and what they pass are checked; of the library, what it does with the heap."""
    check_run([build(SOURCES / f"{name}.c", "sanitized")], env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1"})


@pytest.mark.parametrize(
    "text, complaint",
    [
        (PLANTED_OVERFLOW, "heap-buffer-overflow"),
        (PLANTED_LEAK, "detected memory leaks"),
        (PLANTED_OVERRUN_OF_AN_INTEGER, "signed integer overflow"),
    ],
    ids=["address", "leak", "undefined"],
)
def test_the_sanitizers_are_on(tmp_path, text, complaint):
    need(CC)
    done = run([planted(tmp_path, text, SANITIZE)])
    assert done.returncode != 0
    assert complaint in done.stderr


VALGRIND = [
    "valgrind",
    "--quiet",
    "--error-exitcode=99",
    "--leak-check=full",
    "--errors-for-leak-kinds=definite",
    "--show-leak-kinds=definite",
    # Without it a thread that spins may keep all others from running.
    "--fair-sched=yes",
]


@pytest.mark.parametrize("name", PROGRAMS)
def test_valgrind(build, name):
    need("valgrind")
    check_run([*VALGRIND, build(SOURCES / f"{name}.c", "shared")])


def test_valgrind_is_on(tmp_path):
    need(CC)
    need("valgrind")
    for text in (PLANTED_OVERFLOW, PLANTED_LEAK):
        assert run([*VALGRIND, planted(tmp_path, text, ["-O0"])]).returncode == 99


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("name", ["send", "stepwise", "newsletter", "note", "html_newsletter", "invoice", "invitation"])
def test_the_example_compiles(tmp_path, name, compiler):
    need(compiler)
    source = REPO / "examples-c" / f"{name}.c"
    check_run([compiler, *STRICT, f"-I{REPO / 'include'}", "-c", str(source), "-o", str(tmp_path / "example.o")])


# Among the steps of a script: here TLS begins.
START_TLS = "TLS"


class Script(threading.Thread):
    """Plays (text from the client, answer) pairs on one connection; knows no SMTP."""

    def __init__(self, *steps, tls=None):
        super().__init__(daemon=True)
        self.steps = list(steps)
        self.tls = tls
        self.missed = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(30)
        self.port = str(self.listener.getsockname()[1])
        self.start()

    def run(self):
        connection, _ = self.listener.accept()
        connection.settimeout(30)
        while START_TLS in self.steps:
            at = self.steps.index(START_TLS)
            before, self.steps = self.steps[:at], self.steps[at + 1 :]
            if not self.play(connection, before):
                return
            connection = self.begin_tls(connection)
        with connection:
            if self.play(connection, self.steps) and (rest := connection.recv(1000)):
                self.missed = (b"", rest)

    def begin_tls(self, connection):
        return self.tls.wrap_socket(connection, server_side=True)

    def play(self, connection, steps):
        for expected, answer in steps:
            found = b""
            while len(found) < len(expected) and (more := connection.recv(len(expected) - len(found))):
                found += more
            if found != expected:
                self.missed = (expected, found)
                return False
            connection.sendall(answer)
        return True

    def finish(self):
        self.join(30)
        self.listener.close()
        assert self.missed is None, f"expected {self.missed[0]!r}, found {self.missed[1]!r}"


EML = "Subject: x\n\n.dot\n"
HELLO = [(b"", b"220 mail.example\r\n")]
GOODBYE = [(b"QUIT\r\n", b"221 Bye\r\n")]


def transaction(recipients, end):
    steps = [(b"MAIL FROM:<me@client.example>\r\n", b"250 Ok\r\n")]
    steps += [(b"RCPT TO:<%s>\r\n" % address, answer) for address, answer in recipients]
    return [*steps, (b"DATA\r\n", b"354 Go on\r\n"), (b"Subject: x\r\n\r\n..dot\r\n.\r\n", end)]


def example(program, server, *options, before=(), env=()):
    environment = {name: value for name, value in os.environ.items() if name != "SMTP_PASSWORD"}
    where = ["--server", "127.0.0.1", "--port", server.port, "--from", "me@client.example"]
    return run([*before, program, *where, *options], env={**environment, **dict(env)}, input=EML)


@pytest.fixture
def send(build):
    program = build(REPO / "examples-c" / "send.c", "shared")
    return lambda server, *options, **more: example(program, server, *options, **more)


def ehlo(*keywords):
    """The greeting; without a name of its own the client says its address or this machine's name."""
    name = socket.gethostname()
    name = name if "." in name and not name.startswith("localhost.") else "[127.0.0.1]"
    lines = [b"mail.example", *keywords]
    reply = b"".join(b"250%s%s\r\n" % (b" " if i + 1 == len(lines) else b"-", line) for i, line in enumerate(lines))
    return [(b"EHLO %s\r\n" % name.encode(), reply)]


def test_the_example_sends(send):
    login = [(b"AUTH PLAIN AG1lAHNlY3JldA==\r\n", b"235 Ok\r\n")]
    recipients = [(b"one@mail.example", b"250 Ok\r\n"), (b"two@mail.example", b"550 5.1.1 Nobody here\r\n")]
    steps = [*HELLO, *ehlo(b"AUTH PLAIN"), *login, *transaction(recipients, b"250 Ok: queued as 4F1B2\r\n"), *GOODBYE]
    server = Script(*steps)
    to = ["--to", "one@mail.example", "--to", "two@mail.example"]
    done = send(server, *to, "--user", "me", env={"SMTP_PASSWORD": "secret"})
    assert done.returncode == 0, done.stderr
    assert done.stdout == "outcome: accepted\nqueue id: 4F1B2\nrefused: two@mail.example: 550 5.1.1 Nobody here\n"
    server.finish()


def test_the_example_with_files(send, tmp_path):
    login = [(b"AUTH PLAIN AG1lAHNlY3JldA==\r\n", b"235 Ok\r\n")]
    one = [(b"one@mail.example", b"250 Ok\r\n")]
    server = Script(*HELLO, *ehlo(b"AUTH PLAIN"), *login, *transaction(one, b"250 Ok\r\n"), *GOODBYE)
    (tmp_path / "password").write_text("secret\nnot this\n")
    (tmp_path / "message.eml").write_text(EML)
    options = ["--tls", "none", "--timeout", "30", "--user", "me", "--password-file", tmp_path / "password"]
    done = send(server, "--to", "one@mail.example", *options, tmp_path / "message.eml")
    assert (done.returncode, done.stdout) == (0, "outcome: accepted\n"), done.stderr
    server.finish()


def test_the_example_with_a_file_that_is_missing(send, tmp_path):
    """Nothing of the message is begun, and the session is ended in good order."""
    server = Script(*HELLO, *ehlo(), *GOODBYE)
    done = send(server, "--to", "one@mail.example", tmp_path / "missing.eml")
    assert (done.returncode, done.stdout) == (1, "outcome: not sent\n")
    assert "send: send: " in done.stderr and "missing.eml" in done.stderr
    server.finish()


def test_the_example_lists_the_refused(send):
    recipients = [
        (b"one@mail.example", b"250 Ok\r\n"),
        (b"two@mail.example", b"550-5.1.1 Nobody\r\n550 5.1.1 here\r\n"),
        (b"three@mail.example", b"451 \r\n"),
    ]
    server = Script(*HELLO, *ehlo(), *transaction(recipients, b"250 Ok\r\n"), *GOODBYE)
    done = send(server, "--to", ",".join(address.decode() for address, _ in recipients))
    refused = "refused: two@mail.example: 550 5.1.1 Nobody / 5.1.1 here\nrefused: three@mail.example: 451\n"
    assert (done.returncode, done.stdout) == (0, f"outcome: accepted\n{refused}"), done.stderr
    server.finish()


def test_the_example_tells_of_failures(send):
    one = [(b"one@mail.example", b"250 Ok\r\n")]
    server = Script(*HELLO, *ehlo(), *transaction(one, b"554 5.7.1 Spam\r\n"), *GOODBYE)
    done = send(server, "--to", "one@mail.example")
    assert done.returncode == 1
    assert done.stdout == "outcome: rejected\nrefused: one@mail.example: 554 5.7.1 Spam\n"
    assert "send: send: " in done.stderr and "554 5.7.1 Spam" in done.stderr
    server.finish()
    done = send(server, "--to", "one@mail.example")
    assert (done.returncode, done.stdout) == (1, "")
    assert "send: connect: " in done.stderr


def test_the_example_and_its_command_line(build):
    program = build(REPO / "examples-c" / "send.c", "shared")
    done = run([program, "--help"])
    assert done.returncode == 0 and done.stdout.startswith("Usage:") and done.stderr == ""
    for wrong in ([], ["--server"], ["--bogus", "1"], ["--server", "x"], ["--port", "99999"], ["--tls", "perhaps"]):
        done = run([program, *wrong])
        assert done.returncode == 2 and done.stdout == "" and done.stderr, wrong


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    need("openssl")
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    names = ["-subj", "/CN=mail.example", "-addext", "subjectAltName=IP:127.0.0.1", "-addext"]
    names += ["basicConstraints=critical,CA:FALSE"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    check_run(["openssl", "req", "-x509", *kind, "-keyout", key, "-out", certificate, *names])
    return certificate, key


@pytest.mark.parametrize("mode", ["implicit", "required"])
@pytest.mark.parametrize("variant", ["shared", "sanitized", "valgrind"])
def test_the_example_over_tls(build, certificate, variant, mode):
    before = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    if variant == "valgrind":
        need("valgrind")
        before = VALGRIND
        # It cannot follow the assembly of AES-GCM, and would report its results as uninitialised.
        tls.maximum_version = ssl.TLSVersion.TLSv1_2
        tls.set_ciphers("ECDHE-ECDSA-CHACHA20-POLY1305")
    steps = [*ehlo(), *transaction([(b"one@mail.example", b"250 Ok\r\n")], b"250 Ok: queued as 4F1B2\r\n"), *GOODBYE]
    if mode == "implicit":
        steps = [START_TLS, *HELLO, *steps]
    else:
        steps = [*HELLO, *ehlo(b"STARTTLS"), (b"STARTTLS\r\n", b"220 Go on\r\n"), START_TLS, *steps]
    server = Script(*steps, tls=tls)
    program = build(REPO / "examples-c" / "send.c", "sanitized" if variant == "sanitized" else "shared")
    options = ["--tls", mode, "--ca-file", certificate[0], "--to", "one@mail.example"]
    done = example(program, server, *options, before=before)
    assert (done.returncode, done.stdout) == (0, "outcome: accepted\nqueue id: 4F1B2\n"), done.stderr
    server.finish()


class Buffered:
    """TLS whose last handshake message leaves in one piece with what is sent next."""

    def __init__(self, context, connection):
        self.connection = connection
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.feed(self.tls.do_handshake)

    def feed(self, operation, *arguments):
        while True:
            try:
                return operation(*arguments)
            except ssl.SSLWantReadError:
                self.connection.sendall(self.outgoing.read())
                octets = self.connection.recv(65536)
                if octets:
                    self.incoming.write(octets)
                else:
                    self.incoming.write_eof()

    def recv(self, count):
        try:
            return self.feed(self.tls.read, count)
        except ssl.SSLError:
            return b""

    def sendall(self, octets):
        self.feed(self.tls.write, octets)
        self.connection.sendall(self.outgoing.read())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()


class BufferedScript(Script):
    def begin_tls(self, connection):
        return Buffered(self.tls, connection)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_the_greeting_comes_with_the_end_of_the_handshake(send, certificate, version):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*certificate)
    tls.minimum_version = tls.maximum_version = version
    steps = [*ehlo(), *transaction([(b"one@mail.example", b"250 Ok\r\n")], b"250 Ok\r\n"), *GOODBYE]
    server = BufferedScript(START_TLS, *HELLO, *steps, tls=tls)
    done = send(server, "--tls", "implicit", "--ca-file", certificate[0], "--to", "one@mail.example")
    assert (done.returncode, done.stdout) == (0, "outcome: accepted\n"), done.stderr
    server.finish()
