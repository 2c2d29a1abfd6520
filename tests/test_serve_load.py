"""Two hundred people look while fifty files arrive: reads stay quick, memory stays small, and nobody misses a change.

People and origins are on other machines. Here they are processes of their own which give way to the centre (nice), or the time
that they need themselves would be counted as its own.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
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


@contextmanager
def _elsewhere(*words: str) -> Iterator[subprocess.Popen[str]]:
    """This file as a program."""
    command = ["nice", "-n", "10", sys.executable, __file__, *words]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.communicate()


def _play(what: str, *words: str) -> None:
    """`origin`: serve until stdin ends, after a line with the URLs. `people URL TOKEN`: look, and say what was seen."""
    if what == "origin":
        with Server(link=20 * MB) as origin:
            contents = [Virtual(6 * MB, seed=number % 8) for number in range(_JOBS)]
            urls = [origin.add(f"/{number}.bin", content, Faults(rate=2 * MB)) for number, content in enumerate(contents)]
            print(json.dumps(urls), flush=True)
            sys.stdin.read()
    else:
        seen = Seen()
        asyncio.run(_look(Client(*words), seen))
        print(json.dumps(asdict(seen), default=list))


def _memory_bytes(pid: int) -> int:
    """The most that the process and its children have had."""
    children = [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    peak = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024 + sum(map(_memory_bytes, map(int, children)))


def test_two_hundred_people_look_while_fifty_files_arrive(tmp_path, capsys):
    program = Program(tmp_path / "data", "--allow-private")
    with _elsewhere("origin") as origin:
        urls = json.loads(origin.stdout.readline())
        client = program.start()
        try:
            ids = {job["id"] for job in client.add("\n".join(urls))}
            with _elsewhere("people", client.url, client.token) as people:
                seen = Seen(**json.loads(people.stdout.readline()))
            memory_bytes = _memory_bytes(program.process.pid)
        finally:
            program.stop()
    p99_s = sorted(seen.reads_s)[int(len(seen.reads_s) * 0.99)]
    with capsys.disabled():
        print(f" {len(seen.reads_s)} reads, p99 {p99_s * 1000:.0f} ms, {memory_bytes / MB:.0f} MB", end="")
    assert [set(done) for done in seen.done] == [ids] * _LISTENERS
    assert memory_bytes <= 300 * MB
    assert p99_s <= 0.2


if __name__ == "__main__":
    _play(*sys.argv[1:])
