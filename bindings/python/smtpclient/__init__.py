"""Python bindings of libsmtpclient: connect, authenticate, send, disconnect.

    from smtpclient import Client, SmtpError, TLS_REQUIRED

    with Client() as client:
        client.tls_mode = TLS_REQUIRED
        client.connect("mail.example.com", 587)
        client.authenticate("user", "password")
        client.send_message("me@example.com", ["you@example.org"], message)

A call that fails raises a subclass of SmtpError, whose text is one sentence with
the cause, the server's own words and what to do.
"""

from __future__ import annotations

from ._client import ALL_EVENTS, Client, Event, EventCallback, Message
from ._errors import ArgumentError, CallerError, InternalError, ServerError, SmtpError, WireError
from ._library import LibraryError, library
from ._tables import (
    OPTION_NONE,
    OPTION_EXTENDED,
    OPTION_TUNNEL,
    OPTION_TRUSTEDSITE,
    OPTION_SECURE,
    OPTION_SECURE_IMPLICIT,
    OPTION_BASIC,
    TLS_OPPORTUNISTIC,
    TLS_NONE,
    TLS_REQUIRED,
    TLS_IMPLICIT,
    OUTCOME_NOT_SENT,
    OUTCOME_ACCEPTED,
    OUTCOME_REJECTED_TEMPORARY,
    OUTCOME_REJECTED_PERMANENT,
    OUTCOME_UNKNOWN,
    EVENT_CONNECT,
    EVENT_DISCONNECT,
    EVENT_TIMEOUT,
    EVENT_CANCEL,
    EVENT_COMMAND,
    EVENT_REPLY,
    EVENT_ERROR,
    CLASS_CALLER,
    CLASS_SERVER,
    CLASS_WIRE,
    CLASS_INTERNAL,
    PHASE_ARGUMENT,
    PHASE_RESOLVE,
    PHASE_CONNECT,
    PHASE_GREETING,
    PHASE_EHLO,
    PHASE_STARTTLS,
    PHASE_TLS,
    PHASE_AUTH,
    PHASE_MAIL,
    PHASE_RCPT,
    PHASE_DATA,
    PHASE_CONTENT,
    PHASE_END,
    PHASE_RESET,
    PHASE_QUIT,
    PHASE_IDLE,
)
from ._tables import VERSION as __version__

#: The version of the shared library that is loaded.
LIBRARY_VERSION: str = library.SmtpGetVersion().decode("ascii")

__all__ = [
    "ALL_EVENTS",
    "ArgumentError",
    "CLASS_CALLER",
    "CLASS_INTERNAL",
    "CLASS_SERVER",
    "CLASS_WIRE",
    "CallerError",
    "Client",
    "EVENT_CANCEL",
    "EVENT_COMMAND",
    "EVENT_CONNECT",
    "EVENT_DISCONNECT",
    "EVENT_ERROR",
    "EVENT_REPLY",
    "EVENT_TIMEOUT",
    "Event",
    "EventCallback",
    "InternalError",
    "LIBRARY_VERSION",
    "LibraryError",
    "Message",
    "OPTION_BASIC",
    "OPTION_EXTENDED",
    "OPTION_NONE",
    "OPTION_SECURE",
    "OPTION_SECURE_IMPLICIT",
    "OPTION_TRUSTEDSITE",
    "OPTION_TUNNEL",
    "OUTCOME_ACCEPTED",
    "OUTCOME_NOT_SENT",
    "OUTCOME_REJECTED_PERMANENT",
    "OUTCOME_REJECTED_TEMPORARY",
    "OUTCOME_UNKNOWN",
    "PHASE_ARGUMENT",
    "PHASE_AUTH",
    "PHASE_CONNECT",
    "PHASE_CONTENT",
    "PHASE_DATA",
    "PHASE_EHLO",
    "PHASE_END",
    "PHASE_GREETING",
    "PHASE_IDLE",
    "PHASE_MAIL",
    "PHASE_QUIT",
    "PHASE_RCPT",
    "PHASE_RESET",
    "PHASE_RESOLVE",
    "PHASE_STARTTLS",
    "PHASE_TLS",
    "ServerError",
    "SmtpError",
    "TLS_IMPLICIT",
    "TLS_NONE",
    "TLS_OPPORTUNISTIC",
    "TLS_REQUIRED",
    "WireError",
    "__version__",
]
