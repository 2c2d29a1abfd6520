"""Files that are here already are not fetched: whatever has an asset's hash is that asset."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from lab import Lab

BODY = os.urandom(200_000)
SHA = hashlib.sha256(BODY).hexdigest()
URL = "https://nowhere.invalid/models/w.bin"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = Lab(tmp_path / "lab")
    lab.write([{"name": "weights", "url": URL, "sha256": SHA}])
    return lab


def put(path: Path, body: bytes = BODY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


def hub(folder: Path) -> Path:
    """As huggingface_hub lays it out: snapshots are links to blobs that are called by their hash."""
    blob = put(folder / "models--org--gpt" / "blobs" / SHA)
    link = folder / "models--org--gpt" / "snapshots" / ("a" * 40) / "model.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to(Path("../../blobs") / SHA)
    return blob


LAYOUTS = {
    "a Hugging Face cache": hub,
    "a torch hub": lambda folder: put(folder / "checkpoints" / "w.bin"),
    "a pooch cache": lambda folder: put(folder / "app" / "6f1ed002ab5595859014ebf0951522d9-w.bin"),
    "by the asset's name": lambda folder: put(folder / "WEIGHTS"),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_file_with_the_hash_is_taken_and_stays(lab: Lab, layout, tmp_path: Path) -> None:
    put(tmp_path / "cache" / "other.bin", b"other")
    put(tmp_path / "cache" / "w.bin", b"of the same name")
    original = layout(tmp_path / "cache")
    original.chmod(0o640)
    said = lab.call("adopt", str(tmp_path / "cache"))
    assert (said.status, said.err) == (0, "1 of 1 assets are in the store; go on with `conda-assets sync -f environment.yml`\n")
    assert said.out.startswith("weights: taken from ")
    assert (original.read_bytes(), original.stat().st_mode & 0o777) == (BODY, 0o640)
    original.write_bytes(b"changed later")
    synced = lab.call("sync", "-p", str(lab.prefix()), "--offline", "--json")
    assert synced.rows()["weights"]["state"] == "linked"
    assert lab.placed("weights").read_bytes() == BODY
    assert "the store has it already" in lab.call("adopt", str(tmp_path / "cache")).out


def test_a_size_is_enough_to_look_for(lab: Lab, tmp_path: Path) -> None:
    lab.write([{"name": "weights", "url": URL, "hash": f"md5:{hashlib.md5(BODY).hexdigest()}", "size": len(BODY)}])
    put(tmp_path / "x" / "1", bytes(len(BODY)))
    put(tmp_path / "x" / "2")
    said = lab.call("adopt", "../x", "--json")
    assert said.rows()["weights"]["because"] == f"taken from {tmp_path / 'lab' / '..' / 'x' / '2'}"
    assert said.rows()["weights"]["sha256"] == SHA
    assert lab.call("sync", "-p", str(lab.prefix()), "--offline").status == 0


def test_a_lock_says_which_file_it_is(lab: Lab, tmp_path: Path) -> None:
    lab.write([{"name": "weights", "url": URL}])
    (lab.folder / "environment.assets.lock").write_text(
        f"version: 1\nassets:\n- name: weights\n  url: {URL}\n  size: {len(BODY)}\n  sha256: {SHA}\n  vouched_by: me\n"
    )
    put(tmp_path / "x" / "anything")
    assert lab.call("adopt", "../x").out.startswith("weights: taken from ")
    assert lab.call("sync", "-p", str(lab.prefix()), "--offline", "-q").status == 0


def test_what_is_not_adopted_is_named_with_the_reason(lab: Lab, tmp_path: Path) -> None:
    lab.write(
        [
            {"name": "weights", "url": URL, "sha256": SHA},
            {"name": "gone", "url": "https://nowhere.invalid/gone", "sha256": "0" * 64},
            {"name": "bare", "url": "https://nowhere.invalid/bare"},
        ]
    )
    put(tmp_path / "x" / "w.bin", b"other bytes")
    put(tmp_path / "x" / "bare")
    os.mkfifo(tmp_path / "x" / "gone")
    (tmp_path / "x" / "weights").symlink_to("nowhere")
    said = lab.call("adopt", str(tmp_path / "x"))
    assert said.status == 0
    assert said.out.splitlines() == [
        "weights: not adopted: 1 files that could be it have other bytes",
        "gone: not adopted: no file has its name or size",
        "bare: not adopted: it has no hash, so nothing says which file it is: add `sha256:`, or run `conda assets lock`",
    ]
    store = Path(os.environ["CONDA_ASSETS_STORE"])
    assert [path for path in store.rglob("*") if path.is_file() and path.stat().st_size == 11] == [], "nothing is left of it"


@pytest.mark.parametrize("words", [["adopt", "nowhere"], ["adopt", ".", "--only", "x"], ["adopt"]])
def test_a_place_or_a_name_that_is_not_there_is_a_usage_error(lab: Lab, words: list[str]) -> None:
    assert lab.call(*words).status == 2


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that cannot be read, by root either")
def test_a_file_that_cannot_be_read_is_a_failure(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "w.bin").symlink_to("/proc/self/mem")
    said = lab.call("adopt", str(tmp_path / "w.bin"))
    assert said.status == 1
    assert "cannot be taken: Input/output error" in said.out
    assert not list(Path(os.environ["CONDA_ASSETS_STORE"]).rglob("data")), "nothing is left that a download would go on with"
