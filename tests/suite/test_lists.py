"""Long lists of recipients, from Python: how they are split, what goes over the wire, and the one report."""

import itertools
import socket
import threading

import pytest

import smtpclient
from smtpclient import CallerError, Client, ServerError, SmtpError, WireError

ACCEPTED = smtpclient.RECIPIENT_ACCEPTED
NOT_TRIED = smtpclient.RECIPIENT_NOT_TRIED
TEMPORARY = smtpclient.RECIPIENT_REFUSED_TEMPORARY
PERMANENT = smtpclient.RECIPIENT_REFUSED_PERMANENT
UNKNOWN = smtpclient.RECIPIENT_UNKNOWN
SENDER = "s@a.example"


class Lister(threading.Thread):
    """A server that keeps what it takes: a list of (recipients, content) for each connection.

    ``rcpt`` says what to answer to the recipient of an address in a transaction that
    has so many, and ``end`` to the end of the transaction of this number.
    """

    def __init__(self, *offers, rcpt=None, end=None, connections=100):
        super().__init__(daemon=True)
        self.offers = offers or [[]]
        self.rcpt = rcpt or (lambda address, count: b"250 ok")
        self.end = end or (lambda number: b"250 ok")
        self.connections = connections
        self.numbers = itertools.count(1)
        self.taken = []
        self.lines = []
        self.failure = None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.connection = self.listener
        self.port = self.listener.getsockname()[1]

    def run(self):
        try:
            for number in range(self.connections):
                connection, _ = self.listener.accept()
                self.connection = connection
                offer = self.offers[min(number, len(self.offers) - 1)]
                with connection, connection.makefile("rb") as reader:
                    self.taken.append([])
                    self.lines.append([])
                    try:
                        self.serve(connection, reader, offer)
                    except ConnectionError:
                        pass
        except OSError:
            pass
        except Exception as failure:
            self.failure = failure

    def serve(self, connection, reader, offer):
        connection.sendall(b"220 test\r\n")
        recipients = []
        for line in reader:
            self.lines[-1].append(line.decode().rstrip())
            verb = line[:4].upper()
            reply = b"250 ok"
            if verb == b"EHLO":
                lines = [b"test", *(keyword.encode() for keyword in offer)]
                reply = b"\r\n".join(b"250-" + each for each in lines[:-1]) + b"\r\n" if len(lines) > 1 else b""
                reply += b"250 " + lines[-1]
            elif verb == b"AUTH":
                reply = b"235 in"
            elif verb in (b"MAIL", b"RSET"):
                recipients = []
            elif verb == b"RCPT":
                address = line.decode().split("<")[1].split(">")[0]
                reply = self.rcpt(address, len(recipients))
                if reply.startswith(b"2"):
                    recipients.append(address)
            elif verb == b"DATA":
                if recipients:
                    connection.sendall(b"354 go\r\n")
                    content = b""
                    for line in reader:
                        if line == b".\r\n":
                            break
                        content += line
                    else:
                        return
                    reply = self.end(next(self.numbers))
                    if reply is None:
                        return
                    if reply.startswith(b"2"):
                        self.taken[-1].append((recipients, content))
                    recipients = []
                else:
                    reply = b"503 no recipients"
            elif verb == b"QUIT":
                connection.sendall(b"221 bye\r\n")
                return
            connection.sendall(reply + b"\r\n")

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        # Whatever came of the test: nobody is waited for any more.
        for end in (self.connection, self.listener):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.listener.close()
        self.join(10)
        assert not self.is_alive()
        if self.failure is not None:
            raise self.failure

    def groups(self):
        return [[recipients for recipients, _ in each] for each in self.taken]


def at_most(most, reply=b"452 4.5.3 too many recipients"):
    return lambda address, count: b"250 ok" if count < most else reply


def connected(server, **settings):
    client = Client()
    client.local_name = "client.example"
    client.timeout = 20000
    for name, value in settings.items():
        setattr(client, name, value)
    client.connect("127.0.0.1", server.port)
    return client


def addresses(count, domains=1):
    return [f"r{number}@d{number % domains}.example" for number in range(count)]


def states(client):
    return [recipient.state for recipient in client.recipients]


PIPELINING = ["PIPELINING"]
WAYS = [[], PIPELINING]


