"""Networks as Python sees them: sockets handed over, proxies named by the environment,
and real proxies from Debian."""

import os
import shutil
import signal
import socket
import subprocess
import time

import pytest
from script_server import ScriptServer

import smtpclient
from smtpclient import Client, SmtpError, WireError, proxy_from_environment

GREETING = (
    ("send", b"220 hi\r\n"),
    ("expect", b"EHLO client.example\r\n"),
    ("send", b"250 hi\r\n"),
)
FAREWELL = (("expect", b"QUIT\r\n"), ("send", b"221 bye\r\n"))


def make_client():
    client = Client()
    client.local_name = "client.example"
    client.timeout = 20000
    return client


# Sockets handed over


def test_a_socket_is_the_clients_on_success():
    with ScriptServer(*GREETING, *FAREWELL) as server, make_client() as client:
        connection = socket.create_connection(("127.0.0.1", server.port))
        number = connection.fileno()
        client.attach(connection, "mail.example")
        assert connection.fileno() == -1
        with pytest.raises(OSError):
            os.fstat(number)
        assert client.is_connected and client.peer_address == f"127.0.0.1:{server.port}"
        client.disconnect()


def test_a_socket_stays_the_callers_on_failure():
    near, far = socket.socketpair()
    with near, far, make_client() as client:
        far.sendall(b"554 no\r\n")
        with pytest.raises(SmtpError) as refused:
            client.attach(near, "mail.example")
        assert refused.value.name == "SMTP_ERROR_SERVER_REFUSED"
        assert os.fstat(near.fileno())
    with make_client() as client, pytest.raises(SmtpError) as refused:
        client.attach(near, "mail.example")
    assert refused.value.name == "SMTP_ERROR_INVALID_PARAMETER", "it is closed"


def test_an_error_tells_how_each_address_failed():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with make_client() as client:
        client.connect_address = "127.0.0.2, 127.0.0.3"
        with pytest.raises(WireError) as failed:
            client.connect("mail.example", port)
    assert [address for address, _ in failed.value.attempts] == [f"127.0.0.2:{port}", f"127.0.0.3:{port}"]
    assert all("refused" in reason for _, reason in failed.value.attempts)


# The environment


@pytest.mark.parametrize(
    "host, environment, expected",
    [
        ("mail.example", {}, ""),
        ("mail.example", {"ALL_PROXY": "socks5h://p:1"}, "socks5h://p:1"),
        ("mail.example", {"ALL_PROXY": "p:3128"}, "http://p:3128"),
        ("mail.example", {"SOCKS_PROXY": "p:1080", "ALL_PROXY": "http://q:1"}, "socks5://p:1080"),
        ("mail.example", {"SMTP_PROXY": "http://s:1", "SOCKS_PROXY": "p:1080"}, "http://s:1"),
        ("mail.example", {"all_proxy": "http://small:1", "ALL_PROXY": "http://LARGE:1"}, "http://small:1"),
        ("mail.example", {"ALL_PROXY": "socks://u:p%40@p:1"}, "socks5://u:p%40@p:1"),
        ("mail.example", {"ALL_PROXY": "socks4://p:1"}, "socks4a://p:1"),
        ("mail.example", {"HTTP_PROXY": "http://web:1", "HTTPS_PROXY": "http://web:1"}, ""),
        ("mail.example", {"ALL_PROXY": "http://p:1", "NO_PROXY": "*"}, ""),
        ("mail.example", {"ALL_PROXY": "http://p:1", "NO_PROXY": "a.example, example"}, ""),
        ("MAIL.example.", {"ALL_PROXY": "http://p:1", "no_proxy": ".mail.EXAMPLE"}, ""),
        ("mail.example", {"ALL_PROXY": "http://p:1", "NO_PROXY": "ail.example,,"}, "http://p:1"),
        ("10.1.2.3", {"ALL_PROXY": "http://p:1", "NO_PROXY": "example,10.0.0.0/8"}, ""),
        ("10.1.2.3", {"ALL_PROXY": "http://p:1", "NO_PROXY": "10.1.2.4,2.3"}, "http://p:1"),
        ("[2001:db8::1]", {"ALL_PROXY": "http://p:1", "NO_PROXY": "2001:db8::/32"}, ""),
        ("localhost", {"ALL_PROXY": "http://p:1"}, ""),
        ("127.0.0.2", {"ALL_PROXY": "http://p:1"}, ""),
        ("/run/mail.sock", {"ALL_PROXY": "http://p:1"}, ""),
    ],
)
def test_the_proxy_of_the_environment(host, environment, expected):
    assert proxy_from_environment(host, environment) == expected


def test_the_library_itself_does_not_look_there(monkeypatch):
    for name in ("ALL_PROXY", "SOCKS_PROXY", "SMTP_PROXY", "HTTP_PROXY", "HTTPS_PROXY"):
        for written in (name, name.lower()):
            monkeypatch.setenv(written, "socks5://127.0.0.1:1")
    assert proxy_from_environment("mail.example") == "socks5://127.0.0.1:1"
    with ScriptServer(*GREETING, *FAREWELL) as server, make_client() as client:
        assert client.proxy == ""
        client.connect("127.0.0.1", server.port)
        client.disconnect()


# Real proxies


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def find(program):
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip(f"{program} is not installed (a Debian package has it)")
    return path


class RunningProxy:
    """A proxy of another's making, for as long as the block runs."""

    def __init__(self, command, port):
        self.port = port
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        end = time.monotonic() + 15
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    self.__exit__()
                    pytest.skip(f"{self.process.args[0]} does not run here")
                time.sleep(0.05)

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def microsocks(directory, login):
    port = free_port()
    command = [find("microsocks"), "-i", "127.0.0.1", "-p", str(port)]
    return RunningProxy(command + (["-u", "user", "-P", "pass.word"] if login else []), port)


