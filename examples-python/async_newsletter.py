#!/usr/bin/env python3
"""Sends everybody on a list a message of their own, over several connections at a time.

    async_newsletter.py SERVER PORT FROM LIST MESSAGE [CONNECTIONS]

LIST is a file with one address a line; MESSAGE is a file with a finished message, in
which {address} stands for the recipient's address. One loop of asyncio drives all
connections, ten of them unless another number is given. The report is one line for each
recipient: address, what became of the message, and the error, separated by tabs. What is
"unknown" may have been delivered, and is not sent again. For a login, set SMTP_USER and
SMTP_PASSWORD; the password is sent over verified TLS only.
"""

import asyncio
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
    smtpclient.OUTCOME_REJECTED_TEMPORARY: "refused for now",
    smtpclient.OUTCOME_REJECTED_PERMANENT: "refused",
    smtpclient.OUTCOME_UNKNOWN: "unknown",
}

# For one message, in seconds, with everything around it.
PATIENCE = 120


async def connect(client, server, port):
    await client.connect(server, port, timeout=60)
    if "SMTP_USER" in os.environ:
        await client.authenticate(os.environ["SMTP_USER"], os.environ.get("SMTP_PASSWORD", ""))


async def deliver(client, server, port, sender, address, text):
    """Sends one message; what became of it, and why."""
    try:
        if not client.is_connected:
            await connect(client, server, port)
    except smtpclient.SmtpError as error:
        return smtpclient.OUTCOME_NOT_SENT, str(error)
    try:
        await asyncio.wait_for(client.send_message(sender, [address], text), PATIENCE)
    except smtpclient.SmtpError as error:
        return error.outcome, str(error)
    except asyncio.TimeoutError:
        # The connection is closed, and the client tells what is known.
        return client.outcome, f"no answer within {PATIENCE} seconds"
    return client.outcome, ""


async def work(server, port, sender, text, addresses, results):
    """One connection, for as long as there is something to do."""
    async with smtpclient.AsyncClient() as client:
        while addresses:
            address = addresses.pop()
            own = text.replace("{address}", address)
            results[address] = await deliver(client, server, port, sender, address, own)


async def send_all(server, port, sender, text, addresses, connections):
    results = {}
    left = addresses[::-1]
    await asyncio.gather(*(work(server, port, sender, text, left, results) for _ in range(connections)))
    return results


def main():
    if len(sys.argv) not in (6, 7) or not all(map(str.isdigit, sys.argv[2::4])):
        print("Usage: async_newsletter.py SERVER PORT FROM LIST MESSAGE [CONNECTIONS]", file=sys.stderr)
        return 2
    server, port, sender, path, message = sys.argv[1:6]
    connections = int(sys.argv[6]) if len(sys.argv) == 7 else 10
    try:
        addresses = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
        text = Path(message).read_text(encoding="utf-8")
    except OSError as error:
        print(f"async_newsletter.py: {error}", file=sys.stderr)
        return 2
    # Each address once, in the order of the list.
    addresses = list(dict.fromkeys(addresses))
    results = asyncio.run(send_all(server, int(port), sender, text, addresses, min(connections, len(addresses))))
    for address in addresses:
        outcome, why = results[address]
        print(f"{address}\t{OUTCOMES[outcome]}\t{why}")
    accepted = sum(outcome == smtpclient.OUTCOME_ACCEPTED for outcome, _ in results.values())
    print(f"{accepted} of {len(addresses)} have it", file=sys.stderr)
    return 0 if accepted == len(addresses) else 1


if __name__ == "__main__":
    sys.exit(main())
