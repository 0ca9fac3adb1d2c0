"""Completion by callback, on a thread of the library's own."""

from __future__ import annotations

import itertools
import os
import sys
import threading
from types import TracebackType
from typing import Callable, Dict, Optional, Type

from ._client import Client
from ._errors import CODES, SmtpError, make_error
from ._library import SmtpCompletionCallback, SmtpDestroyCallback, library

CompletionCallback = Callable[[Client, Optional[SmtpError]], object]


class _Attachment:
    __slots__ = ("client", "callback")

    def __init__(self, client: Client, callback: CompletionCallback) -> None:
        self.client = client
        self.callback = callback


# By the number that the library gets as user data; forgotten when it says so.
_attachments: Dict[int, _Attachment] = {}
_numbers = itertools.count(1)


def _complete(_: Optional[int], result: int, number: Optional[int]) -> None:
    attachment = _attachments.get(number or 0)
    if attachment is None:
        return
    try:
        attachment.callback(attachment.client, None if result == 0 else attachment.client._error(result))
    except BaseException:
        # It cannot pass through the library, and nobody waits for it.
        report_exception()


def report_exception() -> None:
    """Has an exception that nobody can catch reported, as that of a thread is."""
    kind, value, traceback = sys.exc_info()
    if kind is not None:
        threading.excepthook(threading.ExceptHookArgs((kind, value, traceback, threading.current_thread())))


def _forget(number: Optional[int]) -> None:
    _attachments.pop(number or 0, None)


_complete_callback = SmtpCompletionCallback(_complete)
_forget_callback = SmtpDestroyCallback(_forget)


def check(result: int) -> int:
    """Raises what this thread's last call met."""
    if result < 0:
        raise make_error(result, library.SmtpGetLastErrorString(None).decode("utf-8", "replace"))
    return result


class Reactor:
    """One thread that goes on with what attached clients begin, and says how it ended.

    The methods of an attached client return at once; what has to wait is over when the
    callback is called, on the reactor's thread, with the client and None or the error. In
    it the client can be told what to do next. Methods that return what the server said
    (command, verify, expand, help) are of no use then.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._handle = library.SmtpReactorCreate()
        if not self._handle:
            check(library.SmtpGetLastError(None))

    def attach(self, client: Client, callback: CompletionCallback) -> None:
        """Attaches a client that has nothing under way. It is kept alive until it is detached or closed."""
        number = next(_numbers)
        _attachments[number] = _Attachment(client, callback)
        attach = library.SmtpReactorAttach
        check(attach(self._handle, client._handle, _complete_callback, number, _forget_callback))

    def detach(self, client: Client) -> None:
        """Detaches a client; an operation that is under way must be cancelled first."""
        check(library.SmtpReactorDetach(client._handle))

    def close(self) -> None:
        """Cancels what is under way, which is told, and ends the thread. May be called again."""
        result = library.SmtpReactorRelease(self._handle)
        if result not in (CODES["SMTP_ERROR_INVALID_HANDLE"], CODES["SMTP_ERROR_FORKED"]):
            check(result)

    def __enter__(self) -> Reactor:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()
