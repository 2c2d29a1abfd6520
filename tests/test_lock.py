"""Locks are made from a real server, and hold on a second machine."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab import Lab, Said
from server import Server, Virtual

BODY = b"the very bytes\n" * 1000
SHA = hashlib.sha256(BODY).hexdigest()
OTHER = b"the evil bytes\n" * 1000
BIG = Virtual(11_000_000, seed=5)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        server.add("/w.bin", BODY)
        server.add("/big.bin", BIG)
        yield server


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "first")


def lock_of(lab: Lab) -> dict[str, dict[str, object]]:
    content = yaml.safe_load((lab.folder / "environment.assets.lock").read_text())
    assert content["version"] == 1
    return {entry["name"]: entry for entry in content["assets"]}


def locked(lab: Lab, *words: str, status: int = 0) -> Said:
    said = lab.call("lock", "--json", *words)
    assert said.status == status, said.err
    return said


def synced(lab: Lab, *words: str) -> Said:
    return lab.call("sync", "-p", str(lab.prefix()), "--json", *words)


def second_machine(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The file and its lock, another HOME, another store."""
    there = Lab(tmp_path / "second")
    there.folder.mkdir()
    for name in ("environment.yml", "environment.assets.lock"):
        shutil.copy(lab.folder / name, there.folder / name)
    monkeypatch.setenv("HOME", str(tmp_path / "home2"))
    monkeypatch.setenv("CONDA_ASSETS_STORE", str(tmp_path / "store2"))
    return there


