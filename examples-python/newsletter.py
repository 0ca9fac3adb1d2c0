#!/usr/bin/env python3
"""Sends one message to many recipients, and reports on each of them.

    newsletter.py SERVER PORT FROM LIST MESSAGE

LIST is a file with one address a line; MESSAGE is a file with a finished message.
The recipients see nothing of each other. If the server takes only so many at a
time, the library serves the others in further transactions. The report is one
line for each recipient: address, state, and the reply that refused it, separated
by tabs. For a login, set SMTP_USER and SMTP_PASSWORD; the password is sent over
verified TLS only.
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

STATES = {
    smtpclient.RECIPIENT_NOT_TRIED: "not tried",
    smtpclient.RECIPIENT_ACCEPTED: "accepted",
    smtpclient.RECIPIENT_REFUSED_TEMPORARY: "refused for now",
    smtpclient.RECIPIENT_REFUSED_PERMANENT: "refused",
    smtpclient.RECIPIENT_UNKNOWN: "unknown",
}


def deliver(client, server, port, sender, recipients, path):
    client.connect(server, port, timeout=60)
    if "SMTP_USER" in os.environ:
        client.authenticate(os.environ["SMTP_USER"], os.environ.get("SMTP_PASSWORD", ""))
    client.send_file(sender, recipients, path)


def report(recipients):
    """Prints a line for each recipient; returns whether all were accepted."""
    again = 0
    for recipient in recipients:
        reply = f"{recipient.result_code} {recipient.reply}".replace("\n", " ") if recipient.result_code else ""
        print(f"{recipient.address}\t{STATES[recipient.state]}\t{reply}")
        again += recipient.state in (smtpclient.RECIPIENT_REFUSED_TEMPORARY, smtpclient.RECIPIENT_NOT_TRIED)
    accepted = sum(recipient.accepted for recipient in recipients)
    print(f"{accepted} of {len(recipients)} have it; {again} can be tried again", file=sys.stderr)
    return bool(recipients) and accepted == len(recipients)


def main():
    if len(sys.argv) != 6 or not sys.argv[2].isdigit():
        print("Usage: newsletter.py SERVER PORT FROM LIST MESSAGE", file=sys.stderr)
        return 2
    _, server, port, sender, path, message = sys.argv
    try:
        recipients = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        print(f"newsletter.py: {error}", file=sys.stderr)
        return 2
    with smtpclient.Client() as client:
        try:
            deliver(client, server, int(port), sender, recipients, message)
        except smtpclient.SmtpError as error:
            print(f"newsletter.py: {error}", file=sys.stderr)
        # Also after a failure: some may have been served.
        return 0 if report(client.recipients) else 1


if __name__ == "__main__":
    sys.exit(main())
