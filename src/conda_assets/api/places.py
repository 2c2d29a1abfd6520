"""Where the assets of a receipt stand, and whether they still do; a stat each, and nothing is imported for it."""

from __future__ import annotations

from pathlib import Path

from conda_assets.errors import UnknownAsset
from conda_assets.link import stands
from conda_assets.model import Placed, Root, Target
from conda_assets.receipt import read_receipt

__all__ = ["boundary", "folder_of", "listing", "path_of", "place_of", "still_stands"]


def place_of(target: Target, placed: Placed) -> Path:
    """The absolute path of a receipt's line. A project's files stay with the project they were placed for."""
    folder = Path(placed.project) if placed.root is Root.PROJECT and placed.project else target.folder(placed.root)
    return folder / placed.path


def folder_of(target: Target, placed: Placed) -> Path:
    """What the asset's variable holds: where it stands; for a file of a pattern, the pattern's folder."""
    path = place_of(target, placed)
    return path.parents[placed.member.count("/")] if placed.member else path


def boundary(target: Target, root: Root) -> Path:
    """The folder that nothing may be written outside of."""
    return target.prefix if root is Root.PREFIX else target.project


def still_stands(target: Target, placed: Placed) -> bool:
    """What the receipt names is there, unchanged as far as a stat can tell; a private copy may be edited by its owner."""
    path = place_of(target, placed)
    if placed.unpack is not None:
        from conda_assets.api.unpacking import stands_unpacked

        return stands_unpacked(target.prefix, placed, path)
    if placed.private:
        return path.is_file()
    return stands(path, placed)


def listing(target: Target) -> tuple[Placed, ...]:
    """The assets of an environment, by name."""
    return tuple(read_receipt(target.prefix).values())


def path_of(name: str, target: Target) -> tuple[Path, bool]:
    """Where an asset stands, and whether it does; for a pattern, its folder.

    Raises:
        UnknownAsset: the environment has none of that name.
    """
    placed = read_receipt(target.prefix)
    files = [line for line in placed.values() if line.member and line.owner == name]
    if files:
        path = folder_of(target, files[0])
        return path, all(place_of(target, line).exists() for line in files)
    if name not in placed:
        known = ", ".join(sorted({line.owner for line in placed.values()})) or "none"
        raise UnknownAsset(f"no asset {name!r} in {target.prefix} (it has: {known})", "run `conda assets sync` first")
    path = place_of(target, placed[name])
    return path, path.exists()
