"""Every way of logging in, against servers that this project did not write."""

import base64
import ctypes.util
import os
import subprocess
import sys

import pytest
from test_servers import open_client, send

import smtpclient
from smtpclient import CallerError, Client, ServerError

TYPES = {
    "LOGIN": smtpclient.AUTH_LOGIN,
    "PLAIN": smtpclient.AUTH_PLAIN,
    "CRAM-MD5": smtpclient.AUTH_CRAM_MD5,
    "SCRAM-SHA-1": smtpclient.AUTH_SCRAM_SHA_1,
    "SCRAM-SHA-256": smtpclient.AUTH_SCRAM_SHA_256,
    "SCRAM-SHA-512": smtpclient.AUTH_SCRAM_SHA_512,
    "SCRAM-SHA-1-PLUS": smtpclient.AUTH_SCRAM_SHA_1_PLUS,
    "SCRAM-SHA-256-PLUS": smtpclient.AUTH_SCRAM_SHA_256_PLUS,
    "DIGEST-MD5": smtpclient.AUTH_DIGEST_MD5,
    "NTLM": smtpclient.AUTH_NTLM,
    "XOAUTH2": smtpclient.AUTH_XOAUTH2,
    "OAUTHBEARER": smtpclient.AUTH_BEARER,
}

OFFERED = {
    "postfix": [
        "LOGIN",
        "PLAIN",
        "CRAM-MD5",
        "DIGEST-MD5",
        "NTLM",
        "SCRAM-SHA-1",
        "SCRAM-SHA-256",
        "SCRAM-SHA-512",
    ],
    "exim-gsasl": [
        "PLAIN",
        "CRAM-MD5",
        "DIGEST-MD5",
        "SCRAM-SHA-1",
        "SCRAM-SHA-256",
        "SCRAM-SHA-1-PLUS",
        "SCRAM-SHA-256-PLUS",
    ],
    "dovecot-submission": [
        "LOGIN",
        "PLAIN",
        "CRAM-MD5",
        "DIGEST-MD5",
        "SCRAM-SHA-1",
        "SCRAM-SHA-256",
        "XOAUTH2",
        "OAUTHBEARER",
    ],
    "smtp-server": ["LOGIN", "PLAIN", "CRAM-MD5", "XOAUTH2"],
    "aiosmtpd": ["LOGIN", "PLAIN"],
}

CASES = [(name, mechanism) for name, mechanisms in OFFERED.items() for mechanism in mechanisms]
BEST = {
    "postfix": "SCRAM-SHA-512",
    "exim-gsasl": "SCRAM-SHA-256-PLUS",
    "dovecot-submission": "SCRAM-SHA-256",
    "smtp-server": "CRAM-MD5",
    "aiosmtpd": "PLAIN",
}


def takes_token(mechanism):
    return mechanism in ("XOAUTH2", "OAUTHBEARER")


def account(server, mechanism):
    """The login name and what goes with it."""
    user = getattr(server, "login", server.user) if takes_token(mechanism) else server.user
    return user, server.oauth_token if takes_token(mechanism) else server.password


@pytest.mark.parametrize("name, mechanism", CASES)
def test_the_type_that_is_asked_for(servers, name, mechanism):
    server = servers(name)
    with open_client(server, "starttls", False) as client:
        assert mechanism in client.auth_mechanisms.split()
        client.auth_type = TYPES[mechanism]
        user, secret = account(server, mechanism)
        client.authenticate(user, secret)
        assert client.auth_mechanism == mechanism
        mark, message = send(client, server, b"by " + mechanism.encode() + b"\r\n")
    assert server.stored(mark) == server.expected(message)


@pytest.mark.parametrize("name, mechanism", CASES)
def test_a_wrong_secret(servers, name, mechanism):
    server = servers(name)
    with open_client(server, "tls", False) as client:
        client.auth_type = TYPES[mechanism]
        user, secret = account(server, mechanism)
        with pytest.raises(ServerError) as failed:
            client.authenticate(user, "xyzzy.plugh.wrong")
        error = failed.value
        assert (error.name, error.result_code) == ("SMTP_ERROR_AUTHENTICATION_FAILED", 535)
        assert mechanism in str(error) and "xyzzy" not in str(error)
        if takes_token(mechanism):
            # The reason that came as a challenge.
            assert "(status " in str(error) and "token" in str(error)
        assert client.is_connected and client.auth_mechanism == ""
        client.authenticate(user, secret)
        assert client.auth_mechanism == mechanism


@pytest.mark.parametrize("name", OFFERED)
def test_the_strongest_that_both_sides_have(servers, name):
    server = servers(name)
    with open_client(server, "tls", False) as client:
        assert client.auth_type == smtpclient.AUTH_AUTOMATIC
        client.authenticate(server.user, server.password)
        assert client.auth_mechanism == BEST[name]


