"""Processes that use a store at the same time, for tests: `python storeworker.py VERB STORE …`.

Speaks in lines on stdout; what it says first is said when it is ready to be killed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

from conda_assets.digest import Digest, digest_file
from conda_assets.store import Claim, Store, open_stores

BODY = b"0123456789abcdef" * 4096
SHA256 = Digest("sha256", hashlib.sha256(BODY).hexdigest())
DEADLINE_S = 60.0


def say(text: str) -> None:
    print(text, flush=True)


def until_claimed(store: Store, key: str) -> Claim:
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        claim = store.claim(key)
        if claim is not None:
            return claim
        time.sleep(0.005)
    raise SystemExit(f"no claim of {key} after {DEADLINE_S} s; {store.holder(key)} has it")


def take_turns(store: Store, room: Path) -> None:
    """Have the claim once, and be alone in the room meanwhile."""
    claim = until_claimed(store, "turn")
    alone = room / "alone"
    try:
        os.close(os.open(alone, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        say("not alone")
        raise SystemExit(3) from None
    time.sleep(0.003)
    alone.unlink()
    claim.release()
    say("done")


def sync(store: Store, room: Path) -> None:
    """Bring the file unless another one does; each download leaves a trace in the room."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if stored := store.find(SHA256):
            break
        claim = store.claim("asset")
        if claim is None:
            time.sleep(0.01)
            continue
        with claim:
            if store.find(SHA256) is None:
                (room / f"download-{os.getpid()}-{time.monotonic_ns()}").touch()
                with claim.data.open("wb") as file:
                    for start in range(0, len(BODY), 4096):
                        file.write(BODY[start : start + 4096])
                        file.flush()
                        time.sleep(0.001)
                claim.adopt(digests={"sha256": SHA256}, size_bytes=len(BODY))
    else:
        raise SystemExit("no file after the deadline")
    say(digest_file(stored.path)["sha256"].hex)


def hold(store: Store, room: Path) -> None:
    """Keep the claim until killed; `room` is its key."""
    claim = until_claimed(store, room.name)
    claim.data.write_bytes(b"half")
    say("claimed")
    sys.stdin.read()


def hold_with_child(store: Store, room: Path) -> None:
    """As `hold`, beside a child that lives until the test closes stdin, and writes then."""
    claim = until_claimed(store, room.name)
    claim.data.write_bytes(b"half")
    child = subprocess.Popen(
        ["sh", "-c", 'read nothing; printf %s more >> "$1"', "sh", str(claim.data)], pass_fds=store.inherit_fds()
    )
    say(f"claimed {child.pid}")
    child.wait()


def leave_child(store: Store, room: Path) -> None:
    """End without a word to the store, while a child goes on; nobody waits for it."""
    claim = until_claimed(store, room.name)
    claim.data.write_bytes(b"half")
    subprocess.Popen(["sh", "-c", "read nothing"], stdout=subprocess.DEVNULL, pass_fds=store.inherit_fds())
    say("claimed")


def fork(store: Store, room: Path) -> None:
    """A forked child has a run of its own, and its end leaves the parent's claims alone."""
    claim = until_claimed(store, "parent")
    pid = os.fork()
    if not pid:
        refused = store.claim("parent") is None
        with until_claimed(store, "child"):
            pass
        store.close()
        os._exit(0 if refused else 1)
    say(f"child {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}")
    sys.stdin.read()
    claim.release()


def churn(store: Store, room: Path) -> None:
    """Bring files one after the other until killed: small ones, with all names."""
    say("started")
    for number in range(int(room.name), int(room.name) + 1_000_000):
        body = b"%d" % number
        claim = until_claimed(store, f"churn-{number % 7}")
        claim.data.with_name("data.aria2").write_bytes(b"state")
        claim.data.write_bytes(body)
        digests = digest_file(claim.data, frozenset({"sha256", "md5"}))
        claim.adopt(digests=digests, size_bytes=len(body), urls=(f"https://x.y/{number}",))


def main() -> None:
    verb, folder, room, *more = sys.argv[1:]
    if "noflock" in more:
        # What Lustre without -o flock and some NFS mounts do: say yes to everybody.
        fcntl.flock = lambda *_: None  # type: ignore[assignment]
    store = open_stores([Path(folder)])
    verbs = [take_turns, sync, hold, hold_with_child, leave_child, fork, churn]
    next(each for each in verbs if each.__name__ == verb)(store, Path(room))
    if verb != "leave_child":
        store.close()


if __name__ == "__main__":
    main()
