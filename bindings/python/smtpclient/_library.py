"""Finding, loading and declaring the shared library."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
from ctypes import CFUNCTYPE, POINTER, c_char, c_char_p, c_int32, c_int64, c_size_t, c_ssize_t, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any, Dict, List, Tuple

from . import _tables


class SmtpEvent(ctypes.Structure):
    """What the library tells a callback."""

    # The text is a pointer and not c_char_p, which would stop at the first NUL.
    _fields_ = [
        ("size", c_uint32),
        ("event", c_uint32),
        ("error", c_int32),
        ("result_code", c_int32),
        ("text", c_void_p),
        ("text_length", c_size_t),
        ("bytes_copied", c_uint64),
        ("bytes_total", c_uint64),
        ("recipient", c_uint32),
        ("recipient_state", c_uint32),
        ("reply", c_void_p),
        ("reply_length", c_size_t),
        ("message", c_uint32),
        ("outcome", c_uint32),
    ]


class SmtpTraceRecord(ctypes.Structure):
    """What the library tells of one record of the conversation."""

    _fields_ = [
        ("size", c_uint32),
        ("direction", c_uint32),
        ("time_ms", c_uint64),
        ("result_code", c_int32),
        ("reserved", c_uint32),
        ("text", c_void_p),
        ("text_length", c_size_t),
    ]


class SmtpTransferStatus(ctypes.Structure):
    """How far the content of a message is."""

    _fields_ = [
        ("size", c_uint32),
        ("active", c_uint32),
        ("bytes_total", c_uint64),
        ("bytes_copied", c_uint64),
        ("bytes_per_second", c_uint64),
        ("time_elapsed_ms", c_uint64),
        ("time_estimated_ms", c_uint64),
    ]


class SmtpSecurityInfo(ctypes.Structure):
    """What protects the connection."""

    _fields_ = [
        ("size", c_uint32),
        ("protocol", c_uint32),
        ("cipher_strength", c_uint32),
        ("hash_strength", c_uint32),
        ("certificate_status", c_uint32),
        ("verified", c_uint32),
    ]


class SmtpRecipient(ctypes.Structure):
    """What the library tells of one recipient of the last message."""

    _fields_ = [
        ("size", c_uint32),
        ("state", c_uint32),
        ("result_code", c_int32),
        ("enhanced_class", c_int32),
        ("enhanced_subject", c_int32),
        ("enhanced_detail", c_int32),
    ]


class SmtpBatchResult(ctypes.Structure):
    """What the library tells of one message of a batch."""

    _fields_ = [
        ("size", c_uint32),
        ("code", c_int32),
        ("outcome", c_uint32),
        ("safe_to_retry", c_uint32),
        ("result_code", c_int32),
        ("enhanced_class", c_int32),
        ("enhanced_subject", c_int32),
        ("enhanced_detail", c_int32),
        ("recipients", c_uint32),
        ("recipients_accepted", c_uint32),
        ("recipients_refused", c_uint32),
    ]


class SmtpMessageInfo(ctypes.Structure):
    """The message for SmtpSubmitMessage."""

    # What it points to must be kept by whoever fills it in.
    _fields_ = [
        ("size", c_uint32),
        ("reserved", c_uint32),
        ("sender", c_char_p),
        ("recipients", c_char_p),
        ("message", c_void_p),
        ("length", c_size_t),
        ("path", c_char_p),
    ]


class SmtpServerInfo(ctypes.Structure):
    """The server for SmtpSubmitMessage."""

    _fields_ = [
        ("size", c_uint32),
        ("port", c_uint32),
        ("host", c_char_p),
        ("user", c_char_p),
        ("password", c_char_p),
        ("timeout_ms", c_uint32),
        ("options", c_uint32),
    ]


class SmtpMessagePart(ctypes.Structure):
    """Where a part of a message is among the others."""

    _fields_ = [
        ("size", c_uint32),
        ("depth", c_uint32),
        ("parent", c_int64),
        ("has_content", c_uint32),
        ("is_attachment", c_uint32),
    ]


class SmtpPollInfo(ctypes.Structure):
    """What an event loop has to wait for."""

    _fields_ = [
        ("size", c_uint32),
        ("events", c_uint32),
        ("descriptor", c_int64),
        ("timeout_ms", c_int64),
    ]


SmtpEventCallback = CFUNCTYPE(c_int32, POINTER(SmtpEvent), c_void_p)
SmtpTraceCallback = CFUNCTYPE(c_int32, POINTER(SmtpTraceRecord), c_void_p)
SmtpDestroyCallback = CFUNCTYPE(None, c_void_p)
SmtpTokenCallback = CFUNCTYPE(c_int64, POINTER(c_char), c_size_t, c_uint32, c_void_p)
SmtpReadCallback = CFUNCTYPE(c_int64, c_void_p, c_size_t, c_void_p)
SmtpRewindCallback = CFUNCTYPE(c_int32, c_void_p)
SmtpWriteCallback = CFUNCTYPE(c_int32, c_void_p, c_size_t, c_void_p)

_CLIENT = c_void_p
_BATCH = c_void_p
_MESSAGE = c_void_p

# Name: (result, arguments), in the order of the header.
FUNCTIONS: Dict[str, Tuple[Any, List[Any]]] = {
    "SmtpRegisterEvent": (c_int32, [_CLIENT, c_uint32, SmtpEventCallback, c_void_p, SmtpDestroyCallback]),
    "SmtpDisableEvents": (c_int32, [_CLIENT]),
    "SmtpGetVersion": (c_char_p, []),
    "SmtpGetAbiVersion": (c_uint32, []),
    "SmtpClientCreate": (_CLIENT, []),
    "SmtpClientRelease": (c_int32, [_CLIENT]),
    "SmtpConnect": (c_int32, [_CLIENT, c_char_p, c_uint32, c_uint32, c_uint32]),
    "SmtpAttachSocket": (c_int32, [_CLIENT, c_ssize_t, c_char_p, c_uint32]),
    "SmtpAuthenticate": (c_int32, [_CLIENT, c_char_p, c_char_p]),
    "SmtpSetData": (c_int32, [_CLIENT, c_uint32, c_void_p, c_size_t]),
    "SmtpGetCertificate": (c_int32, [_CLIENT, c_size_t, c_void_p, c_size_t, POINTER(c_size_t)]),
    "SmtpGetCertificateString": (
        c_int32,
        [_CLIENT, c_size_t, c_uint32, POINTER(c_char), c_size_t, POINTER(c_size_t)],
    ),
    "SmtpGetCapability": (c_int32, [_CLIENT, c_char_p, POINTER(c_char), c_size_t, POINTER(c_size_t)]),
    "SmtpGetExtendedOptions": (c_int32, [_CLIENT, POINTER(c_uint64)]),
    "SmtpSendMessage": (c_int32, [_CLIENT, c_char_p, c_char_p, c_void_p, c_size_t]),
    "SmtpSendFile": (c_int32, [_CLIENT, c_char_p, c_char_p, c_char_p]),
    "SmtpSendStream": (c_int32, [_CLIENT, c_char_p, c_char_p, c_uint64, SmtpReadCallback, c_void_p]),
    "SmtpCreateMessage": (c_int32, [_CLIENT, c_char_p, c_uint64]),
    "SmtpAddRecipient": (c_int32, [_CLIENT, c_char_p]),
    "SmtpWrite": (c_int32, [_CLIENT, c_void_p, c_size_t]),
    "SmtpAppendMessage": (c_int32, [_CLIENT, c_void_p, c_size_t]),
    "SmtpAppendFile": (c_int32, [_CLIENT, c_char_p]),
    "SmtpAppendStream": (c_int32, [_CLIENT, SmtpReadCallback, c_void_p]),
    "SmtpCloseMessage": (c_int32, [_CLIENT]),
    "SmtpSubmitMessage": (c_int32, [_CLIENT, POINTER(SmtpMessageInfo), POINTER(SmtpServerInfo)]),
    "SmtpSetRecipientDelivery": (c_int32, [_CLIENT, c_char_p, c_uint32, c_char_p]),
    "SmtpCreateMessage": (c_int32, [_CLIENT, c_char_p, c_uint64]),
    "SmtpAddRecipient": (c_int32, [_CLIENT, c_char_p]),
    "SmtpWrite": (c_int32, [_CLIENT, c_void_p, c_size_t]),
    "SmtpAppendMessage": (c_int32, [_CLIENT, c_void_p, c_size_t]),
    "SmtpAppendFile": (c_int32, [_CLIENT, c_char_p]),
    "SmtpAppendStream": (c_int32, [_CLIENT, SmtpReadCallback, c_void_p]),
    "SmtpCloseMessage": (c_int32, [_CLIENT]),
    "SmtpSubmitMessage": (c_int32, [_CLIENT, POINTER(SmtpMessageInfo), POINTER(SmtpServerInfo)]),
    "SmtpGetPollInfo": (c_int32, [_CLIENT, POINTER(SmtpPollInfo)]),
    "SmtpProcess": (c_int32, [_CLIENT]),
    "SmtpGetRecipientCount": (c_int32, [_CLIENT, POINTER(c_size_t)]),
    "SmtpGetRecipient": (c_int32, [_CLIENT, c_size_t, POINTER(SmtpRecipient)]),
    "SmtpGetRecipientString": (
        c_int32,
        [_CLIENT, c_size_t, c_uint32, POINTER(c_char), c_size_t, POINTER(c_size_t)],
    ),
    "SmtpBatchCreate": (_BATCH, []),
    "SmtpBatchRelease": (c_int32, [_BATCH]),
    "SmtpBatchAdd": (c_int32, [_BATCH, c_char_p, c_char_p, c_void_p, c_size_t]),
    "SmtpBatchAddFile": (c_int32, [_BATCH, c_char_p, c_char_p, c_char_p]),
    "SmtpBatchClear": (c_int32, [_BATCH]),
    "SmtpBatchGetCount": (c_int32, [_BATCH, POINTER(c_size_t)]),
    "SmtpSendBatch": (c_int32, [_CLIENT, _BATCH]),
    "SmtpBatchGetResult": (c_int32, [_BATCH, c_size_t, POINTER(SmtpBatchResult)]),
    "SmtpBatchGetString": (
        c_int32,
        [_BATCH, c_size_t, c_uint32, POINTER(c_char), c_size_t, POINTER(c_size_t)],
    ),
    "SmtpBatchGetRecipient": (c_int32, [_BATCH, c_size_t, c_size_t, POINTER(SmtpRecipient)]),
    "SmtpBatchGetRecipientString": (
        c_int32,
        [_BATCH, c_size_t, c_size_t, c_uint32, POINTER(c_char), c_size_t, POINTER(c_size_t)],
    ),
    "SmtpCommand": (c_int32, [_CLIENT, c_char_p, c_char_p]),
    "SmtpNoop": (c_int32, [_CLIENT]),
    "SmtpVerifyAddress": (c_int32, [_CLIENT, c_char_p]),
    "SmtpExpandAddress": (c_int32, [_CLIENT, c_char_p, POINTER(c_char), c_size_t, POINTER(c_size_t)]),
    "SmtpHelp": (c_int32, [_CLIENT, c_char_p, POINTER(c_char), c_size_t, POINTER(c_size_t)]),
    "SmtpExtendedTurn": (c_int32, [_CLIENT, c_char_p]),
    "SmtpDisconnect": (c_int32, [_CLIENT]),
    "SmtpReset": (c_int32, [_CLIENT]),
    "SmtpCancel": (c_int32, [_CLIENT]),
    "SmtpGetLastError": (c_int32, [_CLIENT]),
    "SmtpGetLastErrorString": (c_char_p, [_CLIENT]),
    "SmtpCopyLastErrorString": (c_int32, [_CLIENT, POINTER(c_char), c_size_t, POINTER(c_size_t)]),
    "SmtpSetString": (c_int32, [_CLIENT, c_uint32, c_char_p]),
    "SmtpGetString": (c_int32, [_CLIENT, c_uint32, POINTER(c_char), c_size_t, POINTER(c_size_t)]),
    "SmtpSetInteger": (c_int32, [_CLIENT, c_uint32, c_int64]),
    "SmtpGetInteger": (c_int32, [_CLIENT, c_uint32, POINTER(c_int64)]),
    "SmtpGetErrorString": (c_int32, [c_int32, POINTER(c_char), c_size_t, POINTER(c_size_t)]),
    "SmtpSetLastError": (c_int32, [_CLIENT, c_int32]),
    "SmtpRegisterTokenProvider": (c_int32, [_CLIENT, SmtpTokenCallback, c_void_p, SmtpDestroyCallback]),
    "SmtpRegisterTrace": (c_int32, [_CLIENT, SmtpTraceCallback, c_void_p, SmtpDestroyCallback]),
    "SmtpEnableTrace": (c_int32, [_CLIENT, c_char_p, c_uint32]),
    "SmtpDisableTrace": (c_int32, [_CLIENT]),
    "SmtpGetTransferStatus": (c_int32, [_CLIENT, POINTER(SmtpTransferStatus)]),
    "SmtpGetStatus": (c_int32, [_CLIENT]),
    "SmtpIsConnected": (c_int32, [_CLIENT]),
    "SmtpGetResultCode": (c_int32, [_CLIENT]),
    "SmtpGetResultString": (c_int32, [_CLIENT, POINTER(c_char), c_size_t, POINTER(c_size_t)]),
    "SmtpGetSecurityInformation": (c_int32, [_CLIENT, POINTER(SmtpSecurityInfo)]),
    "SmtpGetTimeout": (c_int32, [_CLIENT]),
    "SmtpSetTimeout": (c_int32, [_CLIENT, c_uint32]),
    "SmtpGetDeliveryOptions": (c_int32, [_CLIENT]),
    "SmtpSetDeliveryOptions": (c_int32, [_CLIENT, c_uint32]),
    "SmtpGetCurrentDate": (c_int32, [POINTER(c_char), c_size_t, POINTER(c_size_t)]),
    "SmtpMessageCreate": (_MESSAGE, []),
    "SmtpMessageRelease": (c_int32, [_MESSAGE]),
    "SmtpMessageClear": (c_int32, [_MESSAGE]),
    "SmtpMessageCompose": (c_int32, [_MESSAGE] + [c_char_p] * 7),
    "SmtpMessageSetText": (c_int32, [_MESSAGE, c_char_p]),
    "SmtpMessageSetHtml": (c_int32, [_MESSAGE, c_char_p]),
    "SmtpMessageSetCalendar": (c_int32, [_MESSAGE, c_char_p, c_char_p]),
    "SmtpMessageGetText": (c_int32, [_MESSAGE, POINTER(c_char), c_size_t, POINTER(c_size_t)]),
    "SmtpMessageGetHtml": (c_int32, [_MESSAGE, POINTER(c_char), c_size_t, POINTER(c_size_t)]),
    "SmtpMessageSetInteger": (c_int32, [_MESSAGE, c_uint32, c_int64]),
    "SmtpMessageGetInteger": (c_int32, [_MESSAGE, c_uint32, POINTER(c_int64)]),
    "SmtpMessageSetUnsubscribe": (c_int32, [_MESSAGE, c_char_p, c_char_p, c_uint32]),
    "SmtpMessageSetReadReceipt": (c_int32, [_MESSAGE, c_char_p]),
    "SmtpMessageSetHeader": (c_int32, [_MESSAGE, c_char_p, c_char_p]),
    "SmtpMessageAddHeader": (c_int32, [_MESSAGE, c_char_p, c_char_p]),
    "SmtpMessageGetHeader": (
        c_int32,
        [_MESSAGE, c_char_p, c_size_t, POINTER(c_char), c_size_t, POINTER(c_size_t)],
    ),
    "SmtpMessageGetHeaderCount": (c_int32, [_MESSAGE, POINTER(c_size_t)]),
    "SmtpMessageGetHeaderName": (c_int32, [_MESSAGE, c_size_t, POINTER(c_char), c_size_t, POINTER(c_size_t)]),
    "SmtpMessageGetHeaderValue": (c_int32, [_MESSAGE, c_size_t, POINTER(c_char), c_size_t, POINTER(c_size_t)]),
    "SmtpMessageSetHeaderValue": (c_int32, [_MESSAGE, c_size_t, c_char_p]),
    "SmtpMessageRemoveHeader": (c_int32, [_MESSAGE, c_char_p]),
    "SmtpMessageRemoveHeaderAt": (c_int32, [_MESSAGE, c_size_t]),
    "SmtpMessageAttach": (c_int32, [_MESSAGE, c_char_p, c_char_p, c_char_p, c_void_p, c_size_t]),
    "SmtpMessageAttachFile": (c_int32, [_MESSAGE, c_char_p, c_char_p, c_char_p, c_char_p]),
    "SmtpMessageAttachReader": (
        c_int32,
        [
            _MESSAGE,
            c_char_p,
            c_char_p,
            c_char_p,
            c_uint64,
            SmtpReadCallback,
            SmtpRewindCallback,
            c_void_p,
            SmtpDestroyCallback,
        ],
    ),
    "SmtpMessageAttachMessage": (c_int32, [_MESSAGE, _MESSAGE, c_char_p]),
    "SmtpMessageGetPartCount": (c_int32, [_MESSAGE, POINTER(c_size_t)]),
    "SmtpMessageGetPart": (c_int32, [_MESSAGE, c_size_t, POINTER(SmtpMessagePart)]),
    "SmtpMessageGetPartString": (
        c_int32,
        [_MESSAGE, c_size_t, c_uint32, POINTER(c_char), c_size_t, POINTER(c_size_t)],
    ),
    "SmtpMessageGetPartContent": (c_int32, [_MESSAGE, c_size_t, c_void_p, c_size_t, POINTER(c_size_t)]),
    "SmtpMessageSavePart": (c_int32, [_MESSAGE, c_size_t, c_char_p]),
    "SmtpMessageLoad": (c_int32, [_MESSAGE, c_void_p, c_size_t]),
    "SmtpMessageLoadFile": (c_int32, [_MESSAGE, c_char_p]),
    "SmtpMessageLoadStream": (c_int32, [_MESSAGE, SmtpReadCallback, c_void_p]),
    "SmtpMessageGetSize": (c_int32, [_MESSAGE, c_uint32, POINTER(c_uint64)]),
    "SmtpMessageExport": (c_int32, [_MESSAGE, c_uint32, c_void_p, c_size_t, POINTER(c_size_t)]),
    "SmtpMessageExportFile": (c_int32, [_MESSAGE, c_uint32, c_char_p]),
    "SmtpMessageExportStream": (c_int32, [_MESSAGE, c_uint32, SmtpWriteCallback, c_void_p]),
    "SmtpSendComposed": (c_int32, [_CLIENT, _MESSAGE]),
}

# Where to load the library from, whatever else is there.
ENVIRONMENT = "SMTPCLIENT_LIBRARY"


class LibraryError(ImportError):
    """The shared library was not found, or is not the one that this package was made for."""


def _file_names() -> List[str]:
    # The name that carries the ABI number first: it cannot be another ABI's.
    abi = _tables.ABI_VERSION
    if sys.platform == "win32":
        return ["smtpclient.dll"]
    if sys.platform == "darwin":
        return [f"libsmtpclient.{abi}.dylib", "libsmtpclient.dylib"]
    return [f"libsmtpclient.so.{abi}", "libsmtpclient.so"]


def _candidates() -> List[str]:
    """The places to look at, best first."""
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        # Nothing behind it: a wrong path must not end in another library, silently.
        return [chosen]
    here = Path(__file__).resolve().parent
    directories = [here]
    for parent in here.parents:
        if (parent / "Cargo.toml").is_file():
            directories.append(parent / "target" / "release")
            break
    places = [str(directory / name) for directory in directories for name in _file_names()]
    # A bare name is for the system's loader, which has its own list of directories.
    places.append(_file_names()[0])
    found = ctypes.util.find_library("smtpclient")
    return places + [found] if found and found not in places else places


def _open() -> ctypes.CDLL:
    looked = []
    for place in _candidates():
        is_path = os.path.dirname(place) != ""
        if is_path and not os.path.exists(place):
            looked.append(f"{place} (no such file)")
            continue
        try:
            return ctypes.CDLL(place)
        except OSError as error:
            looked.append(f"{place} ({error})")
    places = "\n  ".join(looked)
    raise LibraryError(
        f"the libsmtpclient library was not found. Looked at:\n  {places}\n"
        f"Build it with \"cargo build --release\", or name its file in the environment variable {ENVIRONMENT}."
    )


def _declare(library: ctypes.CDLL) -> None:
    origin = library._name
    try:
        version = library.SmtpGetAbiVersion
        version.restype, version.argtypes = FUNCTIONS["SmtpGetAbiVersion"]
        number = version()
    except AttributeError:
        raise LibraryError(f"{origin} is not libsmtpclient: it has no function SmtpGetAbiVersion") from None
    if number != _tables.ABI_VERSION:
        raise LibraryError(
            f"{origin} has ABI {number}, and this package needs ABI {_tables.ABI_VERSION}: "
            f"install the package and the library of the same version ({_tables.VERSION})"
        )
    for name, (result, arguments) in FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise LibraryError(f"{origin} is older than this package: it has no function {name}") from None
        function.restype = result
        function.argtypes = arguments


def load() -> ctypes.CDLL:
    """Loads the library and declares its functions."""
    library = _open()
    _declare(library)
    return library


library = load()
