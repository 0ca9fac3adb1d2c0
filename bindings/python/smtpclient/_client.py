"""The client."""

from __future__ import annotations

import copy
import ctypes
import email.policy
import email.utils
import itertools
import math
import os
import signal
import socket
import threading
import weakref
from email.message import EmailMessage
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Tuple,
    Type,
    Union,
)

from . import _tables
from ._batch import Batch, BatchMessage, BatchResult, as_batch
from ._errors import CODES, ArgumentError, SmtpError, make_error, refuse
from ._library import (
    SmtpDestroyCallback,
    SmtpEventCallback,
    SmtpMessageInfo,
    SmtpPollInfo,
    SmtpReadCallback,
    SmtpRecipient,
    SmtpSecurityInfo,
    SmtpServerInfo,
    SmtpTokenCallback,
    SmtpTraceCallback,
    SmtpTransferStatus,
    library,
)
from ._message import Message, pop_raised
from ._properties import (
    _Data,
    _Flag,
    _Integer,
    _ReadOnlyFlag,
    _ReadOnlyInteger,
    _ReadOnlyText,
    _SignedInteger,
    _Text,
    _WriteOnlyText,
    encode,
    in_range,
    read_text,
)

if TYPE_CHECKING:
    from typing import Protocol

    class BinaryFile(Protocol):
        def read(self, count: int, /) -> Optional[Piece]: ...

ALL_EVENTS = (
    _tables.EVENT_CONNECT
    | _tables.EVENT_DISCONNECT
    | _tables.EVENT_TIMEOUT
    | _tables.EVENT_CANCEL
    | _tables.EVENT_PROGRESS
    | _tables.EVENT_COMMAND
    | _tables.EVENT_REPLY
    | _tables.EVENT_ERROR
    | _tables.EVENT_RECIPIENT
    | _tables.EVENT_MESSAGE
)

_MOST_MILLISECONDS = (1 << 31) - 1
_SIZE_UNKNOWN = (1 << 64) - 1

# In place of a thread's number: whoever goes on with the pending operation.
_ANY_THREAD = 0

# More than the longest reply that the library accepts (512 KiB, threefold as UTF-8).
_EXPAND_CAPACITY = 2 << 20


class Event(NamedTuple):
    """What a callback is told."""

    #: One of the EVENT_ constants.
    kind: int
    #: The error code for EVENT_ERROR, EVENT_TIMEOUT and EVENT_CANCEL; else 0.
    error: int
    #: The server's reply code for EVENT_REPLY and EVENT_RECIPIENT; else 0.
    result_code: int
    #: The command's line, the reply, the sentence of the error, or the recipient's address.
    text: str
    #: For EVENT_PROGRESS, how many octets of the message were taken from its source; else 0.
    bytes_copied: int = 0
    #: For EVENT_PROGRESS, the length of the message, 0 if it is not known; else 0.
    bytes_total: int = 0
    #: For EVENT_RECIPIENT, the recipient's number, from 0; else 0.
    recipient: int = 0
    #: For EVENT_RECIPIENT, one of the RECIPIENT_ constants; else 0.
    recipient_state: int = 0
    #: For EVENT_RECIPIENT, the text of the reply, its lines joined by line feeds; else empty.
    reply: str = ""
    #: For EVENT_MESSAGE, the number of the message in its batch, from 0; else 0.
    message: int = 0
    #: For EVENT_MESSAGE, one of the OUTCOME_ constants; else 0.
    outcome: int = 0


class TraceRecord(NamedTuple):
    """One record of the conversation."""

    #: One of the DIRECTION_ constants.
    direction: int
    #: When it was made, in seconds since the beginning of 1970, UTC.
    time: float
    #: The server's reply code for DIRECTION_SERVER; else 0.
    result_code: int
    #: The text without its last line end; secrets masked.
    text: str


class TransferStatus(NamedTuple):
    """How far the content of a message is."""

    #: Whether it is on its way; else the rest tells of the last message.
    active: bool
    #: The length of the message in octets, 0 if it is not known.
    bytes_total: int
    #: How many octets were taken from its source.
    bytes_copied: int
    #: The same in a second.
    bytes_per_second: int
    #: The seconds since the first octet was taken, or that the content took.
    time_elapsed: float
    #: The seconds that it is likely to take yet; 0 if that cannot be told.
    time_estimated: float


class PollInfo(NamedTuple):
    """What an event loop has to wait for until ``process`` is due."""

    #: The descriptor to wait on; it is the library's.
    descriptor: int
    #: Whether to wait until it can be read.
    read: bool
    #: Whether to wait until it can be written.
    write: bool
    #: After how many seconds ``process`` is due even if nothing happens; None is never.
    timeout: Optional[float]


class SecurityInformation(NamedTuple):
    """What protects the connection, all of one moment."""

    #: One of the PROTOCOL_ constants.
    protocol: int
    #: The bits of the cipher's key; 0 without TLS.
    cipher_strength: int
    #: The bits of the cipher suite's hash; 0 without TLS.
    hash_strength: int
    #: What the check of the certificate came to, one of the CERTIFICATE_ constants.
    certificate_status: int
    #: Whether it was checked and is good.
    verified: bool


class Recipient(NamedTuple):
    """What became of the last message for one of its recipients."""

    #: The address, without brackets.
    address: str
    #: One of the RECIPIENT_ constants.
    state: int
    #: The code of the reply that refused it, or the message for it; else 0.
    result_code: int
    #: The enhanced status code of that reply, such as "5.1.1"; else empty.
    enhanced_code: str
    #: The text of that reply, its lines joined by line feeds; else empty.
    reply: str

    @property
    def accepted(self) -> bool:
        """Whether the server took the message for this recipient; while it is under way, the address."""
        return self.state == _tables.RECIPIENT_ACCEPTED


EventCallback = Callable[[Event], Optional[bool]]
TokenCallback = Callable[[bool], str]
TraceCallback = Callable[[TraceRecord], Optional[bool]]
Piece = Union[bytes, bytearray, memoryview]
Content = Union[Piece, str]
Source = Union["BinaryFile", Iterable[Piece]]


