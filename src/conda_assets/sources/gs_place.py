"""`gs://bucket/name`: what it names, where Google has it, and what a listing has said of it.

gs://bucket/path/name                        the latest
gs://bucket/path/name?generation=1730462400  Google's word for a version: it never changes
"""

from __future__ import annotations

import os
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from conda_assets.digest import Digest
from conda_assets.records import dataclass

__all__ = ["Object", "Place", "listing_of", "read_place", "recall", "remember"]

_ENDPOINT = "https://storage.googleapis.com"
_UNRESERVED = "/-._~"
# 50 MB of memory.
_MOST_REMEMBERED = 200_000


@dataclass(frozen=True, slots=True)
class Place:
    """`key` is decoded; `generation`: None for the latest."""

    bucket: str
    key: str
    generation: str | None = None

    @property
    def url(self) -> str:
        """As it stands in a spec."""
        return f"gs://{self.bucket}/{self._rest}"

    @property
    def address(self) -> str:
        """Where it is served."""
        return f"{_endpoint()}/{self.bucket}/{self._rest}"

    @property
    def _rest(self) -> str:
        return quote(self.key, safe=_UNRESERVED) + (f"?generation={self.generation}" if self.generation else "")


@dataclass(frozen=True, slots=True)
class Object:
    """What Google says of one. `size_bytes`, `digest`: of the bytes that come; None where they are other than what is stored.

    `guarded`: credentials were shown to hear it.
    """

    size_bytes: int | None
    digest: Digest | None
    generation: str | None
    guarded: bool


def read_place(url: str) -> Place:
    """What the URL names."""
    parts = urlsplit(url)
    return Place(parts.netloc, unquote(parts.path[1:]), parse_qs(parts.query).get("generation", [None])[0])


def listing_of(bucket: str, asked: dict[str, str]) -> str:
    """The URL of a listing."""
    return f"{_endpoint()}/storage/v1/b/{quote(bucket, safe='')}/o?{urlencode(asked)}"


def remember(place: Place, said: Object) -> None:
    """Keep what was said of a generation, so that the files of a pattern need not be asked for one by one."""
    if len(_remembered) >= _MOST_REMEMBERED:
        _remembered.clear()
    _remembered[_endpoint(), place] = said


def recall(place: Place) -> Object | None:
    """What was said of it before; None for the latest, whatever that is now."""
    return _remembered.get((_endpoint(), place)) if place.generation else None


_remembered: dict[tuple[str, Place], Object] = {}


def _endpoint() -> str:
    """Google's, or what Google's own libraries take from the environment for one's own server."""
    told = os.environ.get("STORAGE_EMULATOR_HOST", "").rstrip("/")
    return told if "://" in told else f"http://{told}" if told else _ENDPOINT
