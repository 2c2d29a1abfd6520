"""Files of torrents: what the torrent says, and two real aria2c that find each other by a tracker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from conda_assets import sources
from conda_assets.errors import AssetFailed, DigestMismatch, NoSource, NotTheFile, NotThere, SizeMismatch, UnsafePath
from conda_assets.model import Asset, Locked, State
from conda_assets.settings import Network
from conda_assets.torrent import Swarm, info_hash_of, read_torrent
from conda_assets.transport import Job, orders
from conda_assets.transport.aria2 import Aria2
from engines import ARIA2CS, closing, drive
from lab import Lab
from server import Server, Virtual
from swarm import bencode, free_port, info_hash, magnet_of, make_torrent, seeding, track

pytestmark = pytest.mark.slow

BODY = Virtual(2_000_000, seed=6).read(0, 2_000_000)
FILES = {"README.md": b"# read me\n" * 50, "train/a.csv": BODY, "train/b.csv": b"1,2\n" * 9000}
ONE = make_torrent("w.bin", BODY, "http://127.0.0.1:1/announce")
SET = make_torrent("set", FILES)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        server.add("/w.torrent", ONE)
        server.add("/set.torrent", SET)
        yield server


def ask(url: str, network: Network | None = None, **fields: object) -> Locked:
    asset = Asset(name="w", url=url, path="w", **fields)  # type: ignore[arg-type]
    return sources.probe(asset, url, network or Network())


def test_what_a_torrent_says_is_known_before(server: Server) -> None:
    said = ask(server.url("/w.torrent"))
    assert (said.size_bytes, said.revision, said.alone) == (len(BODY), info_hash(ONE), True)
    assert ask(server.url("/set.torrent#train/a.csv")).size_bytes == len(BODY)
    with pytest.raises(SizeMismatch):
        ask(server.url("/w.torrent"), size_bytes=1)


def test_a_pattern_names_its_files(server: Server) -> None:
    asset = Asset(name="w", url=server.url("/set.torrent#train/"), path="w")
    assert sources.is_pattern(asset)
    base = server.url("/set.torrent")
    assert sources.expand(asset, Network()) == (("a.csv", f"{base}#train/a.csv"), ("b.csv", f"{base}#train/b.csv"))
    evil = server.add("/evil.torrent", make_torrent("set", {"../evil": b"x", "b": b"y"}))
    with pytest.raises(UnsafePath):
        sources.expand(Asset(name="w", url=f"{evil}#", path="w"), Network())


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/set.torrent", AssetFailed, "has 3 files: add one of `#README.md`, `#train/a.csv`, `#train/b.csv`"),
        ("/set.torrent#v.bin", NotThere, "has no file v.bin; it has `#README.md`"),
        ("/page.torrent", NotTheFile, "is no torrent that can be used: it is not bencoded"),
        ("/two.torrent", NotTheFile, "BitTorrent 2"),
        ("/nowhere.torrent", NotThere, "404"),
    ],
)
def test_what_is_wrong_is_said(server: Server, path: str, kind: type[AssetFailed], words: str) -> None:
    server.add("/page.torrent", b"hello")
    server.add("/two.torrent", bencode({"info": {"meta version": 2, "name": "x", "file tree": {}}}))
    with pytest.raises(kind, match=words):
        ask(server.url(path))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"d",
        b"d4:infod",
        b"i5e",
        b"l" * 5000,
        b"d4:info999999999999:x",
        b"d4:infoi1ee",
        b"d4:infod6:pieces0:ee",
        b"4:spamX",
        SET + b"e",
    ],
    ids=ascii,
)
def test_nonsense_is_no_torrent(content: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        read_torrent(content)


@pytest.mark.parametrize(
    ("magnet", "found"),
    [
        ("magnet:?xt=urn:btih:" + "AB" * 20, "ab" * 20),
        ("magnet:?dn=x&xt=urn:btih:" + "A" * 32 + "&tr=x", "0" * 40),
        ("magnet:?xt=urn:btmh:1220" + "ab" * 32, None),
        ("magnet:?xt=urn:btih:123", None),
        ("magnet:?xt=urn:sha1:" + "A" * 32, None),
    ],
)
def test_a_magnet_link_names_a_torrent(magnet: str, found: str | None) -> None:
    assert info_hash_of(magnet) == found
    if found is None:
        with pytest.raises(NoSource):
            ask(magnet)
    else:
        assert ask(magnet).revision == found


def test_where_only_public_web_servers_may_be_asked_there_are_no_torrents() -> None:
    with pytest.raises(NoSource):
        ask("magnet:?xt=urn:btih:" + "ab" * 20, Network(admit=lambda port: None))


def test_without_aria2c_it_says_what_is_missing(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_PLUGINS_ASSETS_ARIA2C", "none")
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": server.url("/w.torrent")}])
    (row,) = lab.sync().outcomes
    assert isinstance(row.error, NoSource)
    assert "a torrent needs aria2c" in row.error.message


@pytest.mark.parametrize(("value", "dht"), [(None, "false"), ("1", "true")], ids=["by default", "asked for"])
def test_peers_are_found_by_trackers_unless_more_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, dht: str
) -> None:
    if value:
        monkeypatch.setenv("CONDA_ASSETS_DHT", value)
    lines = orders.conf(Network(), scratch=tmp_path, limit_rate=None, files_at_once=1, log=None)
    assert (lines["enable-dht"], lines["bt-enable-lpd"]) == (dht, "false")
    assert lines.get("enable-peer-exchange", "true") == dht


@dataclass
class Peers:
    """A seeder of a set of files, and where its tracker and its torrent are."""

    server: Server
    torrent: bytes
    announce: str


@pytest.fixture
def swarm(tmp_path: Path) -> Iterator[Peers]:
    if not ARIA2CS:
        pytest.skip("no usable aria2c")
    port = free_port()
    for path, body in FILES.items():
        (tmp_path / "seed" / "set" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "seed" / "set" / path).write_bytes(body)
    with Server() as server:
        announce = track(server, port)
        torrent = make_torrent("set", FILES, announce)
        server.add("/live.torrent", torrent)
        aria2c = ARIA2CS[max(ARIA2CS)].path
        with seeding(aria2c, tmp_path / "seed", torrent, port):
            yield Peers(server, torrent, announce)


def test_files_of_a_torrent_arrive_from_its_peers(swarm: Peers, tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.write([{"name": name, "url": swarm.server.url(f"/live.torrent#train/{name}")} for name in ("a.csv", "b.csv")])
    assert [(row.state, row.error) for row in lab.sync().outcomes] == [(State.FETCHED, None)] * 2
    assert lab.placed("a.csv").read_bytes() == BODY
    assert lab.placed("b.csv").read_bytes() == FILES["train/b.csv"]
    left = [path.name for path in Path(os.environ["CONDA_ASSETS_STORE"]).rglob("*") if path.name.endswith((".bt", ".aria2"))]
    assert left == []


def test_a_magnet_link_leads_to_its_file(swarm: Peers, tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": f"{magnet_of(swarm.torrent, swarm.announce)}#train/a.csv"}])
    (row,) = lab.sync().outcomes
    assert (row.state, row.error) == (State.FETCHED, None)
    assert lab.placed("w").read_bytes() == BODY


def test_the_assets_own_hash_counts(swarm: Peers, tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": swarm.server.url("/live.torrent#train/a.csv"), "sha256": "0" * 64}])
    (row,) = lab.sync().outcomes
    assert isinstance(row.error, DigestMismatch)


def test_a_magnet_link_without_the_files_name_says_what_there_is(swarm: Peers, tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": magnet_of(swarm.torrent, swarm.announce)}])
    (row,) = lab.sync().outcomes
    assert isinstance(row.error, AssetFailed)
    assert "has 3 files: add one of `#README.md`" in row.error.message


@pytest.mark.slow
def test_a_transfer_that_was_ended_goes_on_where_it_was(tmp_path: Path) -> None:
    if not ARIA2CS:
        pytest.skip("no usable aria2c")
    port, aria2c, into = free_port(), ARIA2CS[max(ARIA2CS)].path, tmp_path / "staging" / "data"
    for folder in ("seed", "staging", "first", "second"):
        (tmp_path / folder).mkdir(mode=0o700)
    (tmp_path / "seed" / "w.bin").write_bytes(BODY)
    with Server() as server:
        torrent = make_torrent("w.bin", BODY, track(server, port))
        job = Job("a", ("magnet:",), into, len(BODY), resumable=False, swarm=Swarm(info_hash(torrent), None, torrent))
        with seeding(aria2c, tmp_path / "seed", torrent, port, "300K"):
            with closing(Aria2(aria2c, Network(), scratch=tmp_path / "first")) as transport:
                before = drive(transport, [job], until=lambda tiding: tiding.done_bytes > 500_000)["a"]
            with closing(Aria2(aria2c, Network(), scratch=tmp_path / "second")) as transport:
                first = drive(transport, [job], until=lambda tiding: tiding.done_bytes > 0)["a"]
                assert first.done_bytes >= before.done_bytes // 2
                transport.stop("a")
                assert drive(transport, [job])["a"].done
    assert into.read_bytes() == BODY
