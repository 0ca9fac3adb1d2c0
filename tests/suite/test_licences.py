"""Every crate in the library has a licence that allows what users do with it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

# One of these is enough; all allow static linking into closed programs.
ALLOWED = {"MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "ISC", "BSD-3-Clause", "Unlicense", "Zlib", "0BSD", "Unicode-3.0"}


def crates():
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"]
    metadata = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting, seen = [metadata["resolve"]["root"]], set()
    while waiting:
        crate = waiting.pop()
        if crate in seen:
            continue
        seen.add(crate)
        for dependency in nodes[crate]["deps"]:
            # Neither build scripts' nor tests' dependencies are in the library.
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    return [packages[crate] for crate in seen]


def fits(expression):
    """Whether a licence expression can be met: `A AND B` needs both, `A OR B` one."""
    expression = expression.replace("/", " OR ")
    for part in expression.replace("(", "").replace(")", "").split(" AND "):
        if not any(choice.strip() in ALLOWED for choice in part.split(" OR ")):
            return False
    return True


@pytest.mark.skipif(not shutil.which("cargo"), reason="cargo is not on the path")
def test_every_licence_is_allowed():
    found = crates()
    assert len(found) > 20
    for crate in found:
        assert crate["license"] and fits(crate["license"]), f"{crate['name']}: {crate['license']}"


def test_a_licence_that_is_not_allowed_would_be_found():
    assert fits("MIT OR Apache-2.0") and fits("MIT/Apache-2.0") and fits("Apache-2.0 AND ISC")
    assert not fits("GPL-3.0-only") and not fits("MIT AND GPL-3.0-only") and not fits("CDLA-Permissive-2.0")
