"""Deleting from a remote store what no machine uses.

    1. list the files           what is put later is not looked at
    2. read the leases          what one of them names stays, also when it cannot be understood
    3. before each few files that go, look for leases that were written since, and read those

A writer puts its lease first and looks for the files then: it is seen in 3, or finds that the file is gone and sends it. What
is left is a lease that comes between 3 and the end of those few files, some tenths of a second; its next push sends them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from conda_assets.errors import RemoteFailed
from conda_assets.remote.client import AT_ONCE, Bucket, Gone, Held
from conda_assets.remote.keys import read_alias
from conda_assets.remote.leases import Lease, read_lease

__all__ = ["Finding", "Swept", "survey", "sweep"]

# Few, so that little time is between the last look at the leases and the end of a file.
_AT_A_TIME = 50
_ALIAS_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Finding:
    """What a store has. `going`: files that may be deleted, oldest first. `over`: leases that nobody has renewed.

    `uploads`: (key, id) of pushes that were killed, and `aliases` of files that are not there.
    """

    bucket: Bucket
    grace_s: float
    now_s: float
    files: int
    size_bytes: int
    leased_bytes: int
    leases: tuple[Lease, ...]
    over: tuple[Lease, ...]
    going: tuple[Held, ...]
    aliases: tuple[str, ...]
    uploads: tuple[tuple[str, str], ...]
    _seen: dict[str, tuple[float, str]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Swept:
    """What is gone. `kept`: files that a machine has begun to use meanwhile."""

    files: tuple[Held, ...]
    kept: int
    uploads: int


def survey(bucket: Bucket, grace_s: float) -> Finding:
    """Look, and change nothing. `grace_s`: how old a file, an upload or a lease must be before it may go.

    Raises:
        RemoteFailed: no store of ours, or not all of it can be read; then nobody knows what is used.
    """
    if not bucket.is_marked():
        raise RemoteFailed(bucket.shown, "is not there yet: it has no marker", "`conda assets push` makes it")
    rows, now_s = bucket.held("objects/")
    files = [row for row in rows if bucket.keys.sha256_of(row.key)]
    lease_rows = _lease_rows(bucket)
    leases = _read(bucket, lease_rows)
    valid = [lease for lease in leases if not lease.is_over(now_s, grace_s)]
    leased = {sha256 for lease in valid for sha256 in lease.sha256}
    going = [row for row in files if bucket.keys.sha256_of(row.key) not in leased and now_s - row.modified_s > grace_s]
    stay = {bucket.keys.sha256_of(row.key) for row in files} - {bucket.keys.sha256_of(row.key) for row in going}
    return Finding(
        bucket,
        grace_s,
        now_s,
        len(files),
        sum(row.size_bytes for row in files),
        sum(row.size_bytes for row in files if bucket.keys.sha256_of(row.key) in leased),
        tuple(valid),
        tuple(lease for lease in leases if lease.is_over(now_s, grace_s)),
        tuple(sorted(going, key=lambda row: (row.modified_s, row.key))),
        _stray_aliases(bucket, stay, now_s - grace_s),
        _stale_uploads(bucket, now_s - grace_s),
        {row.key: row.version for row in lease_rows},
    )


def sweep(finding: Finding) -> Swept:
    """Delete what was found, as far as it is still unused.

    Raises:
        RemoteFailed: it may not be deleted; what is gone by then is gone.
    """
    bucket = finding.bucket
    gone: list[Held] = []
    kept = 0
    seen, since = dict(finding._seen), set[str]()
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sweep") as pool:
        for start in range(0, len(finding.going), _AT_A_TIME):
            since |= _leased_since(bucket, seen)
            some = finding.going[start : start + _AT_A_TIME]
            rows = [row for row in some if bucket.keys.sha256_of(row.key) not in since]
            kept += len(some) - len(rows)
            list(pool.map(bucket.delete, [row.key for row in rows]))
            gone += rows
        _leased_since(bucket, seen)
        over = [lease.row.key for lease in finding.over if seen.get(lease.row.key) == lease.row.version]
        list(pool.map(bucket.delete, (*finding.aliases, *over)))
    for key, upload in finding.uploads:
        with suppress(Gone):
            bucket.call("abort_multipart_upload", "be deleted", Key=key, UploadId=upload)
    return Swept(tuple(gone), kept, len(finding.uploads))


def _lease_rows(bucket: Bucket) -> list[Held]:
    return [row for row in bucket.held("leases/")[0] if bucket.keys.is_lease(row.key)]


def _read(bucket: Bucket, rows: Sequence[Held]) -> list[Lease]:
    def read(row: Held) -> Lease | None:
        with suppress(Gone):
            return read_lease(bucket, row)
        return None

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="leases") as pool:
        return [lease for lease in pool.map(read, rows) if lease is not None]


def _leased_since(bucket: Bucket, seen: dict[str, tuple[float, str]]) -> set[str]:
    """What leases name that are not as they were seen; those are seen now."""
    fresh = [row for row in _lease_rows(bucket) if seen.get(row.key) != row.version]
    seen.update({row.key: row.version for row in fresh})
    return {sha256 for lease in _read(bucket, fresh) for sha256 in lease.sha256}


def _stray_aliases(bucket: Bucket, stay: Iterable[str | None], before_s: float) -> tuple[str, ...]:
    """Aliases that are old and lead to no file that stays."""
    known = set(stay)
    rows = [row for row in bucket.held("aliases/")[0] if bucket.keys.is_alias(row.key) and row.modified_s < before_s]

    def leads(row: Held) -> str | None:
        with suppress(Gone):
            return read_alias(bucket.read(row.key, _ALIAS_BYTES))
        return None

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="aliases") as pool:
        return tuple(row.key for row, sha256 in zip(rows, pool.map(leads, rows), strict=True) if sha256 not in known)


def _stale_uploads(bucket: Bucket, before_s: float) -> tuple[tuple[str, str], ...]:
    pages = bucket.pages("list_multipart_uploads", "be listed", Prefix=bucket.keys.prefix + "objects/")
    return tuple(
        (row["Key"], row["UploadId"])
        for page in pages
        for row in page.get("Uploads", ())
        if bucket.keys.sha256_of(row["Key"]) and row["Initiated"].timestamp() < before_s
    )
