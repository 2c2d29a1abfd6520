"""The files of a pattern as assets of their own, as far as that can be told without asking anybody."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from conda_assets.digest import Digest
from conda_assets.errors import AssetFailed
from conda_assets.model import Asset, Placed, Spec
from conda_assets.records import replace

__all__ = ["as_placed", "is_several", "member_of", "strays"]


def is_several(asset: Asset) -> bool:
    """The asset names several files and has not been expanded; a scheme that cannot be fetched is told of later."""
    # Asked of every asset of every run: importing a source to hear that an HTTP URL is one file takes 30 ms. What the lock pins
    # has been taken apart.
    if asset.member or asset.relock or urlsplit(asset.url).scheme in ("http", "https"):
        return False
    from conda_assets.sources import is_pattern

    try:
        return is_pattern(asset)
    except AssetFailed:
        return False


def member_of(asset: Asset, member: str, url: str) -> Asset:
    """One file of a pattern. `member`: its path below the asset's own."""
    return replace(
        asset,
        name=f"{asset.name}/{member}",
        path=f"{asset.path}/{member}",
        url=url,
        member=member,
        mirrors=(),
        written=(),
        digest=None,
        size_bytes=None,
        size_slack_bytes=0,
    )


def as_placed(asset: Asset, placed: Mapping[str, Placed]) -> tuple[Asset, ...]:
    """The files of a pattern that an earlier run has placed, with the bytes they had then."""
    lines = [line for line in placed.values() if line.member and line.owner == asset.name]
    return tuple(
        replace(member_of(asset, line.member, line.source), digest=Digest("sha256", line.sha256), size_bytes=line.size_bytes)
        for line in sorted(lines, key=lambda line: line.name)
    )


def strays(placed: Mapping[str, Placed], spec: Spec) -> list[str]:
    """Names in the receipt that the file no longer names; a pattern that has not been expanded names whatever it had."""
    names = {asset.name for asset in spec.assets}
    return sorted(name for name, line in placed.items() if name not in names and not (line.member and line.owner in names))
