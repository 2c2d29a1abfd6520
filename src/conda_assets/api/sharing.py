"""Machines that give each other what they have: torrents for the lock, the swarm beside a file's origin, and giving afterwards.

The torrent is made from the bytes and stands in the lock; the origin is its web seed (BEP 19), so each machine takes other pieces
from there and the rest from its peers. A swarm is never needed: whatever is wrong with it, the file comes from the origin alone.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from conda_assets.api.centre import announce_url
from conda_assets.digest import Digest
from conda_assets.errors import AssetsError
from conda_assets.events import Noted, Observer
from conda_assets.model import Asset, Locked, Report, Spec
from conda_assets.records import replace
from conda_assets.settings import Settings
from conda_assets.spec.lockfile import Entry
from conda_assets.store import open_stores
from conda_assets.torrent import Swarm, read_torrent, torrent_pieces

__all__ = ["Sharer", "give", "through_swarm"]

Probe = Callable[[Asset, str], Locked]

# Below it a file is here before its peers are.
_LEAST_BYTES = 4 << 20


class Sharer:
    """Puts torrents into entries. `make`: also into those that have none, where the store has their bytes."""

    def __init__(self, settings: Settings, make: bool, watch: Observer) -> None:
        self._settings, self._make, self._watch = settings, make, watch

    def shared(self, entry: Entry, old: Entry | None) -> Entry:
        """The entry with the torrent that it had, or with a new one.

        Raises:
            StoreFailed: the store cannot be read.
        """
        if entry.files:
            before = {each.name: each for each in old.files} if old else {}
            return replace(entry, files=tuple(self.shared(each, before.get(each.name)) for each in entry.files))
        known = old.torrent if old is not None and old.sha256 == entry.sha256 else b""
        if not known and self._make and (entry.size_bytes or _LEAST_BYTES) >= _LEAST_BYTES:
            known = self._made(entry)
        return replace(entry, torrent=known)

    def _made(self, entry: Entry) -> bytes:
        digest = entry.digest
        with closing(open_stores(self._settings.stores)) as store:
            stored = store.find(digest) if digest else None
        if stored is None or entry.sha256 is None or entry.size_bytes != stored.size_bytes:
            said = f"{entry.name}: no torrent, since its bytes are not in the store; run `conda assets fetch`, then this again"
            self._watch(Noted(said, "warning"))
            return b""
        with stored.path.open("rb") as file:
            return torrent_pieces(file, stored.size_bytes)


def through_swarm(probe: Probe, settings: Settings, watch: Observer) -> Probe:
    """`probe`, with the swarm of the settings beside the origin; as it is where none is set. One try a file."""
    sharing = settings.sharing
    if sharing is None:
        return probe
    asked, lock, tracker = set[str](), threading.Lock(), list[str]()

    def ask(asset: Asset, url: str) -> Locked:
        locked = probe(asset, url)
        with lock:
            again = asset.name in asked
            asked.add(asset.name)
        is_web = locked.fresh is not None or urlsplit(locked.url).scheme.lower() in ("http", "https")
        if again or asset.torrent is None or locked.swarm is not None or not locked.resumable or not is_web:
            return locked
        info_hash = read_torrent(asset.torrent).info_hash
        with lock:
            if not tracker:
                tracker.append(announce_url(settings, watch))
        swarm = Swarm(info_hash, None, asset.torrent, tracker=tracker[0], upload_bytes_per_s=sharing.upload_bytes_per_s)
        return replace(locked, swarm=swarm)

    return ask


def give(spec: Spec, report: Report, settings: Settings, environ: Mapping[str, str], watch: Observer) -> int:
    """Give to others what the report says is here, for the time of the settings; how many files. Ctrl-C ends it.

    Whatever is wrong with it is only told of: the files are in their places.
    """
    sharing = settings.sharing
    torrents = {asset.name: asset.torrent for asset in spec.assets if asset.torrent}
    here = {
        row.sha256: torrents[row.name] for row in report.outcomes if row.sha256 and row.error is None and row.name in torrents
    }
    if sharing is None or not sharing.seed_s or not here:
        return 0
    # For who takes part in a swarm.
    from conda_assets.api.engine import engine_found
    from conda_assets.transport.giving import Share, giving

    try:
        found = engine_found(settings, environ)
        with closing(open_stores(settings.stores, holds=True)) as store, tempfile.TemporaryDirectory() as scratch:
            stored = {sha256: store.find(Digest("sha256", sha256)) for sha256 in here}
            shares = [Share(each.path, here[sha256]) for sha256, each in stored.items() if each is not None]
            if found is None or not shares:
                return 0
            sharing = replace(sharing, tracker=announce_url(settings, watch))
            watch(Noted(f"giving {len(shares)} files to others for {sharing.seed_s:.0f} s; Ctrl-C ends it"))
            giving(found.path, settings.network, shares, sharing, scratch=Path(scratch))
            return len(shares)
    except KeyboardInterrupt:
        return len(here)
    except (AssetsError, OSError) as error:
        said = error.message if isinstance(error, AssetsError) else str(error.strerror or error)
        watch(Noted(f"nothing is given to others: {said}", "warning"))
        return 0
