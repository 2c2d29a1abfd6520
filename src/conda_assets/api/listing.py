"""Assets as others want to see them: an environment's as a section, a spec's as files with plain URLs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from conda_assets.api.importing import section_text
from conda_assets.errors import AssetsError
from conda_assets.model import Asset, Placed, Root, last_part
from conda_assets.plan import url_key
from conda_assets.receipt import read_receipt
from conda_assets.records import replace
from conda_assets.sources.hub import read_hub, read_place
from conda_assets.spec.entry import ABOUT, Fields, Value
from conda_assets.spec.exporters import Listed
from conda_assets.spec.importers.found import safe_url
from conda_assets.spec.naming import tame

__all__ = ["entries_of", "listed", "section_of"]


def section_of(prefix: Path) -> str:
    """What stands in an environment, as the `assets:` section that brings it again, byte for byte.

    Raises:
        UsageError: the receipt cannot be read.
    """
    return section_text(entries_of(tuple(read_receipt(prefix).values())))


def entries_of(placed: Sequence[Placed]) -> list[Fields]:
    """The lines of a receipt as entries; a file of a pattern is an entry of its own."""
    return [_entry(each) for each in placed]


def _entry(placed: Placed) -> Fields:
    fields: dict[str, Value] = {"url": safe_url(_pinned(placed)), "sha256": placed.sha256, "size": placed.size_bytes}
    name = tame(placed.name)
    if name != last_part(placed.source):
        fields["name"] = name
    if placed.path != name:
        fields["path"] = placed.path
    if placed.root is Root.PROJECT:
        fields["root"] = "project"
    if placed.env and not placed.member:
        fields["env"] = placed.env
    if placed.groups:
        fields["groups"] = list(placed.groups)
    if placed.optional:
        fields["optional"] = True
    if placed.private:
        fields["link"] = "copy"
    if placed.unpack is not None:
        how: dict[str, Value] = {"strip": placed.unpack.strip} if placed.unpack.strip else {}
        how |= {"include": list(placed.unpack.include)} if placed.unpack.include else {}
        fields["unpack"] = how or True
    # A receipt has no secrets, so what stood behind `?` is not in it.
    if url_key(placed.source) != placed.url_key and not placed.member:
        fields[ABOUT] = "its URL is not known in full"
        fields.setdefault("name", name)
    return fields


def _pinned(placed: Placed) -> str:
    """The URL at the commit that came, where the Hub was asked for a branch."""
    if not placed.source.startswith("hf:") or not placed.revision:
        return placed.source
    try:
        return replace(read_place(placed.name, placed.source), revision=placed.revision).url
    except AssetsError:
        return placed.source


def listed(assets: Sequence[Asset], environ: Mapping[str, str] | None = None) -> list[Listed]:
    """The assets as files with plain URLs; a file of the Hugging Face Hub has one too."""
    endpoint = read_hub(os.environ if environ is None else environ).endpoint
    return [
        Listed(
            name=asset.name,
            path=asset.path,
            urls=tuple(_plain(asset, url, endpoint) for url in asset.written or asset.urls),
            digest=asset.digest,
            size_bytes=asset.size_bytes if not asset.size_slack_bytes else None,
            headers=bool(asset.headers),
            unpack=asset.unpack is not None,
        )
        for asset in assets
    ]


def _plain(asset: Asset, url: str, endpoint: str) -> str:
    if not url.lower().startswith("hf:") or "${" in url:
        return url
    try:
        place = read_place(asset.name, url)
    except AssetsError:
        return url
    return url if place.is_pattern else f"{endpoint}/{place.resolve}"
