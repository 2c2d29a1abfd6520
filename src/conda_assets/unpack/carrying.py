"""What is the user's in a folder that is replaced or removed: found, and moved over into the new one."""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import ExitStack

from conda_assets.paths import Spot, hold
from conda_assets.records import dataclass
from conda_assets.unpack.flow import BLOCK_BYTES
from conda_assets.unpack.manifest import Manifest, Member

__all__ = ["Ours", "carry", "discard", "sha256_of"]

_LEVELS = 100


@dataclass(frozen=True, slots=True)
class Ours:
    """Which files of a folder may go: those of the old manifest, and those of the new one, with the bytes they had.

    Files of the new one are there when a run was killed between the swap and the writing of the manifest, or when the user had
    unpacked the same archive by hand. `folders`: what stands above any of them.
    """

    old: Mapping[str, Member]
    new: Mapping[str, Member]
    folders: frozenset[str]

    @classmethod
    def of(cls, old: Manifest | None, new: Manifest | None) -> Ours:
        """From the manifests, either of which may be missing."""
        olds, news = ({member.path: member for member in each.members} if each else {} for each in (old, new))
        return cls(olds, news, _above(itertools.chain(olds, news)))

    def may_go(self, path: str, folder: Spot, name: str, info: os.stat_result) -> bool:
        """Whether nothing is lost with the file `name` in `folder`, whose path below the target is `path`.

        Read unless it looks as the old manifest says: that one we wrote, while a stranger can look like one of the new one.
        """
        if not stat.S_ISREG(info.st_mode):
            return False
        old, new = self.old.get(path), self.new.get(path)
        if old and (old.size_bytes, old.modified_ns) == (info.st_size, info.st_mtime_ns):
            return True
        known = [each for each in (old, new) if each and each.size_bytes == info.st_size]
        return bool(known) and sha256_of(folder, name) in {each.sha256 for each in known}


def carry(old: Spot, new: Spot, ours: Ours, kept: list[str]) -> None:
    """Move what is not ours from one folder into another: to the same path, or to `<path>.orig` where that is taken.

    A folder of the user's moves as it is. Paths of what was moved, as they are now, are added to `kept`.

    Raises:
        OSError: something cannot be moved, or a folder not be listed.
    """
    _carry(old, _Aim(new), "", ours, kept)


def discard(folder: Spot, ours: Ours, path: str = "") -> list[str]:
    """Delete what is ours in a folder, and folders that are empty then; the paths of what stays.

    Raises:
        OSError: something cannot be deleted, or a folder not be listed.
    """
    stay: list[str] = []
    for name in sorted(folder.names()):
        info = folder.look(name)
        if info is None:
            continue
        if stat.S_ISDIR(info.st_mode):
            folder.unlock(name)
            with hold(folder, name) as inside:
                below = discard(inside, ours, f"{path}{name}/")
            if not below:
                os.rmdir(folder.at(name), dir_fd=folder.descriptor)
            stay += below
        elif ours.may_go(path + name, folder, name, info):
            folder.remove(name)
        else:
            stay.append(path + name)
    return stay


def sha256_of(folder: Spot, name: str) -> str:
    """The digest of a file, in hex; a link is not followed.

    Raises:
        OSError: it cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    digest = hashlib.sha256(usedforsecurity=False)
    with os.fdopen(os.open(folder.at(name), flags, dir_fd=folder.descriptor), "rb", buffering=0) as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class _Aim:
    """A folder below `root` that is made only when something is put into it."""

    root: Spot
    names: tuple[str, ...] = ()

    def below(self, name: str) -> _Aim:
        return _Aim(self.root, (*self.names, name))

    def exists(self) -> bool:
        here = self.root
        with ExitStack() as stack:
            for name in self.names:
                info = here.look(name)
                if info is None or not stat.S_ISDIR(info.st_mode):
                    return False
                here = stack.enter_context(hold(here, name))
        return True

    def take(self, name: str, source: Spot) -> str:
        """Move `name` from another folder here; its path below the root."""
        here, path = self.root, ""
        with ExitStack() as stack:
            for each in self.names:
                folder = _name_for_folder(here, each)
                if here.look(folder) is None:
                    os.mkdir(here.at(folder), dir_fd=here.descriptor)
                here, path = stack.enter_context(hold(here, folder)), f"{path}{folder}/"
            free = next(each for each in _candidates(name) if here.look(each) is None)
            source.unlock(name)
            source.rename(name, free, here)
        return path + free


def _carry(old: Spot, aim: _Aim, path: str, ours: Ours, kept: list[str]) -> None:
    """`path`: of `old` below the target, empty or with `/` at the end."""
    for name in sorted(old.names()):
        info = old.look(name)
        if info is None:
            continue
        if not stat.S_ISDIR(info.st_mode):
            if not ours.may_go(path + name, old, name, info):
                kept.append(aim.take(name, old))
            continue
        old.unlock(name)
        if path + name in ours.folders or aim.below(name).exists():
            with hold(old, name) as inside:
                _carry(inside, aim.below(name), f"{path}{name}/", ours, kept)
        elif _holds_files(old, name):
            # Empty ones may come from the archive, which a manifest does not tell.
            kept.append(f"{aim.take(name, old)}/")


def _holds_files(above: Spot, name: str, levels: int = _LEVELS) -> bool:
    """Whether a folder is more than folders; a very deep one is taken to be."""
    if levels == 0:
        return True
    above.unlock(name)
    with hold(above, name) as folder:
        for each in folder.names():
            info = folder.look(each)
            if info is not None and (not stat.S_ISDIR(info.st_mode) or _holds_files(folder, each, levels - 1)):
                return True
    return False


def _name_for_folder(above: Spot, name: str) -> str:
    """The name, or with `.orig` where a file has it."""
    for candidate in _candidates(name):
        info = above.look(candidate)
        if info is None or stat.S_ISDIR(info.st_mode):
            return candidate
    raise AssertionError("unreachable: candidates do not end")


def _candidates(name: str) -> Iterable[str]:
    """The name, `<name>.orig`, `<name>.orig.1` …"""
    yield name
    yield f"{name}.orig"
    for number in itertools.count(1):
        yield f"{name}.orig.{number}"


def _above(paths: Iterable[str]) -> frozenset[str]:
    folders: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return frozenset(folders)
