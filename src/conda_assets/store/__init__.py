"""The content-addressed store: each file once, read-only, shared by environments and users.

Layout, version 1; what is drawn here is drawn nowhere else:

    <store>/                        0700 when made by us; a folder that exists already passes its own mode on (group, service)
    ├── conda-assets-store.json     {"store": "conda-assets", "version": 1}
    ├── CACHEDIR.TAG                backups may skip it; only in a folder that was empty
    ├── sha256/ab/<hex>             0444, the files; a name appears only after its bytes were hashed and synced
    ├── aliases/<algorithm>/ab/<hex>   {"sha256": "<hex>", "size_bytes": 548105171}, for md5, sha1, sha512, blake3
    ├── urls/ab/<sha256 of the URL>    the same, for URLs that no hash stands beside; the URL itself may hold secrets
    ├── used/ab/<hex>               empty; its time stamp says when a sync used the file last
    ├── roots/<hash>                environments and what they use: see `roots`
    ├── pieces/ab/<hex>             check sums of the pieces of a large file: see `sums`
    ├── staging/<key>/<run>/        0700, `data` on its way and what the transport keeps beside it, of the run that has the claim
    ├── staging/<key>/free.<run>/   the same, given back: the next claimant of that user goes on with it
    ├── runs/<run>                  {"host": …, "boot": …, "pid": …}, flocked while the run or a child of it lives; what it holds
    ├── locks/<ab>                  held for the moment in which a claim, or the end of a file, is decided; files stay
    └── quarantine/<hex>.<token>    files that failed verification; nobody reads them again

Who has what. A claim is a folder that carries its run's name; making and renaming folders is atomic everywhere, so two runs never
share one, even where flock does nothing. A run is over when its flock is free: the descriptor is inherited by aria2c
(`Store.inherit_fds`), so a killed parent does not let a second writer in before the first is gone. Where flock does not work
(some network file systems; each run tests it) or the run was on another machine, a folder must also have been quiet for a while.

Files go only through a `Collector`: what a live run holds stays, and so does what was used since the collector began.

Any kill leaves: complete files, a folder to go on with, small files that the next run clears away. Nothing is made by reading.
"""

from __future__ import annotations

from conda_assets.store.claim import Claim
from conda_assets.store.roots import HEX, Outside, Root, Standing, forget_root, place_now, read_roots
from conda_assets.store.store import Store, open_stores
from conda_assets.store.tray import Tray
from conda_assets.store.tree import LAYOUT_VERSION, Tree
from conda_assets.store.uses import last_use_ns

__all__ = [
    "HEX",
    "LAYOUT_VERSION",
    "Claim",
    "Outside",
    "Root",
    "Standing",
    "Store",
    "Tray",
    "Tree",
    "forget_root",
    "last_use_ns",
    "open_stores",
    "place_now",
    "read_roots",
]
