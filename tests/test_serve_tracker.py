"""The centre as a tracker: who may announce, what is told, and how much is kept."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="the extra `server` is not installed")

from centre import running
from conda_assets.serve.tracker import Swarms

HASH = bytes(range(20))


def peer(number: int) -> bytes:
    return socket.inet_aton("10.0.0.1") + number.to_bytes(2, "big")


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_peer_hears_of_the_others_until_they_stop_or_are_silent() -> None:
    clock = Clock()
    swarms = Swarms(clock)
    assert swarms.announce(HASH, peer(1)) == (10, [])
    assert swarms.announce(HASH, peer(2)) == (10, [peer(1)])
    assert swarms.announce(b"x" * 20, peer(3)) == (10, []), "another swarm"
    assert swarms.announce(HASH, peer(2), stopped=True) == (10, [peer(1)])
    assert swarms.announce(HASH, peer(1)) == (10, [])
    clock.now_s = 31
    assert swarms.announce(HASH, peer(4)) == (10, []), "silent for three times"


def test_what_is_known_is_bounded_and_large_swarms_ask_less_often() -> None:
    swarms = Swarms(Clock(), most_peers=200)
    for number in range(1, 1001):
        again_s, others = swarms.announce(HASH, peer(number))
        assert len(others) <= 55
        assert len(swarms) <= 200
    assert (again_s, len(others)) == (120, 55)
    for number in range(1, 2001):
        swarms.announce(number.to_bytes(20, "big"), peer(1))
    assert len(swarms) <= 200


def test_who_may_read_gets_a_pass_and_nobody_else_announces(tmp_path: Path) -> None:
    with running(tmp_path) as (_, client):
        path = client.api("GET", "/tracker")["path"]
        client.token, token = "", client.token
        assert client.ask("GET", "/api/v1/tracker").status == 401

        def query(port: object) -> str:
            return f"?info_hash={'%ff' * 20}&peer_id={'p' * 20}&port={port}&left=0&compact=1&ip=192.0.2.1"

        assert client.ask("GET", path + query(6881)).body == b"d8:intervali10e5:peers0:e"
        said = client.ask("GET", path + query(6882))
        assert said.body == b"d8:intervali10e5:peers6:" + socket.inet_aton("127.0.0.1") + (6881).to_bytes(2, "big") + b"e"
        for wrong in ("/announce/1.2" + query(1), f"{path[:-1]}x" + query(1), f"/announce/{token}" + query(1)):
            assert b"14:failure reason" in client.ask("GET", wrong).body
        for wrong in ("", "?info_hash=short&port=1", query(0), query(70000), query("x")):
            assert b"14:failure reason" in client.ask("GET", path + wrong).body
        client.token = token
        ticket = path.rpartition("/")[2]
        assert client.ask("GET", f"/api/v1/store/sha256/{'0' * 64}?ticket={ticket}", Authorization="x").status == 401, "no files"
