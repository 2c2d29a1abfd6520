"""The store in one process: what is found, adopted, refused and left behind."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from conda_assets.digest import ALGORITHMS, Digest, digest_file
from conda_assets.errors import DiskFull, StoreFailed
from conda_assets.model import Stored
from conda_assets.store import LAYOUT_VERSION, Claim, Store, Tree, open_stores
from mounts import MIB, tmpfs

BODY = b"the bytes of an asset" * 100
SHA256 = Digest("sha256", hashlib.sha256(BODY).hexdigest())
MD5 = Digest("md5", hashlib.md5(BODY).hexdigest())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "above" / "store"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with open_stores([folder]) as opened:
        yield opened


def claimed(store: Store, key: str = "key") -> Claim:
    claim = store.claim(key)
    assert claim is not None
    return claim


def bring(
    store: Store, body: bytes = BODY, *, key: str = "key", algorithms: str = "sha256", urls: tuple[str, ...] = ()
) -> Stored:
    claim = claimed(store, key)
    claim.data.write_bytes(body)
    return claim.adopt(digests=digest_file(claim.data, frozenset(algorithms.split())), size_bytes=len(body), urls=urls)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# Reading


def test_asking_a_store_that_does_not_exist_makes_nothing(tmp_path: Path, store: Store, folder: Path) -> None:
    assert store.find(SHA256) is None
    assert store.find(MD5) is None
    assert store.find_url("https://example.org/w.bin") is None
    assert store.folder == folder
    assert store.free_bytes() > 0
    assert store.size_bytes() == 0
    assert store.holder("key") == "another process"
    store.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_a_file_is_found_by_every_digest_that_was_known_when_it_came(store: Store, algorithm: str) -> None:
    other = Digest(algorithm, "ab" * (ALGORITHMS[algorithm] // 2))
    digest = SHA256 if algorithm == "sha256" else other
    claim = claimed(store)
    claim.data.write_bytes(BODY)
    stored = claim.adopt(digests={"sha256": SHA256, algorithm: digest}, size_bytes=len(BODY))
    assert store.find(digest) == stored
    assert store.find(digest, len(BODY)) == stored
    assert store.find(digest, len(BODY) + 1) is None
    assert store.find(Digest(algorithm, "cd" * (ALGORITHMS[algorithm] // 2))) is None


def test_an_adopted_file_is_read_only_and_named_by_its_sha256(store: Store, folder: Path) -> None:
    stored = bring(store)
    assert stored.path == folder / "sha256" / SHA256.hex[:2] / SHA256.hex
    assert stored.path.read_bytes() == BODY
    assert (mode(stored.path), stored.sha256, stored.size_bytes) == (0o444, SHA256.hex, len(BODY))
    assert stored.modified_ns == stored.path.stat().st_mtime_ns


def test_a_url_is_found_again_and_written_nowhere(store: Store, folder: Path) -> None:
    url = "https://user:pa55word@example.org/w.bin?X-Signature=s3cr3t"
    stored = bring(store, urls=(url,))
    assert store.find_url(url) == stored
    assert store.find_url(url + "x") is None
    for path in folder.rglob("*"):
        assert "example" not in path.name
        if path.is_file():
            assert b"example" not in path.read_bytes()


def test_a_url_that_gave_other_bytes_later_leads_to_those(store: Store) -> None:
    url = "https://example.org/latest.csv"
    bring(store, b"old", urls=(url,))
    new = bring(store, b"new", urls=(url,))
    assert store.find_url(url) == new


FORGED = {
    "empty": "",
    "cut": "{",
    "list": "[]",
    "null": "null",
    "no fields": "{}",
    "number": '{"sha256": 1, "size_bytes": 1}',
    "traversal": '{"sha256": "../../../etc/passwd", "size_bytes": 1}',
    "size as text": f'{{"sha256": "{SHA256.hex}", "size_bytes": "2100"}}',
    "size as bool": f'{{"sha256": "{SHA256.hex}", "size_bytes": true}}',
    "other size": f'{{"sha256": "{SHA256.hex}", "size_bytes": 1}}',
    "long": "x" * 100_000,
    "deep": "[" * 4096,
    "no utf-8": "\udcff",
}


@pytest.mark.parametrize("text", FORGED.values(), ids=FORGED)
def test_a_damaged_or_forged_alias_leads_nowhere_and_is_written_anew(store: Store, folder: Path, text: str) -> None:
    stored = bring(store, algorithms="sha256 md5")
    alias = Tree(folder).alias(MD5)
    alias.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert store.find(MD5) is None
    bring(store, algorithms="sha256 md5")
    assert store.find(MD5) == stored


@pytest.mark.parametrize("what", ["empty", "symlink", "dangling", "folder", "shorter"])
def test_a_name_without_the_file_behind_it_is_not_believed_and_is_replaced(
    store: Store, folder: Path, tmp_path: Path, what: str
) -> None:
    path = Tree(folder).object(SHA256.hex)
    path.parent.mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_bytes(BODY)
    if what == "symlink":
        path.symlink_to(victim)
    elif what == "dangling":
        path.symlink_to(tmp_path / "nowhere")
    elif what == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"" if what == "empty" else BODY[:-1])
    assert store.find(SHA256, len(BODY)) is None
    if what != "shorter":
        assert store.find(SHA256) is None
    if what == "folder":
        with pytest.raises(StoreFailed, match="is a folder, expected a file"):
            bring(store)
        return
    assert bring(store).path.read_bytes() == BODY
    assert path.is_file()
    assert not path.is_symlink()
    assert victim.read_bytes() == BODY


def test_the_empty_file_can_be_stored(store: Store) -> None:
    stored = bring(store, b"")
    assert store.find(Digest("sha256", hashlib.sha256(b"").hexdigest())) == stored


def test_a_file_that_is_there_already_is_kept_and_the_second_one_dropped(store: Store, folder: Path) -> None:
    first = bring(store)
    number = first.path.stat().st_ino
    again = bring(store, key="other", algorithms="sha256 md5")
    assert again == first
    assert first.path.stat().st_ino == number
    assert store.find(MD5) == first
    assert not any("staging" in name for name in names(folder))


def test_all_files_can_be_listed_and_measured(store: Store, folder: Path) -> None:
    stored = [bring(store, body) for body in (b"a", b"bb", b"ccc")]
    (folder / "sha256" / "README").write_text("not ours")
    (folder / "sha256" / stored[0].sha256[:2] / "left.part").write_text("not ours")
    assert list(store.objects()) == sorted(stored, key=lambda each: each.sha256)
    assert store.size_bytes() == 6


# Versions


def test_a_store_with_a_newer_layout_is_neither_read_nor_written(store: Store, folder: Path) -> None:
    folder.mkdir(parents=True)
    Tree(folder).marker.write_text(json.dumps({"store": "conda-assets", "version": LAYOUT_VERSION + 1}))
    for act in (lambda: store.find(SHA256), lambda: store.find_url("https://x.y/z"), lambda: store.claim("key")):
        with pytest.raises(StoreFailed, match="layout 2, this conda-assets knows up to 1: update conda-assets"):
            act()
    assert names(folder) == ["conda-assets-store.json"]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"version": "x"}', "\0", "[" * 9999], ids=["empty", "list", "word", "binary", "deep"]
)
def test_a_marker_that_is_not_ours_is_an_error_that_says_what_to_do(store: Store, folder: Path, text: str) -> None:
    folder.mkdir(parents=True)
    Tree(folder).marker.write_text(text)
    with pytest.raises(StoreFailed, match=r"conda-assets-store.json is not a marker of conda-assets; delete it"):
        store.find(SHA256)


def test_a_new_store_says_what_it_is_and_that_backups_may_skip_it(store: Store, folder: Path) -> None:
    bring(store)
    assert json.loads((folder / "conda-assets-store.json").read_text()) == {"store": "conda-assets", "version": 1}
    assert (folder / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")


def test_a_folder_with_other_things_in_it_is_used_but_not_tagged_for_backups(store: Store, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "thesis.tex").write_text("three years")
    bring(store)
    assert not (folder / "CACHEDIR.TAG").exists()
    assert (folder / "thesis.tex").read_text() == "three years"


# Claims


def test_a_claimed_key_is_refused_to_everybody_else_until_it_is_given_back(store: Store, folder: Path) -> None:
    claim = claimed(store)
    with open_stores([folder]) as rival:
        for _ in range(2):
            assert store.claim("key") is None
            assert rival.claim("key") is None
        assert rival.holder("key") == store.holder("key") == f"{os.uname().nodename} pid {os.getpid()}"
        claimed(rival, "another-key").release()
        claim.release()
        claim.release()
        claimed(rival).release()
    claimed(store).release()


def test_bytes_arrive_in_a_folder_that_only_we_can_enter(store: Store) -> None:
    claim = claimed(store)
    assert claim.data.name == "data"
    assert not claim.data.exists()
    assert mode(claim.data.parent) == 0o700
    claim.release()


def test_what_arrived_waits_for_the_next_claimant(store: Store, folder: Path) -> None:
    with claimed(store) as claim:
        claim.data.write_bytes(b"half")
        claim.data.with_name("data.aria2").write_bytes(b"state")
    with open_stores([folder]) as other, claimed(other) as claim:
        assert claim.data.read_bytes() == b"half"
        assert claim.data.with_name("data.aria2").read_bytes() == b"state"


def test_a_discarded_start_is_gone_and_the_claim_stays(store: Store) -> None:
    claim = claimed(store)
    claim.data.write_bytes(b"wrong")
    claim.data.with_name("data.aria2").write_bytes(b"state")
    claim.discard()
    assert list(claim.data.parent.iterdir()) == []
    assert store.claim("key") is None
    claim.data.write_bytes(BODY)
    assert claim.adopt(digests=digest_file(claim.data), size_bytes=len(BODY)).sha256 == SHA256.hex


def test_nothing_is_left_beside_the_file_when_all_went_well(store: Store, folder: Path) -> None:
    claim = claimed(store)
    claim.data.with_name("data.aria2").write_bytes(b"state")
    claim.data.write_bytes(BODY)
    claim.adopt(digests=digest_file(claim.data), size_bytes=len(BODY))
    claimed(store, "empty-handed").release()
    store.close()
    assert [name for name in names(folder) if not name.startswith("locks/")] == [
        "CACHEDIR.TAG",
        "conda-assets-store.json",
        f"sha256/{SHA256.hex[:2]}/{SHA256.hex}",
        f"used/{SHA256.hex[:2]}/{SHA256.hex}",
    ]
    assert list((folder / "staging").iterdir()) == []
    assert list((folder / "runs").iterdir()) == []


def test_closing_the_store_gives_claims_back(store: Store, folder: Path) -> None:
    claimed(store).data.write_bytes(b"half")
    store.close()
    store.close()
    with open_stores([folder]) as other, claimed(other) as claim:
        assert claim.data.read_bytes() == b"half"


def test_a_store_that_is_forgotten_without_closing_leaves_its_claims_to_others(folder: Path) -> None:
    forgotten = open_stores([folder])
    claimed(forgotten).data.write_bytes(b"half")
    del forgotten
    gc.collect()
    with open_stores([folder]) as other, claimed(other) as claim:
        assert claim.data.read_bytes() == b"half"


def test_a_store_that_was_removed_meanwhile_is_made_again(store: Store, folder: Path) -> None:
    claim = claimed(store)
    shutil.rmtree(folder)
    claim.release()
    assert bring(store).path.read_bytes() == BODY


@pytest.mark.parametrize(
    "key",
    ["../../../evil", "/etc/evil", "", ".", "..", "a\0b", "a\nb", "x" * 5000, "KEY", "Ä", "\udcff", "sha256:" + "a" * 64, "CON"],
    ids=["up", "absolute", "empty", "dot", "dots", "nul", "newline", "long", "upper", "umlaut", "surrogate", "colon", "device"],
)
def test_any_text_can_be_a_key(store: Store, folder: Path, key: str) -> None:
    with claimed(store, key) as claim:
        assert claim.data.parent.parent.parent == folder / "staging"
        assert store.claim(key) is None
        claimed(store, "key").release()
        claimed(store, "con").release()


def test_keys_that_differ_in_case_alone_do_not_meet(store: Store) -> None:
    with claimed(store, "key"), claimed(store, "KEY"):
        pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("nothing", "No such file"),
        ("symlink", "is a link that somebody planted"),
        ("second name", "has 2 names, expected one"),
        ("longer", "bytes, expected 2100"),
        ("folder", "Is a directory"),
        ("pipe", "is no file"),
    ],
)
def test_only_a_plain_file_of_the_hashed_size_is_adopted(
    store: Store, folder: Path, tmp_path: Path, what: str, said: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(BODY)
    claim = claimed(store)
    if what == "symlink":
        claim.data.symlink_to(victim)
    elif what == "second name":
        os.link(victim, claim.data)
    elif what == "longer":
        claim.data.write_bytes(BODY + b"!")
    elif what == "folder":
        claim.data.mkdir()
    elif what == "pipe":
        os.mkfifo(claim.data)
    with pytest.raises(StoreFailed, match=said):
        claim.adopt(digests={"sha256": SHA256}, size_bytes=len(BODY))
    claim.release()
    assert store.find(SHA256) is None
    assert (victim.read_bytes(), mode(victim) & 0o200) == (BODY, 0o200)
    # And the next one can work.
    assert bring(store).path.read_bytes() == BODY
    assert victim.read_bytes() == BODY


def test_a_kill_between_sealing_and_moving_leaves_a_file_that_can_be_written_on(store: Store) -> None:
    with claimed(store) as claim:
        claim.data.write_bytes(b"half")
        claim.data.chmod(0o444)
    with claimed(store) as claim:
        assert mode(claim.data) & 0o600 == 0o600
        assert claim.data.read_bytes() == b"half"


@pytest.mark.parametrize(
    "part", ["sha256", "staging", "runs", "locks", "aliases", "urls", "staging/key", f"sha256/{SHA256.hex[:2]}"]
)
def test_a_link_planted_where_a_folder_of_the_store_should_be_is_not_followed(
    store: Store, folder: Path, tmp_path: Path, part: str
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (folder / part).parent.mkdir(parents=True)
    (folder / part).symlink_to(victim)
    with pytest.raises(StoreFailed, match=r"is a link, expected a folder that conda-assets made; remove it"):
        bring(store, algorithms="sha256 md5", urls=("https://x.y/z",))
    assert list(victim.iterdir()) == []


def test_a_file_where_a_folder_of_the_store_should_be_is_an_error(store: Store, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "staging").write_text("x")
    with pytest.raises(StoreFailed, match="staging is a file, expected a folder"):
        store.claim("key")


@pytest.mark.parametrize("name", ["data", "data.aria2", "data.aria2__temp"])
@pytest.mark.parametrize("how", ["symlink", "hardlink"])
def test_a_link_planted_where_a_transport_would_write_is_taken_away(store: Store, tmp_path: Path, name: str, how: str) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    with claimed(store) as claim:
        if how == "symlink":
            claim.data.with_name(name).symlink_to(victim)
        else:
            os.link(victim, claim.data.with_name(name))
    with claimed(store) as claim:
        assert list(claim.data.parent.iterdir()) == []
    assert victim.read_bytes() == b"precious"


def test_the_store_folder_itself_may_be_a_link_to_a_larger_disk(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "store").symlink_to(tmp_path / "disk")
    with open_stores([tmp_path / "store"]) as store:
        assert bring(store).path == tmp_path / "store" / "sha256" / SHA256.hex[:2] / SHA256.hex
    assert (tmp_path / "disk" / "sha256").is_dir()


# Several folders


def test_all_folders_are_read_in_order_and_the_first_writable_one_is_written(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("x")
    folders = [tmp_path / "a file" / "store", tmp_path / "second", tmp_path / "third"]
    with open_stores([tmp_path / "third"]) as other:
        third = bring(other, b"third")
        both = bring(other, b"both")
    with open_stores(folders) as store:
        assert store.folder == tmp_path / "second"
        assert bring(store).path.is_relative_to(tmp_path / "second")
        assert store.find(Digest("sha256", third.sha256)) == third
        second = bring(store, b"both")
        assert second != both
        assert store.find(Digest("sha256", both.sha256)) == second
        assert store.folders == tuple(folders)


def test_where_nothing_can_be_written_reading_works_and_claiming_says_why(tmp_path: Path) -> None:
    readable, mount = tmp_path / "readable", tmp_path / "mount"
    (tmp_path / "a file").write_text("x")
    with tmpfs(mount):
        with open_stores([mount / "store"]) as store:
            stored = bring(store, algorithms="sha256 md5")
        subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
        before = names(mount)
        with open_stores([mount / "store", tmp_path / "a file" / "store"]) as store:
            assert store.find(MD5) == stored
            with pytest.raises(StoreFailed, match="no store can be written") as caught:
                store.claim("key")
            assert "Read-only file system" in caught.value.message
            assert "a file is not a folder" in caught.value.message
            assert "CONDA_ASSETS_STORE" in caught.value.hints[0].text
            with pytest.raises(StoreFailed, match="no store can be written"):
                store.inherit_fds()
            with pytest.raises(StoreFailed, match="Read-only file system"):
                store.quarantine(stored)
        assert names(mount) == before
    assert not readable.exists()


def test_looking_for_a_writable_folder_leaves_nothing_behind(tmp_path: Path) -> None:
    store = open_stores([tmp_path / "a" / "b" / "store"])
    assert store.folder == tmp_path / "a" / "b" / "store"
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_a_link_to_nowhere_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "store").symlink_to(tmp_path / "unmounted")
    with open_stores([tmp_path / "store"]) as store, pytest.raises(StoreFailed, match="is a link that leads nowhere"):
        store.claim("key")
    assert not (tmp_path / "unmounted").exists()


def test_no_folder_at_all_is_an_error() -> None:
    with pytest.raises(StoreFailed, match="no store folder is set"):
        open_stores([])


# Quarantine


def test_a_damaged_file_goes_to_quarantine_and_is_fetched_again(store: Store, folder: Path) -> None:
    stored = bring(store, algorithms="sha256 md5")
    stored.path.chmod(0o644)
    with stored.path.open("r+b") as file:
        file.write(b"X")
    aside = store.quarantine(stored)
    assert aside is not None
    assert aside.parent == folder / "quarantine"
    assert aside.read_bytes()[:1] == b"X"
    assert store.find(SHA256) is None
    assert store.find(MD5) is None
    assert store.quarantine(stored) is None
    assert bring(store).path.read_bytes() == BODY
    assert store.find(MD5) is not None
    again = store.quarantine(stored)
    assert again is not None
    assert again != aside


def test_a_file_of_no_store_cannot_be_put_in_quarantine(store: Store, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(BODY)
    with pytest.raises(StoreFailed, match="is not in any of the stores"):
        store.quarantine(Stored(mine, SHA256.hex, len(BODY), 0))
    assert mine.read_bytes() == BODY


# Modes


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002, 0o000], ids=["022", "077", "002", "000"])
@pytest.mark.parametrize(
    "given", [None, 0o700, 0o755, 0o2775, 0o3775, 0o1777], ids=["new", "0700", "0755", "2775", "3775", "1777"]
)
def test_everything_in_a_store_has_the_mode_of_its_folder_whatever_the_umask(folder: Path, umask: int, given: int | None) -> None:
    before = os.umask(umask)
    try:
        if given is not None:
            folder.mkdir(parents=True)
            folder.chmod(given)
        with open_stores([folder]) as store:
            stored = bring(store, algorithms="sha256 md5", urls=("https://x.y/z",))
            claim = claimed(store)
            expected = 0o700 if given is None else given
            assert mode(folder) == expected
            made = [path for path in folder.rglob("*") if path.is_dir() and path != claim.data.parent]
            assert len(made) == 13
            assert {oct(mode(path)) for path in made if path.name != "locks"} == {oct(expected)}
            assert oct(mode(folder / "locks")) == oct(expected & ~stat.S_ISVTX)
            assert mode(claim.data.parent) & 0o777 == 0o700
            assert mode(stored.path) == 0o444
            for path in folder.rglob("*"):
                if path.is_file() and path != stored.path:
                    for_all = path.parent.name == "locks" or "used" in path.parts
                    assert mode(path) == (expected & 0o666 if for_all else 0o644), path
            claim.release()
    finally:
        os.umask(before)


# A full disk


def test_a_disk_that_is_full_when_a_claim_is_made_or_ends_is_said_to_be_full(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", 1 * MIB) as small, open_stores([small / "store"]) as store:
        claim = claimed(store)
        claim.data.write_bytes(BODY)
        digests = digest_file(claim.data, frozenset({"sha256", "md5"}))
        filler = small / "filler"
        fill(filler)
        with pytest.raises(DiskFull) as caught:
            claim.adopt(digests=digests, size_bytes=len(BODY))
        assert caught.value.folder == str(store.folder)
        assert caught.value.free < 8192
        assert store.find(SHA256) is None
        filler.unlink()
        assert claim.adopt(digests=digests, size_bytes=len(BODY)).size_bytes == len(BODY)
        assert store.find(MD5) is not None
        assert list(store.folder.rglob(".*")) == []


def test_a_disk_without_room_for_another_folder_is_said_to_be_full(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "few", options=",nr_inodes=30") as few, open_stores([few / "store"]) as store:
        with pytest.raises(DiskFull):
            claim_many(store)
        store.close()
        bring(store)


def claim_many(store: Store) -> None:
    for number in range(100):
        assert store.claim(f"key-{number}") is not None


def fill(path: Path) -> None:
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
