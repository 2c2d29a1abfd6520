"""Looking at every byte, and mending what is wrong."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from conda_assets.api.look import health
from conda_assets.api.places import place_of
from conda_assets.api.unpacking import damage, drop_damaged
from conda_assets.digest import Digest, Follower
from conda_assets.errors import DigestMismatch, DiskRefused
from conda_assets.events import Observer, Progressed, nobody
from conda_assets.model import Health, Outcome, Placed, Report, Target
from conda_assets.receipt import read_receipt
from conda_assets.settings import Settings
from conda_assets.store import open_stores

__all__ = ["verify"]

# One report of progress per this many bytes of a file.
_STRIDE_BYTES = 64 << 20


def verify(target: Target, *, only: Collection[str] = (), watch: Observer = nobody) -> Report:
    """Hash everything that the receipt names and compare; all cores, one block of memory a file.

    `only`: names, empty for all; those that the receipt lacks are passed over.
    """
    placed = {name: line for name, line in read_receipt(target.prefix).items() if not only or name in only or line.owner in only}
    rows = {row.name: row for row in health(target).outcomes if row.name in placed}
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 2, thread_name_prefix="verify") as workers:
        present = [name for name, row in rows.items() if row.state is not Health.MISSING]
        futures = {workers.submit(_check, rows[name], placed[name], target, watch): name for name in present}
        try:
            for future in as_completed(futures):
                rows[futures[future]] = future.result()
        except BaseException:
            workers.shutdown(cancel_futures=True)
            raise
    return Report("verify", target, (), tuple(rows[name] for name in placed))


def set_damaged_aside(target: Target, settings: Settings, report: Report) -> None:
    """Take what is damaged out of the way, in the environment and in the store, so that a sync brings it anew.

    A damaged link means a damaged stored file; a damaged copy may stand before a right one, which is then used again. In an
    unpacked folder, files that the user has changed stay.
    """
    store = open_stores(settings.stores)
    placed = read_receipt(target.prefix)
    for row in report.outcomes:
        line = placed.get(row.name)
        if line is None or row.state is not Health.DAMAGED:
            continue
        stored = store.find(Digest("sha256", line.sha256))
        if stored is not None and _digest(stored.path) != line.sha256:
            store.quarantine(stored)
        if line.unpack is not None:
            drop_damaged(target.prefix, line.name, place_of(target, line), row.error)
            continue
        with suppress(FileNotFoundError):
            place_of(target, line).unlink()


def _check(row: Outcome, placed: Placed, target: Target, watch: Observer) -> Outcome:
    path = place_of(target, placed)
    if placed.unpack is not None:
        error = damage(target.prefix, placed, path, watch)
        if error is None:
            return replace(row, state=Health.PRESENT, because="every byte is right")
        return replace(row, state=Health.DAMAGED, because=error.message, error=error)
    try:
        size_bytes = path.stat().st_size
        follower = Follower(path, frozenset({"sha256"}))
        for done in _strides(size_bytes):
            follower.advance(done)
            watch(Progressed(placed.name, done, size_bytes, 0.0, 0, done))
        got = follower.digests()["sha256"].hex
    except (OSError, EOFError) as error:
        refused = DiskRefused(placed.name, f"{path} cannot be read: {error}")
        return replace(row, state=Health.DAMAGED, because=refused.message, error=refused)
    if got == placed.sha256:
        return replace(row, state=Health.PRESENT, because="every byte is right")
    wrong = DigestMismatch(placed.name, "sha256", placed.sha256, got, str(path))
    return replace(row, state=Health.DAMAGED, because=f"expected sha256 {placed.sha256}, got {got}", error=wrong)


def _strides(size_bytes: int) -> Iterator[int]:
    yield from range(_STRIDE_BYTES, size_bytes, _STRIDE_BYTES)
    yield size_bytes


def _digest(path: Path) -> str | None:
    try:
        follower = Follower(path, frozenset({"sha256"}))
        follower.advance(path.stat().st_size)
    except (OSError, EOFError):
        return None
    return follower.digests()["sha256"].hex
