"""What every transport keeps to: the same rules over each aria2c of this machine and over plain HTTP."""

from __future__ import annotations

import errno
import itertools
import os
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trustme

from conda_assets.errors import (
    AccessDenied,
    AssetFailed,
    DiskRefused,
    EngineFailed,
    InsecureRedirect,
    NetworkFailed,
    NotThere,
    TlsFailed,
    UpstreamChanged,
)
from conda_assets.model import Fresh
from conda_assets.settings import Network
from conda_assets.transport import Job, Tiding
from engines import MIB, PATIENT, Engine, closing, drive, engines, made_of, pool_engine, written_by
from server import MODIFIED, Faults, Server, Virtual


@pytest.fixture(params=engines())
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    scratch = tmp_path / "scratch"
    scratch.mkdir(mode=0o700)
    made = made_of(request.param, scratch)
    yield made
    for transport in made.open:
        transport.close()


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "staging"
    folder.mkdir(mode=0o700)
    return folder / "data"


def place(job: Job) -> Job:
    """The job in a folder of its own."""
    folder = job.into.parent / job.id
    folder.mkdir(mode=0o700)
    return replace(job, into=folder / "data")


def beside(into: Path) -> set[str]:
    return {path.name for path in into.parent.iterdir()}


def test_a_file_arrives_whole_and_once(engine: Engine, into: Path) -> None:
    content = Virtual(5 * MIB + 123)
    with Server() as server:
        job = Job("a", (server.add("/w.bin", content),), into, content.size, etag='"v0-50007b"')
        last = engine.bring(job)
        told = replace(last, bits=b"", piece_bytes=0)
        assert told == Tiding("a", content.size, content.size, content.size, content.size, 0.0, 0, done=True)
        assert written_by(into, content)
        assert beside(into) <= {"data", "data.pieces"}
        # On a busy machine aria2 may ask for the last piece twice.
        assert server.sent() <= content.size + MIB


@pytest.mark.parametrize(
    "faults", [Faults(no_ranges=True), Faults(chunked=True), Faults(no_length=True)], ids=["plain", "chunked", "open"]
)
def test_a_server_without_ranges_is_asked_once(engine: Engine, into: Path, faults: Faults) -> None:
    content = Virtual(3 * MIB)
    with Server() as server:
        url = server.add("/w.bin", content, faults)
        size = content.size if faults.no_ranges else None
        last = engine.bring(Job("a", (url,), into, size, resumable=False))
        assert last.done, last
        assert written_by(into, content)
        assert len(server.requests) == 1


def test_sizes_at_the_edges(engine: Engine, into: Path) -> None:
    sizes = [0, 1, 1023, MIB - 1, MIB, MIB + 1, 2 * MIB]
    with Server() as server:
        jobs = [place(Job(f"s{n}", (server.add(f"/{n}", Virtual(n)),), into, n)) for n in sizes]
        last = engine.run(jobs)
        assert [last[job.id].error for job in jobs] == [None] * len(sizes)
        assert all(written_by(job.into, Virtual(n)) for job, n in zip(jobs, sizes, strict=True))


def test_many_files_arrive_at_once(engine: Engine, into: Path) -> None:
    with Server() as server:
        jobs = []
        for number in range(60):
            url = server.add(f"/{number}", Virtual(20_000 + number, seed=number % 3))
            jobs.append(place(Job(f"j{number}", (url,), into, 20_000 + number)))
        last = engine.run(jobs)
        assert all(tiding.done for tiding in last.values())
        assert all(written_by(job.into, Virtual(20_000 + n, seed=n % 3)) for n, job in enumerate(jobs))


def test_a_stopped_transfer_goes_on_where_it_was(engine: Engine, into: Path) -> None:
    content = Virtual(24 * MIB)
    with Server(rate=30_000_000, link=50_000_000) as server:
        job = Job("a", (server.add("/w.bin", content),), into, content.size, etag='"v0-1800000"')
        with closing(engine()) as transport:
            drive(transport, [job], until=lambda tiding: tiding.done_bytes > 10 * MIB)
            transport.stop("a")
            assert transport.poll() == []
            before = server.sent()
        last = engine.bring(job)
        assert last.done, last
        assert written_by(into, content)
        # Only what was under way when it was stopped comes twice; the rest is told as not fetched.
        assert server.sent() <= content.size + 4 * MIB
        assert last.fetched_bytes <= content.size - 8 * MIB
        assert before >= 10 * MIB


