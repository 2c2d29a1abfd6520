"""`file:///data/weights.bin`: a file of this machine, or of a share that it mounts.

    file:///data/set/                 everything below the folder; links to folders are not followed
    file:///data/set/**/*.parquet     a glob, as `globs` has them

The bytes are copied into the store like any others, so the original may go away; a reflink where the file system has that.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from conda_assets.errors import AccessDenied, AssetFailed, NotThere, SizeMismatch
from conda_assets.model import Asset, Locked, path_of_url, shown_url
from conda_assets.settings import Network
from conda_assets.sources.patterns import fixed_folder, is_glob, matching

__all__ = ["expand", "is_pattern", "probe"]


def is_pattern(url: str) -> bool:
    """A folder (with `/` at its end) or a glob."""
    path = unquote(urlsplit(url).path)
    return path.endswith("/") or is_glob(path)


def probe(asset: Asset, url: str, network: Network) -> Locked:
    """Look at the file.

    Raises:
        NotThere: no such file.
        AccessDenied: it may not be read.
        AssetFailed: no plain file.
        SizeMismatch: see `http.probe`.
    """
    path = path_of_url(url)
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
    except OSError as error:
        raise _refusal(asset.name, path, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise AssetFailed(asset.name, f"{path} is no plain file")
    if not asset.fits(status.st_size):
        raise SizeMismatch(asset.name, asset.size_bytes or 0, status.st_size, shown_url(url))
    return Locked(asset, url, url, status.st_size, etag=None, modified=None, resumable=False, same_host=True)


def expand(asset: Asset, url: str, network: Network) -> tuple[tuple[str, str], ...]:
    """The files below the pattern's folder that match.

    Raises:
        NotThere: no such folder, or nothing in it matches.
        AccessDenied: a folder that may not be read.
        UnsafePath: a name that cannot be a path here.
    """
    pattern = unquote(urlsplit(url).path)
    folder = fixed_folder(pattern)
    root = path_of_url(quote(folder))
    found = matching(asset.name, f"{root}", pattern, (folder + path for path in _walk(asset.name, root)))
    if not found:
        raise NotThere(asset.name, f"nothing in {root} matches {pattern[len(folder) :] or '/'}", f"look into {root}")
    return tuple((relative, f"file://{quote(path)}") for relative, path in found)


def _walk(name: str, root: Path) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise _refusal(name, root, error) from error

    for folder, _, files in os.walk(root, onerror=fail):
        for file in files:
            yield (Path(folder) / file).relative_to(root).as_posix()


def _refusal(name: str, path: Path, error: OSError) -> AssetFailed:
    shown = error.filename or path
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return NotThere(name, f"no file {shown}", f"check `url:` of `{name}`; is the disk mounted?")
    if isinstance(error, PermissionError):
        return AccessDenied(name, f"{shown} may not be read", f"`ls -l {shown}` shows who may")
    if isinstance(error, IsADirectoryError):
        return AssetFailed(name, f"{shown} is a folder; with `/` at the end of its URL it means all of its files")
    return AssetFailed(name, f"{shown} cannot be read: {error.strerror or error}")
