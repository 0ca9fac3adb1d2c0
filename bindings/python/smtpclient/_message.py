"""Messages to compose, load, read and send."""

from __future__ import annotations

import ctypes
import io
import itertools
import os
import threading
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple, Type, Union

from . import _tables
from ._errors import CODES, SmtpError, make_error
from ._library import (
    SmtpDestroyCallback,
    SmtpMessagePart,
    SmtpReadCallback,
    SmtpRewindCallback,
    SmtpWriteCallback,
    library,
)
from ._properties import encode, in_range

if TYPE_CHECKING:
    from ._client import BinaryFile

_SIZE_UNKNOWN = (1 << 64) - 1
_NOT_FOUND = CODES["SMTP_ERROR_NOT_FOUND"]

Addresses = Union[str, List[str], Tuple[str, ...], None]
Octets = Union[bytes, bytearray, memoryview]
Path = Union[str, "os.PathLike[str]"]


class Part(NamedTuple):
    """One part of a message: a text, an attachment, or what holds others."""

    #: Its number among the parts, the outermost being 0.
    number: int
    #: The number of the part that it is in; None for the outermost.
    parent: Optional[int]
    #: How many parts it is in.
    depth: int
    #: Its type in lower case, such as "text/plain".
    type: str
    #: Its file name; empty if it has none. No path to be trusted.
    name: str
    #: "attachment" or "inline"; empty if it does not say.
    disposition: str
    #: Its content id without brackets; empty if it has none.
    content_id: str
    #: The character set that it says it has; may be empty.
    charset: str
    #: Its transfer encoding, such as "base64".
    encoding: str
    #: Whether it has content of its own.
    has_content: bool

    @property
    def is_attachment(self) -> bool:
        """Whether it says that it is an attachment."""
        return self.disposition == "attachment"


class _File:
    """A binary file as the library's reader."""

    def __init__(self, file: BinaryFile, start: Optional[int]) -> None:
        self.file = file
        self.start = start
        self.rest = memoryview(b"")

    def fill(self, address: int, capacity: int) -> int:
        if not self.rest:
            self.rest = memoryview(self.file.read(capacity) or b"").cast("B")
        some = self.rest[:capacity]
        memoryview((ctypes.c_char * capacity).from_address(address)).cast("B")[: len(some)] = some
        self.rest = self.rest[len(some) :]
        return len(some)

    def rewind(self) -> None:
        self.file.seek(self.start)  # type: ignore[attr-defined]
        self.rest = memoryview(b"")


# By the number that the library gets as user data.
_files: Dict[int, _File] = {}
_numbers = itertools.count(1)
# What a callback raised, by the thread; raised by the method that made the call.
_raised: Dict[int, BaseException] = {}


def _read(address: int, capacity: int, number: Optional[int]) -> int:
    try:
        return _files[number or 0].fill(address, capacity)
    except BaseException as error:
        _raised.setdefault(threading.get_ident(), error)
        return -1


def _rewind(number: Optional[int]) -> int:
    try:
        _files[number or 0].rewind()
    except BaseException as error:
        _raised.setdefault(threading.get_ident(), error)
        return -1
    return 0


def _forget(number: Optional[int]) -> None:
    _files.pop(number or 0, None)


_read_callback = SmtpReadCallback(_read)
_rewind_callback = SmtpRewindCallback(_rewind)
_forget_callback = SmtpDestroyCallback(_forget)


def pop_raised() -> Optional[BaseException]:
    """What a reader raised on this thread."""
    return _raised.pop(threading.get_ident(), None) if _raised else None


def _optional(name: str, value: Optional[str]) -> Optional[bytes]:
    return None if value is None else encode(name, value)


def _list(name: str, addresses: Addresses) -> Optional[bytes]:
    if addresses is None or isinstance(addresses, str):
        return _optional(name, addresses)
    return encode(name, ", ".join(addresses))


def _octets(name: str, data: Octets) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"{name} must be bytes, bytearray or memoryview, not {type(data).__name__}")


