"""What the hosts of a run bear together, over all files: learnt from what they refuse, and known of some before.

host bears   32 connections for 4 files → some are refused → 16 for what begins from now on → refused → 8 …
             nothing refused for some seconds → 16 → 32 …
host rests   Retry-After: 30 for one file → nothing begins there for 30 s, whatever the file
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice

from conda_assets.fetch.item import Item
from conda_assets.web.reach import origin_of

__all__ = ["Hosts"]

# Hosts that shut out who asks over many connections. Source: Phylign's issue 236 (two are borne), zenodo_get's 30 and 36.
_KNOWN = {"zenodo.org": 2, "sandbox.zenodo.org": 2}
_NO_LIMIT = 1 << 30
# A host that refuses everything for one file still gives the others.
_FEWEST = 2
_ONE_MOMENT_S, _DOUBLED_S = 1.0, 15.0
# Of thousands that wait for one host, so many are looked at.
_LOOKED_AT = 200


class Hosts:
    """Asked by the driving thread only."""

    def __init__(self) -> None:
        self._most: dict[str, int] = {}
        self._refused_at: dict[str, float] = {}
        self._resting: dict[str, float] = {}

    def first(self, waiting: Iterable[Item], active: Collection[Item], now: float) -> Item | None:
        """The first that may begin now, with no more connections than its host has room for; None while all have to wait."""
        rooms: dict[str, int] = {}
        for item in islice(waiting, _LOOKED_AT):
            host = _host(item)
            if host not in rooms:
                rooms[host] = self._room(host, active, now)
            if rooms[host] > 0:
                item.connections = min(item.connections, rooms[host])
                return item
        return None

    def refused(self, item: Item, active: Iterable[Item], now: float) -> None:
        """Its host says no to so many connections."""
        host = _host(item)
        before = self._refused_at.get(host)
        # What is refused in one moment is one refusal.
        if before is not None and now - before < _ONE_MOMENT_S:
            return
        self._most[host] = max(_FEWEST, min(self._bears(host, now), _used(host, active)) // 2)
        self._refused_at[host] = now

    def _bears(self, host: str, now: float) -> int:
        most = self._most.get(host)
        if most is None:
            return _KNOWN.get(host, _NO_LIMIT)
        return min(_KNOWN.get(host, _NO_LIMIT), most << min(20, int((now - self._refused_at[host]) / _DOUBLED_S)))

    def _room(self, host: str, active: Iterable[Item], now: float) -> int:
        if self._resting.get(host, 0.0) > now:
            return 0
        most = self._bears(host, now)
        return most if most == _NO_LIMIT else most - _used(host, active)

    def is_crowded(self, item: Item, active: Iterable[Item]) -> bool:
        """Other files are on their way from its host, so that one more may just have been too many."""
        host = _host(item)
        return any(each is not item and each.moving and _host(each) == host for each in active)

    def rest(self, item: Item, until: float) -> None:
        """Its host wants to be left alone until then (monotonic seconds)."""
        host = _host(item)
        self._resting[host] = max(until, self._resting.get(host, 0.0))


def _host(item: Item) -> str:
    """Which host is asked for it; the name alone, since hosts count who asks and not at which port."""
    return origin_of(item.urls[0])[1]


def _used(host: str, active: Iterable[Item]) -> int:
    return sum(item.share for item in active if _host(item) == host)