def tinyproxy(directory, login):
    port = free_port()
    lines = [f"Port {port}", "Listen 127.0.0.1", "Timeout 60", "MaxClients 10", "Allow 127.0.0.1"]
    if login:
        lines.append("BasicAuth user pass.word")
    lines += ["FilterURLs Off", 'Filter "%s"' % (directory / "filter")]
    (directory / "filter").write_text("forbidden\\.example\n")
    path = directory / "tinyproxy.conf"
    path.write_text("\n".join(lines) + "\n")
    return RunningProxy([find("tinyproxy"), "-d", "-c", str(path)], port)


def dante(directory, login=False):
    port = free_port()
    path = directory / "danted.conf"
    path.write_text(
        f"""logoutput: {directory / "danted.log"}
internal: 127.0.0.1 port = {port}
external: lo
clientmethod: none
socksmethod: none
client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
socks block {{ from: 0.0.0.0/0 to: 127.0.0.9/32 }}
socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 protocol: tcp }}
"""
    )
    return RunningProxy([find("danted"), "-f", str(path), "-p", str(directory / "danted.pid")], port)


PROXIES = {
    "microsocks": (microsocks, "socks5"),
    "dante": (dante, "socks5"),
    "dante by SOCKS 4": (dante, "socks4a"),
    "tinyproxy": (tinyproxy, "http"),
}


LOGIN = "user:pass%2Eword@"


# dante asks the system's own users for a login.
@pytest.mark.parametrize("name, login", [(name, "") for name in PROXIES] + [("microsocks", LOGIN), ("tinyproxy", LOGIN)])
def test_a_real_proxy(servers, tmp_path, name, login):
    server = servers("mail_server")
    start, scheme = PROXIES[name]
    with start(tmp_path, login != "") as proxy:
        for port, mode in [("plain", smtpclient.TLS_NONE), ("starttls", smtpclient.TLS_REQUIRED), ("tls", smtpclient.TLS_IMPLICIT)]:
            with make_client() as client:
                client.proxy = f"{scheme}://{login}127.0.0.1:{proxy.port}"
                client.ca_file = server.ca
                client.tls_mode = mode
                client.insecure_auth = port == "plain"
                # The proxy looks the name up; dante takes no names by SOCKS 4.
                client.connect(server.host if scheme == "socks4a" else server.tls_name, server.ports[port])
                assert client.peer_address == f"127.0.0.1:{proxy.port}"
                assert client.tls_verified is (port != "plain")
                client.authenticate(server.user, server.password)
                mark = f"{time.time_ns():x}-{port}"
                message = f"X-Mark: {mark}\r\n\r\n".encode() + b"0123456789\r\n" * 20000
                client.send_message(f"bob@{server.domain}", f"alice@{server.domain}", message)
                client.disconnect()
                assert server.stored(mark) == server.expected(message)


@pytest.mark.parametrize("name", PROXIES)
def test_a_real_proxy_and_a_server_that_is_not_there(tmp_path, name):
    start, scheme = PROXIES[name]
    with start(tmp_path, False) as proxy, make_client() as client:
        client.proxy = f"{scheme}://127.0.0.1:{proxy.port}"
        for host in ("127.0.0.1", "no-such-host.invalid"):
            with pytest.raises(WireError) as failed:
                client.connect(host, free_port())
            assert failed.value.phase == smtpclient.PHASE_PROXY
            assert failed.value.name in ("SMTP_ERROR_PROXY_TARGET", "SMTP_ERROR_PROXY_REFUSED"), str(failed.value)
            assert failed.value.address == f"127.0.0.1:{proxy.port}"
            assert host in str(failed.value) or scheme == "socks4a"


@pytest.mark.parametrize("login", ["", "user:wrong@", "nobody:pass.word@"], ids=["none", "password", "user"])
@pytest.mark.parametrize("name", ["microsocks", "tinyproxy"])
def test_a_real_proxy_refuses_a_login(tmp_path, name, login):
    start, scheme = PROXIES[name]
    with start(tmp_path, True) as proxy, make_client() as client:
        client.proxy = f"{scheme}://{login}127.0.0.1:{proxy.port}"
        with pytest.raises(WireError) as failed:
            client.connect("mail.example", 25)
        assert failed.value.name == "SMTP_ERROR_PROXY_AUTHENTICATION", str(failed.value)
        assert "wrong" not in str(failed.value)


@pytest.mark.parametrize("name, host", [("dante", "127.0.0.9"), ("dante by SOCKS 4", "127.0.0.9"), ("tinyproxy", "forbidden.example")])
def test_a_real_proxy_refuses_a_host(tmp_path, name, host):
    start, scheme = PROXIES[name]
    with start(tmp_path, False) as proxy, make_client() as client:
        client.proxy = f"{scheme}://127.0.0.1:{proxy.port}"
        with pytest.raises(WireError) as failed:
            client.connect(host, 25)
        assert failed.value.name == "SMTP_ERROR_PROXY_REFUSED", str(failed.value)


def test_a_real_proxy_of_another_kind(tmp_path):
    with tinyproxy(tmp_path, False) as proxy, make_client() as client:
        client.proxy = f"socks5://127.0.0.1:{proxy.port}"
        client.timeout_proxy = 3000
        with pytest.raises(WireError) as failed:
            client.connect("mail.example", 25)
        assert failed.value.phase == smtpclient.PHASE_PROXY
        assert failed.value.name in ("SMTP_ERROR_PROXY_PROTOCOL", "SMTP_ERROR_TIMEOUT"), str(failed.value)