def test_a_lock_made_here_brings_the_same_bytes_there(
    server: Server, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.write([server.url("/w.bin"), server.url("/big.bin")])
    said = locked(lab)
    rows = said.rows()
    assert {name: row["state"] for name, row in rows.items()} == {"w.bin": "locked", "big.bin": "locked"}
    entry = lock_of(lab)["big.bin"]
    assert (entry["sha256"], entry["size"], entry["vouched_by"]) == (BIG.sha256, BIG.size, "first download")
    assert "etag" in entry
    there = second_machine(lab, tmp_path, monkeypatch)
    said = synced(there, "--locked", "--require-hashes")
    assert said.status == 0, said.err
    assert {name: (row["state"], row["pinned"]) for name, row in said.rows().items()} == {
        "w.bin": ("fetched", True),
        "big.bin": ("fetched", True),
    }
    assert there.placed("big.bin").read_bytes() == BIG.read(0, BIG.size)


def test_a_lock_made_twice_is_the_same_file(server: Server, lab: Lab) -> None:
    lab.write([server.url("/w.bin"), {"name": "a", "url": server.url("/big.bin"), "sha256": BIG.sha256}])
    locked(lab)
    path = lab.folder / "environment.assets.lock"
    first = path.read_bytes()
    server.forget()
    again = locked(lab)
    assert again.json["written"] == []
    assert (path.read_bytes(), server.requests) == (first, [])
    path.unlink()
    locked(lab)
    assert path.read_bytes() == first
    locked(lab, "--update-all")
    assert path.read_bytes() == first
    assert [entry["name"] for entry in yaml.safe_load(first)["assets"]] == ["a", "w.bin"]


def test_what_the_file_vouches_for_is_not_downloaded(server: Server, lab: Lab) -> None:
    lab.write([{"name": "big", "url": server.url("/big.bin"), "sha256": BIG.sha256}])
    locked(lab)
    assert server.sent("/big.bin") < 100_000
    entry = lock_of(lab)["big"]
    assert (entry["size"], entry["vouched_by"]) == (BIG.size, "environment.yml")


def test_pieces_are_hashed_as_the_bytes_come(server: Server, lab: Lab) -> None:
    import base64

    lab.write([server.url("/big.bin"), server.url("/w.bin")])
    locked(lab)
    entry = lock_of(lab)["big.bin"]
    size = entry["piece_size"]
    assert size == 4 << 20
    expected = b"".join(hashlib.sha256(BIG.read(at, min(at + size, BIG.size))).digest() for at in range(0, BIG.size, size))
    assert base64.b64decode(str(entry["pieces"])) == expected
    assert "pieces" not in lock_of(lab)["w.bin"]


def test_bytes_that_change_under_the_same_url_stop_and_the_old_file_stays(server: Server, lab: Lab, tmp_path: Path) -> None:
    lab.write([server.url("/w.bin")])
    locked(lab)
    assert synced(lab).status == 0
    placed = lab.placed("w.bin")
    before = placed.stat()
    server.add("/w.bin", OTHER)
    assert synced(lab).status == 0, "what is there is right, and nobody is asked"
    shutil.rmtree(os.environ["CONDA_ASSETS_STORE"])
    (lab.prefix() / "etc" / "conda-assets" / "receipt.json").unlink()
    said = lab.call("sync", "-p", str(lab.prefix("other")), "--json")
    assert said.status == 4
    error = said.rows()["w.bin"]["error"]
    assert isinstance(error, dict)
    assert error["code"] == "digest_mismatch"
    assert "conda-assets lock -f environment.yml --update w.bin" in str(error["hints"])
    assert not lab.placed("w.bin", "other").exists()
    assert (placed.read_bytes(), placed.stat().st_mtime_ns) == (BODY, before.st_mtime_ns)
    locked(lab, "--update", "w.bin")
    assert lock_of(lab)["w.bin"]["sha256"] == hashlib.sha256(OTHER).hexdigest()
    assert synced(lab).status == 0
    assert placed.read_bytes() == OTHER


def test_another_size_is_refused_before_the_transfer(server: Server, lab: Lab) -> None:
    lab.write([server.url("/big.bin")])
    locked(lab)
    shutil.rmtree(os.environ["CONDA_ASSETS_STORE"])
    server.forget()
    server.add("/big.bin", Virtual(BIG.size + 1, seed=5))
    said = synced(lab)
    error = said.rows()["big.bin"]["error"]
    assert (said.status, error["code"]) == (1, "size_mismatch")  # type: ignore[index]
    assert "--update big.bin" in str(error)
    assert server.sent("/big.bin") < 100_000


def test_check_asks_nobody_and_writes_nothing(server: Server, lab: Lab) -> None:
    lab.write([server.url("/w.bin")])
    path = lab.folder / "environment.assets.lock"
    said = lab.call("lock", "--check")
    assert (said.status, path.exists()) == (3, False)
    locked(lab)
    server.forget()
    assert lab.call("lock", "--check").status == 0
    lab.write([server.url("/w.bin"), server.url("/big.bin")])
    before = path.read_bytes()
    said = lab.call("lock", "--check", "--json")
    assert said.status == 3
    assert said.json["error"]["code"] == "lock_stale"  # type: ignore[index]
    assert "big.bin: not in the lock" in said.err
    assert "conda-assets lock -f environment.yml" in said.err
    assert (path.read_bytes(), server.requests) == (before, [])


def test_a_changed_url_is_unlocked_for_sync_and_out_of_date_for_locked(server: Server, lab: Lab) -> None:
    lab.write([{"name": "w", "url": server.url("/w.bin")}])
    locked(lab)
    lab.write([{"name": "w", "url": server.url("/big.bin")}])
    said = synced(lab, "--locked")
    assert said.status == 3
    assert "the file has another `url`" in said.err
    said = synced(lab)
    assert (said.status, said.rows()["w"]["pinned"]) == (0, False)
    assert "is not used for it" in said.err
    said = synced(lab, "--frozen")
    assert (said.status, said.rows()["w"]["sha256"]) == (0, SHA), "the lock is the truth, and not the file"


def test_frozen_wants_an_entry_for_each_asset(server: Server, lab: Lab) -> None:
    lab.write([server.url("/w.bin")])
    assert synced(lab, "--frozen").status == 3
    locked(lab)
    lab.write([server.url("/w.bin"), server.url("/big.bin")])
    said = synced(lab, "--frozen")
    assert said.status == 3
    assert "big.bin: not in the lock" in said.err


def test_offline_with_a_lock_and_a_filled_store_works(server: Server, lab: Lab) -> None:
    lab.write([server.url("/w.bin")])
    locked(lab)
    server.close()
    said = synced(lab, "--offline", "--locked")
    assert (said.status, said.rows()["w.bin"]["state"]) == (0, "linked")


def test_no_secret_reaches_the_lock(server: Server, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "canary-token")
    monkeypatch.setenv("FOLDER", "canary-folder")
    server.add("/canary-folder/w.bin", BODY)
    host = server.url("").removeprefix("http://").rstrip("/")
    server.redirect("/signed.bin", server.url("/w.bin") + "?X-Amz-Signature=canary-signature")
    lab.write(
        [
            {"name": "query", "url": server.url("/w.bin") + "?token=${TOKEN}"},
            {"name": "path", "url": server.url("/${FOLDER}/w.bin")},
            {"name": "user", "url": f"http://me:${{TOKEN}}@{host}/w.bin"},
            {"name": "literal", "url": f"http://me:canary-pw@{host}/w.bin?sig=canary-sig"},
            {"name": "signed", "url": server.url("/signed.bin"), "mirrors": [f"http://canary:pw@{host}/w.bin"]},
        ]
    )
    said = locked(lab)
    text = (lab.folder / "environment.assets.lock").read_text()
    assert "canary" not in text + said.out + said.err
    entries = lock_of(lab)
    assert entries["query"]["url"] == server.url("/w.bin") + "?token=${TOKEN}"
    assert entries["signed"]["final_url"] == server.url("/w.bin")
    assert lab.call("lock", "--check").status == 0
    assert synced(lab, "--locked").status == 0


def test_a_publisher_that_is_gone_leaves_the_other_entries(server: Server, lab: Lab) -> None:
    lab.write([server.url("/w.bin"), server.url("/gone.bin")])
    said = locked(lab, status=1)
    assert {name: row["state"] for name, row in said.rows().items()} == {"w.bin": "locked", "gone.bin": "failed"}
    assert list(lock_of(lab)) == ["w.bin"]
    server.add("/gone.bin", BODY)
    server.forget()
    locked(lab)
    assert list(lock_of(lab)) == ["gone.bin", "w.bin"]
    assert server.seen("/w.bin") == []


def test_what_the_file_no_longer_names_leaves_the_lock(server: Server, lab: Lab) -> None:
    lab.write([server.url("/w.bin"), server.url("/big.bin")])
    locked(lab)
    lab.write([server.url("/w.bin")])
    assert locked(lab).rows()["big.bin"]["state"] == "removed"
    assert list(lock_of(lab)) == ["w.bin"]


def test_a_digest_of_another_kind_is_kept_beside_the_sha256(server: Server, lab: Lab) -> None:
    md5 = "md5:" + hashlib.md5(BODY).hexdigest()
    lab.write([{"name": "w", "url": server.url("/w.bin"), "hash": md5}])
    locked(lab)
    assert (lock_of(lab)["w"]["hash"], "sha256" in lock_of(lab)["w"]) == (md5, False)
    assert synced(lab).status == 0
    locked(lab, "--update", "w")
    assert (lock_of(lab)["w"]["hash"], lock_of(lab)["w"]["sha256"]) == (md5, SHA)


def test_bytes_in_the_store_are_not_believed_when_the_server_has_newer_ones(server: Server, lab: Lab) -> None:
    lab.write([server.url("/w.bin")])
    assert synced(lab).status == 0
    server.add("/w.bin", OTHER, modified="Wed, 01 Jan 2098 00:00:00 GMT")
    locked(lab)
    assert lock_of(lab)["w.bin"]["sha256"] == hashlib.sha256(OTHER).hexdigest()


def test_bytes_in_the_store_that_are_newer_than_the_servers_file_are_not_fetched_again(server: Server, lab: Lab) -> None:
    lab.write([server.url("/big.bin")])
    assert synced(lab).status == 0
    server.forget()
    locked(lab)
    assert lock_of(lab)["big.bin"]["sha256"] == BIG.sha256
    assert "pieces" in lock_of(lab)["big.bin"]
    assert server.sent("/big.bin") < 100_000
    locked(lab, "--update-all")
    assert server.sent("/big.bin") < 100_000, "the ETag says that they are the same"
    locked(lab, "--update", "big.bin")
    assert server.sent("/big.bin") >= BIG.size, "asked for by name, they come again"


def test_names_to_update_are_checked(server: Server, lab: Lab) -> None:
    lab.write([server.url("/w.bin")])
    said = lab.call("lock", "--update", "wieghts")
    assert (said.status, "no asset 'wieghts'" in said.err) == (2, True)


def test_a_dry_run_writes_no_lock(server: Server, lab: Lab) -> None:
    lab.write([{"name": "w", "url": server.url("/w.bin"), "sha256": SHA}])
    assert locked(lab, "--dry-run").rows()["w"]["state"] == "locked"
    assert not (lab.folder / "environment.assets.lock").exists()


def test_a_faulty_lock_stops_before_anything_happens(server: Server, lab: Lab) -> None:
    lab.write([server.url("/w.bin")])
    locked(lab)
    path = lab.folder / "environment.assets.lock"
    path.write_text(path.read_text().replace("sha256: ", "sha265: "))
    said = synced(lab)
    assert said.status == 2
    assert "environment.assets.lock:8:3: assets[0].sha265" in said.err
    assert "did you mean `sha256`?" in said.err


def test_an_archive_is_locked_and_unpacked(server: Server, lab: Lab, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "corpus"), "zip", _folder(tmp_path / "content")))
    server.add("/corpus.zip", archive.read_bytes())
    lab.write([{"name": "corpus", "url": server.url("/corpus.zip"), "unpack": True}])
    locked(lab)
    said = synced(lab, "--locked", "--require-hashes")
    assert (said.status, said.rows()["corpus"]["pinned"]) == (0, True), said.err
    assert lab.placed("corpus/a.txt").read_bytes() == b"text"


