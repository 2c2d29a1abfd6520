"""`oci://ghcr.io/org/name:tag#weights/model.bin`: a file of an artifact in a container registry, as ORAS and others push them.

    oci://registry/repository:tag#path              the layer with that title; without `:tag` it is `latest`
    oci://registry/repository@sha256:…#path         of that manifest, for ever
    oci://registry/repository:tag                   the only layer there is
    oci://registry/repository:tag#*.bin             those that match; `#` and `/` for all

A layer's title is its annotation `org.opencontainers.image.title`. Its digest and the manifest's are sha256 of the bytes, so
nothing but the tag has to be believed. Of an index with several platforms the one of this machine is taken.

Source: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md,
https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md, https://oras.land/docs/how_to_guides/pushing_and_pulling
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Mapping
from functools import partial
from urllib.parse import quote, unquote

from conda_assets.digest import Digest
from conda_assets.errors import AccessDenied, AssetFailed, DigestMismatch, NoSource, NotThere, SizeMismatch
from conda_assets.model import Asset, Fresh, Locked
from conda_assets.records import dataclass, replace
from conda_assets.regexes import regex
from conda_assets.settings import Network
from conda_assets.sources.asking import Answer, understood
from conda_assets.sources.listing import Listed, digest_or_none, matching, pick
from conda_assets.sources.patterns import names_several
from conda_assets.sources.registry import Registry
from conda_assets.web.failures import of_status, retry_after_s

__all__ = ["expand", "is_pattern", "look", "probe", "refused"]

_TITLE = "org.opencontainers.image.title"
_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_ACCEPT = ", ".join((*_MANIFESTS, *_INDEXES))
# Registry, repository; tag or digest. Source: distribution-spec 1.1, "Pulling manifests".
_PLACE = regex(
    r"/*(?P<host>(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(?::\d+)?)/(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>[a-z0-9]+:[0-9a-fA-F]{32,}))?"
)
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
# What a manifest may have at most. Source: distribution-spec 1.1, "Pushing Manifests".
_MANIFEST_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class _Place:
    """`reference`: a tag or a digest; `path`: decoded, None where the URL has no `#`."""

    host: str
    repository: str
    reference: str
    path: str | None

    @property
    def shown(self) -> str:
        mark = "@" if ":" in self.reference else ":"
        return f"{self.host}/{self.repository}{mark}{self.reference}"

    def url(self, path: str) -> str:
        return f"oci://{self.shown}#{quote(path)}"


def is_pattern(url: str) -> bool:
    """A `#` with nothing, a folder or a glob behind it."""
    _, sign, path = url.partition("#")
    path = unquote(path)
    return bool(sign) and (not path or names_several(path))


def probe(asset: Asset, url: str, network: Network) -> Locked:
    """Read the manifest and find the layer in it.

    Raises:
        NotThere, AccessDenied, NetworkFailed, SizeMismatch: with what to do about it.
        DigestMismatch: the registry sends another manifest than the digest in the URL names.
        NoSource: an artifact that is not made of files.
    """
    place, registry = _place(asset.name, url, network)
    pinned, layers = _layers(asset.name, place, registry)
    layer = _only(asset.name, place, layers) if place.path is None else pick(asset.name, layers, place.path, place.shown)
    if layer.size_bytes is not None and not asset.fits(layer.size_bytes):
        raise SizeMismatch(asset.name, asset.size_bytes or 0, layer.size_bytes, place.shown)
    said = registry.ask(asset.name, layer.url, {}, method="HEAD", abroad=False)
    if said.leads_to is None and said.status not in (200, 405):
        raise _failure(asset.name, place, said)
    return Locked(
        asset=asset,
        url=url,
        final_url=f"{registry.base}{layer.url}",
        size_bytes=layer.size_bytes,
        etag=None,
        modified=None,
        resumable=_serves_ranges(said),
        same_host=False,
        digest=layer.digest,
        vouched_by=place.host if layer.digest else "",
        revision=pinned.reference,
        pinned_url=pinned.url(layer.path) if layer.path else None,
        fresh=partial(_fresh, asset.name, registry, layer.url),
    )


def look(asset: Asset, url: str, registry: Registry, shown: str, digest: Digest) -> Locked | None:
    """A blob by its digest alone, None where the repository has it not. `shown`: registry and repository, for messages.

    Raises:
        AccessDenied, NetworkFailed, SizeMismatch: with what to do about it.
    """
    path = f"/v2/{registry.repository}/blobs/{digest}"
    said = registry.ask(asset.name, path, {}, method="HEAD", abroad=False)
    if said.status == 404:
        return None
    if said.leads_to is None and said.status != 200:
        raise refused(asset.name, shown, said)
    length = said.headers.get("Content-Length", "") if said.leads_to is None else ""
    size_bytes = int(length) if length.isascii() and length.isdigit() else None
    if size_bytes is not None and not asset.fits(size_bytes):
        raise SizeMismatch(asset.name, asset.size_bytes or 0, size_bytes, shown)
    return Locked(
        asset=asset,
        url=url,
        final_url=f"{registry.base}{path}",
        size_bytes=size_bytes if size_bytes is not None else asset.size_bytes,
        etag=None,
        modified=None,
        resumable=_serves_ranges(said),
        same_host=False,
        digest=digest,
        vouched_by="",
        fresh=partial(_fresh, asset.name, registry, path),
    )


def expand(asset: Asset, url: str, network: Network) -> tuple[tuple[str, str], ...]:
    """The layers that match, by the digest of the manifest that the tag is at now.

    Raises:
        NotThere: nothing matches, with what is there instead.
        UnsafePath: a title that would leave the asset's folder.
        AssetFailed: as `probe`.
    """
    place, registry = _place(asset.name, url, network)
    pinned, layers = _layers(asset.name, place, registry)
    titled = [layer for layer in layers if layer.path]
    pattern = "" if place.path in (None, "/") else place.path or ""
    return tuple((relative, pinned.url(each.path)) for relative, each in matching(asset.name, titled, pattern, place.shown))


def _place(name: str, url: str, network: Network) -> tuple[_Place, Registry]:
    rest, sign, path = url.partition(":")[2].partition("#")
    found = _PLACE.fullmatch(rest)
    if found is None:
        raise AssetFailed(name, "the URL is no `oci://registry/repository:tag#path`")
    place = _Place(
        found["host"], found["repository"], found["digest"] or found["tag"] or "latest", unquote(path) if sign else None
    )
    return place, Registry(place.host, place.repository, network)


def _layers(name: str, place: _Place, registry: Registry) -> tuple[_Place, list[Listed]]:
    """The manifest's own name, and its layers; `url` in them is a path in the registry, `path` empty without a title."""
    for _ in range(3):
        answer = registry.ask(
            name, f"/v2/{registry.repository}/manifests/{place.reference}", {"Accept": _ACCEPT}, most=_MANIFEST_BYTES
        )
        if answer.status != 200:
            raise _failure(name, place, answer)
        place = replace(place, reference=_checked(name, place, answer))
        with understood(name, answer) as said:
            if "manifests" not in said:
                return place, [_listed(registry, layer) for layer in said["layers"]]
            place = replace(place, reference=_chosen(name, place, said["manifests"]))
    raise NoSource(name, f"{place.shown} is an index of indexes of indexes")