class _Registration:
    """A callback of one client, for as long as the library may call it."""

    __slots__ = ("callback", "raised", "kept_in", "__weakref__")

    def __init__(
        self, callback: Callable[[Any], object], raised: Dict[int, BaseException], kept_in: Dict[int, _Registration]
    ) -> None:
        self.callback = callback
        self.raised = raised
        self.kept_in = kept_in


# By the number that the library gets as user data. The references are weak, and
# the client holds the strong ones: a callback that refers to its client would
# else keep it alive for ever.
_registrations: weakref.WeakValueDictionary[int, _Registration] = weakref.WeakValueDictionary()
_numbers = itertools.count(1)


def _guarded(number: Optional[int], refusal: int, deliver: Callable[[_Registration], int]) -> int:
    """Runs what a callback has to do; if that raises, the refusal is the answer."""
    registration = _registrations.get(number or 0)
    if registration is None:
        # Only a token has to be refused where there is nobody to ask.
        return min(refusal, 0)
    try:
        return deliver(registration)
    except BaseException as error:
        # It cannot pass through the library: it cancels the call and waits
        # for the method that made the call, on this very thread.
        registration.raised.setdefault(threading.get_ident(), error)
        return refusal


def _deliver(event_pointer: Any, number: Optional[int]) -> int:
    def deliver(registration: _Registration) -> int:
        event = event_pointer.contents
        text = ctypes.string_at(event.text, event.text_length).decode("utf-8", "replace")
        reply = ctypes.string_at(event.reply, event.reply_length).decode("utf-8", "replace")
        told = Event(
            event.event,
            event.error,
            event.result_code,
            text,
            event.bytes_copied,
            event.bytes_total,
            event.recipient,
            event.recipient_state,
            reply,
            event.message,
            event.outcome,
        )
        return 1 if registration.callback(told) else 0

    return _guarded(number, 1, deliver)


def _deliver_record(record_pointer: Any, number: Optional[int]) -> int:
    def deliver(registration: _Registration) -> int:
        record = record_pointer.contents
        text = ctypes.string_at(record.text, record.text_length).decode("utf-8", "replace")
        told = TraceRecord(record.direction, record.time_ms / 1000, record.result_code, text)
        return 1 if registration.callback(told) else 0

    return _guarded(number, 1, deliver)


def _deliver_token(buffer: Any, capacity: int, renew: int, number: Optional[int]) -> int:
    def deliver(registration: _Registration) -> int:
        token = registration.callback(renew != 0)
        if not isinstance(token, str):
            raise TypeError(f"the token must be str, not {type(token).__name__}")
        octets = token.encode("utf-8")
        # One that is too long is refused by the library.
        ctypes.memmove(buffer, octets, min(len(octets), capacity))
        return len(octets)

    return _guarded(number, -1, deliver)


def _forget(number: Optional[int]) -> None:
    registration = _registrations.get(number or 0)
    if registration is not None and number is not None:
        registration.kept_in.pop(number, None)


# One function each for all clients, which therefore are never freed while they run.
_deliver_callback = SmtpEventCallback(_deliver)
_deliver_record_callback = SmtpTraceCallback(_deliver_record)
_deliver_token_callback = SmtpTokenCallback(_deliver_token)
_forget_callback = SmtpDestroyCallback(_forget)


def _check_one_recipient(item: str) -> None:
    """Refuses what would become no, or more than one, recipient in a list joined by commas."""
    if not isinstance(item, str):
        raise TypeError(f"a recipient must be str, not {type(item).__name__}")
    quoted = escaped = angle = False
    for character in item:
        if escaped:
            escaped = False
        elif character == "\\" and quoted:
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == "<" and not quoted:
            angle = True
        elif character == ">" and not quoted:
            angle = False
        elif character == "," and not quoted and not angle:
            raise _bad_recipient(item, "it has a comma, which separates recipients; put one recipient in each item")
    if quoted or angle:
        raise _bad_recipient(item, "a quote or an angle bracket in it does not end")
    if not item.strip(" \t"):
        raise _bad_recipient(item, "it is empty")


def _bad_recipient(item: str, why: str) -> ArgumentError:
    error = ArgumentError(f"{item!r} is not one recipient: {why}", CODES["SMTP_ERROR_INVALID_ADDRESS"])
    error.address = item
    return error


def _join_recipients(recipients: Union[str, Iterable[str]]) -> bytes:
    if isinstance(recipients, str):
        return encode("recipients", recipients)
    if isinstance(recipients, (bytes, bytearray, memoryview)):
        raise TypeError("recipients must be str or an iterable of str")
    items = list(recipients)
    for item in items:
        _check_one_recipient(item)
    return encode("recipients", ",".join(items))


def _view(message: Content) -> Tuple[Any, int]:
    """Something that ctypes passes as the address of the message's octets, and their number."""
    if isinstance(message, str):
        try:
            message = message.encode("utf-8")
        except UnicodeEncodeError as error:
            raise refuse("message", f"cannot be written in UTF-8: {error.reason} at {error.start}") from None
    elif isinstance(message, memoryview) and (message.readonly or not message.c_contiguous):
        # ctypes gives no address of read-only memory that is not a bytes object.
        message = message.tobytes()
    if isinstance(message, bytes):
        return message, len(message)
    if isinstance(message, (bytearray, memoryview)):
        length = memoryview(message).nbytes
        # Also keeps a bytearray from being resized during the call.
        return ((ctypes.c_char * length).from_buffer(message) if length else None), length
    raise TypeError(f"message must be bytes, bytearray, memoryview or str, not {type(message).__name__}")


def _for_smtp(message: EmailMessage) -> Any:
    """A policy for the wire: UTF-8 only where an address cannot do without."""
    fields = ("from", "sender", "reply-to", "to", "cc", "bcc")
    texts = [str(value) for name in fields for value in message.get_all(name, [])]
    addresses = [address for _, address in email.utils.getaddresses(texts)]
    return email.policy.SMTPUTF8 if any(not address.isascii() for address in addresses) else email.policy.SMTP


def _email_octets(message: EmailMessage) -> bytes:
    policy = _for_smtp(message)
    if "Bcc" in message or "Resent-Bcc" in message:
        # Only the header is copied; what is attached may be large.
        message = copy.copy(message)
        message._headers = list(message._headers)  # type: ignore[attr-defined]
        del message["Bcc"], message["Resent-Bcc"]
    return message.as_bytes(policy=policy)


