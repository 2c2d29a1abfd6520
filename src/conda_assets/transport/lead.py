"""Where a source leads at the moment: asked of it, kept as long as it is good, asked anew when it is refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from conda_assets.errors import AssetsError
from conda_assets.model import Fresh

if TYPE_CHECKING:
    from conda_assets.web.exchange import Exchange

__all__ = ["Lead"]

# Given out no more so long before its end, or in the second half of a short life: the request has still to get there.
_SPARE_S = 60.0
_REFUSED = frozenset({401, 403, 410})


class Lead:
    """Keeps what `ask` said; safe for several threads, of which one asks and the others wait for what it is told."""

    def __init__(self, ask: Callable[[], Fresh]) -> None:
        self._ask, self._lock = ask, threading.Lock()
        self._fresh: Fresh | None = None
        self._until = 0.0
        self._refusal: tuple[float, AssetsError] | None = None

    def now(self) -> Fresh:
        """Where to ask, good at this moment.

        Raises:
            AssetFailed: the source says that it leads nowhere.
        """
        came = time.monotonic()
        with self._lock:
            if self._refusal is not None and self._refusal[0] >= came:
                # Told while this one waited; 16 that ask a silent publisher one after the other would wait for minutes.
                raise self._refusal[1]
            if self._fresh is None or time.monotonic() >= self._until:
                self._renew()
            assert self._fresh is not None
            return self._fresh

    def instead_of(self, refused: Fresh) -> Fresh | None:
        """Another answer than one that a server did not accept; None where the source insists on it.

        Raises:
            AssetFailed: the source says that it leads nowhere.
        """
        with self._lock:
            if self._fresh is refused:
                self._renew()
            other = self._fresh
        return None if other is None or (other.url, other.headers) == (refused.url, refused.headers) else other

    def through(self, send: Callable[[Fresh], Exchange]) -> Exchange:
        """The answer to a request that `send` makes; made once more elsewhere when the first is refused.

        Raises:
            AssetFailed: as `send` or the source says.
        """
        fresh = self.now()
        answer = send(fresh)
        if answer.status in _REFUSED and (other := self.instead_of(fresh)) is not None:
            answer.close()
            return send(other)
        return answer

    def _renew(self) -> None:
        began = time.monotonic()
        try:
            self._fresh = fresh = self._ask()
        except AssetsError as error:
            self._refusal = time.monotonic(), error
            raise
        good_s = fresh.good_for_s
        self._until = float("inf") if good_s is None else began + good_s - min(_SPARE_S, good_s / 2)