def _checked(name: str, place: _Place, answer: Answer) -> str:
    """The digest of the manifest that came, after a look at whether it is the one that was asked for."""
    algorithm = place.reference.partition(":")[0] if ":" in place.reference else "sha256"
    if algorithm not in ("sha256", "sha512"):
        raise NoSource(name, f"a manifest's digest by {algorithm}, where only sha256 and sha512 are known")
    got = Digest(algorithm, hashlib.new(algorithm, answer.body).hexdigest())
    if ":" in place.reference and str(got) != place.reference.lower():
        raise DigestMismatch(name, algorithm, place.reference.partition(":")[2], got.hex, place.shown)
    return str(got)


def _listed(registry: Registry, layer: Mapping[str, object]) -> Listed:
    annotations, digest, size = layer.get("annotations"), str(layer["digest"]), layer.get("size")
    title = str(annotations.get(_TITLE, "")) if isinstance(annotations, Mapping) else ""
    if not re.fullmatch(r"[a-z0-9+._-]+:[A-Za-z0-9=_-]+", digest):
        raise ValueError(digest)
    url = f"/v2/{registry.repository}/blobs/{digest}"
    return Listed(title, url, size if isinstance(size, int) else None, digest_or_none(*digest.split(":")))


def _only(name: str, place: _Place, layers: list[Listed]) -> Listed:
    if len(layers) == 1:
        return layers[0]
    titles = sorted(layer.path for layer in layers if layer.path)
    if not titles:
        raise NoSource(name, f"{place.shown} has {len(layers)} layers without names: an image and no files")
    raise AssetFailed(
        name, f"{place.shown} has {len(layers)} files: add one of them as `#{'`, `#'.join(titles[:5])}`, or `#` for all"
    )


