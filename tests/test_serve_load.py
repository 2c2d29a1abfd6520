"""Two hundred people look while fifty files arrive: reads stay quick, memory stays small, and nobody misses a change."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from centre import Client, Program
from server import Faults, Server, Virtual

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc: nobody says how much memory is used"),
]
MB = 1_000_000
_LISTENERS, _POLLERS, _JOBS = 100, 100, 50
_SECONDS = 25.0


@dataclass
class Seen:
    """What came of it."""

    reads_s: list[float] = field(default_factory=list)
    done: list[set[str]] = field(default_factory=list)


async def _ask(host: str, port: int, path: str, token: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 24)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    return reader, writer


async def _poll(client: Client, number: int, seen: Seen, ends: float) -> None:
    parts = urlsplit(client.url)
    await asyncio.sleep(number / _POLLERS)
    reader, writer = await _ask(parts.hostname, parts.port, "/api/v1/me", client.token)
    paths = ["/api/v1/jobs", "/api/v1/totals", "/api/v1/environments", "/api/v1/me"]
    await _read(reader)
    while time.monotonic() < ends:
        since = time.monotonic()
        path = paths[number % len(paths)]
        number += 1
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {client.token}\r\n\r\n".encode())
        await _read(reader)
        seen.reads_s.append(time.monotonic() - since)
        await asyncio.sleep(1.0)
    writer.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    assert head.startswith("HTTP/1.1 200"), head
    length = next(int(line.partition(":")[2]) for line in head.lower().splitlines() if line.startswith("content-length:"))
    return await reader.readexactly(length)


async def _listen(client: Client, seen: Seen, ends: float) -> None:
    """One page: applies every event to what it knows, as the real one does."""
    parts = urlsplit(client.url)
    reader, writer = await _ask(parts.hostname, parts.port, "/api/v1/events", client.token)
    await reader.readuntil(b"\r\n\r\n")
    states: dict[str, str] = {}
    version = 0
    while time.monotonic() < ends and sum(state == "done" for state in states.values()) < _JOBS:
        try:
            line = await asyncio.wait_for(reader.readline(), 5.0)
        except asyncio.TimeoutError:
            continue
        if line.startswith(b'data: {"version"'):
            said = json.loads(line[6:])
            assert said["version"] >= version
            version = said["version"]
            states.update({job["id"]: job["state"] for job in said["jobs"]})
    seen.done.append({job for job, state in states.items() if state == "done"})
    writer.close()


async def _look(client: Client, seen: Seen) -> None:
    ends = time.monotonic() + _SECONDS
    await asyncio.gather(
        *(_poll(client, number, seen, ends) for number in range(_POLLERS)),
        *(_listen(client, seen, ends + 20) for _ in range(_LISTENERS)),
    )


def _memory_bytes(pid: int) -> int:
    """The most that the process and its children have had."""
    children = [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    peak = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024 + sum(map(_memory_bytes, map(int, children)))


def _measure(folder: Path) -> tuple[float, int, int]:
    """(p99 of reads in seconds, their number, bytes of memory); asserts that nobody has missed anything."""
    program = Program(folder, "--allow-private")
    with Server(link=20 * MB) as origin:
        client = program.start()
        try:
            urls = [
                origin.add(f"/{number}.bin", Virtual(6 * MB, seed=number % 8), Faults(rate=2 * MB)) for number in range(_JOBS)
            ]
            ids = {job["id"] for job in client.add("\n".join(urls))}
            seen = Seen()
            asyncio.run(_look(client, seen))
            memory_bytes = _memory_bytes(program.process.pid)
        finally:
            program.stop()
    assert seen.done == [ids] * _LISTENERS
    return sorted(seen.reads_s)[int(len(seen.reads_s) * 0.99)], len(seen.reads_s), memory_bytes


def test_two_hundred_people_look_while_fifty_files_arrive(tmp_path, capsys, monkeypatch):
    """The best of three: where others use the machine, a read may wait for them and not for us."""
    for turn in range(3):
        monkeypatch.setenv("CONDA_ASSETS_STORE", str(tmp_path / f"store{turn}"))
        p99_s, reads, memory_bytes = _measure(tmp_path / f"data{turn}")
        with capsys.disabled():
            print(f" {reads} reads, p99 {p99_s * 1000:.0f} ms, {memory_bytes / MB:.0f} MB", end="")
        assert memory_bytes <= 300 * MB
        if p99_s <= 0.2:
            return
    raise AssertionError(f"p99 is {p99_s:.3f} s, expected at most 0.2 s")
