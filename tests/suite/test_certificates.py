"""What the properties say of a server's certificate, compared with another reader of it."""

import datetime
import ipaddress
import socket
import ssl

import pytest
from cryptography import x509  # trustme needs it too
from cryptography.hazmat.primitives import hashes
from test_servers import open_client

import smtpclient
from smtpclient import Client


def certificate_of(server):
    """The certificate as Python's own TLS gets it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((server.host, server.ports["tls"]), timeout=20) as plain:
        with context.wrap_socket(plain) as secure:
            return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True))


def names_of(certificate):
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


def moment(text):
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)


@pytest.mark.parametrize("port", ["starttls", "tls"])
@pytest.mark.parametrize("name", ["mail_server", "postfix", "smtp-server"])
def test_a_good_certificate(servers, name, port):
    server = servers(name)
    certificate = certificate_of(server)
    with open_client(server, port, False) as client:
        assert client.secure and client.tls_verified
        assert client.certificate_status == smtpclient.CERTIFICATE_VALID
        assert client.certificate_fingerprint == certificate.fingerprint(hashes.SHA256()).hex()
        assert client.certificate_subject == certificate.subject.rfc4514_string()
        assert client.certificate_issuer == certificate.issuer.rfc4514_string()
        assert moment(client.certificate_issued) == certificate.not_valid_before_utc
        assert moment(client.certificate_expires) == certificate.not_valid_after_utc
        assert set(client.certificate_names.splitlines()) == names_of(certificate)
        assert client.cipher_strength == (128 if "AES_128" in client.tls_cipher else 256)
        assert client.hash_strength == int(client.tls_cipher[-3:])
        assert client.key_exchange in ("X25519MLKEM768", "X25519", "secp256r1", "secp384r1")
        client.disconnect()
        assert not client.secure and client.certificate_status == smtpclient.CERTIFICATE_NONE
        assert client.certificate_subject == client.certificate_fingerprint == client.key_exchange == ""


STATUSES = {
    "wronghost": smtpclient.CERTIFICATE_NO_MATCH,
    "expired": smtpclient.CERTIFICATE_EXPIRED,
    "untrusted": smtpclient.CERTIFICATE_UNTRUSTED,
}


@pytest.mark.parametrize("skipped", [False, True])
@pytest.mark.parametrize("kind", STATUSES)
def test_a_bad_certificate_where_it_changes_nothing(servers, kind, skipped):
    server = servers("mail_server", kind)
    with Client() as client:
        client.ca_file = server.ca
        client.insecure_skip_verify = skipped
        client.connect(server.tls_name, server.ports["starttls"], timeout=20)
        assert client.secure and not client.tls_verified
        assert client.certificate_status == STATUSES[kind]
        assert client.certificate_fingerprint == certificate_of(server).fingerprint(hashes.SHA256()).hex()


def test_addresses_among_the_names(servers):
    server = servers("mail_server")
    addresses = {str(name) for name in names_of(certificate_of(server)) if name[0].isdigit()}
    assert addresses
    with open_client(server, "tls", False) as client:
        found = client.certificate_names.splitlines()
    assert addresses <= set(found) and all(ipaddress.ip_address(name) for name in addresses)


def test_without_tls(servers):
    server = servers("mail_server")
    with open_client(server, "plain", False) as client:
        assert not client.secure and client.is_connected
        assert client.certificate_status == smtpclient.CERTIFICATE_NONE
        assert (client.cipher_strength, client.hash_strength) == (0, 0)
        assert client.certificate_subject == client.certificate_names == client.certificate_expires == ""
