"""Byte code of noarch Python packages: compiled by the environment's own Python, and owned by the packages' records.

conda compiles what it links and writes the files into `conda-meta/<package>.json`, so that removing the package removes them;
py-rattler does neither (0.28). Without, the first import of each package is slow, each time in an environment that its users
cannot write, and a removed package leaves folders behind that still can be imported.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from conda_assets.bootstrap.records import write_record
from conda_assets.records import dataclass
from conda_assets.regexes import regex

__all__ = ["compile_noarch", "python_of"]

_SITE = regex(r"^(?:lib/python(\d\.\d+)/|[Ll]ib/)site-packages/.+\.py$")
# Files that some Python cannot compile are expected: `-q -q` is silent about them, and only those that appear are recorded.
_COMPILE = (
    "import sys, py_compile\n"
    "for path in sys.stdin.read().split('\\0'):\n"
    "    try: path and py_compile.compile(path, quiet=2)\n"
    "    except (OSError, ValueError): pass\n"
    "print('cpython-%d%d' % sys.version_info[:2])\n"
)


@dataclass(frozen=True, slots=True)
class _Record:
    path: Path
    content: dict[str, object]
    sources: tuple[str, ...]


def python_of(prefix: Path) -> Path | None:
    """The Python of an environment, if it has one."""
    path = prefix / ("python.exe" if os.name == "nt" else "bin/python")
    return path if path.exists() else None


def compile_noarch(prefix: Path) -> int:
    """Compile each noarch package that has not been compiled yet, and record the files; returns how many.

    Raises:
        OSError: the environment's Python does not run, or a record cannot be written.
        subprocess.CalledProcessError: it fails.
    """
    python = python_of(prefix)
    records = list(_uncompiled(prefix)) if python else []
    if not records or python is None:
        return 0
    names = "\0".join(str(prefix / source) for record in records for source in record.sources)
    # -S -E: site hooks of a half-made environment have no say in this.
    said = subprocess.run(
        [python, "-E", "-S", "-c", _COMPILE], input=names, capture_output=True, text=True, check=True, cwd=prefix
    )
    tag = said.stdout.split()[-1]
    return sum(_record(prefix, record, tag) for record in records)


def _uncompiled(prefix: Path) -> Iterator[_Record]:
    for path in sorted((prefix / "conda-meta").glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        files = content.get("files") or []
        if content.get("noarch") == "python" and not any(name.endswith(".pyc") for name in files):
            sources = tuple(name for name in files if _SITE.match(name))
            if sources:
                yield _Record(path, content, sources)


def _record(prefix: Path, record: _Record, tag: str) -> int:
    made = []
    for source in record.sources:
        folder, _, name = source.rpartition("/")
        compiled = f"{folder}/__pycache__/{name[:-3]}.{tag}.pyc"
        if (prefix / compiled).exists():
            made.append(compiled)
    files, paths = record.content.get("files"), record.content.get("paths_data")
    if not made or not isinstance(files, list) or not isinstance(paths, dict):
        return 0
    files += made
    paths["paths"] = [*paths.get("paths", ()), *({"_path": name, "path_type": "pyc_file"} for name in made)]
    write_record(record.path, record.content)
    return len(made)
