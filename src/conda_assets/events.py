"""What workers report while they work. They never draw: a face (terminal, JSON, a page) listens; a list is a test double.

def test_a_kept_asset_is_silent(...):
    seen: list[Event] = []
    sync(..., watch=seen.append)
"""

from __future__ import annotations

from collections.abc import Callable

from conda_assets.model import Plan, State
from conda_assets.records import dataclass

__all__ = [
    "Event",
    "Failed",
    "Finished",
    "Noted",
    "Observer",
    "Planned",
    "Progressed",
    "Reading",
    "Retrying",
    "Started",
    "Unpacking",
    "Waiting",
    "nobody",
]


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan stands; work begins."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Reading:
    """So much is going to be read and compared; `Progressed` tells of each file."""

    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Started:
    """An asset's transfer begins. `done_bytes`: what an earlier run left."""

    asset: str
    size_bytes: int | None
    done_bytes: int
    source: str


@dataclass(frozen=True, slots=True)
class Progressed:
    """Bytes arrive. `verified_bytes` have been hashed already."""

    asset: str
    done_bytes: int
    size_bytes: int | None
    bytes_per_s: float
    connections: int
    verified_bytes: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Another process fetches the same file. `holder`: host and pid, where known."""

    asset: str
    holder: str


@dataclass(frozen=True, slots=True)
class Retrying:
    """A try failed and another one follows in `after_s` seconds."""

    asset: str
    because: str
    after_s: float
    attempt: int


@dataclass(frozen=True, slots=True)
class Unpacking:
    """An archive that is here is unpacked. `done_bytes` of its `size_bytes` have been read."""

    asset: str
    done_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Finished:
    """An asset is in its place. `bytes_fetched` came over the network in this run. `unpack_s`: the part of `seconds` that went
    into unpacking.
    """

    asset: str
    state: State
    size_bytes: int
    bytes_fetched: int
    seconds: float
    path: str
    unpack_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """An asset could not be brought."""

    asset: str
    message: str
    hints: tuple[str, ...]
    optional: bool


@dataclass(frozen=True, slots=True)
class Noted:
    """Something a person should read once. `level`: `info` or `warning`."""

    text: str
    level: str = "info"


Event = Planned | Reading | Started | Progressed | Waiting | Retrying | Unpacking | Finished | Failed | Noted
Observer = Callable[[Event], None]


def nobody(event: Event) -> None:
    """The observer that does not listen."""
