#!/usr/bin/env python3
"""The main job, shown: a local mail server with STARTTLS and a login, a message
sent to it by the C example and one by the Python example, both over verified
TLS, and what arrived.

    demo.py [--cc COMPILER] [--library FOLDER]

Run by `make demo`, which builds the library first.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def message(language, domain):
    return (
        f"From: Demo <sender@{domain}>\r\nTo: alice@{domain}\r\nSubject: Sent from {language}\r\n\r\n"
        f"This message was sent by the {language} example.\r\n.A line that begins with a dot.\r\n"
    ).encode()


def compile_c(compiler, library, folder):
    program = folder / "send"
    command = [*shlex.split(compiler), "-O2", f"-I{ROOT / 'include'}", "-o", str(program), str(ROOT / "examples-c/send.c")]
    # By its name in the build folder; an installed program finds it by its soname.
    command += [f"-L{library}", "-lsmtpclient", f"-Wl,-rpath,{library}"]
    subprocess.run(command, check=True)
    # What a program looks for at run time is the soname.
    soname = library / "libsmtpclient.so.0"
    if not soname.exists():
        soname.symlink_to("libsmtpclient.so")
    return program


def send(title, command, content, environment):
    print(f"$ {title}")
    result = subprocess.run(command, input=content, env=environment, capture_output=True)
    sys.stdout.write((result.stdout + result.stderr).decode(errors="replace"))
    if result.returncode:
        sys.exit(f"demo: the example failed with status {result.returncode}")


def arrived(server, domain):
    """The newest message of alice's, as the server stored it."""
    files = list((Path(server["delivered"]) / "alice" / "new").iterdir())
    return max(files, key=lambda path: path.stat().st_mtime_ns).read_bytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--cc", default=os.environ.get("CC", "cc"))
    parser.add_argument("--library", type=Path, default=ROOT / "target/release")
    arguments = parser.parse_args()
    library = arguments.library.resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        program = compile_c(arguments.cc, library, folder)
        command = [sys.executable, str(ROOT / "tests/support/mail_server.py"), str(folder)]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            server = json.loads(running.stdout.readline())
            domain, port = server["domain"], str(server["ports"]["starttls"])
            print(f"A mail server (aiosmtpd) listens on {server['host']}:{port}: STARTTLS, and a login.\n")
            options = ["--server", server["tls_name"], "--port", port, "--tls", "required", "--ca-file", server["ca"]]
            options += ["--user", server["user"], "--from", f"sender@{domain}", "--to", f"alice@{domain}"]
            environment = dict(os.environ, SMTP_PASSWORD=server["password"], SMTPCLIENT_LIBRARY=str(library / "libsmtpclient.so"))
            shown = "--server localhost --tls required --ca-file CA --user alice --from ... --to ... < message"
            examples = [
                ("C", f"./send {shown}", [str(program)]),
                ("Python", f"./send.py {shown}", [sys.executable, str(ROOT / "examples-python/send.py")]),
            ]
            for language, title, start in examples:
                content = message(language, domain)
                send(title, start + options, content, environment)
                stored = arrived(server, domain)
                print("\nIt arrived:\n")
                print("".join(f"    {line}\n" for line in stored.decode().splitlines()))
                if not stored.endswith(content):
                    sys.exit("demo: what arrived is not what was sent")
            print("Both arrived as they were sent, octet for octet.")
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait(10)


if __name__ == "__main__":
    main()
