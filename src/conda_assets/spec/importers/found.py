"""What all importers give, and what they share: notes, digests by the names of others, URLs made safe."""

from __future__ import annotations

import re

from conda_assets.digest import ALGORITHMS, Digest, parse_digest
from conda_assets.errors import Fault
from conda_assets.model import last_part
from conda_assets.records import dataclass
from conda_assets.spec.entry import Fields, Value

__all__ = ["Found", "Unreadable", "digest_fields", "last_of", "note", "read_digest", "safe_url"]

#: The first of these that a list has is taken.
_BEST = ("sha256", "sha512", "blake3", "sha1", "md5")


@dataclass(frozen=True, slots=True)
class Found:
    """`notes`: what could not be said in an entry; without a file until `read_list` gives them one."""

    entries: tuple[Fields, ...]
    notes: tuple[Fault, ...] = ()


class Unreadable(Exception):
    """The list cannot be read at all. `line` counts from 1; 0 where there is none."""

    def __init__(self, line: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.line, self.message, self.hint = line, message, hint


def last_of(url: str) -> str:
    """The last path part, for messages and names; never what stands before a host or behind `?`."""
    try:
        return last_part(url)
    except ValueError:  # a host that cannot be read
        return ""


def note(line: int, who: str, message: str, hint: str = "") -> Fault:
    """One thing that is not taken over; `who`: the name in the list."""
    return Fault("", line, 0, who, message, hint)


def read_digest(algorithm: str, digits: str) -> Digest | None:
    """The digest, whatever the algorithm's spelling (`sha-256`, `SHA256`); None for one that cannot be checked.

    Raises:
        ValueError: a known algorithm with other digits than it has.
    """
    name = re.sub(r"[-_ ]", "", algorithm.lower())
    return parse_digest(f"{name}:{digits}") if name in ALGORITHMS else None


def digest_fields(digests: list[Digest]) -> dict[str, Value]:
    """The strongest one as a field."""
    for algorithm in _BEST:
        for digest in digests:
            if digest.algorithm == algorithm:
                return {"sha256": digest.hex} if algorithm == "sha256" else {"hash": str(digest)}
    return {}


def safe_url(url: str) -> str:
    """The URL as `url:` wants it: a space is `%20`, a `${` of its own is no variable."""
    url = re.sub(r'[\s"<>\\]', lambda found: "".join(f"%{each:02X}" for each in found[0].encode()), url.strip())
    return url.replace("${", "$${")
