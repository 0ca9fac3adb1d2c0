#!/usr/bin/env python3
"""Sends many messages over a few connections, and reports on each of them.

    pool.py SERVER PORT FROM TO MESSAGE...

Each MESSAGE is a file with a finished message. The report is one line for each:
file, outcome, and what the server said or what went wrong, separated by tabs. For a login,
set SMTP_USER and SMTP_PASSWORD; the password is sent over verified TLS only.
"""

import concurrent.futures
import os
import sys
from pathlib import Path

try:
    import smtpclient
except ModuleNotFoundError:
    # From a checkout, the package need not be installed.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bindings" / "python"))
    import smtpclient

OUTCOMES = {
    smtpclient.OUTCOME_NOT_SENT: "not sent",
    smtpclient.OUTCOME_ACCEPTED: "accepted",
    smtpclient.OUTCOME_REJECTED_TEMPORARY: "rejected for now",
    smtpclient.OUTCOME_REJECTED_PERMANENT: "rejected",
    smtpclient.OUTCOME_UNKNOWN: "unknown",
}


def main():
    if len(sys.argv) < 6 or not sys.argv[2].isdigit():
        print("Usage: pool.py SERVER PORT FROM TO MESSAGE...", file=sys.stderr)
        return 2
    _, server, port, sender, recipient, *paths = sys.argv
    properties = {"host": server, "port": int(port), "connections": 4}
    if "SMTP_USER" in os.environ:
        properties.update(user=os.environ["SMTP_USER"], password=os.environ.get("SMTP_PASSWORD", ""))
    everything = True
    with smtpclient.Pool(**properties) as pool:
        # Waits for room if too many wait already.
        names = {pool.submit(sender, recipient, Path(path), wait=None): path for path in paths}
        for future in concurrent.futures.as_completed(names):
            try:
                result = future.result()
                print(names[future], "accepted", result.reply.splitlines()[0], sep="\t")
            except smtpclient.SmtpError as error:
                print(names[future], OUTCOMES[error.outcome], error, sep="\t")
                everything = False
    return 0 if everything else 1


if __name__ == "__main__":
    sys.exit(main())
