"""Finding a file in a registry: its blob has the hash for a name, so one question is enough."""

from __future__ import annotations

from conda_assets.digest import Digest
from conda_assets.model import Asset, Locked
from conda_assets.records import replace
from conda_assets.remote.oci.manifests import MANIFEST, Kept, alias_tag, object_tag, place_of, read
from conda_assets.settings import Network
from conda_assets.sources.oci import look, refused
from conda_assets.sources.registry import Registry

__all__ = ["find"]

_MANIFEST_BYTES = 4 << 20


def find(remote: str, asset: Asset, digest: Digest, network: Network) -> Locked | None:
    """As `opening.find_in`."""
    host, repository = place_of(remote)
    registry = Registry(host, repository, network)
    sha256, kept = digest.hex, None
    if digest.algorithm != "sha256":
        kept = _manifest(asset, registry, f"{host}/{repository}", alias_tag(digest))
        sha256 = kept.sha256 if kept is not None else ""
    found = look(asset, remote, registry, f"{host}/{repository}", Digest("sha256", sha256)) if sha256 else None
    if found is None or found.size_bytes is not None:
        return found
    # A registry that leads to another server says no size, and without one there are no ranges.
    kept = kept or _manifest(asset, registry, f"{host}/{repository}", object_tag(sha256))
    return replace(found, size_bytes=kept.size_bytes) if kept is not None else found


def _manifest(asset: Asset, registry: Registry, shown: str, tag: str) -> Kept | None:
    path = f"/v2/{registry.repository}/manifests/{tag}"
    answer = registry.ask(asset.name, path, {"Accept": MANIFEST}, most=_MANIFEST_BYTES)
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise refused(asset.name, shown, answer)
    return read(answer.body)
