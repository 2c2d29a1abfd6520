"""Unpacking one archive into one folder, from the first byte to the swap."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from conda_assets.digest import digest_file
from conda_assets.errors import ArchiveRefused, DiskFull, NotAnArchive, UnsafePath
from conda_assets.events import Noted, Observer, Unpacking, nobody
from conda_assets.model import Unpack
from conda_assets.paths import hold, open_spot, refused
from conda_assets.unpack.codecs import Codec
from conda_assets.unpack.entry import Entries
from conda_assets.unpack.filling import Filling
from conda_assets.unpack.flow import Flow, ahead, decoded, raw
from conda_assets.unpack.foreign import foreign_entries
from conda_assets.unpack.kinds import Container, kind_of
from conda_assets.unpack.limits import Limits, Meter
from conda_assets.unpack.manifest import Manifest
from conda_assets.unpack.refusal import NoArchive, Refused
from conda_assets.unpack.singles import gzip_time, single_entry
from conda_assets.unpack.swapping import heal_all, swap, tell_kept
from conda_assets.unpack.tar_header import HEADER_BYTES
from conda_assets.unpack.tars import looks_like_tar, tar_entries
from conda_assets.unpack.work import NEW, Work, alone, open_work
from conda_assets.unpack.writing import Tree
from conda_assets.unpack.zips import zip_entries

__all__ = ["extract"]

_TELL_EVERY_S = 0.25


def extract(  # noqa: PLR0913 - one call says what, where and for whom; all but five have a default
    archive: Path,
    name: str,
    into: Path,
    unpack: Unpack,
    *,
    within: Path,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    sha256: str | None = None,
    old: Manifest | None = None,
    writable: bool = False,
    asset: str = "",
    watch: Observer = nobody,
) -> Manifest:
    """Make the folder `into` hold what is in the archive, and say what that is.

    The folder is replaced as a whole: a reader sees the old one or the new one, and for an instant between two renames none.
    Files in it that are not in `old`, or were changed since, are the user's: they stay where they are, or become `<name>.orig`
    where the archive has a file of that name; `watch` is told. Safe to call again after a kill at any moment, and for several
    processes at once.

    Args:
        archive: the file, read only.
        name: what it is called where it comes from; decides only what a compressed single file is called.
        into: absolute; `within` is a folder above it, and the one that nothing is written outside of.
        sha256: of the archive, where it is known; else it is read for that.
        old: the manifest of what stands there, if anything of ours does.
        writable: files that their owner may change, none of which shares its bytes with another one.
        asset: its name, for errors and events.
        watch: gets `Unpacking` and `Noted`; what it raises ends the run, with the old folder as it was.

    Raises:
        NotAnArchive: none of the kinds that are known.
        ArchiveRefused: damaged, hostile, encrypted, without what `unpack` asks for, or in need of a package.
        UnsafePath: no folder stands at the target, or a link above it leads out of `within`.
        DiskFull, DiskRefused: the system refuses; the old folder is still there.
    """
    run = _Run(archive, name, unpack, limits, writable, asset or into.name, watch)
    with _our_errors(run.asset, into.parent), open_spot(into, within, run.asset, create=True) as spots:
        above = spots[-1]
        info = above.look(into.name)
        if info is not None and not stat.S_ISDIR(info.st_mode):
            raise UnsafePath(run.asset, f"{into} is not a folder, and is left as it is: move it away")
        heal_all(above, into, watch)
        with open_work(above, into.name) as work:
            manifest = run.fill(work, sha256)
            with alone(above):
                kept = swap(work, into.name, old, manifest)
        tell_kept(into, kept, watch)
        return manifest


class _Run:
    """What stays the same during one extraction."""

    def __init__(
        self, archive: Path, name: str, unpack: Unpack, limits: Limits, writable: bool, asset: str, watch: Observer
    ) -> None:
        self._archive, self._name, self._unpack, self._limits, self._writable = archive, name, unpack, limits, writable
        self.asset, self._watch = asset, watch

    def fill(self, work: Work, sha256: str | None) -> Manifest:
        """Write the new folder, and have it on the disk."""
        with ExitStack() as stack:
            file = stack.enter_context(_open(self._archive))
            sha256 = sha256 or _digest(self._archive)
            os.mkdir(work.spot.at(NEW), dir_fd=work.spot.descriptor)
            new = stack.enter_context(hold(work.spot, NEW))
            size_bytes = os.fstat(file.fileno()).st_size
            pulse = _Pulse(self.asset, file, size_bytes, work, self._watch)
            meter = Meter(self._limits, size_bytes, new.path, beat=pulse.beat)
            kind, entries = self._entries(stack, file, size_bytes, meter)
            tree = Tree(new, meter, writable=self._writable)
            filling = Filling(tree, self._unpack, self._limits, meter)
            pulse.tell()
            filling.fill(entries)
            members = filling.finish()
            pulse.tell()
            tree.sync()
            for note in filling.notes:
                self._watch(Noted(f"{self.asset}: {note}", "warning"))
            return Manifest(sha256, kind, self._name, self._unpack, members)

    def _entries(self, stack: ExitStack, file: BinaryIO, size_bytes: int, meter: Meter) -> tuple[str, Entries]:
        """The kind, as the manifest names it, and the members; what they need is open as long as the stack."""
        kind, limits = kind_of(file, size_bytes, self._name), self._limits
        if kind is Container.ZIP:
            return kind.value, zip_entries(file, limits, meter)
        if kind is Container.TAR:
            return kind.value, tar_entries(Flow(raw(file), meter.came))
        if isinstance(kind, Container):
            return kind.value, stack.enter_context(foreign_entries(file, kind, limits, meter))
        modified_ns = gzip_time(file) if kind is Codec.GZIP else None
        flow = Flow(stack.enter_context(ahead(decoded(file, kind, limits.memory_bytes))), meter.came)
        if looks_like_tar(flow.peek(HEADER_BYTES), self._name):
            return f"tar.{kind.value}", tar_entries(flow)
        modified_ns = modified_ns or os.fstat(file.fileno()).st_mtime_ns
        return kind.value, [single_entry(flow, kind, self._name, modified_ns, limits)]


class _Pulse:
    """Tells, now and then, how far the archive has been read, and keeps the work folder from looking dead."""

    def __init__(self, asset: str, file: BinaryIO, size_bytes: int, work: Work, watch: Observer) -> None:
        self._asset, self._file, self._size_bytes, self._work, self._watch = asset, file, size_bytes, work, watch
        self._told = time.monotonic()

    def beat(self) -> None:
        """Cheap to call often."""
        if time.monotonic() - self._told >= _TELL_EVERY_S:
            self.tell()

    def tell(self) -> None:
        """How far it is now."""
        self._told = time.monotonic()
        self._work.touch()
        # The place in the file, which a decoding thread or process moves.
        done = min(os.lseek(self._file.fileno(), 0, os.SEEK_CUR), self._size_bytes)
        self._watch(Unpacking(self._asset, done, self._size_bytes))


@contextmanager
def _our_errors(asset: str, folder: Path) -> Iterator[None]:
    """Whatever goes wrong leaves as an error of ours that names the asset."""
    try:
        yield
    except Refused as error:
        raise ArchiveRefused(asset, error.cause, error.fix) from error
    except NoArchive as error:
        raise NotAnArchive(asset, error.cause) from error
    except DiskFull as error:
        error.asset = asset
        raise
    except OSError as error:
        raise refused(error, asset, folder) from error


@contextmanager
def _open(archive: Path) -> Iterator[BinaryIO]:
    """The archive, unbuffered: its place tells how far it has been read.

    Raises:
        Refused: it cannot be read, or is no file.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(archive, flags)
    except OSError as error:
        raise Refused(f"{archive} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Refused(f"{archive} is not a file")
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        yield file


def _digest(archive: Path) -> str:
    try:
        return digest_file(archive)["sha256"].hex
    except (OSError, EOFError) as error:
        raise Refused(f"{archive} cannot be read: {error}") from error
