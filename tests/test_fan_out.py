"""One file for many machines: its torrent in the lock, a swarm beside the origin, and what that costs the origin."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import fan_out
from conda_assets.spec.lockread import read_lock
from conda_assets.torrent import make_torrent, read_torrent, torrent_piece_bytes
from engines import ARIA2CS, MIB
from lab import Lab, Said
from netlab import machines
from server import Virtual
from swarm import free_port

pytestmark = pytest.mark.slow

ORIGIN = str(Path(__file__).with_name("origin.py"))
BODY = Virtual(6_000_000, seed=9).read(0, 6_000_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
#: How many machines share; docs/fan-out.md has 2 to 16.
COUNTS = [int(word) for word in os.environ.get("CONDA_ASSETS_MACHINES", "8").split(",")]


@dataclass
class Origin:
    """A running origin and tracker."""

    base: str

    def sent_bytes(self) -> int:
        return int(self.ask("/sent"))

    def ask(self, path: str) -> bytes:
        with urllib.request.urlopen(self.base + path) as answer:
            return bytes(answer.read())


@contextmanager
def serving(path: Path) -> Iterator[Origin]:
    with subprocess.Popen([sys.executable, ORIGIN, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Origin(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.kill()


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Origin]:
    (tmp_path / "w.bin").write_bytes(BODY)
    with serving(tmp_path / "w.bin") as made:
        yield made


@pytest.fixture
def lab(tmp_path: Path, origin: Origin) -> Lab:
    """A lock with a torrent; the store has the file."""
    made = Lab(tmp_path / "lab")
    made.write([{"name": "w", "url": f"{origin.base}/w.bin"}])
    said = made.call("lock", "--torrents")
    assert said.status == 0, said.err
    return made


def locked(lab: Lab) -> bytes:
    return read_lock((lab.folder / "environment.assets.lock").read_text(), "lock").entries["w"].torrent


def fetch(lab: Lab, store: Path, *words: str) -> Said:
    said = lab.run("fetch", "--json", *words, environ={"CONDA_ASSETS_STORE": str(store)})
    assert said.status == 0, said.err
    assert said.rows()["w"]["sha256"] == SHA256
    assert (store / "sha256" / SHA256[:2] / SHA256).read_bytes() == BODY
    return said


def test_a_torrent_is_the_same_for_the_same_bytes(lab: Lab) -> None:
    length = torrent_piece_bytes(len(BODY))
    pieces = [hashlib.sha1(BODY[at : at + length]).digest() for at in range(0, len(BODY), length)]
    assert locked(lab) == b"".join(pieces)
    torrent = read_torrent(make_torrent(SHA256, len(BODY), locked(lab)))
    assert [(each.path, each.size_bytes) for each in torrent.files] == [(SHA256, len(BODY))]
    before = (lab.folder / "environment.assets.lock").read_bytes()
    for words in ((), ("--update-all",), ("--torrents",), ("--update", "w")):
        assert lab.call("lock", *words).status == 0
        assert (lab.folder / "environment.assets.lock").read_bytes() == before
    assert lab.call("lock", "--check").status == 0


def test_a_torrent_wants_the_bytes_in_the_store(tmp_path: Path, origin: Origin) -> None:
    lab = Lab(tmp_path / "lab")
    lab.write([{"name": "w", "url": f"{origin.base}/w.bin", "sha256": SHA256}])
    said = lab.call("lock", "--torrents")
    assert (said.status, locked(lab)) == (0, b"")
    assert "w: no torrent, since its bytes are not in the store; run `conda assets fetch`" in said.err
    lab.call("fetch")
    assert lab.call("lock", "--torrents").status == 0
    assert len(locked(lab)) == 20 * -(-len(BODY) // torrent_piece_bytes(len(BODY)))


@pytest.mark.parametrize(("size_bytes", "length"), [(1, 1 << 18), (200 << 20, 1 << 18), (40 << 30, 32 << 20)])
def test_pieces_are_few_and_small(size_bytes: int, length: int) -> None:
    assert torrent_piece_bytes(size_bytes) == length
    assert -(-size_bytes // length) <= 2048


def test_a_lock_with_pieces_of_another_file_is_refused(lab: Lab) -> None:
    path = lab.folder / "environment.assets.lock"
    path.write_text(path.read_text().replace(f"size: {len(BODY)}", "size: 9000000"))
    said = lab.call("fetch")
    assert said.status == 2
    assert "`torrent` wants `sha256` and `size` beside it, and the sha1 of 35 pieces" in said.err


def give_and_take(lab: Lab, origin: Origin, store: Path, announce: str) -> None:
    """One machine gives the file, another one takes less than half of it from the origin."""
    giver = [sys.executable, "-m", "conda_assets", "fetch", "--progress", "plain", "--swarm", announce, "--seed-time", "60"]
    before = origin.sent_bytes()
    with subprocess.Popen(giver, cwd=lab.folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if "giving 1 files to others" in line:
                    break
            # 12 s from the origin alone.
            origin.ask("/slow?500000")
            said = fetch(lab, store, "--swarm", announce, "--seed-time", "0")
        finally:
            process.terminate()
            process.stderr.read()
    assert said.rows()["w"]["state"] == "fetched"
    assert origin.sent_bytes() - before < len(BODY) / 2


@pytest.mark.skipif(not ARIA2CS, reason="no usable aria2c")
def test_what_one_machine_has_it_gives_to_the_next_one(lab: Lab, origin: Origin, tmp_path: Path) -> None:
    give_and_take(lab, origin, tmp_path / "second", f"{origin.base}/announce")


@pytest.mark.skipif(not ARIA2CS, reason="no usable aria2c")
def test_the_download_centre_is_a_tracker_for_who_may_read_there(
    lab: Lab, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader's token, which the centre would not fetch for: all that it does here is to tell of peers."""
    pytest.importorskip("uvicorn", reason="the extra `server` is not installed")
    from centre import running

    own = os.environ["CONDA_ASSETS_STORE"]
    monkeypatch.setenv("CONDA_ASSETS_STORE", str(tmp_path / "centre-store"))
    with running(tmp_path) as (_, client):
        monkeypatch.setenv("CONDA_ASSETS_STORE", own)
        monkeypatch.setenv("CONDA_PLUGINS_ASSETS_SERVER", client.url)
        refused = lab.run(
            "fetch", "--swarm", f"{client.url}/announce", "--seed-time", "1", environ={"CONDA_ASSETS_SERVER_TOKEN": "cat_wrong"}
        )
        assert f"no tracker at the download centre {client.url}" in refused.err
        token = client.api("POST", "/users", {"name": "eve", "role": "reader"})["token"]
        monkeypatch.setenv("CONDA_ASSETS_SERVER_TOKEN", token)
        give_and_take(lab, origin, tmp_path / "second", f"{client.url}/announce")


