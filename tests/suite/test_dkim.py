"""DKIM signatures, verified by dkimpy and by opendkim, of ordinary and hostile messages, also
after delivery by postfix."""

import base64
import itertools
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import smtpclient
from smtpclient import CallerError, Client, Message

cryptography = pytest.importorskip("cryptography.hazmat.primitives.asymmetric")
from cryptography.hazmat.primitives import serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: E402

DOMAIN = "example.test"
HEADER = (
    b"From: Bob <bob@example.test>\r\nTo: alice@example.test\r\nSubject: Hello\r\n"
    b"Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.test>\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
)
FOLDED = (
    b"From: Bob\r\n  <bob@example.test>\r\nX-Odd:\r\nSubject: one \t two\r\n\tthree  \r\nTo: a@example.test,\r\n b@example.test\r\n"
    b"subject: again\r\nDATE:   Mon, 02 Nov 2026 10:00:00 +0000  \r\nCc: c@example.test\r\nMessage-ID:<1@example.test>\r\n"
)
MESSAGES = {
    "plain": HEADER + b"\r\nHello.\r\n",
    "empty body": HEADER + b"\r\n",
    "no empty line": HEADER,
    "one empty line": HEADER + b"\r\n\r\n",
    "blank lines at the end": HEADER + b"\r\nHello.\r\n\r\n\r\n\r\n",
    "white lines at the end": HEADER + b"\r\nHello. \t \r\n \r\n\t\r\n",
    "white space": HEADER + b"\r\n  a \t b\t\r\n\r\n \tc\r\n",
    "no line end": HEADER + b"\r\nHello.",
    "dots": HEADER + b"\r\n.\r\n..\r\n.x\r\n",
    "8-bit": HEADER + b"\r\n" + "Gr\u00fc\u00dfe \u20ac\r\n".encode() + bytes(range(0x80, 0x100)) + b"\r\n",
    "long lines": HEADER + b"\r\n" + b"x" * 990 + b"\r\n" + b"y " * 400 + b"\r\n",
    "folded": FOLDED + b"\r\nHello.\r\n",
    "folded, empty body": FOLDED + b"\r\n",
    "bare line ends": (HEADER + b"\r\nHello.\r\nWorld.\r\n").replace(b"\r\n", b"\n"),
    "large": HEADER + b"\r\n" + b"".join(b"%07d  0123456789 \r\n" % number for number in range(20000)),
    "long header": HEADER + b"X-Long: " + b"a b\r\n " * 2000 + b"c\r\n\r\nHello.\r\n",
    "many recipients": HEADER + b"Cc: " + b",\r\n ".join(b"r%d@example.test" % n for n in range(1000)) + b"\r\n\r\nHello.\r\n",
    "UTF-8 header": HEADER + "Comments: Gr\u00fc\u00dfe\r\n".encode() + b"\r\nHello.\r\n",
}
CANONICAL = ["relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple"]


def pem(key, form=serialization.PrivateFormat.PKCS8, password=None):
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, encryption).decode()


class Key:
    def __init__(self, kind):
        self.kind = kind
        self.private = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else rsa.generate_private_key(65537, 2048)
        self.pem = pem(self.private)
        public = self.private.public_key()
        if kind == "ed25519":
            octets = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        else:
            octets = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.record = b"v=DKIM1; k=%s; p=%s" % (kind.encode(), base64.b64encode(octets))
        self.selector = f"sel-{kind}"


@pytest.fixture(scope="module")
def keys():
    return {kind: Key(kind) for kind in ("rsa", "ed25519")}


@pytest.fixture(scope="module")
def dkimpy():
    return pytest.importorskip("dkim", reason="dkimpy is not installed")


def as_sent(message):
    """The line ends as they are on the wire."""
    message = message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return message if message.endswith(b"\r\n") else message + b"\r\n"


def holds(dkimpy, keys, message, index=0):
    def lookup(name, timeout=5):
        selector = name.decode().split("._domainkey.")[0]
        return {key.selector: key.record for key in keys.values()}[selector]

    try:
        return dkimpy.DKIM(message, minkey=1024).verify(idx=index, dnsfunc=lookup)
    except dkimpy.ValidationError:
        return False


@pytest.mark.parametrize("canonicalization", CANONICAL)
@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
@pytest.mark.parametrize("name", MESSAGES)
def test_dkimpy(dkimpy, keys, name, kind, canonicalization):
    message = MESSAGES[name]
    field = smtpclient.sign_message(message, DOMAIN, keys[kind].selector, keys[kind].pem, canonicalization=canonicalization)
    assert field.startswith(b"DKIM-Signature: v=1; a=%s-sha256; c=%s;" % (kind.encode(), canonicalization.encode()))
    assert all(len(line) <= 78 for line in field.split(b"\r\n"))
    whole = field + as_sent(message)
    assert holds(dkimpy, keys, whole)
    # A test that cannot fail would be none.
    assert not holds(dkimpy, keys, whole.replace(b"bob@", b"rob@"))
    assert name == "no empty line" or not holds(dkimpy, keys, whole + b"more\r\n")