@pytest.mark.parametrize("name, mechanism", [("dovecot-submission", "OAUTHBEARER"), ("smtp-server", "XOAUTH2")])
def test_a_token_is_preferred(servers, name, mechanism):
    server = servers(name)
    with open_client(server, "tls", False) as client:
        client.user, client.bearer_token = account(server, mechanism)
        client.password = "not used"
        client.authenticate()
        assert client.auth_mechanism == mechanism


@pytest.mark.parametrize("name", OFFERED)
def test_a_type_that_is_not_offered(servers, name):
    server = servers(name)
    with open_client(server, "tls", False) as client:
        offered = client.auth_mechanisms.split()
        for mechanism in set(TYPES) - set(offered):
            client.auth_type = TYPES[mechanism]
            with pytest.raises(ServerError) as failed:
                client.authenticate(server.user, server.password)
            assert failed.value.name == "SMTP_ERROR_INVALID_AUTHENTICATION_TYPE"
            assert mechanism in str(failed.value) and ", ".join(offered) in str(failed.value)
        client.auth_type = smtpclient.AUTH_AUTOMATIC
        client.authenticate(server.user, server.password)


def test_external_without_a_certificate(servers):
    server = servers("dovecot-submission")
    with open_client(server, "tls", False) as client:
        client.auth_type = smtpclient.AUTH_EXTERNAL
        client.auth_identity = server.user
        with pytest.raises(ServerError) as failed:
            client.authenticate()
        assert failed.value.name == "SMTP_ERROR_AUTHENTICATION_FAILED" and "EXTERNAL" in str(failed.value)
        assert client.is_connected


def test_a_password_beyond_ascii_is_compared_by_every_type(servers):
    # No account has it: what is tested is that it is put into its normal form and refused by the server.
    server = servers("postfix")
    with open_client(server, "tls", False) as client:
        for mechanism in ("PLAIN", "CRAM-MD5", "SCRAM-SHA-256"):
            client.auth_type = TYPES[mechanism]
            with pytest.raises(ServerError) as failed:
                client.authenticate(server.user, "p\u00e4ss\u00adwort\u2168")
            assert failed.value.name == "SMTP_ERROR_AUTHENTICATION_FAILED"


def test_what_a_type_cannot_do_is_told_before_anything_is_sent(servers):
    server = servers("dovecot-submission")
    with open_client(server, "tls", False) as client:
        reply = client.result_string
        client.auth_identity = "somebody"
        client.auth_type = smtpclient.AUTH_LOGIN
        with pytest.raises(CallerError, match="AUTH_IDENTITY") as failed:
            client.authenticate(server.user, server.password)
        assert failed.value.name == "SMTP_ERROR_INVALID_PARAMETER"
        client.auth_identity = ""
        client.auth_type = smtpclient.AUTH_BEARER
        with pytest.raises(CallerError) as failed:
            client.authenticate(server.user)
        assert failed.value.name == "SMTP_ERROR_NO_CREDENTIALS" and "token" in str(failed.value)
        assert client.result_string == reply


def test_types_that_mean_nothing():
    with Client() as client:
        for value in (2, -2, 999):
            with pytest.raises(CallerError, match="SMTP_AUTH_"):
                client.auth_type = value
        assert client.auth_type == smtpclient.AUTH_AUTOMATIC
        for value in (1 << 63, -(1 << 63) - 1):
            with pytest.raises(CallerError, match="64 bits"):
                client.auth_type = value


@pytest.mark.parametrize("name, mechanism", [("dovecot-submission", "OAUTHBEARER"), ("smtp-server", "XOAUTH2")])
def test_a_token_from_the_program(servers, name, mechanism):
    server = servers(name)
    asked = []

    def give(renew):
        asked.append(renew)
        return server.oauth_token if renew else "expired.long.ago"

    with open_client(server, "tls", False) as client:
        client.user, _ = account(server, mechanism)
        client.on_token(give)
        client.authenticate()
        assert client.auth_mechanism == mechanism and asked == [False, True]
        mark, message = send(client, server, b"by a token\r\n")
    assert server.stored(mark) == server.expected(message)


