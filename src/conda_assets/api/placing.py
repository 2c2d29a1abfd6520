"""From the store into the environment: place files, keep the receipt and the activation hooks in step."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from conda_assets.activation import write_hooks
from conda_assets.api.places import boundary, folder_of, place_of
from conda_assets.api.unpacking import forget_files, known_files, remove_folder, tidy, unpack_into
from conda_assets.digest import digest_file
from conda_assets.errors import DiskRefused, UnsafePath
from conda_assets.events import Noted, Observer
from conda_assets.link import place, place_if_free, remove_placed, set_aside, stands
from conda_assets.locking import alone
from conda_assets.model import Asset, LinkMode, LinkType, Placed, Root, Stored, Target, shown_url
from conda_assets.paths import LastSpot
from conda_assets.plan import url_key
from conda_assets.receipt import read_receipt, receipt_path, write_receipt

__all__ = ["Ledger"]

_SAVE_EVERY_S = 2.0
# A receipt is written in milliseconds; who needs longer than this has been stopped.
_LONGEST_WRITE_S = 60.0
# Of files that stay, this many are named.
_NAMED = 5


class Ledger:
    """The receipt of one environment during one run. Several runs may change it: each merges its own lines under a lock.

    Safe for several threads: archives are unpacked beside transfers.
    """

    def __init__(self, target: Target, watch: Observer) -> None:
        self._target, self._watch = target, watch
        self.placed = read_receipt(target.prefix)
        self._index: dict[str, set[str]] | None = None
        self._changes: dict[str, Placed | None] = {}
        self._saved_at = time.monotonic()
        self._lock = threading.RLock()
        self._last, self._thread = LastSpot(), threading.get_ident()

    def put(self, asset: Asset, stored: Stored, *, revision: str | None = None) -> tuple[Placed, Path]:
        """Place a stored file for an asset, or unpack it; what stood there of the user's is kept aside, never lost. And where.

        `revision`: what the publisher called the version that came; where the store had it, an older line may know.

        Raises:
            UnsafePath, DiskRefused, DiskFull: it cannot stand there.
            NotAnArchive, ArchiveRefused: it cannot be unpacked.
        """
        path = self._target.folder(asset.root) / asset.path
        if asset.unpack is not None:
            return self._unpack(asset, stored, path), path
        before = self.placed.get(asset.name)
        if before is not None and before.unpack is not None:
            # First, since the one may stand inside the other.
            self._drop(before)
        for folder in [each for each in self._lines_at(path) if each.unpack is not None]:
            self._drop(folder)
        within = boundary(self._target, asset.root)
        # For one thread: what is staged comes by others.
        last = self._last if threading.get_ident() == self._thread else None
        link = place_if_free(stored, path, mode=asset.link, within=within, last=last)
        if link is None:
            if _lexists(path) and not self._is_ours(path) and not _is_a_name_of(path, stored):
                self._set_aside(path, within)
            link = place(stored, path, mode=asset.link, within=within, replace=True, last=last)
        # The file itself stands there, however it is called.
        modified_ns = stored.modified_ns if link in (LinkType.HARDLINK, LinkType.SYMLINK) else None
        if not revision and before is not None and (before.url_key, before.sha256) == (url_key(asset.url), stored.sha256):
            revision = before.revision
        placed = self._line(asset, path, stored.sha256, stored.size_bytes, link, modified_ns=modified_ns, revision=revision)
        self._note(placed, path)
        if before is not None and before.unpack is None and place_of(self._target, before) != path:
            self._drop(before)
        return placed, path

    def _unpack(self, asset: Asset, stored: Stored, path: Path) -> Placed:
        before, within = self.placed.get(asset.name), boundary(self._target, asset.root)
        # First too.
        if before is not None and place_of(self._target, before) != path:
            self._drop(before)
        if _lexists(path) and (path.is_symlink() or not path.is_dir()):
            if self._is_ours(path):
                remove_placed(path, within)
            else:
                self._set_aside(path, within)
        folders = [each.name for each in self._lines_at(path) if each.unpack is not None]
        old = known_files(self._target.prefix, folders[0] if folders and asset.name not in folders else asset.name)
        unpack_into(path, asset, stored, prefix=self._target.prefix, within=within, old=old, watch=self._watch)
        placed = self._line(asset, path, stored.sha256, stored.size_bytes, LinkType.COPY)
        self._note(placed, path)
        return placed

    def tidy(self, placed: Placed) -> None:
        """Clear away what killed runs left beside an unpacked folder."""
        tidy(placed.name, place_of(self._target, placed), self._within(placed), self._watch)

    def adopt(self, asset: Asset) -> Placed | None:
        """Take in what already stands at the asset's path when its bytes are the ones asked for; else None."""
        if asset.digest is None or asset.unpack is not None:
            return None
        place = f"{self._target.folder(asset.root)}/{asset.path}"
        try:
            info = os.lstat(place)
        except (OSError, ValueError):
            return None  # nearly always: no object is made for it
        if not stat.S_ISREG(info.st_mode) or not asset.fits(info.st_size):
            return None
        path, size_bytes = Path(place), info.st_size
        digests = digest_file(path, frozenset({"sha256", asset.digest.algorithm}))
        if digests[asset.digest.algorithm] != asset.digest:
            return None
        placed = self._line(asset, path, digests["sha256"].hex, size_bytes, LinkType.COPY)
        self._note(placed, path)
        return placed

    def remove(self, names: Iterable[str]) -> None:
        """Take assets out of the environment; an edited file stays and is told of."""
        for name in names:
            if placed := self.placed.get(name):
                self._forget(name)
                self._drop(placed)

    def save(self, *, now: bool = True) -> None:
        """Write what changed, merged into what other runs wrote meanwhile; unless `now`, at most every two seconds."""
        with self._lock:
            if self._changes and (now or time.monotonic() - self._saved_at > _SAVE_EVERY_S):
                self._merge()

    def close(self) -> None:
        """Hold nothing open any more; what changed stays to be saved."""
        self._last.close()

    def _merge(self) -> None:
        path = receipt_path(self._target.prefix)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with alone(path.with_name(".lock"), seconds=_LONGEST_WRITE_S) as mine:
                if not mine:
                    raise DiskRefused("receipt", f"another process keeps {path.with_name('.lock')} for over a minute")
                merged = read_receipt(self._target.prefix)
                for name, placed in self._changes.items():
                    if placed is None:
                        merged.pop(name, None)
                    else:
                        merged[name] = placed
                write_receipt(self._target.prefix, merged.values())
                write_hooks(self._target.prefix, self._variables(merged))
        except OSError as error:
            raise DiskRefused("receipt", f"{path} cannot be written: {error.strerror or error}") from error
        self.placed, self._changes, self._saved_at = merged, {}, time.monotonic()
        self._index = None

    def _variables(self, placed: Mapping[str, Placed]) -> dict[str, Path]:
        return {each.env: folder_of(self._target, each) for each in placed.values() if each.env}

    def _is_ours(self, path: Path) -> bool:
        """Some line of the receipt placed just this file there, and nobody has changed it since."""
        return any(stands(path, each) for each in self._lines_at(path))

    def _lines_at(self, path: Path) -> list[Placed]:
        """Lines of the receipt with that place: of this asset, or of one that had another name."""
        with self._lock:
            names = self._names_at.get(os.path.normcase(path))
            return [self.placed[name] for name in sorted(names)] if names else []

    @property
    def _names_at(self) -> dict[str, set[str]]:
        """Place, as the system compares it → names, because thousands of assets ask; made for the first that does."""
        if self._index is None:
            self._index = {}
            for name, placed in self.placed.items():
                self._index.setdefault(os.path.normcase(place_of(self._target, placed)), set()).add(name)
        return self._index

    def _set_aside(self, path: Path, within: Path) -> None:
        aside = set_aside(path, within=within)
        self._watch(Noted(f"{path} held something else; it is now {aside}", "warning"))

    def _line(
        self,
        asset: Asset,
        path: Path,
        sha256: str,
        size_bytes: int,
        link: LinkType,
        *,
        modified_ns: int | None = None,
        revision: str | None = None,
    ) -> Placed:
        return Placed(
            name=asset.name,
            path=asset.path,
            root=asset.root,
            sha256=sha256,
            size_bytes=size_bytes,
            modified_ns=path.stat().st_mtime_ns if modified_ns is None else modified_ns,
            link=link,
            source=shown_url(asset.url),
            url_key=url_key(asset.url),
            want=str(asset.digest) if asset.digest else None,
            env=asset.env,
            groups=asset.groups,
            optional=asset.optional,
            private=asset.link is LinkMode.COPY,
            project=str(self._target.project) if asset.root is Root.PROJECT else None,
            unpack=asset.unpack,
            member=asset.member,
            revision=revision,
        )

    def _note(self, placed: Placed, path: Path) -> None:
        with self._lock:
            for other in self._lines_at(path):
                # Renamed in the file: pruning the old name must not take what stands there now.
                if other.name != placed.name:
                    self._forget(other.name)
                    if other.unpack is not None:
                        forget_files(self._target.prefix, other.name)
            if placed.name in self.placed:
                self._forget(placed.name)
            self.placed[placed.name] = self._changes[placed.name] = placed
            self._names_at.setdefault(os.path.normcase(path), set()).add(placed.name)

    def _forget(self, name: str) -> None:
        with self._lock:
            self._names_at[os.path.normcase(place_of(self._target, self.placed.pop(name)))].discard(name)
            self._changes[name] = None

    def _drop(self, placed: Placed) -> None:
        path = place_of(self._target, placed)
        within = self._within(placed)
        if placed.unpack is not None:
            self._drop_folder(placed.name, path, within)
        elif stands(path, placed):
            remove_placed(path, within)
        elif _lexists(path):
            self._watch(Noted(f"{path} was changed since it was placed; it stays", "warning"))

    def _within(self, placed: Placed) -> Path:
        return boundary(self._target, placed.root) if placed.root is Root.PREFIX else Path(placed.project or ".")

    def _drop_folder(self, name: str, path: Path, within: Path) -> None:
        try:
            stay = remove_folder(self._target.prefix, name, path, within, self._watch)
        except UnsafePath as error:
            self._watch(Noted(error.message, "warning"))
            return
        if stay is None and _lexists(path):
            self._watch(Noted(f"{path} stays: what was unpacked there is not known any more", "warning"))
        elif stay:
            more = f" and {len(stay) - _NAMED:,} more" if len(stay) > _NAMED else ""
            names = ", ".join(stay[:_NAMED])
            self._watch(Noted(f"{path} stays with files that are yours, or were changed: {names}{more}", "warning"))


def _is_a_name_of(path: Path, stored: Stored) -> bool:
    """The stored file itself stands there: a run was killed between the link and the receipt."""
    try:
        return path.samefile(stored.path)
    except OSError:
        return False


def _lexists(path: Path) -> bool:
    return os.path.lexists(path)
