"""Names of the objects in a remote store, and the URLs that lead to them."""

from __future__ import annotations

import json

from conda_assets.digest import Digest
from conda_assets.records import dataclass
from conda_assets.regexes import regex
from conda_assets.sources.s3_place import Place, read_place

__all__ = ["MARKER", "VERSION", "Keys", "read_alias"]

#: The layout that the package docstring draws.
VERSION = 1
#: Says that the prefix is a store of ours, and of which layout.
MARKER = "conda-assets-store.json"
_OBJECT = regex(r"objects/sha256/([0-9a-f]{2})/(\1[0-9a-f]{62})")
_ALIAS = regex(r"aliases/(?:md5|sha1|sha512|blake3)/[0-9a-f]{2}/[0-9a-f]+")
_LEASE = regex(r"leases/[A-Za-z0-9._-]+/[0-9a-f]{64}\.json")
_SHA256 = regex(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Keys:
    """The layout below one prefix. `prefix`: empty, or with a `/` at its end."""

    place: Place
    prefix: str

    @classmethod
    def of(cls, remote: str) -> Keys:
        """For the URL of a store, as the settings have it."""
        place = read_place(remote)
        return cls(place, f"{place.key}/" if place.key else "")

    def object(self, sha256: str) -> str:
        """The key of the file with that hash."""
        return f"{self.prefix}objects/sha256/{sha256[:2]}/{sha256}"

    def alias(self, digest: Digest) -> str:
        """The key of what another digest stands for."""
        return f"{self.prefix}aliases/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}"

    def lease(self, machine: str, name: str) -> str:
        """The key of what an environment of that machine uses. `name`: 64 hex digits."""
        return f"{self.prefix}leases/{machine}/{name}.json"

    @property
    def marker(self) -> str:
        """The key of the marker."""
        return self.prefix + MARKER

    def url(self, key: str) -> str:
        """The `s3:` URL of a key."""
        return self.place.url(key=key)

    def sha256_of(self, key: str) -> str | None:
        """The hash that the key of a file names; None for other keys."""
        match = _OBJECT.fullmatch(self._below(key))
        return match[2] if match else None

    def is_alias(self, key: str) -> bool:
        """The key is one of `alias`."""
        return _ALIAS.fullmatch(self._below(key)) is not None

    def is_lease(self, key: str) -> bool:
        """The key is one of `lease`."""
        return _LEASE.fullmatch(self._below(key)) is not None

    def _below(self, key: str) -> str:
        return key[len(self.prefix) :] if key.startswith(self.prefix) else ""


def read_alias(content: bytes) -> str | None:
    """The sha256 that an alias stands for; None for what is none, which is then not used."""
    try:
        sha256 = json.loads(content)["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return sha256 if isinstance(sha256, str) and _SHA256.fullmatch(sha256) else None
