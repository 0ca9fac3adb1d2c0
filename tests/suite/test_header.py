"""The header and the libraries as a consumer meets them: every dialect, the
exported names, what is needed to load it, its size, its version.

SMTPCLIENT_TARGET names the directory with the libraries; without it, it is
target/release.
"""

import ctypes
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("SMTPCLIENT_TARGET", REPO / "target" / "release"))
SHARED = TARGET / "libsmtpclient.so"
HEADER = REPO / "include" / "smtpclient.h"
TEXT = HEADER.read_text()
EXPORTS = (REPO / "tests" / "exports.txt").read_text().split()
# docs/dependencies.md says what the last step up was for.
MOST_OCTETS = 4352 * 1024

# The C library and the compiler's run-time library, wherever their version is.
C_LIBRARY = re.compile(r"(libc|libm|libpthread|libdl|librt|libgcc_s)\.so\.\d+|ld-linux[-a-z0-9_]*\.so\.\d+")

DIALECTS = [("gcc", "c", std) for std in ("c89", "c99", "c11", "c17", "c2x")]
DIALECTS += [("g++", "c++", std) for std in ("c++98", "c++11", "c++14", "c++17", "c++20")]
DIALECTS += [(compiler.replace("gcc", "clang").replace("g++", "clang++"), *rest) for compiler, *rest in DIALECTS]

PROGRAM = """
#include "smtpclient.h"
#include "smtpclient.h"

int main(void)
{
    return SmtpGetAbiVersion() == SMTP_ABI_VERSION && SMTP_ERROR_TIMEOUT < 0 ? 0 : 1;
}
"""

# What somebody writes who includes nothing before it.
ALONE = '#include "smtpclient.h"\n'


def need(tool):
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")


def output_of(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def declarations():
    """Each function of the header: name, declaration, the comment before it."""
    pattern = re.compile(r"/\*\*((?:(?!\*/).)*)\*/\n((?:const )?(?:struct )?\w+ \*?(Smtp\w+)\([^;]*\);)", re.DOTALL)
    return [(name, declaration, comment) for comment, declaration, name in pattern.findall(TEXT)]


FUNCTIONS = [name for name, _, _ in declarations()]


@pytest.mark.parametrize("compiler, language, standard", DIALECTS, ids=[f"{c}-{s}" for c, _, s in DIALECTS])
def test_dialect(tmp_path, compiler, language, standard):
    need(compiler)
    strict = [f"-std={standard}", "-Wall", "-Wextra", "-pedantic", "-Werror", f"-I{HEADER.parent}", "-x", language]
    for number, program in enumerate((ALONE, PROGRAM)):
        source = tmp_path / f"{number}.c"
        source.write_text(program)
        output_of(compiler, *strict, "-c", str(source), "-o", str(tmp_path / "out.o"))


def test_functions_are_found():
    """The pattern above sees every function that the header declares."""
    without_comments = re.sub(r"/\*.*?\*/", "", TEXT, flags=re.DOTALL)
    names = re.findall(r"\b(Smtp\w+)\(", without_comments)
    assert sorted(names) == sorted(FUNCTIONS)
    assert len(names) == len(set(names)) > 10


@pytest.mark.parametrize("name, declaration, comment", declarations(), ids=FUNCTIONS)
def test_function_is_documented(name, declaration, comment):
    assert "Threads:" in comment
    assert re.search(r"\bSince\s(\*\s)?\d+\.\d+", comment)
    parameters = re.findall(r"(\w+)[,)]", declaration.replace("(void)", "()"))
    documented = re.findall(r"@param (\w+)", comment)
    assert documented == parameters


def test_misuse_is_tested_for_every_function_with_a_handle():
    takers = [name for name, declaration, _ in declarations() if "SmtpClient *client" in declaration]
    assert takers
    program = (REPO / "tests" / "c" / "misuse.c").read_text()
    body = program[program.index("static void every_function") : program.index("static SmtpClient *as_handle")]
    assert [name for name in takers if not re.search(rf"{name}\((\w+, )?bad\b", body)] == []
    takers = [name for name, declaration, _ in declarations() if re.search(r"SmtpMessage \*\w+[,)]", declaration)]
    body = program[program.index("static void every_message_function") : program.index("static void bad_messages")]
    assert takers and [name for name in takers if not re.search(rf"{name}\((\w+, )?bad\b", body)] == []
    takers = [name for name, declaration, _ in declarations() if "SmtpPool *pool" in declaration]
    body = program[program.index("static void every_function_of_a_pool") : program.index("static void bad_handles_of_other")]
    assert takers and [name for name in takers if f"{name}(bad" not in body] == []


def test_misuse_is_tested_for_every_function_with_a_batch():
    takers = [name for name, declaration, _ in declarations() if "SmtpBatch *batch" in declaration]
    assert takers
    program = (REPO / "tests" / "c" / "batch.c").read_text()
    body = program[program.index("static void every_batch_function") : program.index("static void bad_handles")]
    assert [name for name in takers if not re.search(rf"{name}\((client, )?bad", body)] == []


def test_the_list_of_exports_is_that_of_the_header():
    assert EXPORTS == sorted(EXPORTS)
    assert EXPORTS == sorted(FUNCTIONS)


def test_exports():
    need("nm")
    lines = output_of("nm", "-D", "--defined-only", str(SHARED)).splitlines()
    assert sorted(line.split()[-1].split("@")[0] for line in lines) == EXPORTS
    assert {line.split()[-2] for line in lines} == {"T"}


def dynamic_section():
    need("readelf")
    return output_of("readelf", "-dW", str(SHARED))


def test_soname():
    abi = re.search(r"#define SMTP_ABI_VERSION (\d+)", TEXT).group(1)
    assert re.findall(r"\(SONAME\).*\[(.*)\]", dynamic_section()) == [f"libsmtpclient.so.{abi}"]


def test_needs_the_c_library_only():
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic_section())
    assert needed
    assert [name for name in needed if not C_LIBRARY.fullmatch(name)] == []
    assert "(RPATH)" not in dynamic_section() and "(RUNPATH)" not in dynamic_section()


