"""Copying files of this machine's store into the first remote one, and telling there what is used here.

    <prefix>/etc/conda-assets/leases.json
        {"schema": 1, "leases": {"s3://lab-assets/x": {"names": "<sha256 of what is used>", "at_s": 1764…}}}

The second file remembers which leases were written when, so that a sync that changes nothing asks nobody.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from conda_assets.errors import AssetsError, NotStored, RemoteFailed, UsageError
from conda_assets.events import Failed, Noted, Observer, Progressed
from conda_assets.model import Asset, Report, State, Stored, Target
from conda_assets.receipt import read_receipt, receipt_path
from conda_assets.records import dataclass
from conda_assets.settings import Settings
from conda_assets.store import open_stores

if TYPE_CHECKING:
    from conda_assets.remote.kind import RemoteStore

__all__ = ["Pushed", "after_sync", "push"]

# Of the grace period; the lease is renewed when so much of it is over.
_RENEW_AFTER = 0.1
_SAY_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of one asset. `state`: `pushed`, `present` (the store had it), `planned` or `failed`."""

    name: str
    state: str
    url: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    bytes_sent: int = 0
    optional: bool = False
    error: AssetsError | None = None


@dataclass(frozen=True, slots=True)
class _File:
    """One file to push, and the assets whose bytes it has."""

    stored: Stored
    assets: tuple[Asset, ...]


def push(assets: Sequence[Asset], holder: str, settings: Settings, watch: Observer, *, dry_run: bool = False) -> list[Pushed]:
    """Have the first remote store hold the assets' bytes; the rows in the order of the assets. `holder`: whose lease names them.

    Raises:
        UsageError: no remote store is set.
        RemoteFailed: it cannot be used at all.
    """
    if not settings.remotes:
        fix = "add one to `plugins: assets_stores:` in ~/.condarc, or to `CONDA_ASSETS_STORE`: `s3://bucket/prefix`, `oci://registry/repository`"
        raise UsageError("no remote store is set", fix)
    # Held until they are there: somebody may collect on this machine meanwhile.
    with open_stores(settings.stores, holds=not dry_run) as store:
        found = {asset.name: store.find(asset.digest) if asset.digest else store.find_url(asset.url) for asset in assets}
        return _pushed(assets, found, holder, settings, watch, dry_run=dry_run)


def _pushed(
    assets: Sequence[Asset],
    found: Mapping[str, Stored | None],
    holder: str,
    settings: Settings,
    watch: Observer,
    *,
    dry_run: bool,
) -> list[Pushed]:
    """See `push`. `found`: what the store of this machine has, by the name of the asset."""
    rows = {
        asset.name: _failed(asset, NotStored(asset.name, "its bytes are not in the store of this machine"), watch)
        for asset in assets
        if found[asset.name] is None
    }
    files: dict[str, _File] = {}
    for asset in assets:
        if (stored := found[asset.name]) is not None:
            before = files.get(stored.sha256, _File(stored, ()))
            files[stored.sha256] = _File(before.stored, (*before.assets, asset))
    from conda_assets.remote.opening import open_remote  # botocore: 300 ms for who has a remote store

    with open_remote(settings.remotes[0], settings.network) as remote:
        marked = remote.is_marked()
        if dry_run:
            rows |= _planned(remote, files.values())
        elif files:
            if not marked:
                remote.mark()
            rows |= _Push(remote, holder, settings.grace_s, watch).run(list(files.values()))
    return [rows[asset.name] for asset in assets]


def after_sync(report: Report, assets: Sequence[Asset], settings: Settings, watch: Observer) -> None:
    """Push what a sync has fetched, where the settings say so, and renew the environment's leases; troubles are only noted."""
    if not settings.remotes or settings.offline:
        return
    if settings.push:
        fetched = {row.name for row in report.outcomes if row.state is State.FETCHED}
        some = [asset for asset in assets if asset.name in fetched]
        if some:
            _quietly(lambda: push(some, _holder_of(report), settings, watch), watch)
    if report.command == "sync" and report.target is not None:
        for remote in settings.remotes:
            _quietly(_Renewal(remote, report.target, settings).run, watch, level="info")


def _holder_of(report: Report) -> str:
    return " ".join((str(report.target.project) if report.target else "", *report.sources)).strip()


def _quietly(act: Callable[[], object], watch: Observer, *, level: str = "warning") -> None:
    try:
        act()
    except AssetsError as error:
        watch(Noted(error.message, level))


def _planned(remote: RemoteStore, files: Iterable[_File]) -> dict[str, Pushed]:
    states = {True: "present", False: "planned"}
    here = {file.stored.sha256: remote.size_of(file.stored.sha256) is not None for file in files}
    return {
        asset.name: _row(remote, asset, file.stored, states[here[file.stored.sha256]]) for file in files for asset in file.assets
    }


