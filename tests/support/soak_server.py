"""The server of the soak: takes messages in the clear, after STARTTLS and over TLS, and
leaves, refuses and says 421 now and then.

    soak_server.py DIRECTORY [calm]

prints one line of JSON with its ports and the file of its authority, and at the end of its
standard input another one with the number of messages that it has taken. With calm, nothing goes
wrong.
"""

import json
import random
import socket
import ssl
import sys
import threading
from pathlib import Path

import trustme

FEATURES = ["soak.example", "PIPELINING", "SIZE 1000000", "8BITMIME", "CHUNKING", "ENHANCEDSTATUSCODES"]


class Server:
    def __init__(self, directory, moods):
        self.moods = moods
        authority = trustme.CA()
        self.authority = Path(directory) / "authority.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self.tls)
        self.taken = 0
        self.lock = threading.Lock()
        self.chance = random.Random(5)

    def listen(self, tls):
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        threading.Thread(target=self.accept, args=(listener, tls), daemon=True).start()
        return listener.getsockname()[1]

    def accept(self, listener, tls):
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(connection, tls), daemon=True).start()

    def serve(self, connection, tls):
        try:
            if tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            Session(self, connection, tls).run()
        except OSError:
            # The client has gone, as it may.
            pass
        finally:
            connection.close()


class Session:
    """One connection: in some moods it is left in the middle, ends with a 421, or refuses things."""

    def __init__(self, server, connection, secure):
        self.server, self.connection, self.secure = server, connection, secure
        self.mood = server.chance.choice(server.moods)
        self.commands = server.chance.randrange(3, 60)
        self.recipients = 0
        self.input = b""
        self.replies = []

    def run(self):
        self.say("220 soak.example ESMTP")
        while (line := self.line()) is not None:
            self.commands -= 1
            if self.commands <= 0 and self.mood == "leaves":
                return
            if self.commands <= 0 and self.mood == "421":
                self.say("421 4.3.2 Closing")
                return self.flush()
            if not self.answer(line.decode("latin-1").upper()):
                return self.flush()

    def say(self, *lines):
        """What is answered to a group of commands goes out at once, when there is nothing more to read."""
        self.replies += lines
        if not self.input:
            self.flush()

    def flush(self):
        replies, self.replies = self.replies, []
        self.connection.sendall("".join(f"{reply}\r\n" for reply in replies).encode())

    def more(self):
        if self.replies:
            self.flush()
        octets = self.connection.recv(65536)
        self.input += octets
        return bool(octets)

    def line(self):
        while b"\n" not in self.input:
            if not self.more():
                return None
        line, self.input = self.input.split(b"\n", 1)
        return line.rstrip(b"\r")

    def answer(self, command):
        """Whether the connection goes on."""
        word = command.split(" ")[0]
        if word in ("EHLO", "HELO"):
            features = FEATURES if self.secure else [*FEATURES, "STARTTLS"]
            self.say(*(f"250-{feature}" for feature in features[:-1]), f"250 {features[-1]}")
        elif word == "STARTTLS":
            self.say("220 2.0.0 Go on")
            self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
            self.secure = True
        elif word == "MAIL":
            self.recipients = 0
            self.say("250 2.1.0 Ok")
        elif word == "RCPT":
            refused = self.mood == "refuses" and "RCPT1" in command
            self.recipients += not refused
            self.say("550 5.1.1 Nobody" if refused else "250 2.1.5 Ok")
        elif word == "DATA":
            return self.data()
        elif word == "BDAT":
            return self.chunk(command.split(" "))
        elif word == "QUIT":
            self.say("221 2.0.0 Bye")
            return False
        else:
            self.say("250 2.0.0 Ok")
        return True

    def data(self):
        if self.recipients == 0:
            self.say("554 5.5.1 No recipients")
            return True
        self.say("354 Go on")
        # An end at the very start is that of an empty message.
        content, self.input = b"\r\n" + self.input, b""
        while (end := content.find(b"\r\n.\r\n")) < 0:
            if not self.more():
                return False
            content, self.input = content[-4:] + self.input, b""
        self.input = content[end + 5 :]
        return self.end()

    def chunk(self, words):
        left = int(words[1])
        while len(self.input) < left:
            if not self.more():
                return False
        self.input = self.input[left:]
        if self.recipients == 0:
            self.say("554 5.5.1 No recipients")
            return True
        if words[-1] != "LAST":
            self.say("250 2.0.0 Ok")
            return True
        return self.end()

    def end(self):
        if self.mood == "refuses" and self.commands % 4 == 0:
            self.say("451 4.3.0 Later")
            return True
        with self.server.lock:
            self.server.taken += 1
        if self.mood == "leaves" and self.commands % 4 == 0:
            # The message is taken, and the client never learns of it.
            return False
        self.say("250 2.0.0 Ok: queued as 4F1B2")
        return True


def main():
    moods = ["fine"] if sys.argv[2:] == ["calm"] else ["fine"] * 5 + ["leaves", "421", "refuses"]
    server = Server(sys.argv[1], moods)
    ports = {"plain": server.listen(False), "tls": server.listen(True)}
    print(json.dumps({**ports, "authority": str(server.authority)}), flush=True)
    sys.stdin.read()
    print(json.dumps({"taken": server.taken}), flush=True)


if __name__ == "__main__":
    main()
