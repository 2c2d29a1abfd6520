"""A want on its way: its claim, its transfer, its hash, and what is known of its sources."""

from __future__ import annotations

import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from conda_assets.digest import Follower
from conda_assets.errors import AssetsError, DigestMismatch, NetworkFailed, SizeMismatch
from conda_assets.fetch.want import Arrival, Claim, Want
from conda_assets.model import Asset, Locked, Stored, host_of, shown_url
from conda_assets.transport import Job

__all__ = ["Item"]

# One connection per MiB at most: more only cost requests.
_BYTES_PER_CONNECTION = 1 << 20
# To a publisher that counts requests.
_FEW = 4


@dataclass(eq=False)
class Item:
    """Mutable, owned by the driving thread; worker threads only run its futures."""

    want: Want
    connections: int
    urls: tuple[str, ...]
    claim: Claim | None = None
    locked: Locked | None = None
    follower: Follower | None = None
    probing: Future[Locked] | None = None
    hashing: Future[None] | None = None
    finishing: Future[Stored] | None = None
    moving: bool = False
    announced: bool = False
    waited: bool = False
    from_empty: bool = False
    refused: set[str] = field(default_factory=set)
    tries: int = 0
    earlier_bytes: int = 0
    job_bytes: int = 0
    reserved_bytes: int = 0
    due: float = 0.0
    since: float = 0.0

    @property
    def asset(self) -> Asset:
        """The first of the assets that want these bytes; it speaks for all of them."""
        return self.want.assets[0]

    @property
    def share(self) -> int:
        """Connections it takes of the common budget."""
        size = (self.locked.size_bytes if self.locked else None) or self.asset.size_bytes
        most = min(self.connections, _FEW) if self.locked and self.locked.most_requests else self.connections
        if size is None:
            return most
        return max(1, min(most, -(-size // _BYTES_PER_CONNECTION)))

    def job(self, locked: Locked, claim: Claim) -> Job:
        """The transfer to order, now that the publisher has been asked."""
        urls, headers = self._sources(locked)
        return Job(
            id=self.want.key,
            urls=urls,
            into=claim.data,
            size_bytes=locked.size_bytes,
            resumable=locked.resumable,
            # A mirror has an ETag of its own.
            etag=locked.etag if len(urls) == 1 else None,
            modified=locked.modified if len(urls) == 1 else None,
            headers=headers,
            connections=self.share,
            checked=locked.promise is not None,
            most_requests=locked.most_requests,
        )

    def _sources(self, locked: Locked) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
        """URLs and headers that may travel together: headers only to the host they were written for, and then alone."""
        if locked.asset.headers:
            may = locked.same_host and host_of(locked.final_url) == host_of(self.asset.url)
            return (locked.final_url,), tuple(locked.asset.headers.items()) if may else ()
        # The asset's own URL and not where it led: each new connection is led afresh, so expiring links heal.
        scheme = urlsplit(locked.url).scheme
        if scheme == "file":
            return (locked.url,), ()
        first = locked.url if _can_be_asked(locked.url) else locked.final_url
        rest = tuple(url for url in self.urls if url != locked.url and _can_be_asked(url))
        return (first, *rest), ()

    def finish(self, follower: Follower, before: Future[None] | None) -> Stored:
        """Hash the rest, compare, adopt; runs in a worker.

        Raises:
            DigestMismatch, SizeMismatch: other bytes than asked for.
            NetworkFailed: the partial file was changed under us.
        """
        assert self.claim is not None
        assert self.locked is not None
        name, asked = self.asset.name, self.locked.promise
        try:
            if before is not None:
                before.result()
            size_bytes = self.claim.data.stat().st_size
            follower.advance(size_bytes)
        except (OSError, EOFError) as error:
            raise NetworkFailed(name, f"the partial file changed while it was read: {error}") from error
        digests = follower.digests()
        if asked is not None and digests[asked.algorithm] != asked:
            source = shown_url(self.locked.final_url)
            raise DigestMismatch(name, asked.algorithm, asked.hex, digests[asked.algorithm].hex, source)
        if not self.asset.fits(size_bytes):
            # A server that announces no length is found out only now.
            raise SizeMismatch(name, self.asset.size_bytes or 0, size_bytes, shown_url(self.locked.final_url))
        # A URL names bytes only when no digest does.
        urls = () if self.asset.digest is not None else tuple(asset.url for asset in self.want.assets)
        return self.claim.adopt(digests=digests, size_bytes=size_bytes, urls=urls)

    def rest(self) -> None:
        """Forget the transfer and its futures, keep the claim and what has arrived."""
        for future in (self.hashing, self.finishing):
            if future is not None and not future.cancel():
                with suppress(AssetsError, OSError, EOFError):
                    future.result()
        self.earlier_bytes += self.job_bytes
        self.job_bytes = self.reserved_bytes = 0
        self.moving = self.announced = False
        self.probing = self.hashing = self.finishing = self.locked = self.follower = None

    def next_source(self) -> bool:
        """After wrong bytes: from empty, one source at a time, so that blame can be put. False when none is left.

        A source is refused only when the whole file came from it alone in one go.
        """
        if self.from_empty and len(self.urls) == 1:
            self.refused.add(self.urls[0])
        left = [url for url in self.asset.urls if url not in self.refused]
        self.urls = tuple(left[:1])
        return bool(left)

    def without(self, url: str) -> bool:
        """Go on without a source that does not serve. False when none is left."""
        self.refused.add(url)
        self.urls = tuple(each for each in self.asset.urls if each not in self.refused)
        self.tries = 0
        return bool(self.urls)

    def arrival(self, *, stored: Stored | None = None, error: AssetsError | None = None, fetched: bool = False) -> Arrival:
        """The end of the want; gives the claim back."""
        source = shown_url(self.locked.final_url if self.locked else self.asset.url)
        if self.claim is not None:
            self.claim.release()
            self.claim = None
        bytes_fetched = self.earlier_bytes + self.job_bytes
        seconds = time.monotonic() - self.since if self.since else 0.0
        pieces = self.follower.pieces() if self.follower and fetched else None
        return Arrival(self.want, stored, error, fetched, bytes_fetched, seconds, source, pieces)


def _can_be_asked(url: str) -> bool:
    """A transport reads such URLs; the others name a file that a source has to find first."""
    return urlsplit(url).scheme.lower() in ("http", "https")
