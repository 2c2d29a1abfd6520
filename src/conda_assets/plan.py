"""Deciding what to do with each asset. Pure: everything it needs to know about the disk comes in as values and claims.

The reason travels with the decision, so that `--dry-run`, the log and the tests read the same words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping

from conda_assets.model import Asset, LinkMode, Placed, Plan, Root, Step, Stored, Verb, last_part
from conda_assets.records import dataclass

__all__ = ["Choice", "Disk", "is_wanted", "make_plan", "url_key", "why_not"]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of the file's assets are meant. `only`: names, empty for all. `user_set`: assets whose `env` the user has set."""

    subdir: str
    groups: Collection[str] = ()
    all_groups: bool = False
    only: Collection[str] = ()
    user_set: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Disk:
    """What a plan may ask about the disk; each answer costs a stat at most.

    `stands`: what the receipt names is there, with its size and time stamp. `find`: the store has the asset's bytes.
    """

    placed: Mapping[str, Placed]
    stands: Callable[[Placed], bool]
    find: Callable[[Asset], Stored | None]


def url_key(url: str) -> str:
    """The sha256 of a URL, in hex: names a URL on disk without its secrets."""
    return hashlib.sha256(url.encode()).hexdigest()


def make_plan(assets: tuple[Asset, ...], choice: Choice, disk: Disk, project: str) -> Plan:
    """A step for each asset, in the order of the file. `project`: the absolute folder for `root: project`."""
    return Plan(tuple(_step(asset, choice, disk, project) for asset in assets))


def is_wanted(placed: Placed, asset: Asset, project: str) -> bool:
    """The receipt's line is what the file asks for: same bytes, same place, same kind of link, unpacked in the same way."""
    if (placed.path, placed.root) != (asset.path, asset.root):
        return False
    if asset.root is Root.PROJECT and placed.project != project:
        return False
    if (asset.link is LinkMode.COPY) is not placed.private:
        return False
    if placed.unpack != asset.unpack:
        return False
    # A file that is only compressed is called after the URL.
    if asset.unpack is not None and last_part(placed.source) != last_part(asset.url):
        return False
    if asset.digest is None:
        return placed.url_key == url_key(asset.url)
    if asset.digest.algorithm == "sha256":
        return placed.sha256 == asset.digest.hex
    return placed.want == str(asset.digest)


def _step(asset: Asset, choice: Choice, disk: Disk, project: str) -> Step:
    if why := why_not(asset, choice):
        return Step(Verb.SKIP, asset, why)
    placed = disk.placed.get(asset.name)
    why = "not here yet"
    if placed is not None:
        if not is_wanted(placed, asset, project):
            why = "the file asks for something else now"
        elif disk.stands(placed):
            return Step(Verb.KEEP, asset, "already right", placed=placed)
        else:
            why = "gone or changed since it was placed"
    if stored := disk.find(asset):
        return Step(Verb.LINK, asset, why, stored=stored)
    return Step(Verb.FETCH, asset, why)


def why_not(asset: Asset, choice: Choice) -> str:
    """Why the asset is not meant, as a clause; empty when it is."""
    if choice.only and asset.name not in choice.only and asset.owner not in choice.only:
        return "not named by --only"
    if asset.platforms and choice.subdir not in asset.platforms:
        return f"only for {', '.join(asset.platforms)}"
    # Naming an asset asks for it, whatever its groups.
    if asset.groups and not choice.only and not choice.all_groups and not set(asset.groups) & set(choice.groups):
        return f"only with --group {' or --group '.join(asset.groups)}"
    if asset.name in choice.user_set:
        return f"${asset.env} is set by you"
    return ""
