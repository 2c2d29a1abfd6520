"""A bundle: a spec, its lock and all the bytes, as one tar archive or one folder, for a machine without a network.

    conda-assets-bundle.json        {"schema": 1,
                                     "spec": [{"name": "environment.yml", "size_bytes": 812, "sha256": "5e88…"}, …],
                                     "objects": [{"sha256": "248d…", "size_bytes": 548105171, "hashes": ["md5:6cd3…"],
                                                  "assets": ["gpt2-weights"]}]}
    spec/environment.yml            as it is: `${NAME}` stays, so no secret of the environment is in a bundle
    spec/environment.assets.lock    where there is one
    objects/248dfc39…               one file each, called by its sha256, in the order of the list

The tar archive is plain (ustar, pax where a file has 8 GiB or more), in this order, without times and owners: the same assets
give the same bytes. `tar -x` and `sha256sum` read a bundle without us. Pure; `exporting` and `unbundling` move the bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from conda_assets.digest import Digest, parse_digest
from conda_assets.errors import BundleRefused
from conda_assets.records import dataclass
from conda_assets.regexes import regex

__all__ = ["FORMAT", "MANIFEST", "Contents", "Object", "Text", "contents_of", "manifest_text"]

FORMAT = 1
MANIFEST = "conda-assets-bundle.json"

#: 100,000 assets take 30 MB.
MANIFEST_BYTES = 256 << 20
_SPEC_BYTES = 64 << 20
_SHA256 = regex("[0-9a-f]{64}")
_SPEC_NAME = regex(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,120}\.(?:yml|yaml|lock)")


@dataclass(frozen=True, slots=True)
class Text:
    """A spec or a lock. `name`: a plain file name."""

    name: str
    size_bytes: int
    sha256: str

    @property
    def member(self) -> str:
        """Where it is in the bundle."""
        return f"spec/{self.name}"


@dataclass(frozen=True, slots=True)
class Object:
    """A file of the store. `hashes`: its other digests that a spec or a lock asks for."""

    sha256: str
    size_bytes: int
    hashes: tuple[Digest, ...]
    assets: tuple[str, ...]

    @property
    def member(self) -> str:
        """Where it is in the bundle."""
        return f"objects/{self.sha256}"


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a bundle, in its order."""

    texts: tuple[Text, ...]
    objects: tuple[Object, ...]

    @property
    def size_bytes(self) -> int:
        """All objects together."""
        return sum(each.size_bytes for each in self.objects)


def manifest_text(contents: Contents) -> str:
    """The list that stands first."""
    return (
        json.dumps(
            {
                "schema": FORMAT,
                "spec": [{"name": each.name, "size_bytes": each.size_bytes, "sha256": each.sha256} for each in contents.texts],
                "objects": [
                    {
                        "sha256": each.sha256,
                        "size_bytes": each.size_bytes,
                        "hashes": [str(digest) for digest in each.hashes],
                        "assets": list(each.assets),
                    }
                    for each in contents.objects
                ],
            },
            indent=1,
        )
        + "\n"
    )


def contents_of(data: bytes, source: str) -> Contents:
    """Read the list; nothing in it is believed that could lead out of the bundle or the folder it is taken into.

    Raises:
        BundleRefused: it is not one of ours, of a newer version, or hostile.
    """
    try:
        said = json.loads(data)
        version = said["schema"]
        if version != FORMAT:
            raise BundleRefused(source, f"it has version {version}, this conda-assets reads {FORMAT}: update conda-assets")
        texts = tuple(_text(each) for each in said["spec"])
        objects = tuple(_object(each) for each in said["objects"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BundleRefused(source, f"{MANIFEST} is not a list of conda-assets: {error!r}") from error
    names = [each.name.lower() for each in texts] + [each.sha256 for each in objects]
    if len(set(names)) != len(names):
        raise BundleRefused(source, f"{MANIFEST} names a file twice")
    return Contents(texts, objects)


def _text(said: Any) -> Text:
    name, size_bytes, sha256 = said["name"], said["size_bytes"], said["sha256"]
    if not _SPEC_NAME.fullmatch(name):
        raise ValueError(f"no name of a spec: {name!r}")
    return Text(name, _count(size_bytes, _SPEC_BYTES), _hex(sha256))


def _object(said: Any) -> Object:
    hashes: Sequence[str] = said["hashes"]
    assets = tuple(str(each) for each in said["assets"])
    return Object(_hex(said["sha256"]), _count(said["size_bytes"], 1 << 60), tuple(map(parse_digest, hashes)), assets)


def _count(value: object, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"no number of bytes: {value!r}")
    return value


def _hex(value: object) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ValueError(f"no sha256: {value!r}")
    return value
