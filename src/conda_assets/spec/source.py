"""Reading spec files: from the disk or a URL, as UTF-8."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from conda_assets.errors import FileMissing, UsageError
from conda_assets.model import shown_url
from conda_assets.regexes import regex
from conda_assets.spec.values import nearest

__all__ = ["DEFAULT_NAMES", "is_file", "local_path", "read_source", "shown_source"]

#: In this order; the first one that has an `assets:` section is taken.
DEFAULT_NAMES = ("environment.yml", "environment.yaml", "assets.yml", "assets.yaml")

#: 10,000 assets take 4 MB; more than this is a mistake (`-f model.bin`), and would only exhaust memory.
MAX_BYTES = 64 << 20

_URL = regex("[A-Za-z][A-Za-z0-9+.-]+://")


def shown_source(source: str) -> str:
    """The source for messages: a path as it was typed, a URL without what may be secret.

    Raises:
        UsageError: something like a URL that is none.
    """
    if not _URL.match(source):
        return source
    try:
        return shown_url(source)
    except ValueError as error:
        raise UsageError("the URL of a file cannot be read: look at its host", "name the file with `-f FILE`") from error


def local_path(source: str, cwd: Path) -> Path | None:
    """Where a source is on this machine; None for one that is elsewhere.

    Raises:
        UsageError: a file URL that names another machine.
    """
    if not _URL.match(source):
        return cwd / source
    if not source.lower().startswith("file:"):
        return None
    parts = urlsplit(source)
    if parts.netloc.lower() not in ("", "localhost"):
        raise UsageError(
            f"{source} names the machine {parts.netloc!r}", "a file URL has three slashes: `file:///path/environment.yml`"
        )
    from urllib.request import url2pathname  # 26 ms, of which most commands need nothing

    return Path(url2pathname(parts.path))


def read_source(source: str, cwd: Path, read_url: Callable[[str], str]) -> str:
    """The text of a source, without a byte-order mark.

    Raises:
        FileMissing: there is no such file.
        UsageError: it is a folder, may not be read, is too large, or is not text.
    """
    path = local_path(source, cwd)
    if path is None:
        return read_url(source).removeprefix("\ufeff")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise FileMissing(f"there is no file {source}", _suggestion(source, path)) from error
    except IsADirectoryError as error:
        raise UsageError(f"{source} is a folder", _inside(source, path)) from error
    except PermissionError as error:
        if _is_folder(path):  # Windows says it this way
            raise UsageError(f"{source} is a folder", _inside(source, path)) from error
        raise UsageError(f"{source} may not be read: permission denied", f"`ls -l {source}` shows who may") from error
    except (OSError, ValueError) as error:  # a name that no file can have; a broken disk
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{source!r} cannot be read: {said}", "name the file with `-f FILE`") from error
    if len(data) > MAX_BYTES:
        too_large = f"{source} has more than {MAX_BYTES >> 20} MiB, which no environment file has"
        raise UsageError(too_large, "name the file with `-f FILE`")
    return _decoded(source, data)


def is_file(path: Path) -> bool:
    """Whether a file can be seen there; a folder that may not be entered shows none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _decoded(source: str, data: bytes) -> str:
    # PowerShell's `>` writes UTF-16 with its mark; conda reads that too.
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        said = f"{source} is not UTF-8 text: byte {error.start}, in line {line}"
        raise UsageError(said, "save it as UTF-8 in your editor") from error


def _suggestion(source: str, path: Path) -> str:
    """The next command after a name that is not there."""
    try:
        there = [each.name for each in path.parent.iterdir() if each.suffix in (".yml", ".yaml") and is_file(each)]
    except OSError:
        return f"the folder {path.parent} is not there either"
    meant = nearest(path.name, there) or next((name for name in DEFAULT_NAMES if name in there), "")
    return f"did you mean `-f {Path(source).with_name(meant)}`?" if meant else "name another one with `-f FILE`"


def _inside(source: str, folder: Path) -> str:
    found = next((name for name in DEFAULT_NAMES if is_file(folder / name)), "")
    return f"name the file: `-f {Path(source) / found}`" if found else "name a file with `-f FILE`"
