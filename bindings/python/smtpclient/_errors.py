"""Exceptions, one class for each answer to the question who has to act."""

from __future__ import annotations

from typing import Dict, Tuple, Type

from . import _tables


class SmtpError(Exception):
    """A call failed. ``str(error)`` is one sentence: what happened, the server's words, what to do."""

    #: The error code; negative.
    code: int = 0
    #: The code's name, such as "SMTP_ERROR_TIMEOUT".
    name: str = ""
    #: Who has to act: one of the CLASS_ constants.
    error_class: int = 0
    #: What was being done: one of the PHASE_ constants.
    phase: int = _tables.PHASE_ARGUMENT
    #: The server's reply code that caused the failure; 0 if no reply did.
    result_code: int = 0
    #: The enhanced status code of that reply, such as "5.1.1"; may be empty.
    enhanced_code: str = ""
    #: The text of that reply, its lines joined by line feeds.
    reply: str = ""
    #: The operating system's error number; 0 if the failure was not the system's.
    os_error: int = 0
    #: The TLS library's own reason.
    tls_reason: str = ""
    #: The mail or network address concerned.
    address: str = ""
    #: What to do, one sentence.
    remedy: str = ""
    #: Where no connection could be made, the addresses that were tried with their reasons.
    attempts: Tuple[Tuple[str, str], ...] = ()
    #: Where the failure was that of a choice, what the server offered.
    offered: Tuple[str, ...] = ()
    #: Where the failure was that of a choice, what was passed over: names with their reasons.
    skipped: Tuple[Tuple[str, str], ...] = ()
    #: The whole sentence, as ``str(error)``.
    message: str = ""
    #: What became of the client's last message, one of the OUTCOME_ constants.
    outcome: int = _tables.OUTCOME_UNKNOWN
    #: Whether sending that message again cannot deliver it twice. False if that
    #: could not be read, because another thread used the client meanwhile.
    safe_to_retry: bool = False

    # Only positional arguments with a default: pickle calls this with `args`
    # and then restores the other attributes.
    def __init__(self, message: str = "", code: int = 0) -> None:
        super().__init__(message, code)
        self.message = message
        self.code = code
        unknown = (f"SMTP_ERROR_{code & 0xFFFFFFFF:#010x}", 0)
        self.name, self.error_class = _tables.ERRORS.get(code, unknown)

    def __str__(self) -> str:
        return self.message


class CallerError(SmtpError):
    """The program misused the library, or cancelled."""


class ArgumentError(CallerError, ValueError):
    """An argument was refused before the library saw it."""

    outcome = _tables.OUTCOME_NOT_SENT
    safe_to_retry = True


class ServerError(SmtpError):
    """The server refused, or broke the protocol."""


class WireError(SmtpError):
    """Name resolution, the network, TLS or time failed."""


class InternalError(SmtpError):
    """A defect of the library."""


_TYPES: Dict[int, Type[SmtpError]] = {
    _tables.CLASS_CALLER: CallerError,
    _tables.CLASS_SERVER: ServerError,
    _tables.CLASS_WIRE: WireError,
    _tables.CLASS_INTERNAL: InternalError,
}

CODES: Dict[str, int] = {name: code for code, (name, _) in _tables.ERRORS.items()}


def make_error(code: int, message: str) -> SmtpError:
    """An exception of the class that the code belongs to."""
    name, error_class = _tables.ERRORS.get(code, ("", 0))
    return _TYPES.get(error_class, SmtpError)(message or name or f"error {code}", code)


def refuse(name: str, why: str) -> ArgumentError:
    """The exception for an argument that cannot be passed on."""
    return ArgumentError(f"{name} {why}", CODES["SMTP_ERROR_INVALID_PARAMETER"])
