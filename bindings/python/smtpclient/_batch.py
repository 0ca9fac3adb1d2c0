"""Many messages in one call."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Iterable, List, NamedTuple, Optional, Tuple, Union

from . import _tables
from ._errors import CODES, SmtpError, make_error
from ._library import SmtpBatchResult, SmtpRecipient, library
from ._properties import encode, read_text

if TYPE_CHECKING:
    from ._client import Content, Recipient


class BatchResult(NamedTuple):
    """What became of one message of a batch."""

    #: One of the OUTCOME_ constants.
    outcome: int
    #: Whether sending the message again cannot deliver it twice.
    safe_to_retry: bool
    #: Why the message was not accepted; None if it was, or was never tried.
    error: Optional[SmtpError]
    #: The code of the reply that decided it; 0 if there was none.
    result_code: int
    #: The enhanced status code of that reply, such as "2.0.0"; may be empty.
    enhanced_code: str
    #: The text of that reply, its lines joined by line feeds.
    reply: str
    #: The name that the server gave the message that it accepted; may be empty.
    queue_id: str
    #: How many of the recipients the server took the message for.
    recipients_accepted: int
    #: How many of the recipients the server refused.
    recipients_refused: int

    @property
    def accepted(self) -> bool:
        """Whether the server took the message for at least one recipient."""
        return self.outcome == _tables.OUTCOME_ACCEPTED


class Batch:
    """Messages that are sent together with ``Client.send_batch``.

    A batch can be sent again after a failure: only what was not sent is sent then.
    Usable from any thread; while it is being sent it can be read and not changed.
    """

    __slots__ = ("_handle", "_process", "__weakref__")

    _handle: Optional[int]

    def __init__(self) -> None:
        self._handle = None
        self._process = os.getpid()
        self._handle = library.SmtpBatchCreate()
        if not self._handle:
            raise self._error(library.SmtpGetLastError(None))

    def add(self, sender: str, recipients: Union[str, Iterable[str]], message: Content) -> None:
        """Adds a finished message, which is copied. The arguments are those of ``Client.send_message``."""
        from ._client import _join_recipients, _view

        address, length = _view(message)
        self._check_read(
            library.SmtpBatchAdd(self._handle, encode("sender", sender), _join_recipients(recipients), address, length)
        )

    def add_file(self, sender: str, recipients: Union[str, Iterable[str]], path: Union[str, os.PathLike[str]]) -> None:
        """Adds a finished message that is in a file, which is opened when its turn comes."""
        from ._client import _join_recipients

        self._check_read(
            library.SmtpBatchAddFile(
                self._handle, encode("sender", sender), _join_recipients(recipients), encode("path", os.fspath(path))
            )
        )

    def clear(self) -> None:
        """Forgets all messages and their results, and keeps the memory for the next ones."""
        self._check_read(library.SmtpBatchClear(self._handle))

    def __len__(self) -> int:
        count = ctypes.c_size_t()
        self._check_read(library.SmtpBatchGetCount(self._handle, ctypes.byref(count)))
        return count.value

    def result(self, index: int) -> BatchResult:
        """What became of one message, also while the batch is being sent."""
        facts = SmtpBatchResult(size=ctypes.sizeof(SmtpBatchResult))
        self._check_read(library.SmtpBatchGetResult(self._handle, index, ctypes.byref(facts)))
        error = None
        if facts.code:
            error = make_error(facts.code, self._text(index, _tables.BATCH_TEXT_ERROR))
            error.outcome = facts.outcome
            error.safe_to_retry = facts.safe_to_retry != 0
            error.result_code = facts.result_code
            error.reply = self._text(index, _tables.BATCH_TEXT_REPLY)
        return BatchResult(
            facts.outcome,
            facts.safe_to_retry != 0,
            error,
            facts.result_code,
            _enhanced(facts),
            self._text(index, _tables.BATCH_TEXT_REPLY),
            self._text(index, _tables.BATCH_TEXT_QUEUE_ID),
            facts.recipients_accepted,
            facts.recipients_refused,
        )

    def results(self) -> List[BatchResult]:
        """What became of every message, in the order in which they were added."""
        return [self.result(index) for index in range(len(self))]

    def error_json(self, index: int) -> str:
        """Why a message was not accepted, as one JSON object; empty if it was."""
        return self._text(index, _tables.BATCH_TEXT_ERROR_JSON)

    def recipients(self, index: int) -> List[Recipient]:
        """What became of one message for each of its recipients."""
        facts = SmtpBatchResult(size=ctypes.sizeof(SmtpBatchResult))
        self._check_read(library.SmtpBatchGetResult(self._handle, index, ctypes.byref(facts)))
        return [self._recipient(index, number) for number in range(facts.recipients)]

    def close(self) -> None:
        """Releases the batch; a call that is sending it goes on."""
        handle, self._handle = self._handle, None
        if handle is not None and self._process == os.getpid():
            library.SmtpBatchRelease(handle)

    def __del__(self) -> None:
        try:
            self.close()
        except AttributeError:
            # The interpreter is shutting down.
            pass

    def _recipient(self, index: int, number: int) -> Recipient:
        from ._client import Recipient

        facts = SmtpRecipient(size=ctypes.sizeof(SmtpRecipient))
        self._check_read(library.SmtpBatchGetRecipient(self._handle, index, number, ctypes.byref(facts)))
        texts = [
            read_text(self, library.SmtpBatchGetRecipientString, index, number, which)
            for which in (_tables.RECIPIENT_TEXT_ADDRESS, _tables.RECIPIENT_TEXT_REPLY)
        ]
        return Recipient(texts[0], facts.state, facts.result_code, _enhanced(facts), texts[1])

    def _text(self, index: int, which: int) -> str:
        return read_text(self, library.SmtpBatchGetString, index, which)

    def _check_read(self, result: int) -> None:
        if result < 0:
            raise self._error(result)

    def _error(self, code: int) -> SmtpError:
        sentence: bytes = library.SmtpGetLastErrorString(None)
        error = make_error(code, sentence.decode("utf-8", "replace"))
        if code == CODES["SMTP_ERROR_BATCH_BUSY"]:
            error.outcome = _tables.OUTCOME_NOT_SENT
        return error


#: A message of an iterable for ``Client.send_batch``: sender, recipients, message.
BatchMessage = Tuple[str, Union[str, Iterable[str]], "Content"]


def as_batch(messages: Union[Batch, Iterable[BatchMessage]]) -> Batch:
    """A batch of what is to be sent."""
    if isinstance(messages, Batch):
        return messages
    batch = Batch()
    for sender, recipients, message in messages:
        batch.add(sender, recipients, message)
    return batch


def _enhanced(facts: Union[SmtpBatchResult, SmtpRecipient]) -> str:
    numbers = (facts.enhanced_class, facts.enhanced_subject, facts.enhanced_detail)
    # The class of a code is never 0.
    return ".".join(map(str, numbers)) if numbers[0] else ""
