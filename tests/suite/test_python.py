"""The Python package: declarations, properties, errors, callbacks, threads, and the octets it causes."""

import array
import ctypes
import errno
import gc
import io
import json
import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest
from conftest import PACKAGE, ROOT
from script_server import ScriptServer

import smtpclient
from smtpclient import (
    EVENT_COMMAND,
    EVENT_CONNECT,
    EVENT_DISCONNECT,
    EVENT_ERROR,
    EVENT_REPLY,
    ArgumentError,
    CallerError,
    Client,
    ServerError,
    SmtpError,
    WireError,
    _library,
    _properties,
    _tables,
)

HEADER = re.sub(r"/\*.*?\*/", "", (ROOT / "include" / "smtpclient.h").read_text(encoding="utf-8"), flags=re.DOTALL)

GREETING = b"220 test ESMTP\r\n"
EHLO = b"EHLO client.example\r\n"


def session(*steps, extensions=b"250 test\r\n"):
    return ScriptServer(("send", GREETING), ("expect", EHLO), ("send", extensions), *steps)


def taken(envelope=b"MAIL FROM:<s@a.example>\r\n", content=b"x\r\n", recipients=(b"r@b.example",)):
    """The steps of a message that is taken."""
    steps = [("expect", envelope), ("send", b"250 ok\r\n")]
    for recipient in recipients:
        steps += [("expect", b"RCPT TO:<" + recipient + b">\r\n"), ("send", b"250 ok\r\n")]
    steps += [("expect", b"DATA\r\n"), ("send", b"354 go\r\n"), ("expect", content + b".\r\n"), ("send", b"250 ok\r\n")]
    return steps


QUIT = [("expect", b"QUIT\r\n"), ("send", b"221 bye\r\n")]


def connected(server):
    client = Client()
    client.local_name = "client.example"
    client.timeout = 10000
    client.connect("127.0.0.1", server.port)
    return client


# The declarations

C_TYPES = {
    "void": None,
    "int32_t": ctypes.c_int32,
    "uint32_t": ctypes.c_uint32,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t,
    "intptr_t": ctypes.c_ssize_t,
    "const char *": ctypes.c_char_p,
    "char *": ctypes.POINTER(ctypes.c_char),
    "size_t *": ctypes.POINTER(ctypes.c_size_t),
    "uint64_t *": ctypes.POINTER(ctypes.c_uint64),
    "int64_t *": ctypes.POINTER(ctypes.c_int64),
    "void *": ctypes.c_void_p,
    "const void *": ctypes.c_void_p,
    "struct SmtpClient *": ctypes.c_void_p,
    "const struct SmtpClient *": ctypes.c_void_p,
    "const struct SmtpEvent *": ctypes.POINTER(_library.SmtpEvent),
    "struct SmtpPollInfo *": ctypes.POINTER(_library.SmtpPollInfo),
    "struct SmtpRecipient *": ctypes.POINTER(_library.SmtpRecipient),
    "const struct SmtpMessageInfo *": ctypes.POINTER(_library.SmtpMessageInfo),
    "const struct SmtpServerInfo *": ctypes.POINTER(_library.SmtpServerInfo),
    "const struct SmtpTraceRecord *": ctypes.POINTER(_library.SmtpTraceRecord),
    "struct SmtpSecurityInfo *": ctypes.POINTER(_library.SmtpSecurityInfo),
    "struct SmtpTransferStatus *": ctypes.POINTER(_library.SmtpTransferStatus),
    "const struct SmtpMessageInfo *": ctypes.POINTER(_library.SmtpMessageInfo),
    "const struct SmtpServerInfo *": ctypes.POINTER(_library.SmtpServerInfo),
    "SmtpTraceCallback": _library.SmtpTraceCallback,
    "SmtpTokenCallback": _library.SmtpTokenCallback,
    "SmtpEventCallback": _library.SmtpEventCallback,
    "SmtpDestroyCallback": _library.SmtpDestroyCallback,
    "SmtpReadCallback": _library.SmtpReadCallback,
    "SmtpRewindCallback": _library.SmtpRewindCallback,
    "SmtpWriteCallback": _library.SmtpWriteCallback,
    "struct SmtpMessage *": ctypes.c_void_p,
    "const struct SmtpMessage *": ctypes.c_void_p,
    "struct SmtpMessagePart *": ctypes.POINTER(_library.SmtpMessagePart),
}


def c_type(text):
    return C_TYPES[re.sub(r"\s*\*\s*", " *", text.strip())]


def arguments_of(text):
    if text.strip() == "void":
        return []
    return [c_type(re.sub(r"\w+$", "", argument.strip())) for argument in text.split(",")]


def functions_of_the_header():
    found = re.findall(r"^([\w \t]+[ *])(Smtp\w+)\(([^)]*)\);", HEADER, re.MULTILINE)
    return {name: (c_type(result), arguments_of(arguments)) for result, name, arguments in found}


def test_every_function_of_the_header_is_declared_with_its_types():
    functions = functions_of_the_header()
    assert len(functions) >= 27, "the header was not read"
    assert functions == _library.FUNCTIONS
    for name, (result, arguments) in functions.items():
        function = getattr(_library.library, name)
        assert function.restype is result, name
        assert list(function.argtypes) == arguments, name


def test_callback_types_are_those_of_the_header():
    found = re.findall(r"typedef (\w+) \(\*(\w+)\)\(([^)]*)\);", HEADER)
    assert len(found) == 7
    for result, name, arguments in found:
        prototype = getattr(_library, name)
        assert prototype._restype_ is c_type(result)
        assert list(prototype._argtypes_) == arguments_of(arguments)


STRUCTURES = ["SmtpEvent", "SmtpPollInfo", "SmtpRecipient", "SmtpTraceRecord", "SmtpTransferStatus", "SmtpMessageInfo", "SmtpServerInfo"]


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures_are_those_of_the_header(name):
    body = re.search(rf"typedef struct {name} \{{(.*?)\}}", HEADER, re.DOTALL).group(1)
    members = [re.fullmatch(r"(.*?)(\w+)", line.strip(), re.DOTALL).groups() for line in body.split(";")[:-1]]
    fields = dict(getattr(_library, name)._fields_)
    assert [name for _, name in members] == list(fields)
    # Any octets: a pointer and not a string that ends at a NUL.
    special = {"text": ctypes.c_void_p, "reply": ctypes.c_void_p}
    assert fields == {name: special.get(name) or c_type(kind) for kind, name in members}


def test_the_constants_are_those_of_the_header():
    header = dict(re.findall(r"^#define SMTP_(\w+) (?:\(\(int32_t\)\(|\()?(-?\w+)", HEADER, re.MULTILINE))
    prefixes = ("OPTION_", "TLS_", "OUTCOME_", "RECIPIENT_", "EVENT_", "CLASS_", "PHASE_")
    prefixes += ("TRACE_", "DIRECTION_", "STATUS_", "FAMILY_", "CHUNKING_", "AUTH_", "CERTIFICATE_", "EXTOPT_", "DELIVERY_")
    constants = {name: int(value, 0) for name, value in header.items() if name.startswith(prefixes)}
    assert constants == {name: value for name, value in vars(_tables).items() if name.startswith(prefixes)}
    for name, value in constants.items():
        # A recipient's texts are attributes here.
        if not name.startswith("RECIPIENT_TEXT_"):
            assert getattr(smtpclient, name) == value and name in smtpclient.__all__
    assert smtpclient.ALL_EVENTS == sum(value for name, value in constants.items() if name.startswith("EVENT_"))
    errors = {f"SMTP_{name}": int(value) for name, value in header.items() if name.startswith("ERROR_")}
    assert errors == {name: code for code, (name, _) in _tables.ERRORS.items()}


