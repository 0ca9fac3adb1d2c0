"""The client for asyncio: the same, with methods to be awaited."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from email.message import EmailMessage
from functools import partial
from types import TracebackType
from typing import Callable, Iterable, List, NoReturn, Optional, Tuple, Type, TypeVar, Union

from . import _tables
from ._batch import Batch, BatchMessage, BatchResult, as_batch
from ._client import Client, Content, Source
from ._errors import SmtpError
from ._library import library
from ._message import Message

T = TypeVar("T")

_OUTCOMES = {
    _tables.OUTCOME_NOT_SENT: "the message was not sent",
    _tables.OUTCOME_ACCEPTED: "the server has accepted the message all the same: do not send it again",
    _tables.OUTCOME_REJECTED_TEMPORARY: "the server has refused the message for now",
    _tables.OUTCOME_REJECTED_PERMANENT: "the server has refused the message",
    _tables.OUTCOME_UNKNOWN: "the message may have been delivered: sending it again may deliver it twice",
}


class _Watch:
    """One operation that is pending, in its loop: goes on with it until it is over."""

    __slots__ = ("client", "loop", "over", "descriptor", "reads", "writes", "timer", "due")

    def __init__(self, client: AsyncClient, loop: asyncio.AbstractEventLoop) -> None:
        self.client = client
        self.loop = loop
        self.over: asyncio.Future[None] = loop.create_future()
        self.descriptor = -1
        self.reads = self.writes = False
        self.timer: Optional[asyncio.TimerHandle] = None
        self.due = 0.0

    def wait(self) -> bool:
        """Has the loop wait for what the operation waits for; False if none is pending."""
        info = self.client.poll_info()
        if info is None:
            return False
        if info.descriptor != self.descriptor:
            self._forget_descriptor()
            self.descriptor = info.descriptor
        try:
            if info.read != self.reads:
                self._want(info.read, self.loop.add_reader, self.loop.remove_reader)
                self.reads = info.read
            if info.write != self.writes:
                self._want(info.write, self.loop.add_writer, self.loop.remove_writer)
                self.writes = info.write
        except NotImplementedError:
            raise RuntimeError(
                f"AsyncClient needs an event loop with add_reader, and {type(self.loop).__name__} has none: "
                "use asyncio.SelectorEventLoop"
            ) from None
        if info.timeout is not None:
            due = self.loop.time() + info.timeout
            # A timer that comes too early does no harm, and mostly nothing runs out of time.
            if self.timer is None or due < self.due:
                self._forget_timer()
                self.due = due
                self.timer = self.loop.call_at(due, self._run_out)
        return True

    def stop(self) -> None:
        self._forget_descriptor()
        self._forget_timer()

    def go_on(self) -> None:
        if self.over.done():
            # It was cancelled, and whoever waits for it hears of that next.
            return
        try:
            if not self.client.process() and self.wait():
                return
        except (KeyboardInterrupt, SystemExit) as error:
            self._end(error)
            raise
        except BaseException as error:
            self._end(error)
        else:
            self._end(None)

    def _end(self, error: Optional[BaseException]) -> None:
        self.stop()
        if isinstance(error, StopIteration):
            # A future cannot hold one.
            failure = RuntimeError("a callback or the source raised StopIteration")
            failure.__cause__ = error
            error = failure
        if error is None:
            self.over.set_result(None)
        else:
            self.over.set_exception(error)

    def _run_out(self) -> None:
        self.timer = None
        self.go_on()

    def _want(self, wanted: bool, add: Callable[..., object], remove: Callable[[int], object]) -> None:
        if wanted:
            add(self.descriptor, self.go_on)
        else:
            remove(self.descriptor)

    def _forget_descriptor(self) -> None:
        if self.reads:
            self.loop.remove_reader(self.descriptor)
        if self.writes:
            self.loop.remove_writer(self.descriptor)
        self.reads = self.writes = False
        self.descriptor = -1

    def _forget_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class AsyncClient(Client):
    """The client for asyncio: its operations are coroutines that never block the loop.

    ``async with AsyncClient() as client:`` disconnects and releases it at the end.
    Properties, callbacks and exceptions are those of Client. Calls of several tasks
    on one client queue up. Callbacks and sources of messages are called by the loop,
    and must not wait.

    An operation whose task is cancelled, or that ``asyncio.timeout`` or
    ``asyncio.wait_for`` end, is over when CancelledError goes on: the connection is closed, and
    the client can connect again. Of a message, ``outcome`` and ``safe_to_retry`` tell
    what became of it, and so do the attributes of that name, and a note, of the CancelledError.
    """

    __slots__ = ("_queue", "_loop", "_watch")

    def __init__(self) -> None:
        self._queue: Optional[asyncio.Lock] = None
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._watch: Optional[_Watch] = None
        super().__init__()
        self.blocking = False

    async def connect(  # type: ignore[override]
        self, host: Optional[str] = None, port: int = 0, timeout: Optional[float] = 0, options: int = 0
    ) -> None:
        """As ``Client.connect``."""
        await self._operate(partial(super().connect, host, port, timeout, options))

    async def attach(  # type: ignore[override]
        self, connection: socket.socket, host: Optional[str] = None, options: int = 0
    ) -> None:
        """As ``Client.attach``."""
        await self._operate(partial(super().attach, connection, host, options))

    async def authenticate(  # type: ignore[override]
        self, user: Optional[str] = None, password: Optional[str] = None
    ) -> None:
        """As ``Client.authenticate``."""
        await self._operate(partial(super().authenticate, user, password))

    async def send_message(  # type: ignore[override]
        self, sender: str, recipients: Union[str, Iterable[str]], message: Union[Content, EmailMessage]
    ) -> None:
        """As ``Client.send_message``; octets are copied."""
        await self._operate_message(partial(super().send_message, sender, recipients, message))

    async def send_composed(  # type: ignore[override]
        self, message: Union[Message, EmailMessage]
    ) -> None:
        """As ``Client.send_composed``; what is attached is read by the loop's thread."""
        await self._operate_message(partial(super().send_composed, message))

    async def send_batch(  # type: ignore[override]
        self, messages: Union[Batch, Iterable[BatchMessage]]
    ) -> List[BatchResult]:
        """As ``Client.send_batch``. Of a batch that is cancelled, its results tell what became of each message."""
        batch = as_batch(messages)
        try:
            await self._operate(lambda: self._finish(library.SmtpSendBatch(self._handle, batch._handle)))
        except SmtpError:
            if not any(message.error is not None for message in batch.results()):
                raise
        return batch.results()

    async def send_file(  # type: ignore[override]
        self, sender: str, recipients: Union[str, Iterable[str]], path: Union[str, os.PathLike[str]]
    ) -> None:
        """As ``Client.send_file``; the file is read by the loop's thread."""
        await self._operate_message(partial(super().send_file, sender, recipients, path))

    async def send_stream(  # type: ignore[override]
        self, sender: str, recipients: Union[str, Iterable[str]], source: Source, size: Optional[int] = None
    ) -> None:
        """As ``Client.send_stream``; the source is asked by the loop's thread, and must not wait."""
        await self._operate_message(partial(super().send_stream, sender, recipients, source, size))

    async def submit(  # type: ignore[override]
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
    ) -> None:
        """As ``Client.submit``."""
        arguments = (sender, recipients, message, host, port, user, password, timeout, options)
        await self._operate_message(partial(super().submit, *arguments))

    async def create_message(self, sender: str, size: int = 0) -> None:  # type: ignore[override]
        """As ``Client.create_message``."""
        await self._operate_message(partial(super().create_message, sender, size))

    async def add_recipient(self, address: str) -> None:  # type: ignore[override]
        """As ``Client.add_recipient``."""
        await self._operate_message(partial(super().add_recipient, address))

    async def write(self, content: Content) -> None:  # type: ignore[override]
        """As ``Client.write``; octets are copied."""
        await self._operate_message(partial(super().write, content))

    append_message = write  # type: ignore[assignment]

    async def append_file(self, path: Union[str, os.PathLike[str]]) -> None:  # type: ignore[override]
        """As ``Client.append_file``."""
        await self._operate_message(partial(super().append_file, path))

    async def append_stream(self, source: Source) -> None:  # type: ignore[override]
        """As ``Client.append_stream``."""
        await self._operate_message(partial(super().append_stream, source))

    async def close_message(self) -> None:  # type: ignore[override]
        """As ``Client.close_message``."""
        await self._operate_message(super().close_message)

    async def command(self, verb: str, parameters: str = "") -> Tuple[int, str]:  # type: ignore[override]
        """As ``Client.command``."""
        return await self._ask(partial(super().command, verb, parameters))

    async def noop(self) -> None:  # type: ignore[override]
        """As ``Client.noop``."""
        await self._operate(super().noop)

    async def verify(self, address: str) -> Tuple[int, str]:  # type: ignore[override]
        """As ``Client.verify``."""
        return await self._ask(partial(super().verify, address))

    async def expand(self, address: str) -> List[str]:  # type: ignore[override]
        """As ``Client.expand``."""
        return (await self._ask(partial(super().expand, address)))[1].split("\n")

    async def help(self, topic: str = "") -> str:  # type: ignore[override]
        """As ``Client.help``."""
        return (await self._ask(partial(super().help, topic)))[1]

    async def extended_turn(self, node: str) -> Tuple[int, str]:  # type: ignore[override]
        """As ``Client.extended_turn``."""
        return await self._ask(partial(super().extended_turn, node))

    async def reset(self) -> None:  # type: ignore[override]
        """As ``Client.reset``."""
        await self._operate(super().reset)

    async def disconnect(self) -> None:  # type: ignore[override]
        """As ``Client.disconnect``."""
        await self._operate(super().disconnect)

    def close(self) -> None:
        """Releases the client; an operation that is pending fails, a connection is closed without QUIT."""
        watch = self._watch
        super().close()
        if watch is not None:
            watch.stop()
            # It hears that the client was released.
            watch.go_on()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        try:
            # Whoever was cancelled does not wait for a goodbye.
            is_cancelled = error is not None and not isinstance(error, Exception)
            if not is_cancelled and not self._is_closed and self.is_connected:
                await self.disconnect()
        except SmtpError:
            if error is None:
                raise
        finally:
            self.close()

    def __enter__(self) -> NoReturn:
        raise TypeError("AsyncClient is for \"async with\"")

    async def _operate_message(self, begin: Callable[[], object]) -> None:
        begun = False

        def begin_it() -> object:
            nonlocal begun
            begun = True
            return begin()

        try:
            await self._operate(begin_it)
        except asyncio.CancelledError as cancelled:
            if begun and not self._is_closed:
                _tell(cancelled, self.outcome, self.safe_to_retry)
            elif not begun:
                _tell(cancelled, _tables.OUTCOME_NOT_SENT, True)
            raise

    async def _operate(self, begin: Callable[[], object]) -> None:
        await self._in_turn(begin, lambda: None)

    async def _ask(self, begin: Callable[[], object]) -> Tuple[int, str]:
        return await self._in_turn(begin, lambda: (self.result_code, self.result_string))

    async def _in_turn(self, begin: Callable[[], object], read: Callable[[], T]) -> T:
        """Runs an operation to its end when it is its turn, and gives what is read then."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop or self._queue is None:
            if self._watch is not None:
                raise RuntimeError("an operation of this client is pending in another event loop")
            self._loop, self._queue = loop, asyncio.Lock()
        async with self._queue:
            if begin() is not True:
                await self._settle(loop)
            return read()

    async def _settle(self, loop: asyncio.AbstractEventLoop) -> None:
        watch = self._watch = _Watch(self, loop)
        try:
            if watch.wait():
                await watch.over
        except BaseException as error:
            watch.stop()
            if watch.over.done() and not watch.over.cancelled():
                # It failed when the cancel came: that it did is not to be reported as unseen.
                watch.over.exception()
            if not isinstance(error, Exception) or (not self._is_closed and self.poll_info() is not None):
                self._abandon()
            raise
        finally:
            watch.stop()
            self._watch = None

    def _abandon(self) -> None:
        """Ends the operation and the connection, since nobody waits for them any more."""
        if self._is_closed:
            return
        try:
            if self.poll_info() is None and self.is_connected:
                # It was over when the cancel came.
                super().disconnect()
            self.cancel()
            is_over = self.poll_info() is None or self.process()
        except BaseException:
            is_over = True
        if not is_over:
            super().close()


def _tell(cancelled: asyncio.CancelledError, outcome: int, safe_to_retry: bool) -> None:
    setattr(cancelled, "outcome", outcome)
    setattr(cancelled, "safe_to_retry", safe_to_retry)
    if sys.version_info >= (3, 11):
        cancelled.add_note(_OUTCOMES[outcome])
