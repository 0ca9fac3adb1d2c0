#!/usr/bin/env python3
"""Sends one message: connect, authenticate, send, disconnect.

    send.py --server mail.example.com --port 587 --tls required \\
            --user me --password-file secret.txt \\
            --from me@example.com --to you@example.org message.eml
"""

import argparse
import os
import sys
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from pathlib import Path

try:
    import smtpclient
except ModuleNotFoundError:
    # From a checkout, the package need not be installed.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bindings" / "python"))
    import smtpclient

TLS_MODES = {
    "opportunistic": smtpclient.TLS_OPPORTUNISTIC,
    "none": smtpclient.TLS_NONE,
    "required": smtpclient.TLS_REQUIRED,
    "implicit": smtpclient.TLS_IMPLICIT,
}

PASSWORD_VARIABLE = "SMTP_PASSWORD"


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Send one message: connect, authenticate, send, disconnect.",
        epilog=f"The password comes from --password-file, or from the environment variable {PASSWORD_VARIABLE}. "
        "Without --user there is no login.",
    )
    parser.add_argument("--server", required=True, metavar="HOST", help="host name or address of the mail server")
    parser.add_argument(
        "--port", type=int, default=0, help="port of the server (default: 25, or 465 with implicit TLS)"
    )
    parser.add_argument(
        "--tls",
        choices=TLS_MODES,
        default="opportunistic",
        help="opportunistic: STARTTLS if the server offers it (default); none: never; "
        "required: STARTTLS with a good certificate; implicit: TLS from the first octet",
    )
    parser.add_argument(
        "--ca-file", default="", metavar="FILE", help="PEM file of the authorities to trust instead of the system's"
    )
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS", help="limit of each call (default: 60)")
    parser.add_argument("--user", metavar="NAME", help="user name to log in with")
    password = parser.add_mutually_exclusive_group()
    password.add_argument("--password-file", metavar="FILE", help="file whose first line is the password")
    password.add_argument("--password", help="the password itself; others on this machine can see it in the process list")
    parser.add_argument("--from", "--sender", dest="sender", required=True, metavar="ADDRESS", help="sender of the envelope")
    parser.add_argument(
        "--to", "--recipient", dest="recipient", required=True, action="append", metavar="ADDRESS", help="recipient; may be given several times"
    )
    parser.add_argument("--subject", default="", help="subject of a message made from --text")
    parser.add_argument("--text", help="text of a message, instead of a finished one")
    parser.add_argument("--trace", action="store_true", help="show the dialogue with the server on standard error")
    parser.add_argument(
        "message", nargs="?", default="-", metavar="FILE", help="finished message: header, empty line, body (default: standard input)"
    )
    return parser.parse_args()


def find_password(arguments):
    if arguments.password_file is not None:
        lines = Path(arguments.password_file).read_text(encoding="utf-8").splitlines()
        return lines[0] if lines else ""
    if arguments.password is not None:
        return arguments.password
    return os.environ.get(PASSWORD_VARIABLE, "")


def find_message(arguments):
    if arguments.text is not None:
        message = EmailMessage()
        message["Date"] = formatdate(localtime=True)
        message["From"] = arguments.sender
        message["To"] = ", ".join(arguments.recipient)
        message["Subject"] = arguments.subject
        message["Message-ID"] = make_msgid()
        message.set_content(arguments.text)
        return message.as_bytes(policy=SMTP)
    if arguments.message == "-":
        return sys.stdin.buffer.read()
    return Path(arguments.message).read_bytes()


def show(event):
    arrow = {smtpclient.EVENT_COMMAND: "C:", smtpclient.EVENT_REPLY: "S:"}.get(event.kind, "--")
    code = f"{event.result_code} " if event.result_code else ""
    print(arrow, code + event.text.rstrip("\r\n"), file=sys.stderr)


def main():
    arguments = parse_arguments()
    try:
        password = find_password(arguments)
        message = find_message(arguments)
    except OSError as error:
        print(f"send.py: {error}", file=sys.stderr)
        return 2

    with smtpclient.Client() as client:
        try:
            client.tls_mode = TLS_MODES[arguments.tls]
            client.ca_file = arguments.ca_file
            client.timeout = round(arguments.timeout * 1000)
            if arguments.trace:
                client.on_event(show, smtpclient.EVENT_COMMAND | smtpclient.EVENT_REPLY)
            client.connect(arguments.server, arguments.port)
        except smtpclient.SmtpError as error:
            print(f"Connect: {error}", file=sys.stderr)
            return 1

        if arguments.user:
            try:
                client.authenticate(arguments.user, password)
            except smtpclient.SmtpError as error:
                print(f"Authenticate: {error}", file=sys.stderr)
                return 1

        try:
            client.send_message(arguments.sender, arguments.recipient, message)
        except smtpclient.SmtpError as error:
            print(f"Send: {error}", file=sys.stderr)
            if not client.safe_to_retry:
                print("The server may have taken the message; sending it again may deliver it twice.", file=sys.stderr)
            return 1
        print(f"Sent to {client.recipients_accepted} of {len(arguments.recipient)} recipients: {client.final_reply}")
        if client.recipients_refused:
            print(f"Refused:\n{client.refused_recipients}", file=sys.stderr)

        try:
            client.disconnect()
        except smtpclient.SmtpError as error:
            print(f"Disconnect: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