class _Push:
    """Many files: small ones several at once, then large ones, whose parts go several at once."""

    def __init__(self, remote: RemoteStore, holder: str, grace_s: float, watch: Observer) -> None:
        self._remote, self._holder, self._grace_s, self._watch = remote, holder, grace_s, watch
        self._lock = threading.Lock()
        self._rows: dict[str, Pushed] = {}
        self._said_at = 0.0

    def run(self, files: list[_File]) -> dict[str, Pushed]:
        from conda_assets.remote.kind import AT_ONCE, ONE_PUT_BYTES
        from conda_assets.remote.leases import put_lease

        # First: a collector that has read the leases before finds that out before it deletes.
        put_lease(self._remote, self._holder, (file.stored.sha256 for file in files), self._grace_s)
        small = [file for file in files if file.stored.size_bytes <= ONE_PUT_BYTES]
        pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="push")
        try:
            list(pool.map(self._push, small))
        finally:
            pool.shutdown(cancel_futures=True)
        for file in files:
            if file.stored.size_bytes > ONE_PUT_BYTES:
                self._push(file)
        return self._rows

    def _push(self, file: _File) -> None:
        first, stored, done = file.assets[0], file.stored, 0

        def sent(count: int) -> None:
            nonlocal done
            done += count
            now = time.monotonic()
            with self._lock:
                if done < stored.size_bytes and now - self._said_at < _SAY_EVERY_S:
                    return
                self._said_at = now
                self._watch(Progressed(first.name, done, stored.size_bytes, 0.0, 0, done))

        try:
            count = self._remote.send(first.name, stored, sent)
            for asset in file.assets:
                if asset.digest and asset.digest.algorithm != "sha256":
                    self._remote.put_alias(asset.digest, stored.sha256)
        except AssetsError as error:
            if isinstance(error, RemoteFailed) and error.refused:
                # The same for every file.
                raise
            rows = {asset.name: _failed(asset, error, self._watch) for asset in file.assets}
        else:
            state = "present" if count is None else "pushed"
            rows = {
                asset.name: _row(self._remote, asset, stored, state, count or 0 if asset is first else 0) for asset in file.assets
            }
        with self._lock:
            self._rows |= rows


def _row(remote: RemoteStore, asset: Asset, stored: Stored, state: str, count: int = 0) -> Pushed:
    return Pushed(asset.name, state, remote.url_of(stored.sha256), stored.sha256, stored.size_bytes, count, asset.optional)


def _failed(asset: Asset, error: AssetsError, watch: Observer) -> Pushed:
    watch(Failed(asset.name, error.message, tuple(hint.text for hint in error.hints), asset.optional))
    return Pushed(asset.name, "failed", optional=asset.optional, error=error)


class _Renewal:
    """The lease of one environment in one remote store."""

    def __init__(self, remote: str, target: Target, settings: Settings) -> None:
        self._remote, self._target, self._settings = remote, target, settings
        self._path = receipt_path(target.prefix).with_name("leases.json")

    def run(self) -> None:
        """Write it, unless that was done not long ago and nothing has changed since.

        Raises:
            RemoteFailed: it cannot be written; it is tried again when the next one is due.
        """
        used = sorted({line.sha256 for line in read_receipt(self._target.prefix).values()})
        # With the prefix: a clone of an environment has this file, too.
        names = hashlib.sha256("\n".join([str(self._target.prefix), *used]).encode("utf-8", "surrogateescape")).hexdigest()
        known = self._known()
        before = known.get(self._remote, {})
        age_s = time.time() - before.get("at_s", 0.0)
        if before.get("names") == names and 0 <= age_s < self._settings.grace_s * _RENEW_AFTER:
            return
        if not used and not before:
            return
        try:
            self._write(used)
        except RemoteFailed as error:
            # Members who may only read are told once, and not at every sync.
            if error.refused:
                self._remember(known, names)
            raise
        self._remember(known, names)

    def _write(self, used: Iterable[str]) -> None:
        from conda_assets.remote.leases import put_lease
        from conda_assets.remote.opening import open_remote

        with open_remote(self._remote, self._settings.network) as remote:
            put_lease(remote, str(self._target.prefix), used, self._settings.grace_s)

    def _known(self) -> dict[str, Any]:
        with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
            said = json.loads(self._path.read_bytes())["leases"]
            if isinstance(said, dict) and all(isinstance(row, Mapping) for row in said.values()):
                return said
        return {}

    def _remember(self, known: Mapping[str, Any], names: str) -> None:
        content = {"schema": 1, "leases": {**known, self._remote: {"names": names, "at_s": int(time.time())}}}
        fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with suppress(OSError):
            fresh.write_text(json.dumps(content) + "\n", encoding="utf-8")
            fresh.replace(self._path)
