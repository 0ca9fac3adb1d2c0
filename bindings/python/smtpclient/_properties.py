"""Properties of the library as attributes of a client."""

from __future__ import annotations

import operator
from ctypes import byref, c_int64, c_size_t, create_string_buffer
from typing import TYPE_CHECKING, Any, NoReturn, Optional, Type, TypeVar, Union, overload

from . import _tables
from ._errors import refuse
from ._library import library

if TYPE_CHECKING:
    from ._batch import Batch
    from ._client import Client

# The text of one property may grow between asking for its length and reading
# it; a buffer that is too small would count as the client's last failure.
_ROOM_TO_GROW = 1024

_INTEGER_LIMIT = 1 << 63


def encode(name: str, value: str) -> bytes:
    """A text as the library takes it."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be str, not {type(value).__name__}")
    if "\0" in value:
        # The library would see the part before it only.
        raise refuse(name, "must not contain a NUL")
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise refuse(name, f"cannot be written in UTF-8: {error.reason} at {error.start}") from None


def in_range(name: str, value: int, limit: int) -> int:
    """An integer that fits; ctypes would cut it to its lowest bits without a word."""
    number = operator.index(value)
    if not 0 <= number < limit:
        raise refuse(name, f"must be from 0 to {limit - 1}, not {number}")
    return number


def read_text(client: Union[Client, Batch], getter: Any, *which: Union[int, bytes]) -> str:
    """The text that a getter of the library copies to a buffer."""
    length = c_size_t()
    client._check_read(getter(client._handle, *which, None, 0, byref(length)))
    buffer = create_string_buffer(length.value + _ROOM_TO_GROW)
    client._check_read(getter(client._handle, *which, buffer, len(buffer), byref(length)))
    return buffer.raw[: length.value].decode("utf-8", "replace")


def get_text(client: Client, property_id: int) -> str:
    return read_text(client, library.SmtpGetString, property_id)


def get_integer(client: Client, property_id: int) -> int:
    value = c_int64()
    client._check_read(library.SmtpGetInteger(client._handle, property_id, byref(value)))
    return value.value


_Self = TypeVar("_Self", bound="_Property")


class _Property:
    """Common to all: the row of the table with the attribute's name."""

    kind = ""
    access = ""
    name: str
    row: _tables.PropertyRow

    def __set_name__(self, owner: Type[Any], name: str) -> None:
        self.name = name
        self.row = _tables.PROPERTIES[name]
        self.__doc__ = self.row.doc

    def _refuse_to_set(self) -> NoReturn:
        raise AttributeError(f"{self.name} can only be read")


class _ReadOnlyText(_Property):
    kind, access = "text", "r"

    @overload
    def __get__(self: _Self, client: None, owner: Any = None) -> _Self: ...
    @overload
    def __get__(self, client: Client, owner: Any = None) -> str: ...
    def __get__(self, client: Optional[Client], owner: Any = None) -> Union[str, _Property]:
        return self if client is None else get_text(client, self.row.id)

    # Without it, an assignment would hide the property in a subclass's instance.
    def __set__(self, client: Client, value: NoReturn) -> None:
        self._refuse_to_set()


class _Text(_ReadOnlyText):
    access = "rw"

    def __set__(self, client: Client, value: str) -> None:
        client._check(library.SmtpSetString(client._handle, self.row.id, encode(self.name, value)))


class _WriteOnlyText(_Property):
    kind, access = "text", "w"

    @overload
    def __get__(self: _Self, client: None, owner: Any = None) -> _Self: ...
    @overload
    def __get__(self, client: Client, owner: Any = None) -> NoReturn: ...
    def __get__(self, client: Optional[Client], owner: Any = None) -> _Property:
        if client is None:
            return self
        raise AttributeError(f"{self.name} can only be set")

    def __set__(self, client: Client, value: str) -> None:
        client._check(library.SmtpSetString(client._handle, self.row.id, encode(self.name, value)))


class _Data(_WriteOnlyText):
    """Octets, or a text."""

    def __set__(self, client: Client, value: Union[str, bytes]) -> None:
        octets = value if isinstance(value, bytes) else encode(self.name, value)
        client._check(library.SmtpSetData(client._handle, self.row.id, octets, len(octets)))


class _ReadOnlyInteger(_Property):
    kind, access = "integer", "r"

    @overload
    def __get__(self: _Self, client: None, owner: Any = None) -> _Self: ...
    @overload
    def __get__(self, client: Client, owner: Any = None) -> int: ...
    def __get__(self, client: Optional[Client], owner: Any = None) -> Union[int, _Property]:
        return self if client is None else get_integer(client, self.row.id)

    def __set__(self, client: Client, value: NoReturn) -> None:
        self._refuse_to_set()


class _Integer(_ReadOnlyInteger):
    access = "rw"

    def __set__(self, client: Client, value: int) -> None:
        number = operator.index(value)
        if not -_INTEGER_LIMIT <= number < _INTEGER_LIMIT:
            raise refuse(self.name, f"must fit into 64 bits, and {number} does not")
        client._check(library.SmtpSetInteger(client._handle, self.row.id, number))


class _SignedInteger(_Integer):
    """An integer that may be negative."""

    def __set__(self, client: Client, value: int) -> None:
        number = operator.index(value)
        if not -_INTEGER_LIMIT <= number < _INTEGER_LIMIT:
            raise refuse(self.name, f"must be from {-_INTEGER_LIMIT} to {_INTEGER_LIMIT - 1}, not {number}")
        client._check(library.SmtpSetInteger(client._handle, self.row.id, number))


class _ReadOnlyFlag(_Property):
    """An integer that is 0 or 1."""

    kind, access = "integer", "r"

    @overload
    def __get__(self: _Self, client: None, owner: Any = None) -> _Self: ...
    @overload
    def __get__(self, client: Client, owner: Any = None) -> bool: ...
    def __get__(self, client: Optional[Client], owner: Any = None) -> Union[bool, _Property]:
        return self if client is None else get_integer(client, self.row.id) != 0

    def __set__(self, client: Client, value: NoReturn) -> None:
        self._refuse_to_set()


class _Flag(_ReadOnlyFlag):
    access = "rw"

    def __set__(self, client: Client, value: bool) -> None:
        number = in_range(self.name, value, 2)
        client._check(library.SmtpSetInteger(client._handle, self.row.id, number))
