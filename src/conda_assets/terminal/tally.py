"""Where a run stands, kept up to date from its events: what every face shows, and what none of them works out by itself."""

from __future__ import annotations

import math

from conda_assets.events import Event, Failed, Finished, Planned, Progressed, Reading, Retrying, Started, Unpacking, Waiting
from conda_assets.model import Plan, State, Verb
from conda_assets.records import dataclass, field
from conda_assets.terminal.words import clean, percent

__all__ = ["Moving", "Pace", "Tally", "Totals"]

# Shorter spans say more about the poll than about the line.
_SPAN_S = 0.2
# A reading may be this old before silence begins to count as standing still.
_SILENCE_S = 1.5
_STALLED_S = 8.0


class Pace:
    """Bytes per second, smoothed: a reading weighs less the older it is, by half after 0.7 `memory_s`."""

    def __init__(self, memory_s: float) -> None:
        self._memory_s = memory_s
        self._rate = self._weight = 0.0
        self._since: float | None = None
        self._last = 0.0
        self._count = 0

    def add(self, count: int, now: float) -> None:
        """Take in `count` bytes that came since the reading before; the first one only starts the watch."""
        if self._since is None:
            self._since = self._last = now
            return
        # Several files are read at the same instant: a span ends when the next instant begins.
        if now > self._last and self._last - self._since >= _SPAN_S:
            self._rate, self._weight = self._with(self._since, self._last)
            self._since, self._count = self._last, 0
        self._count += count
        self._last = now

    def at(self, now: float) -> float | None:
        """The pace now, None before there are two readings."""
        if self._since is None:
            return None
        end = now if now - self._last > _SILENCE_S else self._last
        rate, weight = self._with(self._since, end) if end - self._since >= _SPAN_S else (self._rate, self._weight)
        return rate / weight if weight else None

    def _with(self, since: float, end: float) -> tuple[float, float]:
        """Rate and weight, with what came from `since` to `end`."""
        span = end - since
        keep = math.exp(-span / self._memory_s)
        return self._rate * keep + self._count / span * (1 - keep), self._weight * keep + (1 - keep)


@dataclass(eq=False, slots=True)
class Moving:
    """An asset on its way. `began`: with a `Started`, so that an end will be told; without one it is only being read.

    `due`: when a retry begins; `holder`: who else brings it; `reported`: what the transport said, in bytes per second.
    `unpacked_bytes`: of the archive, which is here and hashed, so much has been unpacked; None before that begins.
    """

    name: str
    size_bytes: int | None
    began: bool = True
    done_bytes: int = 0
    verified_bytes: int = 0
    connections: int = 0
    reported: float = 0.0
    due: float | None = None
    holder: str | None = None
    unpacked_bytes: int | None = None
    grew: float = 0.0
    pace: Pace = field(default_factory=lambda: Pace(3.0))

    @property
    def is_verifying(self) -> bool:
        """All bytes are here; the hash is not through yet."""
        return self.size_bytes is not None and self.done_bytes >= self.size_bytes > self.verified_bytes

    @property
    def is_placing(self) -> bool:
        """Here and hashed; it is being put where it belongs."""
        return self.size_bytes is not None and self.done_bytes >= self.size_bytes and self.verified_bytes >= self.size_bytes

    @property
    def unpacked(self) -> str:
        """How much of it is unpacked, as `63 %`; empty when it is not being unpacked."""
        return "" if self.unpacked_bytes is None or not self.size_bytes else percent(self.unpacked_bytes, self.size_bytes)

    @property
    def is_through(self) -> bool:
        """It has been read to its end, and nothing else will be told of it."""
        return self.is_placing and not self.began

    def is_stalled(self, now: float) -> bool:
        """No byte for a while, though nobody said that it waits."""
        return not self.is_verifying and not self.is_placing and now - self.grew > _STALLED_S

    def rate(self, now: float) -> float:
        """Bytes per second."""
        pace = self.pace.at(now)
        return self.reported if pace is None else pace

    def left_s(self, now: float) -> float | None:
        """Seconds to go, None when nobody can tell."""
        rate = self.rate(now)
        return (self.size_bytes - self.done_bytes) / rate if self.size_bytes is not None and rate >= 1 else None


@dataclass(frozen=True, slots=True)
class Totals:
    """The run in figures. `unknown`: files of unknown size, which `size_bytes` lacks; `reused_bytes`: from the store.

    `unpacking`: `corpus 63 %` for each archive that is being unpacked.
    """

    files: int
    done_files: int
    size_bytes: int
    done_bytes: int
    unknown: int
    reused_bytes: int
    rate: float
    left_s: float | None
    unpacking: tuple[str, ...] = ()


@dataclass(eq=False, slots=True)
class _File:
    """An asset's part of the totals. `counted`: its bytes are part of the transfer."""

    size_bytes: int | None = None
    done_bytes: int = 0
    counted: bool = True
    ended: bool = False