def test_all_that_is_promised_is_there():
    for name in smtpclient.__all__:
        assert hasattr(smtpclient, name), name
    assert smtpclient.__version__ == smtpclient.LIBRARY_VERSION


# Loading


def run_import(directory, **environment):
    command = [sys.executable, "-c", "import smtpclient; print(smtpclient._library.library._name)"]
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", _library.ENVIRONMENT)}
    return subprocess.run(
        command, cwd=directory, env={**clean, "PYTHONPATH": str(directory), **environment}, capture_output=True, text=True
    )


def copy_package(directory):
    ignored = shutil.ignore_patterns("*.so*", "*.dylib", "__pycache__")
    shutil.copytree(PACKAGE / "smtpclient", directory / "smtpclient", ignore=ignored)
    return directory / "smtpclient"


def test_where_the_library_is_looked_for(tmp_path):
    package = copy_package(tmp_path)
    library = _library.library._name
    chosen = run_import(tmp_path, SMTPCLIENT_LIBRARY=library)
    assert chosen.stdout.strip() == library, chosen.stderr
    beside = package / "libsmtpclient.so"
    beside.symlink_to(library)
    assert run_import(tmp_path).stdout.strip() == str(beside)
    beside.unlink()
    (tmp_path / "Cargo.toml").touch()
    built = tmp_path / "target" / "release" / "libsmtpclient.so"
    built.parent.mkdir(parents=True)
    built.symlink_to(library)
    assert run_import(tmp_path).stdout.strip() == str(built)


def test_a_missing_library_is_named_with_all_places(tmp_path):
    package = copy_package(tmp_path)
    (tmp_path / "Cargo.toml").touch()
    missing = run_import(tmp_path).stderr
    assert "LibraryError" in missing and "SMTPCLIENT_LIBRARY" in missing
    for place in (package / "libsmtpclient.so", tmp_path / "target" / "release" / "libsmtpclient.so"):
        assert f"{place} (no such file)" in missing
    # A wrong path is an error, and not a reason to take another library.
    wrong = run_import(tmp_path, SMTPCLIENT_LIBRARY=str(tmp_path / "nowhere.so")).stderr
    assert "nowhere.so (no such file)" in wrong and "target" not in wrong


def test_a_library_that_does_not_fit_is_refused(tmp_path):
    package = copy_package(tmp_path)
    tables = package / "_tables.py"
    tables.write_text(re.sub(r"ABI_VERSION = \d+", "ABI_VERSION = 99", tables.read_text(encoding="utf-8")))
    other = run_import(tmp_path, SMTPCLIENT_LIBRARY=_library.library._name).stderr
    assert "needs ABI 99" in other
    foreign = run_import(tmp_path, SMTPCLIENT_LIBRARY=sys.modules["_ctypes"].__file__).stderr
    assert "is not libsmtpclient" in foreign


# Properties


def descriptors():
    return {name: value for name, value in vars(Client).items() if isinstance(value, _properties._Property)}


def test_the_class_has_exactly_the_properties_of_the_table():
    found = descriptors()
    assert sorted(found) == sorted(_tables.PROPERTIES)
    for name, row in _tables.PROPERTIES.items():
        assert (found[name].kind, found[name].access) == (row.kind, row.access), name
        assert found[name].__doc__ == row.doc, name


@pytest.mark.parametrize("name", _tables.PROPERTIES)
def test_every_property_is_reachable(name):
    row = _tables.PROPERTIES[name]
    with Client() as client:
        if row.access == "w":
            with pytest.raises(AttributeError):
                getattr(client, name)
            setattr(client, name, "some text")
            return
        value = getattr(client, name)
        assert isinstance(value, str if row.kind == "text" else int)
        if row.access == "rw":
            setattr(client, name, value)
            assert getattr(client, name) == value
        else:
            with pytest.raises(AttributeError):
                setattr(client, name, value)


def test_settings_are_kept():
    with Client() as client:
        for name, value in {
            "host": "mail.example",
            "port": 2525,
            "user": "j\u00f6rg",
            "tls_mode": smtpclient.TLS_REQUIRED,
            "local_name": "client.example",
            "timeout_end": 1234,
            "ca_file": "/\u20ac" * 3000,
        }.items():
            setattr(client, name, value)
            assert getattr(client, name) == value
        client.insecure_auth = True
        assert client.insecure_auth is True
        assert client.is_connected is False


def test_a_misspelt_property_is_an_error():
    with Client() as client:
        with pytest.raises(AttributeError):
            client.tls_mod = smtpclient.TLS_REQUIRED


@pytest.mark.parametrize(
    "name, value", [("port", 1 << 16), ("port", -1), ("port", (1 << 64) + 25), ("tls_mode", 4), ("insecure_auth", 2)]
)
def test_values_out_of_range_are_refused_and_not_cut(name, value):
    with Client() as client:
        with pytest.raises(CallerError) as refused:
            setattr(client, name, value)
        assert refused.value.name == "SMTP_ERROR_INVALID_PARAMETER"
        assert getattr(client, name) == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.connect("a\0b"),
        lambda client: client.connect("a", 1 << 16),
        lambda client: client.connect("a", (1 << 32) + 25),
        lambda client: client.connect("a", 25, timeout=-1),
        lambda client: client.connect("a", 25, timeout=float("nan")),
        lambda client: client.connect("a", 25, timeout=1e30),
        lambda client: client.connect("a", 25, options=1 << 32),
        lambda client: client.authenticate("a\0", "b"),
        lambda client: client.authenticate("a", "b\0"),
        lambda client: client.authenticate("a", "\udcff"),
        lambda client: client.send_message("a@b\0", "c@d", b""),
        lambda client: client.send_message("a@b", "c@d\0", b""),
        lambda client: client.send_message("a@b", ["c@d\0"], b""),
        lambda client: client.send_message("a@b", "c@d", "\udcff"),
        lambda client: client.send_file("a@b", "c@d", "a\0b"),
        lambda client: client.send_file("a@b", "c@d", "\udcff"),
        lambda client: client.send_file("a@b\0", "c@d", "a"),
        lambda client: client.send_stream("a@b", ["c@d\0"], []),
        lambda client: client.send_stream("a@b", "c@d", [], size=-1),
        lambda client: client.send_stream("a@b", "c@d", [], size=(1 << 64) - 1),
        lambda client: client.command("NOOP\0"),
        lambda client: client.command("NOOP", "\udcff"),
        lambda client: client.verify("a\0b"),
        lambda client: client.expand("a\0b"),
        lambda client: setattr(client, "host", "a\0b"),
        lambda client: setattr(client, "password", "a\0b"),
    ],
)
def test_arguments_that_cannot_be_passed_on_are_refused(call):
    with Client() as client:
        with pytest.raises(ArgumentError) as refused:
            call(client)
        assert isinstance(refused.value, ValueError) and isinstance(refused.value, CallerError)
        assert refused.value.name == "SMTP_ERROR_INVALID_PARAMETER"
        assert refused.value.safe_to_retry


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.connect(b"a"),
        lambda client: client.connect("a", "25"),
        lambda client: client.connect("a", 2.5),
        lambda client: client.send_message("a@b", b"c@d", b""),
        lambda client: client.send_message("a@b", [b"c@d"], b""),
        lambda client: client.send_message("a@b", 7, b""),
        lambda client: client.send_message("a@b", "c@d", None),
        lambda client: client.send_message("a@b", "c@d", 7),
        lambda client: client.send_file("a@b", "c@d", b"a"),
        lambda client: client.send_file("a@b", "c@d", 7),
        lambda client: client.send_file("a@b", [b"c@d"], "a"),
        lambda client: client.send_stream("a@b", "c@d", b"whole"),
        lambda client: client.send_stream("a@b", "c@d", "whole"),
        lambda client: client.send_stream("a@b", "c@d", 7),
        lambda client: client.send_stream("a@b", "c@d", [], size="7"),
        lambda client: client.command(b"NOOP"),
        lambda client: client.command("NOOP", 7),
        lambda client: client.verify(b"a"),
        lambda client: client.expand(None),
        lambda client: client.on_event(7),
        lambda client: setattr(client, "port", "25"),
    ],
)
def test_wrong_types_are_refused(call):
    with Client() as client:
        with pytest.raises(TypeError):
            call(client)


