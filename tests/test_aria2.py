"""aria2 as an engine of ours: a private daemon that gives nothing away and leaves nothing behind."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conda_assets.errors import AssetFailed, DiskFull, EngineFailed, NetworkFailed
from conda_assets.model import Fresh
from conda_assets.settings import Network
from conda_assets.transport import Job
from conda_assets.transport.aria2 import Aria2
from conda_assets.transport.daemon import Daemon
from conda_assets.transport.flushing import Flusher
from conda_assets.transport.locate import Found
from conda_assets.transport.pieces import piece_bytes_for
from engines import MIB, PATIENT, Engine, aria2_engines, closing, drive, made_of, written_by
from mounts import tmpfs
from server import Faults, Server, Virtual

_PROC = Path("/proc/self/cmdline").exists()
needs_proc = pytest.mark.skipif(not _PROC, reason="no /proc to look at processes")


@pytest.fixture(params=aria2_engines())
def found(request: pytest.FixtureRequest) -> Found:
    chosen: Found = request.param
    return chosen


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def engine(found: Found, scratch: Path) -> Iterator[Engine]:
    made = made_of(found, scratch)
    yield made
    for transport in made.open:
        transport.close()


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "staging"
    folder.mkdir(mode=0o700)
    return folder / "data"


def running(transport: object) -> int:
    assert isinstance(transport, Aria2)
    assert transport.pid is not None
    return transport.pid


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@needs_proc
def test_secrets_stand_in_no_command_line_and_in_no_file_that_others_read(engine: Engine, into: Path, scratch: Path) -> None:
    with Server(rate=2_000_000) as server:
        url = server.add("/w.bin", Virtual(8 * MIB), needs=("X-Token", "CANARY-HEADER"))
        network = Network(proxies=(("https", "http://u:CANARY-PROXY@127.0.0.1:1"),), connect_timeout_s=5, read_timeout_s=5)
        signed, fresh = f"{url}?sig=CANARY-URL", Fresh(f"{url}?sig=CANARY-URL", (("X-Token", "CANARY-HEADER"),))
        job = Job("a", (signed,), into, 8 * MIB, fresh={signed: lambda: fresh})
        with closing(engine(network)) as transport:
            drive(transport, [job], until=lambda tiding: tiding.done_bytes > MIB)
            pid = running(transport)
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            environ = Path(f"/proc/{pid}/environ").read_bytes()
            assert b"CANARY" not in line + environ
            assert b"rpc-secret" not in line
            # A kill of all leaves nothing: what is said there names signed URLs.
            assert [path for path in scratch.rglob("*") if path.is_file()] == []
            kept = [path for path in into.parent.iterdir() if path.name != "data"]
            assert all(b"CANARY" not in path.read_bytes() for path in kept)
        assert [path for path in scratch.rglob("*") if path.is_file()] == []


def test_nobody_else_is_told_what_to_fetch(engine: Engine, into: Path) -> None:
    with Server(rate=2_000_000) as server, closing(engine()) as transport:
        job = Job("a", (server.add("/w.bin", Virtual(8 * MIB)),), into, 8 * MIB)
        drive(transport, [job], until=lambda tiding: tiding.done_bytes > MIB)
        ports = listening_ports(running(transport))
        assert {host for host, _ in ports} <= {"127.0.0.1", "::1"}
        for host, port in sorted(ports)[:1]:
            body = b'{"jsonrpc":"2.0","id":"1","method":"aria2.getGlobalOption","params":["token:"]}'
            with socket.create_connection((host, port), timeout=10) as connection:
                connection.sendall(b"POST /jsonrpc HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                assert b"Unauthorized" in connection.recv(4096)


def listening_ports(pid: int) -> set[tuple[str, int]]:
    """What a process listens on, through `ss`."""
    try:
        said = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no `ss` to ask for open ports: {error}")
    found = set()
    for line in said.splitlines():
        if f"pid={pid}," in line:
            host, _, port = line.split()[3].rpartition(":")
            found.add((host.strip("[]"), int(port)))
    assert found
    return found


def test_a_port_that_is_taken_meanwhile_is_given_up(found: Found, scratch: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, socket.create_server(("127.0.0.1", 0)) as free:
        taken = [other.getsockname()[1], free.getsockname()[1]]
    with socket.create_server(("127.0.0.1", taken[0])) as other:
        asked = []

        def choose() -> int:
            asked.append(taken[len(asked)])
            return asked[-1]

        daemon = Daemon(found.path, {}, scratch=scratch, choose_port=choose)
        try:
            assert asked == taken
            assert isinstance(daemon.rpc.call("getVersion"), dict)
            # The one who has the port has not been given the secret.
            other.setblocking(False)
            with pytest.raises(BlockingIOError):
                other.accept()
        finally:
            daemon.stop()


def test_a_binary_that_is_none_is_said(tmp_path: Path, scratch: Path, into: Path) -> None:
    liar = tmp_path / "aria2c"
    liar.write_text("#!/bin/sh\necho 'ERROR no such thing' >&2\nexit 3\n")
    liar.chmod(0o755)
    transport = Aria2(liar, PATIENT, scratch=scratch)
    transport.start([Job("a", ("http://127.0.0.1:1/",), into, 10)])
    with pytest.raises(EngineFailed, match="does not start: ERROR no such thing"):
        transport.poll()
    transport.close()
    assert not scratch.exists()


def test_ctrl_c_in_the_terminal_does_not_reach_it(engine: Engine, into: Path) -> None:
    with Server(rate=2_000_000) as server, closing(engine()) as transport:
        job = Job("a", (server.add("/w.bin", Virtual(8 * MIB)),), into, 8 * MIB)
        drive(transport, [job], until=lambda tiding: tiding.done_bytes > 0)
        assert os.getpgid(running(transport)) != os.getpgid(0)


@needs_proc
def test_closing_leaves_no_process(engine: Engine, into: Path) -> None:
    with Server(rate=2_000_000) as server:
        transport = engine()
        job = Job("a", (server.add("/w.bin", Virtual(8 * MIB)),), into, 8 * MIB)
        drive(transport, [job], until=lambda tiding: tiding.done_bytes > 0)
        pid = running(transport)
        began = time.monotonic()
        transport.close()
        assert gone(pid)
        assert time.monotonic() - began < 3
        transport.close()


DRIVER = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from conda_assets.settings import Network
    from conda_assets.transport import Job
    from conda_assets.transport.aria2 import Aria2

    binary, scratch, into, url, size = sys.argv[1:]
    transport = Aria2(Path(binary), Network(), scratch=Path(scratch))
    transport.start([Job("a", (url,), Path(into), int(size), etag='"1"')])
    while True:
        (tiding,) = transport.poll()
        print(transport.pid, tiding.done_bytes, flush=True)
        if tiding.done:
            break
        time.sleep(0.02)
    transport.close()
""")


