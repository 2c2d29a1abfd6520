"""From a lock into the assets: each one that it fits gets its digest, size and pinned URL; who comes later sees assets only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum

from conda_assets.api.lockfiles import own_assets, relock_command
from conda_assets.api.members import member_of
from conda_assets.errors import AssetsError, DigestMismatch, LockStale, SizeMismatch, UpstreamReplaced, UsageError
from conda_assets.model import Asset, Locked, Spec, host_of, shown_url
from conda_assets.records import replace
from conda_assets.regexes import regex
from conda_assets.spec.hiding import HIDDEN
from conda_assets.spec.lockfile import Entry, Lock, misfit, misfits
from conda_assets.spec.urls import read_url
from conda_assets.spec.values import Wrong
from conda_assets.torrent import make_torrent

__all__ = ["Use", "check_vouched", "name_lock", "pin"]

_VARIABLE = regex(r"\$\{([^}]*)\}")


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
    """The asset with what its entry says. Its headers were written for its own host: a lock cannot lead them to another one."""
    size_bytes = asset.size_bytes if entry.size_bytes is None else entry.size_bytes
    slack = asset.size_slack_bytes if entry.size_bytes is None else 0
    return replace(
        asset,
        url=url,
        headers=asset.headers if _goes_to(url) == _goes_to(asset.url) else {},
        digest=entry.digest or asset.digest,
        size_bytes=size_bytes,
        size_slack_bytes=slack,
        relock=relock,
        pieces=entry.pieces,
        torrent=_torrent(entry),
    )


def _torrent(entry: Entry) -> bytes | None:
    if not entry.torrent or entry.sha256 is None or entry.size_bytes is None:
        return None
    return make_torrent(entry.sha256.hex, entry.size_bytes, entry.torrent)


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
    url = _expanded(asset, entry.pinned_url or entry.url, environ)
    file = pinned(asset, entry, url, relock)
    return replace(member_of(file, entry.name, url), digest=file.digest, size_bytes=file.size_bytes)


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
        return _expanded(asset, entry.pinned_url, environ)
    if use is not Use.FROZEN or HIDDEN in entry.url:
        return asset.url
    return _expanded(asset, entry.url, environ)


def _expanded(asset: Asset, url: str, environ: Mapping[str, str]) -> str:
    """The lock's URL with the variables that it has from the file. It is less looked at than the file is, so it may send their
    values nowhere else than the file does.

    Raises:
        UsageError: it would; or it is no URL.
    """
    written = asset.written[0] if asset.written else asset.url
    names = set(_VARIABLE.findall(url))
    if names and (names - set(_VARIABLE.findall(written)) or _host_as_written(url) != _host_as_written(written)):
        cause = f"{asset.name}: in the lock, a URL has variables that the file's URL has not, or sends them to another host"
        raise UsageError(cause, f"look at its history, then run `{asset.relock or 'conda assets lock'}`")
    try:
        return read_url(url if names else url.replace("$", "$$"), environ).text
    except Wrong as wrong:
        raise UsageError(f"{asset.name}: the URL in the lock cannot be used: {wrong.message}", wrong.hint) from wrong


def _host_as_written(url: str) -> str:
    """Scheme and host before variables are expanded, with user and port."""
    return url.partition("://")[0] + "://" + re.split("[/?#]", url.partition("://")[2])[0]


def _goes_to(url: str) -> str:
    """Who gets what is asked for: the host, or for publishers with one address their scheme."""
    host = host_of(url)
    return host if host.startswith(("http", "ftp", "sftp")) else host.partition(":")[0]
