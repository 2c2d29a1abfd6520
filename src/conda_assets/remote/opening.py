"""The store that a URL of the settings names."""

from __future__ import annotations

from conda_assets.digest import Digest
from conda_assets.model import Asset, Locked
from conda_assets.remote.kind import RemoteStore
from conda_assets.settings import Network

__all__ = ["find_in", "open_remote"]


def open_remote(remote: str, network: Network) -> RemoteStore:
    """To write to it and to look at what is there.

    Raises:
        RemoteFailed: it cannot be used.
    """
    if remote.startswith("oci:"):
        from conda_assets.remote.oci.store import OciStore

        return OciStore(remote, network)
    from conda_assets.remote.s3.store import S3Store

    return S3Store(remote, network)


def find_in(remote: str, asset: Asset, digest: Digest, network: Network) -> Locked | None:
    """Where the store has the file with that digest; None where it has it not. `asset`: what is told to the store.

    Raises:
        AssetFailed, SizeMismatch: no answer, a refusal, a file of another size.
    """
    # Each of its own, since most runs have no use for the others.
    if remote.startswith("oci:"):
        from conda_assets.remote.oci.reading import find as find_in_registry

        return find_in_registry(remote, asset, digest, network)
    from conda_assets.remote.s3.reading import find

    return find(remote, asset, digest, network)
