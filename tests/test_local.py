"""Files of this machine: what is said of them, how they are copied, and that a sync treats them like any others."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from conda_assets import sources
from conda_assets.errors import AccessDenied, AssetFailed, DigestMismatch, NotThere, SizeMismatch, UpstreamChanged
from conda_assets.events import Noted, Progressed
from conda_assets.model import Asset, State
from conda_assets.settings import Network
from conda_assets.transport import Job
from conda_assets.transport.local import Copier
from engines import closing, drive, written_by
from lab import Lab
from server import Server, Virtual

BODY = b"here already\n" * 10_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shared folder" / "w#1.bin"
    path.parent.mkdir()
    path.write_bytes(BODY)
    return path


def url_of(path: Path) -> str:
    return f"file://{quote(str(path))}"


def asset(url: str, **fields: object) -> Asset:
    return Asset(name="w", url=url, path="w", **fields)  # type: ignore[arg-type]


def test_it_arrives_verified_without_an_engine(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_PLUGINS_ASSETS_ARIA2C", "/nowhere/aria2c")
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": url_of(file), "sha256": hashlib.sha256(BODY).hexdigest(), "size": len(BODY)}])
    (row,) = lab.sync().outcomes
    assert (row.state, row.error, row.bytes_fetched) == (State.FETCHED, None, len(BODY))
    file.unlink()
    assert lab.placed("w").read_bytes() == BODY, "the original may go away"
    assert any(isinstance(event, Progressed) for event in lab.seen)


def test_other_bytes_than_the_file_asks_for_are_refused(file: Path, tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": url_of(file), "sha256": "0" * 64}])
    (row,) = lab.sync().outcomes
    assert isinstance(row.error, DigestMismatch)


def test_files_of_this_machine_and_of_others_come_together(file: Path, tmp_path: Path) -> None:
    with Server() as server:
        lab = Lab(tmp_path)
        lab.write([{"name": "w", "url": url_of(file)}, server.add("/far.bin", b"far away")])
        assert [row.state for row in lab.sync().outcomes] == [State.FETCHED] * 2


def test_a_server_steps_in_for_a_disk_that_is_not_mounted(tmp_path: Path) -> None:
    with Server() as server:
        lab = Lab(tmp_path)
        lab.write([{"name": "w", "url": "file:///nowhere/w.bin", "mirrors": [server.add("/w.bin", BODY)]}])
        assert [row.state for row in lab.sync().outcomes] == [State.FETCHED]


def test_a_disk_steps_in_for_a_server(file: Path, tmp_path: Path) -> None:
    with Server() as server:
        lab = Lab(tmp_path)
        lab.write([{"name": "w", "url": server.url("/gone.bin"), "mirrors": [url_of(file)]}])
        assert [row.state for row in lab.sync().outcomes] == [State.FETCHED]
        assert not any(isinstance(event, Noted) for event in lab.seen)


def test_a_copy_knows_its_size_before(file: Path) -> None:
    said = sources.probe(asset(url_of(file)), url_of(file), Network())
    assert (said.size_bytes, said.final_url, said.fresh) == (len(BODY), url_of(file), None)
    with pytest.raises(SizeMismatch):
        sources.probe(asset(url_of(file), size_bytes=1), url_of(file), Network())


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("gone.bin", NotThere, "no file"),
        ("pipe", AssetFailed, "is no plain file"),
        ("closed", AccessDenied, "may not be read"),
        ("folder", AssetFailed, "with `/` at the end"),
    ],
)
def test_what_cannot_be_copied_is_said(tmp_path: Path, name: str, kind: type[AssetFailed], words: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "pipe").symlink_to("/dev/null")
    (tmp_path / "closed").touch(mode=0)
    if name == "closed" and os.access(tmp_path / "closed", os.R_OK):
        pytest.skip("this user may read everything")
    url = url_of(tmp_path / name)
    with pytest.raises(kind, match=words):
        sources.probe(asset(url), url, Network())


def test_a_folder_and_a_glob_name_files(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "deep/c.csv", "read me.txt"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_text(name)
    base = url_of(tmp_path / "set")

    def names(url: str) -> list[str]:
        assert sources.is_pattern(asset(url))
        found = sources.expand(asset(url), Network())
        assert [sources.probe(asset(each), each, Network()).size_bytes for _, each in found] == [
            len(Path(path).name) if "deep" not in path else len("deep/c.csv") for path, _ in found
        ]
        return [path for path, _ in found]

    assert names(f"{base}/") == ["a.csv", "b.csv", "deep/c.csv", "read me.txt"]
    assert names(f"{base}/*.csv") == ["a.csv", "b.csv"]
    assert names(f"{base}/**/*.csv") == ["a.csv", "b.csv", "deep/c.csv"]
    assert not sources.is_pattern(asset(f"{base}/a.csv"))
    for url in (f"{base}/*.parquet", f"{base}/gone/"):
        with pytest.raises(NotThere):
            sources.expand(asset(url), Network())


def test_progress_is_told_and_a_copy_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = Virtual(70_000_000)
    content.write(tmp_path / "large")
    job = Job("a", (url_of(tmp_path / "large"),), tmp_path / "data", content.size)
    with closing(Copier()) as copier:
        last = drive(copier, [job], until=lambda tiding: tiding.done_bytes > 0)
        assert last["a"].front_bytes == last["a"].done_bytes
        copier.stop("a")
        assert copier.poll() == []
        assert drive(copier, [replace(job, id="b")])["b"].done
    assert written_by(tmp_path / "data", content)


def test_where_the_kernel_cannot_copy_it_is_done_by_hand(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "copy_file_range", raising=False)
    with closing(Copier()) as copier:
        assert drive(copier, [Job("a", (url_of(file),), tmp_path / "data", len(BODY))])["a"].done
    assert (tmp_path / "data").read_bytes() == BODY


def test_a_file_that_changes_meanwhile_is_copied_again(file: Path, tmp_path: Path) -> None:
    with closing(Copier()) as copier:
        said = drive(copier, [Job("a", (url_of(file),), tmp_path / "data", len(BODY) + 1)])["a"]
    assert isinstance(said.error, UpstreamChanged)


def test_a_link_in_the_way_is_not_followed(file: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(tmp_path / "precious")
    (tmp_path / "precious").write_text("mine")
    with closing(Copier()) as copier:
        said = drive(copier, [Job("a", (url_of(file),), tmp_path / "data", len(BODY))])["a"]
    assert said.error is not None
    assert (tmp_path / "precious").read_text() == "mine"