@pytest.mark.parametrize("offer", WAYS, ids=["one by one", "pipelined"])
@pytest.mark.parametrize("most, count", [(1, 5), (2, 5), (3, 3), (5, 23), (100, 1000)])
@pytest.mark.parametrize(
    "reply",
    [b"452 4.5.3 too many recipients", b"452 4.5.3 x", b"552 5.5.3 too many", b"452 Too many recipients", b"452-4.5.3 a\r\n452 4.5.3 b"],
)
def test_too_many_at_a_time(offer, most, count, reply):
    with Lister(offer, rcpt=at_most(most, reply)) as server, connected(server) as client:
        wanted = addresses(count)
        client.send_message(SENDER, wanted, b".x\n")
        assert client.outcome == smtpclient.OUTCOME_ACCEPTED
        assert (client.recipients_accepted, client.recipients_refused) == (count, 0)
        assert [found.address for found in client.recipients] == wanted
        assert states(client) == [ACCEPTED] * count
        assert all(found.result_code == 0 and not found.reply for found in client.recipients)
        client.disconnect()
    # Each once, in their order, as many at a time as the server takes.
    assert server.groups() == [[wanted[at : at + most] for at in range(0, count, most)]]
    assert {content for _, content in server.taken[0]} == {b"..x\r\n"}


@pytest.mark.parametrize(
    "reply", [b"452 4.2.2 mailbox full", b"452 full", b"552 5.2.2 mailbox full", b"451 4.5.3 too many recipients", b"550 5.5.3 too many"]
)
def test_other_refusals_are_not_taken_for_that(reply):
    with Lister(PIPELINING, rcpt=at_most(2, reply)) as server, connected(server) as client:
        client.send_message(SENDER, addresses(4), b"x")
        refused = TEMPORARY if reply.startswith(b"4") else PERMANENT
        assert states(client) == [ACCEPTED, ACCEPTED, refused, refused]
        client.disconnect()
    assert server.groups() == [[addresses(4)[:2]]]


def test_a_server_that_always_says_so():
    with Lister(PIPELINING, rcpt=lambda address, count: b"452 4.5.3 too many recipients") as server:
        with connected(server) as client:
            with pytest.raises(ServerError) as failed:
                client.send_message(SENDER, addresses(3), b"x")
            assert failed.value.name == "SMTP_ERROR_RECIPIENTS_REJECTED"
            assert (client.outcome, states(client)) == (smtpclient.OUTCOME_REJECTED_TEMPORARY, [TEMPORARY] * 3)
            client.disconnect()
    assert server.groups() == [[]]
    # It was not asked over and over.
    assert sum(line.startswith("MAIL") for line in server.lines[0]) == 1


def test_one_that_is_refused_among_many():
    def rcpt(address, count):
        number = int(address[1:].partition("@")[0])
        if number % 5 == 3:
            return b"550 5.1.1 nobody"
        return b"250 ok" if count < 2 else b"452 4.5.3 too many recipients"

    for offer in WAYS:
        with Lister(offer, rcpt=rcpt) as server, connected(server) as client:
            client.send_message(SENDER, addresses(11), b"x")
            good = [address for number, address in enumerate(addresses(11)) if number % 5 != 3]
            assert [found.address for found in client.recipients if found.accepted] == good
            assert [found.result_code for found in client.recipients] == [550 if n % 5 == 3 else 0 for n in range(11)]
            client.disconnect()
        assert [address for group in server.groups()[0] for address in group] == good


@pytest.mark.parametrize("offer", WAYS, ids=["one by one", "pipelined"])
@pytest.mark.parametrize(
    "limits, count, domains, groups",
    [
        ("RCPTMAX=2", 5, 1, [[0, 1], [2, 3], [4]]),
        ("RCPTMAX=1", 3, 1, [[0], [1], [2]]),
        ("RCPTMAX=5", 5, 1, [[0, 1, 2, 3, 4]]),
        ("RCPTDOMAINMAX=1", 5, 2, [[0, 2, 4], [1, 3]]),
        ("RCPTDOMAINMAX=2", 7, 3, [[0, 1, 3, 4, 6], [2, 5]]),
        ("RCPTMAX=2 RCPTDOMAINMAX=1", 5, 2, [[0, 2], [1, 3], [4]]),
        ("rcptmax=3 MAILMAX=1000", 4, 1, [[0, 1, 2], [3]]),
    ],
)
def test_limits_that_are_told(offer, limits, count, domains, groups):
    with Lister([*offer, f"LIMITS {limits}"]) as server, connected(server) as client:
        wanted = addresses(count, domains)
        client.send_message(SENDER, wanted, b"x")
        assert [found.address for found in client.recipients] == wanted
        assert states(client) == [ACCEPTED] * count
        client.disconnect()
    assert server.groups() == [[[wanted[number] for number in group] for group in groups]]


