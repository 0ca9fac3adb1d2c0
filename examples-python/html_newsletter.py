#!/usr/bin/env python3
"""Sends a newsletter in HTML that shows images.

    html_newsletter.py SERVER PORT FROM TO IMAGE...

Each IMAGE is a file that goes with the message and is shown in it. Readers without
HTML get a plain text, and one click is enough to unsubscribe, if the message is
signed. For a login, set SMTP_USER and SMTP_PASSWORD.
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


def compose(sender, recipients, *images):
    message = smtpclient.Message(sender, recipients, "News \u2013 with pictures")
    message.text = "News\n\nYour program shows no pictures.\n"
    html = "<h1>News</h1>"
    for number, path in enumerate(images, 1):
        html += f'<p><img src="cid:image{number}" alt=""></p>'
        message.embed_file(path, f"image{number}")
    message.html = html
    message["List-Id"] = "News <news.example.com>"
    message.set_unsubscribe("leave@example.com", "https://example.com/leave?id=1", one_click=True)
    return message


def main():
    if len(sys.argv) < 6:
        print("Usage: html_newsletter.py SERVER PORT FROM TO IMAGE...", file=sys.stderr)
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
        print(f"html_newsletter.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
