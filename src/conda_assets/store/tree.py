"""Where things are in one store folder, and reading them. Nothing here writes."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from conda_assets.digest import Digest
from conda_assets.errors import StoreFailed
from conda_assets.model import Stored
from conda_assets.records import dataclass
from conda_assets.regexes import regex

__all__ = ["LAYOUT_VERSION", "Entry", "Tree", "look"]

#: The layout that the package docstring draws.
LAYOUT_VERSION = 1

_SHA256 = regex(r"[0-9a-f]{64}")
_EMPTY = hashlib.sha256(b"").hexdigest()
# Entries are ~100 bytes; whatever is larger is none of ours.
_ENTRY_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Entry:
    """What an alias or a URL stands for."""

    sha256: str
    size_bytes: int

    def text(self) -> str:
        """As it stands in the file."""
        return json.dumps({"sha256": self.sha256, "size_bytes": self.size_bytes}) + "\n"


@dataclass(frozen=True, slots=True)
class Tree:
    """One store folder, which need not exist."""

    folder: Path

    @property
    def marker(self) -> Path:
        """Says that this is a store, and of which layout."""
        return self.folder / "conda-assets-store.json"

    def object(self, sha256: str) -> Path:
        """Where the file with that hash stands, once it is there."""
        return self.folder.joinpath("sha256", sha256[:2], sha256)

    def alias(self, digest: Digest) -> Path:
        """Where the sha256 of another digest is kept."""
        return self.folder / "aliases" / digest.algorithm / digest.hex[:2] / digest.hex

    def url(self, url: str) -> Path:
        """Where the sha256 of what a URL gave is kept."""
        key = hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()
        return self.folder / "urls" / key[:2] / key

    def check_version(self) -> bool:
        """Whether a store is there at all.

        Raises:
            StoreFailed: it has a newer layout, or its marker is not one of ours.
        """
        try:
            content = json.loads(self.marker.read_bytes())
            version = int(content["version"])
        except OSError:
            return False
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise StoreFailed(f"{self.marker} is not a marker of conda-assets; delete it if the folder is a store") from error
        if version > LAYOUT_VERSION:
            knows = f"this conda-assets knows up to {LAYOUT_VERSION}: update conda-assets"
            raise StoreFailed(f"the store {self.folder} has layout {version}, {knows}")
        return True

    def find(self, digest: Digest, size_bytes: int | None = None) -> Stored | None:
        """The file with that digest, at the cost of a stat or two; None too when the folder may not be read."""
        if digest.algorithm == "sha256":
            return self.stored(digest.hex, size_bytes)
        return self._follow(self.alias(digest), size_bytes)

    def find_url(self, url: str) -> Stored | None:
        """The file that the URL gave when it was fetched without a hash."""
        return self._follow(self.url(url), None)

    def stored(self, sha256: str, size_bytes: int | None = None) -> Stored | None:
        """The file with that sha256, if it stands there in a form that can be believed. `size_bytes`: expected, if known."""
        info = look(f"{self.folder}/sha256/{sha256[:2]}/{sha256}", sha256, size_bytes)
        return Stored(self.object(sha256), sha256, info.st_size, info.st_mtime_ns) if info is not None else None

    def objects(self) -> Iterator[Stored]:
        """Every file, in the order of its sha256."""
        top = self.folder / "sha256"
        for shelf in sorted(top.iterdir()) if top.is_dir() else ():
            # Others are just being made by somebody, and closed to us.
            for path in sorted(shelf.iterdir()) if len(shelf.name) == 2 and shelf.is_dir() else ():
                if _SHA256.fullmatch(path.name) and (found := self.stored(path.name)):
                    yield found

    def names(self) -> Iterator[tuple[Path, str]]:
        """What stands for files: aliases, URLs, marks of use and check sums, each with the sha256 that it leads to."""
        for pattern in ("used/??/*", "pieces/??/*"):
            for path in sorted(self.folder.glob(pattern)):
                if _SHA256.fullmatch(path.name):
                    yield path, path.name
        for pattern in ("aliases/*/??/*", "urls/??/*"):
            for path in sorted(self.folder.glob(pattern)):
                if (entry := _read_entry(path)) is not None:
                    yield path, entry.sha256

    def _follow(self, path: Path, size_bytes: int | None) -> Stored | None:
        entry = _read_entry(path)
        if entry is None or (size_bytes is not None and entry.size_bytes != size_bytes):
            return None
        return self.stored(entry.sha256, entry.size_bytes)


def look(path: str, sha256: str, size_bytes: int | None = None) -> os.stat_result | None:
    """What stands at the path, if it can be believed to be that file: `Tree.stored`, for who has thousands."""
    try:
        info = os.lstat(path)
    except OSError:
        return None
    if not stat.S_ISREG(info.st_mode) or (size_bytes is not None and info.st_size != size_bytes):
        return None
    # What a power cut leaves of a file on some file systems.
    if info.st_size == 0 and sha256 != _EMPTY:
        return None
    return info


def _read_entry(path: Path) -> Entry | None:
    """None for what is missing, damaged or forged: the file is then fetched again and the entry written anew."""
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_ENTRY_BYTES))
        sha256, size_bytes = content["sha256"], content["size_bytes"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256) or type(size_bytes) is not int:
        return None
    return Entry(sha256, size_bytes)