def _folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"text")
    return folder


def test_fetch_fills_the_store_by_the_lock_for_a_machine_without_a_network(server: Server, lab: Lab) -> None:
    lab.write([server.url("/w.bin")])
    locked(lab)
    shutil.rmtree(os.environ["CONDA_ASSETS_STORE"])
    assert lab.call("fetch", "--locked").status == 0
    server.close()
    assert synced(lab, "--locked", "--offline").status == 0


def test_create_looks_at_the_lock_before_it_makes_anything(server: Server, lab: Lab) -> None:
    lab.write([server.url("/w.bin")])
    prefix = lab.folder / "new"
    said = lab.call("create", "--locked", "-p", str(prefix))
    assert (said.status, prefix.exists()) == (3, False), said.err


def test_repair_brings_the_locked_bytes(server: Server, lab: Lab) -> None:
    lab.write([server.url("/w.bin")])
    locked(lab)
    synced(lab)
    lab.placed("w.bin").unlink()
    lab.placed("w.bin").write_bytes(b"damaged")
    server.add("/w.bin", OTHER)
    said = lab.call("verify", "--repair", "--locked", "-p", str(lab.prefix()))
    assert said.status == 0, said.err
    assert lab.placed("w.bin").read_bytes() == BODY, "the store had them"


