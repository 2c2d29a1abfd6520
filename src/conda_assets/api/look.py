"""Looking without hashing: what the receipt and a stat can tell."""

from __future__ import annotations

import os
from collections.abc import Mapping

from conda_assets.api.members import as_placed, is_several
from conda_assets.api.options import Options, choose
from conda_assets.api.places import place_of, still_stands
from conda_assets.model import Asset, Health, Outcome, Placed, Report, Spec, Target, shown_url
from conda_assets.plan import Choice, is_wanted, why_not
from conda_assets.receipt import read_receipt
from conda_assets.settings import Settings

__all__ = ["health", "status"]


def status(
    spec: Spec, target: Target, settings: Settings, *, options: Options | None = None, environ: Mapping[str, str] | None = None
) -> Report:
    """What of the file is there: present, missing, outdated, damaged or skipped; by size and time stamp.

    Raises:
        UsageError: a group or a name that the file does not have.
    """
    environ = os.environ if environ is None else environ
    choice = choose(spec, target, settings, options or Options(), environ)
    placed = read_receipt(target.prefix)
    # Without a lock only the receipt knows the files of a pattern; nobody is asked here.
    assets = [each for asset in spec.assets for each in ((is_several(asset) and as_placed(asset, placed)) or (asset,))]
    rows = tuple(_row(asset, placed.get(asset.name), choice, target) for asset in assets)
    return Report("status", target, spec.sources, rows)


def health(target: Target) -> Report:
    """What of the receipt is still there; needs no file."""
    rows = tuple(_seen(target, placed) for placed in read_receipt(target.prefix).values())
    return Report("status", target, (), rows)


def _row(asset: Asset, placed: Placed | None, choice: Choice, target: Target) -> Outcome:
    if why := why_not(asset, choice):
        return _outcome(asset, Health.SKIPPED, why)
    if placed is None:
        return _outcome(asset, Health.MISSING, "never placed")
    if not is_wanted(placed, asset, str(target.project)):
        return _outcome(asset, Health.OUTDATED, "the file asks for something else now")
    return _seen(target, placed)


def _outcome(asset: Asset, state: Health, because: str) -> Outcome:
    return Outcome(
        asset.name,
        state,
        because,
        size_bytes=asset.size_bytes,
        source=shown_url(asset.url),
        pinned=asset.digest is not None,
        optional=asset.optional,
        unpack=asset.unpack,
    )


def _seen(target: Target, placed: Placed) -> Outcome:
    path = place_of(target, placed)
    state, because = Health.PRESENT, ""
    if not path.exists():
        state, because = Health.MISSING, f"{path} is gone"
    elif not still_stands(target, placed):
        what = f"files in {path} were changed or are gone" if placed.unpack else f"{path} was changed since it was placed"
        state, because = Health.DAMAGED, what
    return Outcome(
        placed.name,
        state,
        because,
        path=path,
        size_bytes=placed.size_bytes,
        sha256=placed.sha256,
        source=placed.source,
        link=placed.link,
        pinned=placed.want is not None,
        optional=placed.optional,
        unpack=placed.unpack,
    )
