"""Several store folders as one: all are read, the first that can be written is written."""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from conda_assets.digest import Digest, Pieces
from conda_assets.errors import StoreFailed
from conda_assets.model import Stored
from conda_assets.store.claim import Claim, holder, take
from conda_assets.store.ground import Ground, break_ground
from conda_assets.store.refusal import free_bytes, nearest, refusals
from conda_assets.store.roots import Root, is_registered, unsettled, write_root
from conda_assets.store.run import Run, begin_run, end_run
from conda_assets.store.staging import BATCH, key_name, leaves, sweep
from conda_assets.store.sums import read_sums, write_sums
from conda_assets.store.tray import Tray
from conda_assets.store.tree import Tree
from conda_assets.store.uses import bring, hold, who_brings

__all__ = ["Store", "open_stores"]


def open_stores(folders: Sequence[Path], *, holds: bool = False) -> Store:
    """The store made of these folders, at least one. They need not exist; nothing is made before the first claim.

    `holds`: what is found or brought is kept from collectors until `close`, for whoever will place it somewhere.
    """
    if not folders:
        raise StoreFailed("no store folder is set")
    return Store(tuple(Tree(Path(os.path.abspath(folder))) for folder in folders), holds=holds)


class Store:
    """Find files, claim the right to bring one. Safe for several threads; `close` it, or use it as a context manager."""

    def __init__(self, trees: tuple[Tree, ...], *, holds: bool = False) -> None:
        self._trees, self._holds = trees, holds
        # Runs in other folders than the one that is written, for what is held there; None where that is not allowed.
        self._beside: dict[Tree, Run | None] = {}
        self._known: set[Tree] = set()
        self._lock = threading.RLock()
        self._written: Tree | None = None
        self._run: Run | None = None
        self._end: weakref.finalize[[int, Path, int], Store] | None = None
        self._claims: dict[str, Claim] = {}

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def folders(self) -> tuple[Path, ...]:
        """All of them, in the order in which they are read."""
        return tuple(tree.folder for tree in self._trees)

    @property
    def folder(self) -> Path:
        """The one that is written: the first that can be; where none can, the first one."""
        return (self._writable() or self._trees[0]).folder

    def find(self, digest: Digest, size_bytes: int | None = None) -> Stored | None:
        """The file with that digest, sha256 directly, others as far as they were recorded when the file came.

        Raises:
            StoreFailed: a folder has a newer layout.
        """
        return next((found for tree in self._readable() if (found := self._kept(tree, tree.find(digest, size_bytes)))), None)

    def find_url(self, url: str) -> Stored | None:
        """The file that the URL gave when it was fetched without a hash.

        Raises:
            StoreFailed: a folder has a newer layout.
        """
        return next((found for tree in self._readable() if (found := self._kept(tree, tree.find_url(url)))), None)

    def claim(self, key: str) -> Claim | None:
        """The right to bring one file; None while somebody else has it, or a child of somebody killed still writes.

        Look again with `find` once you have it: the one who had it before may have brought the file.

        Raises:
            StoreFailed: no folder can be written, or the system refuses.
            DiskFull: no room for a folder.
        """
        with self._lock:
            run = self._running()
            if key in self._claims:
                return None
            with refusals(run.ground.tree.folder, "claim a place in"):
                claim = take(run, key, lambda: self._forget(key), holds=self._holds)
            if claim is not None:
                self._claims[key] = claim
            return claim

    def tray(self, keys: Sequence[str]) -> tuple[Tray | None, frozenset[str]]:
        """The right to bring many small files, by their keys, and which of them somebody else is bringing.

        None when that is all of them, or when this store has given such a right already.

        Raises:
            StoreFailed: no folder can be written, or the system refuses.
            DiskFull: no room for a folder.
        """
        with self._lock:
            run = self._running()
            if BATCH in self._claims:
                return None, frozenset()
            names = {key_name(key): key for key in keys}
            with refusals(run.ground.tree.folder, "claim a place in"):
                others = frozenset(names[name] for name in bring(run, list(names)))
                claim = None
                if len(others) < len(names):
                    claim = take(run, BATCH + run.name, lambda: self._forget_tray(run), holds=self._holds)
            if claim is None:
                return None, others
            self._claims[BATCH] = claim
        return Tray(claim), others

    def holder(self, key: str) -> str:
        """Who has the key, or brings that small file: `node7 pid 4711`, or `another process` where that cannot be told."""
        tree = Tree(self.folder)
        if (tree.folder / "staging" / key_name(key)).exists() or not tree.folder.exists():
            return holder(tree, key)
        with self._lock:
            return who_brings(self._running(), key_name(key))

    def inherit_fds(self) -> tuple[int, ...]:
        """What a child process that writes for a claim must be given as `pass_fds`; makes the store if it is not there.

        Raises:
            StoreFailed: no folder can be written.
        """
        with self._lock:
            return self._running().inherit_fds()

    def staged_bytes(self, key: str) -> int:
        """What an earlier run left of the file of that key, in bytes on the disk."""
        found = 0
        for leaf in leaves(self.folder / "staging" / key_name(key)):
            with suppress(OSError):
                found = max(found, (leaf / "data").lstat().st_blocks * 512)
        return found

    def free_bytes(self) -> int:
        """Room on the file system of `folder`.

        Raises:
            StoreFailed: the file system does not say.
        """
        with refusals(self.folder, "ask for the free space of"):
            return free_bytes(self.folder)

    def objects(self) -> Iterator[Stored]:
        """Every file of `folder`, in the order of its sha256."""
        return Tree(self.folder).objects()

    def size_bytes(self) -> int:
        """What the files of `folder` add up to."""
        return sum(stored.size_bytes for stored in self.objects())

    def quarantine(self, stored: Stored) -> Path | None:
        """Move a file that failed verification out of everybody's sight; where it is now, None if another one was faster.

        Raises:
            StoreFailed: the folder it is in may not be written.
        """
        tree = next((tree for tree in self._trees if tree.object(stored.sha256) == stored.path), None)
        if tree is None:
            raise StoreFailed(f"{stored.path} is not in any of the stores {', '.join(map(str, self.folders))}")
        with refusals(tree.folder, f"move the damaged {stored.sha256} away in"):
            folder = break_ground(tree).folder(tree.folder / "quarantine")
            aside = folder / f"{stored.sha256}.{secrets.token_hex(4)}"
            try:
                return stored.path.rename(aside)
            except FileNotFoundError:
                return None

    def pieces_of(self, sha256: str, size_bytes: int) -> Pieces | None:
        """The check sums of its pieces, as they were when it was right and of that size; None where nobody kept them."""
        return next((found for tree in self._trees if (found := read_sums(tree, sha256, size_bytes))), None)

    def note_pieces(self, stored: Stored, pieces: Pieces) -> None:
        """Keep the check sums of a file that has just been adopted; without room for them, it is only mended less cheaply."""
        with self._lock, suppress(OSError, StoreFailed):
            write_sums(self._running().ground, stored, pieces)

    def close(self) -> None:
        """Give every claim back and end the run. Call when no child writes any more; safe to call twice."""
        with self._lock:
            for claim in list(self._claims.values()):
                claim.release()
            self._stop()
            for run in self._beside.values():
                if run is not None:
                    run.end()
            self._beside = {}

    def unsettled(self, root: Root) -> frozenset[str]:
        """What a sync that did not come to its end may have placed in that environment."""
        return frozenset().union(*(unsettled(tree, root) for tree in self._trees))

    def register(self, root: Root) -> None:
        """Write down what an environment uses, in each folder that is there and may be written.

        Raises:
            StoreFailed: a folder has a newer layout.
        """
        for tree in self._readable():
            if tree in self._known and not is_registered(tree, root):
                # A store that only others write is collected by them alone, who see what they can.
                with suppress(OSError):
                    write_root(break_ground(tree), root)

    def _kept(self, tree: Tree, found: Stored | None) -> Stored | None:
        """What was found, kept from collectors if that is wanted; None when one was faster."""
        if found is None or not self._holds:
            return found
        with self._lock:
            run = self._running() if tree == self._writable() else self._run_beside(tree)
            if run is None:
                return found
            with refusals(tree.folder, f"hold {found.sha256} in"):
                return hold(run, found.sha256)

    def _run_beside(self, tree: Tree) -> Run | None:
        if tree not in self._beside:
            self._beside[tree] = None
            if not _refused(tree.folder):
                with suppress(OSError):
                    self._beside[tree] = begin_run(break_ground(tree))
        return self._beside[tree]

    def _forget(self, key: str) -> None:
        with self._lock:
            self._claims.pop(key, None)

    def _forget_tray(self, run: Run) -> None:
        self._forget(BATCH)
        with suppress(OSError):  # what others wait for then, until this run is over
            run.bring_no_more()

    def _readable(self) -> Iterator[Tree]:
        for tree in self._trees:
            if tree not in self._known and tree.check_version():
                self._known.add(tree)
            yield tree

    def _writable(self) -> Tree | None:
        if self._written is None:
            self._written = next((tree for tree in self._trees if not _refused(tree.folder)), None)
        return self._written

    def _running(self) -> Run:
        """This process's run, begun when first needed; anew in a forked child, and when the store was removed meanwhile."""
        run = self._run
        if run is not None and run.who.pid == os.getpid() and run.path.exists():
            return run
        if run is not None:
            self._claims = {}
            self._stop()
        tree = self._writable()
        if tree is None:
            reasons = "; ".join(f"{folder}: {_refused(folder)}" for folder in self.folders)
            raise StoreFailed(f"no store can be written ({reasons})")
        with refusals(tree.folder, "write into"):
            ground: Ground = break_ground(tree)
            self._run = run = begin_run(ground)
            self._end = weakref.finalize(self, end_run, run.descriptor, run.path, run.who.pid)
            run.clear_others()
            sweep(run)
        return run

    def _stop(self) -> None:
        if self._end is not None:
            self._end()
        self._run = self._end = None


def _refused(folder: Path) -> str:
    """Why nothing can be made in the folder, or made to make it; empty when it can. Leaves nothing behind."""
    place = nearest(folder)
    if not place.is_dir():
        return f"{place} is not a folder"
    try:
        # Without a name where the system has such files: a kill leaves nothing either.
        with tempfile.TemporaryFile(dir=place):
            return ""
    except OSError as error:
        # A full disk is said to be full when it comes to that, and no reason to write elsewhere.
        return "" if error.errno in (errno.ENOSPC, errno.EDQUOT) else (error.strerror or str(error))
