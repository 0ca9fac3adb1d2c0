#!/usr/bin/env python3
"""Sends a plain text note.

    note.py SERVER PORT FROM TO TEXT

FROM and TO are addresses with or without names, TO also a list. For a login, set
SMTP_USER and SMTP_PASSWORD.
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


def compose(sender, recipients, text):
    message = smtpclient.Message(sender, recipients, "A note", text)
    # The reader's program may wrap long lines.
    message.flowed = True
    return message


def main():
    if len(sys.argv) != 6:
        print("Usage: note.py SERVER PORT FROM TO TEXT", file=sys.stderr)
        return 2
    _, server, port, *rest = sys.argv
    try:
        message = compose(*rest)
        with smtpclient.Client() as client:
            client.connect(server, int(port), timeout=60)
            if "SMTP_USER" in os.environ:
                client.authenticate(os.environ["SMTP_USER"], os.environ.get("SMTP_PASSWORD", ""))
            client.send_composed(message)
    except (smtpclient.SmtpError, OSError) as error:
        print(f"note.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
