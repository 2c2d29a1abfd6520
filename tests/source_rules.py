"""What the rules for sources need of each publisher: a server of ours that speaks its protocol, and URLs on it.

A source joins the rules (`test_source_rules.py`) with a module `tests/publisher_<name>.py` that has one function, and its name in
`PUBLISHERS` below:

    def publish(world: World) -> Publisher: ...

It puts `world.files()` on `world.server`, lets the environment lead the source there (`world.setenv`), and where the source has
credentials sets them to `CANARY` if `world.has_credentials`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module

import pytest
import requests

from conda_assets import sources
from conda_assets.digest import Digest
from conda_assets.model import Asset, Locked
from conda_assets.settings import Network
from server import Request, Server

__all__ = ["BODY", "CANARY", "DIGEST", "FILES", "HOSTILE", "PUBLISHERS", "Publisher", "World", "publisher", "read_back"]

#: One module `tests/publisher_<name>.py` each.
PUBLISHERS = (
    "doi",
    "github",
    "gs",
    "hf",
    "http",
    "oci",
    "s3",
)

BODY = b"weights \x00\x01\xff\n" * 5000
DIGEST = Digest("sha256", hashlib.sha256(BODY).hexdigest())
#: What a folder has, in no order: (path in it, content).
FILES = (("part-2.bin", b"two" * 100), ("sub/part-3.bin", b"three" * 100), ("part-1.bin", b"one" * 100), ("read me.txt", b"hi"))
#: Names that a publisher may list and that nobody may believe.
HOSTILE = ("../outside.bin", "/etc/passwd", "a\\..\\b.bin", "a/../../b.bin", "a//b.bin", "bell\x07.bin", "C:/x.bin")
CANARY = "canary-4f1c9d"
NETWORK = Network(connect_timeout_s=5, read_timeout_s=5)


@dataclass
class World:
    """`server` is the publisher's, `elsewhere` where its redirects lead: another name and another port."""

    server: Server
    elsewhere: Server
    setenv: Callable[[str, str], None]
    has_credentials: bool = False
    #: The publisher answers this to everything, if not 0.
    down: int = 0

    @property
    def abroad(self) -> str:
        """The other host's URL."""
        return self.elsewhere.url(host="localhost")

    def route(self, path: str, answer: Callable[[Request, bytes], tuple[int, Mapping[str, str], bytes]]) -> str:
        """As `Server.route`, and out of order while `down`."""

        def guarded(request: Request, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
            return (self.down, {}, b"not now\n") if self.down else answer(request, body)

        return self.server.route(path, guarded)


@dataclass(frozen=True)
class Publisher:
    """URLs on it. `file`: has BODY; `missing`: like it, but not there.

    `folder`: pattern that names FILES, `glob`: one that names those of them that match `part-*.bin` at the top; None without.
    `hostile`: for one of HOSTILE, a pattern whose listing has it; None without patterns.
    `digest` and `vouched_by`: what it says of BODY. `headers`: the asset's own.
    `sends_token`: CANARY itself goes to its server (and not only a signature made with it).
    """

    file: str
    missing: str
    folder: str | None = None
    glob: str | None = None
    hostile: Callable[[str], str] | None = None
    digest: Digest | None = None
    vouched_by: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    sends_token: bool = True

    def asset(self, url: str | None = None, **fields: object) -> Asset:
        return Asset(**{"name": "weights", "url": url or self.file, "path": "weights", "headers": self.headers, **fields})

    def probe(self, url: str | None = None, **fields: object) -> Locked:
        asset = self.asset(url, **fields)
        return sources.probe(asset, asset.url, NETWORK)

    def expand(self, url: str) -> tuple[tuple[str, str], ...]:
        return sources.expand(self.asset(url), NETWORK)


def publisher(name: str, world: World) -> Publisher:
    """The publisher of that name, set up."""
    publish: Callable[[World], Publisher] = import_module(f"publisher_{name}").publish
    return publish(world)


def read_back(locked: Locked) -> bytes:
    """The bytes, fetched as the answer says: from a fresh URL with its headers, else from where it ended."""
    fresh = locked.fresh() if locked.fresh else None
    url, headers = (fresh.url, dict(fresh.headers)) if fresh else (locked.final_url, dict(locked.asset.headers))
    answer = requests.get(url, headers=headers, timeout=10, proxies={"http": "", "https": ""})
    assert answer.status_code == 200, (answer.status_code, answer.text)
    return answer.content


def make_world(server: Server, elsewhere: Server, monkeypatch: pytest.MonkeyPatch, *, has_credentials: bool) -> World:
    assert not any(CANARY in value for value in os.environ.values())
    return World(server, elsewhere, monkeypatch.setenv, has_credentials)
