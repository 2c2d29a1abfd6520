"""Small files whose size and digest are known: many at once, each by one request, hashed in memory, adopted by the group.

    queue ─GET, hash, lay→ laid ─sync and rename the group→ arrived
      └─ anything unusual → left over, for the ordinary way

One thread brings files, one adopts them: while it syncs a group the next one grows, so groups are as large as the disk is slow.
Both hand over many at a time, and so does the batch: threads of Python that call the system in turn wait for one another at each
call. With a hand-over for each file 2,000 files of 50 KB took 1.9 s instead of 1.4. So only one of the two works at a time, while
the other one waits for the network or for the disk; a third one that writes what has come made nothing faster.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing, suppress

from conda_assets.digest import Digest, hash_of
from conda_assets.errors import AssetsError
from conda_assets.fetch.item import Item
from conda_assets.fetch.want import Quick, Tray
from conda_assets.model import Laid, Stored

__all__ = ["SMALL_BYTES", "Batch", "is_small"]

#: Files up to this size would get one connection of aria2's, too. With one connection there is nothing to gain from it.
SMALL_BYTES = 1 << 20
# A kill loses what is laid and not adopted; at the most, nothing more is asked for before a group is adopted.
_GROUP, _MOST_LAID = 256, 512
# Nor does a file wait longer than this for others, to be adopted and then to be told of.
_PATIENCE_S = 1.0
# Without any file in this time everything is cut, and left to the ordinary way, which has a watchdog a file.
_SILENCE_S = 30.0


def is_small(item: Item, quick: Quick) -> bool:
    """It may go in a batch: nothing has to be found out about it but whether its bytes are right."""
    asset = item.asset
    return (
        asset.digest is not None
        and asset.size_bytes is not None
        and 0 < asset.size_bytes <= SMALL_BYTES
        and asset.size_slack_bytes == 0
        and not asset.headers
        and not item.want.afresh
        and not item.want.pieces
        and item.want.salvage is None
        and quick.takes(asset.url)
    )


class Batch:
    """Begins at once. `connections`: to one server at most. `wake`: called by its threads when there is news."""

    def __init__(self, items: Sequence[Item], tray: Tray, quick: Quick, connections: int, wake: Callable[[], None]) -> None:
        self.items, self._tray, self._quick, self._wake = items, tray, quick, wake
        self._most = connections
        self._laid: list[tuple[Item, Laid]] = []
        self._news: deque[tuple[Item, Stored | None]] = deque()
        self._changed = threading.Condition()
        # Who calls the system has it: two that do so in turn wait for one another at each call.
        self._turn = threading.Lock()
        self._working, self._stopping, self._adopted = True, False, False
        self._moved_at = self._told_at = time.monotonic()
        self._bringer = threading.Thread(target=self._bring, name="small", daemon=True)
        self._adopter = threading.Thread(target=self._adopt, name="adopt", daemon=True)
        self._bringer.start()
        self._adopter.start()

    @property
    def over(self) -> bool:
        """Every file has been told of."""
        return self._adopted and not self._news

    @property
    def connections(self) -> int:
        """So many are open."""
        return self._quick.connections

    def news(self) -> list[tuple[Item, Stored | None]]:
        """What ended since the last call: stored, or None for what is left to the ordinary way, which says what is wrong."""
        told, now = [], time.monotonic()
        if now - self._told_at >= _PATIENCE_S or self._adopted:
            while self._news:
                told.append(self._news.popleft())
            self._told_at = now
        if told:
            self._moved_at = now
        elif now - self._moved_at > _SILENCE_S:
            self._quick.cut()
        return told

    def close(self) -> None:
        """End all; returns when no thread of ours writes any more."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._quick.cut()
        self._bringer.join()
        self._adopter.join()
        self._tray.close()

    def _bring(self) -> None:
        try:
            since = time.monotonic()
            # The others are, each before it is laid.
            with suppress(AssetsError):
                self._tray.expect(each.hex for item in self.items if (each := item.asset.digest) and each.algorithm == "sha256")
            files = [(item, item.asset.url, item.asset.size_bytes or 0) for item in self.items]
            with closing(self._quick.bring(files, self._most)) as bodies:
                for item, body in bodies:
                    item.since = since
                    if self._stopping:
                        return
                    self._take(item, body)
        finally:
            with self._changed:
                self._working = False
                self._changed.notify_all()

    def _take(self, item: Item, body: memoryview | None) -> None:
        with self._turn:
            laid = self._lay(item, body)
        if laid is None:
            self._leave(item)
            return
        with self._changed:
            self._laid.append((item, laid))
            if len(self._laid) >= _GROUP:
                self._changed.notify_all()
            while len(self._laid) >= _MOST_LAID and not self._stopping:
                self._changed.wait()

    def _lay(self, item: Item, body: memoryview | None) -> Laid | None:
        """None where it is to be left."""
        digest = item.asset.digest
        assert digest is not None
        digests = {each: _digest(body, each) for each in {"sha256", digest.algorithm}} if body is not None else {}
        if body is None or digests[digest.algorithm] != digest:
            return None
        try:
            return self._tray.lay(item.want.key, body, digests)
        except AssetsError:
            return None

    def _adopt(self) -> None:
        try:
            while self._adopt_group():
                pass
        finally:
            with self._changed:
                self._stopping = self._adopted = True
                self._changed.notify_all()
            self._wake()

    def _adopt_group(self) -> bool:
        """False when there is none any more."""
        with self._changed:
            until = time.monotonic() + _PATIENCE_S
            while len(self._laid) < _GROUP and self._working and not self._stopping and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            group, self._laid = self._laid, []
            self._changed.notify_all()
            if self._stopping or not (group or self._working):
                return False
        if not group:
            return True
        try:
            stored: Sequence[Stored | None] = self._tray.adopt([laid for _, laid in group], self._turn)
        except AssetsError:
            stored = [None] * len(group)
        for (item, laid), each in zip(group, stored, strict=True):
            item.job_bytes = laid.size_bytes
            self._news.append((item, each))
        return True

    def _leave(self, item: Item) -> None:
        self._news.append((item, None))
        self._wake()


def _digest(body: memoryview, algorithm: str) -> Digest:
    made = hash_of(algorithm)
    made.update(body)
    return Digest(algorithm, made.hexdigest())
