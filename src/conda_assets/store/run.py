"""A run: one process that claims, and its children. Whether another run is over.

    runs/<32 hex digits>    {"host": "node7", "boot": "0ae5…", "pid": 4711}
                            248dfc39…       a line for each stored file that the run holds
                            >sha256-248d…   and for each small file that it is about to bring; `<`: no more of them

It is written and synced before anything carries the run's name.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from conda_assets.locking import CHILDREN_INHERIT, try_lock
from conda_assets.machine import this_machine
from conda_assets.records import dataclass, field, fields
from conda_assets.store.ground import Ground

__all__ = ["Run", "Who", "begin_run", "brought_lines", "end_run", "held_lines", "is_run_name", "probe"]

# How long a folder must have been quiet, in seconds, before it counts as left behind where no lock can tell:
# its process is gone (a child may write on for a second), or it is on another machine (the longest silence of a live
# transfer is a back-off of 60 s; hashing 40 GB on a slow disk takes minutes).
_QUIET_DEAD_S = 10.0
_QUIET_FAR_S = 600.0
# Files of runs on other machines are cleared away after a week.
_FORGET_S = 7 * 86400.0
_RECORD_BYTES = 1024
# Who probes a run has its lock for microseconds.
_PROBED_S = 1.0
# At most so many old files are looked at when a run begins.
_CLEAR_AT_ONCE = 200
# How the lines of files that are being brought begin.
_BRINGS, _BRINGS_NO_MORE = ">", "<"


@dataclass(frozen=True, slots=True)
class Who:
    """Where a run lives. `boot`: what the kernel calls its present life; empty where it says nothing."""

    host: str
    boot: str
    pid: int

    def __str__(self) -> str:
        return f"{self.host} pid {self.pid}"

    def same_kernel(self, other: Who) -> bool:
        """Both under one kernel that has not been started anew: a free flock then says that the run is over."""
        return self.boot == other.boot if self.boot and other.boot else self.host == other.host


@dataclass(eq=False)
class Run:
    """This process's run. `uid`: who the file system thinks we are. `locks_work`: flock was seen to exclude, here and now."""

    ground: Ground
    name: str
    who: Who
    descriptor: int
    uid: int
    locks_work: bool
    _held: set[str] = field(default_factory=set)

    @property
    def path(self) -> Path:
        """Its file."""
        return self.ground.tree.folder / "runs" / self.name

    def inherit_fds(self) -> tuple[int, ...]:
        """What a child must be given, so that this run is not over before the child is."""
        return (self.descriptor,) if CHILDREN_INHERIT else ()

    def hold(self, *sha256: str) -> None:
        """Say that the run needs these files.

        Raises:
            OSError: the file system refuses.
        """
        if new := [each for each in dict.fromkeys(sha256) if each not in self._held]:
            os.write(self.descriptor, "".join(f"{each}\n" for each in new).encode())
            self._held.update(new)

    def bring(self, names: Iterable[str]) -> None:
        """Say which small files the run brings from now on, by the names of their keys.

        Raises:
            OSError: the file system refuses.
        """
        os.write(self.descriptor, "".join(f"{_BRINGS}{name}\n" for name in names).encode())

    def bring_no_more(self) -> None:
        """Say that it has ended with all of them.

        Raises:
            OSError: the file system refuses.
        """
        os.write(self.descriptor, f"{_BRINGS_NO_MORE}\n".encode())

    def touch(self) -> int:
        """Say that the run is alive; the file server's time, in nanoseconds."""
        os.utime(self.path)
        return self.path.stat().st_mtime_ns

    def is_over(self, name: str, leaf: Path) -> bool:
        """Whether nobody of that run can write into its folder `leaf` any more; False when in doubt."""
        path = self.path.with_name(name)
        try:
            free, who = probe(path)
        except FileNotFoundError:
            return True
        except OSError:
            free, who = True, None
        if not free:
            return False
        if who is not None and self.locks_work and who.same_kernel(self.who):
            return True
        silence_s = abs(self.touch() - _newest_ns(leaf, path)) / 1e9
        here = who is not None and (who.host, who.boot) == (self.who.host, self.who.boot)
        return silence_s >= (_QUIET_DEAD_S if here and who is not None and not _is_alive(who.pid) else _QUIET_FAR_S)

    def clear_others(self) -> None:
        """Remove the files of runs that were killed, where that can be told."""
        now_ns = self.touch()
        for path in sorted(self.path.parent.iterdir())[:_CLEAR_AT_ONCE]:
            if path.name == self.name or not is_run_name(path.name):
                continue
            with suppress(OSError):  # cleared by another one, or not ours to remove
                if self.has_ended(path, now_ns):
                    path.unlink()

    def has_ended(self, path: Path, now_ns: int) -> bool:
        """Whether a run, by its file, is over for certain; on another machine that takes a week.

        Raises:
            OSError: it cannot be read, or has gone.
        """
        free, who = probe(path)
        if not free:
            return False
        if who is not None and self.locks_work and who.same_kernel(self.who):
            return True
        # Without a record it was killed as soon as it began, or begins just now.
        silence_s = (now_ns - path.stat().st_mtime_ns) / 1e9
        return silence_s > (_QUIET_FAR_S if who is None else _FORGET_S)

    def end(self) -> None:
        """Close; the file goes too, unless a child still keeps the run alive."""
        end_run(self.descriptor, self.path, self.who.pid)


