"""Events as lines: for logs and pipes (`plain`), for programs (`json`), or failures alone (`none`). No escape codes, no rich.

{"schema": 1, "type": "planned", "assets": [{"name": …, "action": "fetch", "because": …, "size_bytes": …, "source": …}]}
{"schema": 1, "type": "reading", "files": …, "size_bytes": …}
{"schema": 1, "type": "started", "asset": …, "size_bytes": …, "done_bytes": …, "source": …}
{"schema": 1, "type": "progressed", "asset": …, "done_bytes": …, "size_bytes": …, "bytes_per_s": …, "connections": …,
 "verified_bytes": …}
{"schema": 1, "type": "finished", "asset": …, "state": "fetched", "size_bytes": …, "bytes_fetched": …, "seconds": …, "path": …,
 "unpack_s": …}
{"schema": 1, "type": "unpacking", "asset": …, "done_bytes": …, "size_bytes": …}
… and waiting, retrying, failed, noted, with the fields of their events. A key that is here stays; new ones may come.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import TextIO

from conda_assets.events import Event, Failed, Planned, Progressed, Started, Unpacking, Waiting
from conda_assets.model import shown_url
from conda_assets.records import fields
from conda_assets.terminal.lines import Wording, total_log
from conda_assets.terminal.tally import Tally
from conda_assets.terminal.words import say

__all__ = ["SCHEMA", "Failures", "Json", "Log", "Plain"]

SCHEMA = 1

#: Seconds from one total line of a log to the next.
TOTAL_EVERY_S = 10.0
_TICK_S = 1.0


class Log:
    """An observer that writes lines until the stream breaks: a transfer does not end because nobody reads of it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_broken = False
        self._state = threading.RLock()

    def __enter__(self) -> Log:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing is left to write."""

    def __call__(self, event: Event) -> None:
        """Write what the event has to say."""
        raise NotImplementedError

    def write(self, text: str) -> None:
        """Write a line, unless it is empty or the reader has gone."""
        if not text or self._is_broken:
            return
        try:
            say(self._stream, text)
        except OSError:
            self._is_broken = True


class Plain(Log):
    """A line at the start and the end of each file, and a total now and then, also while nothing moves."""

    def __init__(self, stream: TextIO, *, verbosity: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._tally = Tally()
        self._wording = Wording(self._tally.algorithms, verbosity)
        self._next_total: float | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def __call__(self, event: Event) -> None:
        with self._state:
            self._tally.take(event, self._clock())
            self.write(self._wording.logged(event))
            if self._next_total is None and isinstance(event, (Started, Progressed, Unpacking, Waiting)):
                self._next_total = self._clock() + TOTAL_EVERY_S
                self._thread = threading.Thread(target=self._tick_on, name="log", daemon=True)
                self._thread.start()
            self.tick()

    def tick(self) -> None:
        """Write the total when its time has come."""
        with self._state:
            now = self._clock()
            if self._next_total is None or now < self._next_total:
                return
            self._next_total = now + TOTAL_EVERY_S
            if self._tally.is_busy:
                self.write(total_log(self._tally.totals(now)))

    def _tick_on(self) -> None:
        while not self._over.wait(_TICK_S):
            self.tick()


class Json(Log):
    """One JSON object a line for every event, in ASCII."""

    def __call__(self, event: Event) -> None:
        # ASCII: no sign of a name can mean anything to a terminal, and no encoding lacks one.
        with self._state:
            self.write(json.dumps({"schema": SCHEMA, "type": type(event).__name__.lower(), **_content(event)}))


class Failures(Log):
    """What failed, and nothing else."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._wording = Wording({}, 0)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Failed):
            with self._state:
                self.write(self._wording.logged(event))


def _content(event: Event) -> dict[str, object]:
    if isinstance(event, Planned):
        return {
            "assets": [
                {
                    "name": step.asset.name,
                    "action": step.verb.value,
                    "because": step.because,
                    "size_bytes": step.stored.size_bytes if step.stored else step.asset.size_bytes,
                    "source": shown_url(step.asset.url),
                }
                for step in event.plan.steps
            ]
        }
    return {each.name: _plain(getattr(event, each.name)) for each in fields(event)}


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    return round(value, 3) if isinstance(value, float) else value
