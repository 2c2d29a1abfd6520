"""A file that is there in part, and what is known of it; the same for every transport, so that one can go on where another ended.

    data            the bytes; sparse while aria2 writes it
    data.aria2      aria2's control file: pieces and blocks that are there; fsynced after the data once a second
    data.pieces     our journal, one JSON object: what the file is (`size`, `etag`, `modified`), which pieces are there
                    (`piece`, `bits`), on which boot of which machine (`boot`), whether the data was on the disk (`synced`)

The control file is precise but fragile: a full disk leaves it empty, and in the first second there is none. The journal is
written at every poll and renamed into place; after a power cut it is believed only where it says `synced`. Whatever disagrees
with the pin is removed: bytes of two versions of a file are never mixed.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from conda_assets.records import dataclass
from conda_assets.transport import control as control_file
from conda_assets.transport import pieces
from conda_assets.transport.control import Control

__all__ = ["Journal", "Partial", "Pin"]

_VERSION = 1
_LARGEST_JOURNAL = 1 << 24


@dataclass(frozen=True, slots=True)
class Pin:
    """What makes a file the same file: its size in bytes and its validators, None where the server gives none."""

    size_bytes: int | None
    etag: str | None
    modified: str | None

    @property
    def empty(self) -> bool:
        """Nothing to recognise the file by."""
        return self.size_bytes is None


@dataclass(frozen=True, slots=True)
class Journal:
    """`bits`: the pieces of `piece_bytes` that are there. `synced`: the data was on the disk when this was written."""

    pin: Pin
    piece_bytes: int
    bits: bytes
    synced: bool = False

    def as_control(self) -> Control:
        """The same as aria2 says it."""
        assert self.pin.size_bytes is not None
        return Control(self.pin.size_bytes, self.piece_bytes, self.bits)


class Partial:
    """The files of one transfer. Nobody else writes them while this is used."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.control = data.with_name(f"{data.name}.aria2")
        self._control_temp = data.with_name(f"{data.name}.aria2__temp")
        self.journal = data.with_name(f"{data.name}.pieces")
        self._temp = data.with_name(f"{data.name}.pieces__temp")

    def discard(self) -> None:
        """Remove everything; links are removed, never followed."""
        for path in (self.journal, self.control, self._control_temp, self._temp, self.data):
            _remove(path)

    def resume(self, pin: Pin, *, salvage: bool = False) -> Control | None:
        """What of the file is there and can be believed; everything else is removed, and None means: start afresh.

        `salvage`: believe a sparse file's own word for what was written, too. In the first second of a transfer, before aria2 has
        saved anything and while every piece is under way, nothing else knows.
        The control file on the disk is then the one of the answer, except for a complete file, which has none.
        """
        for path in (self.data, self.control, self.journal):
            if not _is_ours(path):
                _remove(path)
        for path in (self._control_temp, self._temp):
            _remove(path)
        believed = None if pin.empty else self._believed(pin, salvage=salvage)
        if believed is None:
            self.discard()
            return None
        if believed.complete:
            _remove(self.control)
        else:
            _write(self.control, self._control_temp, control_file.build(believed))
        return believed

    def write_journal(self, journal: Journal) -> bool:
        """Replace the journal; False when the disk is full or gone, the last one is then still there."""
        record = {
            "version": _VERSION,
            "size": journal.pin.size_bytes,
            "etag": journal.pin.etag,
            "modified": journal.pin.modified,
            "piece": journal.piece_bytes,
            "bits": journal.bits.hex(),
            "boot": _boot(),
            "synced": journal.synced,
        }
        content = json.dumps(record, separators=(",", ":")).encode()
        try:
            _write(self.journal, self._temp, content)
        except OSError:
            # A full disk has no room for a new file, but the old one's blocks are still there, and the length is the same.
            return _write_over(self.journal, content)
        return True

    def _believed(self, pin: Pin, *, salvage: bool) -> Control | None:
        read = _read_journal(self.journal)
        if read is None:
            return None
        journal, same_boot = read
        if journal.pin != pin or pin.size_bytes is None:
            return None
        known = self._read_control(pin.size_bytes)
        if same_boot or journal.synced:
            known = _joined(known, journal.as_control())
        if known is None:
            return None
        try:
            if self.data.lstat().st_size > pin.size_bytes:
                return None
            holes = list(_holes(self.data, pin.size_bytes))
        except FileNotFoundError:
            return None
        if not known.complete or not journal.synced:
            known = control_file.without_spans(known, holes)
        # Holes before the end prove that the file system tells them; after a power cut what it tells proves nothing.
        if salvage and same_boot and any(end < pin.size_bytes for _, end in holes):
            known = control_file.with_written(known, holes)
        return known if known.done_bytes else None

    def _read_control(self, size_bytes: int) -> Control | None:
        try:
            content = self.control.read_bytes()
        except OSError:
            return None
        return control_file.parse(content, size_bytes)


