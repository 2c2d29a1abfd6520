"""A bundle brings spec, lock and bytes to a machine without a network, and nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conda_assets.api.collect import Policy, Removal, collect, survey
from conda_assets.api.exporting import Bundling, bundling_of, write_folder, write_tar
from conda_assets.cli import bundles
from conda_assets.events import Event, Observer, Progressed
from conda_assets.store import collecting, open_stores
from lab import Lab, Said
from server import Server

BODY, OTHER, BARE = os.urandom(300_000), os.urandom(5_000), b"bare"
SHA = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        for path, body in (("/w.bin", BODY), ("/o.bin", OTHER), ("/bare.txt", BARE)):
            server.add(path, body)
        yield server


@pytest.fixture
def near(server: Server, tmp_path: Path) -> Lab:
    """A machine with a network, whose store is filled."""
    lab = Lab(tmp_path / "near")
    lab.write(
        [
            {"name": "weights", "url": server.url("/w.bin"), "sha256": SHA},
            {"name": "again", "url": server.url("/w.bin"), "sha256": SHA},
            {"name": "other", "url": server.url("/o.bin"), "hash": f"md5:{hashlib.md5(OTHER).hexdigest()}"},
            {"name": "bare", "url": server.url("/bare.txt")},
            {"name": "train", "url": server.url("/gone.bin"), "groups": ["train"]},
        ]
    )
    assert lab.call("fetch", "-q").status == 0
    return lab


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `b.tar` and `b`, two bundles of the same assets."""
    lab = Lab(tmp_path_factory.mktemp("made") / "near")
    with Server() as server:
        server.add("/w.bin", BODY)
        server.add("/o.bin", OTHER)
        lab.write(
            [
                {"name": "weights", "url": server.url("/w.bin"), "sha256": SHA},
                {"name": "other", "url": server.url("/o.bin"), "sha256": hashlib.sha256(OTHER).hexdigest()},
            ]
        )
        assert with_store(lab, lab.folder / "store", "fetch", "-q").status == 0
    for out in ("../b.tar", "../b"):
        assert with_store(lab, lab.folder / "store", "export", "-o", out).status == 0
    return lab.folder.parent


@pytest.fixture
def far(tmp_path: Path) -> Lab:
    """A machine without one: its own store."""
    lab = Lab(tmp_path / "far")
    lab.folder.mkdir()
    return lab


def elsewhere(far: Lab, *words: str) -> Said:
    return with_store(far, far.folder / "store", *words)


def with_store(lab: Lab, store: Path, *words: str) -> Said:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONDA_ASSETS_STORE", str(store))
        return lab.call(*words)


@pytest.mark.parametrize("out", ["bundle.tar", "bundle"])
def test_sync_offline_works_where_a_bundle_came_in(near: Lab, far: Lab, server: Server, out: str) -> None:
    (near.folder / "environment.assets.lock").write_text("")
    said = near.call("export", "-o", f"../{out}")
    (near.folder / "environment.assets.lock").unlink()
    assert said.status == 2, "a lock that cannot be read"
    said = near.call("export", "-o", f"../{out}")
    assert (said.status, said.out) == (0, "")
    assert f"4 assets in ../{out}: 305.0 kB" in said.err
    asked = len(server.requests)
    said = elsewhere(far, "import", f"../{out}")
    assert (said.status, said.out) == (0, "")
    assert "3 files (305.0 kB) taken into the store, 0 were there already" in said.err
    assert "bare: the bundle is believed, as the spec has no hash" in said.err
    assert far.file.read_bytes() == near.file.read_bytes()
    assert elsewhere(far, "sync", "--offline", "-p", str(far.prefix()), "-q") == Said(0, "", "")
    assert far.placed("weights").read_bytes() == far.placed("again").read_bytes() == BODY
    assert (far.placed("other").read_bytes(), far.placed("bare").read_bytes()) == (OTHER, BARE)
    assert len(server.requests) == asked
    document = elsewhere(far, "import", f"../{out}", "--json").json
    assert document["bundles"] == [{"path": str(far.folder / ".." / out), "objects": 0, "known": 3, "size_bytes": 0}]


