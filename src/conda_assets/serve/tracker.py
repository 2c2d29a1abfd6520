"""The centre as a BitTorrent tracker: who fetches or gives a file tells so here, and hears of the others.

    GET /announce/<pass>?info_hash=…&port=…      bencoded answer; the pass is asked for at /api/v1/tracker, by who may read

What is known of peers is in memory alone, bounded, and gone when they have not been heard of for a while. A peer is where its
request comes from, whatever it says, so nobody can send a swarm to somebody else's machine.
Source: https://www.bittorrent.org/beps/bep_0003.html, bep_0007 (IPv6), bep_0023 (compact)
"""

from __future__ import annotations

import ipaddress
import random
import time
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from conda_assets.serve.centre import Centre
from conda_assets.serve.door import address_of
from conda_assets.serve.rest.schemas import refusals
from conda_assets.serve.tickets import PASS

__all__ = ["DESCRIBED", "Swarms", "routes"]

# While a swarm is small peers look often, so that those that start together find each other; 10,000 come 80 times a second.
_SOON_S, _LATE_S, _FEW = 10, 120, 64
# A peer that has missed so many of its own announcements is gone.
_MISSED = 3
# 55 is what a client of ours takes.
_MOST_TOLD, _TOLD = 200, 55
_MOST_SWARMS, _MOST_PEERS = 1_000, 50_000


class Swarms:
    """Who has what. One thread uses it. `clock`: seconds, never backwards."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, most_peers: int = _MOST_PEERS) -> None:
        self._clock, self._most_peers = clock, most_peers
        # Who was heard of last is the last one, swarm and peer; packed address → when it counts as gone.
        self._swarms: OrderedDict[bytes, OrderedDict[bytes, float]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._swarms.values()))

    def announce(self, info_hash: bytes, peer: bytes, *, stopped: bool = False, told: int = _TOLD) -> tuple[int, list[bytes]]:
        """(seconds until it shall come again, some of the others); addresses are 4 or 16 bytes and 2 of the port."""
        now = self._clock()
        peers = self._swarms.pop(info_hash, None)
        peers = OrderedDict() if peers is None else peers
        peers.pop(peer, None)
        while peers and next(iter(peers.values())) < now:
            peers.popitem(last=False)
        others = list(peers)
        again_s = _SOON_S if len(others) < _FEW else _LATE_S
        if not stopped:
            peers[peer] = now + _MISSED * again_s
        if peers:
            self._swarms[info_hash] = peers
            self._make_room()
        return again_s, random.sample(others, min(told, len(others)))

    def _make_room(self) -> None:
        """Those that were not heard of for longest go."""
        while len(self._swarms) > _MOST_SWARMS or (len(self._swarms) > 1 and len(self) > self._most_peers):
            self._swarms.popitem(last=False)
        (peers,) = list(self._swarms.values())[-1:]
        while len(peers) > self._most_peers:
            peers.popitem(last=False)


#: As the OpenAPI document has it.
DESCRIBED = {
    "/announce/{pass}": {
        "get": {
            "operationId": "announce",
            "summary": "The tracker of swarms, for BitTorrent clients; failures are in the bencoded answer",
            "parameters": [{"name": "pass", "in": "path", "required": True, "schema": {"type": "string"}}],
            "security": [],
            "responses": {
                "200": {"description": "peers, or why there are none", "content": {"text/plain": {"schema": {"type": "string"}}}},
                **refusals(403),
            },
        }
    }
}


def routes(centre: Centre) -> list[Route]:
    """The one route."""
    swarms = Swarms()

    async def announce(request: Request) -> Response:
        if not centre.tickets.holds(request.path_params["pass"], PASS):
            return _bencoded({b"failure reason": b"the pass is over, or of another start of the centre"})
        # Not Starlette's: the hash is bytes and no text.
        said = {name: values[0] for name, values in parse_qs(request.url.query, encoding="latin-1").items()}
        try:
            info_hash, port = said["info_hash"].encode("latin-1"), int(said["port"])
            peer = ipaddress.ip_address(address_of(request, centre)).packed + port.to_bytes(2, "big")
            told = max(0, min(_MOST_TOLD, int(said.get("numwant", _TOLD))))
        except (KeyError, ValueError, OverflowError):
            return _bencoded({b"failure reason": b"expected info_hash and port"})
        if len(info_hash) != 20 or not port:
            return _bencoded({b"failure reason": b"expected info_hash of 20 bytes and a port"})
        again_s, others = swarms.announce(info_hash, peer, stopped=said.get("event") == "stopped", told=told)
        found: dict[bytes, int | bytes] = {b"interval": again_s, b"peers": b"".join(each for each in others if len(each) == 6)}
        if six := b"".join(each for each in others if len(each) == 18):
            found[b"peers6"] = six
        return _bencoded(found)

    return [Route("/announce/{pass}", announce, methods=["GET"])]


def _bencoded(said: dict[bytes, int | bytes]) -> Response:
    parts = [(key, b"i%de" % value if isinstance(value, int) else b"%d:%s" % (len(value), value)) for key, value in said.items()]
    return Response(
        b"d%se" % b"".join(b"%d:%s%s" % (len(key), key, value) for key, value in sorted(parts)), media_type="text/plain"
    )
