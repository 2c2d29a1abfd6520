"""What ListObjectsV2 answers: keys, and how to go on. A document type is refused, and with it every entity."""

from __future__ import annotations

from urllib.parse import unquote_plus
from xml.parsers import expat

from conda_assets.records import dataclass

__all__ = ["Listing", "read_listing"]

_WANTED = frozenset({"Key", "NextContinuationToken", "EncodingType", "IsTruncated"})


@dataclass(frozen=True, slots=True)
class Listing:
    """One page. `following`: what the next one is asked for with, None for the last."""

    keys: tuple[str, ...]
    following: str | None


def read_listing(body: bytes) -> Listing:
    """The page.

    Raises:
        ValueError: it is none.
    """
    found: dict[str, list[str]] = {name: [] for name in _WANTED}
    path: list[str] = []

    def refuse(*unused: object) -> None:
        raise ValueError("a document type")

    def start(name: str, attributes: object) -> None:
        path.append(name)
        if name in _WANTED:
            found[name].append("")

    def text(data: str) -> None:
        if path[-1] in _WANTED:
            found[path[-1]][-1] += data

    root: list[str] = []
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda name: root.append(path.pop())
    parser.CharacterDataHandler = text
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise ValueError("it is not XML") from error
    if not root or root[-1] != "ListBucketResult":
        raise ValueError("it is XML, but no listing")
    # Asked for, because a key may have signs that XML cannot hold; not every server does it.
    keys = [unquote_plus(key) for key in found["Key"]] if "url" in found["EncodingType"] else found["Key"]
    following = found["NextContinuationToken"][0] if found["NextContinuationToken"] else None
    return Listing(tuple(keys), following if found["IsTruncated"] == ["true"] else None)
