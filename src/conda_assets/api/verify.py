"""Looking at every byte."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from functools import partial

from conda_assets.api.look import health
from conda_assets.api.places import place_of
from conda_assets.api.reading import File, Reader, await_all
from conda_assets.api.unpacking import damage
from conda_assets.digest import Pieces
from conda_assets.errors import AssetsError, DigestMismatch, DiskRefused
from conda_assets.events import Event, Noted, Observer, Reading, nobody
from conda_assets.model import Asset, Health, Placed, Report, Target, shown_size
from conda_assets.receipt import read_receipt
from conda_assets.records import replace

__all__ = ["locked_pieces", "verify"]

_WORTH_TELLING_S = 1.0


def verify(
    target: Target, *, only: Collection[str] = (), pieces: Mapping[str, Pieces] | None = None, watch: Observer = nobody
) -> Report:
    """Hash everything that the receipt names and compare; on all cores, one block of memory each, each file once.

    `only`: names, empty for all; those that the receipt lacks are passed over. `pieces`: by sha256; with them, one large file is
    read on all cores, too.

    Raises:
        KeyboardInterrupt: as raised, within moments.
    """
    placed = {name: line for name, line in read_receipt(target.prefix).items() if not only or name in only or line.owner in only}
    rows = {row.name: row for row in health(target).outcomes if row.name in placed}
    there = [placed[name] for name, row in rows.items() if row.state is not Health.MISSING]
    files = _files([line for line in there if line.unpack is None], target, pieces or {})
    unpacked = [line for line in there if line.unpack is not None]
    distinct = list(dict.fromkeys(files.values()))
    since, size_bytes = time.monotonic(), sum(file.size_bytes for file in distinct)
    watch(Reading(len(distinct) + len(unpacked), size_bytes))
    with Reader(watch) as reader:
        folders = {line.name: _look_into(line, target, reader, watch) for line in unpacked}
        digests = reader.digests(distinct)
        await_all(list(folders.values()))
    seconds = time.monotonic() - since
    if seconds >= _WORTH_TELLING_S and not unpacked:
        watch(Noted(f"{shown_size(size_bytes)} read in {seconds:.1f} s ({shown_size(size_bytes / seconds)}/s)"))
    for line in there:
        error = folders[line.name].result() if line.name in folders else _fault(line, files[line.name], digests)
        if error is None:
            rows[line.name] = replace(rows[line.name], state=Health.PRESENT, because="every byte is right")
        else:
            why = f"expected sha256 {error.expected}, got {error.got}" if isinstance(error, DigestMismatch) else error.message
            rows[line.name] = replace(rows[line.name], state=Health.DAMAGED, because=why, error=error)
    return Report("verify", target, (), tuple(rows[name] for name in placed))


def locked_pieces(assets: Collection[Asset]) -> dict[str, Pieces]:
    """By sha256, what a lock says of the parts of the assets that it pins."""
    return {
        asset.digest.hex: asset.pieces for asset in assets if asset.pieces and asset.digest and asset.digest.algorithm == "sha256"
    }


def _files(lines: Collection[Placed], target: Target, pieces: Mapping[str, Pieces]) -> dict[str, File]:
    """name → what is to be read for it; the same object for all names of one file on the disk."""
    files: dict[str, File] = {}
    same: dict[tuple[int, int, str], File] = {}
    for line in lines:
        path = place_of(target, line)
        try:
            info = path.stat()
            key, size_bytes = (info.st_dev, info.st_ino, line.sha256), info.st_size
        except OSError:
            key, size_bytes = (0, len(same), line.sha256), 0  # whoever reads it says why it cannot be read
        known = pieces.get(line.sha256)
        files[line.name] = same.setdefault(key, File(line.name, path, line.sha256, size_bytes, known))
    return files


def _look_into(line: Placed, target: Target, reader: Reader, watch: Observer) -> Future[AssetsError | None]:
    """Have the files of an unpacked folder read."""

    def tell(event: Event) -> None:
        reader.check()
        watch(event)

    return reader.submit(partial(damage, target.prefix, line, place_of(target, line), tell))


def _fault(line: Placed, file: File, digests: Mapping[File, str | OSError]) -> AssetsError | None:
    got = digests[file]
    if isinstance(got, OSError):
        return DiskRefused(line.name, f"{file.path} cannot be read: {got}")
    if got == line.sha256:
        return None
    return DigestMismatch(line.name, "sha256", line.sha256, got, str(file.path))
