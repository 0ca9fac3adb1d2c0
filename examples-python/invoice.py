#!/usr/bin/env python3
"""Sends an invoice as a PDF.

    invoice.py SERVER PORT FROM TO PDF

The file is read while it is sent, however large it is. For a login, set SMTP_USER and
SMTP_PASSWORD.
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


def compose(sender, recipients, pdf):
    message = smtpclient.Message(sender, recipients, "Your invoice")
    message.text = "Dear customer,\n\nplease find the invoice attached.\n"
    message.attach_file(pdf, type="application/pdf")
    message.priority = smtpclient.PRIORITY_HIGH
    message.set_read_receipt(sender)
    return message


def main():
    if len(sys.argv) != 6:
        print("Usage: invoice.py SERVER PORT FROM TO PDF", file=sys.stderr)
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
        print(f"invoice.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
