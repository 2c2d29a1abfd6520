"""Names and manifests of the layout that the package draws."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timezone

from conda_assets.digest import Digest
from conda_assets.records import dataclass
from conda_assets.regexes import regex

__all__ = [
    "EMPTY",
    "MANIFEST",
    "MARKER",
    "VERSION",
    "Kept",
    "alias_tag",
    "digest_of",
    "is_alias",
    "lease_tag",
    "make",
    "object_tag",
    "place_of",
    "read",
    "sha256_of",
]

VERSION = 1
MARKER = "conda-assets-store"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
#: What a manifest has for a configuration that has none. Source: image-spec 1.1, "Guidance for an Empty Descriptor".
EMPTY = b"{}"
_EMPTY = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": f"sha256:{hashlib.sha256(EMPTY).hexdigest()}", "size": 2}
_LAYOUT = "vnd.conda-assets.layout"
_CREATED = "org.opencontainers.image.created"
_TITLE = "org.opencontainers.image.title"
_SHA256 = regex("[0-9a-f]{64}")
_OBJECT = regex("object-([0-9a-f]{64})")
_ALIAS = regex("(?:md5|sha1|sha512|blake3)-[0-9a-f]{32,96}")
# A tag has 128 characters at most; the bytes are held against the whole hash anyway.
_ALIAS_DIGITS = 96
_HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Kept:
    """A manifest of ours. `digest`: its own; `sha256`: of its layer, empty without one. `layout`: of a marker, else 0."""

    digest: str
    content: bytes
    sha256: str
    size_bytes: int
    created_s: float
    layout: int


def place_of(remote: str) -> tuple[str, str]:
    """(registry, repository) of a URL of the settings."""
    host, _, repository = remote.partition("://")[2].partition("/")
    return host, repository


def object_tag(sha256: str) -> str:
    """Of the file with that hash."""
    return f"object-{sha256}"


def sha256_of(tag: str) -> str | None:
    """The hash that the tag of a file names; None for other tags."""
    match = _OBJECT.fullmatch(tag)
    return match[1] if match else None


def alias_tag(digest: Digest) -> str:
    """Of the file with another hash."""
    return f"{digest.algorithm}-{digest.hex[:_ALIAS_DIGITS]}"


def is_alias(tag: str) -> bool:
    """The tag is one of `alias_tag`."""
    return _ALIAS.fullmatch(tag) is not None


def lease_tag(machine: str, name: str) -> str:
    """Of what a holder on that machine uses. `name`: 64 hex digits."""
    return f"lease-{hashlib.sha256(f'{machine}/{name}'.encode()).hexdigest()}"


def make(kind: str, layer: tuple[str, int] | None, now_s: float) -> bytes:
    """A manifest. `kind`: file, lease or store; `layer`: its sha256 and bytes. Those of files are the same within an hour."""
    created_s = now_s - now_s % _HOUR_S if kind == "file" else now_s
    annotations = {_CREATED: datetime.fromtimestamp(int(created_s), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")}
    if kind == "store":
        annotations[_LAYOUT] = str(VERSION)
    layers = []
    if layer is not None:
        sha256, size_bytes = layer
        # With a title, so that other tools can fetch it, too.
        row = {"mediaType": "application/octet-stream", "digest": f"sha256:{sha256}", "size": size_bytes}
        layers.append({**row, "annotations": {_TITLE: sha256}})
    said = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": f"application/vnd.conda-assets.{kind}",
        "config": _EMPTY,
        "layers": layers,
        "annotations": annotations,
    }
    return json.dumps(said, separators=(",", ":")).encode()


def digest_of(content: bytes) -> str:
    """What a registry calls that manifest, whatever its tags."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def read(content: bytes) -> Kept | None:
    """What a manifest says; None for one that is not of ours, or cannot be understood."""
    digest = digest_of(content)
    try:
        said = json.loads(content)
        annotations = said["annotations"]
        created_s = datetime.strptime(annotations[_CREATED], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()
        layout = int(annotations.get(_LAYOUT, 0))
        if not said["layers"]:
            return Kept(digest, content, "", 0, created_s, layout)
        (layer,) = said["layers"]
        sha256, size_bytes = layer["digest"].removeprefix("sha256:"), int(layer["size"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Kept(digest, content, sha256, size_bytes, created_s, layout) if _SHA256.fullmatch(sha256) else None
