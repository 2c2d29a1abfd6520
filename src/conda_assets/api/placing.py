"""From the store into the environment: place files, keep the receipt and the activation hooks in step."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from conda_assets.activation import write_hooks
from conda_assets.digest import digest_file
from conda_assets.errors import DiskRefused
from conda_assets.events import Noted, Observer
from conda_assets.link import place, remove_placed, set_aside, stands
from conda_assets.locking import alone
from conda_assets.model import Asset, LinkMode, LinkType, Placed, Root, Stored, Target, shown_url
from conda_assets.plan import url_key
from conda_assets.receipt import read_receipt, receipt_path, write_receipt

__all__ = ["Ledger", "boundary", "place_of", "still_stands"]

_SAVE_EVERY_S = 2.0
# A receipt is written in milliseconds; who needs longer than this has been stopped.
_LONGEST_WRITE_S = 60.0


def place_of(target: Target, placed: Placed) -> Path:
    """The absolute path of a receipt's line. A project's files stay with the project they were placed for."""
    folder = Path(placed.project) if placed.root is Root.PROJECT and placed.project else target.folder(placed.root)
    return folder / placed.path


def boundary(target: Target, root: Root) -> Path:
    """The folder that nothing may be written outside of."""
    return target.prefix if root is Root.PREFIX else target.project


def still_stands(target: Target, placed: Placed) -> bool:
    """What the receipt names is there, unchanged as far as a stat can tell; a private copy may be edited by its owner."""
    path = place_of(target, placed)
    if placed.private:
        return path.is_file()
    return stands(path, placed)


class Ledger:
    """The receipt of one environment during one run. Several runs may change it: each merges its own lines under a lock."""

    def __init__(self, target: Target, watch: Observer) -> None:
        self._target, self._watch = target, watch
        self.placed = read_receipt(target.prefix)
        self._changes: dict[str, Placed | None] = {}
        self._saved_at = time.monotonic()

    def put(self, asset: Asset, stored: Stored) -> Placed:
        """Place a stored file for an asset; what stood there of the user's is set aside, never lost.

        Raises:
            UnsafePath, DiskRefused, DiskFull: it cannot stand there.
        """
        path = self._target.folder(asset.root) / asset.path
        before = self.placed.get(asset.name)
        if _lexists(path) and not self._is_ours(path):
            aside = set_aside(path, within=boundary(self._target, asset.root))
            self._watch(Noted(f"{path} held something else; it is now {aside}", "warning"))
        link = place(stored, path, mode=asset.link, within=boundary(self._target, asset.root), replace=True)
        placed = self._line(asset, path, stored.sha256, stored.size_bytes, link)
        self._note(placed)
        if before is not None and place_of(self._target, before) != path:
            self._drop(before)
        return placed

    def adopt(self, asset: Asset) -> Placed | None:
        """Take in what already stands at the asset's path when its bytes are the ones asked for; else None."""
        path = self._target.folder(asset.root) / asset.path
        if asset.digest is None or path.is_symlink() or not path.is_file():
            return None
        size_bytes = path.stat().st_size
        if not asset.fits(size_bytes):
            return None
        digests = digest_file(path, frozenset({"sha256", asset.digest.algorithm}))
        if digests[asset.digest.algorithm] != asset.digest:
            return None
        placed = self._line(asset, path, digests["sha256"].hex, size_bytes, LinkType.COPY)
        self._note(placed)
        return placed

    def remove(self, names: Iterable[str]) -> None:
        """Take assets out of the environment; an edited file stays and is told of."""
        for name in names:
            if placed := self.placed.pop(name, None):
                self._changes[name] = None
                self._drop(placed)

    def save(self, *, now: bool = True) -> None:
        """Write what changed, merged into what other runs wrote meanwhile; unless `now`, at most every two seconds."""
        if not self._changes or not (now or time.monotonic() - self._saved_at > _SAVE_EVERY_S):
            return
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

    def _variables(self, placed: Mapping[str, Placed]) -> dict[str, Path]:
        return {each.env: place_of(self._target, each) for each in placed.values() if each.env}

    def _is_ours(self, path: Path) -> bool:
        """Some line of the receipt placed just this file there, and nobody has changed it since."""
        return any(place_of(self._target, each) == path and stands(path, each) for each in self.placed.values())

    def _line(self, asset: Asset, path: Path, sha256: str, size_bytes: int, link: LinkType) -> Placed:
        return Placed(
            name=asset.name,
            path=asset.path,
            root=asset.root,
            sha256=sha256,
            size_bytes=size_bytes,
            modified_ns=path.stat().st_mtime_ns,
            link=link,
            source=shown_url(asset.url),
            url_key=url_key(asset.url),
            want=str(asset.digest) if asset.digest else None,
            env=asset.env,
            groups=asset.groups,
            optional=asset.optional,
            private=asset.link is LinkMode.COPY,
            project=str(self._target.project) if asset.root is Root.PROJECT else None,
        )

    def _note(self, placed: Placed) -> None:
        self.placed[placed.name] = placed
        self._changes[placed.name] = placed

    def _drop(self, placed: Placed) -> None:
        path = place_of(self._target, placed)
        if stands(path, placed):
            within = boundary(self._target, placed.root) if placed.root is Root.PREFIX else Path(placed.project or ".")
            remove_placed(path, within)
        elif _lexists(path):
            self._watch(Noted(f"{path} was changed since it was placed; it stays", "warning"))


def _lexists(path: Path) -> bool:
    return os.path.lexists(path)
