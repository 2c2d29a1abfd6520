"""What fetching takes and gives, and what it needs of a store."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

from conda_assets.digest import Digest, Pieces
from conda_assets.errors import AssetsError
from conda_assets.model import Asset, Laid, Stored
from conda_assets.records import dataclass

__all__ = ["Arrival", "Claim", "Limits", "Quick", "Salvage", "Small", "Tray", "Want", "Warehouse"]

K = TypeVar("K")


class Claim(Protocol):
    """The right to bring one file into the store; no other process has it meanwhile."""

    @property
    def data(self) -> Path:
        """Where the bytes go; what an earlier run left may stand there."""

    def adopt(self, *, digests: Mapping[str, Digest], size_bytes: int, urls: Sequence[str]) -> Stored:
        """Give the file its final name; `urls` gave these bytes and no digest names them. Ends the staging."""

    def discard(self) -> None:
        """Forget what has arrived."""

    def release(self) -> None:
        """Give the right back; what has arrived stays for the next one."""


class Tray(Protocol):
    """The right to bring many small files. One thread lays them, another one may adopt them."""

    def expect(self, sha256: Iterable[str]) -> None:
        """Files with these hashes are about to be laid."""

    def lay(self, name: str, body: memoryview, digests: Mapping[str, Digest]) -> Laid:
        """Write a file; `name` is unique in the tray."""

    def adopt(self, group: Sequence[Laid], turn: AbstractContextManager[object] | None = None) -> list[Stored]:
        """Give the files their final names, in the order of the group: on the disk first, and then, in `turn`, the names."""

    def close(self) -> None:
        """Give the right back; what was not adopted goes."""


class Quick(Protocol):
    """Brings small files, each in one request; what does not go well at once is asked for the ordinary way."""

    def takes(self, url: str) -> bool:
        """It may be tried."""

    def bring(self, files: Iterable[tuple[K, str, int]], connections: int) -> Generator[tuple[K, memoryview | None], None, None]:
        """Each file (what to call it, URL, bytes) as it comes, or None for it. So many connections to one server at most."""

    @property
    def connections(self) -> int:
        """So many are open."""

    def cut(self) -> None:
        """End all that is under way: what has not come is None. From another thread."""


@dataclass(frozen=True, slots=True)
class Small:
    """How small files come: `tray` gives the right to bring those with these keys, and says which of them others are bringing.

    None when others bring all of them.
    """

    quick: Quick
    tray: Callable[[Sequence[str]], tuple[Tray | None, frozenset[str]]]


class Warehouse(Protocol):
    """What fetching needs of a store."""

    def find(self, digest: Digest) -> Stored | None:
        """The stored file with that digest."""

    def find_url(self, url: str) -> Stored | None:
        """The stored file that an unhashed URL gave before."""

    def claim(self, key: str) -> Claim | None:
        """None while another process has it."""

    def holder(self, key: str) -> str:
        """Who has it, for people."""

    def note_pieces(self, stored: Stored, pieces: Pieces) -> None:
        """Keep how its pieces are: should it be damaged, only some have to come again."""

    def staged_bytes(self, key: str) -> int:
        """What an earlier run left of a file, as it is on the disk."""

    def free_bytes(self) -> int:
        """Room on the store's file system."""

    @property
    def folder(self) -> Path:
        """The store that is written."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`connections`: to one server for one file. `jobs`: large files at once; `files`: files of any size at once.

    `tries`: without progress, before giving up, and `patience_s`: seconds without any. What a server asks to wait does not count.
    `paced`: somebody wants it slow, so that long times without a byte say nothing.
    """

    connections: int = 16
    jobs: int = 4
    files: int = 32
    tries: int = 5
    patience_s: float = 90.0
    paced: bool = False


@dataclass(frozen=True, slots=True)
class Salvage:
    """`path`: a damaged file. `known`: how its pieces are when it is right, None where nobody knows.

    `sha256` of the right one, and its `modified_ns`, as receipts have them; empty and None where the asset says enough.
    """

    path: Path
    sha256: str = ""
    known: Pieces | None = None
    modified_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Want:
    """Bytes to bring: one store key, and the assets that share them.

    `afresh`: what the store has from that URL is not to be used. `pieces`: hash the pieces too, so that a lock can have them.
    `salvage`: what is left of the file; its good pieces need not come again.
    """

    key: str
    assets: tuple[Asset, ...]
    afresh: bool = False
    pieces: bool = False
    salvage: Salvage | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """The end of a want: `stored` or `error`. `fetched`: this process brought it; else another one did meanwhile.

    `pieces`: when they were wanted, the server said the size, and there are several.
    `revision`: what the asset's own publisher called the version.
    """

    want: Want
    stored: Stored | None = None
    error: AssetsError | None = None
    fetched: bool = False
    bytes_fetched: int = 0
    seconds: float = 0.0
    source: str = ""
    pieces: Pieces | None = None
    revision: str | None = None
