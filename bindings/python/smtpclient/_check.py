"""What is wrong with a message, and DKIM signatures."""

from __future__ import annotations

import ctypes
import json
import os
from dataclasses import dataclass
from typing import Callable, Iterable, List, Optional, Union

from ._errors import CODES, make_error
from ._library import library
from ._properties import encode, in_range

Octets = Union[bytes, bytearray, memoryview]
Path = Union[str, "os.PathLike[str]"]

# More than all but unusual signatures and reports have.
_FIRST_CAPACITY = 16 * 1024


@dataclass(frozen=True)
class Finding:
    """What is wrong with a message, one of it."""

    #: One of the CHECK_ constants.
    code: int
    #: Its name, such as "BARE_LINE_END".
    name: str
    #: "ERROR", "WARNING" or "HINT".
    severity: str
    #: The line where it is, or is first, from 1; 0 if it is of the message as a whole.
    line: int
    #: The part: 0 is the message's own header, parts follow as they begin.
    part: int
    #: How often it is there.
    count: int
    #: The name of the header field, or empty.
    header: str
    #: What was found, in words.
    what: str
    #: What to do about it.
    remedy: str


def findings(text: str) -> List[Finding]:
    """The findings of the library's JSON."""
    return [Finding(**found) for found in json.loads(text)["findings"]]


def _copy(get: Callable[..., int]) -> bytes:
    length = ctypes.c_size_t()
    buffer = ctypes.create_string_buffer(_FIRST_CAPACITY)
    while True:
        result = get(buffer, len(buffer), ctypes.byref(length))
        if result == CODES["SMTP_ERROR_BUFFER_TOO_SMALL"] and length.value >= len(buffer):
            buffer = ctypes.create_string_buffer(length.value + 1)
        elif result < 0:
            sentence: bytes = library.SmtpGetLastErrorString(None)
            raise make_error(result, sentence.decode("utf-8", "replace"))
        else:
            return buffer.raw[: length.value]


def _octets(message: Octets) -> bytes:
    if isinstance(message, (bytes, bytearray, memoryview)):
        return bytes(message)
    raise TypeError(f"message must be bytes, bytearray or memoryview, not {type(message).__name__}")


def check_message(message: Octets, limit: int = 0) -> List[Finding]:
    """Looks for what is wrong with a message in memory; the limit is the most octets that it may have, or 0."""
    octets, limit = _octets(message), in_range("limit", limit, 1 << 64)
    found = _copy(lambda *room: library.SmtpCheckMessage(octets, len(octets), limit, *room))
    return findings(found.decode("utf-8"))


def check_file(path: Path, limit: int = 0) -> List[Finding]:
    """As check_message, of a message in a file, of which little is in memory at a time."""
    name, limit = encode("path", os.fspath(path)), in_range("limit", limit, 1 << 64)
    return findings(_copy(lambda *room: library.SmtpCheckFile(name, limit, *room)).decode("utf-8"))


def signing_arguments(
    domain: str,
    selector: str,
    key: Union[str, bytes, "os.PathLike[str]"],
    password: Optional[str],
    canonicalization: Optional[str],
    headers: Optional[Iterable[str]],
    identity: Optional[str],
    time: Optional[int],
    expires: Optional[Union[int, str]],
) -> List[Optional[bytes]]:
    """The arguments of the library's functions that sign."""
    if isinstance(headers, str):
        raise TypeError("headers must be an iterable of str, not str")
    options = []
    for name, value in (
        ("c", canonicalization),
        ("h", None if headers is None else ":".join(headers)),
        ("i", identity),
        ("t", None if time is None else str(time)),
        ("x", None if expires is None else str(expires)),
    ):
        if value is not None:
            if ";" in value:
                raise ValueError(f"{value!r} has a semicolon, which separates options")
            options.append(f"{name}={value}")
    text = key.decode("ascii") if isinstance(key, bytes) else os.fspath(key)
    return [
        encode("domain", domain),
        encode("selector", selector),
        encode("key", text),
        None if password is None else encode("password", password),
        encode("options", ";".join(options)),
    ]


def sign_message(
    message: Octets,
    domain: str,
    selector: str,
    key: Union[str, bytes, "os.PathLike[str]"],
    password: Optional[str] = None,
    *,
    canonicalization: Optional[str] = None,
    headers: Optional[Iterable[str]] = None,
    identity: Optional[str] = None,
    time: Optional[int] = None,
    expires: Optional[Union[int, str]] = None,
) -> bytes:
    """Makes the DKIM-Signature field of a message in memory, to be put in front of it.

    The key is the text of an RSA or Ed25519 key in PEM form, or the path of a file with it. headers
    are the names of the fields to sign, a name as often as wanted; expires is a time in seconds,
    or "+seconds".
    """
    octets = _octets(message)
    arguments = signing_arguments(
        domain, selector, key, password, canonicalization, headers, identity, time, expires
    )
    return _copy(lambda *room: library.SmtpSignMessage(octets, len(octets), *arguments, *room))


def sign_file(
    path: Path,
    domain: str,
    selector: str,
    key: Union[str, bytes, "os.PathLike[str]"],
    password: Optional[str] = None,
    *,
    canonicalization: Optional[str] = None,
    headers: Optional[Iterable[str]] = None,
    identity: Optional[str] = None,
    time: Optional[int] = None,
    expires: Optional[Union[int, str]] = None,
) -> bytes:
    """As sign_message, of a message in a file, of which little is in memory at a time."""
    name = encode("path", os.fspath(path))
    arguments = signing_arguments(
        domain, selector, key, password, canonicalization, headers, identity, time, expires
    )
    return _copy(lambda *room: library.SmtpSignFile(name, *arguments, *room))
