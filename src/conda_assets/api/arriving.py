"""Bytes that nobody vouches for: they are brought once, and what came first is what the lock says."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from email.utils import parsedate_to_datetime

from conda_assets.api.engine import limits_of, make_transport
from conda_assets.api.sync import want_key
from conda_assets.digest import Follower, Pieces, piece_size_for
from conda_assets.errors import AssetsError
from conda_assets.events import Failed, Finished, Observer, Planned
from conda_assets.fetch import Want, fetch
from conda_assets.model import Asset, Locked, Plan, State, Step, Stored, Verb
from conda_assets.records import dataclass
from conda_assets.settings import Settings
from conda_assets.sources import probe
from conda_assets.store import Store, open_stores

__all__ = ["Brought", "bring"]


@dataclass(frozen=True, slots=True)
class Brought:
    """`locked`: what was said by whoever gave the bytes. `because`: a clause."""

    stored: Stored
    locked: Locked
    pieces: Pieces | None
    bytes_fetched: int
    because: str


def bring(
    asked: Mapping[str, tuple[Asset, Locked]],
    settings: Settings,
    environ: Mapping[str, str],
    watch: Observer,
    *,
    afresh: Collection[str] = (),
) -> Iterator[tuple[Asset, Brought | AssetsError]]:
    """Each asset with its bytes in the store, in the order in which they are there. `asked`: by name, what the publisher said.

    What the store has from the URL is used only when the server says that the file is older than that, and never for the names
    in `afresh`.
    """
    if not asked:
        return
    with open_stores(settings.stores) as store:
        left: list[Asset] = []
        for asset, locked in asked.values():
            stored = None if asset.name in afresh else store.find_url(asset.url)
            if stored is not None and _is_of_then(stored, locked) and (pieces := _read(stored)) is not None:
                yield (
                    asset,
                    Brought(stored, locked, pieces[0], 0, "the store has it, and the server nothing newer"),
                )
            else:
                left.append(asset)
        if left:
            yield from _fetch(left, asked, store, settings, environ, watch)


def _fetch(
    assets: list[Asset],
    asked: Mapping[str, tuple[Asset, Locked]],
    store: Store,
    settings: Settings,
    environ: Mapping[str, str],
    watch: Observer,
) -> Iterator[tuple[Asset, Brought | AssetsError]]:
    last = {(asset.name, locked.url): locked for asset, locked in asked.values()}
    said: dict[str, Locked] = {}
    shared: dict[str, list[Asset]] = {}
    for asset in assets:
        shared.setdefault(want_key(asset), []).append(asset)

    def ask(asset: Asset, url: str) -> Locked:
        # The first question has been asked already; a retry asks again.
        locked = last.pop((asset.name, url), None) or probe(asset, url, settings.network)
        said[asset.name] = locked
        return locked

    watch(Planned(Plan(tuple(Step(Verb.FETCH, asset, "no publisher's hash") for asset in assets))))
    arrivals = fetch(
        [Want(key, tuple(group), afresh=True, pieces=True) for key, group in shared.items()],
        store=store,
        transport=lambda: make_transport(settings, store, environ, watch),
        probe=ask,
        limits=limits_of(settings),
        watch=watch,
    )
    with closing(arrivals):  # type: ignore[type-var]
        for arrival in arrivals:
            for index, asset in enumerate(arrival.want.assets):
                if arrival.error is not None:
                    hints = tuple(hint.text for hint in arrival.error.hints)
                    watch(Failed(asset.name, arrival.error.message, hints, asset.optional))
                    yield asset, arrival.error
                elif arrival.stored is not None:
                    count = arrival.bytes_fetched if index == 0 else 0
                    stored, locked = arrival.stored, said[arrival.want.assets[0].name]
                    watch(Finished(asset.name, State.FETCHED, stored.size_bytes, count, arrival.seconds, str(stored.path)))
                    yield asset, Brought(stored, locked, arrival.pieces, count, "nobody says a hash, so it was fetched")


def _is_of_then(stored: Stored, locked: Locked) -> bool:
    """The server's file has not been changed since those bytes came, by its own date; a minute for clocks that differ."""
    if locked.size_bytes != stored.size_bytes or not locked.modified:
        return False
    try:
        changed_s = parsedate_to_datetime(locked.modified).timestamp()
    except (ValueError, TypeError, OverflowError):
        return False
    return changed_s < stored.modified_ns / 1e9 - 60 and changed_s < time.time()


def _read(stored: Stored) -> tuple[Pieces | None] | None:
    """Its pieces, when it still is what its name says: a lock is to vouch for it."""
    follower = Follower(stored.path, frozenset({"sha256"}), piece_size_for(stored.size_bytes))
    try:
        follower.advance(stored.size_bytes)
    except (OSError, EOFError):
        return None
    return (follower.pieces(),) if follower.digests()["sha256"].hex == stored.sha256 else None
