"""Mending what `verify` found: only what is damaged comes again, and every name of a damaged file gets the right one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from conda_assets.api.options import Options
from conda_assets.api.places import boundary, place_of
from conda_assets.api.rooting import find_uses
from conda_assets.api.sync import sync
from conda_assets.api.unpacking import drop_damaged
from conda_assets.digest import Digest, digest_file
from conda_assets.errors import AssetsError
from conda_assets.events import Noted, Observer, nobody
from conda_assets.fetch.want import Salvage
from conda_assets.link import place
from conda_assets.model import Health, LinkMode, Placed, Report, Spec, Stored, Target
from conda_assets.receipt import read_receipt
from conda_assets.records import dataclass, field, replace
from conda_assets.settings import Settings
from conda_assets.store import Store, Tree, open_stores

__all__ = ["repair"]


@dataclass(slots=True)
class _Damage:
    """`aside`: where a damaged stored file is now, by its sha256. `left`: by asset, what can be used of it."""

    aside: dict[str, Path] = field(default_factory=dict)
    left: dict[str, Salvage] = field(default_factory=dict)


def repair(
    spec: Spec,
    target: Target,
    settings: Settings,
    found: Report,
    *,
    options: Options | None = None,
    watch: Observer = nobody,
    environ: Mapping[str, str] | None = None,
) -> Report:
    """Bring what `verify` has `found` damaged or missing; the report is that of a sync.

    Of a damaged file that the store has, the good pieces are used again: those that the lock tells, or the store's own sums. The
    damaged file is kept until the right one is in its place, there and in other environments that have it by a hard link.

    Raises:
        StoreFailed: the store that has a damaged file may not be written.
        UsageError, KeyboardInterrupt: as `sync`.
    """
    options, environ = options or Options(), os.environ if environ is None else environ
    with open_stores(settings.stores) as store:
        damage = _set_aside(spec, target, store, found)
    report = sync(spec, target, settings, options=replace(options, salvage=damage.left), watch=watch, environ=environ)
    _heal_others(damage, settings, environ, watch)
    return report


def _set_aside(spec: Spec, target: Target, store: Store, found: Report) -> _Damage:
    """Take what is damaged out of the way, in the environment and in the store.

    A damaged copy may stand before a right stored file, which is then used again. In an unpacked folder, files that the user has
    changed stay.
    """
    damage, placed = _Damage(), read_receipt(target.prefix)
    locked = {asset.name: asset.pieces for asset in spec.assets}
    for row in found.outcomes:
        line = placed.get(row.name)
        if line is None or row.state is not Health.DAMAGED:
            continue
        path = place_of(target, line)
        stored = store.find(Digest("sha256", line.sha256))
        if stored is not None and not _is_right(stored, line, path):
            known = locked.get(line.name) or store.pieces_of(line.sha256, line.size_bytes)
            if (aside := store.quarantine(stored)) is not None:
                damage.aside[line.sha256] = aside
                damage.left[line.name] = Salvage(aside, line.sha256, known, line.modified_ns)
        if line.unpack is not None:
            drop_damaged(target.prefix, line.name, path, row.error)
            continue
        with suppress(FileNotFoundError):
            path.unlink()
    return damage


def _is_right(stored: Stored, line: Placed, path: Path) -> bool:
    """What is placed is the stored file itself, which has just been read; or it has to be read, too."""
    try:
        if line.unpack is None and path.samefile(stored.path):
            return False
        return digest_file(stored.path)["sha256"].hex == line.sha256
    except (OSError, EOFError):
        return False


def _heal_others(damage: _Damage, settings: Settings, environ: Mapping[str, str], watch: Observer) -> None:
    """Give the right file to all who have the damaged one by a hard link; then it can go."""
    for sha256, aside in damage.aside.items():
        stored = open_stores(settings.stores).find(Digest("sha256", sha256))
        if stored is None:
            continue
        for each in find_uses(Tree(aside.parents[1]), settings, environ).environments:
            for line, path in _names_in(each.prefix, sha256, aside):
                _heal(line, path, stored, each.prefix, watch)
        more = aside.stat().st_nlink - 1
        if more:
            names = "1 other name" if more == 1 else f"{more} other names"
            told = f"the damaged file has {names} in environments that are not known here; its bytes are kept at {aside}"
            watch(Noted(f"{told}: `conda assets verify --repair` in those brings the right ones", "warning"))
        else:
            aside.unlink(missing_ok=True)


def _names_in(prefix: Path, sha256: str, aside: Path) -> Iterator[tuple[Placed, Path]]:
    """The lines of a receipt that are the damaged file itself."""
    elsewhere = Target(prefix, Path(os.devnull))
    with suppress(AssetsError):
        for line in read_receipt(prefix).values():
            path = place_of(elsewhere, line)
            with suppress(OSError):
                if line.sha256 == sha256 and line.unpack is None and not path.is_symlink() and path.samefile(aside):
                    yield line, path


def _heal(line: Placed, path: Path, stored: Stored, prefix: Path, watch: Observer) -> None:
    within = boundary(Target(prefix, Path(line.project or prefix)), line.root)
    try:
        place(stored, path, mode=LinkMode.AUTO, within=within, replace=True, asset=line.name)
    except AssetsError as error:
        watch(Noted(f"{path} has the same damage, and cannot be mended: {error.message}", "warning"))
    else:
        watch(Noted(f"{path} had the same damage, and is mended as well"))