def test_a_program_that_has_no_good_token(servers):
    server = servers("dovecot-submission")
    asked = []

    def give(renew):
        asked.append(renew)
        if len(asked) > 2:
            raise ConnectionError("no way to the provider")
        return "wrong"

    with open_client(server, "tls", False) as client:
        client.user, _ = account(server, "XOAUTH2")
        client.auth_type = smtpclient.AUTH_XOAUTH2
        client.on_token(give)
        with pytest.raises(ServerError) as failed:
            client.authenticate()
        assert failed.value.name == "SMTP_ERROR_AUTHENTICATION_FAILED" and asked == [False, True]
        with pytest.raises(ConnectionError, match="no way"):
            client.authenticate()
        client.on_token(lambda renew: "a" * 20000)
        with pytest.raises(CallerError) as failed:
            client.authenticate()
        assert failed.value.name == "SMTP_ERROR_TOO_LONG"
        client.on_token(lambda renew: 17)
        with pytest.raises(TypeError, match="must be str"):
            client.authenticate()
        # What is given in the call, and a login that takes no token, ask nobody.
        client.authenticate(None, server.oauth_token)
        assert client.auth_mechanism == "XOAUTH2" and len(asked) == 3
    with open_client(server, "tls", False) as client:
        client.on_token(give)
        client.auth_methods = "PLAIN"
        client.authenticate(server.user, server.password)
        assert client.auth_mechanism == "PLAIN" and len(asked) == 3


def test_a_token_for_somebody_else(servers):
    server = servers("dovecot-submission")
    with open_client(server, "tls", False) as client:
        client.auth_type = smtpclient.AUTH_BEARER
        payload = base64.urlsafe_b64encode(b'{"exp":1700000000,"email":"you@example.org"}').rstrip(b"=").decode()
        with pytest.raises(ServerError) as failed:
            client.authenticate("me@example.test", f"e30.{payload}.c2ln")
        assert "expired" in str(failed.value) and "you@example.org" in str(failed.value)


def test_a_list_of_the_methods_allowed(servers):
    server = servers("postfix")
    with open_client(server, "tls", False) as client:
        client.auth_methods = "scram-sha-1 NTLM"
        assert client.auth_methods == "scram-sha-1 NTLM"
        client.authenticate(server.user, server.password)
        assert client.auth_mechanism == "SCRAM-SHA-1"
        with pytest.raises(CallerError, match="KERBEROS_V4"):
            client.auth_methods = "PLAIN KERBEROS_V4"
    with open_client(server, "tls", False) as client:
        client.auth_methods = "XOAUTH2 EXTERNAL"
        with pytest.raises(ServerError) as failed:
            client.authenticate(server.user, server.password)
        error = failed.value
        assert error.name == "SMTP_ERROR_INVALID_AUTHENTICATION_TYPE"
        assert "PLAIN: SMTP_PROPERTY_AUTH_METHODS does not allow it" in client.error_skipped.splitlines()


def test_anonymous(servers):
    server = servers("postfix")
    with open_client(server, "tls", False) as client:
        client.auth_type = smtpclient.AUTH_ANONYMOUS
        client.authenticate("guest@example.test")
        assert client.auth_mechanism == "ANONYMOUS"


def test_realms(servers):
    server = servers("postfix")
    with open_client(server, "tls", False) as client:
        client.auth_type = smtpclient.AUTH_DIGEST_MD5
        client.auth_realm = "no.such.realm"
        with pytest.raises(ServerError, match="AUTH_REALM") as failed:
            client.authenticate(server.user, server.password)
        assert failed.value.name == "SMTP_ERROR_PROTOCOL" and client.is_connected
        client.auth_realm = ""
        client.authenticate(server.user, server.password)


KERBEROS = """
import sys
import smtpclient
host, port, ca, identity = sys.argv[1:]
with smtpclient.Client() as client:
    client.ca_file, client.tls_mode, client.timeout = ca, smtpclient.TLS_REQUIRED, 30000
    client.connect(host, int(port))
    client.auth_type, client.auth_identity = smtpclient.AUTH_GSSAPI, identity
    try:
        client.authenticate()
    except smtpclient.SmtpError as error:
        print(error.name, error, client.is_connected)
    else:
        print(client.auth_mechanism)
"""


def kerberos_login(server, keytab, folder, identity=""):
    """Signs in with a ticket cache of its own; the library takes the ticket for the keytab's user."""
    environment = {
        **os.environ,
        "KRB5_CONFIG": server.krb5_config,
        "KRB5_CLIENT_KTNAME": str(keytab),
        "KRB5CCNAME": f"FILE:{folder}/tickets",
    }
    command = [sys.executable, "-c", KERBEROS, server.tls_name, str(server.ports["starttls"]), server.ca, identity]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(not ctypes.util.find_library("gssapi_krb5"), reason="no Kerberos library")
def test_kerberos(servers, tmp_path):
    server = servers("postfix")
    assert kerberos_login(server, server.krb5_keytab, tmp_path) == "GSSAPI"
    refused = kerberos_login(server, tmp_path / "none", tmp_path.parent)
    assert refused.startswith("SMTP_ERROR_PROTOCOL") and "Kerberos says" in refused and refused.endswith("True")