def _chosen(name: str, place: _Place, manifests: list[Mapping[str, object]]) -> str:
    """Of an index: its only manifest, or the one for this machine."""
    if len(manifests) == 1:
        return str(manifests[0]["digest"])
    machine = platform.machine().lower()
    wanted = (platform.system().lower(), _MACHINES.get(machine, machine))
    found = {}
    for each in manifests:
        said = each.get("platform")
        if isinstance(said, Mapping):
            found[said.get("os"), said.get("architecture")] = str(each["digest"])
    if wanted in found:
        return found[wanted]
    # Containers for other systems are Linux in a box.
    if ("linux", wanted[1]) in found:
        return found["linux", wanted[1]]
    known = ", ".join(f"{system}/{kind}" for system, kind in found) or "no platforms"
    raise NotThere(name, f"{place.shown} has nothing for {wanted[0]}/{wanted[1]}, it has {known}", "name one by `@sha256:…`")


def _fresh(name: str, registry: Registry, path: str) -> Fresh:
    """The blob's address and the token for it; where that redirects, the token stays behind."""
    headers, good_for_s = registry.token(name)
    return Fresh(f"{registry.base}{path}", headers, good_for_s)


def _serves_ranges(said: Answer) -> bool:
    """Where a blob leads to is a store of objects; those serve ranges."""
    return said.leads_to is not None or (said.status != 405 and said.headers.get("Accept-Ranges", "").strip().lower() == "bytes")


def refused(name: str, shown: str, answer: Answer) -> AssetFailed:
    """What an answer means that is neither there nor missing. `shown`: what was asked for, the registry first."""
    if answer.status in (401, 403):
        host = shown.partition("/")[0]
        fix = f"log in with `docker login {host}`, `podman login` or `oras login`; or it has no such repository"
        return AccessDenied(name, f"{shown} is not for everybody ({answer.status}){_code(answer)}", fix)
    return of_status(name, answer.status, answer.shown, retry_after_s(answer.headers.get("Retry-After")))


def _failure(name: str, place: _Place, answer: Answer) -> AssetFailed:
    if answer.status == 404:
        fix = f"`oras repo tags {place.host}/{place.repository}` lists what there is"
        return NotThere(name, f"the registry has no {place.shown}{_code(answer)}", fix)
    return refused(name, place.shown, answer)


def _code(answer: Answer) -> str:
    """The registry's own word for it: `: MANIFEST_UNKNOWN`."""
    try:
        code = str(json.loads(answer.body)["errors"][0]["code"])
    except (ValueError, KeyError, IndexError, TypeError):
        return ""
    return f": {code}" if re.fullmatch("[A-Z_]{3,40}", code) else ""