def _joined(precise: Control | None, journal: Control) -> Control:
    """What either knows to be there."""
    if precise is None or precise.piece_bytes != journal.piece_bytes:
        return journal if precise is None or journal.done_bytes > precise.done_bytes else precise
    bits = bytes(a | b for a, b in zip(precise.bits, journal.bits, strict=True))
    parts = tuple(each for each in precise.in_flight if not pieces.has_piece(bits, each.index))
    return Control(precise.size_bytes, precise.piece_bytes, bits, parts)


def _read_journal(path: Path) -> tuple[Journal, bool] | None:
    """The journal and whether it was written since this machine started; None unless it makes sense."""
    try:
        with path.open("rb") as file:
            record = json.loads(file.read(_LARGEST_JOURNAL))
        bits = bytes.fromhex(record["bits"])
        pin = Pin(record["size"], record["etag"], record["modified"])
        piece_bytes, synced, boot = record["piece"], record["synced"], record["boot"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    sizes = (record["version"], pin.size_bytes, piece_bytes)
    if not all(type(each) is int and each > 0 for each in sizes) or record["version"] != _VERSION:
        return None
    if not all(each is None or isinstance(each, str) for each in (pin.etag, pin.modified)):
        return None
    assert pin.size_bytes is not None
    if piece_bytes > 1 << 30 or not pieces.is_sound(bits, pin.size_bytes, piece_bytes):
        return None
    return Journal(pin, piece_bytes, bits, synced is True), bool(boot) and boot == _boot()


def _holes(path: Path, size_bytes: int) -> Iterator[tuple[int, int]]:
    """(start, end excluded) of what was never written below `size_bytes`; the part beyond the end of the file counts."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    try:
        end = min(os.fstat(descriptor).st_size, size_bytes)
        at = 0
        # Where the file system cannot tell, it says that everything up to the end is data.
        while at < end and hasattr(os, "SEEK_HOLE"):
            try:
                hole = os.lseek(descriptor, at, os.SEEK_HOLE)
            except OSError:
                break
            if hole >= end:
                break
            try:
                at = os.lseek(descriptor, hole, os.SEEK_DATA)
            except OSError:
                at = end
            yield hole, min(at, end)
        if end < size_bytes:
            yield end, size_bytes
    finally:
        os.close(descriptor)


def _is_ours(path: Path) -> bool:
    """A plain file of ours with one name, or nothing: aria2 follows links, and another name is another's file."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return True
    owned = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and owned


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except FileNotFoundError:
        pass
    except OSError:
        if not path.is_dir() or path.is_symlink():
            raise
        shutil.rmtree(path)


def _write(path: Path, temp: Path, content: bytes) -> None:
    _remove(temp)
    descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        temp.replace(path)
    except OSError:
        _remove(temp)
        raise


def _write_over(path: Path, content: bytes) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.truncate()
    except OSError:
        # The transfer itself will say what is wrong with the disk; progress is only remembered less well.
        return False
    return True


@cache
def _boot() -> str:
    """This start of this machine; empty where it cannot be told."""
    try:
        if sys.platform == "darwin":
            return subprocess.check_output(["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"], text=True, timeout=10).strip()
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, subprocess.SubprocessError):
        return ""
