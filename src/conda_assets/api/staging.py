"""A node's own copies: what the shared store has is copied to a local disk, and a view of the environment leads to the copies.

    <stage>/store/                 a store like any other, filled from the shared one; each copy is hashed on its way
    <stage>/<name>-<8 digits>/     the view: what `sync` would place into the environment of that name, with a receipt
        share/assets/
        project/                   `root: project`

Nothing of the environment or its project is written: a hundred other nodes use them. All that the caller needs are the variables
of the view. Everything can be deleted at any time, and a second `sync --stage` finds what is right and copies the rest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path

from conda_assets.activation import FOLDER_VARIABLE, MARKER, set_by_user
from conda_assets.api.copying import Meter, blocks_of, write_hashed
from conda_assets.api.places import folder_of
from conda_assets.digest import Digest
from conda_assets.errors import DigestMismatch, DiskFull, DiskRefused
from conda_assets.events import Observer, Waiting
from conda_assets.model import PREFIX_FOLDER, Asset, Stored, Target
from conda_assets.receipt import read_receipt
from conda_assets.records import dataclass, field
from conda_assets.store import Store, open_stores

__all__ = ["Stage", "open_stage", "variables"]

# As often is looked whether another task of this node has brought the file.
_LOOK_S = 0.1
# Left free for others on the node's disk.
_SPARE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Stage:
    """`store`: the one on the local disk. `origin`: the environment whose view is made."""

    store: Store
    origin: Target
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _coming: dict[str, int] = field(default_factory=dict, repr=False)

    def find(self, stored: Stored) -> Stored | None:
        """The copy, if it is there."""
        return self.store.find(Digest("sha256", stored.sha256), stored.size_bytes)

    def bring(self, asset: Asset, stored: Stored, watch: Observer) -> Stored:
        """The copy, made where it is not there yet. Safe for several threads and processes: one of them copies.

        Raises:
            DigestMismatch: the shared store has other bytes than the name says.
            DiskFull, DiskRefused, StoreFailed: it cannot be copied.
        """
        key, waited = f"sha256-{stored.sha256}", False
        while True:
            if found := self.find(stored):
                return found
            claim = self.store.claim(key)
            if claim is not None:
                break
            if not waited:
                watch(Waiting(asset.name, self.store.holder(key)))
                waited = True
            time.sleep(_LOOK_S)
        with claim:
            if found := self.find(stored):
                return found
            claim.discard()
            self._reserve(asset, stored)
            try:
                sha256 = _copy(asset, stored, claim.data, watch)
                if sha256.hex == stored.sha256:
                    return claim.adopt(digests={"sha256": sha256}, size_bytes=stored.size_bytes)
                raise DigestMismatch(asset.name, "sha256", stored.sha256, sha256.hex, str(stored.path), damaged=True)
            except OSError as error:
                raise DiskRefused(asset.name, f"{stored.path} cannot be copied: {error.strerror or error}") from error
            finally:
                with self._lock:
                    self._coming.pop(stored.sha256, None)
                # Whatever is left is a part, and looks like a transfer that can go on.
                if claim.data.exists():
                    claim.discard()

    def _reserve(self, asset: Asset, stored: Stored) -> None:
        """Room for this file beside those that are being copied.

        Raises:
            DiskFull: before the first byte.
        """
        with self._lock:
            need, free = sum(self._coming.values()) + stored.size_bytes + _SPARE_BYTES, self.store.free_bytes()
            if need > free:
                raise DiskFull(str(self.store.folder), need, free, asset.name)
            self._coming[stored.sha256] = stored.size_bytes


def open_stage(folder: Path, origin: Target) -> Stage:
    """The stage in a folder of a local disk; nothing is made before the first copy."""
    return Stage(open_stores([folder / "store"], holds=True), origin)


def variables(view: Target, environ: Mapping[str, str]) -> dict[str, str]:
    """What to set so that programs read the copies: the folder, each asset's variable, and beside each what tells deactivation
    and later runs that the value is not the user's. A variable that the user has set is left alone.
    """
    placed = read_receipt(view.prefix).values()
    paths = {FOLDER_VARIABLE: view.prefix / PREFIX_FOLDER, **{each.env: folder_of(view, each) for each in placed if each.env}}
    ours = {name: str(path) for name, path in paths.items() if not set_by_user(name, environ, path)}
    return {each: value for name, value in sorted(ours.items()) for each in (name, MARKER + name)}


def _copy(asset: Asset, stored: Stored, data: Path, watch: Observer) -> Digest:
    meter = Meter(asset.name, stored.size_bytes, watch)
    with stored.path.open("rb") as origin, data.open("xb") as copy:
        digests, _ = write_hashed(meter.measure(blocks_of(origin)), copy, frozenset({"sha256"}))
    return digests["sha256"]
