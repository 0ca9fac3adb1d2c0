"""Logins bound to the TLS connection, with a relay between that has a certificate which is trusted."""

import socket
import ssl
import threading

import pytest
import trustme
from test_servers import open_client

import smtpclient
from smtpclient import Client, ServerError

PLUS = ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"]
TYPES = {"SCRAM-SHA-1-PLUS": smtpclient.AUTH_SCRAM_SHA_1_PLUS, "SCRAM-SHA-256-PLUS": smtpclient.AUTH_SCRAM_SHA_256_PLUS}


class Relay:
    """Ends the client's TLS and has TLS of its own with the server, as somebody who listens in would."""

    def __init__(self, server, folder, version=None):
        authority = trustme.CA()
        self.ca = str(folder / "relay-ca.pem")
        authority.cert_pem.write_to_path(self.ca)
        self.inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self.inside)
        if version is not None:
            self.inside.maximum_version = version
        self.server = server
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        plain, _ = self.listener.accept()
        outside = ssl.create_default_context(cafile=self.server.ca)
        with self.inside.wrap_socket(plain, server_side=True) as client:
            other = socket.create_connection((self.server.host, self.server.ports["tls"]), timeout=60)
            with outside.wrap_socket(other, server_hostname=self.server.tls_name) as server:
                # SMTP takes turns, so one thread is enough: a reply, then a line.
                try:
                    while True:
                        reply = b""
                        while not (reply.endswith(b"\r\n") and reply.splitlines()[-1][3:4] == b" "):
                            reply += server.recv(65536) or self.stop()
                        client.sendall(reply)
                        line = b""
                        while not line.endswith(b"\r\n"):
                            line += client.recv(65536) or self.stop()
                        server.sendall(line)
                except (EOFError, OSError):
                    pass

    def stop(self):
        self.listener.close()
        raise EOFError

    def open(self):
        client = Client()
        client.ca_file = self.ca
        client.timeout = 30000
        client.tls_mode = smtpclient.TLS_IMPLICIT
        client.connect("localhost", self.port)
        assert client.tls_verified
        return client


@pytest.fixture
def exim(servers):
    return servers("exim-gsasl")


@pytest.mark.parametrize("port", ["starttls", "tls"])
@pytest.mark.parametrize("mechanism", PLUS)
def test_bound_to_the_connection(exim, mechanism, port):
    with open_client(exim, port, False) as client:
        assert client.tls_protocol == "TLS 1.3"
        client.auth_methods = mechanism
        client.authenticate(exim.user, exim.password)
        assert client.auth_mechanism == mechanism


@pytest.mark.parametrize("mechanism", PLUS)
def test_a_relay_is_found_out(exim, tmp_path, mechanism):
    with Relay(exim, tmp_path).open() as client:
        client.auth_type = TYPES[mechanism]
        with pytest.raises(ServerError) as failed:
            client.authenticate(exim.user, exim.password)
        assert failed.value.name == "SMTP_ERROR_AUTHENTICATION_FAILED" and mechanism in str(failed.value)
        assert client.auth_mechanism == ""


def test_by_itself_the_library_does_not_fall_back(exim, tmp_path):
    with Relay(exim, tmp_path).open() as client:
        with pytest.raises(ServerError) as failed:
            client.authenticate(exim.user, exim.password)
        assert "SCRAM-SHA-256-PLUS" in str(failed.value) and "between" in str(failed.value)


def test_a_relay_works_with_what_is_not_bound(exim, tmp_path):
    """It is the binding that finds the relay out, and nothing else."""
    with Relay(exim, tmp_path).open() as client:
        client.auth_type = smtpclient.AUTH_SCRAM_SHA_256
        client.authenticate(exim.user, exim.password)
        assert client.auth_mechanism == "SCRAM-SHA-256"


def test_under_tls_1_2_nothing_is_bound(exim, tmp_path):
    with Relay(exim, tmp_path, ssl.TLSVersion.TLSv1_2).open() as client:
        assert client.tls_protocol == "TLS 1.2" and "SCRAM-SHA-256-PLUS" in client.auth_mechanisms
        client.auth_type = smtpclient.AUTH_SCRAM_SHA_256_PLUS
        with pytest.raises(ServerError, match="TLS 1.3") as failed:
            client.authenticate(exim.user, exim.password)
        assert failed.value.name == "SMTP_ERROR_INVALID_AUTHENTICATION_TYPE"
        client.auth_type = smtpclient.AUTH_AUTOMATIC
        client.authenticate(exim.user, exim.password)
        assert client.auth_mechanism == "SCRAM-SHA-256"