class _HeaderText:
    """A header field as an attribute; None if there is none, and to remove it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.__doc__ = f"The header field {name}, decoded; None if there is none."

    def __get__(self, message: Optional[Message], owner: Type[Message]) -> Any:
        return self if message is None else message.get(self.name)

    def __set__(self, message: Message, value: Addresses) -> None:
        if value is None:
            del message[self.name]
        else:
            message[self.name] = value if isinstance(value, str) else ", ".join(value)


class Message:
    """A message: header fields, texts and attachments.

        message = Message("Ann <ann@example.com>", "bob@example.org", subject="Hello", text="Hi Bob")
        message.attach_file("invoice.pdf")
        client.send_composed(message)

    Header fields are read and set as in a dictionary whose names know no case. Any
    thread may use it. It is a context manager, but need not be: what nobody refers to
    any more is released.
    """

    from_ = _HeaderText("From")
    sender = _HeaderText("Sender")
    to = _HeaderText("To")
    cc = _HeaderText("Cc")
    bcc = _HeaderText("Bcc")
    reply_to = _HeaderText("Reply-To")
    subject = _HeaderText("Subject")
    date = _HeaderText("Date")
    message_id = _HeaderText("Message-ID")

    def __init__(
        self,
        from_: Optional[str] = None,
        to: Addresses = None,
        subject: Optional[str] = None,
        text: Optional[str] = None,
        html: Optional[str] = None,
        *,
        cc: Addresses = None,
        bcc: Addresses = None,
    ) -> None:
        self._handle: Optional[int] = library.SmtpMessageCreate()
        self._process = os.getpid()
        if not self._handle:
            raise make_error(library.SmtpGetLastError(None), library.SmtpGetLastErrorString(None).decode())
        # Also when the interpreter ends, and without a __del__ that could see a half-made object.
        self._finalizer = weakref.finalize(self, _release, self._handle, self._process)
        self.compose(from_, to, subject, text, html, cc=cc, bcc=bcc)

    @classmethod
    def from_bytes(cls, data: Octets) -> Message:
        """Loads a finished message, such as the content of an .eml file."""
        message = cls()
        octets = _octets("data", data)
        message._check(library.SmtpMessageLoad(message._handle, octets, len(octets)))
        return message

    @classmethod
    def from_file(cls, source: Union[Path, BinaryFile]) -> Message:
        """Loads the message of a file: its path, or a binary file that is open."""
        message = cls()
        if isinstance(source, (str, os.PathLike)):
            message._check(library.SmtpMessageLoadFile(message._handle, encode("source", os.fspath(source))))
            return message
        number = next(_numbers)
        _files[number] = _File(source, None)
        try:
            message._check(library.SmtpMessageLoadStream(message._handle, _read_callback, number))
        finally:
            _forget(number)
        return message

    def compose(
        self,
        from_: Optional[str] = None,
        to: Addresses = None,
        subject: Optional[str] = None,
        text: Optional[str] = None,
        html: Optional[str] = None,
        *,
        cc: Addresses = None,
        bcc: Addresses = None,
    ) -> None:
        """Composes it anew; what was in it before is gone."""
        self._check(
            library.SmtpMessageCompose(
                self._handle,
                _optional("from_", from_),
                _list("to", to),
                _list("cc", cc),
                _list("bcc", bcc),
                _optional("subject", subject),
                _optional("text", text),
                _optional("html", html),
            )
        )

    def clear(self) -> None:
        """Empties it."""
        self._check(library.SmtpMessageClear(self._handle))

    @property
    def text(self) -> Optional[str]:
        """The plain text; None if there is none."""
        return self._find(library.SmtpMessageGetText)

    @text.setter
    def text(self, text: Optional[str]) -> None:
        self._check(library.SmtpMessageSetText(self._handle, _optional("text", text)))

    @property
    def html(self) -> Optional[str]:
        """The HTML text; None if there is none."""
        return self._find(library.SmtpMessageGetHtml)

    @html.setter
    def html(self, html: Optional[str]) -> None:
        self._check(library.SmtpMessageSetHtml(self._handle, _optional("html", html)))

    def set_calendar(self, calendar: Optional[str], method: str = "REQUEST") -> None:
        """Adds a calendar as an alternative to the texts, as invitations have it; None removes it."""
        self._check(
            library.SmtpMessageSetCalendar(self._handle, _optional("calendar", calendar), encode("method", method))
        )

    @property
    def priority(self) -> int:
        """How urgent it is: one of the PRIORITY_ constants."""
        return self._integer(_tables.MESSAGE_PRIORITY)

    @priority.setter
    def priority(self, value: int) -> None:
        self._set_integer(_tables.MESSAGE_PRIORITY, value)

    @property
    def flowed(self) -> bool:
        """Whether paragraphs of the plain text may be wrapped by the reader's program."""
        return self._integer(_tables.MESSAGE_FLOWED) != 0

    @flowed.setter
    def flowed(self, value: bool) -> None:
        self._set_integer(_tables.MESSAGE_FLOWED, int(value))

    @property
    def text_encoding(self) -> int:
        """How texts are encoded: one of the ENCODING_ constants."""
        return self._integer(_tables.MESSAGE_ENCODING)

    @text_encoding.setter
    def text_encoding(self, value: int) -> None:
        self._set_integer(_tables.MESSAGE_ENCODING, value)

    def set_unsubscribe(
        self, address: Optional[str] = None, page: Optional[str] = None, one_click: bool = False
    ) -> None:
        """Says how to leave the mailing list: List-Unsubscribe, and List-Unsubscribe-Post for one click."""
        self._check(
            library.SmtpMessageSetUnsubscribe(
                self._handle, _optional("address", address), _optional("page", page), int(bool(one_click))
            )
        )

    def set_read_receipt(self, address: Optional[str]) -> None:
        """Asks for a receipt when the message is read; None asks nobody."""
        self._check(library.SmtpMessageSetReadReceipt(self._handle, _optional("address", address)))

    def get(self, name: str, default: Optional[str] = None, occurrence: int = 0) -> Optional[str]:
        """The value of a header field, decoded."""
        which = encode("name", name), in_range("occurrence", occurrence, 1 << 31)
        found = self._find(library.SmtpMessageGetHeader, *which)
        return default if found is None else found

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: str) -> None:
        self._check(library.SmtpMessageSetHeader(self._handle, encode("name", name), encode("value", value)))

    def __delitem__(self, name: str) -> None:
        self._check(library.SmtpMessageRemoveHeader(self._handle, encode("name", name)))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def add_header(self, name: str, value: str) -> None:
        """Adds a header field behind all others."""
        self._check(library.SmtpMessageAddHeader(self._handle, encode("name", name), encode("value", value)))

    @property
    def headers(self) -> List[Tuple[str, str]]:
        """All header fields in order: name and decoded value."""
        count = ctypes.c_size_t()
        self._check(library.SmtpMessageGetHeaderCount(self._handle, ctypes.byref(count)))
        return [
            (self._text(library.SmtpMessageGetHeaderName, at), self._text(library.SmtpMessageGetHeaderValue, at))
            for at in range(count.value)
        ]

    def set_header_at(self, index: int, value: str) -> None:
        """Sets the value of the header field of an index."""
        which = in_range("index", index, 1 << 31)
        self._check(library.SmtpMessageSetHeaderValue(self._handle, which, encode("value", value)))

    def remove_header_at(self, index: int) -> None:
        """Removes the header field of an index."""
        self._check(library.SmtpMessageRemoveHeaderAt(self._handle, in_range("index", index, 1 << 31)))

    def attach(
        self,
        content: Union[Octets, str, Message, BinaryFile],
        name: Optional[str] = None,
        type: Optional[str] = None,
        *,
        size: Optional[int] = None,
    ) -> None:
        """Attaches octets, a text, a message, or an open binary file.

        The type is guessed from the name. A file is read when the message is sent or
        exported; one that can seek can be read again, and its size is found out.
        """
        self._attach(content, name, type, None, size)

    def embed(
        self,
        content: Union[Octets, BinaryFile],
        content_id: str,
        name: Optional[str] = None,
        type: Optional[str] = None,
    ) -> None:
        """Adds an image for the HTML text, which shows it as ``<img src="cid:...">``."""
        self._attach(content, name, type, content_id, None)

    def _attach(
        self,
        content: Any,
        name: Optional[str],
        media_type: Optional[str],
        content_id: Optional[str],
        size: Optional[int],
    ) -> None:
        if isinstance(content, Message):
            called = _optional("name", name)
            self._check(library.SmtpMessageAttachMessage(self._handle, content._handle, called))
            return
        if isinstance(content, str):
            content = content.encode("utf-8")
            media_type = media_type or "text/plain; charset=utf-8"
        about = _optional("name", name), _optional("type", media_type), _optional("content_id", content_id)
        if not hasattr(content, "read"):
            octets = _octets("content", content)
            self._check(library.SmtpMessageAttach(self._handle, *about, octets, len(octets)))
            return
        start = None
        if getattr(content, "seekable", lambda: False)():
            start = content.tell()
            if size is None:
                size = content.seek(0, io.SEEK_END) - start
                content.seek(start)
        number = next(_numbers)
        _files[number] = _File(content, start)
        length = _SIZE_UNKNOWN if size is None else in_range("size", size, _SIZE_UNKNOWN)
        rewind = _rewind_callback if start is not None else SmtpRewindCallback()
        self._check(
            library.SmtpMessageAttachReader(
                self._handle, *about, length, _read_callback, rewind, number, _forget_callback
            )
        )

    def attach_file(self, path: Path, name: Optional[str] = None, type: Optional[str] = None) -> None:
        """Attaches a file, which is read and encoded while the message is sent."""
        self._attach_file(path, name, type, None)

    def embed_file(
        self, path: Path, content_id: str, name: Optional[str] = None, type: Optional[str] = None
    ) -> None:
        """Adds the image of a file for the HTML text, which shows it as ``<img src="cid:...">``."""
        self._attach_file(path, name, type, content_id)

    def _attach_file(self, path: Path, name: Optional[str], media_type: Optional[str], content_id: Optional[str]) -> None:
        self._check(
            library.SmtpMessageAttachFile(
                self._handle,
                encode("path", os.fspath(path)),
                _optional("name", name),
                _optional("type", media_type),
                _optional("content_id", content_id),
            )
        )

    @property
    def parts(self) -> List[Part]:
        """Its parts, composed or loaded: the outermost first, each before those in it."""
        count = ctypes.c_size_t()
        self._check(library.SmtpMessageGetPartCount(self._handle, ctypes.byref(count)))
        return [self._part(index) for index in range(count.value)]

    def _part(self, index: int) -> Part:
        facts = SmtpMessagePart(size=ctypes.sizeof(SmtpMessagePart))
        self._check(library.SmtpMessageGetPart(self._handle, index, ctypes.byref(facts)))

        def about(which: int) -> str:
            return self._find(library.SmtpMessageGetPartString, index, which) or ""

        return Part(
            index,
            None if facts.parent < 0 else facts.parent,
            facts.depth,
            about(_tables.PART_TEXT_TYPE),
            about(_tables.PART_TEXT_NAME),
            about(_tables.PART_TEXT_DISPOSITION),
            about(_tables.PART_TEXT_CONTENT_ID),
            about(_tables.PART_TEXT_CHARSET),
            about(_tables.PART_TEXT_ENCODING),
            facts.has_content != 0,
        )

    @property
    def attachments(self) -> List[Part]:
        """The parts that say that they are attachments."""
        return [part for part in self.parts if part.is_attachment]

    def part_content(self, part: Union[Part, int]) -> bytes:
        """The content of a part, decoded."""
        index = part.number if isinstance(part, Part) else in_range("part", part, 1 << 31)
        return self._copy(lambda *room: library.SmtpMessageGetPartContent(self._handle, index, *room))

    def part_text(self, part: Union[Part, int]) -> str:
        """The content of a part as text, from its character set."""
        index = part.number if isinstance(part, Part) else in_range("part", part, 1 << 31)
        return self._text(library.SmtpMessageGetPartString, index, _tables.PART_TEXT_CONTENT)

    def save_part(self, part: Union[Part, int], path: Path) -> None:
        """Writes the content of a part, decoded, to a file."""
        index = part.number if isinstance(part, Part) else in_range("part", part, 1 << 31)
        self._check(library.SmtpMessageSavePart(self._handle, index, encode("path", os.fspath(path))))

    def size(self, options: int = 0) -> Optional[int]:
        """How many octets an export has; None if that is not known beforehand."""
        size = ctypes.c_uint64()
        options = in_range("options", options, 1 << 32)
        self._check(library.SmtpMessageGetSize(self._handle, options, ctypes.byref(size)))
        return None if size.value == _SIZE_UNKNOWN else size.value

    def as_bytes(self, options: int = 0) -> bytes:
        """The message as it is sent. The options are EXPORT_ bits; Bcc is left out without them."""
        pieces: List[bytes] = []
        self._export(options, pieces.append)
        return b"".join(pieces)

    def __bytes__(self) -> bytes:
        return self.as_bytes()

    def save(self, target: Union[Path, Any], options: int = 0) -> None:
        """Writes the message to a file: its path, or a binary file that is open."""
        if isinstance(target, (str, os.PathLike)):
            options = in_range("options", options, 1 << 32)
            path = encode("target", os.fspath(target))
            self._check(library.SmtpMessageExportFile(self._handle, options, path))
        else:
            self._export(options, target.write)

    def _export(self, options: int, write: Callable[[bytes], Any]) -> None:
        def take(data: int, length: int, _: Any) -> int:
            try:
                write(ctypes.string_at(data, length))
            except BaseException as error:
                _raised.setdefault(threading.get_ident(), error)
                return 1
            return 0

        options = in_range("options", options, 1 << 32)
        self._check(library.SmtpMessageExportStream(self._handle, options, SmtpWriteCallback(take), None))

    def close(self) -> None:
        """Releases it now. May be called again."""
        self._finalizer()

    def __enter__(self) -> Message:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self.headers])

    def _integer(self, which: int) -> int:
        value = ctypes.c_int64()
        self._check(library.SmtpMessageGetInteger(self._handle, which, ctypes.byref(value)))
        return value.value

    def _set_integer(self, which: int, value: int) -> None:
        self._check(library.SmtpMessageSetInteger(self._handle, which, in_range("value", value, 1 << 31)))

    def _find(self, getter: Any, *which: Union[int, bytes]) -> Optional[str]:
        """A text; None if there is none."""
        try:
            return self._text(getter, *which)
        except SmtpError as error:
            if error.code != _NOT_FOUND:
                raise
            return None

    def _text(self, getter: Any, *which: Union[int, bytes]) -> str:
        # The last octet is a NUL.
        octets = self._copy(lambda *room: getter(self._handle, *which, *room), 1)
        return octets.decode("utf-8", "replace")

    def _copy(self, get: Callable[..., int], more: int = 0) -> bytes:
        length = ctypes.c_size_t()
        self._check(get(None, 0, ctypes.byref(length)))
        while True:
            buffer = ctypes.create_string_buffer(length.value + more or 1)
            result = get(buffer, len(buffer), ctypes.byref(length))
            # Another thread may have changed it meanwhile.
            if result != CODES["SMTP_ERROR_BUFFER_TOO_SMALL"] or length.value + more <= len(buffer):
                self._check(result)
                return buffer.raw[: length.value]

    def _check(self, result: int) -> None:
        raised = pop_raised()
        if raised is not None:
            raise raised
        if result < 0:
            sentence: bytes = library.SmtpGetLastErrorString(None)
            raise make_error(result, sentence.decode("utf-8", "replace"))


def _release(handle: int, process: int) -> None:
    # A child process leaves its parent's messages alone.
    if process == os.getpid():
        library.SmtpMessageRelease(handle)
