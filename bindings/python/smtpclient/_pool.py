"""Many messages over connections that are kept."""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import json
import os
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Dict, Iterable, NamedTuple, Optional, Tuple, Type, Union

from . import _tables
from ._client import Content, Recipient, _join_recipients, _milliseconds, _view
from ._errors import CODES, SmtpError, make_error, refuse
from ._library import (
    SmtpDestroyCallback,
    SmtpMessageInfo,
    SmtpPoolCallback,
    SmtpPoolStatistics,
    SmtpServerInfo,
    library,
)
from ._properties import encode, in_range
from ._reactor import check, report_exception

_STATES: Dict[str, int] = {
    name[len("RECIPIENT_") :]: value
    for name, value in vars(_tables).items()
    if name.startswith("RECIPIENT_") and not name.startswith("RECIPIENT_TEXT_")
}
_LIMITS: Dict[str, int] = {
    name[len("POOL_") :].lower(): value
    for name, value in vars(_tables).items()
    if name.startswith("POOL_") and not name.startswith("POOL_TEXT_")
}


class PoolResult(NamedTuple):
    """What became of a message."""

    #: The message's number.
    id: int
    #: None if it was accepted.
    error: Optional[SmtpError]
    #: One of the OUTCOME_ constants.
    outcome: int
    #: Whether sending it again cannot deliver it twice.
    safe_to_retry: bool
    #: The code of the reply that decided on it, or 0.
    reply_code: int
    #: The enhanced status code of that reply, or "".
    enhanced_code: str
    #: How many recipients it was accepted for, and how many were refused.
    accepted: int
    refused: int
    #: How often it was begun to be sent.
    attempts: int
    #: Code and text of the reply to the end of the message, or "".
    reply: str
    #: The server's name for it, or "".
    queue_id: str
    #: What became of each recipient.
    recipients: Tuple[Recipient, ...]


class PoolStatistics(NamedTuple):
    """Counters of a pool; see SmtpPoolStatistics."""

    queued: int
    in_flight: int
    accepted: int
    rejected: int
    unknown: int
    not_sent: int
    results: int
    connections: int
    idle: int
    opened: int
    failed: int
    retired_age: int
    retired_count: int
    retired_idle: int
    retired_closing: int
    retired_other: int
    broken: int
    hung_up: int
    stale: int
    bytes_sent: int
    bytes_received: int


class _Waiting:
    """The messages of a pool whose results are yet to be told."""

    def __init__(self) -> None:
        self.futures: Dict[int, Future[PoolResult]] = {}


# By the number that the library gets as user data; forgotten when it says so.
_pools: Dict[int, _Waiting] = {}
_numbers = itertools.count(1)


def _text(pool: int, number: int, which: int) -> str:
    length = ctypes.c_size_t()
    check(library.SmtpPoolGetResultString(pool, number, which, None, 0, ctypes.byref(length)))
    if length.value == 0:
        return ""
    buffer = ctypes.create_string_buffer(length.value + 1)
    check(library.SmtpPoolGetResultString(pool, number, which, buffer, len(buffer), None))
    return buffer.raw[: length.value].decode("utf-8", "replace")


def _recipient(entry: Dict[str, Any]) -> Recipient:
    state = _STATES[entry["state"]]
    return Recipient(entry["address"], state, entry["reply_code"], entry["enhanced_code"], entry["reply"])


def _make_result(pool: int, told: Any) -> PoolResult:
    enhanced = (told.enhanced_class, told.enhanced_subject, told.enhanced_detail)
    error = None
    if told.code != 0:
        error = make_error(told.code, _text(pool, told.id, _tables.POOL_TEXT_ERROR))
    result = PoolResult(
        told.id,
        error,
        told.outcome,
        told.safe_to_retry != 0,
        told.reply_code,
        ".".join(map(str, enhanced)) if enhanced[0] else "",
        told.accepted,
        told.refused,
        told.attempts,
        _text(pool, told.id, _tables.POOL_TEXT_REPLY),
        _text(pool, told.id, _tables.POOL_TEXT_QUEUE_ID),
        tuple(map(_recipient, json.loads(_text(pool, told.id, _tables.POOL_TEXT_RECIPIENTS_JSON)))),
    )
    if error is not None:
        record = json.loads(_text(pool, told.id, _tables.POOL_TEXT_ERROR_JSON))
        error.result_code = result.reply_code
        error.enhanced_code = result.enhanced_code
        error.reply = (record.get("reply") or {}).get("text", "")
        error.remedy = record.get("remedy", "")
        error.outcome = result.outcome
        error.safe_to_retry = result.safe_to_retry
    return result


