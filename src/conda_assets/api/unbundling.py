"""Take a bundle in: every byte is hashed on its way into the store, and nothing but what the list names comes in.

A member is a regular file with just the name, the place and the size that the list gives it. Links, devices, sparse files, second
and further members, names that lead out: each refuses the bundle. What was taken in before that is right, and stays.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from conda_assets.api.bundle import MANIFEST, MANIFEST_BYTES, Contents, Object, Text, contents_of
from conda_assets.api.copying import Meter, write_hashed
from conda_assets.digest import Digest
from conda_assets.errors import BundleRefused, DigestMismatch, DiskFull, SpecInvalid, UsageError
from conda_assets.events import Observer, nobody
from conda_assets.records import dataclass
from conda_assets.settings import Settings
from conda_assets.spec import load_texts
from conda_assets.store import Store, open_stores

__all__ = ["Taken", "is_bundle", "take_in"]

_BLOCK_BYTES = 1 << 20
# Headers of real archives have some kB; tarfile reads one into memory, whatever its size field says.
_MOST_AT_ONCE = 4 << 20


@dataclass(frozen=True, slots=True)
class Taken:
    """`objects`: how many files came into the store; `known`: how many it had already. `texts`: name → content."""

    objects: int
    known: int
    size_bytes: int
    texts: Mapping[str, bytes]
    warnings: tuple[str, ...] = ()


def is_bundle(path: Path) -> bool:
    """Whether it is one, by its first bytes."""
    try:
        if path.is_dir():
            return (path / MANIFEST).is_file()
        with path.open("rb") as file:
            return file.read(len(MANIFEST) + 1) == MANIFEST.encode() + b"\0"
    except OSError:
        return False


def take_in(
    path: Path,
    source: str,
    settings: Settings,
    environ: Mapping[str, str],
    *,
    accept: Callable[[Mapping[str, bytes]], None],
    watch: Observer = nobody,
) -> Taken:
    """Bring a bundle's bytes into the store; its texts are given back, and nothing is written beside the store.

    Args:
        source: the bundle as the user typed it.
        environ: what `${NAME}` in the bundle's specs is replaced from, for URLs without a hash.
        accept: sees the texts before any byte comes in, and raises where they cannot be used.

    Raises:
        BundleRefused: not a bundle, cut off, damaged in its structure, or hostile.
        DigestMismatch: a member has other bytes than its name says.
        DiskFull: the store has no room for what it does not have.
        StoreFailed: the store cannot be written.
    """
    with _refusals(source), closing(_members(path, source)) as members, closing(open_stores(settings.stores)) as store:  # type: ignore[type-var]
        contents = _contents(members, source)
        _check_room(contents, store)
        texts = {text.name: _small(members, text, source) for text in contents.texts}
        accept(texts)
        urls, warnings = _urls(contents, texts, environ)
        came = known = size_bytes = 0
        meter = Meter(path.name, contents.size_bytes, watch)
        for each in contents.objects:
            if _is_here(each, store, urls.get(each.sha256, ())):
                _skip(members, each, source)
                meter.skip(each.size_bytes)
                known += 1
                continue
            _take(members, each, store, urls.get(each.sha256, ()), source, meter)
            came += 1
            size_bytes += each.size_bytes
        for extra in members:
            raise BundleRefused(source, f"it has {extra.name!r} in it, which its list does not name")
    return Taken(came, known, size_bytes, texts, warnings)


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    size_bytes: int
    blocks: Iterator[bytes]


def _members(path: Path, source: str) -> Iterator[_Member]:
    return _of_folder(path, source) if path.is_dir() else _of_tar(path, source)


def _of_tar(path: Path, source: str) -> Iterator[_Member]:
    with path.open("rb") as file, tarfile.open(fileobj=cast("BinaryIO", _Careful(file, source)), mode="r:") as archive:
        while (info := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # it would keep one for each member
            if not info.isreg() or info.sparse is not None:
                raise BundleRefused(source, f"its member {info.name!r} is no plain file")
            body = archive.extractfile(info)
            assert body is not None
            yield _Member(info.name, info.size, _blocks(cast("BinaryIO", body)))


def _of_folder(path: Path, source: str) -> Iterator[_Member]:
    """The members in the order of the list, which is read for that."""
    with _opened(path / MANIFEST, source) as file:
        data = file.read(MANIFEST_BYTES + 1)
    contents = contents_of(data, source)
    names = [MANIFEST, *(each.member for each in contents.texts), *(each.member for each in contents.objects)]
    for folder in ("spec", "objects"):
        if (path / folder).is_symlink():
            raise BundleRefused(source, f"its {folder!r} is a link")
    for name in names:
        with _opened(path / name, source) as file:
            yield _Member(name, os.fstat(file.fileno()).st_size, _blocks(file))


@contextmanager
def _opened(path: Path, source: str) -> Iterator[BinaryIO]:
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError as error:
        raise BundleRefused(source, f"{path.name} is missing in it") from error
    except OSError as error:
        raise BundleRefused(source, f"its member {path.name!r} cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BundleRefused(source, f"its member {path.name!r} is no plain file")
        yield file


class _Careful:
    """A file of which nobody can ask too much at once."""

    def __init__(self, file: BinaryIO, source: str) -> None:
        self._file, self._source = file, source
        self.seek, self.tell = file.seek, file.tell

    def read(self, count: int) -> bytes:
        """So many bytes, or fewer at the end."""
        if count > _MOST_AT_ONCE:
            raise BundleRefused(self._source, f"it has a header of {count} bytes")
        return self._file.read(count)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK_BYTES):
        yield block


def _next(members: Iterator[_Member], name: str, size_bytes: int | None, source: str) -> _Member:
    member = next(members, None)
    if member is None:
        raise BundleRefused(source, f"it ends before {name!r}")
    if member.name != name:
        raise BundleRefused(source, f"expected {name!r}, got {member.name!r}")
    if size_bytes is not None and member.size_bytes != size_bytes:
        raise BundleRefused(source, f"{name!r} has {member.size_bytes} bytes, its list says {size_bytes}")
    return member


def _contents(members: Iterator[_Member], source: str) -> Contents:
    member = _next(members, MANIFEST, None, source)
    if member.size_bytes > MANIFEST_BYTES:
        raise BundleRefused(source, f"{MANIFEST} has {member.size_bytes} bytes")
    return contents_of(b"".join(member.blocks), source)


def _small(members: Iterator[_Member], text: Text, source: str) -> bytes:
    data = b"".join(_next(members, text.member, text.size_bytes, source).blocks)
    if (got := hashlib.sha256(data).hexdigest()) != text.sha256:
        raise DigestMismatch(text.name, "sha256", text.sha256, got, source)
    return data


def _skip(members: Iterator[_Member], each: Object, source: str) -> None:
    """Pass over what the store has; a tar archive is wound on, not read."""
    _next(members, each.member, each.size_bytes, source)


def _take(members: Iterator[_Member], each: Object, store: Store, urls: tuple[str, ...], source: str, meter: Meter) -> None:
    member = _next(members, each.member, each.size_bytes, source)
    key = f"sha256-{each.sha256}"
    claim = store.claim(key)
    if claim is None:
        raise UsageError(f"{store.holder(key)} is bringing {', '.join(each.assets)} just now", "run the same command again")
    algorithms = frozenset({"sha256", *(digest.algorithm for digest in each.hashes)})
    with claim:
        try:
            claim.discard()
            with claim.data.open("xb") as file:
                digests, size_bytes = write_hashed(meter.measure(member.blocks), file, algorithms)
            for wanted in (Digest("sha256", each.sha256), *each.hashes):
                if (got := digests[wanted.algorithm]) != wanted:
                    raise DigestMismatch(", ".join(each.assets) or each.sha256, wanted.algorithm, wanted.hex, got.hex, source)
        except BaseException:
            claim.discard()  # a part of it would look like a download that can go on
            raise
        claim.adopt(digests=digests, size_bytes=size_bytes, urls=urls)


def _is_here(each: Object, store: Store, urls: tuple[str, ...]) -> bool:
    """The store has the file, by every name that a sync will look for it."""
    wanted = (Digest("sha256", each.sha256), *each.hashes)
    found = all(store.find(digest, each.size_bytes) for digest in wanted)
    return found and all((known := store.find_url(url)) and known.sha256 == each.sha256 for url in urls)


def _urls(
    contents: Contents, texts: Mapping[str, bytes], environ: Mapping[str, str]
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """sha256 → URLs that stand for it where the spec has no hash; and what could not be found out."""
    by_name = {name: each.sha256 for each in contents.objects for name in each.assets}
    found: dict[str, tuple[str, ...]] = {}
    specs = [(name, data.decode("utf-8-sig")) for name, data in texts.items() if not name.endswith(".lock")]
    try:
        assets = load_texts(specs, environ=environ, base=Path()).assets
    except SpecInvalid as error:
        return {}, (f"the bundle's spec cannot be read here, so assets without a hash will be missed: {error.message}",)
    for asset in assets:
        if asset.digest is None and asset.name in by_name:
            sha256 = by_name[asset.name]
            found[sha256] = (*found.get(sha256, ()), asset.url)
    bare = sorted(name for asset in assets if asset.digest is None and (name := asset.name) in by_name)
    believed = f"{', '.join(bare)}: the bundle is believed, as the spec has no hash" if bare else ""
    return found, (believed,) if believed else ()


def _check_room(contents: Contents, store: Store) -> None:
    needed = sum(each.size_bytes for each in contents.objects if not store.find(Digest("sha256", each.sha256), each.size_bytes))
    if needed and (free := store.free_bytes()) < needed:
        raise DiskFull(str(store.folder), needed, free)


@contextmanager
def _refusals(source: str) -> Iterator[None]:
    try:
        yield
    except tarfile.TarError as error:
        raise BundleRefused(source, f"it is no tar archive, or was cut off: {error}") from error
    except UnicodeDecodeError as error:
        raise BundleRefused(source, "its spec is no UTF-8 text") from error
    except ModuleNotFoundError as error:
        raise UsageError(f"its hashes need the package {error.name}", f"`conda install -n base {error.name}`") from error
    except OSError as error:
        raise BundleRefused(source, f"it cannot be read: {error.strerror or error}") from error
