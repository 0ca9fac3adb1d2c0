"""Certificates of every kind, those of the client too, and settings of TLS, against
servers made on the spot with another TLS library than the client's."""

import contextlib
import datetime
import ipaddress
import os
import socket
import ssl
import subprocess
import sys
import threading

import pytest
from conftest import PACKAGE
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from test_servers import open_client

import smtpclient
from smtpclient import Client, SmtpError

NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)
PEM = serialization.Encoding.PEM
DER = serialization.Encoding.DER
PKCS8 = serialization.PrivateFormat.PKCS8
PLAIN = serialization.NoEncryption()


def new_key(bits=None):
    return rsa.generate_private_key(65537, bits) if bits else ec.generate_private_key(ec.SECP256R1())


def subject(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(key, common, issuer=None, names=(), ca=None, purpose=None, dates=(-1, 30), digest=None):
    """A certificate for a key, issued by a pair of certificate and key, or by itself."""
    issuer_name, issuer_key = (issuer[0].subject, issuer[1]) if issuer else (subject(common), key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject(common))
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + dates[0] * DAY)
        .not_valid_after(NOW + dates[1] * DAY)
    )
    if names:
        general = [x509.IPAddress(name) if not isinstance(name, str) else x509.DNSName(name) for name in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    return builder.sign(issuer_key, digest or hashes.SHA256())


def pem_of(*certificates):
    return b"".join(each.public_bytes(PEM) for each in certificates)


def key_pem(key):
    return key.private_bytes(PEM, PKCS8, PLAIN)


class Authority:
    def __init__(self, folder):
        self.key = new_key()
        self.certificate = certificate(self.key, "the authority", ca=True)
        self.pair = (self.certificate, self.key)
        self.file = folder / "ca.pem"
        self.file.write_bytes(pem_of(self.certificate))
        between_key = new_key()
        self.between = (certificate(between_key, "in between", self.pair, ca=True), between_key)
        no_ca_key = new_key()
        self.no_ca = (certificate(no_ca_key, "no authority", self.pair, ca=False), no_ca_key)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def talk(stream):
    """A session that ends with QUIT."""
    stream.sendall(b"220 mail.example\r\n")
    for line in iter(stream.makefile("rb").readline, b""):
        if line.startswith(b"QUIT"):
            stream.sendall(b"221 bye\r\n")
            return
        stream.sendall(b"250 ok\r\n")


@contextlib.contextmanager
def tls_server(folder, chain, key, host="127.0.0.1", client_ca=None, seen=None):
    """A server with implicit TLS for any number of sessions; gives its port."""
    file = folder / "server.pem"
    file.write_bytes(key_pem(key) + pem_of(*chain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # So that keys and hashes can be bad at all.
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.load_cert_chain(file)
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)

    def serve():
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            plain.settimeout(20)
            try:
                with context.wrap_socket(plain, server_side=True) as stream:
                    if seen is not None:
                        seen.append(stream.getpeercert())
                    talk(stream)
            except OSError:
                pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(20)


def connect(client, host, port):
    client.connect(host, port, options=smtpclient.OPTION_SECURE_IMPLICIT, timeout=20)


def attempt(host, port, **settings):
    """The name of the error, or None; and the error's text, or the client's facts."""
    with Client() as client:
        for name, value in settings.items():
            setattr(client, name, value)
        try:
            connect(client, host, port)
        except SmtpError as error:
            return error.name, str(error)
        return None, client.certificate_status


LOOPBACK = ipaddress.ip_address("127.0.0.1")
NAME, UNTRUSTED, DATE, INVALID = (
    f"SMTP_ERROR_TLS_CERTIFICATE_{kind}" for kind in ("NAME", "UNTRUSTED", "EXPIRED", "INVALID")
)

# The name of a case: what is unusual about the certificate, the name it is wanted for, the verdict,
# and what the error says.
CASES = {
    "good": ({}, "mail.example", None, ""),
    "good, capitals": ({"names": ["MAIL.Example"]}, "mail.EXAMPLE", None, ""),
    "good, several names": ({"names": ["a.example", "mail.example"]}, "mail.example", None, ""),
    "another name": ({"names": ["other.example"]}, "mail.example", NAME, "other.example"),
    "the domain above": ({"names": ["example"]}, "mail.example", NAME, "example"),
    "a name below": ({"names": ["mail.example"]}, "x.mail.example", NAME, "mail.example"),
    "wildcard": ({"names": ["*.example.org"]}, "mail.example.org", None, ""),
    "wildcard, two labels": ({"names": ["*.example.org"]}, "a.mail.example.org", NAME, "*.example.org"),
    "wildcard, no label": ({"names": ["*.example.org"]}, "example.org", NAME, "*.example.org"),
    "wildcard in the middle": ({"names": ["mail.*.org"]}, "mail.example.org", NAME, ""),
    "wildcard, part of a label": ({"names": ["m*.example.org"]}, "mail.example.org", NAME, ""),
    "wildcard for everything": ({"names": ["*"]}, "mail", NAME, ""),
    "IDN": ({"names": ["xn--bcher-kva.example"]}, "xn--bcher-kva.example", None, ""),
    "address": ({"names": [LOOPBACK]}, "127.0.0.1", None, ""),
    "IPv6 address": ({"names": [ipaddress.ip_address("::1")]}, "::1", None, ""),
    "another address": ({"names": [ipaddress.ip_address("192.0.2.1")]}, "127.0.0.1", NAME, "192.0.2.1"),
    "address as a name": ({"names": ["127.0.0.1"]}, "127.0.0.1", NAME, ""),
    "address for a name": ({"names": [LOOPBACK]}, "mail.example", NAME, "127.0.0.1"),
    "only a common name": ({"common": "mail.example", "names": []}, "mail.example", NAME, "CN=mail.example"),
    "common name besides": ({"common": "mail.example", "names": ["b.example"]}, "mail.example", NAME, "b.example"),
    "expired": ({"dates": (-30, -1)}, "mail.example", DATE, "it expired on"),
    "not yet valid": ({"dates": (1, 30)}, "mail.example", DATE, "not valid before"),
    "self-signed": ({"issuer": None}, "mail.example", UNTRUSTED, "self-signed"),
    "an authority's own": ({"issuer": None, "ca": True}, "mail.example", UNTRUSTED, "self-signed"),
    "chain": ({"issuer": "between"}, "mail.example", None, ""),
    "chain with a gap": ({"issuer": "between", "gap": True}, "mail.example", UNTRUSTED, "trusted authority"),
    "issued by no authority": ({"issuer": "no_ca"}, "mail.example", INVALID, "refused"),
    "for servers": ({"purpose": ExtendedKeyUsageOID.SERVER_AUTH}, "mail.example", None, ""),
    "for clients": ({"purpose": ExtendedKeyUsageOID.CLIENT_AUTH}, "mail.example", INVALID, "not issued for servers"),
    "RSA, 2048 bits": ({"bits": 2048}, "mail.example", None, ""),
    "RSA, 1024 bits": ({"bits": 1024}, "mail.example", INVALID, "only 1024 bits"),
}


@pytest.mark.parametrize("case", CASES)
def test_certificate(authority, tmp_path, case):
    flaws, wanted, expected, says = CASES[case]
    flaws = dict(flaws)
    bits, gap = flaws.pop("bits", None), flaws.pop("gap", False)
    issuer = flaws.pop("issuer", "pair")
    issuer = issuer and getattr(authority, issuer)
    key = new_key(bits)
    facts = {"common": "whatever", "names": ["mail.example"], **flaws}
    own = certificate(key, facts.pop("common"), issuer, **facts)
    chain = [own] + ([issuer[0]] if issuer not in (None, authority.pair) and not gap else [])
    with tls_server(tmp_path, chain, key) as port:
        code, text = attempt("127.0.0.1", port, ca_file=str(authority.file), tls_server_name=wanted)
    assert code == expected, text
    if expected:
        assert says in text, text
    else:
        assert text == smtpclient.CERTIFICATE_VALID


def test_a_certificate_signed_with_sha1(tmp_path):
    """Made with openssl, as other tools refuse to."""

    def openssl(*arguments):
        result = subprocess.run(["openssl", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stderr

    (tmp_path / "names").write_text("subjectAltName=DNS:mail.example\n")
    for digest, expected in (("-sha256", (None,)), ("-sha1", (UNTRUSTED, INVALID))):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=root", "-keyout", "r.key", "-out", "r.pem")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-keyout", "x.key", "-out", "x.csr")
        request = ["-in", "x.csr", "-CA", "r.pem", "-CAkey", "r.key", "-set_serial", "7", "-extfile", "names"]
        openssl("x509", "-req", digest, *request, "-out", "x.pem")
        own = x509.load_pem_x509_certificate((tmp_path / "x.pem").read_bytes())
        key = serialization.load_pem_private_key((tmp_path / "x.key").read_bytes(), None)
        with tls_server(tmp_path, [own], key) as port:
            code, text = attempt("127.0.0.1", port, ca_file=str(tmp_path / "r.pem"), tls_server_name="mail.example")
        assert code in expected, (digest, text)


def encrypted(password):
    return serialization.BestAvailableEncryption(password)


def client_forms(certificate, chain, key, folder):
    """Settings of a client with a certificate, in every form that it can have."""

    def path(name, content):
        file = folder / name
        file.write_bytes(content)
        return str(file)

    secret = "pässword"
    pem = pem_of(certificate, *chain)
    locked = key.private_bytes(PEM, PKCS8, encrypted(secret.encode()))
    locked_der = key.private_bytes(DER, PKCS8, encrypted(secret.encode()))
    traditional = key.private_bytes(PEM, serialization.PrivateFormat.TraditionalOpenSSL, PLAIN)
    archive = pkcs12.serialize_key_and_certificates(b"tim", key, certificate, chain, encrypted(secret.encode()))
    old = (
        serialization.PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(2000)
        .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(hashes.SHA1())
        .build(secret.encode())
    )
    old_archive = pkcs12.serialize_key_and_certificates(b"tim", key, certificate, chain, old)
    yield "PEM", {"client_certificate": path("a.pem", pem + key_pem(key))}
    yield "PEM, apart", {"client_certificate": path("b.pem", pem), "client_key": path("b.key", key_pem(key))}
    yield "PEM, traditional", {"client_certificate": path("c.pem", traditional + pem)}
    yield "PEM, encrypted", {"client_certificate": path("d.pem", pem + locked), "client_key_password": secret}
    yield (
        "key in DER, encrypted",
        {
            "client_certificate": path("e.pem", pem),
            "client_key": path("e.key", locked_der),
            "client_key_password": secret,
        },
    )
    yield "PKCS#12", {"client_certificate": path("f.p12", archive), "client_key_password": secret}
    yield "PKCS#12, old", {"client_certificate": path("g.p12", old_archive), "client_key_password": secret}
    yield "memory, PEM", {"client_certificate_data": (pem + locked).decode(), "client_key_password": secret}
    yield "memory, PKCS#12", {"client_certificate_data": archive, "client_key_password": secret}


@pytest.mark.parametrize("bits", [None, 2048], ids=["EC", "RSA"])
def test_certificates_of_the_client_in_every_form(authority, tmp_path, bits):
    key, own_key = new_key(), new_key(bits)
    server = certificate(key, "server", authority.pair, names=["localhost"])
    own = certificate(own_key, "tim", authority.between, purpose=ExtendedKeyUsageOID.CLIENT_AUTH)
    seen = []
    with tls_server(tmp_path, [server], key, client_ca=authority.file, seen=seen) as port:
        common = {"ca_file": str(authority.file), "tls_server_name": "localhost"}
        forms = dict(client_forms(own, [authority.between[0]], own_key, tmp_path))
        for name, form in forms.items():
            assert attempt("127.0.0.1", port, **common, **form) == (None, smtpclient.CERTIFICATE_VALID), name
            assert seen.pop()["subject"] == ((("commonName", "tim"),),), name
        for name in ("PEM, encrypted", "key in DER, encrypted", "PKCS#12", "PKCS#12, old", "memory, PKCS#12"):
            for password in ("", "wrong"):
                form = {**forms[name], "client_key_password": password}
                code, text = attempt("127.0.0.1", port, **common, **form)
                assert code == "SMTP_ERROR_TLS_CLIENT_CERTIFICATE", (name, text)
                assert "SMTP_PROPERTY_CLIENT_KEY_PASSWORD" in text and "wrong\"" not in text, (name, text)
        code, text = attempt("127.0.0.1", port, **common)
        assert code == "SMTP_ERROR_TLS_CLIENT_CERTIFICATE_REQUIRED", text
        assert not seen


def test_an_old_encrypted_key_is_explained(authority, tmp_path):
    key = new_key()
    file = tmp_path / "old.pem"
    locked = key.private_bytes(PEM, serialization.PrivateFormat.TraditionalOpenSSL, encrypted(b"x"))
    file.write_bytes(pem_of(certificate(key, "tim")) + locked)
    with tls_server(tmp_path, [certificate(key, "x", authority.pair, names=["localhost"])], key) as port:
        code, text = attempt("127.0.0.1", port, client_certificate=str(file), client_key_password="x")
    assert code == "SMTP_ERROR_TLS_CLIENT_CERTIFICATE" and "openssl pkcs8 -topk8" in text, text


def test_a_login_with_the_certificate(servers):
    server = servers("dovecot-submission")
    with Client() as client:
        client.ca_file = server.ca
        client.client_certificate, client.client_key = server.client_cert, server.client_key
        client.tls_mode = smtpclient.TLS_REQUIRED
        client.auth_type = smtpclient.AUTH_EXTERNAL
        client.connect(server.tls_name, server.ports["starttls"], timeout=20)
        client.authenticate()
        assert client.auth_mechanism == "EXTERNAL"


@pytest.mark.parametrize("name", ["mail_server", "postfix"])
def test_sessions_are_resumed(servers, name):
    server = servers(name)
    with open_client(server, "tls", False):
        pass
    with open_client(server, "tls", False) as client:
        assert client.tls_verified
        first = client.certificate_fingerprint
        resumed = client.tls_resumed
    with Client() as client:
        client.ca_file, client.tls_resumption = server.ca, False
        connect(client, server.tls_name, server.ports["tls"])
        assert not client.tls_resumed and client.certificate_fingerprint == first
    assert resumed


OPENSSL_SERVER = """
import socket, sys
from OpenSSL import SSL
context = SSL.Context(SSL.TLS_SERVER_METHOD)
context.use_certificate_chain_file(sys.argv[1])
context.use_privatekey_file(sys.argv[1])
context.set_tls13_ciphersuites(b"TLS_AES_128_GCM_SHA256")
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
plain, _ = listener.accept()
stream = SSL.Connection(context, plain)
stream.set_accept_state()
stream.sendall(b"220 hi\\r\\n")
for answer in (b"250 " + stream.get_group_name().encode() + b"\\r\\n", b"221 bye\\r\\n"):
    stream.recv(1000)
    stream.sendall(answer)
"""


def test_a_group_that_a_quantum_computer_does_not_break(authority, tmp_path):
    """With OpenSSL, which has it since 3.5."""
    pytest.importorskip("OpenSSL")
    key = new_key()
    file = tmp_path / "server.pem"
    file.write_bytes(key_pem(key) + pem_of(certificate(key, "x", authority.pair, names=["localhost"])))
    server = subprocess.Popen([sys.executable, "-c", OPENSSL_SERVER, file], stdout=subprocess.PIPE, text=True)
    try:
        port = int(server.stdout.readline())
        with Client() as client:
            client.ca_file, client.tls_server_name = str(authority.file), "localhost"
            connect(client, "127.0.0.1", port)
            assert client.key_exchange == "X25519MLKEM768"
            assert client.result_string.upper() == "X25519MLKEM768"
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def test_a_server_without_that_group(authority, tmp_path):
    """It takes the share of X25519 that came along."""
    key = new_key()
    with tls_server(tmp_path, [certificate(key, "x", authority.pair, names=["localhost"])], key) as port:
        with Client() as client:
            client.ca_file, client.tls_server_name = str(authority.file), "localhost"
            connect(client, "127.0.0.1", port)
            assert client.key_exchange in ("X25519", "X25519MLKEM768")


ENVIRONMENT = """
import sys
import smtpclient
with smtpclient.Client() as client:
    client.tls_server_name = "localhost"
    try:
        client.connect("127.0.0.1", int(sys.argv[1]), options=smtpclient.OPTION_SECURE_IMPLICIT, timeout=20)
    except smtpclient.SmtpError as error:
        print(error.code)
    else:
        print("connected")
"""


def test_the_environment_changes_nothing(authority, tmp_path):
    key = new_key()
    folder = tmp_path / "empty"
    folder.mkdir()
    own = {"SSL_CERT_FILE": str(authority.file), "SSL_CERT_DIR": str(authority.file.parent)}
    nonsense = {"SSL_CERT_FILE": "/nonexistent", "SSL_CERT_DIR": str(folder)}
    answers = set()
    with tls_server(tmp_path, [certificate(key, "x", authority.pair, names=["localhost"])], key) as port:
        for variables in ({}, own, nonsense):
            environment = {**os.environ, "PYTHONPATH": str(PACKAGE), **variables}
            command = [sys.executable, "-c", ENVIRONMENT, str(port)]
            answers.add(subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60).stdout)
    assert len(answers) == 1 and answers != {"connected\n"}, answers