@pytest.mark.parametrize("limits", ["RCPTMAX=0", "RCPTMAX=", "RCPTMAX=-1", "RCPTMAX=99999999999999", "RCPTMAX", "X=1", ""])
def test_limits_that_make_no_sense(limits):
    with Lister([*PIPELINING, f"LIMITS {limits}".strip()]) as server, connected(server) as client:
        client.send_message(SENDER, addresses(3), b"x")
        client.disconnect()
    assert server.groups() == [[addresses(3)]]


def test_limits_that_are_switched_off():
    with Lister([*PIPELINING, "LIMITS RCPTMAX=1 MAILMAX=1"]) as server:
        with connected(server, disabled_extensions="LIMITS") as client:
            for _ in range(2):
                client.send_message(SENDER, addresses(3), b"x")
            client.disconnect()
    assert server.groups() == [[addresses(3)] * 2]


def test_a_server_that_takes_less_than_it_says():
    with Lister([*PIPELINING, "LIMITS RCPTMAX=4"], rcpt=at_most(3)) as server, connected(server) as client:
        client.send_message(SENDER, addresses(8), b"x")
        assert states(client) == [ACCEPTED] * 8
        client.disconnect()
    assert [len(group) for group in server.groups()[0]] == [3, 3, 2]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_further_connections(most):
    offer = [*PIPELINING, "AUTH PLAIN", f"LIMITS MAILMAX={most} RCPTMAX=1"]
    with Lister(offer) as server, connected(server) as client:
        client.authenticate("user", "secret")
        client.send_message(SENDER, addresses(5), b"x")
        assert (states(client), client.is_connected) == ([ACCEPTED] * 5, True)
        # What is left of the last connection serves the next message, and then another one.
        client.send_message(SENDER, addresses(2), b"y")
        assert states(client) == [ACCEPTED] * 2
        client.noop()
        client.disconnect()
    sent = [group for each in server.groups() for group in each]
    assert sent == [[address] for address in addresses(5) + addresses(2)]
    assert [len(each) for each in server.groups()[:-1]] == [most] * (len(server.groups()) - 1)
    for lines in server.lines:
        assert [line.split(" ")[0] for line in lines[:3]] == ["EHLO", "AUTH", "MAIL"]
        assert lines[-1] == "QUIT"


def test_a_message_step_by_step_over_a_further_connection():
    with Lister([*PIPELINING, "LIMITS MAILMAX=1"]) as server, connected(server) as client:
        for number in range(3):
            client.create_message(SENDER)
            client.add_recipient(f"r{number}@d.example")
            client.write(b"x")
            client.close_message()
        assert states(client) == [ACCEPTED]
        client.disconnect()
    assert server.groups() == [[[f"r{number}@d.example"]] for number in range(3)]


def test_a_further_connection_that_offers_less():
    """What the message needs is asked of the new server too."""
    first = [*PIPELINING, "8BITMIME", "SMTPUTF8", "DSN", "MT-PRIORITY", "LIMITS MAILMAX=1 RCPTMAX=1"]
    cases = [
        ("SMTPUTF8", {}, ["\u044e\u043b\u044f@b.example", "r@b.example"], "SMTPUTF8_REQUIRED"),
        ("DSN", {"envelope_id": "id"}, addresses(2), "EXTENSION_UNAVAILABLE"),
        ("MT-PRIORITY", {"mt_priority": 3}, addresses(2), "EXTENSION_UNAVAILABLE"),
    ]
    for lacking, settings, recipients, name in cases:
        then = [keyword for keyword in first if keyword != lacking]
        with Lister(first, then) as server:
            client = connected(server, **settings)
            with pytest.raises(SmtpError) as failed:
                client.send_message(SENDER, recipients, b"x")
            assert failed.value.name == f"SMTP_ERROR_{name}", lacking
            # The first has it.
            assert (client.outcome, states(client)) == (smtpclient.OUTCOME_ACCEPTED, [ACCEPTED, NOT_TRIED])
            assert not client.safe_to_retry
            client.close()
        assert server.groups()[0] == [recipients[:1]]
        assert not any(line.startswith(("MAIL", "RCPT")) for line in server.lines[1]), server.lines[1]


def test_a_further_connection_that_cannot_be_made():
    with Lister([*PIPELINING, "LIMITS MAILMAX=1 RCPTMAX=1"], connections=1) as server:
        client = connected(server)
        thread = threading.Thread(target=lambda: (server.join(), server.listener.close()))
        thread.start()
        client.timeout = 3000
        with pytest.raises(WireError):
            client.send_message(SENDER, addresses(3), b"x")
        assert (client.outcome, states(client)) == (smtpclient.OUTCOME_ACCEPTED, [ACCEPTED, NOT_TRIED, NOT_TRIED])
        assert not client.safe_to_retry and not client.is_connected
        client.close()
        thread.join(10)


