"""Stores where something is lacking: hardlinks, symlinks, flock, a rename over a file. Right results, or a clear refusal."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from lab import Lab, Said
from server import Server, Virtual

pytestmark = pytest.mark.slow

BODY = Virtual(2_500_000, seed=8).read(0, 2_500_000)
# What the system calls do there, for this process; before anything of ours is loaded.
POOR = """
import errno, fcntl, os, sys

def refuse(number):
    def call(*_, **__):
        raise OSError(number, os.strerror(number))
    return call
def only_to_free_names(call):
    def rename(old, new, **folders):
        if os.path.lexists(new):
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), new)
        return call(old, new, **folders)
    return rename
lacks = sys.argv.pop(1).split(",")
if "hardlinks" in lacks:
    os.link = refuse(errno.EPERM)
if "symlinks" in lacks:
    os.symlink = refuse(errno.EPERM)
if "flock" in lacks:
    fcntl.flock = refuse(errno.ENOLCK)
if "replacing" in lacks:
    os.replace, os.rename = only_to_free_names(os.replace), only_to_free_names(os.rename)
if "renaming" in lacks:
    os.replace = os.rename = refuse(errno.ENOSYS)
if "pathlib" in sys.modules and hasattr(sys.modules["pathlib"], "_NormalAccessor"):  # Python 3.10
    for name in ("link", "symlink", "replace", "rename"):
        setattr(sys.modules["pathlib"]._NormalAccessor, name, staticmethod(getattr(os, name)))
from conda_assets.cli import main
sys.exit(main())
"""


def run(lab: Lab, lacks: str, *words: str) -> Said:
    command = [sys.executable, "-c", POOR, lacks, *words, "-f", str(lab.file)]
    done = subprocess.run(command, cwd=lab.folder, capture_output=True, text=True, timeout=60, check=False)
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("lacks", "link"),
    [("hardlinks", "symlink"), ("flock", "hardlink"), ("hardlinks,symlinks,flock", "copy")],
    ids=["no hardlinks", "no flock", "nothing at all"],
)
def test_without_links_and_locks_all_is_right(tmp_path: Path, lacks: str, link: str) -> None:
    lab = Lab(tmp_path / "lab")
    with Server() as server:
        url = server.add("/w.bin", BODY)
        lab.write([{"name": "w", "url": url, "sha256": hashlib.sha256(BODY).hexdigest()}, {"name": "v", "url": url}])
        said = run(lab, lacks, "fetch", "--json")
        assert said.status == 0, said.err
    said = run(lab, lacks, "sync", "-p", str(lab.prefix()), "--offline", "--json")
    assert said.status == 0, said.err
    assert {row["link"] for row in said.rows().values()} <= {link, "reflink"}
    assert (lab.placed("w").read_bytes(), lab.placed("v").read_bytes()) == (BODY, BODY)


@pytest.mark.parametrize(
    ("lacks", "why"),
    [("replacing", "File exists"), ("renaming", "Function not implemented")],
    ids=["not over a file", "not at all"],
)
def test_where_files_cannot_be_replaced_no_store_is_made(
    tmp_path: Path, lacks: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, store = Lab(tmp_path / "lab"), tmp_path / "poor"
    monkeypatch.setenv("CONDA_ASSETS_STORE", str(store))
    (tmp_path / "w").write_bytes(b"w")
    lab.write([{"name": "w", "url": (tmp_path / "w").as_uri()}])
    said = run(lab, lacks, "fetch")
    assert said.status == 1
    assert f"the file system of {store} does not let a file replace another one by its name ({why})" in said.err
    assert "CONDA_ASSETS_STORE" in said.err
    assert list(store.iterdir()) == []
