"""Rounds: each peer once in each, in an order that turns, so that whatever else the machine does hits all alike."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.ground import Ground, Skipped, open_ground
from bench.peers import OURS, PEERS, Call, File, Peer, Task, environment
from bench.profiles import Profile
from server import Virtual

__all__ = ["Run", "measure"]

_PATIENCE_S = 900.0
_KILL_AT = 0.9
# A peer that needs longer than this, and five times as long as we, runs in the first round only: a bench has to end.
_LONG_S, _FAR_BEHIND = 25.0, 5.0
# ext4 gives no inode out again for a minute: who makes files where thousands have just been deleted pays for that, by the round.
_KEPT_BYTES, _MANY_FILES = 300_000_000, 300


@dataclass(frozen=True)
class Run:
    """What one run of a peer cost. `again`: bytes fetched a second time, as part of the whole, None where not asked.

    `error`: why it counts for nothing. `load`: of the machine, in the minute before. `note`: what the ground lacks.
    """

    profile: str
    peer: str
    round: int
    seconds: float = 0.0
    cpu_s: float = 0.0
    again: float | None = None
    load: float = 0.0
    error: str = ""
    note: str = ""


def measure(
    profile: Profile, rounds: int, work: Path, *, quick: bool, tell: Callable[[str], None], among: Sequence[Peer] | None = None
) -> Iterator[Run]:
    """All runs of a profile; a peer that cannot do it is told of once, with the reason. `among`: instead of its own."""
    sizes = profile.quick_sizes if quick else profile.sizes
    folder = work / "files"
    names = _write(folder, sizes)
    peers = [peer for peer in PEERS if profile.takes(peer.name)] if among is None else list(among)
    peers = [peer for peer in peers if peer.here]
    if profile.kind == "resume":
        for peer in [each for each in peers if not each.resumes]:
            yield Run(profile.name, peer.name, 0, error="starts over")
        peers = [peer for peer in peers if peer.resumes]
    try:
        with open_ground(profile.link, folder, [name for name, _, _ in names], work / "ground") as ground:
            files = [File(name, tuple(f"{base}/{name}" for base in ground.bases), size, sha256) for name, size, sha256 in names]
            out_of = set(profile.slow)
            keep = len(sizes) >= _MANY_FILES and sum(sizes) <= _KEPT_BYTES
            for number in range(1, rounds + 1):
                took: dict[str, float] = {}
                turn = number % len(peers)
                for peer in peers[turn:] + peers[:turn]:
                    if peer.name in out_of:
                        continue
                    here = work / f"out-{number}-{len(took)}" if keep else work / "out"
                    run = _run(profile, peer, number, files, ground, here, keep=keep)
                    took[peer.name] = run.seconds
                    if run.error and number == 1:
                        out_of.add(peer.name)
                    tell(f"{profile.name} {number}/{rounds} {peer.name}: {run.error or f'{run.seconds:.2f} s'}")
                    yield run
                behind = max(_LONG_S, _FAR_BEHIND * took.get(OURS, 0.0))
                out_of |= {name for name, seconds in took.items() if seconds > behind}
    except Skipped as error:
        tell(f"{profile.name}: skipped, {error}")
        yield Run(profile.name, "", 0, error=str(error))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write(folder: Path, sizes: Sequence[int]) -> list[tuple[str, int, str]]:
    folder.mkdir(parents=True, exist_ok=True)
    noise, written = random.Random(7), []
    for index, size in enumerate(sizes):
        name = f"file{index:05}.bin"
        if size > 2_000_000:
            content = Virtual(size, seed=index)
            content.write(folder / name)
            written.append((name, size, content.sha256))
        else:
            body = noise.randbytes(size)
            (folder / name).write_bytes(body)
            written.append((name, size, hashlib.sha256(body).hexdigest()))
    return written


def _run(profile: Profile, peer: Peer, number: int, files: Sequence[File], ground: Ground, out: Path, *, keep: bool) -> Run:
    if profile.kind == "verify":
        return _verify(profile, peer, number, files, ground, out.with_name("verified"))
    shutil.rmtree(out, ignore_errors=True)
    _begin(out)
    blank = Run(profile.name, peer.name, number, load=os.getloadavg()[0], note=ground.note)
    task = Task(files, out, ground.bases[0], ground.authority)
    try:
        before, again = 0, None
        if profile.kind in ("warm", "second"):
            _time(_called(peer, task))
        if profile.kind == "second" and peer.name != OURS:
            task = replace(task, out=_elsewhere(out))
        elif profile.kind == "second":
            shutil.rmtree(out / "env" / "share")
            shutil.rmtree(out / "env" / "etc")
        if profile.kind == "resume":
            ground.sent()
            _kill_at(_called(peer, task), out, _KILL_AT * sum(file.size for file in files))
            before, task = ground.sent(), replace(task, again=True)
        seconds, cpu_s = _time(_called(peer, task))
        _check(peer, task)
        if profile.kind == "resume":
            whole = sum(file.size for file in files)
            again = max(0.0, (before + ground.sent() - whole) / whole)
        return replace(blank, seconds=seconds, cpu_s=cpu_s, again=again)
    except _Failed as error:
        return replace(blank, error=str(error))
    finally:
        if not keep:
            shutil.rmtree(out, ignore_errors=True)


def _begin(out: Path) -> None:
    (out / "env" / "conda-meta").mkdir(parents=True)
    os.sync()


def _verify(profile: Profile, peer: Peer, number: int, files: Sequence[File], ground: Ground, out: Path) -> Run:
    """What is compared is the same for all, in all rounds: what one sync has brought."""
    blank = Run(profile.name, peer.name, number, load=os.getloadavg()[0], note=ground.note)
    task = Task(files, out, ground.bases[0], ground.authority)
    assert peer.check is not None
    try:
        if not out.exists():
            _begin(out)
            _time(_called(PEERS[0], task))
        seconds, cpu_s = _time(peer.check(task))
        return replace(blank, seconds=seconds, cpu_s=cpu_s)
    except _Failed as error:
        return replace(blank, error=str(error))


def _elsewhere(out: Path) -> Path:
    other = out / "second"
    other.mkdir()
    return other


class _Failed(Exception):
    """The peer did not do it."""


def _called(peer: Peer, task: Task) -> Call:
    call = peer.call(task)
    if isinstance(call, str):
        raise _Failed(call)
    return call


def _start(call: Call) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        call.argv, env=environment(call), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


def _time(call: Call) -> tuple[float, float]:
    """(wall, user and system time with children) in seconds."""
    began = time.monotonic()
    used = os.times()
    process = _start(call)
    try:
        _, said = process.communicate(timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        _kill(process)
        raise _Failed(f"not done after {_PATIENCE_S:.0f} s") from None
    seconds, now = time.monotonic() - began, os.times()
    if process.returncode:
        lines = [line for line in said.decode(errors="replace").splitlines() if line.strip() and not line.startswith("Hint:")]
        raise _Failed(f"status {process.returncode}: {lines[-1][:300] if lines else ''}")
    return seconds, now.children_user - used.children_user + now.children_system - used.children_system


def _kill_at(call: Call, out: Path, wanted_bytes: float) -> None:
    process = _start(call)
    while process.poll() is None and _held(out) < wanted_bytes:
        time.sleep(0.01)
    through = process.poll() is not None
    _kill(process)
    if through:
        raise _Failed("was through before it could be killed")


def _held(out: Path) -> int:
    held = 0
    for folder, _, names in os.walk(out):
        for name in names:
            try:
                info = os.lstat(os.path.join(folder, name))
                # Some files are longer than what is in them, and some file systems take more than they need.
                held += min(info.st_blocks * 512, info.st_size)
            except FileNotFoundError:
                continue
    return held


def _kill(process: subprocess.Popen[bytes]) -> None:
    """It and all it has started, with no time to say anything."""
    for each in [*_children(process.pid), process.pid]:
        try:
            os.kill(each, signal.SIGKILL)
        except ProcessLookupError:
            continue
    if process.stderr is not None:
        process.stderr.close()
    process.wait()


def _children(parent: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            continue
        if int(fields[1]) == parent:
            pid = int(path.parent.name)
            found += [*_children(pid), pid]
    return found


def _check(peer: Peer, task: Task) -> None:
    """Sizes of all files, and the digest of the last one: who is fast with wrong bytes is not fast."""
    folder = task.out / "env" / "share" / "assets" if peer.name == OURS else task.out
    for file in task.files:
        path = folder / file.name
        if not path.exists() or path.stat().st_size != file.size:
            raise _Failed(f"{file.name} is not what it should be")
    last = task.files[-1]
    if hashlib.sha256((folder / last.name).read_bytes()).hexdigest() != last.sha256:
        raise _Failed(f"{last.name} has wrong bytes")
