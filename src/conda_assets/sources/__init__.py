"""What publishers say about their files, one module a URL scheme."""

from __future__ import annotations

from urllib.parse import urlsplit

from conda_assets.errors import NoSource
from conda_assets.model import Asset, Locked
from conda_assets.settings import Network
from conda_assets.sources import http

__all__ = ["probe", "read_text"]


def probe(asset: Asset, url: str, network: Network) -> Locked:
    """Ask the publisher about one of the asset's URLs.

    Raises:
        NoSource: a scheme that this version cannot fetch.
        AssetFailed, SizeMismatch: what the publisher says is not what the asset needs.
    """
    scheme = urlsplit(url).scheme.lower()
    if scheme in ("http", "https"):
        return http.probe(asset, url, network)
    raise NoSource(asset.name, f"this version fetches http and https, and `{scheme}:` not yet")


def read_text(url: str, network: Network) -> str:
    """The text of a small file on the web, an `environment.yml`.

    Raises:
        FileMissing: it cannot be read, with the reason.
    """
    return http.read_text(url, network)