def test_a_file_is_read_again_and_a_stream_is_not(tmp_path):
    path = tmp_path / "x.eml"
    path.write_bytes(b"Subject: x\n\n" + b"0123456789\n" * 20000)
    whole = path.read_bytes().replace(b"\n", b"\r\n")
    with Lister(PIPELINING, rcpt=at_most(2)) as server, connected(server) as client:
        client.send_file(SENDER, addresses(5), path)
        assert states(client) == [ACCEPTED] * 5
        client.disconnect()
    assert [content == whole for _, content in server.taken[0]] == [True] * 3
    with Lister(PIPELINING, rcpt=at_most(2)) as server, connected(server) as client:
        # Who is one too many is refused for now, as the content cannot be had again.
        client.send_stream(SENDER, addresses(5), [b"x\r\n"])
        assert states(client) == [ACCEPTED] * 2 + [TEMPORARY] * 3
        assert (client.outcome, client.recipients[2].enhanced_code) == (smtpclient.OUTCOME_ACCEPTED, "4.5.3")
        client.disconnect()
    assert server.groups() == [[addresses(2)]]


@pytest.mark.parametrize("limits, domains", [("RCPTMAX=1", 1), ("RCPTDOMAINMAX=1", 2), ("RCPTMAX=9 RCPTDOMAINMAX=1", 2)])
def test_what_cannot_be_split_is_not_sent(limits, domains):
    with Lister([*PIPELINING, f"LIMITS {limits}"]) as server, connected(server) as client:
        wanted = addresses(2, domains)
        for way in ("stream", "all or nothing"):
            with pytest.raises(CallerError) as failed:
                if way == "stream":
                    client.send_stream(SENDER, wanted, [b"x"])
                else:
                    client.all_or_nothing = True
                    client.send_message(SENDER, wanted, b"x")
            assert failed.value.name == "SMTP_ERROR_TOO_MANY_RECIPIENTS", str(failed.value)
            assert (client.outcome, states(client)) == (smtpclient.OUTCOME_NOT_SENT, [NOT_TRIED] * 2)
        # As many as fit are fine.
        client.send_message(SENDER, wanted[:1], b"x")
        client.send_message(SENDER, ["a@d.example"], b"x")
        client.disconnect()
    assert server.groups() == [[wanted[:1], ["a@d.example"]]]


@pytest.mark.parametrize(
    "end, name, rest",
    [
        (b"451 4.3.0 later", "MESSAGE_REJECTED", TEMPORARY),
        (b"554 5.6.0 no", "MESSAGE_REJECTED", PERMANENT),
        (b"421 bye", "SERVER_CLOSING", TEMPORARY),
        (b"354 what?", "PROTOCOL", UNKNOWN),
        (None, "CONNECTION_CLOSED", UNKNOWN),
    ],
)
def test_a_later_transaction_that_fails(end, name, rest):
    """The report tells of each recipient what became of it; those that wait are not tried."""
    with Lister(PIPELINING, rcpt=at_most(2), end=lambda number: b"250 ok" if number < 2 else end) as server:
        client = connected(server)
        with pytest.raises(SmtpError) as failed:
            client.send_message(SENDER, addresses(6), b"x")
        assert failed.value.name == f"SMTP_ERROR_{name}"
        assert states(client)[:4] == [ACCEPTED] * 2 + [rest] * 2
        # They were told to come again.
        assert set(states(client)[4:]) <= {TEMPORARY, NOT_TRIED}
        assert client.outcome == (smtpclient.OUTCOME_UNKNOWN if rest == UNKNOWN else smtpclient.OUTCOME_ACCEPTED)
        assert not client.safe_to_retry
        client.close()
    assert server.groups() == [[addresses(2)]]


@pytest.mark.parametrize("offer", [PIPELINING, [*PIPELINING, "LIMITS RCPTMAX=1000"]])
def test_12000_recipients(offer):
    with Lister(offer, rcpt=at_most(1000)) as server, connected(server) as client:
        wanted = addresses(12000, 50)
        client.send_message(SENDER, wanted, b"x")
        assert (client.recipients_accepted, client.recipients_refused) == (12000, 0)
        client.disconnect()
    assert sorted(itertools.chain(*server.groups()[0])) == sorted(wanted)
    assert [len(group) for group in server.groups()[0]] == [1000] * 12


def test_the_content_has_no_recipients():
    content = b"Subject: x\r\nTo: somebody@else.example\r\n\r\nbody\r\n"
    with Lister(PIPELINING, rcpt=at_most(2)) as server, connected(server) as client:
        client.send_message(SENDER, addresses(5), content)
        client.disconnect()
    assert [taken for _, taken in server.taken[0]] == [content] * 3
