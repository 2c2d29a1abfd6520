"""`path --hf-home`: what Hugging Face's own library makes of the folder, offline."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conda_assets.api.hub import lay_out
from conda_assets.model import LinkType, Placed, Root
from conda_assets.receipt import write_receipt
from lab import Lab
from publisher_hf import COMMIT as HUB_COMMIT
from publisher_hf import Hub
from server import Server
from source_rules import make_world

pytestmark = pytest.mark.slow

COMMIT, OLD = "a" * 40, "b" * 40


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def place(lab: Lab, **sources: str) -> None:
    """A receipt of assets with these sources, and their files; the content is the name."""
    lines = []
    for name, source in sources.items():
        path = lab.placed(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        info = path.stat()
        sha256 = hashlib.sha256(name.encode()).hexdigest()
        lines.append(Placed(name, name, Root.PREFIX, sha256, info.st_size, info.st_mtime_ns, LinkType.COPY, source, "0" * 64))
    write_receipt(lab.prefix(), lines)


ASK = """\
import json, sys
from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
answers = []
for question in json.loads(sys.argv[1]):
    whole = question.pop("whole", False)
    try:
        answers.append((snapshot_download if whole else hf_hub_download)(**question, local_files_only=True))
    except LocalEntryNotFoundError:
        answers.append(None)
print(json.dumps(answers))
"""


def ask(home: Path, *questions: dict[str, object]) -> list[str | None]:
    """What hf_hub_download and snapshot_download of the real library give."""
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is in the test group of pyproject.toml")
    environ = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    words = [sys.executable, "-c", ASK, json.dumps(questions)]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert isinstance(answers, list)
    return answers


def test_the_library_finds_the_files_offline_without_a_copy(lab: Lab) -> None:
    place(
        lab,
        model=f"hf://org/gpt@{COMMIT}/model.safetensors",
        config=f"hf://org/gpt@{COMMIT}/sub/config.json",
        table=f"hf://datasets/org/data@{COMMIT}/en/0.parquet",
        plain="https://example.org/x.bin",
    )
    said = lab.call("path", "--hf-home", "-p", str(lab.prefix()))
    assert (said.status, said.err) == (0, "")
    home = Path(said.out.strip())
    assert home == lab.prefix() / "share" / "conda-assets" / "huggingface"
    model, config, at, table, other, folder = ask(
        home,
        {"repo_id": "org/gpt", "filename": "model.safetensors"},
        {"repo_id": "org/gpt", "filename": "sub/config.json", "revision": "main"},
        {"repo_id": "org/gpt", "filename": "model.safetensors", "revision": COMMIT},
        {"repo_id": "org/data", "filename": "en/0.parquet", "repo_type": "dataset"},
        {"repo_id": "org/gpt", "filename": "other.bin"},
        {"repo_id": "org/gpt", "whole": True},
    )
    assert other is None
    assert folder == str(home / "hub" / "models--org--gpt" / "snapshots" / COMMIT)
    for found, name in ((model, "model"), (config, "config"), (at, "model"), (table, "table")):
        assert found is not None
        assert os.path.samefile(found, lab.placed(name))


def test_a_commit_that_is_not_known_gets_one_that_stands_for_it(lab: Lab) -> None:
    place(lab, model="hf://org/gpt/model.bin", old="hf://gpt2@607a30d/config.json")
    said = lab.call("path", "--hf-home", "-p", str(lab.prefix()))
    assert said.status == 0
    assert "model: the commit of `main` is not one that is known" in said.err
    questions = [
        {"repo_id": "org/gpt", "filename": "model.bin"},
        {"repo_id": "gpt2", "filename": "config.json", "revision": "607a30d"},
        {"repo_id": "gpt2", "filename": "config.json"},
    ]
    answers = ask(Path(said.out.strip()), *questions)
    assert [Path(each).read_text() for each in answers if each] == ["model", "old", "old"]


def test_a_sync_writes_the_commit_down(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server() as server, Server() as elsewhere:
        hub = Hub(make_world(server, elsewhere, monkeypatch, has_credentials=False))
        hub.add("w.bin", b"weights")
        lab.write([{"name": "w", "url": f"hf://{hub.repo}/w.bin"}])
        for _ in range(2):
            said = lab.call("sync", "-p", str(lab.prefix()), "-q")
            assert said.status == 0, said.err
            lab.placed("w").unlink()  # then the store has it, and the receipt still knows the commit
        said = lab.call("sync", "-p", str(lab.prefix()), "-q")
    made = lay_out(lab.target())
    assert made.notes == ()
    assert f"url: hf://{hub.repo}@{HUB_COMMIT}/w.bin" in lab.call("export", "--spec", "-p", str(lab.prefix())).out
    questions = [{"repo_id": hub.repo, "filename": "w.bin", "revision": revision} for revision in ("main", HUB_COMMIT)]
    assert [Path(each).read_bytes() for each in ask(made.home, *questions) if each] == [b"weights"] * 2


def test_two_commits_stand_apart_and_main_is_neither(lab: Lab) -> None:
    place(lab, new=f"hf://org/gpt@{COMMIT}/w.bin", old=f"hf://org/gpt@{OLD}/w.bin")
    made = lay_out(lab.target())
    assert made.notes == (f"org/gpt is here at 2 revisions: say `revision=` when loading, one of {COMMIT}, {OLD}",)
    assert made.repositories == ("org/gpt",)
    question = {"repo_id": "org/gpt", "filename": "w.bin"}
    answers = ask(made.home, {**question, "revision": COMMIT}, {**question, "revision": OLD}, question)
    assert [Path(each).read_text() if each else None for each in answers] == ["new", "old", None]


def test_links_come_and_go_and_what_is_not_ours_stays(lab: Lab) -> None:
    place(lab, model=f"hf://org/gpt@{COMMIT}/w.bin", gone=f"hf://org/gpt@{COMMIT}/gone.bin", other=f"hf://org/b@{OLD}/b.bin")
    lab.placed("gone").unlink()
    made = lay_out(lab.target())
    assert made.gone == ("gone",)
    link = made.home / "hub" / "models--org--gpt" / "snapshots" / COMMIT / "w.bin"
    before = link.lstat()
    theirs = made.home / "hub" / "models--org--b" / "blobs" / "x"
    theirs.parent.mkdir()
    theirs.write_text("downloaded by their own tool")
    place(lab, model=f"hf://org/gpt@{COMMIT}/w.bin")
    assert lay_out(lab.target()).gone == ()
    assert link.lstat().st_ino == before.st_ino, "what is right stays"
    assert theirs.read_text() == "downloaded by their own tool"
    left = [path.name for path in (made.home / "hub" / "models--org--b").iterdir()]
    assert left == ["blobs"]
    lab.prefix().rename(lab.folder / "envs" / "moved")
    moved = lab.folder / "envs" / "moved" / link.relative_to(lab.prefix().parent / "env")
    assert moved.read_text() == "model", "a renamed environment keeps its links"


def test_an_environment_without_such_assets_has_an_empty_home(lab: Lab) -> None:
    place(lab, plain="https://example.org/x.bin", folder="hf://org/data/en/", odd="hf:///")
    document = lab.call("path", "--hf-home", "-p", str(lab.prefix()), "--json").json
    assert (document["success"], document["repositories"]) == (True, [])
    assert lab.call("path", "-p", str(lab.prefix())).status == 2, "a name is missing"
    lab.placed("plain").unlink()
    assert lab.call("path", "plain", "-p", str(lab.prefix())).status == 3
