"""From a lock into the assets: each one that it fits gets its digest, size and pinned URL; who comes later sees assets only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum

from conda_assets.api.expand import member_of
from conda_assets.api.lockfiles import own_assets, relock_command
from conda_assets.errors import AssetsError, DigestMismatch, LockStale, SizeMismatch, UpstreamReplaced, UsageError
from conda_assets.model import Asset, Locked, Spec, shown_url
from conda_assets.spec.hiding import HIDDEN, has_variable
from conda_assets.spec.lockfile import Entry, Lock, misfit, misfits
from conda_assets.spec.urls import read_url
from conda_assets.spec.values import Wrong

__all__ = ["Use", "check_vouched", "name_lock", "pin"]


class Use(str, Enum):
    """How a lock is used. `plain`: where it fits an asset. `locked`: it must fit the whole file. `frozen`: as it is."""

    PLAIN = "plain"
    LOCKED = "locked"
    FROZEN = "frozen"


def pin(spec: Spec, locks: Mapping[str, Lock], use: Use, *, environ: Mapping[str, str], program: str = "conda assets") -> Spec:
    """The spec with what the locks say; `warnings` are those of this step alone.

    Raises:
        LockStale: `locked`, and a lock is missing or does not fit; `frozen`, and an asset has no entry.
    """
    for source in spec.sources if use is not Use.PLAIN else ():
        if refused := _refusal(use, own_assets(spec, source), locks.get(source)):
            name = locks[source].file if source in locks else f"the lock of {source}"
            raise LockStale(name, refused, relock_command(program, source))
    assets, warnings = [], []
    for asset in spec.assets:
        lock = locks.get(asset.file)
        entry = lock.entries.get(asset.name) if lock else None
        relock = relock_command(program, asset.file, asset.name)
        why = misfit(entry, asset) if entry is not None and use is Use.PLAIN else ""
        if entry is None or why:
            assets.append(asset)
            if why and lock:
                again = relock_command(program, asset.file)
                warnings.append(f"{asset.name}: {lock.file} is not used for it, {why}; `{again}` brings it up to date")
        elif entry.files:
            assets += [_member(asset, each, relock, environ) for each in entry.files]
        else:
            url = _url(asset, entry, use, environ)
            assets.append(pinned(asset, entry, url, relock))
    return replace(spec, assets=tuple(assets), warnings=tuple(warnings))


def pinned(asset: Asset, entry: Entry, url: str, relock: str) -> Asset:
    """The asset with what its entry says."""
    size_bytes = asset.size_bytes if entry.size_bytes is None else entry.size_bytes
    slack = asset.size_slack_bytes if entry.size_bytes is None else 0
    return replace(
        asset,
        url=url,
        digest=entry.digest or asset.digest,
        size_bytes=size_bytes,
        size_slack_bytes=slack,
        relock=relock,
    )


def check_vouched(asset: Asset, locked: Locked) -> None:
    """Before the first byte: what the publisher vouches for now is what the lock has.

    Raises:
        UpstreamReplaced: it is not.
    """
    said, wanted = locked.digest, asset.digest
    if asset.relock and said and wanted and said.algorithm == wanted.algorithm and said != wanted:
        cause = f"{shown_url(locked.url)} has {said} now, says {locked.vouched_by or 'its publisher'}; the lock has {wanted}"
        raise UpstreamReplaced(asset.name, cause, asset.relock)


def name_lock(error: AssetsError, asset: Asset) -> AssetsError:
    """An error about content, with the way out where it is the lock that promises the content."""
    if asset.relock and isinstance(error, (DigestMismatch, SizeMismatch)):
        error.relock = asset.relock
    return error


def _member(asset: Asset, entry: Entry, relock: str, environ: Mapping[str, str]) -> Asset:
    """A file of a pattern: the lock is its list, and nobody has to be asked for another one."""
    url = entry.pinned_url or entry.url
    return pinned(member_of(asset, entry.name, _expanded(asset, url, environ)), entry, _expanded(asset, url, environ), relock)


def _refusal(use: Use, assets: Sequence[Asset], lock: Lock | None) -> tuple[str, ...]:
    if not assets and lock is None:
        return ()
    if lock is None:
        return ("there is no such file",)
    if use is Use.LOCKED:
        return misfits(assets, lock)
    return tuple(f"{asset.name}: not in the lock" for asset in assets if asset.name not in lock.entries and not asset.optional)


def _url(asset: Asset, entry: Entry, use: Use, environ: Mapping[str, str]) -> str:
    """Where the locked bytes are asked for: at the revision that was locked, where the publisher has such; `frozen`, where
    the lock says and not the file."""
    if entry.pinned_url:
        return entry.pinned_url
    if use is not Use.FROZEN or HIDDEN in entry.url:
        return asset.url
    return _expanded(asset, entry.url, environ)


def _expanded(asset: Asset, url: str, environ: Mapping[str, str]) -> str:
    """The lock's URL with the variables that it has from the file."""
    if not has_variable(url):
        return url
    try:
        return read_url(url, environ).text
    except Wrong as wrong:
        raise UsageError(f"{asset.name}: the URL in the lock cannot be used: {wrong.message}", wrong.hint) from wrong
