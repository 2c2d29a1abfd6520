"""Write a bundle: every byte is hashed on its way out, and an export that was cut off goes on where it stopped."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from conda_assets.api.bundle import MANIFEST, Contents, Object, Text, contents_of, manifest_text
from conda_assets.api.copying import Meter, blocks_of, write_hashed
from conda_assets.digest import Digest
from conda_assets.errors import DigestMismatch, DiskFull, NotStored, UsageError
from conda_assets.events import Observer, nobody
from conda_assets.model import Asset, Stored
from conda_assets.records import dataclass
from conda_assets.sources import is_pattern
from conda_assets.store import Store

__all__ = ["Bundling", "bundling_of", "write_folder", "write_tar"]

_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)


@dataclass(frozen=True, slots=True)
class Bundling:
    """What is to be bundled, and where its bytes are: member → text, sha256 → file of the store."""

    contents: Contents
    texts: Mapping[str, bytes]
    stored: Mapping[str, Stored]


def bundling_of(assets: Sequence[Asset], texts: Mapping[str, bytes], store: Store) -> Bundling:
    """What a bundle of these assets has in it. `texts`: file name → content of the specs and locks.

    Raises:
        NotStored: with the names of all assets whose bytes are not here.
        UsageError: an asset names several files, and no lock says which.
    """
    if several := [asset.name for asset in assets if asset.digest is None and is_pattern(asset)]:
        raise UsageError(
            f"{', '.join(several)}: a URL of several files that no lock lists", "`conda assets lock` lists them, then `fetch`"
        )
    stored: dict[str, Stored] = {}
    names: dict[str, list[str]] = {}
    hashes: dict[str, set[Digest]] = {}
    missing: list[str] = []
    for asset in assets:
        found = store.find(asset.digest) if asset.digest else store.find_url(asset.url)
        if found is None:
            missing.append(asset.name)
            continue
        stored[found.sha256] = found
        names.setdefault(found.sha256, []).append(asset.name)
        others = hashes.setdefault(found.sha256, set())
        if asset.digest and asset.digest.algorithm != "sha256":
            others.add(asset.digest)
    if missing:
        raise NotStored(", ".join(missing), "its bytes are not in the store" if len(missing) == 1 else "not in the store")
    objects = tuple(
        Object(
            sha256,
            stored[sha256].size_bytes,
            tuple(sorted(hashes[sha256], key=str)),
            tuple(sorted(names[sha256])),
        )
        for sha256 in sorted(stored)
    )
    specs = tuple(Text(name, len(text), hashlib.sha256(text).hexdigest()) for name, text in sorted(texts.items()))
    contents = Contents(specs, objects)
    contents_of(manifest_text(contents).encode(), "the bundle")  # a name that import refuses is better refused here
    return Bundling(contents, texts, stored)


def write_tar(bundling: Bundling, path: Path, watch: Observer = nobody) -> int:
    """The bundle as one archive; the number of bytes that were already there from an export that was cut off.

    Raises:
        DiskFull: not enough room.
        DigestMismatch: a file of the store is damaged.
        UsageError: the archive cannot be written there.
    """
    part = path.with_name(path.name + ".part")
    plan = list(_members(bundling))
    total = sum(each.span for each in plan) + len(_END)
    meter = Meter(path.name, bundling.contents.size_bytes, watch)
    with _refusals(path):
        start = _resumable(part, plan)
        _check_room(path.parent, total - start)
        with part.open("r+b" if start else "wb") as file:
            file.truncate(start)
            file.seek(start)
            at = 0
            for each in plan:
                if at >= start:
                    file.write(each.header)
                    each.write(file, meter)
                    file.write(bytes(-each.size_bytes % _BLOCK))
                elif each.stored:
                    meter.skip(each.size_bytes)
                at += each.span
            file.write(_END)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    return start


def write_folder(bundling: Bundling, path: Path, watch: Observer = nobody) -> int:
    """The bundle as a folder; files of the right size that are there from an export before are not written again.

    Raises:
        DiskFull, DigestMismatch, UsageError: as `write_tar`.
    """
    kept = 0
    with _refusals(path):
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path} is a file", "name a folder, or a file that ends in `.tar`")
        if path.is_dir() and any(path.iterdir()) and not (path / MANIFEST).is_file() and not (path / "objects").is_dir():
            raise UsageError(f"{path} is a folder with something else in it", "name a new folder")
        path.mkdir(parents=True, exist_ok=True)
        (path / MANIFEST).unlink(missing_ok=True)  # it comes last: a folder without it is no bundle
        head, *plan = _members(bundling)
        todo = [each for each in plan if each.text is not None or not _has(path / each.name, each.size_bytes)]
        kept = sum(each.size_bytes for each in plan if each not in todo)
        _check_room(path, sum(each.size_bytes for each in todo))
        meter = Meter(path.name, bundling.contents.size_bytes, watch)
        meter.skip(kept)
        for each in (*todo, head):
            target = path / each.name
            target.parent.mkdir(exist_ok=True)
            fresh = target.with_name(f".{target.name}.part")
            with fresh.open("wb") as file:
                each.write(file, meter)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(target)
    return kept


@dataclass(frozen=True, slots=True)
class _Member:
    """One file of a bundle: a small text, or a file of the store."""

    name: str
    size_bytes: int
    text: bytes | None = None
    stored: Stored | None = None
    asset: str = ""

    @property
    def header(self) -> bytes:
        info = tarfile.TarInfo(self.name)
        info.size, info.mode = self.size_bytes, 0o644
        return info.tobuf(tarfile.PAX_FORMAT)

    @property
    def span(self) -> int:
        """Bytes in the archive."""
        return len(self.header) + self.size_bytes + -self.size_bytes % _BLOCK

    def write(self, file: BinaryIO, meter: Meter) -> None:
        if self.stored is None:
            file.write(self.text or b"")
            return
        with self.stored.path.open("rb") as origin:
            digests, size_bytes = write_hashed(meter.measure(blocks_of(origin)), file, frozenset({"sha256"}))
        if (digests["sha256"].hex, size_bytes) != (self.stored.sha256, self.size_bytes):
            raise DigestMismatch(self.asset, "sha256", self.stored.sha256, digests["sha256"].hex, str(self.stored.path))


def _members(bundling: Bundling) -> Iterator[_Member]:
    manifest = manifest_text(bundling.contents).encode()
    yield _Member(MANIFEST, len(manifest), text=manifest)
    for text in bundling.contents.texts:
        yield _of_text(text, bundling)
    for each in bundling.contents.objects:
        yield _of_object(each, bundling)


def _of_text(text: Text, bundling: Bundling) -> _Member:
    return _Member(text.member, text.size_bytes, text=bundling.texts[text.name])


def _of_object(each: Object, bundling: Bundling) -> _Member:
    return _Member(each.member, each.size_bytes, stored=bundling.stored[each.sha256], asset=", ".join(each.assets))


def _resumable(part: Path, plan: Sequence[_Member]) -> int:
    """The end of the last whole member in a cut-off archive that has the same list; 0 where there is none."""
    head = plan[0].header + (plan[0].text or b"")
    try:
        with part.open("rb") as file:
            if file.read(len(head)) != head:
                return 0
            size_bytes = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return 0
    whole = 0
    for each in plan:
        if whole + each.span > size_bytes:
            break
        whole += each.span
    return whole


def _has(path: Path, size_bytes: int) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size == size_bytes


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFull(str(folder), needed, free)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """What the system refuses, as an error of ours."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}", "name another place with `-o`") from error