@pytest.mark.parametrize("name", ["From", "To", "Cc", "Subject", "Reply-To", "Content-Type", "Date"])
def test_no_field_can_be_put_in(dkimpy, keys, name):
    key = keys["rsa"]
    whole = smtpclient.sign_message(MESSAGES["plain"], DOMAIN, key.selector, key.pem) + MESSAGES["plain"]
    assert holds(dkimpy, keys, b"X-Other: x\r\n" + whole, 0)
    assert not holds(dkimpy, keys, f"{name}: x@y.test\r\n".encode() + whole, 0)


def test_options(dkimpy, keys):
    key, message = keys["ed25519"], MESSAGES["plain"]
    now = int(time.time())
    field = smtpclient.sign_message(
        message, DOMAIN, key.selector, key.pem, headers=["from", "From", "Subject"], identity="b=b@mail.example.test", expires="+600"
    )
    text = field.replace(b"\r\n\t", b" ")
    assert b" h=from: From: Subject;" in text or b" h=from:From:Subject;" in text
    assert b" i=b=3Db@mail.example.test;" in text
    made, until = (int(text.split(b" %s=" % tag)[1].split(b";")[0]) for tag in (b"t", b"x"))
    assert now <= made <= time.time() and until == made + 600
    assert holds(dkimpy, keys, field + message)
    with pytest.raises(CallerError) as failed:
        smtpclient.sign_message(message, DOMAIN, key.selector, key.pem, time=10, expires=5)
    assert failed.value.name == "SMTP_ERROR_DKIM_SETTING"
    text = smtpclient.sign_message(message, DOMAIN, key.selector, key.pem, time=7, expires=8)
    assert b" t=7;" in text.replace(b"\r\n\t", b" ") and b" x=8;" in text.replace(b"\r\n\t", b" ")
    with pytest.raises(ValueError):
        smtpclient.sign_message(message, DOMAIN, key.selector, key.pem, identity="a;t=1@example.test")


def test_kinds_of_keys(dkimpy, keys, tmp_path):
    message = MESSAGES["plain"]
    for kind in ("rsa", "ed25519"):
        key = keys[kind]
        path = tmp_path / f"{kind}.pem"
        path.write_text(key.pem)
        locked = pem(key.private, password=b"secret")
        forms = [(path, None), (str(path), None), (key.pem.encode(), None), (locked, "secret")]
        if kind == "rsa":
            forms.append((pem(key.private, serialization.PrivateFormat.TraditionalOpenSSL), None))
        for form, password in forms:
            field = smtpclient.sign_message(message, DOMAIN, key.selector, form, password)
            assert holds(dkimpy, keys, field + message)
        for password in (None, "wrong"):
            with pytest.raises(CallerError, match="assword") as failed:
                smtpclient.sign_message(message, DOMAIN, key.selector, locked, password)
            assert failed.value.name == "SMTP_ERROR_DKIM_KEY"
    for bad, reason in (
        (pem(rsa.generate_private_key(65537, 1024)), "2048 bits"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "neither an RSA nor an Ed25519"),
        (pem(ec.generate_private_key(ec.SECP256R1()), serialization.PrivateFormat.TraditionalOpenSSL), "RSA and Ed25519 only"),
        (str(tmp_path / "none.pem"), "none.pem"),
    ):
        with pytest.raises(CallerError, match=reason):
            smtpclient.sign_message(message, DOMAIN, "s", bad)


@pytest.mark.parametrize(
    "message", [b"", b"\r\nbody", b"To: x@y.test\r\n\r\n", b"From: a\r\nno field\r\n\r\n", b" x\r\nFrom: a\r\n\r\n", b"From : a\r\n\r\n"]
)
def test_headers_that_cannot_be_signed(keys, message):
    with pytest.raises(CallerError) as failed:
        smtpclient.sign_message(message, DOMAIN, "s", keys["ed25519"].pem)
    assert failed.value.name == "SMTP_ERROR_DKIM_HEADER"


