"""The files that a conda command was given: what we read of them, and what conda is to read instead."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from os.path import expanduser, expandvars
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = ["accept_key", "folder_of", "read", "reading_copies", "reads_by_class", "write_copies"]

_KEY = "assets"


def read(file: str) -> str | None:
    """A file's text, decoded as conda does; None where conda will say what is wrong, and for a pipe, which is read only once."""
    from conda import CondaError

    try:
        if "://" in file:
            from conda.gateways.connection.download import download_text

            return str(download_text(file))
        path = _expanded(file)
        if not path.is_file():
            return None
        content = path.read_bytes()
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return content.decode("utf-16")
    except (OSError, UnicodeError, CondaError):
        return None


def folder_of(file: str) -> Path:
    """The absolute folder that `root: project` means: the file's, or the current one for a URL."""
    return Path.cwd() if "://" in file else _expanded(file).absolute().parent


def reads_by_class() -> bool:
    """The running conda has a class with a stable constructor for each kind of file (25.9 on)."""
    return find_spec("conda.env.specs.cep_24") is not None


def reading_copies(specifier: Any, copies: Mapping[str, str]) -> Any:
    """The same specifier, whose class reads the copy of a file that has one."""
    reader = specifier.environment_spec
    if not isinstance(reader, type):
        return specifier

    class ReadingCopies(reader):  # type: ignore[misc, valid-type]
        def __init__(self, filename: str | None = None, *args: Any, **named: Any) -> None:
            super().__init__(copies.get(filename or "", filename), *args, **named)

    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(ReadingCopies, name, getattr(reader, name))
    specifier.environment_spec = ReadingCopies
    return specifier


def write_copies(texts: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Write each (file as typed, text) to a private folder that goes with this process; returns typed → copy."""
    folder = Path(tempfile.mkdtemp(prefix="conda-assets-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copies: dict[str, str] = {}
    for number, (file, text) in enumerate(texts):
        # The name has to stay: conda chooses its reader by it.
        path = folder / str(number) / Path(urlsplit(file).path if "://" in file else file).name
        path.parent.mkdir()
        path.write_text(text, encoding="utf-8")
        copies[file] = _Copy(path, file)
    return copies


def accept_key() -> None:
    """Keep conda before 25.9 from warning about the key. It has no hook for that; those releases will not change any more."""
    from conda.env import env

    plain = env.validate_keys
    if hasattr(plain, "knows_assets"):
        return

    def validate_keys(data: Any, named: Any) -> Any:
        return plain({key: value for key, value in data.items() if key != _KEY} if isinstance(data, dict) else data, named)

    validate_keys.knows_assets = True  # type: ignore[attr-defined]
    env.validate_keys = validate_keys


class _Copy(str):
    """The path of a copy; in conda's sentences it stands as what the user typed."""

    typed: str

    def __new__(cls, path: Path, typed: str) -> _Copy:
        made = super().__new__(cls, path)
        made.typed = typed
        return made

    def __format__(self, form: str) -> str:
        return format(self.typed, form)


def _expanded(file: str) -> Path:
    path = Path(file)
    return path if path.exists() else Path(expanduser(expandvars(file)))  # noqa: PTH111  (Path's raises for an unknown user)
