"""A server on loopback that knows no SMTP: it sends given octets and expects given octets."""

import socket
import threading


class ScriptServer:
    """Plays one script on the first connection.

    The steps are ``("send", octets)``, ``("expect", octets)``, ``("wait", seconds)``,
    ``("stall",)``, which waits until the client closes, and ``("close",)``. All that
    the client sent is in ``received``. Leaving the ``with`` block raises what went
    differently from the script.
    """

    def __init__(self, *steps):
        self.steps = steps
        self.received = b""
        self.failure = None
        self.stop = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(10)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._play, daemon=True)
        self.thread.start()

    def _play(self):
        try:
            connection, _ = self.listener.accept()
            with connection:
                connection.settimeout(10)
                for step in self.steps:
                    getattr(self, "_" + step[0])(connection, *step[1:])
                rest = self._quiet(connection)
                if rest:
                    raise AssertionError(f"received {rest!r} behind the end of the script")
        except Exception as failure:
            self.failure = failure
        finally:
            self.listener.close()

    def _send(self, connection, octets):
        connection.sendall(octets)

    def _expect(self, connection, octets):
        got = b""
        while len(got) < len(octets):
            some = connection.recv(len(octets) - len(got))
            if not some:
                break
            got += some
            self.received += some
        if got != octets:
            raise AssertionError(f"expected {octets!r}, received {got!r}")

    def _wait(self, connection, seconds):
        self.stop.wait(seconds)

    def _stall(self, connection):
        while some := self._quiet(connection):
            self.received += some

    def _quiet(self, connection):
        """What comes next; nothing if the connection is over, in whatever way."""
        if connection.fileno() == -1:
            return b""
        try:
            return connection.recv(65536)
        except ConnectionError:
            return b""

    def _close(self, connection):
        connection.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self.stop.set()
        self.thread.join(12)
        # What the test found itself says more.
        if kind is None and self.failure is not None:
            raise self.failure
