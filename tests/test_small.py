"""Many small files: one request each, no engine, right bytes, and the ordinary way for whatever is unusual."""

from __future__ import annotations

import hashlib
import os
import signal
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from conda_assets.digest import Digest
from conda_assets.errors import DigestMismatch, NotThere, SizeMismatch
from conda_assets.events import Waiting
from conda_assets.model import State
from conda_assets.store import open_stores
from conda_assets.web.reach import asked_of, origin_of, target_of
from lab import Lab
from server import Faults, Server, Virtual

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def body_of(number: int) -> bytes:
    return f"{number:08} ".encode() * 1000


def sha_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def entry(server: Server, number: int, faults: Faults | None = None) -> dict[str, object]:
    body = body_of(number)
    url = server.add(f"/{number}.bin", body, faults or Faults())
    return {"url": url, "sha256": sha_of(body), "size": len(body)}


def test_each_file_costs_one_request_and_no_engine(server: Server, lab: Lab) -> None:
    lab.write([entry(server, number) for number in range(60)])
    # None that could be started.
    report = lab.sync(settings=replace(lab.settings(), aria2c="/nonexistent/aria2c"))
    assert {row.state for row in report.outcomes} == {State.FETCHED}
    assert [len(server.seen(f"/{number}.bin")) for number in range(60)] == [1] * 60
    assert all(lab.placed(f"{number}.bin").read_bytes() == body_of(number) for number in range(60))
    assert len({server.seen(f"/{number}.bin")[0].connection for number in range(60)}) <= 16
    assert {(row.size_bytes, row.bytes_fetched) for row in report.outcomes} == {(9000, 9000)}


