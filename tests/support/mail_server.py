#!/usr/bin/env python3
"""A mail server for tests and demonstrations, on loopback, for as long as it runs.

    python3 mail_server.py DIRECTORY

It needs aiosmtpd and trustme from PyPI. It prints one line of JSON when it is
ready (host, ports, account, authority, folders), and ends on SIGTERM or SIGINT.

Ports: "plain" without TLS, "starttls", and "tls" (TLS from the first octet). The
last two want a login before they take mail. A message that was taken is stored
as it came, once for each recipient, in delivered/RECIPIENT/new, and its envelope
in envelopes. reject@ is refused with 550 and later@ with 451.
"""

import argparse
import asyncio
import datetime
import itertools
import json
import signal
import ssl
import sys
from pathlib import Path

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

HOST = "127.0.0.1"
NAME = "localhost"
DOMAIN = "example.test"
USER = "alice"
PASSWORD = "Correct-Horse_7!battery"
REFUSED = {"reject": "550 5.7.1 no mail for this one", "later": "451 4.3.0 not now"}


def make_certificate(kind, directory):
    """A TLS context for the server; the file of the authority that a client is to trust."""
    authority = trustme.CA()
    issuer, names, dates = authority, [NAME, HOST], {}
    if kind == "wronghost":
        names = ["other.example.test"]
    elif kind == "expired":
        now = datetime.datetime.now(datetime.timezone.utc)
        dates = {"not_before": now - datetime.timedelta(days=30), "not_after": now - datetime.timedelta(days=1)}
    elif kind == "untrusted":
        issuer = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    issuer.issue_cert(*names, **dates).configure_cert(context)
    path = directory / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return context, path


class Store:
    """aiosmtpd's handler: refuses and stores."""

    def __init__(self, directory):
        self.delivered = directory / "delivered"
        self.envelopes = directory / "envelopes"
        self.numbers = itertools.count(1)
        self.delivered.mkdir(parents=True, exist_ok=True)
        self.envelopes.mkdir(exist_ok=True)

    async def handle_RCPT(self, server, session, envelope, address, options):
        local, _, domain = address.rpartition("@")
        if local in REFUSED:
            return REFUSED[local]
        if domain != DOMAIN:
            return "550 5.7.1 relay not permitted"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        number = f"{next(self.numbers):06}"
        facts = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "options": envelope.mail_options,
            "tls": session.ssl is not None,
            "login": session.auth_data.login.decode() if session.authenticated else None,
        }
        (self.envelopes / f"{number}.json").write_text(json.dumps(facts))
        for recipient in envelope.rcpt_tos:
            folder = self.delivered / recipient.rpartition("@")[0].replace("/", "_") / "new"
            folder.mkdir(parents=True, exist_ok=True)
            # Renamed when it is whole, so that nobody reads half a message.
            partial = folder / f".{number}"
            partial.write_bytes(envelope.original_content)
            partial.rename(folder / number)
        return f"250 2.0.0 Ok: queued as {number}"


def check_login(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=good, handled=False, auth_data=data)


async def serve(directory, kind):
    context, authority = make_certificate(kind, directory)
    store = Store(directory)

    def engine(**settings):
        return lambda: SMTP(store, hostname=f"mail.{DOMAIN}", authenticator=check_login, **settings)

    loop = asyncio.get_running_loop()
    # auth_require_tls is aiosmtpd's word for STARTTLS only: on the port that
    # has TLS from the start it would keep AUTH off for ever.
    servers = {
        "plain": await loop.create_server(engine(auth_require_tls=False), HOST, 0, backlog=1024),
        "starttls": await loop.create_server(
            engine(tls_context=context, require_starttls=True, auth_required=True), HOST, 0, backlog=1024
        ),
        "tls": await loop.create_server(
            engine(auth_required=True, auth_require_tls=False), HOST, 0, backlog=1024, ssl=context
        ),
    }
    facts = {
        "name": "mail_server",
        "host": HOST,
        "tls_name": NAME,
        "ports": {name: server.sockets[0].getsockname()[1] for name, server in servers.items()},
        "user": USER,
        "password": PASSWORD,
        "domain": DOMAIN,
        "recipients": f"any local part @{DOMAIN}",
        "refused": " ".join(f"{local}@{DOMAIN}={reply[:3]}" for local, reply in REFUSED.items()),
        "ca": str(authority),
        "cert_kind": kind,
        "delivered": str(store.delivered),
        "delivered_format": "one file a message",
        "envelopes": str(store.envelopes),
        "eol": "as-received",
    }
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    print(json.dumps(facts), flush=True)
    await stop.wait()


def main():
    parser = argparse.ArgumentParser(description="A mail server on loopback, for tests and demonstrations.")
    parser.add_argument("directory", type=Path, help="where to keep mail and certificates")
    parser.add_argument(
        "--certificate", choices=["good", "wronghost", "expired", "untrusted"], default="good", help="which to present"
    )
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    asyncio.run(serve(arguments.directory.resolve(), arguments.certificate))


if __name__ == "__main__":
    sys.exit(main())