def test_the_same_assets_give_the_same_bytes_that_tar_and_sha256sum_read(near: Lab, tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar"):
        assert near.call("export", "-o", f"../{name}").status == 0
    data = (tmp_path / "a.tar").read_bytes()
    assert data == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert archive.getnames()[:2] == ["conda-assets-bundle.json", "spec/environment.yml"]
        for info in archive.getmembers()[2:]:
            body = archive.extractfile(info)
            assert body is not None
            assert info.name == f"objects/{hashlib.sha256(body.read()).hexdigest()}"
    assert b"sha256sum" not in data


def test_bytes_that_are_not_here_are_named(near: Lab) -> None:
    said = near.call("export", "-o", "../b.tar", "--group", "train")
    assert said.status == 1
    assert "train: its bytes are not in the store" in said.err
    assert "conda assets fetch" in said.err
    assert near.call("export", "-o", "../b.tar", "--only", "bare", "--json").json["totals"] == {
        "assets": 1,
        "objects": 1,
        "size_bytes": 4,
        "kept_bytes": 0,
    }


def test_a_lock_comes_along_and_holds(server: Server, tmp_path: Path, far: Lab) -> None:
    near = Lab(tmp_path / "near")
    near.write([{"name": "bare", "url": server.url("/bare.txt")}])
    assert near.call("lock", "-q").status == 0
    assert near.call("export", "-o", "../b.tar").status == 0
    said = elsewhere(far, "import", "../b.tar")
    assert said.status == 0
    lock = far.folder / "environment.assets.lock"
    assert lock.read_bytes() == (near.folder / "environment.assets.lock").read_bytes()
    assert elsewhere(far, "sync", "--offline", "--frozen", "-p", str(far.prefix()), "-q") == Said(0, "", "")
    assert far.placed("bare").read_bytes() == BARE
    lock.unlink()
    assert elsewhere(far, "sync", "--offline", "-p", str(far.prefix("second")), "-q") == Said(0, "", "")


def test_a_pattern_without_a_lock_is_refused(near: Lab) -> None:
    near.write([{"name": "gpt", "url": "hf://org/gpt/*.bin"}])
    said = near.call("export", "-o", "../b.tar")
    assert said.status == 2
    assert "gpt: a URL of several files that no lock lists" in said.err


@pytest.mark.parametrize("out", ["../b.tar.gz", "../b.zip", "environment.yml", "."])
def test_a_place_that_is_no_bundle_is_refused(near: Lab, out: str) -> None:
    before = near.file.read_bytes()
    assert near.call("export", "-o", out).status == 2
    assert near.file.read_bytes() == before


def test_a_damaged_store_is_not_exported(near: Lab, tmp_path: Path) -> None:
    store = Path(os.environ["CONDA_ASSETS_STORE"])
    stored = store / "sha256" / SHA[:2] / SHA
    stored.chmod(0o644)
    stored.write_bytes(bytes(len(BODY)))
    said = near.call("export", "-o", "../b.tar")
    assert said.status == 4
    assert not (tmp_path / "b.tar").exists()


def test_an_export_that_was_cut_off_goes_on(near: Lab, tmp_path: Path) -> None:
    near.call("export", "-o", "../whole.tar")
    whole = (tmp_path / "whole.tar").read_bytes()
    part = tmp_path / "b.tar.part"
    for cut in (0, 700, len(whole) // 2, len(whole) - 600, len(whole)):
        part.write_bytes(whole[:cut])
        assert near.call("export", "-o", "../b.tar").status == 0
        assert (tmp_path / "b.tar").read_bytes() == whole
        assert not part.exists()
    part.write_bytes(b"something else" * 10_000)
    near.call("export", "-o", "../b.tar")
    assert (tmp_path / "b.tar").read_bytes() == whole


def test_a_folder_that_was_cut_off_goes_on(near: Lab, far: Lab, tmp_path: Path) -> None:
    near.call("export", "-o", "../b")
    (tmp_path / "b" / "conda-assets-bundle.json").unlink()
    (tmp_path / "b" / "objects" / SHA).write_bytes(BODY[:1000])
    assert elsewhere(far, "import", "../b").status == 2, "without its list it is no bundle"
    said = near.call("export", "-o", "../b")
    assert "5.0 kB of them from an export before" in said.err
    assert elsewhere(far, "import", "../b").status == 0


def test_a_spec_that_is_here_and_another_one_stays(made: Path, far: Lab) -> None:
    shutil.copy(made / "b.tar", far.folder.parent)
    far.file.write_text("name: mine\n")
    said = elsewhere(far, "import", "../b.tar")
    assert said.status == 2
    assert "environment.yml is here already, and is another one" in said.err
    assert far.file.read_text() == "name: mine\n"
    assert not (far.folder / "store").exists()


def test_bundles_and_lists_do_not_mix(made: Path, far: Lab) -> None:
    shutil.copy(made / "b.tar", far.folder.parent)
    (far.folder / "urls.txt").write_text("https://example.org/a\n")
    assert elsewhere(far, "import", "../b.tar", "urls.txt").status == 2


Members = list[tuple[tarfile.TarInfo, bytes]]


def plain(members: Members, name: str) -> tuple[tarfile.TarInfo, bytes]:
    return next(each for each in members if each[0].name.startswith(name))


def swap(members: Members, name: str, body: bytes) -> None:
    info, _ = plain(members, name)
    info.size = len(body)
    members[[each[0] for each in members].index(info)] = (info, body)


def listed(members: Members, change: Callable[[dict[str, list[dict[str, object]]]], object]) -> None:
    said = json.loads(plain(members, "conda-assets")[1])
    change(said)
    swap(members, "conda-assets", json.dumps(said).encode())


def kind(members: Members, name: str, kind: bytes) -> None:
    info, _ = plain(members, name)
    info.type, info.linkname = kind, "/etc/passwd"


def extra(members: Members, name: str) -> None:
    info = tarfile.TarInfo(name)
    info.size = 3
    members.append((info, b"abc"))


HOSTILE: dict[str, tuple[Callable[[Members], object], int]] = {
    "other bytes": (lambda m: swap(m, "objects/" + SHA, bytes(len(BODY))), 4),
    "one byte more": (lambda m: swap(m, "objects/" + SHA, BODY + b"x"), 2),
    "another spec": (lambda m: swap(m, "spec/", plain(m, "spec/")[1].replace(b"lab", b"bal")), 4),
    "a symlink": (lambda m: kind(m, "objects/", tarfile.SYMTYPE), 2),
    "a hard link": (lambda m: kind(m, "objects/", tarfile.LNKTYPE), 2),
    "a device": (lambda m: kind(m, "objects/", tarfile.CHRTYPE), 2),
    "a folder": (lambda m: kind(m, "objects/", tarfile.DIRTYPE), 2),
    "a name that leads out": (lambda m: extra(m, "../../evil"), 2),
    "an absolute name": (lambda m: extra(m, "/tmp/evil"), 2),
    "a member twice": (lambda m: m.append(m[-1]), 2),
    "a member less": (lambda m: m.pop(), 2),
    "another order": (lambda m: m.reverse(), 2),
    "a spec that leads out": (lambda m: listed(m, lambda said: said["spec"][0].update(name="../environment.yml")), 2),
    "a spec with a dot": (lambda m: listed(m, lambda said: said["spec"][0].update(name=".bashrc.yml")), 2),
    "a size below zero": (lambda m: listed(m, lambda said: said["objects"][0].update(size_bytes=-1)), 2),
    "a size too large": (lambda m: listed(m, lambda said: said["objects"][0].update(size_bytes=1 << 50)), 1),
    "no sha256": (lambda m: listed(m, lambda said: said["objects"][0].update(sha256="../" * 21 + "x")), 2),
    "another hash": (lambda m: listed(m, lambda said: [each.update(hashes=["md5:" + "0" * 32]) for each in said["objects"]]), 4),
    "one object twice": (lambda m: listed(m, lambda said: said["objects"].append(said["objects"][0])), 2),
    "a newer version": (lambda m: listed(m, lambda said: said.update(schema=2)), 2),
    "no list": (lambda m: swap(m, "conda-assets", b"[1]"), 2),
    "no JSON": (lambda m: swap(m, "conda-assets", b"{" * 5000), 2),
}


@pytest.mark.parametrize(("change", "status"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_bundle_is_refused(
    made: Path, far: Lab, tmp_path: Path, change: Callable[[Members], object], status: int
) -> None:
    shutil.copy(made / "b.tar", far.folder.parent)
    members: Members = []
    with tarfile.open(tmp_path / "b.tar") as archive:
        for info in archive:
            body = archive.extractfile(info)
            assert body is not None
            members.append((info, body.read()))
    change(members)
    with tarfile.open(tmp_path / "h.tar", "w") as archive:
        for info, body in members:
            archive.addfile(info, io.BytesIO(body))
    said = elsewhere(far, "import", "../h.tar")
    assert said.status == status or (status == 2 and "none of the lists" in said.err), said.err
    assert said.err.startswith("Error: ")
    assert "Traceback" not in said.err
    assert {each.name for each in far.folder.iterdir()} <= {"store"}, "no spec was written"
    for path in (far.folder / "store" / "sha256").rglob("*"):
        assert path.is_dir() or hashlib.sha256(path.read_bytes()).hexdigest() == path.name


@pytest.mark.parametrize("cut", [100, 1500, 200_000])
def test_a_bundle_that_was_cut_off_is_refused(made: Path, far: Lab, tmp_path: Path, cut: int) -> None:
    shutil.copy(made / "b.tar", far.folder.parent)
    (tmp_path / "b.tar").write_bytes((tmp_path / "b.tar").read_bytes()[:cut])
    said = elsewhere(far, "import", "../b.tar")
    assert said.status in (2, 4), said.err
    assert "Traceback" not in said.err


def test_a_header_of_gigabytes_is_not_read(made: Path, far: Lab, tmp_path: Path) -> None:
    shutil.copy(made / "b.tar", far.folder.parent)
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 8 << 30
    data = (tmp_path / "b.tar").read_bytes()
    end = data.index(b"objects/")
    (tmp_path / "b.tar").write_bytes(data[:end] + header.tobuf(tarfile.GNU_FORMAT) + data[end:])
    said = elsewhere(far, "import", "../b.tar")
    assert said.status == 2
    assert "is refused" in said.err


@pytest.mark.parametrize(
    "name", ["objects/" + SHA, "spec/environment.yml", "conda-assets-bundle.json"], ids=["bytes", "spec", "list"]
)
def test_a_link_in_a_folder_is_not_followed(made: Path, far: Lab, tmp_path: Path, name: str) -> None:
    shutil.copytree(made / "b", tmp_path / "b")
    path = tmp_path / "b" / name
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    said = elsewhere(far, "import", "../b")
    assert said.status == 2
    assert "is refused" in said.err


def test_progress_is_told_of_the_whole_bundle(near: Lab, tmp_path: Path) -> None:
    assets = [asset for asset in near.spec().assets if not asset.groups]
    with open_stores(near.settings().stores) as store:
        bundling = bundling_of(assets, {}, store)
    for path, write in ((tmp_path / "p.tar", write_tar), (tmp_path / "p", write_folder)):
        seen: list[Event] = []
        write(bundling, path, seen.append)
        last = seen[-1]
        assert isinstance(last, Progressed)
        assert (last.asset, last.done_bytes, last.size_bytes) == (path.name, 305_004, 305_004)


def test_what_is_being_exported_is_not_collected(near: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing places these files, and collecting begins with the first byte of the bundle."""
    monkeypatch.setattr(collecting, "_FRESH_NS", 0)
    gone: list[Removal] = []

    def meanwhile(bundling: Bundling, path: Path, watch: Observer) -> int:
        with survey(near.settings(), Policy(), os.environ) as findings:
            gone.extend(collect(findings))
        return write_tar(bundling, path, watch)

    monkeypatch.setattr(bundles, "write_tar", meanwhile)
    assert near.call("export", "-o", str(tmp_path / "b.tar")).status == 0
    assert [each for each in gone if each.kind == "file"] == []
    assert near.call("gc", "--json").json["totals"]["removed"] == 3  # type: ignore[index]


def test_an_interrupted_export_says_how_to_go_on(near: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("conda_assets.cli.bundles.write_tar", stop)
    said = near.call("export", "-o", "../my bundle.tar", "-f", "environment.yml")
    assert said.status == 130
    assert "resume with `conda-assets export -o '../my bundle.tar' -f environment.yml`" in said.err