class _Signals:
    """Keeps signal handlers from running where what they raise would be lost.

    Python may run them, and raise KeyboardInterrupt, at the entry of a callback,
    before its ``try``. ctypes then prints it and gives the library a number that
    means nothing, which could be taken for the end of the message.
    """

    def __init__(self) -> None:
        self.may_run = False
        self._handlers: Dict[int, Any] = {}
        self._waiting: List[Tuple[int, Any]] = []

    def hold(self) -> None:
        # Python runs its handlers in the main thread only.
        if threading.current_thread() is not threading.main_thread():
            return
        for number in signal.valid_signals():
            handler = signal.getsignal(number)
            if callable(handler):
                self._handlers[number] = handler
                signal.signal(number, self._come)

    def release(self) -> None:
        handlers, self._handlers = self._handlers, {}
        for number, handler in handlers.items():
            signal.signal(number, handler)
        while self._waiting:
            number, frame = self._waiting.pop(0)
            handlers[number](number, frame)

    def run_waiting(self) -> None:
        while self._waiting:
            number, frame = self._waiting.pop(0)
            self._handlers[number](number, frame)

    def _come(self, number: int, frame: Any) -> None:
        if self.may_run:
            self._handlers[number](number, frame)
        else:
            self._waiting.append((number, frame))


class _Stream:
    """A source of a message, as the library's reader."""

    def __init__(self, source: Source, raised: Dict[int, BaseException]) -> None:
        if isinstance(source, (str, bytes, bytearray, memoryview)):
            # Iterating over these gives no pieces.
            raise TypeError("source must be a binary file or an iterable of pieces; send_message takes a whole message")
        self._read: Optional[Callable[[int], Any]] = getattr(source, "read", None)
        self._pieces: Iterator[Any] = iter(()) if self._read is not None else iter(source)  # type: ignore[arg-type]
        self._rest = memoryview(b"")
        self._raised = raised
        self.signals = _Signals()

    def fill(self, address: int, capacity: int, _: Any) -> int:
        """Gives the library the next octets; what goes wrong waits for the method that sends."""
        try:
            self.signals.may_run = True
            self.signals.run_waiting()
            count = self._fill(memoryview((ctypes.c_char * capacity).from_address(address)).cast("B"))
            self.signals.may_run = False
        except BaseException as error:
            self.signals.may_run = False
            self._raised.setdefault(threading.get_ident(), error)
            return -1
        return count

    def _fill(self, buffer: memoryview) -> int:
        count = 0
        while count < len(buffer):
            if not self._rest:
                if count and self._read is not None:
                    # What a file has is sent before it is asked, and waited for, again.
                    break
                piece = self._next(len(buffer))
                if piece is None:
                    break
                self._rest = piece
            some = self._rest[: len(buffer) - count]
            buffer[count : count + len(some)] = some
            self._rest = self._rest[len(some) :]
            count += len(some)
        return count

    def _next(self, most: int) -> Optional[memoryview]:
        """The next piece that is not empty; None at the end."""
        if self._read is not None:
            return _octets(self._read(most)) or None
        for piece in self._pieces:
            octets = _octets(piece)
            if octets:
                return octets
        return None


class _Kept:
    """What an operation needs that is not over yet: a source with its reader, or a socket to be taken over."""

    __slots__ = ("stream", "reader", "connection", "in_step")

    def __init__(self, source: Optional[_Stream] = None, connection: Optional[socket.socket] = None) -> None:
        self.stream = source
        self.reader = None if source is None else SmtpReadCallback(source.fill)
        self.connection = connection
        self.in_step = False

    def begin_step(self) -> None:
        self.in_step = True
        if self.stream is not None:
            self.stream.signals.hold()

    def end_step(self) -> None:
        self.in_step = False
        if self.stream is not None:
            self.stream.signals.release()

    def end(self, result: int) -> None:
        if self.connection is not None and result == 0:
            # Its number is gone already, and may stand for something else by now.
            self.connection.detach()


def _octets(piece: Any) -> memoryview:
    try:
        view = memoryview(piece)
    except TypeError:
        raise TypeError(f"the source must give bytes, not {type(piece).__name__}") from None
    # An empty view cannot be cast, nor can one with gaps.
    return view.cast("B") if view.nbytes and view.c_contiguous else memoryview(view.tobytes())


def _lines(text: str) -> List[str]:
    # Not splitlines, which knows more line ends than the library.
    return text.split("\n") if text else []


def _name_and_reason(line: str) -> Tuple[str, str]:
    name, _, reason = line.partition(": ")
    return name, reason


def _milliseconds(timeout: Optional[float]) -> int:
    if timeout is None:
        return 0
    if not math.isfinite(timeout) or not 0 <= timeout * 1000 <= _MOST_MILLISECONDS:
        raise refuse("timeout", f"must be from 0 to {_MOST_MILLISECONDS // 1000} seconds, not {timeout}")
    # Rounded up, since 0 has a meaning of its own.
    return math.ceil(timeout * 1000)


def error_text(code: int) -> str:
    """What an error code means, and what to do about it; ValueError if there is no such code."""
    buffer = ctypes.create_string_buffer(1024)
    if library.SmtpGetErrorString(code, buffer, len(buffer), None) != 0:
        raise ValueError(f"there is no error code {code}")
    return buffer.value.decode("utf-8")


def current_date() -> str:
    """The present date as a message's Date header has it (RFC 5322), in local time."""
    buffer = ctypes.create_string_buffer(64)
    library.SmtpGetCurrentDate(buffer, len(buffer), None)
    return buffer.value.decode("ascii")


