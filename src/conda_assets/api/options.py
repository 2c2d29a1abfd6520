"""Which of a file's assets are meant, and how; what the command line adds to the file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from conda_assets.activation import set_by_user
from conda_assets.errors import UnknownAsset, UsageError
from conda_assets.model import Spec, Target
from conda_assets.plan import Choice
from conda_assets.records import dataclass, field
from conda_assets.settings import Settings

if TYPE_CHECKING:
    from conda_assets.api.staging import Stage
    from conda_assets.fetch import Salvage

__all__ = ["Options", "choose"]


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line adds. `place`: False fills the store only. `stage`: the target is a view, of copies.

    `salvage`: what is left of damaged files, by asset.
    """

    groups: Collection[str] = ()
    all_groups: bool = False
    only: Collection[str] = ()
    prune: bool = False
    require_hashes: bool = False
    place: bool = True
    stage: Stage | None = None
    salvage: Mapping[str, Salvage] = field(default_factory=dict)


def choose(spec: Spec, target: Target, settings: Settings, options: Options, environ: Mapping[str, str]) -> Choice:
    """The part of the file that is meant.

    Raises:
        UsageError: a group or a name that the file does not have.
    """
    names = {name for asset in spec.assets for name in (asset.owner, asset.name)}
    if strange := sorted(set(options.only) - names):
        raise UnknownAsset(
            f"no asset {strange[0]!r} in {', '.join(spec.sources)}", f"it has: {', '.join(sorted(names)) or 'none'}"
        )
    groups = {group for asset in spec.assets for group in asset.groups}
    if strange := sorted(set(options.groups) - groups):
        raise UsageError(
            f"no group {strange[0]!r} in {', '.join(spec.sources)}", f"it has: {', '.join(sorted(groups)) or 'none'}"
        )
    user_set = {
        asset.name
        for asset in spec.assets
        if asset.env and set_by_user(asset.env, environ, target.folder(asset.root) / asset.env_path)
    }
    return Choice(settings.subdir, options.groups, options.all_groups, options.only, user_set)