class Tally:
    """Takes events, gives rows and totals. Not safe for several threads at once."""

    def __init__(self) -> None:
        #: asset → its row, in the order in which they began
        self.moving: dict[str, Moving] = {}
        #: asset → algorithm of the digest that its bytes are compared with
        self.algorithms: dict[str, str] = {}
        self._files: dict[str, _File] = {}
        self._reused_bytes = 0
        # What is only read is not named before its turn comes.
        self._announced = (0, 0)
        # The pace to show is quick, the one to foretell with is slow.
        self._shown, self._steady = Pace(3.0), Pace(12.0)

    def take(self, event: Event, now: float) -> None:
        """Follow an event."""
        if isinstance(event, Progressed):
            self._progressed(event, now)
        elif isinstance(event, Started):
            row = Moving(clean(event.asset), event.size_bytes, done_bytes=event.done_bytes, grew=now)
            self.moving[event.asset] = row
            self._arrive(event.asset, row, 0, now)
        elif isinstance(event, Unpacking):
            self._unpacking(event, now)
        elif isinstance(event, Waiting):
            self._row(event.asset).holder = clean(event.holder)
        elif isinstance(event, Retrying):
            row = self._row(event.asset)
            row.due, row.connections, row.reported, row.pace = now + event.after_s, 0, 0.0, Pace(3.0)
        elif isinstance(event, Finished):
            self._finished(event, now)
        elif isinstance(event, Failed):
            self.moving.pop(event.asset, None)
            file = self._file(event.asset)
            file.ended, file.counted = True, False
        elif isinstance(event, Planned):
            self._planned(event.plan)
        elif isinstance(event, Reading):
            self._announced = event.files, event.size_bytes

    @property
    def is_busy(self) -> bool:
        """Something is on its way."""
        return any(not row.is_through for row in self.moving.values())

    def totals(self, now: float) -> Totals:
        """The figures of the whole run."""
        counted = [file for file in self._files.values() if file.counted]
        done_bytes = sum(file.done_bytes for file in counted)
        # A server may send more than the file promised.
        size_bytes = max(sum(max(file.size_bytes or 0, file.done_bytes) for file in counted), self._announced[1])
        unknown = sum(file.size_bytes is None for file in counted)
        through = sum(row.is_through for row in self.moving.values())
        shown = self._shown.at(now)
        return Totals(
            files=max(len(self._files), self._announced[0]),
            done_files=sum(file.ended for file in self._files.values()) + through,
            size_bytes=size_bytes,
            done_bytes=done_bytes,
            unknown=unknown,
            reused_bytes=self._reused_bytes,
            rate=sum(row.reported for row in self.moving.values()) if shown is None else shown,
            left_s=None if unknown else self._left_s(size_bytes - done_bytes, now),
            unpacking=tuple(f"{row.name} {row.unpacked}" for row in self.moving.values() if row.unpacked),
        )

    def _left_s(self, left_bytes: int, now: float) -> float | None:
        steady = self._steady.at(now) or 0.0
        if steady < 1 or left_bytes <= 0:
            return None
        # At the end one slow file may need longer than its share of the whole says.
        rows = [row.left_s(now) or 0.0 for row in self.moving.values() if not row.is_stalled(now)]
        return max(left_bytes / steady, *rows, 0.0)

    def _planned(self, plan: Plan) -> None:
        seen = set()
        for step in (*plan.of(Verb.FETCH), *plan.of(Verb.LINK)):
            asset, digest = step.asset, step.asset.digest
            same = str(digest or asset.url)
            # Assets that share bytes are brought once.
            self._files[asset.name] = _File(asset.size_bytes, counted=step.verb is Verb.FETCH and same not in seen)
            seen.add(same)
            if step.stored is not None:
                self._reused_bytes += step.stored.size_bytes
            if digest is not None:
                self.algorithms[asset.name] = digest.algorithm

    def _progressed(self, event: Progressed, now: float) -> None:
        row = self.moving.get(event.asset)
        if row is None:
            # Without a start, such as in `verify`: what is there already has not come now.
            row = Moving(clean(event.asset), event.size_bytes, began=False, done_bytes=event.done_bytes, grew=now)
            self.moving[event.asset] = row
        came = max(0, event.done_bytes - row.done_bytes)
        if event.done_bytes != row.done_bytes:
            row.grew = now
        row.size_bytes, row.done_bytes, row.verified_bytes = event.size_bytes, event.done_bytes, event.verified_bytes
        row.connections, row.reported, row.due, row.holder = event.connections, event.bytes_per_s, None, None
        self._arrive(event.asset, row, came, now)

    def _unpacking(self, event: Unpacking, now: float) -> None:
        row = self._row(event.asset)
        row.size_bytes = row.done_bytes = row.verified_bytes = event.size_bytes
        row.unpacked_bytes, row.grew, row.due, row.holder = event.done_bytes, now, None, None

    def _arrive(self, name: str, row: Moving, came: int, now: float) -> None:
        file = self._file(name)
        file.done_bytes = row.done_bytes
        if row.size_bytes is not None:
            file.size_bytes = row.size_bytes
        row.pace.add(came, now)
        self._shown.add(came, now)
        self._steady.add(came, now)

    def _finished(self, event: Finished, now: float) -> None:
        self.moving.pop(event.asset, None)
        if event.asset not in self._files and event.state not in (State.FETCHED, State.LINKED):
            return
        file = self._file(event.asset)
        if event.state is State.FETCHED:
            last = min(event.bytes_fetched, max(0, event.size_bytes - file.done_bytes))
            self._shown.add(last, now)
            self._steady.add(last, now)
        file.size_bytes = file.done_bytes = event.size_bytes
        file.ended = True

    def _file(self, name: str) -> _File:
        return self._files.setdefault(name, _File())

    def _row(self, name: str) -> Moving:
        if name not in self.moving:
            self.moving[name] = Moving(clean(name), self._file(name).size_bytes)
        return self.moving[name]