def _deliver(pool: Optional[int], told_pointer: Any, number: Optional[int]) -> None:
    waiting = _pools.get(number or 0)
    if waiting is None or pool is None:
        return
    told = told_pointer.contents
    future = waiting.futures.pop(told.tag or 0, None)
    if future is None:
        return
    try:
        result = _make_result(pool, told)
        if result.error is None:
            future.set_result(result)
        else:
            future.set_exception(result.error)
    except BaseException as error:
        if future.done():
            report_exception()
        else:
            future.set_exception(error)


def _forget(number: Optional[int]) -> None:
    _pools.pop(number or 0, None)


_deliver_callback = SmtpPoolCallback(_deliver)
_forget_callback = SmtpDestroyCallback(_forget)


class Pool:
    """A pool of connections: submit messages from any thread, and wait for their futures.

        with Pool(host="mail.example.com", port=587, user="me", password="secret", connections=4) as pool:
            futures = [pool.submit("me@example.com", to, message) for to in addresses]
            for future in concurrent.futures.as_completed(futures):
                future.result()

    Leaving the with block waits until every message is over; after an exception in it,
    what is not over is given up. Properties are those of a client, and the SMTP_POOL_ ones.
    """

    def __init__(self, **properties: Union[str, int]) -> None:
        self._process = os.getpid()
        self._is_closed = False
        self._tags = itertools.count(1)
        self._waiting = _Waiting()
        self._handle = library.SmtpPoolCreate()
        if not self._handle:
            check(library.SmtpGetLastError(None))
        number = next(_numbers)
        _pools[number] = self._waiting
        check(library.SmtpPoolSetCallback(self._handle, _deliver_callback, number, _forget_callback))
        try:
            self.set(**properties)
        except BaseException:
            self.close()
            raise

    def set(self, **properties: Union[str, int]) -> None:
        """Sets properties: those of a client for connections to come, and the limits of the pool."""
        for name, value in properties.items():
            number = _number(name)
            if isinstance(value, str):
                check(library.SmtpPoolSetString(self._handle, number, encode(name, value)))
            else:
                check(library.SmtpPoolSetInteger(self._handle, number, int(value)))

    def get(self, name: str) -> Union[str, int]:
        """Reads a property."""
        number = _number(name)
        if name not in _LIMITS and _tables.PROPERTIES[name].kind == "text":
            length = ctypes.c_size_t()
            check(library.SmtpPoolGetString(self._handle, number, None, 0, ctypes.byref(length)))
            buffer = ctypes.create_string_buffer(length.value + 1024)
            check(library.SmtpPoolGetString(self._handle, number, buffer, len(buffer), ctypes.byref(length)))
            return buffer.raw[: length.value].decode("utf-8", "replace")
        value = ctypes.c_int64()
        check(library.SmtpPoolGetInteger(self._handle, number, ctypes.byref(value)))
        return value.value

    def submit(
        self,
        sender: str,
        recipients: Union[str, Iterable[str]],
        message: Union[Content, os.PathLike[str]],
        host: Optional[str] = None,
        port: int = 0,
        user: Optional[str] = None,
        password: Optional[str] = None,
        timeout: Optional[float] = 0,
        options: int = 0,
        wait: Optional[float] = 0,
    ) -> Future[PoolResult]:
        """Gives a message to the pool; the future has a PoolResult, or the SmtpError if it was not accepted.

        A message that is a path object is read from that file when it is sent. The server is
        that of the properties, but for what is given here; the timeout limits connecting. If
        the queue is full, waits so many seconds for room (None: without end). The future cannot
        be cancelled.
        """
        content = SmtpMessageInfo(size=ctypes.sizeof(SmtpMessageInfo))
        content.sender = encode("sender", sender)
        content.recipients = _join_recipients(recipients)
        if isinstance(message, os.PathLike):
            content.path = encode("path", os.fspath(message))
        else:
            # The structure holds the address only: what is there lives in this variable.
            octets, content.length = _view(message)
            content.message = ctypes.cast(octets, ctypes.c_void_p)
        server = SmtpServerInfo(
            size=ctypes.sizeof(SmtpServerInfo),
            port=in_range("port", port, 1 << 16),
            host=None if host is None else encode("host", host),
            user=None if user is None else encode("user", user),
            password=None if password is None else encode("password", password),
            timeout_ms=_milliseconds(timeout),
            options=in_range("options", options, 1 << 32),
        )
        future: Future[PoolResult] = Future()
        future.set_running_or_notify_cancel()
        # Its result may come before the call returns.
        tag = next(self._tags)
        self._waiting.futures[tag] = future
        patience = 0xFFFF_FFFF if wait is None else _milliseconds(wait)
        call = (ctypes.byref(content), ctypes.byref(server), tag, patience, None)
        try:
            check(library.SmtpPoolSubmit(self._handle, *call))
        except BaseException:
            self._waiting.futures.pop(tag, None)
            raise
        return future

    async def send(
        self,
        sender: str,
        recipients: Union[str, Iterable[str]],
        message: Union[Content, os.PathLike[str]],
        **server: Any,
    ) -> PoolResult:
        """The same for asyncio: waits for the result, and while the queue is full, without blocking the loop.

        Cancelling the task leaves the message to the pool.
        """
        pause = 0.001
        while True:
            try:
                future = self.submit(sender, recipients, message, **server)
                break
            except SmtpError as error:
                if error.code != CODES["SMTP_ERROR_QUEUE_FULL"]:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.1)
        return await asyncio.shield(asyncio.wrap_future(future))

    @property
    def statistics(self) -> PoolStatistics:
        """What the pool has done so far, and has to do."""
        told = SmtpPoolStatistics(size=ctypes.sizeof(SmtpPoolStatistics))
        check(library.SmtpPoolGetStatistics(self._handle, ctypes.byref(told)))
        return PoolStatistics(*(getattr(told, name) for name in PoolStatistics._fields))

    def drain(self, timeout: Optional[float] = None) -> bool:
        """Takes no more messages, and waits until all are over; False if that takes longer."""
        millis = 0 if timeout is None else max(1, _milliseconds(timeout))
        if timeout is not None or threading.current_thread() is not threading.main_thread():
            return check(library.SmtpPoolDrain(self._handle, millis)) == 0
        # In pieces, so that a signal handler, such as that of Ctrl-C, has its turn.
        while check(library.SmtpPoolDrain(self._handle, 200)) != 0:
            pass
        return True

    def abort(self) -> None:
        """Takes no more messages and cancels those that are not over, each of which is told."""
        check(library.SmtpPoolAbort(self._handle))

    def close(self) -> None:
        """Aborts, and closes the connections. May be called again."""
        self._is_closed = True
        result = library.SmtpPoolRelease(self._handle)
        if result not in (CODES["SMTP_ERROR_INVALID_HANDLE"], CODES["SMTP_ERROR_FORKED"]):
            check(result)

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        try:
            if error is None and not self._is_closed:
                self.drain()
        finally:
            self.close()

    def __del__(self) -> None:
        try:
            # A child process leaves its parent's pools alone.
            if not self._is_closed and self._process == os.getpid():
                library.SmtpPoolRelease(self._handle)
        except Exception:
            # The interpreter may be half gone; there is nobody to tell.
            pass


def _number(name: str) -> int:
    if name in _LIMITS:
        return _LIMITS[name]
    row = _tables.PROPERTIES.get(name)
    if row is None:
        raise refuse(name, "is neither a property of a client nor of a pool")
    return row.id