# Errors


def test_an_error_carries_the_whole_record():
    refusal = b"550-5.1.1 no such user\r\n550 5.1.1 really\r\n"
    steps = [
        ("expect", b"MAIL FROM:<s@a.example>\r\n"),
        ("send", b"250 ok\r\n"),
        ("expect", b"RCPT TO:<r@b.example>\r\n"),
        ("send", refusal),
        ("stall",),
    ]
    with session(*steps, extensions=b"250-test\r\n250 ENHANCEDSTATUSCODES\r\n") as server:
        client = connected(server)
        with pytest.raises(ServerError) as failed:
            client.send_message("s@a.example", "r@b.example", b"x\r\n")
        error = failed.value
        assert (error.code, error.name) == (client.last_error, "SMTP_ERROR_RECIPIENTS_REJECTED")
        assert (error.error_class, error.phase) == (smtpclient.CLASS_SERVER, smtpclient.PHASE_RCPT)
        assert (error.result_code, error.enhanced_code, error.reply) == (550, "5.1.1", client.error_reply)
        assert "no such user" in error.reply and "really" in error.reply
        assert error.address == "r@b.example"
        assert (error.outcome, error.safe_to_retry) == (smtpclient.OUTCOME_REJECTED_PERMANENT, True)
        assert error.remedy and error.remedy == client.error_remedy
        assert str(error) == error.message and "no such user" in str(error) and error.remedy in str(error)
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is ServerError and vars(again) == vars(error) and str(again) == str(error)
        client.close()


def test_an_answer_that_does_not_come_leaves_the_outcome_unknown():
    steps = taken()[:-1] + [("close",)]
    with session(*steps) as server, Client() as client:
        client.local_name = "client.example"
        client.connect("127.0.0.1", server.port)
        with pytest.raises(WireError) as failed:
            client.send_message("s@a.example", "r@b.example", b"x\r\n")
        assert (failed.value.outcome, failed.value.safe_to_retry) == (smtpclient.OUTCOME_UNKNOWN, False)
        assert failed.value.phase == smtpclient.PHASE_END
        assert not client.is_connected


def test_a_refused_connection_tells_the_system_error():
    with socket.socket() as bound:
        # Bound and not listening: nobody else can have this port.
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with Client() as client, pytest.raises(WireError) as failed:
            client.connect("127.0.0.1", port)
    error = failed.value
    assert error.name == "SMTP_ERROR_CONNECTION_REFUSED"
    assert error.os_error == errno.ECONNREFUSED
    assert error.address == f"127.0.0.1:{port}"
    assert error.phase == smtpclient.PHASE_CONNECT


def test_a_finalizer_between_the_failure_and_its_report_changes_nothing():
    with Client() as client:
        code = _library.library.SmtpReset(client._handle)
        # Another client, made and released, clears the failure of this thread's last call.
        Client()
        gc.collect()
        assert _library.library.SmtpGetLastError(None) == 0
        error = client._error(code)
        assert error.name == "SMTP_ERROR_NOT_CONNECTED"
        assert "not connected" in str(error) and error.remedy


def test_the_record_of_another_failure_is_not_taken():
    with Client() as client:
        code = _library.library.SmtpReset(client._handle)
        thread, _ = in_thread(lambda: setattr(client, "tls_mode", 9))
        thread.join()
        error = client._error(code)
        assert error.name == "SMTP_ERROR_NOT_CONNECTED" and "not connected" in str(error)
        # Unknown, and so not said to be safe.
        assert (error.remedy, error.safe_to_retry) == ("", False)


def test_a_code_of_a_newer_library_is_still_an_error():
    error = smtpclient._errors.make_error(-5, "new")
    assert type(error) is SmtpError and error.name == "SMTP_ERROR_0xfffffffb" and str(error) == "new"


# Life and death


def test_use_after_close():
    client = Client()
    client.close()
    client.close()
    for call in (client.connect, client.authenticate, client.disconnect, client.reset, client.cancel, client.noop):
        with pytest.raises(CallerError) as failed:
            call()
        assert failed.value.name == "SMTP_ERROR_INVALID_HANDLE"
        assert "released" in str(failed.value)
    for call in (
        lambda: client.host,
        lambda: client.port,
        lambda: setattr(client, "host", "a"),
        lambda: client.send_message("a@b", "c@d", b""),
        lambda: client.send_file("a@b", "c@d", "a"),
        lambda: client.send_stream("a@b", "c@d", []),
        lambda: client.recipients,
        lambda: client.command("NOOP"),
        lambda: client.verify("a@b"),
        lambda: client.expand("a"),
        lambda: client.on_event(print),
        lambda: client.on_event(None),
    ):
        with pytest.raises(CallerError) as failed:
            call()
        assert failed.value.name == "SMTP_ERROR_INVALID_HANDLE"


def test_a_client_may_be_closed_inside_its_block():
    with Client() as client:
        client.close()


def test_the_block_says_quit_and_releases():
    with session(*QUIT) as server:
        with connected(server) as client:
            assert client.is_connected
        with pytest.raises(CallerError):
            client.is_connected


def test_the_block_says_quit_after_an_exception_too_and_passes_it_on():
    with session(*QUIT) as server:
        with pytest.raises(KeyError):
            with connected(server) as client:
                client.on_event(raise_it, EVENT_REPLY)
                raise KeyError("mine")


def raise_it(event):
    raise RuntimeError("from the callback")


def test_an_exception_at_the_end_of_a_good_block_is_seen():
    # The callback is told before the command leaves, and its exception cancels.
    with session(("stall",)) as server:
        with pytest.raises(RuntimeError, match="from the callback"):
            with connected(server) as client:
                client.on_event(raise_it, EVENT_COMMAND)


def test_a_forgotten_client_is_released():
    with session(("stall",)) as server:
        client = connected(server)
        handle = client._handle
        watch = weakref.ref(client)
        del client
        gc.collect()
        assert watch() is None
        assert _library.library.SmtpReset(handle) == smtpclient._errors.CODES["SMTP_ERROR_INVALID_HANDLE"]
        server.thread.join(5)
        assert not server.thread.is_alive(), "the connection is still open"


