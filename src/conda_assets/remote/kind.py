"""What a store elsewhere can do, whatever server keeps it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import Any

from conda_assets.digest import Digest
from conda_assets.errors import DigestMismatch, RemoteFailed
from conda_assets.model import Stored
from conda_assets.records import dataclass

__all__ = ["AT_ONCE", "ONE_PUT_BYTES", "Gone", "Held", "RemoteStore", "Sent", "check_hash"]

#: Requests under way at once, and connections for them.
AT_ONCE = 6
#: Larger files go in parts, one file after the other; smaller ones whole, several at once.
ONE_PUT_BYTES = 8 << 20

#: Bytes that need not be sent, or have been.
Sent = Callable[[int], None]


class Gone(RemoteFailed):
    """There is no such object."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the server says of an object. `modified_s`: by its clock, seconds since 1970. `sha256`: of a file, else empty."""

    key: str
    size_bytes: int
    modified_s: float
    etag: str = ""
    sha256: str = ""

    @property
    def version(self) -> tuple[float, str]:
        """Other than before when the object was written anew; times alone are whole seconds."""
        return self.modified_s, self.etag


class RemoteStore(ABC):
    """A store that others have, too; safe for several threads; hangs up as a context manager. Times are the server's.

    `remote`: its URL as the settings have it, `shown`: as messages have it. A key is the server's own name of an object in it.

    Raises (in each of its functions):
        RemoteFailed: no answer, a refusal, nothing there to write to.
    """

    remote: str
    shown: str
    #: What has to happen until the bytes of deleted files are free; empty: nothing.
    frees = ""

    def __enter__(self) -> RemoteStore:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Hang up."""

    @abstractmethod
    def is_marked(self) -> bool:
        """There is a store of ours; False where there is none yet.

        Raises:
            RemoteFailed: something else stands there, or a newer store.
        """

    @abstractmethod
    def mark(self) -> None:
        """Make it a store."""

    # Files

    @abstractmethod
    def size_of(self, sha256: str) -> int | None:
        """Bytes of a file; None where it is not there, or where that may not be known."""

    @abstractmethod
    def send(self, name: str, stored: Stored, sent: Sent) -> int | None:
        """Have the store hold the file; the bytes that had to be sent for that, None where it had it. `name`: the asset's.

        Raises:
            DigestMismatch: the file of this machine is damaged; nothing of it is in the store.
        """

    @abstractmethod
    def put_alias(self, digest: Digest, sha256: str) -> None:
        """Have the store say which file another digest means; the file is there."""

    @abstractmethod
    def files(self) -> tuple[list[Held], float]:
        """All files, and the server's time when it began to tell."""

    @abstractmethod
    def url_of(self, sha256: str) -> str:
        """Where a file is, for people."""

    @abstractmethod
    def shown_key(self, key: str) -> str:
        """A key with the store before it, for people."""

    # Leases

    @abstractmethod
    def put_lease(self, machine: str, name: str, content: bytes) -> None:
        """Write a lease, in place of what is there. `name`: 64 hex digits, of one holder on that machine."""

    @abstractmethod
    def leases(self) -> list[Held]:
        """All leases."""

    @abstractmethod
    def read_lease(self, row: Held) -> bytes:
        """The content of a lease as it is now.

        Raises:
            Gone: it is there no more.
        """

    # Collecting

    @abstractmethod
    def stray_aliases(self, stay: Collection[str], before_s: float) -> tuple[str, ...]:
        """Keys of aliases that are older than that and lead to none of these files."""

    @abstractmethod
    def unended(self, before_s: float) -> tuple[Any, ...]:
        """What pushes that were killed before that have left, each for `end`."""

    @abstractmethod
    def end(self, upload: Any) -> None:
        """Remove it."""

    @abstractmethod
    def delete(self, row: Held | str) -> None:
        """Remove what a list has named; an alias by its key."""


def check_hash(name: str, stored: Stored, got: str) -> None:
    """Hold the hash of what was read against the file's name.

    Raises:
        DigestMismatch: it is another.
    """
    if got != stored.sha256:
        raise DigestMismatch(name, "sha256", stored.sha256, got, str(stored.path))
