"""Finding a file in a bucket: without botocore, by links that are signed where that is needed."""

from __future__ import annotations

from conda_assets.digest import Digest
from conda_assets.model import Asset, Locked
from conda_assets.remote.s3.keys import Keys, read_alias
from conda_assets.settings import Network
from conda_assets.sources.s3 import look, read_small

__all__ = ["find"]


def find(remote: str, asset: Asset, digest: Digest, network: Network) -> Locked | None:
    """As `opening.find_in`."""
    keys = Keys.of(remote)
    sha256: str | None = digest.hex
    if digest.algorithm != "sha256":
        content = read_small(asset, keys.url(keys.alias(digest)), network)
        sha256 = read_alias(content) if content is not None else None
    return look(asset, keys.url(keys.object(sha256)), network) if sha256 is not None else None
