"""Deleting from a remote store what no machine uses.

    1. list the files           what is put later is not looked at
    2. read the leases          what one of them names stays, also when it cannot be understood
    3. before each few files that go, look for leases that were written since, and read those

A writer puts its lease first and looks for the files then: it is seen in 3, or finds that the file is gone and sends it. What
is left is a lease that comes between 3 and the end of those few files, some tenths of a second; its next push sends them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from conda_assets.errors import RemoteFailed
from conda_assets.records import dataclass, field
from conda_assets.remote.kind import AT_ONCE, Gone, Held, RemoteStore
from conda_assets.remote.leases import Lease, read_lease

__all__ = ["Finding", "Swept", "survey", "sweep"]

# Few, so that little time is between the last look at the leases and the end of a file.
_AT_A_TIME = 50


@dataclass(frozen=True, slots=True)
class Finding:
    """What a store has. `going`: files that may be deleted, oldest first. `over`: leases that nobody has renewed.

    `uploads`: of pushes that were killed, and `aliases` of files that are not there.
    """

    store: RemoteStore
    grace_s: float
    now_s: float
    files: int
    size_bytes: int
    leased_bytes: int
    leases: tuple[Lease, ...]
    over: tuple[Lease, ...]
    going: tuple[Held, ...]
    aliases: tuple[str, ...]
    uploads: tuple[Any, ...]
    _seen: dict[str, tuple[float, str]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Swept:
    """What is gone. `kept`: files that a machine has begun to use meanwhile."""

    files: tuple[Held, ...]
    kept: int
    uploads: int


def survey(store: RemoteStore, grace_s: float) -> Finding:
    """Look, and change nothing. `grace_s`: how old a file, an upload or a lease must be before it may go.

    Raises:
        RemoteFailed: no store of ours, or not all of it can be read; then nobody knows what is used.
    """
    if not store.is_marked():
        raise RemoteFailed(store.shown, "is not there yet: it has no marker", "`conda assets push` makes it")
    files, now_s = store.files()
    lease_rows = store.leases()
    leases = _read(store, lease_rows)
    valid = [lease for lease in leases if not lease.is_over(now_s, grace_s)]
    leased = {sha256 for lease in valid for sha256 in lease.sha256}
    going = [row for row in files if row.sha256 not in leased and now_s - row.modified_s > grace_s]
    stay = {row.sha256 for row in files} - {row.sha256 for row in going}
    return Finding(
        store,
        grace_s,
        now_s,
        len(files),
        sum(row.size_bytes for row in files),
        sum(row.size_bytes for row in files if row.sha256 in leased),
        tuple(valid),
        tuple(lease for lease in leases if lease.is_over(now_s, grace_s)),
        tuple(sorted(going, key=lambda row: (row.modified_s, row.key))),
        store.stray_aliases(stay, now_s - grace_s),
        store.unended(now_s - grace_s),
        {row.key: row.version for row in lease_rows},
    )


def sweep(finding: Finding) -> Swept:
    """Delete what was found, as far as it is still unused.

    Raises:
        RemoteFailed: it may not be deleted; what is gone by then is gone.
    """
    store = finding.store
    gone: list[Held] = []
    kept = 0
    seen, since = dict(finding._seen), set[str]()
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sweep") as pool:
        for start in range(0, len(finding.going), _AT_A_TIME):
            since |= _leased_since(store, seen)
            some = finding.going[start : start + _AT_A_TIME]
            rows = [row for row in some if row.sha256 not in since]
            kept += len(some) - len(rows)
            list(pool.map(store.delete, rows))
            gone += rows
        _leased_since(store, seen)
        over = [lease.row for lease in finding.over if seen.get(lease.row.key) == lease.row.version]
        list(pool.map(store.delete, (*finding.aliases, *over)))
    for upload in finding.uploads:
        store.end(upload)
    return Swept(tuple(gone), kept, len(finding.uploads))


def _read(store: RemoteStore, rows: Sequence[Held]) -> list[Lease]:
    def read(row: Held) -> Lease | None:
        with suppress(Gone):
            return read_lease(store, row)
        return None

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="leases") as pool:
        return [lease for lease in pool.map(read, rows) if lease is not None]


def _leased_since(store: RemoteStore, seen: dict[str, tuple[float, str]]) -> set[str]:
    """What leases name that are not as they were seen; those are seen now."""
    fresh = [row for row in store.leases() if seen.get(row.key) != row.version]
    seen.update({row.key: row.version for row in fresh})
    return {sha256 for lease in _read(store, fresh) for sha256 in lease.sha256}