def test_closing_keeps_what_has_arrived(engine: Engine, into: Path) -> None:
    content = Virtual(24 * MIB)
    with Server(rate=30_000_000, link=50_000_000) as server:
        job = Job("a", (server.add("/w.bin", content),), into, content.size, etag='"v0-1800000"')
        with closing(engine()) as transport:
            drive(transport, [job], until=lambda tiding: tiding.done_bytes > 10 * MIB)
        last = engine.bring(job)
        assert last.done
        assert last.fetched_bytes <= content.size - 8 * MIB
        assert written_by(into, content)


@pytest.mark.slow
@pytest.mark.parametrize("pin", ["etag", "modified", "size"])
def test_another_version_is_never_mixed_with_the_first(engine: Engine, into: Path, pin: str) -> None:
    old, new = Virtual(12 * MIB, seed=1), Virtual(12 * MIB if pin != "size" else 13 * MIB, seed=2)

    def job(server: Server, content: Virtual, version: str) -> Job:
        etag = version if pin == "etag" else None
        modified = {"1": MODIFIED, "2": "Sun, 02 Nov 2025 12:00:00 GMT"}[version] if pin == "modified" else None
        url = server.add("/w.bin", content, etag=etag, modified=modified)
        return Job("a", (url,), into, content.size, etag=f'"{etag}"' if etag else None, modified=modified)

    with Server(rate=30_000_000, link=50_000_000) as server:
        with closing(engine()) as transport:
            drive(transport, [job(server, old, "1")], until=lambda tiding: tiding.done_bytes > 5 * MIB)
        last = engine.bring(job(server, new, "2"))
        assert last.done, last
        assert last.fetched_bytes == new.size
        assert written_by(into, new)


def test_a_file_that_is_replaced_meanwhile_ends_the_transfer(engine: Engine, into: Path) -> None:
    old, new = Virtual(12 * MIB, seed=1), Virtual(12 * MIB, seed=2)
    with Server(rate=30_000_000, link=50_000_000) as server:
        job = Job("a", (server.add("/w.bin", old, etag="1"),), into, old.size, etag='"1"')
        with closing(engine()) as transport:
            drive(transport, [job], until=lambda tiding: tiding.done_bytes > 4 * MIB)
        server.add("/w.bin", new, etag="2")
        last = engine.bring(job)
        assert isinstance(last.error, UpstreamChanged), last
        assert last.error.retryable


STATUSES = {
    400: AssetFailed,
    401: AccessDenied,
    403: AccessDenied,
    404: NotThere,
    410: NotThere,
    412: UpstreamChanged,
    429: NetworkFailed,
    451: AssetFailed,
    500: NetworkFailed,
}


def test_statuses_become_errors(engine: Engine, into: Path) -> None:
    with Server() as server:
        jobs = [
            place(
                Job(f"s{status}", (server.add(f"/{status}", Virtual(3 * MIB), status=status) + "?token=SECRET",), into, 3 * MIB)
            )
            for status in STATUSES
        ]
        last = engine.run(jobs)
        assert {job.id: type(last[job.id].error) for job in jobs} == {f"s{status}": kind for status, kind in STATUSES.items()}
        for job in jobs:
            message = str(last[job.id].error)
            assert message.startswith(f"{job.id}: http://127.0.0.1:{server.port}/"), message
            assert "SECRET" not in message


@pytest.mark.parametrize("by", ["reset", "close"])
def test_cut_connections_cost_little(engine: Engine, into: Path, by: str) -> None:
    content = Virtual(8 * MIB)
    with Server() as server:
        url = server.add("/w.bin", content, cut_after=300_000, cut_by=by, first=3)
        job = Job("a", (url,), into, content.size)
        for _ in range(5):
            last = engine.bring(job)
            if last.done:
                break
            assert isinstance(last.error, NetworkFailed), last
        assert written_by(into, content)
        assert server.sent() <= content.size + 2 * MIB


