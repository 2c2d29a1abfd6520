"""URLs that name several files: each file is an asset of its own to a sync, and all together one to the user and to the lock."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab import Lab, Said
from publisher_hf import COMMIT, Hub, _of_folder
from server import Server
from source_rules import World, make_world

LATER = "a" * 40
FILES = {"a.bin": b"one" * 1000, "sub/b.bin": b"two" * 1000, "note.txt": b"hi"}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with Server() as server, Server() as elsewhere:
        yield make_world(server, elsewhere, monkeypatch, has_credentials=False)


@pytest.fixture
def hub(world: World) -> Hub:
    hub = Hub(world)
    for path, content in FILES.items():
        hub.add(f"data/{path}", content, plain=path.endswith(".txt"))
    world.route(f"/api/models/{hub.repo}/tree/{COMMIT}/data", hub._answer(lambda request: _of_folder(hub, request)))
    return hub


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "first")


def corpus(hub: Hub, **fields: object) -> dict[str, object]:
    return {"name": "corpus", "url": hub.url("data/"), **fields}


def synced(lab: Lab, *words: str, status: int = 0, prefix: str = "env") -> Said:
    said = lab.call("sync", "-p", str(lab.prefix(prefix)), "--json", *words)
    assert said.status == status, said.err
    return said


def states(said: Said) -> dict[str, object]:
    return {name: row["state"] for name, row in said.rows().items()}


def test_a_folder_becomes_its_files_in_a_folder(hub: Hub, lab: Lab) -> None:
    lab.write([corpus(hub, path="text/corpus/", env="CORPUS")])
    wanted = {"corpus/a.bin", "corpus/sub/b.bin", "corpus/note.txt"}
    assert states(synced(lab)) == dict.fromkeys(wanted, "fetched")
    for path, content in FILES.items():
        assert lab.placed(f"text/corpus/{path}").read_bytes() == content
    assert states(synced(lab)) == dict.fromkeys(wanted, "kept")
    prefix = str(lab.prefix())
    assert lab.call("path", "corpus", "-p", prefix).out.strip() == str(lab.placed("text/corpus"))
    assert lab.call("path", "corpus/a.bin", "-p", prefix).out.strip() == str(lab.placed("text/corpus/a.bin"))
    hooks = "".join(path.read_text() for path in lab.prefix().rglob("*") if path.is_file() and path.suffix in (".sh", ".json"))
    assert "share/assets/text/corpus'" in hooks or 'share/assets/text/corpus"' in hooks, hooks
    assert lab.call("status", "-p", prefix).status == 0
    assert lab.call("verify", "-p", prefix, "--only", "corpus").status == 0
    lab.placed("text/corpus/a.bin").unlink()
    said = lab.call("status", "-p", prefix, "--json")
    assert (said.status, said.rows()["corpus/a.bin"]["state"]) == (3, "missing")
    assert lab.call("verify", "--repair", "-p", prefix).status == 0
    assert lab.placed("text/corpus/a.bin").read_bytes() == FILES["a.bin"]


def test_a_variable_of_the_users_wins_for_all_files(hub: Hub, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.write([corpus(hub, env="CORPUS")])
    monkeypatch.setenv("CORPUS", str(lab.placed("corpus")))
    synced(lab)
    monkeypatch.setenv("CORPUS", "/my/own")
    hub.world.server.forget()
    assert states(synced(lab, prefix="other")) == {"corpus": "skipped"}
    assert hub.world.server.requests == []


def test_only_names_the_whole_and_prune_takes_files_that_are_gone(hub: Hub, lab: Lab) -> None:
    lab.write([corpus(hub), {"name": "note", "url": hub.url("data/note.txt")}])
    assert set(states(synced(lab, "--only", "corpus"))) == {"corpus/a.bin", "corpus/sub/b.bin", "corpus/note.txt", "note"}
    assert not lab.placed("note").exists()
    del hub.files["data/sub/b.bin"]
    synced(lab, "--only", "note", "--prune", "-y")
    assert lab.placed("corpus/sub/b.bin").exists(), "what was not listed anew is not gone"
    synced(lab)
    assert lab.placed("corpus/sub/b.bin").exists(), "only --prune removes"
    synced(lab, "--prune", "-y")
    assert not lab.placed("corpus/sub").exists()
    lab.write([])
    synced(lab, "--prune", "-y")
    assert not lab.placed("corpus").exists()


def test_a_group_that_is_not_asked_for_is_not_listed(hub: Hub, lab: Lab) -> None:
    lab.write([corpus(hub, groups=["train"])])
    assert states(synced(lab)) == {"corpus": "skipped"}
    assert hub.world.server.requests == []
    said = lab.call("sync", "--dry-run", "--json", "--group", "train", "-p", str(lab.prefix()))
    assert [row["action"] for row in said.rows().values()] == ["fetch"]
    assert hub.world.server.requests == [], "a dry run asks nobody"


def test_a_list_that_fails_fails_the_asset_alone(hub: Hub, lab: Lab) -> None:
    lab.write([corpus(hub, url=hub.url("nothing/*.bin")), {"name": "note", "url": hub.url("data/note.txt")}])
    said = synced(lab, status=1)
    assert states(said) == {"corpus": "failed", "note": "fetched"}


def test_offline_without_a_lock_the_last_list_counts(hub: Hub, lab: Lab) -> None:
    lab.write([corpus(hub)])
    assert states(synced(lab, "--offline", status=1)) == {"corpus": "failed"}
    synced(lab)
    assert set(states(synced(lab, "--offline")).values()) == {"kept"}


def test_a_locked_folder_is_not_listed_again(hub: Hub, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.write([corpus(hub)])
    said = lab.call("lock", "--json")
    assert said.status == 0, said.err
    assert (said.rows()["corpus"]["files"], said.rows()["corpus"]["size_bytes"]) == (3, 6002)
    path = lab.folder / "environment.assets.lock"
    (entry,) = yaml.safe_load(path.read_text())["assets"]
    assert [each["path"] for each in entry["files"]] == ["a.bin", "note.txt", "sub/b.bin"]
    assert [each["vouched_by"] for each in entry["files"]] == ["Hugging Face", "first download", "Hugging Face"]
    assert all(COMMIT in each["url"] for each in entry["files"])
    first = path.read_bytes()
    path.unlink()
    lab.call("lock")
    assert path.read_bytes() == first
    lab.call("lock", "--update", "corpus")
    assert path.read_bytes() == first
    assert lab.call("lock", "--check").status == 0

    monkeypatch.setenv("CONDA_ASSETS_STORE", str(tmp_path / "store2"))
    there = Lab(tmp_path / "second")
    shutil.copytree(lab.folder, there.folder)
    hub.add("data/new.bin", b"new")
    hub.world.server.forget()
    said = synced(there, "--locked", "--require-hashes")
    assert states(said) == {f"corpus/{path}": "fetched" for path in FILES}
    assert all(row["pinned"] for row in said.rows().values())
    asked = [request.path for request in hub.world.server.requests]
    assert not any("/tree/" in path for path in asked)
    assert all(COMMIT in path for path in asked)
    for path, content in FILES.items():
        assert there.placed(f"corpus/{path}").read_bytes() == content
    hub.world.server.close()
    assert set(states(synced(there, "--offline", "--locked", prefix="third")).values()) == {"linked"}
    shutil.rmtree(os.environ["CONDA_ASSETS_STORE"])
    assert there.call("status", "-p", str(there.prefix())).status in (0, 3)


def test_variables_of_a_pattern_stand_in_its_files_too(hub: Hub, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORG", "openai-community")
    lab.write([{"name": "corpus", "url": "hf://${ORG}/gpt2/data/*.bin"}])
    said = lab.call("lock")
    assert said.status == 0, said.err
    text = (lab.folder / "environment.assets.lock").read_text()
    assert f"url: hf://${{ORG}}/gpt2@{COMMIT}/data/a.bin" in text
    assert "openai-community" not in text
    assert set(states(synced(lab, "--locked")).values()) == {"fetched"}
    assert lab.placed("corpus/a.bin").read_bytes() == FILES["a.bin"]


def test_a_locked_file_comes_from_its_commit_when_the_branch_has_moved(hub: Hub, lab: Lab) -> None:
    lab.write([{"name": "a", "url": hub.url("data/a.bin")}])
    assert lab.call("lock").status == 0
    (entry,) = yaml.safe_load((lab.folder / "environment.assets.lock").read_text())["assets"]
    assert (entry["revision"], entry["pinned_url"]) == (COMMIT, hub.url("data/a.bin", COMMIT))
    hub._route("main", "data/a.bin", lambda request: (200, {"X-Repo-Commit": LATER}, b"another file"))
    assert states(synced(lab, "--locked")) == {"a": "fetched"}
    assert lab.placed("a").read_bytes() == FILES["a.bin"]


def test_a_hash_that_the_publisher_no_longer_says_stops_before_the_first_byte(hub: Hub, lab: Lab) -> None:
    lab.write([{"name": "a", "url": hub.url("data/a.bin")}])
    assert lab.call("lock").status == 0
    path = lab.folder / "environment.assets.lock"
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "pinned_url" not in line))
    hub.add("data/a.bin", b"new" * 1000)
    said = synced(lab, status=4)
    error = said.rows()["a"]["error"]
    assert isinstance(error, dict)
    assert error["code"] == "upstream_replaced"
    assert "conda-assets lock -f environment.yml --update a" in str(error["hints"])
    assert hub.world.elsewhere.sent() == 0


def test_a_hash_for_several_files_is_refused(hub: Hub, lab: Lab) -> None:
    lab.write([corpus(hub, sha256="0" * 64)])
    said = synced(lab, status=1)
    assert "for which there cannot be a hash" in said.err


def test_a_glob_on_this_machine_and_an_asset_beside_it(lab: Lab, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("a.csv", "b.csv", "c.txt"):
        (data / name).write_text(name)
    lab.write([{"name": "tables", "url": f"{data.as_uri()}/*.csv", "path": "in/tables/"}, f"{data.as_uri()}/c.txt"])
    assert lab.call("lock").status == 0
    said = synced(lab, "--locked")
    assert set(states(said)) == {"tables/a.csv", "tables/b.csv", "c.txt"}
    assert lab.placed("in/tables/b.csv").read_text() == "b.csv"
    (data / "d.csv").write_text("d.csv")
    assert set(states(synced(lab, "--locked"))) == {"tables/a.csv", "tables/b.csv", "c.txt"}, "the lock is the list"
    assert lab.call("outdated", "-p", str(lab.prefix())).status == 3
    (data / "a.csv").write_text("A.csv")
    shutil.rmtree(os.environ["CONDA_ASSETS_STORE"])
    assert states(synced(lab, prefix="other", status=4)) == {
        "tables/a.csv": "failed",
        "tables/b.csv": "fetched",
        "c.txt": "fetched",
    }
