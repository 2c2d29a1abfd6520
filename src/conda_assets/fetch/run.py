"""One run: who is admitted when, what is heard of transfers, what follows an error."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from conda_assets.digest import Follower, piece_size_for, sum_size_for
from conda_assets.errors import (
    AccessDenied,
    AssetFailed,
    AssetsError,
    DigestMismatch,
    DiskFull,
    EngineFailed,
    NetworkFailed,
    NotThere,
    SizeMismatch,
    UpstreamChanged,
)
from conda_assets.events import Noted, Observer, Progressed, Retrying, Started, Waiting
from conda_assets.fetch.batch import Batch, is_small
from conda_assets.fetch.engine import Engine
from conda_assets.fetch.hosts import Hosts
from conda_assets.fetch.item import Item
from conda_assets.fetch.want import Arrival, Claim, Limits, Small, Want, Warehouse
from conda_assets.model import Asset, Locked, Stored, shown_url
from conda_assets.records import replace
from conda_assets.transport import Tiding, Transport

__all__ = ["fetch"]

_TICK_S = 0.05
# Where a transfer is about to end, so that its end is not noticed a tick late.
_SOON_S, _ABOUT_TO_END_S = 0.01, 0.15
_PARKED_S = 0.2
# Kept free beside the files themselves: control files, receipts, other people's logs.
_SPARE_BYTES = 16 << 20
# A server that asks for more patience than this is not waited for.
_LONGEST_WAIT_S = 300.0
# As much may come twice where a server has to be asked in another way.
_CHEAP_BYTES = 64 << 20
# And of a whole file of that size at once, when it is silent: there is no time for five tries.
_SILENT_S = 20.0
# So much has come of a try that the server does not object to how it was asked.
_MUCH_BYTES = 1 << 20
# With less patience left than this, a further try would only make the end late.
_TOO_LATE_S = 10.0

Probe = Callable[[Asset, str], Locked]


def fetch(
    wants: Sequence[Want],
    *,
    store: Warehouse,
    transport: Callable[[], Transport],
    probe: Probe,
    limits: Limits,
    watch: Observer,
    small: Small | None = None,
) -> Iterator[Arrival]:
    """Bring every want into the store; yields in finish order. Closing the iterator keeps partial files for the next run.

    `transport` is called in a worker thread when something really has to move, and again should the engine die.
    `small`: how small files come, beside it.
    """
    run = _Run(store, transport, probe, limits, watch, small)
    try:
        yield from run.bring(wants)
    finally:
        run.close()


class _Run:
    def __init__(
        self,
        store: Warehouse,
        transport: Callable[[], Transport],
        probe: Probe,
        limits: Limits,
        watch: Observer,
        small: Small | None,
    ) -> None:
        self._store, self._probe, self._limits, self._watch, self._how = store, probe, limits, watch, small
        self._workers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="probe")
        # Two hash at once: more would take cores from the transfer on small machines.
        self._hashers = ThreadPoolExecutor(max_workers=2, thread_name_prefix="hash")
        self._waiting: deque[Item] = deque()
        self._parked: list[Item] = []
        self._active: dict[str, Item] = {}
        self._small: dict[str, Item] = {}
        self._batch: Batch | None = None
        self._batch_due = 0.0
        self._hosts = Hosts()
        self._news = threading.Event()
        self._ending = False
        self._engine = Engine(transport, self._workers, self._wake)
        self._closing = threading.Event()

    def bring(self, wants: Sequence[Want]) -> Iterator[Arrival]:
        """Drive until every want has ended."""
        if (full := self._too_much(wants)) is not None:
            for want in wants:
                yield Arrival(want, error=replace(full, asset=want.assets[0].name))
            return
        # Longest first, so that the last transfer is not a long one alone; unknown sizes count as long.
        ordered = sorted(wants, key=lambda want: -(want.assets[0].size_bytes or 1 << 60))
        for want in ordered:
            item = Item(want, self._limits.connections, want.assets[0].urls, salvage=want.salvage)
            if self._how is not None and is_small(item, self._how.quick):
                self._small[want.key] = item
            else:
                self._waiting.append(item)
        while self._waiting or self._parked or self._active or self._small:
            self._news.clear()
            self._ending = False
            yield from self._admit()
            yield from self._bring_small()
            yield from self._listen()
            for item in list(self._active.values()):
                yield from self._advance(item)
            if self._active or self._parked or self._small or self._waiting:
                self._news.wait(_SOON_S if self._ending else _TICK_S)

    def _too_much(self, wants: Sequence[Want]) -> DiskFull | None:
        """All files together, as far as their sizes are known: what cannot end well need not begin."""
        need, free = sum(want.assets[0].size_bytes or 0 for want in wants) + _SPARE_BYTES, self._store.free_bytes()
        if need <= free or len(wants) < 2:
            return None
        need -= sum(min(want.assets[0].size_bytes or 0, self._store.staged_bytes(want.key)) for want in wants)
        return DiskFull(str(self._store.folder), need, free) if need > free else None

    def close(self) -> None:
        """End the transfers, keep partial files, give every claim back."""
        self._closing.set()
        if self._batch is not None:
            self._batch.close()
        self._engine.close()
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._hashers.shutdown(wait=True, cancel_futures=True)
        for item in (*self._active.values(), *self._parked, *self._waiting):
            if item.claim is not None:
                item.claim.release()

    # Small files

    def _bring_small(self) -> Iterator[Arrival]:
        if self._small and self._batch is None and time.monotonic() >= self._batch_due:
            yield from self._begin_batch()
        if self._batch is None:
            return
        over = self._batch.over
        for item, stored in self._batch.news():
            if stored is None:
                continue
            del self._small[item.want.key]
            yield item.arrival(stored=stored, fetched=True)
        if over:
            self._batch.close()
            # What the quick way left, the ordinary one takes, which says what is wrong.
            self._waiting.extend(item for item in self._batch.items if self._small.pop(item.want.key, None))
            self._batch = None

    def _begin_batch(self) -> Iterator[Arrival]:
        """All of it that nobody else is bringing; what another process has brought meanwhile ends here."""
        assert self._how is not None
        tray, others = self._how.tray(list(self._small))
        for item in list(self._small.values()):
            if item.asset.digest and (stored := self._store.find(item.asset.digest)):
                del self._small[item.want.key]
                yield item.arrival(stored=stored)
        self._batch_due = time.monotonic() + _PARKED_S
        if others:
            self._tell_waiting([item for key, item in self._small.items() if key in others])
        if tray is not None:
            items = [item for key, item in self._small.items() if key not in others]
            self._batch = Batch(items, tray, self._how.quick, self._limits.connections, self._news.set)

    def _tell_waiting(self, items: Sequence[Item]) -> None:
        new = [item for item in items if not item.waited]
        holder = self._store.holder(new[0].want.key) if new else ""
        for item in new:
            item.waited = True
            self._watch(Waiting(item.asset.name, holder))

    # Admission

    def _admit(self) -> Iterator[Arrival]:
        now = time.monotonic()
        due = [item for item in self._parked if item.due <= now]
        if due:
            self._parked = [item for item in self._parked if item.due > now]
            self._waiting.extendleft(reversed(due))
        budget = self._limits.jobs * self._limits.connections
        while self._waiting and len(self._active) < self._limits.files:
            item = self._hosts.first(self._waiting, self._active.values(), now)
            if item is None:
                return
            used = sum(item.share for item in self._active.values()) + (self._batch.connections if self._batch else 0)
            if self._active and used + item.share > budget:
                return
            self._waiting.remove(item)
            try:
                arrival = self._take(item)
            except AssetsError as error:
                arrival = item.arrival(error=_named(error, item.asset.name))
            if arrival is not None:
                yield arrival

    def _take(self, item: Item) -> Arrival | None:
        """Claim the item and send a probe; or park it, or find that another process has brought it."""
        if item.claim is None:
            item.claim = self._store.claim(item.want.key)
            item.since = item.since or time.monotonic()
        if item.claim is None:
            if not item.waited:
                self._watch(Waiting(item.asset.name, self._store.holder(item.want.key)))
                item.waited = True
            self._park(item, _PARKED_S)
            return None
        asset = item.asset
        stored = self._store.find(asset.digest) if asset.digest else self._store.find_url(asset.url)
        if stored is not None and not item.want.afresh:
            return item.arrival(stored=stored)
        self._engine.want()
        now = time.monotonic()
        # What it waited longer than it had to, for room or for its host, is no silence.
        item.quiet_since = item.quiet_since + max(0.0, now - item.due) if item.quiet_since else now
        item.probing = self._workers.submit(self._probe_any, asset, item.urls)
        item.probing.add_done_callback(self._wake)
        self._active[item.want.key] = item
        return None

    def _probe_any(self, asset: Asset, urls: tuple[str, ...]) -> Locked:
        """The first URL that answers well; when none does, an error worth another try before the others."""
        errors: list[AssetsError] = []
        for url in urls:
            try:
                return self._probe(asset, url)
            except AssetsError as error:
                errors.append(error)
        raise next((error for error in errors if error.retryable), errors[0])

    def _wake(self, _: object) -> None:
        self._news.set()

    def _park(self, item: Item, seconds: float) -> None:
        self._active.pop(item.want.key, None)
        item.due = time.monotonic() + seconds
        self._parked.append(item)

    # Progress

    def _advance(self, item: Item) -> Iterator[Arrival]:
        try:
            if item.probing is not None and item.probing.done():
                item.learn(item.probing.result())
                if (stored := self._known(item)) is not None:
                    self._active.pop(item.want.key)
                    yield item.arrival(stored=stored)
                    return
            if item.locked is not None and not item.moving and (transport := self._engine.ready()):
                assert item.claim is not None
                if item.prepare(item.locked, item.claim, self._hashers, self._closing.is_set):
                    self._begin(item, item.locked, item.claim, transport)
            if item.finishing is not None:
                if item.finishing.done():
                    stored = item.finishing.result()
                    self._active.pop(item.want.key)
                    yield item.arrival(stored=stored, fetched=True)
                elif item.follower is not None and item.locked is not None and item.locked.size_bytes:
                    size, verified = item.locked.size_bytes, item.follower.done_bytes
                    self._watch(Progressed(item.asset.name, size, size, 0.0, 0, verified))
        except AssetsError as error:
            yield from self._failed(item, error)

    def _known(self, item: Item) -> Stored | None:
        """What the store has under the digest that the publisher has just named."""
        if item.asset.digest or item.promised is None or item.want.afresh or item.want.pieces:
            return None
        return self._store.find(item.promised)

    def _begin(self, item: Item, locked: Locked, claim: Claim, transport: Transport) -> None:
        self._reserve(item, locked)
        item.from_empty = not claim.data.exists()
        if item.salved:
            # What was left of it has been read meanwhile.
            item.quiet_since = time.monotonic()
        algorithms = {"sha256"} | ({item.wanted.algorithm} if item.wanted else set())
        size_of, algorithm = (piece_size_for, "sha256") if item.want.pieces else (sum_size_for, "crc32")
        piece_bytes = size_of(locked.size_bytes) if locked.size_bytes else 0
        item.follower = Follower(claim.data, frozenset(algorithms), piece_bytes, algorithm)
        transport.start([item.job(locked, claim)])
        item.moving = True
        # It is handed over with the next question, which need not wait for the clock.
        self._wake(None)

    def _reserve(self, item: Item, locked: Locked) -> None:
        """Room for this file beside all that is on its way.

        Raises:
            DiskFull: before the first byte.
        """
        need = max(0, (locked.size_bytes or 0) - _on_disk(item))
        others = sum(max(0, other.reserved_bytes - other.job_bytes) for other in self._active.values() if other is not item)
        free = self._store.free_bytes()
        if need and need + others + _SPARE_BYTES > free:
            raise DiskFull(str(self._store.folder), need + others + _SPARE_BYTES, free, locked.asset.name)
        item.reserved_bytes = need

    def _listen(self) -> Iterator[Arrival]:
        try:
            transport = self._engine.ready()
            tidings = transport.poll() if transport else []
        except EngineFailed as error:
            yield from self._lost(error)
            return
        for tiding in tidings:
            item = self._active.get(tiding.id)
            if item is not None and item.moving and item.finishing is None:
                yield from self._hear(item, tiding)

    def _hear(self, item: Item, tiding: Tiding) -> Iterator[Arrival]:
        assert item.locked is not None
        assert item.follower is not None
        name = item.asset.name
        if not item.announced:
            item.announced = True
            earlier = max(0, tiding.done_bytes - tiding.fetched_bytes)
            self._watch(Started(name, tiding.size_bytes, earlier, shown_url(item.locked.final_url)))
        item.job_bytes = max(item.job_bytes, tiding.fetched_bytes)
        item.advance(tiding.done_bytes)
        verified = item.follower.done_bytes
        if tiding.size_bytes and tiding.size_bytes - tiding.done_bytes < tiding.bytes_per_s * _ABOUT_TO_END_S:
            self._ending = True
        self._watch(Progressed(name, tiding.done_bytes, tiding.size_bytes, tiding.bytes_per_s, tiding.connections, verified))
        if tiding.queued:
            item.quiet_since = time.monotonic()
        if (error := tiding.error or self._objection(item, item.locked, tiding)) is not None:
            yield from self._failed(item, error)
        elif tiding.done:
            now = self._workers.submit(self._probe, item.asset, item.locked.url) if item.must_be_the_same else None
            item.finishing = self._hashers.submit(self._finish, item, item.follower, item.hashing, now)
            item.finishing.add_done_callback(self._wake)
        elif tiding.front_bytes > verified and (item.hashing is None or item.hashing.done()):
            item.hashing = self._hashers.submit(_follow, item.follower, tiding.front_bytes)

    def _objection(self, item: Item, locked: Locked, tiding: Tiding) -> AssetsError | None:
        """What a transport does not see: that there is no end to the silence, or to the file."""
        name, where, patience_s = item.asset.name, shown_url(locked.final_url), self._limits.patience_s
        if tiding.done:
            return None
        if not self._limits.paced and item.silent_s() > patience_s:
            return NetworkFailed(name, f"no byte from {where} for {patience_s:.0f} s, over all tries")
        if locked.size_bytes is not None:
            return None
        most = item.asset.size_bytes
        if most is not None and tiding.done_bytes > most + item.asset.size_slack_bytes:
            return SizeMismatch(name, most, tiding.done_bytes, where)
        free = self._store.free_bytes()
        return DiskFull(str(self._store.folder), _SPARE_BYTES, free, name) if free < _SPARE_BYTES else None

    def _finish(self, item: Item, follower: Follower, before: Future[None] | None, now: Future[Locked] | None) -> Stored:
        stored = item.finish(follower, before, now)
        if (pieces := follower.pieces()) is not None:
            self._store.note_pieces(stored, pieces)
        return stored

    # Errors

    def _failed(self, item: Item, error: AssetsError) -> Iterator[Arrival]:
        """Try again, try otherwise, or end the want."""
        transport = self._engine.ready(failing=False)
        if item.moving and transport is not None:
            transport.stop(item.want.key)
        asked_url = item.locked.url if item.locked else item.urls[0] if len(item.urls) == 1 else ""
        refused = isinstance(error, (AccessDenied, NotThere)) and item.moving and item.locked is not None
        ended = refused and item.locked is not None and bool(item.locked.fresh)
        # It has just said otherwise: what it means are so many connections, or parts.
        served = isinstance(error, NetworkFailed) and item.job_bytes >= (1 if error.cut else _MUCH_BYTES)
        objects = item.moving and not ended and not served
        resumable = item.moving and item.locked is not None and item.locked.resumable
        cheap = resumable and _on_disk(item) <= _CHEAP_BYTES
        small = item.locked is not None and (item.locked.size_bytes or _CHEAP_BYTES) < _CHEAP_BYTES
        at_once = resumable and small and item.silent_s() > _SILENT_S
        item.rest()
        if isinstance(error, DigestMismatch):
            yield from self._blame(item, error, cheap=cheap)
            return
        busy = isinstance(error, NetworkFailed) and error.busy
        # It may come when another one is through; patience ends all the same.
        crowded = busy and item.tries > 0 and self._hosts.is_crowded(item, self._active.values())
        item.tries += not crowded
        # A file that changes all the time brings bytes each time.
        item.changes += isinstance(error, UpstreamChanged)
        asked = error.retry_after_s if isinstance(error, NetworkFailed) else 0.0
        # A link that has ended is refused; the publisher, who is asked again, gives another one.
        worth = error.retryable or (ended and item.tries == 1) or (refused and not ended and not item.whole)
        if not worth or self._is_enough(item) or asked > _LONGEST_WAIT_S:
            if item.denied is not None:
                # aria2 compares with a `Digest` header by itself, and says no more than that the transfer broke off.
                yield from self._blame(item, item.denied, cheap=False)
                return
            if isinstance(error, AssetFailed) and asked_url and item.without(asked_url):
                self._watch(Noted(f"{_named(error, item.asset.name).message}; trying the next mirror", "warning"))
                self._park(item, 0.0)
                return
            self._active.pop(item.want.key, None)
            yield item.arrival(error=_named(error, item.asset.name))
            return
        if isinstance(error, UpstreamChanged) and item.claim is not None:
            item.claim.discard()
        if objects:
            # Over fewer connections, 16, 8, 4, …; at last by one plain question for all of it.
            item.connections = max(1, item.connections // 2)
            if busy or isinstance(error, AccessDenied):
                self._hosts.refused(item, self._active.values(), time.monotonic())
            item.whole = item.whole or at_once or (cheap and item.tries >= self._limits.tries - 1)
        after = max(asked, min(60.0, 0.5 * 2 ** (item.tries - 1 + 2 * crowded)) * random.uniform(0.8, 1.2))
        item.quiet_since += asked
        if asked:
            self._hosts.rest(item, time.monotonic() + after)
        self._watch(Retrying(item.asset.name, _cause(error), after, item.tries))
        self._park(item, after)

    def _is_enough(self, item: Item) -> bool:
        """It has been tried as often, or for as long, as makes sense."""
        quiet_s = time.monotonic() - item.quiet_since
        most = 2 if item.denied is not None else self._limits.tries
        return max(item.tries, item.changes) >= most or quiet_s > self._limits.patience_s - _TOO_LATE_S

    def _blame(self, item: Item, error: DigestMismatch, *, cheap: bool) -> Iterator[Arrival]:
        assert item.claim is not None
        if item.guessed:
            item.forget_guess()
            item.claim.discard()
            self._watch(Noted(f"{error.message}; what was left of the file is not used, it comes from the start", "warning"))
            self._park(item, 0.0)
            return
        if not (piecewise := item.piecewise(item.claim)):
            item.claim.discard()
        if cheap and item.only and not item.whole and not piecewise:
            # A bit that fell over once, or a server that mistakes parts: the plainest question tells.
            item.whole, item.denied = True, error
            self._watch(Noted(f"{error.message}; trying once more, in one go", "warning"))
            self._park(item, 0.0)
        elif item.next_source():
            how = "for the pieces that are wrong" if piecewise else "from the start"
            self._watch(Noted(f"{error.message}; trying {shown_url(item.urls[0])} alone, {how}", "warning"))
            self._park(item, 0.0)
        else:
            self._active.pop(item.want.key, None)
            yield item.arrival(error=error)

    def _lost(self, error: EngineFailed) -> Iterator[Arrival]:
        """The engine died: start another one, which resumes; or end what it carried."""
        again = self._engine.restart()
        for item in [each for each in self._active.values() if each.moving and each.finishing is None]:
            item.rest()
            if again:
                self._watch(Retrying(item.asset.name, error.message, 0.0, item.tries + 1))
                self._park(item, 0.0)
            else:
                self._active.pop(item.want.key, None)
                yield item.arrival(error=error)


def _on_disk(item: Item) -> int:
    """What has arrived of it."""
    with suppress(OSError):
        return item.claim.data.stat().st_blocks * 512 if item.claim else 0
    return 0


def _follow(follower: Follower, front_bytes: int) -> None:
    follower.advance(front_bytes)


def _named(error: AssetsError, name: str) -> AssetsError:
    """Transports know jobs, people know assets."""
    if isinstance(error, (AssetFailed, DigestMismatch, DiskFull, SizeMismatch)):
        error.asset = name
    return error


def _cause(error: AssetsError) -> str:
    return error.cause if isinstance(error, AssetFailed) else error.message
