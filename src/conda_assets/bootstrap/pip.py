"""The `pip:` section: the environment's own pip installs what conda packages do not have."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urljoin

from conda_assets.bootstrap.bytecode import python_of
from conda_assets.errors import BootstrapFailed, FileMissing
from conda_assets.events import Noted, Observer
from conda_assets.regexes import regex

__all__ = ["anchored", "install_pip_section", "require_files"]

_FILE_OPTION = regex(r"^(-r|--requirement|-c|--constraint|-e|--editable|-f|--find-links)(?:\s+|=)(.+)$")
_NEEDS_FILE = ("-r", "--requirement", "-c", "--constraint")
# What pip says that a person wants to see while it works.
_TELLING = regex(r"^\s*(Collecting|Downloading|Building|Installing|Successfully installed|WARNING|Obtaining|Cloning)\b")
# Settings that would send packages elsewhere than into the environment.
_MISLEADING = (
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_PYTHON",
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "__PYVENV_LAUNCHER__",
)
_TAIL_LINES = 12


def anchored(lines: Iterable[str], source: str) -> tuple[str, ...]:
    """The lines with paths made absolute: they are relative to the folder (or URL) of `source`, the file they stand in."""
    return tuple(_anchored(line, source) for line in lines)


def require_files(lines: Iterable[str]) -> None:
    """Check that the requirements and constraints files of anchored lines are there, before anything else is done.

    Raises:
        FileMissing: one is not.
    """
    for line in lines:
        found = _FILE_OPTION.match(line)
        if found and found[1] in _NEEDS_FILE and "://" not in found[2] and not Path(found[2]).is_file():
            raise FileMissing(
                f"the pip section names {found[2]}, which is not there", "its paths are relative to the file it stands in"
            )


def install_pip_section(
    prefix: Path, lines: Iterable[str], *, source: str, environ: Mapping[str, str], again: str, watch: Observer
) -> None:
    """Run the environment's pip over anchored lines, in the folder of `source`: paths in files that they name are relative to it.

    Raises:
        BootstrapFailed: pip is not there or fails; the environment stays, and `again` is the command that goes on.
    """
    python = python_of(prefix)
    if python is None:
        raise BootstrapFailed(f"{prefix} has no Python for the pip section", "add `python` to `dependencies`")
    watch(Noted("installing the pip section"))
    with tempfile.TemporaryDirectory(prefix="conda-assets-") as folder:
        wanted = Path(folder, "requirements.txt")
        wanted.write_text("\n".join(lines) + "\n", encoding="utf-8")
        # As conda calls it, so that the same file gives the same environment.
        command = [str(python), "-m", "pip", "install", "-U", "-r", str(wanted), "--exists-action=b", "--no-input"]
        beside = Path(source).absolute().parent
        status, said = _run(command, _environment(prefix, environ), str(beside if beside.is_dir() else folder), watch)
    if status:
        tail = "\n".join(f"  {line}" for line in said[-_TAIL_LINES:])
        raise BootstrapFailed(
            f"pip could not install the pip section into {prefix} (exit status {status}):\n{tail}",
            f"the conda packages are in place; mend the pip section and run `{again}` again",
        )


def _run(command: list[str], environ: Mapping[str, str], cwd: str, watch: Observer) -> tuple[int, list[str]]:
    said: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environ),
        cwd=cwd,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout
        try:
            for line in process.stdout:
                said.append(line.rstrip())
                if _TELLING.match(line):
                    watch(Noted(f"pip: {line.strip()}"))
        except BaseException:
            process.terminate()
            raise
    return process.returncode, said


def _environment(prefix: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's variables, as if the environment were active; the user's own site-packages are out of sight."""
    bins = [prefix, prefix / "Library" / "bin", prefix / "Scripts", prefix / "bin"] if os.name == "nt" else [prefix / "bin"]
    kept = {name: value for name, value in environ.items() if name not in _MISLEADING}
    return kept | {
        "PATH": os.pathsep.join([*map(str, bins), environ.get("PATH", os.defpath)]),
        "CONDA_PREFIX": str(prefix),
        "CONDA_DEFAULT_ENV": str(prefix),
        # Else a package in ~/.local counts as installed, and the environment lacks it for everybody else.
        "PYTHONNOUSERSITE": "1",
        "PIP_USER": "0",
        "PIP_REQUIRE_VIRTUALENV": "0",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
    }


def _anchored(line: str, source: str) -> str:
    found = _FILE_OPTION.match(line)
    if found:
        option, place = found[1], found[2].strip().strip("'\"")
        # `-e git+https://…` and the like are addresses already.
        return line if "://" in place else f"{option} {_absolute(place, source)}"
    if line.startswith((".", "/", "~")) or (os.sep == "\\" and re.match(r"[A-Za-z]:", line)):
        return _absolute(line, source)
    bare = re.split(r"\s|;", line, maxsplit=1)[0]
    is_archive = bare.endswith((".whl", ".tar.gz", ".zip")) and "://" not in bare and "@" not in bare
    return _absolute(line, source) if is_archive else line


def _absolute(place: str, source: str) -> str:
    if "://" in source and not source.startswith("file:"):
        return urljoin(source, place)
    folder = Path(source).absolute().parent
    path, extras = re.fullmatch(r"(.*?)(\[[^\]]*\])?", place).groups()  # type: ignore[union-attr]
    return os.path.normpath(folder / Path(path).expanduser()) + (extras or "")
