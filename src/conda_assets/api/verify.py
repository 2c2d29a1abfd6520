"""Looking at every byte."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace

from conda_assets.api.look import health
from conda_assets.api.places import place_of
from conda_assets.api.unpacking import damage
from conda_assets.digest import Follower
from conda_assets.errors import DigestMismatch, DiskRefused
from conda_assets.events import Observer, Progressed, nobody
from conda_assets.model import Health, Outcome, Placed, Report, Target
from conda_assets.receipt import read_receipt

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
