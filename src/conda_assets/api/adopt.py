"""Files that are on the disk already go into the store instead of being fetched: what has an asset's hash is that asset.

Where it lies does not matter: a Hugging Face cache (`models--org--name/snapshots/…`, links to blobs), torch's hub folder, a pooch
cache, any folder. Few files are read: those whose name is the hash, those that are called like the asset, those of its size.

The original stays as it is and may be changed later: the store has a reflink or a copy of it, hashed as it stands in the store.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

from conda_assets.api.copying import copy_hashed
from conda_assets.digest import Digest
from conda_assets.errors import AssetsError, DiskFull, DiskRefused, UsageError
from conda_assets.model import Asset, Outcome, State, Stored, last_part
from conda_assets.records import dataclass
from conda_assets.settings import Settings
from conda_assets.store import Store, open_stores

__all__ = ["adopt"]


@dataclass(frozen=True, slots=True)
class _File:
    """A regular file. `names`: its own and, for a link, the one it leads to; `key`: one for all names of the same bytes."""

    path: Path
    names: tuple[str, ...]
    size_bytes: int
    key: tuple[int, int]


def adopt(assets: Sequence[Asset], places: Sequence[Path], settings: Settings) -> tuple[Outcome, ...]:
    """What became of each asset: linked (the store has it, from there or before), skipped, failed.

    `places`: files and folders, which are searched with all that is below them.

    Raises:
        UsageError: a place is not there.
        StoreFailed: the store cannot be used.
    """
    files = list(_files(places))
    with closing(open_stores(settings.stores)) as store:
        return tuple(_one(asset, files, store) for asset in assets)


def _one(asset: Asset, files: list[_File], store: Store) -> Outcome:
    digest = asset.digest
    if digest is None:
        because = "it has no hash, so nothing says which file it is: add `sha256:`, or run `conda assets lock`"
        return Outcome(asset.name, State.SKIPPED, because)
    if stored := store.find(digest, asset.size_bytes if not asset.size_slack_bytes else None):
        return _linked(asset, stored, "the store has it already")
    candidates = _candidates(asset, digest, files)
    try:
        for file in candidates:
            if stored := _take(asset, digest, file, store):
                return _linked(asset, stored, f"taken from {file.path}")
    except AssetsError as error:
        return Outcome(asset.name, State.FAILED, error.message, error=error)
    looked = f"{len(candidates)} files that could be it have other bytes" if candidates else "no file has its name or size"
    return Outcome(asset.name, State.SKIPPED, looked)


def _linked(asset: Asset, stored: Stored, because: str) -> Outcome:
    return Outcome(
        asset.name, State.LINKED, because, path=stored.path, size_bytes=stored.size_bytes, sha256=stored.sha256, pinned=True
    )


def _candidates(asset: Asset, digest: Digest, files: list[_File]) -> list[_File]:
    """What could be the asset, the likeliest first; each of the same bytes once."""
    wanted = {name.lower() for name in (last_part(asset.url), Path(asset.path).name, asset.name) if name}

    def rank(file: _File) -> int:
        if digest.hex in file.names:
            return 0
        # pooch puts a hash before the name.
        if any(name.lower() in wanted or name.lower().partition("-")[2] in wanted for name in file.names):
            return 1
        return 2 if asset.size_bytes is not None else 3

    ranked = sorted(((rank(file), file) for file in files if asset.fits(file.size_bytes)), key=lambda each: each[0])
    return list({file.key: file for place, file in reversed(ranked) if place < 3}.values())[::-1]


def _take(asset: Asset, digest: Digest, file: _File, store: Store) -> Stored | None:
    """The file in the store; None where it has other bytes than the asset.

    Raises:
        DiskFull, DiskRefused, StoreFailed: it cannot be taken in.
    """
    claim = store.claim(f"{digest.algorithm}-{digest.hex}")
    if claim is None:
        raise DiskRefused(asset.name, f"{store.holder(f'{digest.algorithm}-{digest.hex}')} is bringing it just now")
    with claim:
        if (free := store.free_bytes()) < file.size_bytes:
            raise DiskFull(str(store.folder), file.size_bytes, free, asset.name)
        claim.discard()
        try:
            digests, size_bytes = copy_hashed(file.path, claim.data, frozenset({"sha256", digest.algorithm}))
        except BaseException as error:
            claim.discard()  # a part of it would look like a download that can go on
            if isinstance(error, OSError):
                raise DiskRefused(asset.name, f"{file.path} cannot be taken: {error.strerror or error}") from error
            raise
        if digests[digest.algorithm] != digest:
            claim.discard()
            return None
        return claim.adopt(digests=digests, size_bytes=size_bytes)


def _files(places: Sequence[Path]) -> Iterator[_File]:
    for place in places:
        if not place.exists():
            raise UsageError(f"there is no {place}", "name a file, or a folder such as `~/.cache/huggingface/hub`")
        if not place.is_dir():
            yield from _file(place)
            continue
        for folder, names, files in os.walk(place):
            names.sort()
            for name in sorted(files):
                yield from _file(Path(folder, name))


def _file(path: Path) -> Iterator[_File]:
    with suppress(OSError, ValueError):  # a link that leads nowhere, or a folder above that may not be entered
        info = path.stat()
        if stat.S_ISREG(info.st_mode):
            leads = (Path(os.readlink(path)).name,) if path.is_symlink() else ()  # noqa: PTH115 - readlink of Path normalizes
            yield _File(path, (path.name, *leads), info.st_size, (info.st_dev, info.st_ino))