def test_hardening():
    """Writable tables are read-only once loaded, and no segment is both writable and executable."""
    assert "BIND_NOW" in dynamic_section() or "NOW" in dynamic_section()
    segments = output_of("readelf", "-lW", str(SHARED))
    assert "GNU_RELRO" in segments
    assert " RWE " not in segments
    assert not re.search(r"TEXTREL", dynamic_section())


def test_size(tmp_path, capsys):
    need("strip")
    stripped = tmp_path / "stripped.so"
    shutil.copy(SHARED, stripped)
    output_of("strip", str(stripped))
    size = stripped.stat().st_size
    with capsys.disabled():
        print(f"\nlibsmtpclient.so, stripped: {size} octets ({size / 2**20:.2f} MiB)")
    assert size <= MOST_OCTETS


def test_versions_agree():
    manifest = (REPO / "Cargo.toml").read_text()
    version = re.search(r'^version = "(\d+)\.(\d+)\.(\d+)"$', manifest, re.MULTILINE)
    macros = [re.search(rf"#define SMTP_VERSION_{part} (\d+)", TEXT).group(1) for part in ("MAJOR", "MINOR", "PATCH")]
    assert macros == list(version.groups())
    text = ".".join(macros)
    assert re.search(r'#define SMTP_VERSION_STRING "(.*)"', TEXT).group(1) == text
    library = ctypes.CDLL(str(SHARED))
    library.SmtpGetVersion.restype = ctypes.c_char_p
    library.SmtpGetAbiVersion.restype = ctypes.c_uint32
    assert library.SmtpGetVersion().decode() == text
    abi = re.search(r"#define SMTP_ABI_VERSION (\d+)", TEXT).group(1)
    assert library.SmtpGetAbiVersion() == int(abi)


def test_no_type_whose_size_depends_on_the_compiler():
    for name, declaration, _ in declarations():
        assert not re.search(r"\b(long|short|unsigned|int|bool|enum|float|double|\.\.\.)\b", declaration), name
        assert "..." not in declaration, name
