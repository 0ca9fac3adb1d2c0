"""docs/original-mapping.md: every row is mapped or says why not, and every name
in it exists, in the header, in the library and in the Python package.

SMTPCLIENT_TARGET names the directory with the libraries; without it, it is
target/release.
"""

import ctypes
import os
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
import smtpclient
from conftest import ROOT

TARGET = Path(os.environ.get("SMTPCLIENT_TARGET", ROOT / "target" / "release"))
HEADER = (ROOT / "include" / "smtpclient.h").read_text()
MAPPING = ROOT / "docs" / "original-mapping.md"
CHECKLIST = ROOT.parent / "shared" / "reference" / "original-api.tsv"

HEADING = re.compile(r"### (\w+) \(([\w-]+)\)")
KINDS = {
    "Methods": "method",
    "Properties": "property",
    "Events": "event",
    "Constants": "constant",
    "Functions": "function",
    "Callbacks": "callback",
    "Structures": "struct",
    "Classes": "class",
    "Errors": "error",
}
COMPOSING = {"InternetMail", "MIME-ActiveX", "MIME-Library", "MIME-Class"}
WITHOUT = {"departure", "not evidenced"}


class Row(NamedTuple):
    edition: str
    kind: str
    original: str
    grade: str
    c: str
    python: str
    note: str


def read_rows():
    edition = kind = None
    for line in MAPPING.read_text().splitlines():
        heading = HEADING.fullmatch(line)
        if heading:
            kind, edition = KINDS[heading.group(1)], heading.group(2)
        elif line.startswith("## "):
            edition = kind = None
        elif edition and line.startswith("| ") and not line.startswith("| original |"):
            yield Row(edition, kind, *(cell.strip() for cell in line.strip("|").split("|")))


ROWS = list(read_rows())
REQUIRED = [row for row in ROWS if row.grade in "DS"]


def names(text):
    return re.findall(r"`([^`]+)`", text)


def say(row):
    return f"{row.edition} {row.kind} {row.original}"


def test_the_tables_are_read():
    assert {row.edition for row in ROWS} == COMPOSING | {"ActiveX", "Library", "LibraryClass", "DotNet", "Shared"}
    assert len(ROWS) > 350 and len(REQUIRED) > 180
    assert all(row.grade in ("D", "S", "X", "N") for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=say)
def test_a_row_is_mapped_or_says_why_not(row):
    if row.c in WITHOUT:
        assert row.python == "", "what has no counterpart in C has none in Python"
        if row.c == "departure":
            assert len(row.note) > 15, "a departure needs its reason"
        else:
            assert row.grade in "XN", "what is documented is a requirement"
        return
    # Nothing but names, and at least one for each language.
    for cell in (row.c, row.python):
        assert names(cell) and re.fullmatch(r"(`[\w.]+` ?)+", cell), cell


@pytest.mark.parametrize("row", REQUIRED, ids=say)
def test_what_is_required_is_there_or_a_departure(row):
    assert row.c == "departure" or (names(row.c) and names(row.python))


def test_every_name_of_c_exists():
    library = ctypes.CDLL(str(TARGET / "libsmtpclient.so"))
    functions = set(re.findall(r"^[\w *]*?\*?(Smtp\w+)\(", HEADER, re.MULTILINE))
    types = set(re.findall(r"^} (Smtp\w+);", HEADER, re.MULTILINE))
    types |= set(re.findall(r"^typedef .*\(\*(Smtp\w+)\)\(", HEADER, re.MULTILINE))
    types |= set(re.findall(r"^typedef struct \w+ (Smtp\w+);", HEADER, re.MULTILINE))
    constants = set(re.findall(r"^#define (SMTP_\w+)", HEADER, re.MULTILINE))
    found = 0
    for row in ROWS:
        for name in names(row.c) + [name for name in names(row.note) if name.lower().startswith("smtp")]:
            found += 1
            if name in functions:
                assert hasattr(library, name), f"{say(row)}: {name} is not exported"
            else:
                assert name in types | constants, f"{say(row)}: the header has no {name}"
    assert found > 300


def test_every_name_of_python_exists():
    found = 0
    for row in ROWS:
        for name in names(row.python):
            found += 1
            thing = smtpclient
            for part in name.split("."):
                assert hasattr(thing, part), f"{say(row)}: there is no {name}"
                thing = getattr(thing, part)
            assert name.split(".")[0] in smtpclient.__all__, f"{say(row)}: {name} is not public"
    assert found > 250


@pytest.mark.skipif(not CHECKLIST.is_file(), reason="the checklist of the original is not beside this repository")
def test_no_row_of_the_checklist_is_missing():
    lines = [line.split("\t") for line in CHECKLIST.read_text().splitlines()[1:]]
    wanted = Counter((line[0], line[1], line[2], line[5][0]) for line in lines)
    mapped = Counter((row.edition, row.kind, row.original, row.grade) for row in ROWS)
    assert mapped - wanted == Counter(), "rows of its own"
    assert wanted - mapped == Counter(), "rows that are missing"