def test_a_body_that_ends_early_is_not_the_file(engine: Engine, into: Path) -> None:
    with Server() as server:
        url = server.add("/w.bin", Virtual(3 * MIB), no_ranges=True, cut_after=MIB, cut_by="close")
        last = engine.bring(Job("a", (url,), into, 3 * MIB, resumable=False))
        assert isinstance(last.error, NetworkFailed), last


def test_another_size_than_the_probe_saw_is_a_change(engine: Engine, into: Path) -> None:
    with Server() as server:
        url = server.add("/w.bin", Virtual(3 * MIB))
        last = engine.bring(Job("a", (url,), into, 4 * MIB))
        assert isinstance(last.error, UpstreamChanged), last


def test_what_was_planted_is_removed_and_not_followed(engine: Engine, into: Path) -> None:
    content = Virtual(2 * MIB)
    names = ["data", "data.aria2", "data.aria2__temp", "data.pieces", "data.pieces__temp"]
    with Server() as server:
        url, jobs, victims = server.add("/w.bin", content), [], []
        for number, (name, planted) in enumerate(itertools.product(names, ["symlink", "hardlink", "folder"])):
            job = place(Job(f"{planted}-{number}", (url,), into, content.size))
            victim, spot = job.into.parent / "victim", job.into.parent / name
            victim.write_bytes(b"precious")
            if planted == "symlink":
                spot.symlink_to(victim)
            elif planted == "hardlink":
                os.link(victim, spot)
            else:
                spot.mkdir()
                (spot / "more").symlink_to(victim)
            jobs.append(job)
            victims.append(victim)
        last = engine.run(jobs)
    assert [last[job.id].error for job in jobs] == [None] * len(jobs)
    assert {victim.read_bytes() for victim in victims} == {b"precious"}
    assert all(written_by(job.into, content) and not job.into.is_symlink() for job in jobs)
    assert {job.into.stat().st_nlink for job in jobs} == {1}


@pytest.mark.slow
def test_a_silent_server_is_given_up(engine: Engine, into: Path) -> None:
    with Server() as server:
        # More with each question would be progress, however slow.
        url = server.add("/w.bin", Virtual(3 * MIB), stall_after=1_000)
        last = engine.bring(Job("a", (url,), into, 3 * MIB), Network(connect_timeout_s=1, read_timeout_s=1), stall_s=1.0)
        assert isinstance(last.error, NetworkFailed), last


@pytest.mark.slow
def test_one_connection_goes_on_where_it_fell_silent(into: Path) -> None:
    """And not from the last piece before: a server that is silent after 400 kB each time would be asked for them for ever."""
    content = Virtual(3 * MIB)
    with Server() as server:
        url = server.add("/w.bin", content, stall_after=400_000)
        job = Job("a", (url,), into, content.size)
        last = pool_engine().bring(job, Network(connect_timeout_s=1, read_timeout_s=0.3))
        assert (last.done, last.error) == (True, None)
        assert written_by(into, content)
        assert server.sent("/w.bin") == content.size


@pytest.mark.slow
def test_a_header_without_end_is_given_up(engine: Engine, into: Path) -> None:
    with Server() as server:
        url = server.add("/w.bin", Virtual(3 * MIB), slow_header=0.3)
        last = engine.bring(Job("a", (url,), into, 3 * MIB), Network(connect_timeout_s=0.5, read_timeout_s=0.5), stall_s=1.0)
        assert isinstance(last.error, NetworkFailed), last


def test_closing_does_not_wait_for_a_silent_server(engine: Engine, into: Path) -> None:
    with Server() as server:
        url = server.add("/w.bin", Virtual(3 * MIB), stall_after=100_000)
        transport = engine(Network(connect_timeout_s=60, read_timeout_s=60))
        drive(transport, [Job("a", (url,), into, 3 * MIB)], until=lambda tiding: server.sent() >= 100_000)
        closer = threading.Thread(target=transport.close)
        closer.start()
        closer.join(10)
        assert not closer.is_alive()
        transport.close()