@pytest.mark.skipif(not ARIA2CS, reason="no usable aria2c")
def test_without_its_tracker_the_file_comes_from_the_origin(lab: Lab, tmp_path: Path) -> None:
    fetch(lab, tmp_path / "second", "--swarm", f"http://127.0.0.1:{free_port()}/announce", "--seed-time", "0")
    left = [path.name for path in (tmp_path / "second").rglob("*") if path.name.endswith((".bt", ".aria2", ".torrent"))]
    assert left == []


@pytest.mark.skipif(not ARIA2CS, reason="no usable aria2c")
def test_a_swarm_asks_a_closed_origin_with_its_credentials(lab: Lab, origin: Origin, tmp_path: Path) -> None:
    lab.write([{"name": "w", "url": f"{origin.base}/w.bin", "headers": {"Authorization": "Bearer ${TOKEN}"}}])
    origin.ask("/closed")
    words = ("fetch", "--json", "--swarm", f"{origin.base}/announce", "--seed-time", "0")
    store = str(tmp_path / "second")
    said = lab.run(*words, environ={"CONDA_ASSETS_STORE": store, "TOKEN": "secret"})
    assert (said.status, said.rows()["w"]["state"]) == (0, "fetched"), said.err


@pytest.mark.slow
@pytest.mark.skipif(not ARIA2CS, reason="no usable aria2c")
def test_an_origin_with_other_bytes_is_found_out_in_a_swarm_too(lab: Lab, origin: Origin, tmp_path: Path) -> None:
    origin.ask("/other")
    words = ("fetch", "--json", "--swarm", f"{origin.base}/announce", "--seed-time", "0")
    said = lab.run(*words, environ={"CONDA_ASSETS_STORE": str(tmp_path / "second")})
    assert (said.status, said.rows()["w"]["state"]) == (4, "failed"), said.err