@needs_proc
def test_a_killed_parent_leaves_no_orphan_and_what_has_arrived_is_used(
    found: Found, engine: Engine, scratch: Path, into: Path
) -> None:
    content = Virtual(24 * MIB)
    own = scratch / "driver"
    own.mkdir(mode=0o700)
    with Server(rate=4_000_000, link=24_000_000) as server:
        url = server.add("/w.bin", content, etag="1")
        command = [sys.executable, "-c", DRIVER, str(found.path), str(own), str(into), url, str(content.size)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            pid = 0
            for line in process.stdout:
                pid, done = map(int, line.split())
                if done > 6 * MIB:
                    break
            process.kill()
        assert within(5, lambda: gone(pid))
        sent = server.sent()
        last = engine.bring(Job("a", (url,), into, content.size, etag='"1"'))
        assert last.done, last
        assert written_by(into, content)
        assert server.sent() - sent <= content.size - 4 * MIB


@needs_proc
@pytest.mark.skipif(sys.platform != "linux", reason="no other system tells a child of its parent's death")
def test_a_killed_parent_that_nobody_reaps_leaves_no_orphan(found: Found, scratch: Path, into: Path) -> None:
    content = Virtual(24 * MIB)
    own = scratch / "driver"
    own.mkdir(mode=0o700)
    with Server(rate=1_000_000) as server:
        url = server.add("/w.bin", content, etag="1")
        command = [sys.executable, "-c", DRIVER, str(found.path), str(own), str(into), url, str(content.size)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            pid = next(pid for pid, done in (map(int, line.split()) for line in process.stdout) if done > 0)
            process.kill()
            # Not waited for: its process id still exists.
            assert within(5, lambda: gone(pid))
            assert process.returncode is None


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize("after_s", [0.12, 0.4, 1.3], ids=lambda each: f"{each}s")
def test_a_killed_daemon_costs_little_however_early(engine: Engine, into: Path, after_s: float) -> None:
    """In its first second it has no control file and no whole piece; what the sparse file's blocks tell is then used."""
    content = Virtual(64 * MIB)
    with Server(rate=2_000_000, link=24_000_000) as server:
        url = server.add("/w.bin", content, etag="1")
        job = Job("a", (url,), into, content.size, etag='"1"', checked=True)
        transport = engine()
        began = time.monotonic()
        drive(transport, [job], until=lambda tiding: tiding.done_bytes > 2 * MIB and time.monotonic() - began > after_s)
        os.kill(running(transport), signal.SIGKILL)
        with pytest.raises(EngineFailed, match=r"ended by itself|does not answer"):  # noqa: PT012 - it may be a moment until it is gone
            for _ in range(200):
                transport.poll()
                time.sleep(0.01)
        with pytest.raises(EngineFailed):
            transport.stop("a") or transport.start([job]) or transport.poll()  # type: ignore[func-returns-value]
        transport.close()
        last = engine.bring(job)
        assert last.done, last
        assert written_by(into, content)
        # At most what was under way: two pieces of each connection.
        assert last.fetched_bytes < content.size


def test_locks_that_it_inherits_are_held_as_long_as_it_lives(engine: Engine, into: Path, tmp_path: Path) -> None:
    held = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    with Server(rate=2_000_000) as server:
        transport = engine(inherit_fds=(held,))
        job = Job("a", (server.add("/w.bin", Virtual(8 * MIB)),), into, 8 * MIB)
        drive(transport, [job], until=lambda tiding: tiding.done_bytes > 0)
        os.close(held)
        with (tmp_path / "lock").open("r+") as other:
            with pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            transport.close()
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_front_follows_closely_and_all_connections_are_used(engine: Engine, into: Path) -> None:
    content = Virtual(48 * MIB)
    lags, connections = [], []
    with Server(rate=4_000_000, link=50_000_000) as server, closing(engine()) as transport:
        url = server.add("/w.bin", content)

        def look(tiding: object) -> bool:
            lags.append(tiding.done_bytes - tiding.front_bytes)  # type: ignore[attr-defined]
            connections.append(tiding.connections)  # type: ignore[attr-defined]
            return False

        last = drive(transport, [Job("a", (url,), into, content.size)], until=look)["a"]
        assert last.done
    assert max(connections) >= 12
    assert max(lags) <= 2 * 16 * MIB
    assert server.sent() == content.size


def test_pieces_grow_with_the_file_and_shrink_with_the_connections() -> None:
    assert [piece_bytes_for(size, 16) // MIB for size in (0, 400 * 10**6, 2 * 10**9, 4 * 10**9, 40 * 10**9)] == [1, 1, 2, 4, 16]
    assert piece_bytes_for(400 * 10**6, 1) == 8 * MIB


def test_a_server_that_stumbles_over_requests_sent_ahead_is_asked_plainly(engine: Engine, into: Path) -> None:
    content = Virtual(12 * MIB)
    network = Network(connect_timeout_s=1, read_timeout_s=1)
    with Server() as server, closing(engine(network)) as transport:
        job = Job("a", (server.add("/w.bin", content, drops_ahead=True),), into, content.size, connections=2)
        last = drive(transport, [job])["a"]
        # aria2 does not always send the next request early enough to stumble.
        assert last.done or isinstance(last.error, NetworkFailed), last
        if not last.done:
            last = drive(transport, [job])["a"]
        assert last.done, last
        assert written_by(into, content)


def test_connection_limits_are_borne(engine: Engine, into: Path) -> None:
    content = Virtual(8 * MIB)
    with Server(rate=8_000_000) as server:
        url = server.add("/w.bin", content, max_connections=4, over_status=503)
        job = Job("a", (url,), into, content.size)
        for _ in range(3):
            last = engine.bring(job)
            if last.done:
                break
        assert last.done, last
        assert written_by(into, content)


def test_answers_that_name_other_files_are_only_bytes(engine: Engine, into: Path) -> None:
    """aria2 would fetch what a Metalink or a torrent names, and write where a header says."""
    with Server() as server:
        other = server.add("/other.bin", b"planted")
        page = (
            '<?xml version="1.0"?><metalink xmlns="urn:ietf:params:xml:ns:metalink">'
            f'<file name="sub/planted.sh"><size>7</size><url>{other}</url></file></metalink>'
        ).encode()
        url = server.add(
            "/w.bin",
            page,
            content_type="application/metalink4+xml",
            headers={"Content-Disposition": 'attachment; filename="../../planted.sh"'},
        )
        for resumable in (True, False):
            last = engine.bring(Job("a", (url,), into, len(page), resumable=resumable))
            assert last.done, last
            assert into.read_bytes() == page
            into.unlink()
        assert server.seen("/other.bin") == []
        assert not list(into.parent.rglob("planted*"))


def test_a_url_with_a_newline_or_a_tab_is_refused(engine: Engine, into: Path) -> None:
    for number, url in enumerate(
        ["http://127.0.0.1:1/a\n dir=/tmp", "http://127.0.0.1:1/a\tb", "file:///etc/passwd", "magnet:?xt=x"]
    ):
        last = engine.bring(Job(f"a{number}", (url,), into, 10))
        assert type(last.error) is AssetFailed, last


def test_a_full_disk_is_told_and_costs_no_progress(engine: Engine, tmp_path: Path) -> None:
    content = Virtual(40 * MIB)
    with tmpfs(tmp_path / "small", 24 * MIB) as small, Server() as server:
        url = server.add("/w.bin", content, etag="1")
        job = Job("a", (url,), small / "data", content.size, etag='"1"', connections=4)
        last = engine.bring(job)
        assert isinstance(last.error, DiskFull), last
        subprocess.run(["mount", "-o", "remount,size=64M", str(small)], check=True)
        last = engine.bring(job)
        assert last.done, last
        assert written_by(small / "data", content)
        assert last.fetched_bytes <= content.size - 16 * MIB


@needs_proc
def test_its_memory_is_bounded(engine: Engine, into: Path) -> None:
    with Server(rate=2_000_000) as server, closing(engine()) as transport:
        job = Job("a", (server.add("/w.bin", Virtual(8 * MIB)),), into, 8 * MIB)
        drive(transport, [job], until=lambda tiding: tiding.done_bytes > 0)
        limits = Path(f"/proc/{running(transport)}/limits").read_text()
        (line,) = [each for each in limits.splitlines() if each.startswith("Max address space")]
        assert int(line.split()[3]) == 1 << 30


def test_the_log_goes_where_it_is_wanted_and_only_we_read_it(engine: Engine, into: Path, tmp_path: Path) -> None:
    log = tmp_path / "aria2.log"
    with Server() as server:
        last = engine.bring(Job("a", (server.add("/w.bin", b"x" * 1000),), into, 1000), log=log)
        assert last.done
    assert "HTTP/1.1" in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


@pytest.mark.slow
def test_a_thousand_files_arrive_quickly(engine: Engine, into: Path) -> None:
    with Server() as server:
        jobs = []
        for number in range(1000):
            folder = into.parent / str(number)
            folder.mkdir()
            jobs.append(Job(f"j{number}", (server.add(f"/{number}", Virtual(50_000, seed=number % 4)),), folder / "data", 50_000))
        began = time.monotonic()
        last = engine.run(jobs, seconds=120)
        took = time.monotonic() - began
        assert all(tiding.done for tiding in last.values())
        assert len(last) == 1000
        assert all(written_by(job.into, Virtual(50_000, seed=n % 4)) for n, job in enumerate(jobs))
        assert took < 30, f"{took:.1f} s"


@pytest.mark.slow
@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_server_that_is_overloaded_is_asked_a_few_times(engine: Engine, into: Path, status: int) -> None:
    with Server() as server:
        last = engine.bring(Job("a", (server.add("/w.bin", Virtual(3 * MIB), Faults(status=status)),), into, 3 * MIB))
        assert isinstance(last.error, NetworkFailed), last
        assert len(server.requests) <= 12


@pytest.mark.slow
@needs_proc
def test_kills_at_any_time_never_end_in_wrong_bytes(engine: Engine, tmp_path: Path) -> None:
    """Thirty rounds of up to four kills each; then the file is right."""
    content = Virtual(16 * MIB)
    with Server(rate=4_000_000, link=30_000_000) as server:
        url = server.add("/w.bin", content, etag="1")
        for number in range(30):
            folder = tmp_path / f"round{number}"
            folder.mkdir(mode=0o700)
            job = Job("a", (url,), folder / "data", content.size, etag='"1"', checked=True)
            for kill in range(4):
                transport = engine()
                stop_at = time.monotonic() + 0.05 + (number * 37 + kill * 61) % 50 / 100
                last = drive(transport, [job], until=lambda _, at=stop_at: time.monotonic() > at)["a"]  # type: ignore[misc]
                if last.done:
                    break
                os.kill(running(transport), signal.SIGKILL)
                transport.close()
            last = engine.bring(job)
            assert last.done, last
            assert written_by(folder / "data", content), f"round {number}"
        # A kill costs what was under way: up to a piece of each connection, all of this file.
        assert server.sent() <= 30 * 2.5 * content.size, f"{server.sent() / content.size / 30:.2f} times"


@pytest.mark.skipif(not hasattr(os, "fdatasync"), reason="no fdatasync on this system")
def test_what_arrives_goes_to_the_disk_beside_the_transfer(engine: Engine, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, flushed = os.fdatasync, []

    def note(descriptor: int) -> None:
        real(descriptor)
        flushed.append((threading.current_thread().name, os.fstat(descriptor).st_ino))

    monkeypatch.setattr(os, "fdatasync", note)
    content = Virtual(24 * MIB)
    with Server(link=12_000_000) as server, closing(engine()) as transport:
        assert drive(transport, [Job("a", (server.add("/w.bin", content),), into, content.size)])["a"].done
    assert set(flushed) == {("flush", into.stat().st_ino)}
    assert len(flushed) >= 5
    assert within(5.0, lambda: "flush" not in {each.name for each in threading.enumerate()})


def test_a_file_that_has_gone_is_not_flushed(tmp_path: Path) -> None:
    flusher, kept = Flusher(), tmp_path / "kept"
    kept.write_bytes(b"x")
    for path in (tmp_path / "gone", kept, tmp_path / "gone"):
        flusher.note(path)
    assert flusher.leave(kept) is None
    assert flusher.leave(tmp_path / "gone") is None
    flusher.close()
    flusher.note(kept)
    assert within(5.0, lambda: "flush" not in {each.name for each in threading.enumerate()})
