#!/usr/bin/env python3
"""Sends an invitation that calendar programs understand.

    invitation.py SERVER PORT FROM TO CALENDAR

CALENDAR is a file with the appointment, from BEGIN:VCALENDAR to END:VCALENDAR, with
METHOD:REQUEST in it. For a login, set SMTP_USER and SMTP_PASSWORD.
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


def compose(sender, recipients, calendar):
    message = smtpclient.Message(sender, recipients, "An invitation")
    message.text = "You are invited; the details are in the calendar.\n"
    message.set_calendar(Path(calendar).read_text(encoding="utf-8"), "REQUEST")
    # For programs that look at attachments only.
    message.attach_file(calendar, "invitation.ics")
    return message


def main():
    if len(sys.argv) != 6:
        print("Usage: invitation.py SERVER PORT FROM TO CALENDAR", file=sys.stderr)
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
        print(f"invitation.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
