"""Writing into a store folder: folders and small files, in the mode of the store, whatever the umask."""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from conda_assets.errors import StoreFailed
from conda_assets.records import dataclass
from conda_assets.store.tree import LAYOUT_VERSION, Tree

__all__ = ["Ground", "break_ground", "sync_folder"]

# Source: https://bford.info/cachedir/
# A folder may be taken away as empty in the very moment in which it is made.
_TURNS = 100
_TAG = """Signature: 8a477f597d28d172789f06886806bc55
# Files that conda-assets can fetch again. Backups may skip this folder.
"""


@dataclass(frozen=True, slots=True)
class Ground:
    """A store folder that exists. `mode` and `gid` are its own, and become those of what is made in it.

    0700 is a private store; group or world writable, with setgid and sticky bit or without, a shared one.
    """

    tree: Tree
    mode: int
    gid: int

    @property
    def file_mode(self) -> int:
        """For lock files and the like: whoever may write the folder may write them."""
        return self.mode & 0o666

    def folder(self, path: Path, *, sticky: bool = True) -> Path:
        """Make a folder below the store, and those above it. `sticky`: inherit that bit.

        Raises:
            StoreFailed: something else stands there, for instance a link that somebody planted.
            OSError: the file system refuses.
        """
        mode = self.mode if sticky else self.mode & ~stat.S_ISVTX
        here = self.tree.folder
        for name in path.relative_to(here).parts:
            here /= name
            for _ in range(_TURNS):
                if _is_folder(here):
                    break
                self._make(here, mode)
            else:
                raise FileNotFoundError(errno.ENOENT, "a folder vanished whenever it was made", str(here))
        return path

    def write(self, path: Path, text: str, *, durable: bool = False) -> None:
        """Write a small file whole: a reader sees the old text or the new one.

        Raises:
            OSError: the file system refuses; nothing is left beside the file then.
        """
        fresh = path.with_name(f".{secrets.token_hex(8)}")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                # The umask of whoever writes must not keep the others of a group from reading.
                fresh.chmod(0o644)
                if durable:
                    os.fsync(file.fileno())
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise

    def _make(self, path: Path, mode: int) -> None:
        if not mode & 0o7077:
            # `exist_ok` fails when the folder that was in the way is taken away in the next moment.
            with suppress(FileExistsError):
                path.mkdir(0o700)
            return
        # Complete before it has its name: a kill between mkdir and chmod would lock the rest of the group out for good.
        fresh = path.with_name(f".{secrets.token_hex(8)}")
        fresh.mkdir(0o700)
        if hasattr(os, "chown") and fresh.lstat().st_gid != self.gid:
            # Refused to who is not a member of that group: the folder is then shared by its mode for all, if at all.
            with suppress(PermissionError):
                os.chown(fresh, -1, self.gid)
        fresh.chmod(mode)
        try:
            fresh.rename(path)
        except OSError as error:
            fresh.rmdir()
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY) and not _is_folder(path):
                raise


def break_ground(tree: Tree) -> Ground:
    """Make the store, or find it made.

    Raises:
        StoreFailed: a newer layout, something that is no folder, or a file system that cannot hold a store.
        OSError: the file system refuses.
    """
    tree.folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        tree.folder.mkdir(0o700)
    # Followed: the store folder itself may be a link that its owner made, to a larger disk.
    if tree.folder.is_symlink() and not tree.folder.exists():
        raise StoreFailed(f"the store {tree.folder} is a link that leads nowhere")
    info = tree.folder.stat()
    if not stat.S_ISDIR(info.st_mode):
        raise StoreFailed(f"{tree.folder} is not a folder, so it cannot hold the store")
    ground = Ground(tree, stat.S_IMODE(info.st_mode) | 0o700, info.st_gid)
    if not tree.check_version():
        try:
            if not any(tree.folder.iterdir()):
                _try_replacing(tree.folder)
                _write_tag(ground)
            ground.write(tree.marker, json.dumps({"store": "conda-assets", "version": LAYOUT_VERSION}) + "\n", durable=True)
        except PermissionError:
            # In a folder with the sticky bit: another user has just written them, and they are that user's.
            if not tree.check_version():
                raise
    return ground


def _write_tag(ground: Ground) -> None:
    tag = ground.tree.folder / "CACHEDIR.TAG"
    try:
        ground.write(tag, _TAG)
    except PermissionError:
        # As the marker, which that user need not have written yet.
        if not tag.exists():
            raise


def _try_replacing(folder: Path) -> None:
    """Locks and links can be done without; a file that is whole at any time cannot.

    Raises:
        StoreFailed: this file system does not rename files, or not over others.
    """
    old, new = (folder / f".{secrets.token_hex(8)}" for _ in range(2))
    try:
        for path in (old, new):
            path.touch(0o600)
        new.replace(old)
    except OSError as error:
        why = f"does not let a file replace another one by its name ({error.strerror})"
        raise StoreFailed(f"the file system of {folder} {why}, which a store needs") from error
    finally:
        for path in (old, new):
            path.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut, where folders can be synced."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_folder(path: Path) -> bool:
    try:
        info = path.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(info.st_mode):
        kind = "a link" if stat.S_ISLNK(info.st_mode) else "a file"
        raise StoreFailed(f"{path} is {kind}, expected a folder that conda-assets made; remove it")
    return True
