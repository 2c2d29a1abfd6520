"""Assets whose URL names several files become those files, each an asset of its own, before anything is decided about them.

`corpus` with the URL `hf://datasets/lab/corpus/data/*.parquet` and the path `corpus` becomes `corpus/0.parquet`,
`corpus/1.parquet` and so on, at paths of the same names. All that the user said of the one holds for
each; its variable is the folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from conda_assets.api.asking import ask_each
from conda_assets.api.members import as_placed, is_several, member_of
from conda_assets.errors import AssetsError, NoSource, Offline
from conda_assets.events import Noted, Observer
from conda_assets.model import Asset, Placed, Spec
from conda_assets.records import replace
from conda_assets.settings import Settings
from conda_assets.sources import expand as list_files

__all__ = ["expanded", "listed"]


def listed(assets: Sequence[Asset], settings: Settings) -> Iterator[tuple[Asset, tuple[Asset, ...] | AssetsError]]:
    """Each pattern with its files, as the publishers list them now."""

    def ask(asset: Asset) -> tuple[Asset, ...]:
        if settings.offline:
            raise Offline(asset.name, "its files have to be listed, and the network may not be used (offline)")
        if asset.digest is not None or asset.unpack is not None or asset.mirrors:
            said = "a hash" if asset.digest else "`unpack`" if asset.unpack else "`mirrors`"
            raise NoSource(asset.name, f"its URL names several files, for which there cannot be {said}")
        return tuple(member_of(asset, path, url) for path, url in list_files(asset, settings.network))

    return ask_each(assets, ask)


def expanded(
    spec: Spec, meant: Callable[[Asset], bool], placed: Mapping[str, Placed], settings: Settings, watch: Observer
) -> tuple[Spec, dict[str, AssetsError]]:
    """The spec with the files of each pattern that is `meant` in its place, and what went wrong with the others, by name.

    Offline, what an earlier run has placed stands for the list.
    """
    several = [asset for asset in spec.assets if is_several(asset) and meant(asset)]
    found: dict[str, tuple[Asset, ...]] = {}
    failed: dict[str, AssetsError] = {}
    for asset, files in listed(several, settings):
        before = as_placed(asset, placed) if isinstance(files, Offline) else ()
        if before:
            watch(Noted(f"{asset.name}: offline, so its {len(before)} files are those of the last sync"))
            found[asset.name] = before
        elif isinstance(files, AssetsError):
            failed[asset.name] = files
        else:
            found[asset.name] = files
    assets = tuple(each for asset in spec.assets for each in found.get(asset.name, (asset,)))
    return replace(spec, assets=assets), failed