def test_a_mirror_takes_over(engine: Engine, into: Path) -> None:
    content = Virtual(4 * MIB)
    with Server() as bad, Server() as good:
        urls = (bad.add("/gone.bin", content, status=404), good.add("/w.bin", content).replace("127.0.0.1", "localhost"))
        last = engine.bring(Job("a", urls, into, content.size))
        assert last.done, last
        assert written_by(into, content)


@pytest.mark.slow
def test_a_limit_holds_for_all_files_together(engine: Engine, into: Path) -> None:
    contents = [Virtual(1_500_000, seed=seed) for seed in range(2)]
    with Server() as server:
        jobs = [
            place(Job(f"s{content.seed}", (server.add(f"/{content.seed}", content),), into, content.size)) for content in contents
        ]
        began = time.monotonic()
        last = engine.run(jobs, limit_rate=2_000_000)
        assert all(tiding.done for tiding in last.values())
        # 3 MB at 2 MB/s; the engines look at their clocks in steps.
        assert 1.0 <= time.monotonic() - began <= 4.0
        assert all(written_by(job.into, content) for job, content in zip(jobs, contents, strict=True))


def test_headers_reach_the_server(engine: Engine, into: Path) -> None:
    content = Virtual(2 * MIB)
    with Server() as server:
        url = server.add("/w.bin", content, needs=("Authorization", "Bearer abc"))
        fresh = Fresh(url, (("Authorization", "Bearer abc"),))
        last = engine.bring(Job("a", (url,), into, content.size, fresh={url: lambda: fresh}))
        assert last.done, last
        assert {request.headers["user-agent"] for request in server.requests} == {"conda-assets"}
        assert {request.headers.get("accept-encoding", "identity") for request in server.requests} == {"identity"}


def test_a_header_cannot_smuggle_another_one(engine: Engine, into: Path) -> None:
    bad = [(("X", "a\r\nY: b"),), (("X\nY", "a"),), (("X", "a\n"),), (("X: a", "b"),), (("", "b"),)]
    with Server() as server:
        url = server.add("/w.bin", b"x" * 100)
        leads = [partial(Fresh, url, headers) for headers in bad]
        jobs = [place(Job(f"h{number}", (url,), into, 100, fresh={url: lead})) for number, lead in enumerate(leads)]
        last = engine.run(jobs)
        assert {type(tiding.error) for tiding in last.values()} == {AssetFailed}, last
        assert server.requests == []


def test_a_redirect_is_followed(engine: Engine, into: Path) -> None:
    content = Virtual(3 * MIB)
    with Server() as server:
        server.add("/w.bin", content)
        url = server.redirect("/go", server.url("/w.bin", host="localhost"))
        last = engine.bring(Job("a", (url,), into, content.size))
        assert last.done, last
        assert written_by(into, content)


def test_a_redirect_loop_ends(engine: Engine, into: Path) -> None:
    with Server() as server:
        last = engine.bring(Job("a", (server.add("/w.bin", b"", loop=True),), into, 100))
        assert isinstance(last.error, InsecureRedirect), last


def test_what_cannot_be_reached_is_worth_another_try(engine: Engine, into: Path) -> None:
    with Server() as server:
        refused = server.url("/w.bin")
    jobs = [place(Job("name", ("http://no-such-host.invalid/w",), into, 100)), place(Job("refused", (refused,), into, 100))]
    last = engine.run(jobs)
    assert {type(tiding.error) for tiding in last.values()} == {NetworkFailed}, last


def test_a_folder_that_is_not_there_is_said(engine: Engine, tmp_path: Path) -> None:
    with Server() as server:
        url = server.add("/w.bin", b"x" * 100)
        last = engine.bring(Job("a", (url,), tmp_path / "none" / "data", 100))
        assert isinstance(last.error, DiskRefused), last


def test_a_closed_transport_takes_no_jobs(engine: Engine, into: Path) -> None:
    transport = engine()
    transport.close()
    with pytest.raises(EngineFailed):  # noqa: PT012 - either may refuse
        transport.start([Job("a", ("http://127.0.0.1:1/",), into, 1)])
        transport.poll()