def test_without_aria2c_the_file_comes_from_the_origin(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_PLUGINS_ASSETS_ARIA2C", "none")
    fetch(lab, tmp_path / "second", "--swarm", "http://127.0.0.1:1/announce")


def test_a_tracker_has_a_url(lab: Lab) -> None:
    said = lab.call("fetch", "--swarm", "tracker.example")
    assert said.status == 2
    assert "expected the announce URL of a tracker" in said.err


def test_the_table_of_the_docs_is_what_the_arithmetic_gives() -> None:
    docs = (Path(__file__).parent.parent / "docs" / "fan-out.md").read_text(encoding="utf-8")
    assert docs.split("<!-- table -->\n")[1].split("\n<!-- end -->")[0] == fan_out.table()


@dataclass(frozen=True)
class Spread:
    """Seconds, and how often the origin sent the file to those that fetched at the same time."""

    alone_s: float
    last_s: float
    copies: float


def spread(folder: Path, count: int, mebibytes: int, rate: str, *, swarm: bool) -> Spread:
    """One file to machines whose links are limited in each direction, the origin's too."""
    body = os.urandom(mebibytes << 20)
    (folder / "w.bin").write_bytes(body)
    sha256 = hashlib.sha256(body).hexdigest()
    with ExitStack() as stack:
        first, *others = stack.enter_context(machines(count + 1, rate))
        process = first.start([sys.executable, ORIGIN, str(folder / "w.bin")], stdout=subprocess.PIPE)
        stack.enter_context(process)
        stack.callback(process.kill)
        assert process.stdout is not None
        base = f"http://{first.address}:{int(process.stdout.readline())}"
        lab = Lab(folder / "lab")
        lab.write([{"name": "w", "url": f"{base}/w.bin", "sha256": sha256}])
        words = [sys.executable, "-m", "conda_assets", "fetch", "-q"]

        def run(number: int, store: str, *more: str) -> subprocess.Popen[str]:
            environ = {**os.environ, "CONDA_ASSETS_STORE": str(folder / store)}
            return others[number].start([*words, *more], cwd=lab.folder, env=environ)

        since = time.monotonic()
        assert run(0, "alone").wait() == 0
        alone_s = time.monotonic() - since
        os.environ["CONDA_ASSETS_STORE"] = str(folder / "alone")
        if swarm:
            assert others[0].start([*words[:-2], "lock", "--torrents"], cwd=lab.folder).wait() == 0
        since = time.monotonic()
        more = ["--swarm", f"{base}/announce", "--seed-time", "10"] if swarm else []
        fetching = [run(number, f"store{number}", *more) for number in range(count)]
        ends: dict[int, float] = {}
        while len(ends) < count and time.monotonic() - since < 2 * count * alone_s:
            for number in range(count):
                if number not in ends and (folder / f"store{number}" / "sha256" / sha256[:2] / sha256).exists():
                    ends[number] = time.monotonic() - since
            time.sleep(0.05)
        assert [each.wait() for each in fetching] == [0] * count
        asked = f"import urllib.request; print(urllib.request.urlopen('{base}/sent').read().decode())"
        sent = int(others[0].start([sys.executable, "-c", asked], stdout=subprocess.PIPE).communicate()[0])
    done = Spread(alone_s, max(ends.values()), sent / len(body) - 1)
    how = "in a swarm" if swarm else "each from the origin"
    print(f"{mebibytes} MiB, {rate}: alone {alone_s:.1f} s, {count} machines {how} {done.last_s:.1f} s, {done.copies:.2f} copies")
    return done


needs_aria2c = pytest.mark.skipif(not ARIA2CS, reason="no usable aria2c")


@pytest.mark.slow
@needs_aria2c
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(("mebibytes", "rate"), [(50, "20mbit"), (200, "100mbit")])
def test_many_machines_cost_the_uplink_little_more_than_one(tmp_path: Path, count: int, mebibytes: int, rate: str) -> None:
    """The last machine ends within twice the time of one alone.

    Slow links, because starting eight programs at once takes this machine seconds.
    """
    done = spread(tmp_path, count, mebibytes, rate, swarm=True)
    assert done.last_s <= 2 * done.alone_s
    assert done.copies <= 1 + count / 8


@pytest.mark.slow
@needs_aria2c
@pytest.mark.parametrize("count", [min(4, count) if len(COUNTS) == 1 else count for count in COUNTS])
def test_without_a_swarm_machines_share_the_uplink_as_the_arithmetic_says(tmp_path: Path, count: int) -> None:
    done = spread(tmp_path, count, 8, "20mbit", swarm=False)
    wire = fan_out.Lab(uplink=2.5e6, link=2.5e6)
    assert done.last_s == pytest.approx(wire.by_origin(8 * MIB, count), rel=0.25)
    assert done.copies == pytest.approx(count, abs=0.1)