class Client:
    """An SMTP client: one connection at most, usable from any thread.

    ``with Client() as client:`` disconnects and releases it at the end. A call
    that fails raises a subclass of SmtpError. The limits among the properties are
    in milliseconds.

    A call does not return to Python before it ends, so Ctrl-C waits for it: set
    limits, or call ``cancel`` from another thread.

    With ``blocking = False`` no call waits: a method that has more to do returns False,
    or where it returns a reply (0, "") or nothing in its place, and the operation is
    pending. An event loop waits for what ``poll_info`` says, then calls ``process``,
    until that returns True; ``result_code`` and ``result_string`` have the reply then.
    AsyncClient does all of this for asyncio.
    """

    # A misspelt attribute, such as tls_mod, is an error and not a setting that is never read.
    __slots__ = ("_handle", "_is_closed", "_process", "_raised", "_callbacks", "_kept", "_keeping", "__weakref__")

    _handle: Optional[int]

    def __init__(self) -> None:
        self._is_closed = False
        self._process = os.getpid()
        # Exceptions of callbacks by thread, and the callbacks by number.
        self._raised: Dict[int, BaseException] = {}
        self._callbacks: Dict[int, _Registration] = {}
        # What the pending operation needs; whoever begins such a one, or goes on, holds the lock.
        self._kept: Optional[_Kept] = None
        self._keeping = threading.RLock()
        self._handle = library.SmtpClientCreate()
        if self._handle is None:
            code = library.SmtpGetLastError(None)
            raise make_error(code, library.SmtpGetLastErrorString(None).decode("utf-8", "replace"))

    # Settings
    host = _Text()
    port = _Integer()
    user = _Text()
    password = _WriteOnlyText()
    options = _Integer()
    tls_mode = _Integer()
    ca_file = _Text()
    local_name = _Text()
    insecure_auth = _Flag()
    insecure_skip_verify = _Flag()
    all_or_nothing = _Flag()
    delivery_options = _Integer()
    envelope_id = _Text()
    leave_out = _Flag()
    mail_parameters = _Text()
    chunking = _Integer()
    binary = _Flag()
    strict_line_ends = _Flag()
    smtputf8 = _Flag()
    timeout = _Integer()
    timeout_resolve = _Integer()
    timeout_connect = _Integer()
    timeout_tls = _Integer()
    timeout_greeting = _Integer()
    timeout_command = _Integer()
    timeout_mail = _Integer()
    timeout_rcpt = _Integer()
    timeout_data = _Integer()
    timeout_content = _Integer()
    timeout_end = _Integer()
    timeout_quit = _Integer()
    deliver_by = _Text()
    hold_for = _Integer()
    hold_until = _Text()
    mt_priority = _SignedInteger()
    require_tls = _Flag()
    auth_sender = _Text()
    disabled_extensions = _Text()
    trace_file = _Text()
    trace_keep = _Integer()
    trace_flags = _Integer()
    insecure_trace_secrets = _Flag()
    tls_min_version = _Integer()
    tls_max_version = _Integer()
    tls_server_name = _Text()
    ca_folder = _Text()
    ca_data = _Text()
    client_certificate = _Text()
    client_key = _Text()
    client_key_password = _WriteOnlyText()
    client_certificate_data = _Data()
    client_key_data = _Data()
    tls_pins = _Text()
    tls_resumption = _Flag()
    crl_file = _Text()
    auth_type = _Integer()
    bearer_token = _WriteOnlyText()
    auth_identity = _Text()
    auth_methods = _Text()
    auth_realm = _Text()

    # The connection
    is_connected = _ReadOnlyFlag()
    is_extended = _ReadOnlyFlag()
    result_code = _ReadOnlyInteger()
    result_string = _ReadOnlyText()
    enhanced_code = _ReadOnlyText()
    extensions = _ReadOnlyText()
    auth_mechanisms = _ReadOnlyText()
    auth_mechanism = _ReadOnlyText()
    size_limit = _ReadOnlyInteger()
    peer_address = _ReadOnlyText()
    local_address = _ReadOnlyText()
    extended_options = _ReadOnlyInteger()
    left_out_extensions = _ReadOnlyText()
    tls_protocol = _ReadOnlyText()
    tls_cipher = _ReadOnlyText()
    tls_verified = _ReadOnlyFlag()
    tls_objection = _ReadOnlyText()
    certificate_status = _ReadOnlyInteger()
    certificate_subject = _ReadOnlyText()
    certificate_issuer = _ReadOnlyText()
    certificate_issued = _ReadOnlyText()
    certificate_expires = _ReadOnlyText()
    certificate_fingerprint = _ReadOnlyText()
    certificate_names = _ReadOnlyText()
    cipher_strength = _ReadOnlyInteger()
    hash_strength = _ReadOnlyInteger()
    key_exchange = _ReadOnlyText()
    secure = _ReadOnlyFlag()

    # The last message
    outcome = _ReadOnlyInteger()
    safe_to_retry = _ReadOnlyFlag()
    recipients_accepted = _ReadOnlyInteger()
    recipients_refused = _ReadOnlyInteger()
    refused_recipients = _ReadOnlyText()
    final_reply = _ReadOnlyText()
    queue_id = _ReadOnlyText()

    # The last failure
    last_error = _Integer()
    error_class = _ReadOnlyInteger()
    error_phase = _ReadOnlyInteger()
    error_result_code = _ReadOnlyInteger()
    error_enhanced_code = _ReadOnlyText()
    error_reply = _ReadOnlyText()
    error_os = _ReadOnlyInteger()
    error_tls_reason = _ReadOnlyText()
    error_address = _ReadOnlyText()
    error_remedy = _ReadOnlyText()
    error_json = _ReadOnlyText()
    error_offered = _ReadOnlyText()
    error_skipped = _ReadOnlyText()
    error_outcome = _ReadOnlyInteger()
    error_safe_to_retry = _ReadOnlyFlag()
    error_command = _ReadOnlyText()

    # What is going on, and what it cost
    trace_text = _ReadOnlyText()
    state = _ReadOnlyInteger()
    phase = _ReadOnlyInteger()
    is_blocked = _ReadOnlyFlag()
    time_resolve = _ReadOnlyInteger()
    time_connect = _ReadOnlyInteger()
    time_tls = _ReadOnlyInteger()
    time_greeting = _ReadOnlyInteger()
    time_auth = _ReadOnlyInteger()
    time_envelope = _ReadOnlyInteger()
    time_content = _ReadOnlyInteger()
    time_end = _ReadOnlyInteger()
    time_total = _ReadOnlyInteger()
    bytes_sent = _ReadOnlyInteger()
    bytes_received = _ReadOnlyInteger()
    transfer_bytes = _ReadOnlyInteger()
    transfer_time = _ReadOnlyInteger()
    transfer_rate = _ReadOnlyInteger()
    version = _ReadOnlyText()
    channel_binding_exporter = _ReadOnlyText()
    channel_binding_end_point = _ReadOnlyText()
    tls_resumed = _ReadOnlyFlag()
    certificate_count = _ReadOnlyInteger()
    certificate_pin = _ReadOnlyText()
    proxy = _Text()
    timeout_proxy = _Integer()
    connect_address = _Text()
    address_family = _Integer()
    local_bind_address = _Text()
    local_interface = _Text()
    keep_alive = _Integer()
    error_attempts = _ReadOnlyText()
    time_proxy = _ReadOnlyInteger()
    blocking = _Flag()
    batch_messages = _Integer()
    batch_octets = _Integer()
    batch_mode = _ReadOnlyInteger()

    def connect(
        self, host: Optional[str] = None, port: int = 0, timeout: Optional[float] = 0, options: int = 0
    ) -> bool:
        """Connects to a server. What is left out comes from the properties.

        The timeout is the limit of the whole call in seconds; 0 or None means the
        property ``timeout``, which is in milliseconds. The options are OPTION_ bits.
        """
        return self._finish(
            library.SmtpConnect(
                self._handle,
                None if host is None else encode("host", host),
                in_range("port", port, 1 << 16),
                _milliseconds(timeout),
                in_range("options", options, 1 << 32),
            )
        )

    def attach(self, connection: socket.socket, host: Optional[str] = None, options: int = 0) -> bool:
        """Takes over a connected socket, and greets the server on it.

        On success the socket is the client's, and the object that was given is
        closed; on failure it is still the caller's to close, but of no other use.
        The host is the name that the certificate must be for.
        """
        arguments = (
            connection.fileno(),
            None if host is None else encode("host", host),
            in_range("options", options, 1 << 32),
        )
        return self._run(
            _Kept(connection=connection), lambda: library.SmtpAttachSocket(self._handle, *arguments)
        )

    def authenticate(self, user: Optional[str] = None, password: Optional[str] = None) -> bool:
        """Logs in. What is left out comes from the properties.

        With AUTH_XOAUTH2 and AUTH_BEARER as ``auth_type`` the password is the token.
        """
        return self._finish(
            library.SmtpAuthenticate(
                self._handle,
                None if user is None else encode("user", user),
                None if password is None else encode("password", password),
            )
        )

    def peer_certificates(self) -> List[bytes]:
        """The certificates that the server sent, in DER form, its own first."""
        found = []
        for index in range(self.certificate_count):
            length = ctypes.c_size_t()
            self._check_read(library.SmtpGetCertificate(self._handle, index, None, 0, ctypes.byref(length)))
            buffer = ctypes.create_string_buffer(length.value)
            self._check_read(
                library.SmtpGetCertificate(self._handle, index, buffer, len(buffer), ctypes.byref(length))
            )
            found.append(buffer.raw[: length.value])
        return found

    def peer_certificate(self, index: int, which: str) -> str:
        """What one of them says of itself: which is subject, issuer, issued, expires, fingerprint, names or pin."""
        row = _tables.PROPERTIES.get(f"certificate_{which}")
        if row is None:
            raise ValueError(f"which must be subject, issuer, issued, expires, fingerprint, names or pin, not {which!r}")
        return read_text(self, library.SmtpGetCertificateString, in_range("index", index, 1 << 32), row.id)

    def capability(self, keyword: str) -> Optional[str]:
        """What stands behind an extension's keyword, such as "SIZE", in any case.

        It may be empty. None if the server does not offer the extension, or it is
        left out, or there is no connection.
        """
        try:
            return read_text(self, library.SmtpGetCapability, encode("keyword", keyword))
        except SmtpError as error:
            if error.code == CODES["SMTP_ERROR_EXTENSION_UNAVAILABLE"]:
                return None
            raise

    def set_recipient_delivery(
        self, address: Optional[str], options: int = 0, original_recipient: Optional[str] = None
    ) -> None:
        """Asks for notifications about one recipient of the messages to come.

        The options are DELIVERY_NOTIFY_ bits; 0 is as ``delivery_options``. The original
        recipient is the address that notifications are to name, or None for the address
        itself. With neither, nothing is said of this recipient any more; with None as the
        address, of nobody.
        """
        self._check(
            library.SmtpSetRecipientDelivery(
                self._handle,
                None if address is None else encode("address", address),
                in_range("options", options, 1 << 32),
                None if original_recipient is None else encode("original_recipient", original_recipient),
            )
        )

    def send_message(
        self, sender: str, recipients: Union[str, Iterable[str]], message: Union[Content, EmailMessage]
    ) -> bool:
        """Sends a finished message: header, empty line and body.

        The recipients are one text, separated by commas, or an iterable with one
        recipient in each item. A refused recipient does not stop the message: see
        ``recipients_refused`` and ``refused_recipients``. A message of type str is
        sent as UTF-8; octets are read in place and must not be changed meanwhile. An
        EmailMessage is sent without its Bcc fields, which are not read.
        """
        if isinstance(message, EmailMessage):
            message = _email_octets(message)
        address, length = _view(message)
        return self._finish(
            library.SmtpSendMessage(
                self._handle, encode("sender", sender), _join_recipients(recipients), address, length
            )
        )

    def send_composed(self, message: Union[Message, EmailMessage]) -> bool:
        """Sends a message that was composed or loaded, to the recipients of its To, Cc and Bcc fields.

        What is attached is read and encoded on the way, in constant memory. Bcc is not
        sent. Else as ``send_message``. An EmailMessage is loaded first.
        """
        if isinstance(message, EmailMessage):
            message = Message.from_bytes(message.as_bytes(policy=_for_smtp(message)))
        return self._finish(library.SmtpSendComposed(self._handle, message._handle))

    def send_file(self, sender: str, recipients: Union[str, Iterable[str]], path: Union[str, os.PathLike[str]]) -> bool:
        """Sends a finished message that is in a file, in constant memory. Else as ``send_message``."""
        return self._finish(
            library.SmtpSendFile(
                self._handle,
                encode("sender", sender),
                _join_recipients(recipients),
                encode("path", os.fspath(path)),
            )
        )

    def send_stream(
        self, sender: str, recipients: Union[str, Iterable[str]], source: Source, size: Optional[int] = None
    ) -> bool:
        """Sends a finished message that comes piece by piece, in constant memory. Else as ``send_message``.

        The source is a binary file, or an iterable of bytes-like pieces of any size.
        It is asked for the first time when the server waits for the message. What it
        raises ends the call, is raised by it, and closes the connection; the message
        is not completed. The size in octets, if it is known, is told to the server in
        advance; it is not checked. Ctrl-C ends the call too when the next piece is due.
        """
        kept = _Kept(_Stream(source, self._raised))
        arguments = (
            encode("sender", sender),
            _join_recipients(recipients),
            _SIZE_UNKNOWN if size is None else in_range("size", size, _SIZE_UNKNOWN),
        )
        return self._run(kept, lambda: library.SmtpSendStream(self._handle, *arguments, kept.reader, None))

    def send_batch(self, messages: Union[Batch, Iterable[BatchMessage]]) -> List[BatchResult]:
        """Sends many messages with as little waiting as the server allows, and tells what became of each.

        The messages are a Batch, or an iterable of sender, recipients and message as
        for ``send_message``. That messages are refused, or the connection ends, does
        not raise: look at the results. A Batch can be sent again then: only what was
        not sent is sent. A call that cannot begin raises. On a client that does not
        block, give a Batch, and read its results when the operation is over.
        """
        batch = as_batch(messages)
        result = library.SmtpSendBatch(self._handle, batch._handle)
        results = batch.results() if batch._handle is not None else []
        if result < 0 and any(message.error is not None for message in results):
            # The failure is that of a message; a callback's own comes first.
            result = 0
        self._finish(result)
        return results

    def create_message(self, sender: str, size: int = 0) -> bool:
        """Begins a message with MAIL; the size in octets is 0 if it is not known.

        Then come ``add_recipient``, ``write`` or ``append_file`` or ``append_stream``,
        and ``close_message``. ``reset`` drops the message as long as it has no content.
        ``send_message`` does all of this at once and with fewer round trips.
        """
        return self._finish(
            library.SmtpCreateMessage(self._handle, encode("sender", sender), in_range("size", size, _SIZE_UNKNOWN))
        )

    def add_recipient(self, address: str) -> bool:
        """Adds a recipient with RCPT. If the server refuses it, ServerError is raised and the message is still open."""
        return self._finish(library.SmtpAddRecipient(self._handle, encode("address", address)))

    def write(self, content: Content) -> bool:
        """Gives some of the message's content, cut anywhere; the first time DATA is sent before."""
        address, length = _view(content)
        return self._finish(library.SmtpWrite(self._handle, address, length))

    append_message = write

    def append_file(self, path: Union[str, os.PathLike[str]]) -> bool:
        """Gives what is in a file as content, in constant memory. Else as ``write``."""
        return self._finish(library.SmtpAppendFile(self._handle, encode("path", os.fspath(path))))

    def append_stream(self, source: Source) -> bool:
        """Gives what a source yields, as ``send_stream`` takes it, as content. Else as ``write``."""
        kept = _Kept(_Stream(source, self._raised))
        return self._run(kept, lambda: library.SmtpAppendStream(self._handle, kept.reader, None))

    def close_message(self) -> bool:
        """Ends the message that was begun; ``outcome`` and ``recipients`` tell what became of it."""
        return self._finish(library.SmtpCloseMessage(self._handle))

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
    ) -> bool:
        """Connects, logs in if there is a user, sends one message, and disconnects, whatever happened.

        A message that is a path object is read from that file. What is left out of
        the server comes from the properties; the timeout is the limit of the whole.
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
        return self._finish(library.SmtpSubmitMessage(self._handle, ctypes.byref(content), ctypes.byref(server)))

    @property
    def recipients(self) -> List[Recipient]:
        """What became of the last message for each of its recipients, in the order in which they were given.

        It stays until the next message. Empty if that failed before anything was
        sent. It is not read at once: let no other thread send on this client meanwhile.
        """
        count = ctypes.c_size_t()
        self._check_read(library.SmtpGetRecipientCount(self._handle, ctypes.byref(count)))
        return [self._recipient(index) for index in range(count.value)]

    def _recipient(self, index: int) -> Recipient:
        facts = SmtpRecipient(size=ctypes.sizeof(SmtpRecipient))
        self._check_read(library.SmtpGetRecipient(self._handle, index, ctypes.byref(facts)))
        enhanced = (facts.enhanced_class, facts.enhanced_subject, facts.enhanced_detail)
        return Recipient(
            read_text(self, library.SmtpGetRecipientString, index, _tables.RECIPIENT_TEXT_ADDRESS),
            facts.state,
            facts.result_code,
            # The class of a code is never 0.
            ".".join(map(str, enhanced)) if enhanced[0] else "",
            read_text(self, library.SmtpGetRecipientString, index, _tables.RECIPIENT_TEXT_REPLY),
        )

    def command(self, verb: str, parameters: str = "") -> Tuple[int, str]:
        """Sends a command that there is no method for; returns the reply's code and text.

        A reply that begins with 4 or 5 raises ServerError. Commands that the library
        has to keep track of, such as MAIL, are refused and not sent.
        """
        return self._reply(library.SmtpCommand(self._handle, encode("verb", verb), encode("parameters", parameters)))

    def noop(self) -> bool:
        """Asks whether the connection is alive (NOOP). Not needed before a message."""
        return self._finish(library.SmtpNoop(self._handle))

    def verify(self, address: str) -> Tuple[int, str]:
        """Asks the server whether an address is valid (VRFY); returns the reply's code and text.

        The code 252 means that the server cannot tell; a refusal raises ServerError.
        """
        return self._reply(library.SmtpVerifyAddress(self._handle, encode("address", address)))

    def expand(self, address: str) -> List[str]:
        """Asks the server who is on a mailing list (EXPN); returns the members as it wrote them."""
        buffer = ctypes.create_string_buffer(_EXPAND_CAPACITY)
        length = ctypes.c_size_t()
        result = library.SmtpExpandAddress(
            self._handle, encode("address", address), buffer, len(buffer), ctypes.byref(length)
        )
        if result == _tables.PENDING:
            self._finish(result)
            return []
        if result == CODES["SMTP_ERROR_BUFFER_TOO_SMALL"]:
            # The command was a success: it is not sent a second time for a larger buffer.
            self._finish(0)
            return self.result_string.split("\n")
        self._finish(result)
        return ctypes.string_at(buffer, length.value).decode("utf-8", "replace").split("\n")

    def help(self, topic: str = "") -> str:
        """Asks the server to explain itself (HELP); returns its text."""
        buffer = ctypes.create_string_buffer(_EXPAND_CAPACITY)
        length = ctypes.c_size_t()
        result = library.SmtpHelp(self._handle, encode("topic", topic), buffer, len(buffer), ctypes.byref(length))
        self._finish(result)
        return ctypes.string_at(buffer, length.value).decode("utf-8", "replace")

    def extended_turn(self, node: str) -> Tuple[int, str]:
        """Has the server send the mail that it holds for a node (ETRN); returns the reply's code and text."""
        return self._reply(library.SmtpExtendedTurn(self._handle, encode("node", node)))

    def disconnect(self) -> bool:
        """Says QUIT and closes the connection; the client can connect again."""
        return self._finish(library.SmtpDisconnect(self._handle))

    def reset(self) -> bool:
        """Makes the server forget a transaction that was begun (RSET)."""
        return self._finish(library.SmtpReset(self._handle))

    def poll_info(self) -> Optional[PollInfo]:
        """What the pending operation waits for; None if none is pending. To be asked after every step."""
        info = SmtpPollInfo(size=ctypes.sizeof(SmtpPollInfo))
        result = library.SmtpGetPollInfo(self._handle, ctypes.byref(info))
        self._check_read(result)
        if result != _tables.PENDING:
            return None
        return PollInfo(
            info.descriptor,
            info.events & _tables.POLL_READ != 0,
            info.events & _tables.POLL_WRITE != 0,
            None if info.timeout_ms < 0 else info.timeout_ms / 1000,
        )

    def process(self) -> bool:
        """Goes on with the pending operation: True if it is over, False if it has to wait again.

        It raises what the operation's own method would raise in blocking mode, and
        CallerError if no operation is pending. It may be called at any time.
        """
        with self._keeping:
            kept = self._kept
            if kept is None or kept.in_step:
                result = library.SmtpProcess(self._handle)
            else:
                result = self._step(kept, lambda: library.SmtpProcess(self._handle))
        return self._finish(result, goes_on=True)

    def cancel(self) -> None:
        """Ends the call that runs on this client in another thread, or around this callback.

        A pending operation ends too: its descriptor is ready, and ``process`` raises.
        """
        self._check(library.SmtpCancel(self._handle))

    def on_event(self, callback: Optional[EventCallback], mask: int = ALL_EVENTS) -> None:
        """Has a callback told of the events in the mask (EVENT_ bits); None removes it.

        The callback takes an Event; it returns True to cancel the running call. What
        it raises cancels the call too, and is raised by the method that made the
        call. Of this client, it may call ``cancel`` and read properties.
        """
        mask = in_range("mask", mask, 1 << 32)
        if callback is None:
            self._check(library.SmtpRegisterEvent(self._handle, mask, SmtpEventCallback(), None, SmtpDestroyCallback()))
            return
        if not callable(callback):
            raise TypeError(f"callback must be callable, not {type(callback).__name__}")
        number = next(_numbers)
        registration = _Registration(callback, self._raised, self._callbacks)
        # Before the call, since the library gives the number back even if it fails.
        _registrations[number] = self._callbacks[number] = registration
        self._check(library.SmtpRegisterEvent(self._handle, mask, _deliver_callback, number, _forget_callback))

    def on_trace(self, callback: Optional[TraceCallback]) -> None:
        """Has a callback told of every record of the conversation; None removes it.

        The callback takes a TraceRecord; all else is as for ``on_event``. Passwords
        are masked, unless ``insecure_trace_secrets`` says otherwise.
        """
        if callback is None:
            self._check(library.SmtpRegisterTrace(self._handle, SmtpTraceCallback(), None, SmtpDestroyCallback()))
            return
        if not callable(callback):
            raise TypeError(f"callback must be callable, not {type(callback).__name__}")
        number = next(_numbers)
        registration = _Registration(callback, self._raised, self._callbacks)
        # As in on_event.
        _registrations[number] = self._callbacks[number] = registration
        self._check(library.SmtpRegisterTrace(self._handle, _deliver_record_callback, number, _forget_callback))

    def on_token(self, callback: Optional[TokenCallback]) -> None:
        """Has a callback asked for an OAuth token when a login takes one; None removes it.

        The callback takes True if the server has just refused the token that it gave
        before, else False, and returns the token; after True the login is repeated
        once. What it raises is raised by the method that logs in. Of this client,
        it may call ``cancel`` and read properties.
        """
        if callback is None:
            no_callback = SmtpTokenCallback(), None, SmtpDestroyCallback()
            self._check(library.SmtpRegisterTokenProvider(self._handle, *no_callback))
            return
        if not callable(callback):
            raise TypeError(f"callback must be callable, not {type(callback).__name__}")
        number = next(_numbers)
        registration = _Registration(callback, self._raised, self._callbacks)
        # As in on_event.
        _registrations[number] = self._callbacks[number] = registration
        arguments = _deliver_token_callback, number, _forget_callback
        self._check(library.SmtpRegisterTokenProvider(self._handle, *arguments))

    @property
    def transfer_status(self) -> TransferStatus:
        """How far the content of the message under way is, or of the last one."""
        facts = SmtpTransferStatus(size=ctypes.sizeof(SmtpTransferStatus))
        self._check_read(library.SmtpGetTransferStatus(self._handle, ctypes.byref(facts)))
        return TransferStatus(
            facts.active != 0,
            facts.bytes_total,
            facts.bytes_copied,
            facts.bytes_per_second,
            facts.time_elapsed_ms / 1000,
            facts.time_estimated_ms / 1000,
        )

    @property
    def security_information(self) -> SecurityInformation:
        """What protects the connection; the texts about it are properties, such as ``tls_cipher``."""
        facts = SmtpSecurityInfo(size=ctypes.sizeof(SmtpSecurityInfo))
        self._check_read(library.SmtpGetSecurityInformation(self._handle, ctypes.byref(facts)))
        return SecurityInformation(
            facts.protocol, facts.cipher_strength, facts.hash_strength, facts.certificate_status, facts.verified != 0
        )

    def enable_trace(self, path: Union[str, os.PathLike[str]], flags: int = 0) -> None:
        """Has the conversation appended to a file: ``trace_file`` and ``trace_flags`` at once. The flags are TRACE_ bits."""
        self._check(
            library.SmtpEnableTrace(self._handle, encode("path", os.fspath(path)), in_range("flags", flags, 1 << 32))
        )

    def disable_trace(self) -> None:
        """Ends the trace to a file."""
        self._check(library.SmtpDisableTrace(self._handle))

    def clear_error(self) -> None:
        """Forgets the last failure."""
        self._check(library.SmtpSetLastError(self._handle, 0))

    def close(self) -> None:
        """Releases the client; a connection is closed without QUIT. May be called again."""
        result = library.SmtpClientRelease(self._handle)
        # From within its own callback it is not released.
        self._is_closed = result != CODES["SMTP_ERROR_REENTRANT"]
        # The handle is kept: the library knows it as one that was released, and says so.
        if result < 0 and result not in (CODES["SMTP_ERROR_INVALID_HANDLE"], CODES["SMTP_ERROR_FORKED"]):
            raise self._error(result)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        try:
            if self.is_connected:
                self.disconnect()
        except Exception as failure:
            # After close in the block there is nothing left to do.
            closed = isinstance(failure, SmtpError) and failure.code == CODES["SMTP_ERROR_INVALID_HANDLE"]
            if error is None and not closed:
                raise
        finally:
            self.close()

    def __del__(self) -> None:
        try:
            # A child process leaves its parent's clients alone.
            if not self._is_closed and self._process == os.getpid():
                library.SmtpClientRelease(self._handle)
        except Exception:
            # The interpreter may be half gone; there is nobody to tell.
            pass

    def _check(self, result: int) -> None:
        if result < 0:
            raise self._error(result)

    def _run(self, kept: _Kept, call: Callable[[], int]) -> bool:
        """As _finish, for an operation that needs more than its arguments for as long as it is pending."""
        with self._keeping:
            result = self._step(kept, call)
        return self._finish(result)

    def _step(self, kept: _Kept, call: Callable[[], int]) -> int:
        try:
            kept.begin_step()
            result = call()
            if result == _tables.PENDING:
                self._kept = kept
            elif result != CODES["SMTP_ERROR_REENTRANT"]:
                kept.end(result)
                self._kept = None if self._kept is kept else self._kept
            return result
        finally:
            # What a signal's handler raises comes out here, when all is known.
            kept.end_step()

    def _reply(self, result: int) -> Tuple[int, str]:
        return (self.result_code, self.result_string) if self._finish(result) else (0, "")

    def _finish(self, result: int, goes_on: bool = False) -> bool:
        """As _check, for calls that run callbacks: what one of them raised comes first. False if it is pending."""
        from_attachment = pop_raised()
        if from_attachment is not None:
            self._raised.setdefault(threading.get_ident(), from_attachment)
        # A call from within a callback is refused, and leaves what an earlier
        # callback raised to the call around it.
        if self._raised and result != CODES["SMTP_ERROR_REENTRANT"]:
            raised = self._raised.pop(threading.get_ident(), None)
            if result == _tables.PENDING and raised is not None:
                # It is cancelled, and over when somebody goes on with it.
                self._raised.setdefault(_ANY_THREAD, raised)
                return False
            if result != _tables.PENDING and goes_on:
                raised = self._raised.pop(_ANY_THREAD, None) or raised
            if raised is not None:
                raise raised
        self._check(result)
        return result != _tables.PENDING

    def _check_read(self, result: int) -> None:
        """As _check, for reading a property: without the record, which is made of properties."""
        if result < 0:
            raise self._bare_error(result)

    def _bare_error(self, code: int) -> SmtpError:
        # This thread's own last call first: no other thread can change it. A
        # finalizer that ran since then can, though, so its code is compared.
        sentence: bytes = library.SmtpGetLastErrorString(None)
        if library.SmtpGetLastError(None) != code:
            sentence = self._last_sentence()
        return make_error(code, sentence.decode("utf-8", "replace"))

    def _error(self, code: int) -> SmtpError:
        """The exception for the failure that this thread has just met."""
        error = self._bare_error(code)
        # The parts are the client's, and another thread may have failed since:
        # they count only if the client tells of this failure before and after.
        if self._tells_of(error):
            try:
                record = self._record()
            except SmtpError:
                return error
            if self._tells_of(error):
                for name, value in record.items():
                    setattr(error, name, value)
        return error

    def _tells_of(self, error: SmtpError) -> bool:
        code: int = library.SmtpGetLastError(self._handle)
        return code == error.code and self._last_sentence().decode("utf-8", "replace") == error.message

    def _last_sentence(self) -> bytes:
        sentence: bytes = library.SmtpGetLastErrorString(self._handle)
        return sentence

    def _record(self) -> Dict[str, Any]:
        return {
            "error_class": self.error_class,
            "phase": self.error_phase,
            "result_code": self.error_result_code,
            "enhanced_code": self.error_enhanced_code,
            "reply": self.error_reply,
            "os_error": self.error_os,
            "tls_reason": self.error_tls_reason,
            "address": self.error_address,
            "remedy": self.error_remedy,
            "attempts": tuple(_name_and_reason(line) for line in _lines(self.error_attempts)),
            "offered": tuple(_lines(self.error_offered)),
            "skipped": tuple(_name_and_reason(line) for line in _lines(self.error_skipped)),
            "outcome": self.outcome,
            "safe_to_retry": self.safe_to_retry,
        }
