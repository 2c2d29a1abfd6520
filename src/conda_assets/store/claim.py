"""The right to bring one file into the store: how it is got, what it ends in."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from conda_assets.digest import Digest
from conda_assets.errors import StoreFailed
from conda_assets.model import Stored
from conda_assets.store.ground import sync_folder
from conda_assets.store.refusal import refusals
from conda_assets.store.run import Run, probe
from conda_assets.store.staging import is_taken, key_name, leaves, occupy, remove, tidy, vacate
from conda_assets.store.tree import Entry, Tree, look
from conda_assets.store.uses import deciding, mark_use

__all__ = ["Claim", "holder", "take"]

# A decision takes milliseconds; who needs longer than this has been stopped.
_DECIDING_S = 5.0
_LOOKING_S = 60.0


class Claim:
    """One file on its way, and nobody else's meanwhile. Ends with `adopt` or `release`, also as a context manager.

    `data`: where the bytes go, in a folder of ours (0700) in which a transport may keep its own files too; what an earlier
    run left of it may stand there.
    """

    def __init__(self, run: Run, leaf: Path, give_back: Callable[[], None], *, holds: bool) -> None:
        self._run, self._ground, self._uid = run, run.ground, run.uid
        self._leaf, self._give_back, self._holds = leaf, give_back, holds
        self._open = True
        self.data = leaf / "data"

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def adopt(self, *, digests: Mapping[str, Digest], size_bytes: int, urls: Sequence[str] = ()) -> Stored:
        """Give `data` its final name and end the claim. Nobody may be writing it any more.

        Args:
            digests: algorithm → digest of the bytes, with sha256 among them; the others become aliases.
            size_bytes: how many were hashed.
            urls: URLs that gave these bytes and that no digest stands beside.

        Raises:
            StoreFailed: what stands there is not the file that was hashed, or the system refuses.
            DiskFull: no room for the small files.
        """
        folder = self._ground.tree.folder
        sha256 = digests["sha256"].hex
        final = self._ground.tree.object(sha256)
        with refusals(folder, f"adopt {self.data} into", size_bytes):
            descriptor = self._open_checked(size_bytes)
            try:
                # Names first: a kill in between leaves names that lead nowhere, which is harmless, and not a file without names.
                entry = Entry(sha256, size_bytes)
                for digest in digests.values():
                    if digest.algorithm != "sha256":
                        self._note(self._ground.tree.alias(digest), entry)
                for url in urls:
                    self._note(self._ground.tree.url(url), entry)
                shelf = self._ground.folder(final.parent)
                known = self._known(sha256, size_bytes)
                if known is None:
                    _seal(descriptor, self.data)
            finally:
                os.close(descriptor)
            # What the transport kept goes first: a kill after the move then leaves an empty folder and no rubbish in it.
            self._clear(but="data" if known is None else "")
            if known is None:
                _move(self.data, final)
                sync_folder(shelf)
                sync_folder(shelf.parent)
        stored = self._ground.tree.stored(sha256, size_bytes)
        if stored is None:
            raise StoreFailed(f"{final} vanished as soon as it was written")
        self.release()
        return stored

    @property
    def store_folder(self) -> Path:
        """Of the store that the file goes into."""
        return self._ground.tree.folder

    def expect(self, *sha256: str) -> None:
        """Files with these hashes are about to be written: said before their first byte, that needs no mark of use.

        A collector that looks from now on sees the hold, and for one that has looked before, the file is too new.

        Raises:
            OSError: the file system refuses.
        """
        if self._holds:
            self._run.hold(*sha256)

    def shelve(self, path: str, digests: Mapping[str, Digest], size_bytes: int, known: dict[str, Path]) -> Stored:
        """Give one of several small files in the claim's folder its final name. The claim stays.

        It was expected, has been synced, and sealed. The folder it goes to is not synced: a name that a power cut takes costs a
        request. `known`: folders that exist, by how their files' names begin, kept by the caller.

        Raises:
            OSError: the file system refuses.
            StoreFailed: something stands in the way.
        """
        tree, sha256 = self._ground.tree, digests["sha256"].hex
        for digest in digests.values():
            if digest.algorithm != "sha256":
                self._note(tree.alias(digest), Entry(sha256, size_bytes))
        if (shelf := known.get(sha256[:2])) is None:
            known[sha256[:2]] = shelf = self._ground.folder(tree.object(sha256).parent)
        final = f"{shelf}/{sha256}"
        # What is not there yet, nobody can be about to delete.
        there = None
        if look(final, sha256) is not None or not self._holds:
            there = self._known(sha256, size_bytes)
        if there is not None:
            os.unlink(path)  # noqa: PTH108 - for each of thousands
            return there
        _move(path, final)
        info = look(final, sha256, size_bytes)
        if info is None:
            raise StoreFailed(f"{final} vanished as soon as it was written")
        return Stored(shelf / sha256, sha256, info.st_size, info.st_mtime_ns)

    def discard(self) -> None:
        """Delete what has arrived; the claim stays.

        Raises:
            StoreFailed: the system refuses.
        """
        with refusals(self._ground.tree.folder, f"empty {self._leaf} in"):
            self._clear()

    def release(self) -> None:
        """Give the right back; what has arrived stays for the next claimant. Safe to call twice."""
        if not self._open:
            return
        self._open = False
        try:
            with refusals(self._ground.tree.folder, f"release {self._leaf} in"):
                vacate(self._leaf)
        finally:
            self._give_back()

    def _known(self, sha256: str, size_bytes: int) -> Stored | None:
        """What stands there already; from here on no collector takes that, or what will stand there."""
        # With the lock even where nothing is held: a collector may just be about to delete what stands there.
        with deciding(self._run, sha256, seconds=_LOOKING_S):
            if self._holds:
                self._run.hold(sha256)
            mark_use(self._ground, sha256)
            return self._ground.tree.stored(sha256, size_bytes)

    def _open_checked(self, size_bytes: int) -> int:
        """A descriptor of `data`, which is a file of ours, of that size, that has no other name."""
        flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
        if stat.S_ISLNK(self.data.lstat().st_mode):
            raise StoreFailed(f"{self.data} is a link that somebody planted; nothing was adopted")
        descriptor = os.open(self.data, flags)
        info = os.fstat(descriptor)
        wrong = None
        if not stat.S_ISREG(info.st_mode):
            wrong = "is no file"
        elif info.st_nlink != 1:
            wrong = f"has {info.st_nlink} names, expected one"
        elif info.st_uid != self._uid:
            wrong = f"belongs to uid {info.st_uid}, expected {self._uid}"
        elif info.st_size != size_bytes:
            wrong = f"has {info.st_size} bytes, expected {size_bytes}"
        if wrong:
            os.close(descriptor)
            raise StoreFailed(f"{self.data} {wrong}; nothing was adopted")
        return descriptor

    def _note(self, path: Path, entry: Entry) -> None:
        self._ground.folder(path.parent)
        try:
            self._ground.write(path, entry.text())
        except PermissionError:
            # In a folder with the sticky bit a name belongs to who wrote it first: it stays as it is.
            if path.lstat().st_uid == self._uid:
                raise

    def _clear(self, *, but: str = "") -> None:
        for path in self._leaf.iterdir():
            if path.name != but:
                remove(path)


def take(run: Run, key: str, give_back: Callable[[], None], *, holds: bool = False) -> Claim | None:
    """Claim the key for the run, going on with what an earlier run left; None while another one has it.

    `holds`: what is adopted is kept from collectors until the run ends.

    Raises:
        StoreFailed: a planted link where a folder should be.
        OSError: the file system refuses.
    """
    ground = run.ground
    name = key_name(key)
    with deciding(run, name, seconds=_DECIDING_S) as alone:
        if not alone:
            return None
        hall = ground.folder(ground.tree.folder / "staging" / name)
        if is_taken(run, hall):
            return None
        leaf = occupy(run, hall)
        # Without a lock that works another run may have come in meanwhile. Both see that, and both may withdraw.
        if is_taken(run, hall):
            vacate(leaf)
            return None
    tidy(leaf, run.uid)
    return Claim(run, leaf, give_back, holds=holds)


def holder(tree: Tree, key: str) -> str:
    """Who has the key, for people."""
    perhaps = None
    for leaf in leaves(tree.folder / "staging" / key_name(key)):
        with suppress(OSError):  # given back, or over meanwhile
            free, who = probe(tree.folder / "runs" / leaf.name)
            if who is not None and not free:
                return str(who)
            perhaps = perhaps or who
    return str(perhaps or "another process")


def _seal(descriptor: int, path: Path) -> None:
    """Read-only, and on the disk."""
    if os.chmod in os.supports_fd:
        os.chmod(descriptor, 0o444)
    else:
        path.chmod(0o444)
    os.fsync(descriptor)


def _move(data: Path | str, final: Path | str) -> None:
    if os.name == "nt" and Path(final).is_file():
        Path(final).chmod(0o600)  # Windows does not replace read-only files
    try:
        os.replace(data, final)  # noqa: PTH105 - for each of thousands, who have no Path
    except OSError:
        if Path(final).is_dir() and not Path(final).is_symlink():
            raise StoreFailed(f"{final} is a folder, expected a file; remove it") from None
        raise
