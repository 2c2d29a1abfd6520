"""The store's register of environments: who uses what, for collectors that cannot see an environment, or not yet.

    roots/<sha256 of uid, volume and prefix>
        {"prefix": "/opt/envs/bert", "place": ["node7", "/opt", 131073], "settled": true, "sha256": ["248d…"],
         "outside": [{"path": "/home/anna/project/w.bin", "place": ["nfs4 filer:/home", "/home", 2], "sha256": "248d…"}]}

A sync writes it before it places anything, with all that it may place (`settled` is false then), and again behind its receipt.
Where the receipt can be read, that decides; the list counts beside it while nothing is settled, and alone where it cannot.
`outside`: files in project folders, which stay when the environment goes.

`place` tells an environment that was removed from one that is not to be seen from here: its volume (the machine, or the network
file system, which many machines share), the highest folder above it on that volume, and that folder's inode number. Where a disk
was unmounted, another folder answers.
"""

from __future__ import annotations

import hashlib
import json
import os
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from conda_assets.machine import this_machine
from conda_assets.records import dataclass
from conda_assets.regexes import regex
from conda_assets.store.ground import Ground
from conda_assets.store.refusal import nearest
from conda_assets.store.tree import Tree

__all__ = [
    "HEX",
    "Outside",
    "Place",
    "Root",
    "Standing",
    "forget_root",
    "is_registered",
    "place_now",
    "read_roots",
    "unsettled",
    "write_root",
]

#: What looks like a sha256.
HEX = regex(r"\b[0-9a-f]{64}\b")

# File systems that several machines may have mounted, each under the same name of its source.
_NETWORK = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "lustre",
        "gpfs",
        "beegfs",
        "ceph",
        "glusterfs",
        "sshfs",
        "afs",
        "panfs",
        "orangefs",
        "pvfs2",
        "wekafs",
        "cvmfs2",
        "9p",
    }
)


class Standing(str, Enum):
    """Whether something is still where it was."""

    HERE = "here"
    OTHER = "other"  # something of that name is, on another machine's or volume's behalf
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a folder was; links are followed.

    `volume`: the name of the machine, or of a network file system. `mount`: the highest folder above it there, `mount_inode` that
    one's number.
    """

    path: Path
    volume: str
    mount: Path
    mount_inode: int

    @property
    def standing(self) -> Standing:
        """Whether it is still there. What was never to be seen from here cannot be missed here."""
        try:
            return Standing.HERE if _volume(self.path) == self.volume else Standing.OTHER
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError:
            return Standing.UNKNOWN
        try:
            known = self.mount.stat().st_ino == self.mount_inode and _volume(self.mount) == self.volume
        except OSError:
            known = False
        return Standing.GONE if known else Standing.UNKNOWN

    def to_json(self) -> list[object]:
        """As it stands in a root's file, beside the path."""
        return [self.volume, str(self.mount), self.mount_inode]


@dataclass(frozen=True, slots=True)
class Outside:
    """A file in a project folder. `place`: of the folder that it is in."""

    place: Place
    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Root:
    """An environment and what it uses. `file`: where that is written, None for what is only about to be."""

    place: Place
    settled: bool
    sha256: frozenset[str]
    outside: tuple[Outside, ...] = ()
    file: Path | None = None

    @property
    def prefix(self) -> Path:
        """The folder of the environment."""
        return self.place.path

    def text(self) -> str:
        """As it stands in its file."""
        head = {"prefix": str(self.prefix), "place": self.place.to_json(), "settled": self.settled}
        outside = [
            {"path": str(each.place.path / each.name), "place": each.place.to_json(), "sha256": each.sha256}
            for each in self.outside
        ]
        return json.dumps({**head, "sha256": sorted(self.sha256), "outside": outside}) + "\n"


def place_now(path: Path) -> Place:
    """Where a path is, or would be. Links above it are followed, as the disk that matters is behind them."""
    mount = Path(os.path.realpath(nearest(path)))
    device = mount.stat().st_dev
    while mount != mount.parent and mount.parent.stat().st_dev == device:
        mount = mount.parent
    return Place(path, _volume(mount), mount, mount.stat().st_ino)


def is_registered(tree: Tree, root: Root) -> bool:
    """Whether just that is written there already."""
    try:
        return _file(tree, root).read_text(encoding="utf-8") == root.text()
    except (OSError, UnicodeError):
        return False


def unsettled(tree: Tree, root: Root) -> frozenset[str]:
    """What an earlier sync of that environment, which did not come to its end, may have placed."""
    try:
        before = _parsed(json.loads(_file(tree, root).read_bytes()), _file(tree, root))
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return frozenset()
    return frozenset() if before.settled else before.sha256


def write_root(ground: Ground, root: Root) -> None:
    """Register, or replace what this user has registered for that environment on this machine.

    Raises:
        OSError: the file system refuses.
    """
    path = _file(ground.tree, root)
    ground.folder(path.parent)
    ground.write(path, root.text(), durable=root.settled)


def read_roots(tree: Tree) -> tuple[list[Root], frozenset[str]]:
    """The register; and what entries of another version, or damaged ones, seem to name.

    Raises:
        OSError: an entry cannot be read, so that nobody knows what it names.
    """
    roots, named = [], set[str]()
    folder = tree.folder / "roots"
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith("."):
            continue  # on its way
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            continue
        try:
            roots.append(_parsed(json.loads(text), path))
        except (ValueError, TypeError, KeyError, IndexError, RecursionError):
            named |= set(HEX.findall(text))
    return roots, frozenset(named)


def forget_root(root: Root) -> bool:
    """Take an environment out of the register; False when it is another user's, or was registered anew meanwhile."""
    assert root.file is not None
    try:
        if _parsed(json.loads(root.file.read_bytes()), root.file) != root:
            return False
        root.file.unlink()
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        return False
    return True


def _file(tree: Tree, root: Root) -> Path:
    uid = os.getuid() if hasattr(os, "getuid") else 0
    key = f"{uid}\0{root.place.volume}\0{root.prefix}"
    return tree.folder / "roots" / hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _volume(path: Path) -> str:
    """The network file system that an existing path is on, as all its clients call it; else this machine."""
    device = path.stat().st_dev
    for number, kind, source in _mounts():
        if number == device and kind.removeprefix("fuse.") in _NETWORK:
            return f"{kind} {source}"
    return this_machine().host


@cache
def _mounts() -> tuple[tuple[int, str, str], ...]:
    """Device number, type and source of what is mounted; nothing where the system does not say."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ()
    found = []
    for line in lines:
        # 36 35 98:0 /root /mnt rw,noatime shared:1 - ext4 /dev/sda1 rw,errors=continue. Source: proc_pid_mountinfo(5)
        head, _, tail = line.partition(" - ")
        major, _, minor = head.split()[2].partition(":")
        kind, source = tail.split()[:2]
        found.append((os.makedev(int(major), int(minor)), kind, source))
    return tuple(found)


def _parsed(content: dict[str, Any], path: Path) -> Root:
    files = [(Path(each["path"]), each["place"], str(each["sha256"])) for each in content["outside"]]
    outside = tuple(Outside(_place(file.parent, place), file.name, sha256) for file, place, sha256 in files)
    place = _place(content["prefix"], content["place"])
    return Root(place, bool(content["settled"]), frozenset(map(str, content["sha256"])), outside, path)


def _place(path: str | Path, place: list[Any]) -> Place:
    return Place(Path(path), str(place[0]), Path(place[1]), int(place[2]))