def test_a_client_whose_callback_refers_to_it_is_released():
    class Watched(Client):
        def __init__(self):
            super().__init__()
            self.on_event(self.told)

        def told(self, event):
            pass

    client = Watched()
    client.on_event(lambda event, client=client: None)
    watch = weakref.ref(client)
    del client
    gc.collect()
    assert watch() is None
    gc.collect()
    assert len(smtpclient._client._registrations) == 0


def test_a_client_that_was_never_made_dies_quietly():
    Client.__new__(Client).__del__()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_process_leaves_the_connection_alone():
    program = """
import os, sys
from smtpclient import Client, CallerError
client = Client()
client.local_name = "client.example"
client.connect("127.0.0.1", int(sys.argv[1]))
child = os.fork()
if child == 0:
    try:
        client.reset()
    except CallerError as error:
        name = error.name
    client.close()
    del client
    os._exit(0 if name == "SMTP_ERROR_FORKED" else 1)
_, status = os.waitpid(child, 0)
client.reset()
client.disconnect()
sys.exit(status)
"""
    with session(("expect", b"RSET\r\n"), ("send", b"250 ok\r\n"), *QUIT) as server:
        command = [sys.executable, "-c", program, str(server.port)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert (result.returncode, result.stderr) == (0, "")


def test_nothing_is_said_at_the_end_of_the_interpreter():
    program = """
from smtpclient import Client
class Holder: pass
holder = Holder()
holder.client = Client()
holder.client.on_event(lambda event: holder)
holder.self = holder
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (result.returncode, result.stderr) == (0, "")


# Callbacks


def test_a_callback_is_told_of_everything():
    events = []
    with session(*taken(), *QUIT) as server:
        with Client() as client:
            client.on_event(events.append)
            client.local_name = "client.example"
            client.connect("127.0.0.1", server.port)
            client.send_message("s@a.example", "r@b.example", b"x\r\n")
            client.disconnect()
    kinds = [event.kind for event in events]
    assert kinds.count(EVENT_CONNECT) == kinds.count(EVENT_DISCONNECT) == 1
    commands = [event.text.strip() for event in events if event.kind == EVENT_COMMAND]
    for command in ("EHLO client.example", "MAIL FROM:<s@a.example>", "RCPT TO:<r@b.example>", "DATA", "QUIT"):
        assert command in commands
    replies = [event.result_code for event in events if event.kind == EVENT_REPLY]
    assert replies == [220, 250, 250, 250, 354, 250, 221]


def test_secrets_do_not_reach_callbacks():
    login = b"AUTH PLAIN AHVzZXIAczNjcmV0\r\n"
    events = []
    steps = [("expect", login), ("send", b"235 welcome\r\n"), *QUIT]
    with session(*steps, extensions=b"250-test\r\n250 AUTH PLAIN\r\n") as server, connected(server) as client:
        client.on_event(events.append)
        client.authenticate("user", "s3cret")
        assert client.auth_mechanism == "PLAIN"
    assert not any("s3cret" in event.text or "AHVz" in event.text for event in events)
    assert any(event.text.startswith("AUTH PLAIN") for event in events)


def test_the_mask_selects_and_none_removes():
    events = []
    with session(("expect", b"RSET\r\n"), ("send", b"250 ok\r\n"), *QUIT) as server, connected(server) as client:
        client.on_event(events.append, EVENT_REPLY)
        client.reset()
        assert [(event.kind, event.result_code) for event in events] == [(EVENT_REPLY, 250)]
        client.on_event(None)
        assert len(smtpclient._client._registrations) == 0
        client.disconnect()
        assert len(events) == 1


def test_a_mask_without_a_meaning_is_refused_and_nothing_is_kept():
    with Client() as client:
        with pytest.raises(CallerError):
            client.on_event(print, 1 << 30)
        assert len(smtpclient._client._registrations) == 0 and not client._callbacks


def test_callbacks_are_let_go_when_replaced_and_at_the_end():
    def make():
        callback = lambda event: None  # noqa: E731 - its life is what is tested
        return callback, weakref.ref(callback)

    client = Client()
    callback, first = make()
    client.on_event(callback)
    callback, second = make()
    client.on_event(callback)
    del callback
    gc.collect()
    assert first() is None and second() is not None
    client.close()
    gc.collect()
    assert second() is None


@pytest.mark.parametrize("kind", [EVENT_COMMAND, EVENT_REPLY, EVENT_ERROR, EVENT_DISCONNECT])
def test_an_exception_in_a_callback_ends_the_call_and_comes_out_of_it(kind):
    mine = RuntimeError("mine")

    def callback(event):
        raise mine

    steps = [("expect", b"MAIL FROM:<s@a.example>\r\n"), ("send", b"421 closing\r\n")]
    # Of a command the callback is told before it leaves.
    with session(*([("stall",)] if kind == EVENT_COMMAND else steps)) as server:
        client = connected(server)
        client.on_event(callback, kind)
        with pytest.raises(RuntimeError) as raised:
            client.send_message("s@a.example", "r@b.example", b"x\r\n")
        assert raised.value is mine
        assert not client._raised
        client.on_event(None)
        # The next call is not burdened with it.
        with pytest.raises(CallerError) as failed:
            client.reset()
        assert failed.value.name == "SMTP_ERROR_NOT_CONNECTED"
        client.close()


def test_an_exit_in_a_callback_is_passed_on_too():
    def callback(event):
        raise KeyboardInterrupt

    with session(("stall",)) as server:
        client = connected(server)
        client.on_event(callback, EVENT_COMMAND)
        with pytest.raises(KeyboardInterrupt):
            client.reset()
        client.close()


def test_a_true_result_cancels_the_call():
    with session(("stall",)) as server, connected(server) as client:
        client.on_event(lambda event: True, EVENT_COMMAND)
        with pytest.raises(CallerError) as failed:
            client.reset()
        assert failed.value.name == "SMTP_ERROR_CANCELLED"


def test_what_a_callback_may_call():
    seen = []

    def callback(event):
        seen.append(client.result_code)
        for call in (client.reset, client.disconnect, lambda: client.on_event(None), lambda: setattr(client, "host", "a")):
            with pytest.raises(CallerError) as failed:
                call()
            seen.append(failed.value.name)
        client.cancel()

    with session(("stall",)) as server:
        client = connected(server)
        client.on_event(callback, EVENT_COMMAND)
        with pytest.raises(CallerError) as failed:
            client.reset()
        assert failed.value.name == "SMTP_ERROR_CANCELLED"
        assert seen == [250] + ["SMTP_ERROR_REENTRANT"] * 4
        client.close()


# Threads


def in_thread(function):
    """Runs it; returns the thread and the list that its result or exception comes to."""
    results = []

    def run():
        try:
            results.append(function())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


@pytest.mark.parametrize("steps", [[("stall",)], [("send", GREETING), ("stall",)]], ids=["greeting", "ehlo"])
def test_cancel_from_another_thread(steps):
    with ScriptServer(*steps) as server, Client() as client:
        thread, results = in_thread(lambda: client.connect("127.0.0.1", server.port))
        time.sleep(0.3)
        assert thread.is_alive(), "the call should hang, and leave this thread free"
        start = time.monotonic()
        client.cancel()
        thread.join(5)
        assert time.monotonic() - start < 1
        assert isinstance(results[0], CallerError) and results[0].name == "SMTP_ERROR_CANCELLED"
        assert results[0].phase == (smtpclient.PHASE_GREETING if len(steps) == 1 else smtpclient.PHASE_EHLO)


def test_close_from_another_thread_ends_the_call():
    with ScriptServer(("stall",)) as server:
        client = Client()
        thread, results = in_thread(lambda: client.connect("127.0.0.1", server.port))
        time.sleep(0.2)
        client.close()
        thread.join(5)
        assert not thread.is_alive() and isinstance(results[0], CallerError)


def test_getters_do_not_wait_for_a_call():
    with ScriptServer(("stall",)) as server, Client() as client:
        thread, results = in_thread(lambda: client.connect("127.0.0.1", server.port))
        time.sleep(0.2)
        start = time.monotonic()
        assert client.is_connected is False and client.result_code == 0
        assert time.monotonic() - start < 0.5
        client.cancel()
        thread.join(5)


def test_a_timeout_in_seconds():
    with ScriptServer(("stall",)) as server, Client() as client:
        start = time.monotonic()
        with pytest.raises(WireError) as failed:
            client.connect("127.0.0.1", server.port, timeout=0.25)
        assert failed.value.name == "SMTP_ERROR_TIMEOUT"
        assert 0.2 < time.monotonic() - start < 1.5


def test_each_thread_gets_its_own_failure():
    """Threads that fail on one client in different ways, at the same time."""
    wrong = []

    def fail(call, name):
        for _ in range(300):
            try:
                call()
            except SmtpError as error:
                if error.name != name or type(error) is not CallerError or not str(error):
                    wrong.append((name, error.name, str(error)))

    with Client() as client:
        calls = [
            (client.reset, "SMTP_ERROR_NOT_CONNECTED"),
            (lambda: setattr(client, "tls_mode", 9), "SMTP_ERROR_INVALID_PARAMETER"),
            (lambda: client.send_message("a@b", "c@d", b""), "SMTP_ERROR_NOT_CONNECTED"),
            (lambda: setattr(client, "local_name", "a b"), "SMTP_ERROR_INVALID_PARAMETER"),
        ]
        threads = [in_thread(lambda call=call: fail(*call)) for call in calls]
        for thread, results in threads:
            thread.join()
            assert results == [None]
    assert wrong == []


def test_clients_work_side_by_side():
    def send():
        with session(*taken(), *QUIT) as server, connected(server) as client:
            client.send_message("s@a.example", "r@b.example", b"x\r\n")
            return client.outcome

    threads = [in_thread(send) for _ in range(8)]
    for thread, results in threads:
        thread.join(20)
        assert results == [smtpclient.OUTCOME_ACCEPTED]


# Messages and recipients, octet by octet

CONTENT = b"Subject: x\r\n\r\n.dot\r\n\xff\x00end\r\n"
ON_THE_WIRE = b"Subject: x\r\n\r\n..dot\r\n\xff\x00end\r\n"


def read_only_slice():
    return memoryview(b"-" + CONTENT + b"-")[1:-1]


def writable_slice():
    return memoryview(bytearray(b"-" + CONTENT + b"-"))[1:-1]


def every_other():
    return memoryview(bytes(octet for pair in zip(CONTENT, CONTENT) for octet in pair))[::2]


@pytest.mark.parametrize(
    "make",
    [lambda: CONTENT, lambda: bytearray(CONTENT), read_only_slice, writable_slice, every_other],
    ids=["bytes", "bytearray", "read-only memoryview", "writable memoryview", "memoryview with gaps"],
)
def test_the_octets_of_a_message_arrive(make):
    message = make()
    with session(*taken(content=ON_THE_WIRE), *QUIT) as server, connected(server) as client:
        client.send_message("s@a.example", "r@b.example", message)
        assert bytes(message) == CONTENT, "the message is never changed"
    if isinstance(message, bytearray):
        # Not held any more: it can be resized again.
        message.append(0)


def test_a_memoryview_of_larger_items():
    message = memoryview(array.array("H", [0x0D61, 0x0D0A, 0x620A] if sys.byteorder == "big" else [0x0D61, 0x620A]))
    with session(*taken(content=b"a\r\nb\r\n"), *QUIT) as server, connected(server) as client:
        client.send_message("s@a.example", "r@b.example", message)


def test_text_is_sent_as_utf8():
    envelope = b"MAIL FROM:<s@a.example> BODY=8BITMIME SMTPUTF8\r\n"
    steps = taken(envelope, content="Subject: gr\u00fc\u00df\r\n\r\n\u20ac\r\n".encode())
    offer = b"250-test\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
    with session(*steps, *QUIT, extensions=offer) as server, connected(server) as client:
        client.send_message("s@a.example", "r@b.example", "Subject: gr\u00fc\u00df\n\n\u20ac")


@pytest.mark.parametrize("empty", [b"", bytearray(), memoryview(b""), memoryview(bytearray()), ""], ids=repr)
def test_an_empty_message(empty):
    with session(*taken(content=b""), *QUIT) as server, connected(server) as client:
        client.send_message("s@a.example", "r@b.example", empty)


def test_bytes_are_not_copied():
    message = b"x" * (1 << 20)
    address, length = smtpclient._client._view(message)
    assert address is message and length == len(message)
    array_view, length = smtpclient._client._view(buffer := bytearray(message))
    assert ctypes.addressof(array_view) == ctypes.addressof(ctypes.c_char.from_buffer(buffer))


@pytest.mark.parametrize(
    "recipients",
    [
        "r@b.example, Name <q@b.example>",
        ["r@b.example", "q@b.example"],
        ("r@b.example", '"Comma, Name" <q@b.example>'),
        (address for address in [" r@b.example ", "<q@b.example>"]),
        {"r@b.example": 1, "q@b.example": 2},
    ],
    ids=["text", "list", "tuple", "generator", "dict"],
)
def test_recipients(recipients):
    steps = taken(recipients=(b"r@b.example", b"q@b.example"))
    with session(*steps, *QUIT) as server, connected(server) as client:
        client.send_message("s@a.example", recipients, b"x\r\n")
        assert (client.recipients_accepted, client.recipients_refused) == (2, 0)


@pytest.mark.parametrize(
    "items",
    [
        ["a@b,c@d"],
        ["a@b,"],
        ["a@b", ""],
        ["a@b", " \t"],
        ['"a', 'b"@c'],
        ['"a\\"', '"@c'],
        ["<a@b", "c@d>"],
        ['"x" <a@b>,c@d'],
    ],
    ids=repr,
)
def test_an_item_that_is_not_one_recipient_is_refused(items):
    with Client() as client:
        with pytest.raises(ArgumentError) as refused:
            client.send_message("s@a.example", items, b"x\r\n")
        assert refused.value.name == "SMTP_ERROR_INVALID_ADDRESS"
        assert refused.value.address in items


def test_no_recipient():
    with session(*QUIT) as server, connected(server) as client:
        for none in ("", []):
            with pytest.raises(CallerError) as failed:
                client.send_message("s@a.example", none, b"x\r\n")
            assert failed.value.name == "SMTP_ERROR_NO_RECIPIENTS"
            assert failed.value.outcome == smtpclient.OUTCOME_NOT_SENT


def test_a_whole_session_octet_by_octet():
    login = b"AUTH PLAIN AHVzZXIAcGFzcw==\r\n"
    steps = [("expect", login), ("send", b"235 welcome\r\n"), *taken(), *taken(b"MAIL FROM:<>\r\n")]
    steps += [("expect", b"RSET\r\n"), ("send", b"250 ok\r\n"), *QUIT]
    with session(*steps, extensions=b"250-test\r\n250 AUTH PLAIN LOGIN\r\n") as server, connected(server) as client:
        client.user = "user"
        client.password = "pass"
        client.authenticate()
        client.send_message("s@a.example", "r@b.example", b"x\n")
        client.send_message("<>", ["r@b.example"], b"x")
        client.reset()
        client.disconnect()
        assert not client.is_connected
    assert server.received == (
        EHLO
        + login
        + b"MAIL FROM:<s@a.example>\r\nRCPT TO:<r@b.example>\r\nDATA\r\nx\r\n.\r\n"
        + b"MAIL FROM:<>\r\nRCPT TO:<r@b.example>\r\nDATA\r\nx\r\n.\r\nRSET\r\nQUIT\r\n"
    )


# Files and streams

MEBIBYTES = b"".join(b"%07d 0123456789012345678901234567890123456789012345678901234\r\n" % line for line in range(5 << 14))
ADDRESSES = ("s@a.example", "r@b.example")


def not_completed():
    """The steps of a message that is begun and not ended."""
    return [*taken()[:6], ("stall",)]


def in_pieces(octets):
    """Pieces of all sizes: a big one, empty ones, and many small ones."""
    yield octets[: 1 << 20]
    yield b""
    yield memoryview(bytearray(octets[1 << 20 : 2 << 20]))
    for start in range(2 << 20, len(octets), 1000):
        yield octets[start : start + 1000]
        yield bytearray()


@pytest.mark.parametrize(
    "make",
    [io.BytesIO, in_pieces, lambda octets: [octets], lambda octets: io.BufferedReader(io.BytesIO(octets))],
    ids=["BytesIO", "generator", "one piece", "BufferedReader"],
)
def test_a_stream_of_5_mib(make):
    assert len(MEBIBYTES) > 5 << 20
    with session(*taken(content=MEBIBYTES), *QUIT) as server, connected(server) as client:
        client.send_stream(*ADDRESSES, make(MEBIBYTES))
        assert client.outcome == smtpclient.OUTCOME_ACCEPTED


@pytest.mark.parametrize(
    "source",
    [
        [CONTENT],
        [CONTENT[:1], b"", CONTENT[1:]],
        [bytes([octet]) for octet in CONTENT],
        iter([bytearray(CONTENT)]),
        [every_other(), memoryview(b"")],
        {CONTENT: "a dict gives its keys"},
        io.BytesIO(CONTENT),
    ],
    ids=["list", "empty piece", "single octets", "iterator", "memoryview with gaps", "dict", "BytesIO"],
)
def test_the_octets_of_a_stream_arrive(source):
    with session(*taken(content=ON_THE_WIRE), *QUIT) as server, connected(server) as client:
        client.send_stream(*ADDRESSES, source)


def test_a_file_that_gives_little_or_more_than_it_was_asked_for():
    class Odd:
        answers = [b"a", b"\r\n" + b"b" * 70000 + b"\r\n", b"c\r\n", b""]

        def read(self, count):
            return self.answers.pop(0)

    with session(*taken(content=b"a\r\n" + b"b" * 70000 + b"\r\nc\r\n"), *QUIT) as server, connected(server) as client:
        client.send_stream(*ADDRESSES, Odd())


@pytest.mark.parametrize("empty", [[], [b"", b""], io.BytesIO()], ids=["list", "empty pieces", "BytesIO"])
def test_an_empty_stream(empty):
    with session(*taken(content=b""), *QUIT) as server, connected(server) as client:
        client.send_stream(*ADDRESSES, empty)


def test_the_size_is_told_in_advance():
    steps = taken(b"MAIL FROM:<s@a.example> SIZE=3\r\n") + taken(b"MAIL FROM:<s@a.example>\r\n") + QUIT
    with session(*steps, extensions=b"250-test\r\n250 SIZE 1000\r\n") as server, connected(server) as client:
        client.send_stream(*ADDRESSES, [b"x\r\n"], size=3)
        client.send_stream(*ADDRESSES, [b"x\r\n"])
        with pytest.raises(CallerError) as failed:
            client.send_stream(*ADDRESSES, [b"x\r\n"], size=1001)
        assert failed.value.name == "SMTP_ERROR_MESSAGE_TOO_LARGE"


def test_a_source_is_not_asked_before_the_server_waits_for_it():
    def source():
        raise AssertionError("asked")
        yield

    with session(("expect", b"MAIL FROM:<s@a.example>\r\n"), ("send", b"550 no\r\n"), *QUIT) as server:
        with connected(server) as client:
            with pytest.raises(ServerError) as failed:
                client.send_stream(*ADDRESSES, source())
            assert failed.value.name == "SMTP_ERROR_SENDER_REJECTED"


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, StopAsyncIteration, SystemExit])
@pytest.mark.parametrize("before", [0, 1 << 20])
def test_what_a_source_raises_ends_the_message_and_comes_out(kind, before):
    mine = kind("mine")

    def source():
        yield b"x" * before
        raise mine

    events = []
    with session(*not_completed()) as server:
        client = connected(server)
        client.on_event(events.append, EVENT_ERROR)
        with pytest.raises(kind) as raised:
            client.send_stream(*ADDRESSES, source())
        assert raised.value is mine
        assert (client.outcome, client.safe_to_retry) == (smtpclient.OUTCOME_NOT_SENT, True)
        assert smtpclient._errors.make_error(client.last_error, "").name == "SMTP_ERROR_READER"
        assert len(events) == 1 and not client._raised and not client.is_connected
        # The next call is not burdened with it.
        with pytest.raises(CallerError) as failed:
            client.noop()
        assert failed.value.name == "SMTP_ERROR_NOT_CONNECTED"
        client.close()
    assert b"\r\n.\r\n" not in server.received


@pytest.mark.parametrize(
    "source",
    [["text"], [7], [b"x", None], io.StringIO("text"), type("Never", (), {"read": lambda self, count: None})()],
    ids=["str", "int", "None", "text file", "read without data"],
)
def test_a_source_of_something_else(source):
    with session(*not_completed()) as server:
        client = connected(server)
        with pytest.raises(TypeError, match="must give bytes"):
            client.send_stream(*ADDRESSES, source)
        assert client.outcome == smtpclient.OUTCOME_NOT_SENT
        client.close()
    assert b"\r\n.\r\n" not in server.received


def test_the_first_exception_is_the_one_that_comes_out():
    def source():
        raise KeyError("of the source")
        yield

    with session(*not_completed()) as server:
        client = connected(server)
        client.on_event(raise_it, EVENT_ERROR)
        with pytest.raises(KeyError, match="of the source"):
            client.send_stream(*ADDRESSES, source())
        assert not client._raised
        client.close()


def test_what_a_source_may_call():
    seen = []

    def source():
        seen.append(client.result_code)
        for call in (client.reset, client.noop, lambda: client.send_stream(*ADDRESSES, [])):
            with pytest.raises(CallerError) as failed:
                call()
            seen.append(failed.value.name)
        yield b"x\r\n"
        client.cancel()
        yield b"y\r\n" * 100000

    with session(*not_completed()) as server:
        client = connected(server)
        with pytest.raises(CallerError) as failed:
            client.send_stream(*ADDRESSES, source())
        assert failed.value.name == "SMTP_ERROR_CANCELLED"
        assert failed.value.outcome == smtpclient.OUTCOME_NOT_SENT
        assert seen[1:] == ["SMTP_ERROR_REENTRANT"] * 3
        client.close()


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signal can be sent here")
def test_an_interrupt_while_the_server_is_waited_for_does_not_end_the_message_early():
    before = signal.getsignal(signal.SIGINT)
    steps = [*taken()[:5], ("wait", 0.6), ("send", b"354 go\r\n"), ("stall",)]
    with session(*steps) as server:
        client = connected(server)
        timer = threading.Timer(0.2, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            client.send_stream(*ADDRESSES, [b"x\r\n"])
        timer.join()
        assert client.outcome == smtpclient.OUTCOME_NOT_SENT
        client.close()
    assert server.received.endswith(b"DATA\r\n")
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signal can be sent here")
def test_an_interrupt_inside_the_source_and_one_behind_it():
    def source():
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        yield b"x\r\n"

    with session(*not_completed()) as server:
        client = connected(server)
        with pytest.raises(KeyboardInterrupt):
            client.send_stream(*ADDRESSES, source())
        assert client.outcome == smtpclient.OUTCOME_NOT_SENT
        client.close()
    steps = [*taken()[:-1], ("wait", 0.4), ("send", b"250 ok\r\n"), *QUIT]
    with session(*steps) as server, connected(server) as client:
        timer = threading.Timer(0.2, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
        timer.start()
        # As for a message in memory: the call ends first.
        with pytest.raises(KeyboardInterrupt):
            client.send_stream(*ADDRESSES, [b"x\r\n"])
        timer.join()
        assert client.outcome == smtpclient.OUTCOME_ACCEPTED


def test_a_stream_from_another_thread():
    with session(*taken(), *QUIT) as server, connected(server) as client:
        thread, results = in_thread(lambda: client.send_stream(*ADDRESSES, iter([b"x", b"\r\n"])))
        thread.join(10)
        assert results == [True]


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file(tmp_path, kind):
    path = tmp_path / "gr\u00fc\u00df \u20ac.eml"
    path.write_bytes(CONTENT + MEBIBYTES)
    with session(*taken(content=ON_THE_WIRE + MEBIBYTES), *QUIT) as server, connected(server) as client:
        client.send_file(*ADDRESSES, kind(path))
        assert client.outcome == smtpclient.OUTCOME_ACCEPTED


@pytest.mark.parametrize("name, system", [("nowhere", errno.ENOENT), ("", 0)], ids=["missing", "folder"])
def test_a_file_that_cannot_be_sent(tmp_path, name, system):
    with session(*QUIT) as server, connected(server) as client:
        with pytest.raises(CallerError) as failed:
            client.send_file(*ADDRESSES, tmp_path / name)
        error = failed.value
        assert (error.name, error.os_error) == ("SMTP_ERROR_FILE", system)
        assert str(tmp_path / name) in str(error)
        assert (error.outcome, error.safe_to_retry) == (smtpclient.OUTCOME_NOT_SENT, True)


def test_recipients_of_a_file_and_a_stream_are_checked_one_by_one():
    with Client() as client:
        for call in (lambda: client.send_file("a@b", ["a@b,c@d"], "x"), lambda: client.send_stream("a@b", [""], [])):
            with pytest.raises(ArgumentError) as refused:
                call()
            assert refused.value.name == "SMTP_ERROR_INVALID_ADDRESS"


# What became of each recipient


def rcpt(address, reply):
    return [("expect", b"RCPT TO:<" + address + b">\r\n"), ("send", reply)]


MAIL = [("expect", b"MAIL FROM:<s@a.example>\r\n"), ("send", b"250 ok\r\n")]
SOME_REFUSED = [
    *MAIL,
    *rcpt(b"good@b.example", b"250 2.1.5 ok\r\n"),
    *rcpt(b"bad@b.example", b"550-5.1.1 no such user\r\n550 5.1.1 here\r\n"),
    *rcpt(b"later@b.example", b"451 not now\r\n"),
]
THREE = "good@b.example, Bad <bad@b.example>, later@b.example"


def test_recipients_after_some_were_refused_and_after_the_connection():
    steps = [*SOME_REFUSED, *taken()[-4:], *QUIT]
    with session(*steps, extensions=b"250-test\r\n250 ENHANCEDSTATUSCODES\r\n") as server, connected(server) as client:
        assert client.recipients == []
        client.send_message("s@a.example", THREE, b"x\r\n")
        expected = [
            ("good@b.example", smtpclient.RECIPIENT_ACCEPTED, 0, "", ""),
            ("bad@b.example", smtpclient.RECIPIENT_REFUSED_PERMANENT, 550, "5.1.1", "5.1.1 no such user\n5.1.1 here"),
            ("later@b.example", smtpclient.RECIPIENT_REFUSED_TEMPORARY, 451, "", "not now"),
        ]
        assert client.recipients == expected
        assert [recipient.accepted for recipient in client.recipients] == [True, False, False]
        assert client.recipients[1].reply == expected[1][4]
        with pytest.raises(AttributeError):
            client.recipients[0].state = 0
        with pytest.raises(AttributeError):
            client.recipients = []
        client.disconnect()
        assert client.recipients == expected
        # A new message begins with none.
        with pytest.raises(CallerError):
            client.send_message("s@a.example", THREE, b"x\r\n")
        assert client.recipients == []


def test_recipients_that_were_not_asked_for():
    broken = [("expect", b"RCPT TO:<bad@b.example>\r\n"), ("close",)]
    with session(*MAIL, *rcpt(b"good@b.example", b"250 ok\r\n"), *broken) as server:
        client = connected(server)
        with pytest.raises(WireError):
            client.send_message("s@a.example", THREE, b"x\r\n")
        states = [recipient.state for recipient in client.recipients]
        # The first was accepted for a message that did not come.
        assert states == [smtpclient.RECIPIENT_NOT_TRIED] * 3
        assert client.recipients[2] == ("later@b.example", smtpclient.RECIPIENT_NOT_TRIED, 0, "", "")
        client.close()


def test_many_recipients_and_a_long_reply():
    addresses = [f"r{number}@b.example" for number in range(300)]
    long = b"x" * 5000
    steps = [step for address in addresses for step in rcpt(address.encode(), b"550 " + long + b"\r\n")]
    with session(*MAIL, *steps, ("stall",)) as server:
        client = connected(server)
        with pytest.raises(ServerError):
            client.send_message("s@a.example", addresses, b"x\r\n")
        assert [recipient.address for recipient in client.recipients] == addresses
        replies = [recipient.reply for recipient in client.recipients]
        # So many long ones are cut short in the end.
        assert replies[:50] == [long.decode()] * 50 and replies[-1] == long.decode()[:2048]
        client.close()


def test_all_or_nothing():
    steps = [*SOME_REFUSED, ("expect", b"RSET\r\n"), ("send", b"250 ok\r\n"), *taken(), *QUIT]
    with session(*steps) as server, connected(server) as client:
        client.all_or_nothing = True
        assert client.all_or_nothing is True
        with pytest.raises(ServerError) as failed:
            client.send_stream("s@a.example", THREE, [b"x\r\n"])
        error = failed.value
        assert (error.name, error.phase) == ("SMTP_ERROR_RECIPIENT_REJECTED", smtpclient.PHASE_RCPT)
        assert (error.address, error.result_code) == ("bad@b.example", 550)
        assert error.safe_to_retry
        assert [recipient.result_code for recipient in client.recipients] == [0, 550, 451]
        client.send_message(*ADDRESSES, b"x\r\n")
        assert client.outcome == smtpclient.OUTCOME_ACCEPTED


# Other commands


def asked(command, reply):
    return [("expect", command + b"\r\n"), ("send", reply)]


def test_commands_octet_by_octet():
    steps = [
        *asked(b"NOOP", b"250 2.0.0 alive\r\n"),
        *asked(b"VRFY joe@b.example", b"252 cannot tell\r\n"),
        *asked(b"VRFY joe", b"250-Joe\r\n250 <joe@b.example>\r\n"),
        *asked(b"EXPN staff", b"250-Joe <joe@b.example>\r\n250 <jo\xff@b.example>\r\n"),
        *asked(b"HELP", b"214-one\r\n214 two\r\n"),
        *asked(b"ETRN b.example", b"250 queuing\r\n"),
        *QUIT,
    ]
    with session(*steps) as server, connected(server) as client:
        assert client.noop() is True
        assert client.verify("Joe <joe@b.example>") == (252, "cannot tell")
        assert client.verify("joe") == (250, "Joe\n<joe@b.example>")
        assert client.expand("staff") == ["Joe <joe@b.example>", "<jo\ufffd@b.example>"]
        assert client.command("HELP") == (214, "one\ntwo")
        assert client.command("ETRN", "b.example") == (250, "queuing")


@pytest.mark.parametrize("capacity", [1, 10, 2 << 20])
def test_a_long_list_is_asked_for_once(capacity, monkeypatch):
    monkeypatch.setattr(smtpclient._client, "_EXPAND_CAPACITY", capacity)
    members = [f"<member-{number}@b.example>" for number in range(5000)]
    reply = "".join(f"250-{member}\r\n" for member in members[:-1]) + f"250 {members[-1]}\r\n"
    with session(*asked(b"EXPN all", reply.encode()), *QUIT) as server, connected(server) as client:
        assert client.expand("all") == members


@pytest.mark.parametrize(
    "command, call",
    [
        (b"NOOP", lambda client: client.noop()),
        (b"VRFY joe", lambda client: client.verify("joe")),
        (b"EXPN joe", lambda client: client.expand("joe")),
        (b"X-THING a=b", lambda client: client.command("X-THING", "a=b")),
    ],
    ids=["noop", "verify", "expand", "command"],
)
@pytest.mark.parametrize("reply, code", [(b"502 5.5.1 not here", 502), (b"450 later", 450)])
def test_a_refused_command_leaves_the_connection_open(command, call, reply, code):
    with session(*asked(command, reply + b"\r\n"), *QUIT) as server, connected(server) as client:
        with pytest.raises(ServerError) as failed:
            call(client)
        error = failed.value
        assert (error.name, error.phase) == ("SMTP_ERROR_COMMAND_REJECTED", smtpclient.PHASE_COMMAND)
        assert (error.result_code, error.reply) == (code, reply[4:].decode())
        assert reply[4:].decode() in str(error)
        assert client.is_connected


@pytest.mark.parametrize(
    "reply, name",
    [(b"421 bye\r\n", "SMTP_ERROR_SERVER_CLOSING"), (b"354 go\r\n", "SMTP_ERROR_PROTOCOL")],
)
def test_a_reply_that_ends_the_connection(reply, name):
    with session(*asked(b"NOOP", reply), ("stall",)) as server:
        client = connected(server)
        with pytest.raises(ServerError) as failed:
            client.noop()
        assert failed.value.name == name
        assert not client.is_connected
        client.close()


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda client: client.command("DATA"), "SMTP_ERROR_UNSUITABLE_COMMAND"),
        (lambda client: client.command("mail", "FROM:<a@b>"), "SMTP_ERROR_UNSUITABLE_COMMAND"),
        (lambda client: client.command(""), "SMTP_ERROR_INVALID_PARAMETER"),
        (lambda client: client.command("NOOP\r\nRSET"), "SMTP_ERROR_INVALID_PARAMETER"),
        (lambda client: client.command("NOOP", "a\r\nRSET"), "SMTP_ERROR_INVALID_PARAMETER"),
        (lambda client: client.command("NOOP", "j\u00f6rg"), "SMTP_ERROR_INVALID_PARAMETER"),
        (lambda client: client.command("NOOP", "x" * 2000), "SMTP_ERROR_TOO_LONG"),
        (lambda client: client.verify("a\r\nRSET"), "SMTP_ERROR_INVALID_PARAMETER"),
        (lambda client: client.verify("a@b@c"), "SMTP_ERROR_INVALID_ADDRESS"),
        (lambda client: client.expand("a\nRSET"), "SMTP_ERROR_INVALID_PARAMETER"),
    ],
)
def test_commands_that_are_not_sent(call, name):
    with session(*QUIT) as server, connected(server) as client:
        with pytest.raises(CallerError) as failed:
            call(client)
        assert failed.value.name == name
        assert client.is_connected


@pytest.mark.parametrize("call", ["noop", "verify", "expand", "command"])
def test_commands_without_a_connection(call):
    with Client() as client:
        with pytest.raises(CallerError) as failed:
            getattr(client, call)(*(["a"] if call != "noop" else []))
        assert failed.value.name == "SMTP_ERROR_NOT_CONNECTED"


def test_notifications_and_progress_with_the_exact_octets():
    content = b"x" * 600_000
    steps = [
        ("expect", b"MAIL FROM:<s@a.example> RET=HDRS ENVID=order+3D1\r\n"),
        ("expect", b"RCPT TO:<r+t@b.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;r+2Bt@b.example\r\n"),
        ("expect", b"DATA\r\n"),
        ("send", b"250 ok\r\n250 ok\r\n354 go\r\n"),
        ("expect", content + b"\r\n.\r\n"),
        ("send", b"250 ok\r\n"),
    ]
    told = []
    with session(*steps, extensions=b"250-test\r\n250-PIPELINING\r\n250 DSN\r\n") as server:
        client = connected(server)
        client.delivery_options = (
            smtpclient.DELIVERY_NOTIFY_FAILURE | smtpclient.DELIVERY_NOTIFY_DELAY | smtpclient.DELIVERY_RETURN_HEADERS
        )
        client.envelope_id = "order=1"
        client.on_event(lambda event: told.append((event.bytes_copied, event.bytes_total)), smtpclient.EVENT_PROGRESS)
        client.send_message("s@a.example", "r+t@b.example", content)
        client.on_event(None)
        client.close()
    assert told[0] == (0, 600_000) and told[-1] == (600_000, 600_000) and len(told) <= 5


def test_the_record_of_an_error_as_json():
    with Client() as client:
        with pytest.raises(WireError) as failed:
            client.connect("127.0.0.1", 1)
        record = json.loads(client.error_json)
    assert record["name"] == failed.value.name == "SMTP_ERROR_CONNECTION_REFUSED"
    assert record["class"] == "WIRE" and record["phase"] == "CONNECT" and record["address"] == "127.0.0.1:1"
