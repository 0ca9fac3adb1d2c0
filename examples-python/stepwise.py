#!/usr/bin/env python3
"""Sends a text step by step: sender, recipients one by one, content piece by piece.

    stepwise.py SERVER PORT FROM TO [TO...] < text

The body comes from standard input and is never in memory as a whole. A recipient
that the server refuses is reported, and the others get the message. For a login,
set SMTP_USER and SMTP_PASSWORD; the password is sent over verified TLS only.
"""

import os
import sys
from pathlib import Path

try:
    import smtpclient
except ModuleNotFoundError:
    # From a checkout, the package need not be installed.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bindings" / "python"))
    import smtpclient


def add_recipients(client, addresses):
    """Offers each address to the server; returns how many it accepted."""
    accepted = 0
    for address in addresses:
        try:
            client.add_recipient(address)
            accepted += 1
            print(f"accepted: {address}")
        except smtpclient.SmtpError as error:
            # Refused, or no address at all: the message is still open, unless the connection broke.
            if not client.is_connected:
                raise
            print(f"refused: {address}: {error}", file=sys.stderr)
    return accepted


def deliver(client, server, port, sender, recipients):
    client.connect(server, port, timeout=60)
    if "SMTP_USER" in os.environ:
        client.authenticate(os.environ["SMTP_USER"], os.environ.get("SMTP_PASSWORD", ""))
    client.create_message(sender)
    if not add_recipients(client, recipients):
        # Nothing was sent yet, so the server can be told to forget it.
        client.reset()
        print("stepwise.py: nobody is left to send to", file=sys.stderr)
        return False
    client.write(f"Date: {smtpclient.current_date()}\r\nFrom: {sender}\r\nTo: undisclosed-recipients:;\r\n")
    client.write("Subject: Step by step\r\n\r\n")
    client.append_stream(sys.stdin.buffer)
    client.close_message()
    print(f"sent: {client.final_reply}")
    return True


def main():
    if len(sys.argv) < 5 or not sys.argv[2].isdigit():
        print("Usage: stepwise.py SERVER PORT FROM TO [TO...] < text", file=sys.stderr)
        return 2
    _, server, port, sender, *recipients = sys.argv
    try:
        with smtpclient.Client() as client:
            return 0 if deliver(client, server, int(port), sender, recipients) else 1
    except smtpclient.SmtpError as error:
        print(f"stepwise.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