def test_files_in_constant_memory(dkimpy, keys, tmp_path):
    path = tmp_path / "message.eml"
    path.write_bytes(MESSAGES["large"])
    key = keys["rsa"]
    assert holds(dkimpy, keys, smtpclient.sign_file(path, DOMAIN, key.selector, key.pem) + MESSAGES["large"])
    with open(path, "wb") as file:
        file.write(HEADER + b"\r\n")
        file.truncate(200 << 20)
    (tmp_path / "key.pem").write_text(key.pem)
    program = (
        "import resource, sys, smtpclient\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "smtpclient.sign_file(sys.argv[1], 'example.test', 's', sys.argv[2], canonicalization='relaxed/relaxed')\n"
        "smtpclient.check_file(sys.argv[1])\n"
        "print(peak() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, path, tmp_path / "key.pem"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 4096, f"{done.stdout} KiB more"


# opendkim


@pytest.fixture(scope="module")
def opendkim(keys, tmp_path_factory):
    """Verifies a message with opendkim, with the keys in a file instead of DNS."""
    program = shutil.which("opendkim", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        pytest.skip("opendkim is not installed")
    folder = tmp_path_factory.mktemp("opendkim")
    records = "".join(f"{key.selector}._domainkey.{DOMAIN} {key.record.decode()}\n" for key in keys.values())
    (folder / "records").write_text(records)
    (folder / "opendkim.conf").write_text(f"Mode v\nSyslog no\nTestDNSData file:{folder}/records\n")

    def verify(message):
        path = folder / "message"
        path.write_bytes(message)
        command = [program, "-x", folder / "opendkim.conf", "-t", path]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    return verify


# Before opendkim looks at a field, it makes one space of what is behind the colon, so that
# signatures over the simple header, dkimpy's too, fail where there was anything else.
OPENDKIM = [each for each in itertools.product(MESSAGES, CANONICAL) if not (each[0].startswith("folded") and "simple/" in each[1])]


@pytest.mark.parametrize("name, canonicalization", OPENDKIM)
def test_opendkim(opendkim, keys, name, canonicalization):
    key, message = keys["rsa"], MESSAGES[name]
    field = smtpclient.sign_message(message, DOMAIN, key.selector, key.pem, canonicalization=canonicalization)
    whole = field + as_sent(message)
    assert "verification (s=sel-rsa, d=example.test, 2048-bit key) succeeded" in opendkim(whole)
    assert "succeeded" not in opendkim(whole.replace(b"bob@", b"rob@"))


# Composed messages, and what postfix delivers

marks = (f"k{time.time_ns():x}-{number}" for number in itertools.count())


def composed(tmp_path, mark):
    (tmp_path / "data.bin").write_bytes(bytes(range(256)) * 1000)
    message = Message()
    message.compose("Bob <bob@example.test>", "J\u00f6rg <alice@example.test>", subject="Gr\u00fc\u00dfe", text=".dot\n\u00fc\n\n\n", html="<b>x</b>")
    message["X-Mark"] = mark
    message.attach_file(tmp_path / "data.bin")
    return message


def test_composed(dkimpy, keys, tmp_path):
    message = composed(tmp_path, "m")
    plain = bytes(message)
    for key in keys.values():
        message.sign(DOMAIN, key.selector, key.pem)
    octets = bytes(message)
    assert octets.endswith(plain) and octets.count(b"DKIM-Signature:") == 2
    assert message.size() == len(octets)
    assert holds(dkimpy, keys, octets, 0) and holds(dkimpy, keys, octets, 1)
    message.save(tmp_path / "out.eml")
    assert holds(dkimpy, keys, (tmp_path / "out.eml").read_bytes(), 1)
    message.clear_signatures()
    assert bytes(message) == plain


def test_what_can_be_read_once(keys, tmp_path):
    class Once:
        def __init__(self):
            self.left = [b"abc", b""]

        def read(self, count, /):
            return self.left.pop(0) if self.left else b""

        def seekable(self):
            return False

    message = composed(tmp_path, "m")
    message.attach(Once(), "once.bin")
    for action in (lambda: message.check(), lambda: (message.sign(DOMAIN, "s", keys["rsa"].pem), bytes(message))):
        with pytest.raises(CallerError) as failed:
            action()
        assert failed.value.name == "SMTP_ERROR_READ_ONCE"
    message.clear_signatures()
    assert b"once.bin" in bytes(message)


@pytest.mark.parametrize("canonicalization", ["relaxed/relaxed", "simple/simple"])
@pytest.mark.parametrize("name", ["postfix", "exim-gsasl", "mail_server"])
def test_delivered(servers, dkimpy, keys, tmp_path, name, canonicalization):
    server = servers(name)
    expected = {}
    with Client() as client:
        client.ca_file, client.timeout, client.local_name = server.ca, 60000, "client.example.test"
        client.tls_mode = smtpclient.TLS_IMPLICIT
        client.connect(server.tls_name, server.ports["tls"])
        client.authenticate(server.user, server.password)
        mark = next(marks)
        message = composed(tmp_path, mark)
        for key in keys.values():
            message.sign(DOMAIN, key.selector, key.pem, canonicalization=canonicalization)
        client.send_message(f"bob@{server.domain}", f"alice@{server.domain}", bytes(message))
        expected[mark] = 2
        for kind in ("white lines at the end", "dots", "8-bit", "bare line ends", "no line end"):
            mark = next(marks)
            octets = f"X-Mark: {mark}\r\n".encode() + MESSAGES[kind]
            key = keys["rsa"]
            field = smtpclient.sign_message(octets, DOMAIN, key.selector, key.pem, canonicalization=canonicalization)
            client.send_message(f"bob@{server.domain}", f"alice@{server.domain}", field + octets)
            expected[mark] = 1
    for mark, count in expected.items():
        whole = delivered(server, mark).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        for index in range(count):
            assert holds(dkimpy, keys, whole, index), mark


def delivered(server, mark):
    """All of a stored message, from its first signature on."""
    server.stored(mark)
    for path in Path(server.delivered).rglob("*"):
        if path.is_file() and path.parent.name != "tmp":
            octets = path.read_bytes()
            if f"X-Mark: {mark}".encode() in octets:
                return octets[octets.index(b"DKIM-Signature:") :]
    raise AssertionError(mark)