def test_stopping_what_is_not_there_does_nothing(engine: Engine) -> None:
    engine().stop("nobody")


def test_a_proxy_is_used_where_it_is_set_and_only_there(engine: Engine, into: Path) -> None:
    content = Virtual(2 * MIB)
    with Server() as proxy, Server() as direct:
        proxy.add("/w.bin", content)
        network = (
            Network(5, None, (), 5, 5)
            if False
            else Network(proxies=(("http", proxy.url()), ("no_proxy", "127.0.0.1")), connect_timeout_s=5, read_timeout_s=5)
        )
        last = engine.bring(Job("a", ("http://files.invalid/w.bin",), into, content.size), network)
        assert last.done, last
        assert {request.headers["host"] for request in proxy.requests} == {"files.invalid"}
        asked = len(proxy.requests)
        into.unlink()
        last = engine.bring(Job("b", (direct.add("/w.bin", content),), into, content.size), network)
        assert last.done, last
        assert len(proxy.requests) == asked


def test_certificates_are_checked(engine: Engine, into: Path, tmp_path: Path) -> None:
    content = Virtual(2 * MIB)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with Server(tls=context) as server:
        url = server.add("/w.bin", content).replace("127.0.0.1", "localhost")
        wrong_name = server.url("/w.bin")
        last = engine.bring(Job("a", (url,), into, content.size))
        assert isinstance(last.error, TlsFailed), last
        assert "localhost" in last.error.message
        trusting = Network(verify=str(tmp_path / "ca.pem"), connect_timeout_s=5, read_timeout_s=5)
        last = engine.bring(Job("b", (wrong_name,), into, content.size), trusting)
        assert isinstance(last.error, TlsFailed), last
        last = engine.bring(Job("c", (url,), into, content.size), trusting)
        assert last.done, last
        assert written_by(into, content)
        folder = tmp_path / "authorities"
        folder.mkdir()
        (tmp_path / "ca.pem").rename(folder / "ca.pem")
        into.unlink()
        if engine.is_aria2:
            in_folder = Network(verify=str(folder), connect_timeout_s=5, read_timeout_s=5)
            last = engine.bring(Job("d", (url,), into, content.size), in_folder)
            assert last.done, last
            into.unlink()
        last = engine.bring(Job("e", (url,), into, content.size), Network(verify=False, connect_timeout_s=5, read_timeout_s=5))
        assert last.done, last


def test_the_name_is_for_people(engine: Engine, into: Path) -> None:
    with Server() as server, closing(engine(PATIENT)) as transport:
        drive(transport, [Job("a", (server.add("/w", b"abc"),), into, 3)])
        assert transport.name.startswith("aria2 1." if engine.is_aria2 else "plain HTTP")


@pytest.mark.skipif(not hasattr(os, "fdatasync"), reason="no fdatasync on this system")
@pytest.mark.parametrize("checked", [False, True], ids=["unknown", "checked"])
def test_what_the_disk_loses_is_told_and_not_believed_later(
    engine: Engine, into: Path, monkeypatch: pytest.MonkeyPatch, checked: bool
) -> None:
    """It tells each loss once, to one who may not be the last to ask."""
    name, calls = "fdatasync" if engine.is_aria2 else "fsync", itertools.count()
    real = getattr(os, name)

    def lose_once(descriptor: int) -> None:
        real(descriptor)
        if into.exists() and os.fstat(descriptor).st_ino == into.stat().st_ino and next(calls) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, name, lose_once)
    content = Virtual(24 * MIB)
    with Server(link=12_000_000) as server:
        job = Job("a", (server.add("/w.bin", content),), into, content.size, etag='"v0-1800000"', checked=checked)
        with closing(engine()) as transport:
            error = drive(transport, [job])["a"].error
            assert isinstance(error, DiskRefused)
            assert os.strerror(errno.EIO) in error.message
            assert beside(into) == set()
        assert engine.bring(job).done
        assert written_by(into, content)
