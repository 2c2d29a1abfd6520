"""What has to come from outside: publishers are asked, a transport moves the bytes, the store takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from conda_assets.api.centre import through_centre
from conda_assets.api.engine import limits_of, make_transport, way_for_small
from conda_assets.api.pinning import check_vouched
from conda_assets.api.remotes import through_remotes
from conda_assets.api.sharing import through_swarm
from conda_assets.events import Noted, Observer
from conda_assets.fetch import Arrival, Want, fetch
from conda_assets.model import Asset, Locked
from conda_assets.settings import Settings
from conda_assets.sources import is_local, probe
from conda_assets.store import Store
from conda_assets.web.credentials import netrc_warning

__all__ = ["bring_all"]


def bring_all(
    wants: Sequence[Want], store: Store, settings: Settings, environ: Mapping[str, str], watch: Observer
) -> Iterator[Arrival]:
    """Bring every want into the store, in finish order. Closing the iterator keeps partial files for the next run."""

    def ask(asset: Asset, url: str) -> Locked:
        locked = probe(asset, url, settings.network)
        check_vouched(asset, locked)
        return locked

    urls = [url for want in wants for asset in want.assets for url in asset.urls]
    local = not settings.remotes and all(map(is_local, urls))
    if said := netrc_warning(urls, environ):
        watch(Noted(said, "warning"))
    return fetch(
        wants,
        store=store,
        transport=lambda: make_transport(settings, store, environ, watch, local=local),
        probe=through_swarm(through_centre(through_remotes(ask, settings, watch), settings, watch), settings, watch),
        limits=limits_of(settings),
        watch=watch,
        small=None if local else way_for_small(settings, store),
    )