def test_https_costs_one_request_a_file_too(lab: Lab, tmp_path: Path) -> None:
    """In a process of its own, which has not loaded TLS for something else."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with Server(tls=context) as server:
        # Some larger than a TLS record, and than what fits into the buffers at once.
        bodies = {f"/{number}.bin": body_of(number) * (1 + number % 2 * 90) for number in range(40)}
        lab.write([{"url": server.add(p, body), "sha256": sha_of(body), "size": len(body)} for p, body in bodies.items()])
        words = ("sync", "-p", str(lab.prefix()), "--json")
        said = lab.run(*words, environ={"SSL_CERT_FILE": str(tmp_path / "ca.pem")})
        assert said.status == 0, said.err
        assert [len(server.seen(path)) for path in bodies] == [1] * 40
        assert all(lab.placed(path[1:]).read_bytes() == body for path, body in bodies.items())


def test_other_digests_find_the_file_again(server: Server, lab: Lab) -> None:
    body = body_of(1)
    url = server.add("/1.bin", body)
    lab.write([{"url": url, "hash": f"md5:{hashlib.md5(body).hexdigest()}", "size": len(body)}])
    assert lab.sync().outcomes[0].state is State.FETCHED
    assert lab.sync("other").outcomes[0].state is State.LINKED
    assert len(server.seen("/1.bin")) == 1


def test_what_is_unusual_goes_the_ordinary_way_and_is_said_right(server: Server, lab: Lab) -> None:
    wrong, gone, moved = entry(server, 1), entry(server, 2, Faults(status=404)), entry(server, 3)
    wrong["sha256"] = "0" * 64
    moved["url"] = server.redirect("/moved.bin", str(moved["url"]))
    big = Virtual(6_000_000, seed=3)
    grown = {"url": server.add("/grown.bin", big), "sha256": big.sha256, "size": 500_000}
    lab.write([wrong, gone, moved, grown, *(entry(server, number) for number in range(10, 20))])
    rows = {row.name: row for row in lab.sync().outcomes}
    assert isinstance(rows["1.bin"].error, DigestMismatch)
    assert isinstance(rows["2.bin"].error, NotThere)
    assert isinstance(rows["grown.bin"].error, SizeMismatch)
    assert rows["moved.bin"].state is State.FETCHED
    assert {rows[f"{number}.bin"].state for number in range(10, 20)} == {State.FETCHED}


@pytest.mark.parametrize(
    "faults",
    [
        Faults(cut_after=4000, first=1),
        Faults(status=503, retry_after="0", first=1),
        Faults(gzip=True, first=1),
        Faults(chunked=True),
        Faults(flip=(5,), first=1),
        Faults(empty=True, first=1),
    ],
    ids=["cut", "503", "gzip", "chunked", "wrong bytes", "empty"],
)
def test_a_server_that_stumbles_once_is_asked_again(server: Server, lab: Lab, faults: Faults) -> None:
    lab.write([entry(server, 1, faults)])
    (row,) = lab.sync().outcomes
    assert (row.state, row.error) == (State.FETCHED, None)
    assert lab.placed("1.bin").read_bytes() == body_of(1)


def test_a_server_that_refuses_is_left_alone(server: Server, lab: Lab) -> None:
    """Too many requests for one file: no further ones are sent ahead of the retry."""
    files = [entry(server, number, Faults(status=429, retry_after="0", first=1)) for number in range(40)]
    lab.write(files)
    assert {row.state for row in lab.sync().outcomes} == {State.FETCHED}
    assert sum(len(server.seen(f"/{number}.bin")) > 3 for number in range(40)) <= 16


def test_files_with_secrets_or_without_a_digest_go_the_ordinary_way(server: Server, lab: Lab) -> None:
    body = body_of(1)
    url = server.add("/1.bin", body, Faults(needs=("x-key", "abc")))
    unhashed = server.add("/2.bin", body_of(2))
    lab.write([{"url": url, "sha256": sha_of(body), "size": len(body), "headers": {"X-Key": "abc"}}, unhashed])
    assert {row.state for row in lab.sync().outcomes} == {State.FETCHED}
    assert server.seen("/1.bin")[0].range == "bytes=0-0"


@pytest.mark.skipif(os.name == "nt", reason="kills with a signal")
def test_a_kill_loses_a_group_at_most(lab: Lab) -> None:
    count, body = 600, 9000
    with Server(link=4_000_000) as server:
        lab.write([entry(server, number) for number in range(count)])
        process = lab.start("sync", "-p", str(lab.prefix()), "-q")
        server.wait(lambda: server.sent() > 0.9 * count * body or process.poll() is not None)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        before = server.sent()
        said = lab.run("sync", "-p", str(lab.prefix()), "--json")
        assert said.status == 0, said.err
        assert all(lab.placed(f"{number}.bin").read_bytes() == body_of(number) for number in range(count))
        # A group, and what each connection had under way; on a machine that stands still, what it had not got to.
        assert server.sent() - before < 0.5 * count * body
        store = open_stores(lab.settings().stores)
        assert list((store.folder / "staging").iterdir()) == []


def test_two_syncs_of_one_spec_fetch_each_file_once(lab: Lab) -> None:
    count = 200
    with Server(link=2_000_000) as server:
        lab.write([entry(server, number) for number in range(count)])
        processes = [lab.start("sync", "-p", str(lab.prefix(f"env{number}")), "-q") for number in range(2)]
        assert [process.wait(60) for process in processes] == [0, 0]
        assert server.sent() == count * 9000


def test_two_specs_that_share_files_fetch_each_file_once(lab: Lab) -> None:
    """And neither waits with its own ones for those of the other."""
    with Server(link=2_000_000) as server:
        entries = [entry(server, number) for number in range(300)]
        specs = [lab.write(entries[first : first + 200]).rename(lab.folder / f"spec{first}.yml") for first in (0, 100)]
        processes = [lab.start("sync", "-p", str(lab.prefix(path.stem)), "-f", str(path), "-q") for path in specs]
        assert [process.wait(60) for process in processes] == [0, 0]
        assert server.sent() == 300 * 9000


def test_who_waits_for_another_ones_files_says_so_and_takes_them(server: Server, lab: Lab) -> None:
    lab.write([entry(server, number) for number in range(3)])
    with Server(rate=9000) as slow:
        for number in range(3):
            body = body_of(number)
            slow.add(f"/{number}.bin", body)
        lab.write([{"url": slow.url(f"/{n}.bin"), "sha256": sha_of(body_of(n)), "size": 9000} for n in range(3)])
        process = lab.start("sync", "-p", str(lab.prefix("first")), "-q")
        slow.wait(lambda: bool(slow.seen("/0.bin")))
        report = lab.sync("second")
        assert process.wait(30) == 0
    assert {row.state for row in report.outcomes} == {State.LINKED}
    assert sum(isinstance(event, Waiting) for event in lab.seen) == 3


def test_an_interrupt_ends_it_and_leaves_nothing(lab: Lab) -> None:
    with Server(link=200_000) as server:
        lab.write([entry(server, number) for number in range(300)])
        process = lab.start("sync", "-p", str(lab.prefix()), "-q")
        server.wait(lambda: server.sent() > 100_000)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert time.monotonic() - began < 10
        assert list((open_stores(lab.settings().stores).folder / "staging").iterdir()) == []


def test_a_tray_names_a_group_in_its_order_and_drops_the_rest(tmp_path: Path) -> None:
    with open_stores([tmp_path / "store"]) as store:
        tray, others = store.tray(["a", "b"])
        assert tray is not None
        assert others == frozenset()
        assert store.tray(["c"])[0] is None
        bodies = [body_of(number) for number in (*range(20), 3)]
        laid = [tray.lay(f"file{index}", body, {"sha256": Digest("sha256", sha_of(body))}) for index, body in enumerate(bodies)]
        tray.lay("left", b"left", {"sha256": Digest("sha256", sha_of(b"left"))})
        stored = tray.adopt(laid)
        assert [each.path.read_bytes() for each in stored] == bodies
        assert {each.path.stat().st_mode & 0o777 for each in stored} == {0o444}
        tray.close()
        assert len(list(store.objects())) == 20
        assert list((store.folder / "staging").iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/b/c.bin",
        "https://A.example:8443/",
        "http://a.example",
        "http://a.example?x=1",
        "http://a.example/b?",
        "http://a.example/b?x=1#y",
        "http://me:pw@a.example/b",
        "http://[::1]:8080/b",
        "HTTP://a.example/b",
        "http://a.example/b@c;d",
        "http://a.example/ b",
        "http://a.example/b\n",
    ],
)
def test_many_urls_are_taken_apart_as_one_is(url: str) -> None:
    assert asked_of(url) == (origin_of(url), target_of(urlsplit(url)))
