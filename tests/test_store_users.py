"""A store that several users share: group stores, read-only ones, and other people's private ones."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from users import ANNA, BEN, GROUP, open_folder, run_as, start_as

pytestmark = pytest.mark.slow

__all__ = ["open_folder"]  # a fixture

HEAD = """
import hashlib, os, sys
from pathlib import Path
from conda_assets.digest import Digest, digest_file
from conda_assets.errors import AssetsError
from conda_assets.store import open_stores


BODY = b"shared bytes"
SHA256 = Digest("sha256", hashlib.sha256(BODY).hexdigest())
store = open_stores([Path(each) for each in sys.argv[1:]])

def bring(body=BODY, key="key", urls=()):
    claim = store.claim(key)
    claim.data.write_bytes(body)
    return claim.adopt(digests=digest_file(claim.data, frozenset({"sha256", "md5"})), size_bytes=len(body), urls=urls)
"""
HOLD = (
    HEAD
    + """
claim = store.claim("key")
claim.data.write_bytes(b"half")
print("claimed", flush=True)
sys.stdin.read()
"""
)
LOOK = (
    HEAD
    + """
claim = store.claim("key")
print(None if claim is None else claim.data.read_bytes() if claim.data.exists() else "empty", store.holder("key"))
store.close()
"""
)


@pytest.fixture(params=[0o2775, 0o3775, 0o2770], ids=["2775", "3775", "2770"])
def shared(open_folder: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder of a group, with and without the sticky bit."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    folder = open_folder / "store"
    folder.mkdir()
    os.chown(folder, 0, GROUP)
    folder.chmod(request.param)
    return folder


FIRST = """
import sys, time
from pathlib import Path
from conda_assets.store.ground import break_ground
from conda_assets.store.tree import Tree
for number, folder in enumerate(sys.argv[2:]):
    while time.time() < float(sys.argv[1]) + number / 50:
        pass
    break_ground(Tree(Path(folder)))
print("done")
"""


def test_members_who_come_to_an_empty_folder_at_the_same_moment_all_get_in(shared: Path) -> None:
    folders = [shared / str(number) for number in range(60)]
    for folder in folders:
        folder.mkdir()
        os.chown(folder, 0, GROUP)
        folder.chmod(stat.S_IMODE(shared.stat().st_mode))
    start = time.time() + 1.5
    both = [start_as(user, FIRST, start, *folders, before="import conda_assets.store.ground") for user in (ANNA, BEN)]
    for process in both:
        with process:
            assert process.communicate(timeout=60) == ("done\n", "")


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002], ids=["022", "077", "002"])
def test_what_one_member_brings_all_members_have(shared: Path, umask: int) -> None:
    path = run_as(ANNA, HEAD + 'print(bring(urls=("https://x.y/z",)).path)', shared, umask=umask)
    code = HEAD + 'print(store.find(SHA256).path, store.find_url("https://x.y/z").path.read_bytes())'
    assert run_as(BEN, code, shared, umask=umask) == f"{path} b'shared bytes'"
    # and Ben can go on where Anna began: same folders, same locks
    assert run_as(BEN, HEAD + 'print(bring(b"more").size_bytes)', shared, umask=umask) == "4"
    assert run_as(ANNA, HEAD + 'print(bring(b"still more").size_bytes)', shared, umask=umask) == "10"
    assert {path.stat().st_gid for path in shared.rglob("*")} == {GROUP}


def test_a_stored_file_cannot_be_written_by_another_member(shared: Path) -> None:
    path = run_as(ANNA, HEAD + "print(bring().path)", shared)
    code = "import sys\ntry:\n    open(sys.argv[1], 'r+b')\nexcept PermissionError:\n    print('refused')"
    assert run_as(BEN, code, path) == "refused"


def test_two_members_do_not_bring_the_same_file_at_once(shared: Path) -> None:
    with start_as(ANNA, HOLD, shared) as anna:
        assert anna.stdout is not None
        assert anna.stdout.readline() == "claimed\n"
        assert run_as(BEN, LOOK, shared) == f"None {os.uname().nodename} pid {anna.pid}"
        anna.communicate()
    assert anna.returncode == 0


def test_what_a_killed_member_left_is_hers_alone_and_hinders_nobody(shared: Path) -> None:
    with start_as(ANNA, HOLD, shared, umask=0o077) as anna:
        assert anna.stdout is not None
        anna.stdout.readline()
        anna.kill()
    assert run_as(BEN, LOOK, shared).startswith("empty ")
    assert run_as(ANNA, LOOK, shared).startswith("b'half' ")


def test_arriving_bytes_are_closed_to_other_members(shared: Path) -> None:
    with start_as(ANNA, HOLD, shared, umask=0o000) as anna:
        assert anna.stdout is not None
        anna.stdout.readline()
        (leaf,) = (shared / "staging" / "key").iterdir()
        assert (leaf.stat().st_uid, stat.S_IMODE(leaf.stat().st_mode) & 0o777) == (ANNA, 0o700)
        code = "import os, sys\ntry:\n    os.listdir(sys.argv[1])\nexcept PermissionError:\n    print('refused')"
        assert run_as(BEN, code, leaf) == "refused"
        anna.communicate()


def test_a_damaged_file_of_another_member_goes_only_where_the_folder_allows(shared: Path) -> None:
    run_as(ANNA, HEAD + "bring()", shared)
    code = (
        HEAD
        + """