def test_each_file_has_its_own_lock(server: Server, lab: Lab) -> None:
    lab.write([server.url("/w.bin")])
    (lab.folder / "assets.yml").write_text(f"assets: [{{name: big, url: '{server.url('/big.bin')}', sha256: {BIG.sha256}}}]\n")
    files = ("-f", "environment.yml", "-f", "assets.yml")
    assert lab.call("lock", *files).status == 0
    assert list(lock_of(lab)) == ["w.bin"]
    assert "name: big" in (lab.folder / "assets.assets.lock").read_text()
    assert lab.call("lock", "--check", *files).status == 0
    assert synced(lab, "--locked", *files).status == 0
    (lab.folder / "assets.assets.lock").unlink()
    assert synced(lab, "--locked", *files).status == 3


def test_a_rising_number_of_mirrors_is_out_of_date_and_still_pins(server: Server, lab: Lab) -> None:
    lab.write([{"name": "w", "url": server.url("/w.bin")}])
    locked(lab)
    lab.write([{"name": "w", "url": server.url("/w.bin"), "mirrors": [server.url("/big.bin")]}])
    assert lab.call("lock", "--check").status == 3
    assert synced(lab).rows()["w"]["pinned"] is True
    server.forget()
    locked(lab)
    assert server.requests == []
    assert lock_of(lab)["w"]["mirrors"] == [server.url("/big.bin")]


def test_a_mirror_that_has_other_bytes_is_found_out_by_the_lock(server: Server, lab: Lab) -> None:
    server.add("/evil.bin", OTHER)
    lab.write([{"name": "w", "url": server.url("/w.bin"), "mirrors": [server.url("/evil.bin")]}])
    locked(lab)
    shutil.rmtree(os.environ["CONDA_ASSETS_STORE"])
    said = synced(lab, "--locked")
    assert (said.status, said.rows()["w"]["sha256"]) == (0, SHA), said.err


def test_a_busy_publisher_is_asked_again_when_it_says_so(server: Server, lab: Lab) -> None:
    server.add("/busy.bin", BODY, status=429, retry_after="1", first=1)
    lab.write([{"name": "busy", "url": server.url("/busy.bin"), "sha256": SHA}])
    locked(lab)
    first, second = server.seen("/busy.bin")
    assert second.at - first.at >= 1.0


def test_a_lock_cannot_lead_headers_or_variables_elsewhere(server: Server, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever changes the lock alone, where reviewers look less, gets no secret by it."""
    monkeypatch.setenv("TOKEN", "canary-token")
    monkeypatch.setenv("OTHER", "canary-other")
    headers = {"Authorization": "Bearer ${TOKEN}"}
    lab.write([{"name": "w", "url": server.url("/w.bin"), "headers": headers}])
    locked(lab)
    path = lab.folder / "environment.assets.lock"
    text = path.read_text()
    with Server() as evil:
        evil.add("/w.bin", BODY)
        path.write_text(text.replace("  size:", f"  pinned_url: {evil.url('/w.bin')}\n  size:"))
        shutil.rmtree(os.environ["CONDA_ASSETS_STORE"])
        assert synced(lab).status == 0, "the bytes are the locked ones, wherever they come from"
        assert evil.seen("/w.bin")
        for url in (f"{evil.url('/w.bin')}?x=${{OTHER}}", f"{server.url('/w.bin')}?x=${{OTHER}}"):
            path.write_text(text.replace("  size:", f"  pinned_url: '{url}'\n  size:"))
            said = synced(lab, "--frozen")
            assert said.status == 2
            assert "variables that the file's URL has not" in said.err
        assert "canary" not in "".join(f"{request.query}{request.headers}" for request in evil.requests)
    path.write_text(text.replace("  size:", "  pinned_url: nonsense\n  size:"))
    assert "no scheme in the URL" in synced(lab).err