def begin_run(ground: Ground) -> Run:
    """Start a run in the store.

    Raises:
        OSError: the file system refuses.
    """
    folder = ground.folder(ground.tree.folder / "runs")
    name = secrets.token_hex(16)
    path = folder / name
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o644)
    who = Who(this_machine().host, _boot(), os.getpid())
    locks_work = False
    try:
        with suppress(OSError):  # no locks on this file system
            locks_work = _lock_own(descriptor) and not _may_lock_again(path)
        path.chmod(0o644)
        os.write(descriptor, f"{json.dumps({each.name: getattr(who, each.name) for each in fields(who)})}\n".encode())
        os.fsync(descriptor)  # over NFS the others see it only then
        return Run(ground, name, who, descriptor, os.fstat(descriptor).st_uid, locks_work)
    except BaseException:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise


def end_run(descriptor: int, path: Path, pid: int) -> None:
    """Close a run's descriptor, and remove its file when no child has the lock. In a forked child: close only."""
    os.close(descriptor)
    if os.getpid() != pid:
        return
    with suppress(OSError):  # gone with its store
        free, _ = probe(path)
        if free:
            path.unlink()


def probe(path: Path) -> tuple[bool, Who | None]:
    """Whether the lock is free (or there is none), and who made the file.

    Raises:
        FileNotFoundError: there is no such run.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    try:
        text = os.read(descriptor, _RECORD_BYTES)
        try:
            free = try_lock(descriptor, shared=True)
        except OSError:
            free = True
    finally:
        os.close(descriptor)
    try:
        content = json.loads(text.partition(b"\n")[0])
        return free, Who(str(content["host"]), str(content["boot"]), int(content["pid"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return free, None


def held_lines(path: Path) -> set[str]:
    """What a run holds.

    Raises:
        FileNotFoundError: there is no such run.
    """
    return set(path.read_text(encoding="ascii", errors="replace").splitlines()[1:])


def brought_lines(path: Path) -> set[str]:
    """What small files a run says that it is bringing.

    Raises:
        FileNotFoundError: there is no such run.
    """
    said = path.read_text(encoding="ascii", errors="replace").rpartition(f"\n{_BRINGS_NO_MORE}\n")[2]
    return {line.removeprefix(_BRINGS) for line in said.splitlines() if line.startswith(_BRINGS)}


def is_run_name(name: str) -> bool:
    """32 hex digits."""
    return len(name) == 32 and not set(name) - set("0123456789abcdef")


def _lock_own(descriptor: int) -> bool:
    """Lock the file of a run that begins, once whoever probes it just now has done with it.

    Without its lock the run would pass for one that has ended.
    """
    until = time.monotonic() + _PROBED_S
    while not try_lock(descriptor):
        if time.monotonic() > until:
            return False
        time.sleep(0.001)
    return True


def _may_lock_again(path: Path) -> bool:
    """Whether a second lock on a locked file is granted: then locks do nothing here."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return try_lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


def _newest_ns(leaf: Path, path: Path) -> int:
    """When something changed last in the folder, as far as it may be seen, or the run said that it is alive."""
    newest = 0
    for each in (path, leaf, *_inside(leaf)):
        with suppress(OSError):
            newest = max(newest, each.lstat().st_mtime_ns)
    return newest


def _inside(leaf: Path) -> list[Path]:
    try:
        return list(leaf.iterdir())
    except OSError:
        return []  # another user's, or gone meanwhile


def _is_alive(pid: int) -> bool:
    if not CHILDREN_INHERIT:
        return True  # Windows has no signal that only asks
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