try:
    print(store.quarantine(store.find(SHA256)).name[:64], store.find(SHA256))
except AssetsError as error:
    print(type(error).__name__, error)
"""
    )
    said = run_as(BEN, code, shared)
    if shared.stat().st_mode & stat.S_ISVTX:
        assert said.startswith("StoreFailed cannot move the damaged ")
        assert "Operation not permitted" in said
    else:
        assert said.endswith(" None")


def test_a_url_that_another_member_wrote_down_stays_his_where_the_sticky_bit_says_so(shared: Path) -> None:
    run_as(ANNA, HEAD + 'bring(b"old", urls=("https://x.y/z",))', shared)
    code = HEAD + 'print(bring(b"new", urls=("https://x.y/z",)).size_bytes, store.find_url("https://x.y/z").path.read_bytes())'
    sticky = shared.stat().st_mode & stat.S_ISVTX
    assert run_as(BEN, code, shared) == ("3 b'old'" if sticky else "3 b'new'")


def test_a_store_that_others_may_only_read_is_read_and_the_next_one_written(open_folder: Path) -> None:
    service, own = open_folder / "service", open_folder / "own"
    service.mkdir(mode=0o755)
    own.mkdir()
    for folder, user in ((service, ANNA), (own, BEN)):
        if os.geteuid() == 0:
            os.chown(folder, user, user)
    path = run_as(ANNA, HEAD + "print(bring().path)", service, umask=0o077)
    before = {path: path.stat().st_mtime_ns for path in service.rglob("*")}
    code = (
        HEAD
        + """
print(store.find(SHA256).path, store.find(Digest("md5", hashlib.md5(BODY).hexdigest())) is not None)
print(store.folder, bring(b"mine").path.parts[:-3] == store.folder.parts)
"""
    )
    assert run_as(BEN, code, service, own / "store") == f"{path} True\n{own / 'store'} True"
    assert {path: path.stat().st_mtime_ns for path in service.rglob("*")} == before
    code = (
        HEAD
        + """
try:
    store.claim("key")
except AssetsError as error:
    print(error)
"""
    )
    assert run_as(BEN, code, service) == f"no store can be written ({service}: Permission denied)"


def test_a_private_store_of_another_user_is_passed_over(open_folder: Path) -> None:
    private, own = open_folder / "private", open_folder / "own"
    for folder, user in ((private, ANNA), (own, BEN)):
        folder.mkdir()
        if os.geteuid() == 0:
            os.chown(folder, user, user)
    run_as(ANNA, HEAD + "bring()", private / "store")
    code = HEAD + "print(store.find(SHA256), bring().path.is_relative_to(store.folders[1]))"
    assert run_as(BEN, code, private / "store", own / "store") == "None True"
