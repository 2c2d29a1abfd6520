"""Archives in whole syncs: fetched as any file, unpacked beside transfers, looked at, mended, changed and taken away."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from archives import COMPRESSORS, TarMember, ZipMember, seven_zip, tar, wrap, zip_
from conda_assets.api.look import status
from conda_assets.api.options import Options
from conda_assets.api.repairing import repair
from conda_assets.api.sync import sync
from conda_assets.api.verify import verify
from conda_assets.cli import inside
from conda_assets.errors import ArchiveRefused, FilesDamaged, NotAnArchive
from conda_assets.events import Event, Finished, Noted, Unpacking
from conda_assets.model import Health, LinkType, Outcome, State, Unpack
from conda_assets.receipt import read_receipt, receipt_path
from lab import Lab
from server import Server

pytestmark = pytest.mark.slow

FILES = {"top/a.jsonl": b"a line\n" * 100, "top/b/c.jsonl": b"there\n" * 3000, "top/note.txt": b"read me\n"}
BARE = {name.removeprefix("top/"): data for name, data in FILES.items()}
PLAIN = tar(*(TarMember(name, data) for name, data in FILES.items()))
NEWER = tar(TarMember("top/a.jsonl", b"another line\n"), TarMember("top/new.txt", b"new\n"))


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        server.add("/corpus.tar.gz", wrap("gz", PLAIN))
        server.add("/newer.tar", NEWER)
        yield server


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def entry(server: Server, at: str = "/corpus.tar.gz", **fields: object) -> dict[str, object]:
    return {"name": "corpus", "url": server.url(at), "unpack": True, **fields}


def synced(lab: Lab, *entries: object, name: str = "env", **options: object) -> Outcome:
    """Write the entries, sync, and give the first row."""
    lab.write(entries)
    return lab.sync(name, options=Options(**options)).outcomes[0]  # type: ignore[arg-type]


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def listed(lab: Lab, name: str = "corpus") -> Path:
    return lab.prefix() / "etc" / "conda-assets" / "unpacked" / f"{name}.json"


def change(path: Path, data: bytes) -> None:
    """As a user does who wants to."""
    path.chmod(0o644)
    path.write_bytes(data)


def rot(path: Path) -> None:
    """As a disk does: other bytes, the same size and time stamp."""
    info = path.stat()
    change(path, bytes(path.stat().st_size))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def stored_files(row: Outcome) -> list[Path]:
    store = Path(os.environ["CONDA_ASSETS_STORE"])
    return [path for path in (store / "sha256").rglob(str(row.sha256)) if path.is_file()]


def warnings(lab: Lab) -> list[str]:
    return [event.text for event in lab.seen if isinstance(event, Noted) and event.level == "warning"]


def health(lab: Lab) -> Outcome:
    return status(lab.spec(), lab.target(), lab.settings()).outcomes[0]


def kinds(folder: Path) -> dict[str, bytes]:
    made = {"zip": zip_(*(ZipMember(name, data) for name, data in FILES.items())), "tar": PLAIN}
    return made | {f"tar.{codec}": wrap(codec, PLAIN) for codec in ("gz", "bz2", "xz")}


def test_every_kind_is_unpacked(server: Server, lab: Lab, tmp_path: Path) -> None:
    made = kinds(tmp_path)
    for kind, data in made.items():
        server.add(f"/x.{kind}", data)
    lab.write([{"url": server.url(f"/x.{kind}"), "unpack": True} for kind in made])
    report = lab.sync()
    assert {row.name: row.state for row in report.outcomes} == {f"x.{kind}": State.FETCHED for kind in made}
    assert {kind: tree(lab.placed(f"x.{kind}")) for kind in made} == dict.fromkeys(made, FILES)
    assert [row.state for row in lab.sync().outcomes] == [State.KEPT] * len(made)


def test_zstandard_is_unpacked(server: Server, lab: Lab) -> None:
    server.add("/x.tar.zst", COMPRESSORS["zst"](PLAIN))
    assert synced(lab, entry(server, "/x.tar.zst")).state is State.FETCHED
    assert tree(lab.placed("corpus")) == FILES


def test_7z_is_unpacked(server: Server, lab: Lab, tmp_path: Path) -> None:
    server.add("/x.7z", seven_zip(tmp_path, [(name, data, {"mtime": 1}) for name, data in FILES.items()]))
    assert synced(lab, entry(server, "/x.7z")).state is State.FETCHED
    assert tree(lab.placed("corpus")) == FILES


def test_a_compressed_file_is_called_after_its_url(server: Server, lab: Lab) -> None:
    for name in ("table", "rows"):
        server.add(f"/{name}.csv.gz", wrap("gz", b"1,2\n"))
    sha = hashlib.sha256(wrap("gz", b"1,2\n")).hexdigest()
    assert synced(lab, entry(server, "/table.csv.gz", sha256=sha)).state is State.FETCHED
    assert tree(lab.placed("corpus")) == {"table.csv": b"1,2\n"}
    assert synced(lab, entry(server, "/rows.csv.gz", sha256=sha)).state is State.LINKED
    assert tree(lab.placed("corpus")) == {"rows.csv": b"1,2\n"}


def test_what_is_unpacked_is_written_down_and_told(server: Server, lab: Lab) -> None:
    data = wrap("gz", PLAIN)
    row = synced(lab, entry(server, path="data/corpus", unpack={"strip": 1, "include": ["**/*.jsonl"]}, env="CORPUS"))
    how, sha = Unpack(1, ("**/*.jsonl",)), hashlib.sha256(data).hexdigest()
    assert (row.path, row.unpack, row.link) == (lab.placed("data/corpus"), how, LinkType.COPY)
    assert (row.size_bytes, row.sha256, row.bytes_fetched) == (len(data), sha, len(data))
    assert set(tree(lab.placed("data/corpus"))) == {"a.jsonl", "b/c.jsonl"}
    line = read_receipt(lab.prefix())["corpus"]
    assert (line.unpack, line.sha256, line.size_bytes, line.env) == (how, sha, len(data), "CORPUS")
    assert [member[0] for member in json.loads(listed(lab).read_text())["members"]] == ["a.jsonl", "b/c.jsonl"]
    hook = (lab.prefix() / "etc" / "conda" / "activate.d" / "conda-assets.sh").read_text()
    assert "share/assets/data/corpus" in hook
    steps = [event for event in lab.seen if isinstance(event, Unpacking)]
    assert (steps[-1].done_bytes, steps[-1].size_bytes) == (len(data), len(data))
    assert isinstance(lab.seen[-1], Finished)
    assert sorted(lab.placed("data").iterdir()) == [lab.placed("data/corpus")], "nothing of the work is left"


def test_older_receipts_read_and_files_have_no_unpack(server: Server, lab: Lab) -> None:
    synced(lab, {"name": "corpus", "url": server.url("/corpus.tar.gz")})
    path = receipt_path(lab.prefix())
    document = json.loads(path.read_text())
    assert document["assets"][0].pop("unpack") is None
    path.write_text(json.dumps(document))
    assert read_receipt(lab.prefix())["corpus"].unpack is None


def test_a_second_environment_unpacks_from_the_store(server: Server, lab: Lab) -> None:
    synced(lab, entry(server))
    server.forget()
    assert synced(lab, entry(server), name="second").state is State.LINKED
    assert server.requests == []
    assert tree(lab.placed("corpus", "second")) == FILES


def test_fetch_fills_the_store_and_unpacks_nothing(server: Server, lab: Lab) -> None:
    row = synced(lab, entry(server), place=False)
    assert row.path is not None
    assert (row.path.read_bytes(), row.unpack) == (wrap("gz", PLAIN), None)
    assert not lab.placed("corpus").exists()


@pytest.mark.parametrize(
    ("change", "files"),
    [
        ({"unpack": {"strip": 1}}, BARE),
        ({"unpack": {"include": ["top/*.txt"]}}, {"top/note.txt": FILES["top/note.txt"]}),
        ({"path": "corpus/inner"}, FILES),
    ],
    ids=["strip", "include", "path"],
)
def test_another_way_in_the_file_unpacks_again(
    server: Server, lab: Lab, change: dict[str, object], files: dict[str, bytes]
) -> None:
    synced(lab, entry(server))
    server.close()
    lab.write([entry(server) | change])
    assert health(lab).state is Health.OUTDATED
    row = lab.sync().outcomes[0]
    assert (row.state, row.error, warnings(lab)) == (State.LINKED, None, [])
    assert row.path is not None
    assert tree(row.path) == files
    assert sum(1 for path in lab.placed("").rglob("*") if path.is_file()) == len(files), "nothing of before is left"
    assert health(lab).state is Health.PRESENT


def test_another_archive_replaces_ours_and_keeps_what_is_the_users(server: Server, lab: Lab) -> None:
    synced(lab, entry(server))
    top = lab.placed("corpus/top")
    change(top / "a.jsonl", b"edited")
    (top / "mine.txt").write_bytes(b"mine")
    assert synced(lab, entry(server, "/newer.tar")).state is State.FETCHED
    assert tree(top) == {"a.jsonl": b"another line\n", "a.jsonl.orig": b"edited", "mine.txt": b"mine", "new.txt": b"new\n"}
    (said,) = warnings(lab)
    assert "top/a.jsonl.orig" in said
    assert "top/mine.txt" in said


def test_a_file_becomes_a_folder_and_a_file_again(server: Server, lab: Lab) -> None:
    fields = entry(server) | {"unpack": False}
    synced(lab, fields)
    assert synced(lab, entry(server)).state is State.LINKED
    assert tree(lab.placed("corpus")) == FILES
    assert synced(lab, fields).state is State.LINKED
    assert lab.placed("corpus").read_bytes() == wrap("gz", PLAIN)
    assert (warnings(lab), listed(lab).exists()) == ([], False)
    change(lab.placed("corpus"), b"edited")
    synced(lab, entry(server))
    assert lab.placed("corpus.orig").read_bytes() == b"edited"


def test_a_folder_with_the_users_files_does_not_become_a_file(server: Server, lab: Lab) -> None:
    synced(lab, entry(server))
    (lab.placed("corpus") / "mine.txt").write_bytes(b"mine")
    row = synced(lab, entry(server) | {"unpack": False})
    assert row.error is not None
    assert "is a folder" in row.error.message
    assert tree(lab.placed("corpus")) == {"mine.txt": b"mine"}


def test_prune_takes_ours_and_leaves_the_users(server: Server, lab: Lab) -> None:
    synced(lab, entry(server), entry(server, "/newer.tar", name="other"))
    (lab.placed("corpus") / "mine.txt").write_bytes(b"mine")
    lab.write([])
    lab.sync(options=Options(prune=True))
    assert tree(lab.placed("")) == {"corpus/mine.txt": b"mine"}
    assert (read_receipt(lab.prefix()), list(listed(lab).parent.iterdir())) == ({}, [])
    (said,) = warnings(lab)
    assert said == f"{lab.placed('corpus')} stays with files that are yours, or were changed: mine.txt"


@pytest.mark.parametrize("unpack", [True, False], ids=["folder", "file"])
def test_pruning_an_old_name_leaves_what_stands_there_now(server: Server, lab: Lab, unpack: bool) -> None:
    synced(lab, entry(server, path="data", unpack=unpack))
    synced(lab, entry(server, path="data", unpack=unpack, name="renamed"), prune=True)
    assert set(read_receipt(lab.prefix())) == {"renamed"}
    assert lab.placed("data").exists()
    assert health(lab).state is Health.PRESENT
    assert listed(lab, "renamed").exists() is unpack
    assert not listed(lab).exists()


def test_status_looks_at_every_file_without_reading(server: Server, lab: Lab) -> None:
    synced(lab, entry(server))
    folder = lab.placed("corpus")
    assert health(lab).state is Health.PRESENT
    rot(folder / "top" / "note.txt")
    assert health(lab).state is Health.PRESENT, "this costs a stat a file"
    (folder / "mine.txt").write_bytes(b"files of the user do not matter")
    assert health(lab).state is Health.PRESENT
    (folder / "top" / "a.jsonl").unlink()
    row = health(lab)
    assert (row.state, row.because) == (Health.DAMAGED, f"files in {folder} were changed or are gone")
    assert synced(lab, entry(server)).state is State.LINKED
    listed(lab).unlink()
    assert health(lab).state is Health.DAMAGED
    shutil.rmtree(folder)
    assert health(lab).state is Health.MISSING


def test_verify_names_damaged_files_and_repair_unpacks_again(server: Server, lab: Lab) -> None:
    synced(lab, entry(server))
    top = lab.placed("corpus/top")
    rot(top / "note.txt")
    change(top / "a.jsonl", b"edited")
    said = lab.run("verify", "-p", str(lab.prefix()), "--json")
    (row,) = said.rows().values()
    assert (said.status, row["state"], row["unpack"]) == (4, "damaged", {"strip": 0, "include": []})
    error = row["error"]
    assert isinstance(error, dict)
    assert error["code"] == FilesDamaged.code
    assert [member["path"] for member in error["members"]] == ["top/a.jsonl", "top/note.txt"]
    server.close()
    mended = lab.run("verify", "--repair", "-p", str(lab.prefix()), "--json")
    assert (mended.status, mended.rows()["corpus"]["state"]) == (0, "linked")
    assert tree(lab.placed("corpus")) == {**FILES, "top/a.jsonl.orig": b"edited"}
    assert lab.run("verify", "-p", str(lab.prefix())).status == 0


def test_repair_fetches_the_archive_anew_when_the_stored_one_is_damaged_too(server: Server, lab: Lab) -> None:
    row = synced(lab, entry(server))
    (stored,) = stored_files(row)
    rot(stored)
    rot(lab.placed("corpus/top/note.txt"))
    report = verify(lab.target())
    assert [each.state for each in report.outcomes] == [Health.DAMAGED]
    assert repair(lab.spec(), lab.target(), lab.settings(), report).outcomes[0].state is State.FETCHED
    assert tree(lab.placed("corpus")) == FILES


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (wrap("gz", PLAIN)[:-20], ArchiveRefused),
        (tar(TarMember("ok.txt", b"ok"), TarMember("../../../outside.txt", b"evil")), ArchiveRefused),
        (b"<!DOCTYPE html><p>not an archive at all", NotAnArchive),
    ],
    ids=["cut", "hostile", "page"],
)
def test_a_bad_archive_fails_alone_and_writes_nothing(server: Server, lab: Lab, data: bytes, error: type[ArchiveRefused]) -> None:
    server.add("/bad", data)
    lab.write([entry(server, "/bad"), entry(server, name="good")])
    bad, good = lab.sync().outcomes
    assert (bad.state, type(bad.error), good.state) == (State.FAILED, error, State.FETCHED)
    assert bad.error is not None
    assert bad.error.exit_code == 1
    assert sorted(lab.placed("").iterdir()) == [lab.placed("good")]
    assert not list(lab.folder.rglob("outside.txt"))
    assert set(read_receipt(lab.prefix())) == {"good"}
    server.forget()
    assert lab.sync().outcomes[0].state is State.FAILED
    assert server.requests == [], "the archive is in the store"


def test_a_project_folder_is_listed_below_the_prefix(server: Server, lab: Lab) -> None:
    row = synced(lab, entry(server, root="project", path="data/corpus"))
    assert row.path == lab.folder / "data" / "corpus"
    assert (tree(row.path), listed(lab).exists()) == (FILES, True)
    lab.write([])
    lab.sync(options=Options(prune=True))
    assert not (lab.folder / "data").exists()


def test_the_program_tells_folder_plan_and_list(server: Server, lab: Lab) -> None:
    lab.write([entry(server, unpack={"strip": 1}, env="CORPUS")])
    prefix = str(lab.prefix())
    planned = lab.run("sync", "-p", prefix, "--dry-run", "--json").rows()["corpus"]
    assert (planned["action"], planned["unpack"]) == ("fetch", {"strip": 1, "include": []})
    assert not lab.placed("").exists()
    done = lab.run("sync", "-p", prefix, "--json").rows()["corpus"]
    assert (done["state"], done["link"], done["unpack"]) == ("fetched", "copy", {"strip": 1, "include": []})
    assert lab.run("path", "corpus", "-p", prefix).out.strip() == str(lab.placed("corpus"))
    assert lab.run("list", "-p", prefix, "--json").rows()["corpus"]["unpack"] == {"strip": 1, "include": []}
    assert "unpacked" in lab.run("list", "-p", prefix).out


def test_a_variable_of_the_user_wins(server: Server, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORPUS", "/elsewhere")
    assert synced(lab, entry(server, env="CORPUS")).state is State.SKIPPED
    assert server.requests == []


def test_an_interruption_ends_an_unpacking_and_leaves_the_old_folder(server: Server, lab: Lab) -> None:
    synced(lab, entry(server))
    server.add("/large.tar", tar(*(TarMember(f"top/{number}", os.urandom(1 << 20)) for number in range(48))))
    synced(lab, entry(server, "/large.tar"), place=False)
    steps: list[Unpacking] = []

    def press_control_c(event: Event) -> None:
        if isinstance(event, Unpacking):
            if not steps:
                os.kill(os.getpid(), signal.SIGINT)
            steps.append(event)

    with pytest.raises(KeyboardInterrupt):
        sync(lab.spec(), lab.target(), lab.settings(), watch=press_control_c)
    assert steps[-1].done_bytes < steps[-1].size_bytes
    assert tree(lab.placed("corpus")) == FILES
    assert [path.name for path in lab.placed("").iterdir()] == ["corpus"]


def test_a_private_folder_is_writable_and_may_be_edited(server: Server, lab: Lab) -> None:
    server.add("/linked.tar", tar(TarMember("a.txt", b"one"), TarMember("b.txt", type=b"1", link="a.txt")))
    synced(lab, entry(server, "/linked.tar", link="copy"))
    folder = lab.placed("corpus")
    (folder / "a.txt").write_bytes(b"edited")
    assert tree(folder) == {"a.txt": b"edited", "b.txt": b"one"}
    assert health(lab).state is Health.PRESENT
    assert lab.sync().outcomes[0].state is State.KEPT
    assert synced(lab, entry(server, "/linked.tar")).state is State.LINKED
    assert tree(folder) == {"a.txt": b"one", "a.txt.orig": b"edited", "b.txt": b"one"}


def test_unpacking_does_not_hold_up_transfers(server: Server, lab: Lab) -> None:
    threads: set[threading.Thread] = set()

    def watch(event: Event) -> None:
        if isinstance(event, Unpacking):
            threads.add(threading.current_thread())

    lab.write([entry(server)])
    sync(lab.spec(), lab.target(), lab.settings(), watch=watch)
    assert threads
    assert threading.current_thread() not in threads


def test_a_stored_archive_that_was_damaged_is_not_unpacked_but_fetched_anew(server: Server, lab: Lab) -> None:
    """A tar has no checksums: nobody could tell wrong files from right ones."""
    row = synced(lab, entry(server, "/newer.tar"))
    (stored,) = stored_files(row)
    rot(stored)
    row = synced(lab, entry(server, "/newer.tar"), name="second")
    assert isinstance(row.error, ArchiveRefused)
    assert row.error.message == f"corpus: {stored} has been damaged since it was stored, and is moved away"
    assert not lab.placed("corpus", "second").exists()
    assert synced(lab, entry(server, "/newer.tar"), name="second").state is State.FETCHED
    assert len(tree(lab.placed("corpus", "second"))) == 2


def test_conda_doctor_mends_a_folder_by_the_receipt(server: Server, lab: Lab) -> None:
    synced(lab, entry(server, unpack={"strip": 1}))
    rot(lab.placed("corpus/note.txt"))
    (lab.placed("corpus") / "a.jsonl").unlink()
    lab.file.unlink()
    server.close()
    assert inside.to_mend(lab.prefix()) == ("corpus",)
    assert inside.mend(lab.prefix(), {"quiet": True}).exit_code == 0
    assert tree(lab.placed("corpus")) == BARE
    assert inside.to_mend(lab.prefix()) == ()


@pytest.mark.parametrize("turned", [False, True], ids=["file-first", "folder-first"])
def test_assets_that_change_places_lose_nothing(server: Server, lab: Lab, turned: bool) -> None:
    """Also a file and a folder: what one leaves, the other may stand on already."""
    file = {"name": "file", "url": server.url("/newer.tar")}
    synced(lab, {**file, "path": "x"}, entry(server, path="y"))
    entries = [{**file, "path": "y"}, entry(server, path="x")]
    lab.write(entries[::-1] if turned else entries)
    assert [row.state for row in lab.sync().outcomes] == [State.LINKED, State.LINKED]
    assert (lab.placed("y").read_bytes(), tree(lab.placed("x"))) == (NEWER, FILES)
    assert sorted(path.name for path in lab.placed("").iterdir()) == ["x", "y"]
    assert warnings(lab) == []
    assert [row.state for row in lab.sync().outcomes] == [State.KEPT, State.KEPT]


def test_what_a_killed_run_left_goes_also_when_nothing_is_to_be_unpacked(server: Server, lab: Lab) -> None:
    """Another run may have done its work meanwhile."""
    synced(lab, entry(server))
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
    left = lab.placed(f".corpus.{host}-{killed.pid}.unpacking")
    (left / "new").mkdir(parents=True)
    (left / "old-0" / "top").mkdir(parents=True)
    (left / "old-0" / "top" / "mine.txt").write_bytes(b"mine")
    assert lab.sync().outcomes[0].state is State.KEPT
    assert tree(lab.placed("")) == {f"corpus/{name}": data for name, data in {**FILES, "top/mine.txt": b"mine"}.items()}
    (said,) = warnings(lab)
    assert said.endswith("they are kept: top/mine.txt")
