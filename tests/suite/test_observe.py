"""The binding's side of traces, states and errors; the library's is in tests/observe.rs."""

import email.utils
import time

import pytest
from test_python import QUIT, connected, session, taken

import smtpclient
from smtpclient import CallerError, ServerError


def test_a_trace_and_what_a_callback_raises():
    records = []
    with session(*taken(), ("stall",)) as server, connected(server) as client:
        client.on_trace(records.append)
        client.trace_keep = 100
        client.send_message("s@a.example", "r@b.example", b"x\r\n")
        assert (smtpclient.DIRECTION_CLIENT, "DATA") in [(record.direction, record.text) for record in records]
        assert all(abs(record.time - time.time()) < 3600 for record in records)
        assert " C# 6\n" in client.trace_text and client.trace_text.count("\n") == len(records)

        def fail(record):
            raise KeyError(record.text)

        client.on_trace(fail)
        with pytest.raises(KeyError, match="RSET"):
            client.reset()
        client.on_trace(None)
        assert not client._callbacks
        with pytest.raises(TypeError):
            client.on_trace("no function")


def test_a_trace_to_a_file(tmp_path):
    path = tmp_path / "trace.txt"
    with session(*taken(), *QUIT) as server, connected(server) as client:
        with pytest.raises(CallerError, match="/nowhere"):
            client.enable_trace("/nowhere/trace.txt")
        with pytest.raises(CallerError, match="empty"):
            client.enable_trace("")
        assert client.trace_file == ""
        client.enable_trace(path, smtpclient.TRACE_CONTENT)
        assert (client.trace_file, client.trace_flags) == (str(path), smtpclient.TRACE_CONTENT)
        client.send_message("s@a.example", "r@b.example", b"x\r\n")
        client.disable_trace()
        assert client.trace_file == ""
    text = path.read_text()
    assert "C DATA\n" in text and "QUIT" not in text


def test_recipients_as_events():
    events = []
    steps = [("expect", b"MAIL FROM:<s@a.example>\r\n"), ("send", b"250 ok\r\n")]
    steps += [("expect", b"RCPT TO:<r@b.example>\r\n"), ("send", b"550 5.1.1 no\r\n")]
    with session(*steps, *QUIT) as server, connected(server) as client:
        client.on_event(events.append, smtpclient.EVENT_RECIPIENT)
        with pytest.raises(ServerError) as caught:
            client.send_message("s@a.example", "r@b.example", b"x\r\n")
        assert caught.value.outcome == client.error_outcome == smtpclient.OUTCOME_REJECTED_PERMANENT
        assert client.error_command == "RCPT" and client.error_safe_to_retry
        client.clear_error()
        assert (client.error_outcome, client.error_command) == (-1, "")
    (event,) = events
    assert (event.text, event.recipient, event.result_code) == ("r@b.example", 0, 550)
    assert (event.recipient_state, event.reply) == (smtpclient.RECIPIENT_REFUSED_PERMANENT, "5.1.1 no")


def test_states_and_transfers():
    with session(*taken(), *QUIT) as server, connected(server) as client:
        assert (client.state, client.phase) == (smtpclient.STATUS_IDLE, smtpclient.PHASE_IDLE)
        assert not client.is_blocked and client.transfer_status.bytes_copied == 0
        client.send_message("s@a.example", "r@b.example", b"x\r\n")
        status = client.transfer_status
        assert (status.active, status.bytes_total, status.bytes_copied) == (False, 3, 3)
        assert (client.transfer_bytes, client.bytes_sent, client.bytes_received) == (3, 81, 58)
    assert smtpclient.Client().state == smtpclient.STATUS_UNUSED


def test_texts_of_errors_and_the_date():
    with smtpclient.Client() as client, pytest.raises(CallerError) as caught:
        client.reset()
    assert len(smtpclient.error_text(caught.value.code)) > 20
    with pytest.raises(ValueError):
        smtpclient.error_text(7)
    told = email.utils.parsedate_to_datetime(smtpclient.current_date())
    assert abs(told.timestamp() - time.time()) < 3600
