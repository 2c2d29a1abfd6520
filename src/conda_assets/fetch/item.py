"""A want on its way: its claim, its transfer, its hash, and what is known of its sources."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from urllib.parse import unquote_to_bytes, urlsplit

from conda_assets.digest import Digest, Follower
from conda_assets.errors import AssetsError, DigestMismatch, NetworkFailed, SizeMismatch, UpstreamChanged
from conda_assets.fetch.salvage import salve
from conda_assets.fetch.want import Arrival, Claim, Salvage, Want
from conda_assets.model import Asset, Fresh, Locked, Stored, shown_url
from conda_assets.records import dataclass, field, replace
from conda_assets.transport import Job
from conda_assets.web.reach import origin_of

__all__ = ["Item"]

# One connection per MiB at most: more only cost requests.
_BYTES_PER_CONNECTION = 1 << 20
# To a publisher that counts requests.
_FEW = 4
# Fewer new bytes are no progress: a server that gives ten a request, or ten a second, would be borne for ever.
_WORTH_BYTES, _PACE_BYTES = 64 << 10, 512 << 10
# A file of one request: nothing of it can be from two versions. The transports keep no journal of those either.
_ONE_REQUEST_BYTES = 1 << 20


@dataclass(eq=False, repr=False)
class Item:
    """Mutable, owned by the driving thread; worker threads only run its futures. Has no repr: its URLs may hold secrets."""

    want: Want
    connections: int
    urls: tuple[str, ...]
    claim: Claim | None = None
    locked: Locked | None = None
    follower: Follower | None = None
    probing: Future[Locked] | None = None
    hashing: Future[None] | None = None
    finishing: Future[Stored] | None = None
    salvage: Salvage | None = None
    salving: Future[int] | None = None
    salved: Salvage | None = None
    moving: bool = False
    announced: bool = False
    waited: bool = False
    from_empty: bool = False
    alone: bool = False
    only: str = ""
    also_at: tuple[str, ...] = ()
    promised: Digest | None = None
    vouched_by: str = ""
    refused: set[str] = field(default_factory=set)
    tries: int = 0
    changes: int = 0
    whole: bool = False
    denied: DigestMismatch | None = None
    best_bytes: int = 0
    paced_bytes: int = 0
    quiet_since: float = 0.0
    most_bytes: int = 0
    heard_at: float = 0.0
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

    @property
    def wanted(self) -> Digest | None:
        """What the bytes must be: the file's word, else the publisher's, else what they were before they were damaged."""
        left = self.want.salvage
        return self.asset.digest or self.promised or (Digest("sha256", left.sha256) if left and left.sha256 else None)

    def learn(self, locked: Locked) -> None:
        """Take in what the publisher says. What one has promised holds for a mirror that says nothing."""
        self.locked, self.probing = locked, None
        if locked.digest is not None:
            self.promised, self.vouched_by = locked.digest, locked.vouched_by
        self.also_at = locked.also_at or self.also_at

    def prepare(self, locked: Locked, claim: Claim, workers: Executor, stopping: Callable[[], bool]) -> bool:
        """Whether the transfer can begin: what a damaged file leaves is in its place then."""
        left = self.salvage
        if left is None or left.known is None:
            return True
        if self.salving is None:
            if left.path != claim.data and claim.data.exists():
                return True  # an earlier run that was interrupted has done so already
            self.salving = workers.submit(salve, left, self.job(locked, claim), stopping)
        if not self.salving.done():
            return False
        self.salved = left if self.salving.result() else None
        self.salvage = self.salving = None
        return True

    def advance(self, done_bytes: int) -> None:
        """Take note of more of the file than there ever was: the tries so far were worth it, and patience begins anew."""
        if done_bytes >= self.best_bytes + _WORTH_BYTES:
            self.tries, self.best_bytes = 0, done_bytes
        if done_bytes >= self.paced_bytes + _PACE_BYTES:
            self.paced_bytes, self.quiet_since = done_bytes, time.monotonic()
        if done_bytes > self.most_bytes:
            self.most_bytes, self.heard_at = done_bytes, time.monotonic()

    def silent_s(self) -> float:
        """For how long nothing new has come, over all tries."""
        return time.monotonic() - max(self.heard_at, self.quiet_since)

    def job(self, locked: Locked, claim: Claim) -> Job:
        """The transfer to order, now that the publisher has been asked."""
        urls = self._sources(locked)
        self.only = locked.url if len(urls) == 1 else ""
        # Without a digest nothing would tell two versions of the file in one: an answer alone is always of one version.
        self.whole = self.whole or (not self._provable(locked) and (self.changes > 0 or not _is_marked(locked)))
        # A mirror has an ETag of its own, and some servers give another one each time: a digest decides then.
        pinned = len(urls) == 1 and not self.whole and not self.changes
        return Job(
            id=self.want.key,
            urls=urls,
            into=claim.data,
            size_bytes=locked.size_bytes,
            resumable=locked.resumable and not self.whole,
            etag=locked.etag if pinned else None,
            modified=locked.modified if pinned else None,
            fresh={}
            if locked.swarm and not locked.swarm.tracker
            else {url: lead for url in urls if (lead := self._lead(locked, url)) is not None},
            connections=self.share,
            # One poisoned mirror then spoils its own pieces only.
            piece_bytes=self.asset.pieces.size_bytes if self.asset.pieces and len(urls) > 1 else 0,
            checked=self.wanted is not None,
            page=locked.page,
            most_requests=locked.most_requests,
            swarm=locked.swarm,
        )

    @property
    def must_be_the_same(self) -> bool:
        """Whether the publisher is to be asked once more, at the end, if that still is the file: no digest says so."""
        locked = self.locked
        if locked is None or self.whole or not locked.resumable or self._provable(locked):
            return False
        return (locked.size_bytes or 0) > _ONE_REQUEST_BYTES

    def _provable(self, locked: Locked) -> bool:
        """Whether the bytes can be held against something when they are here."""
        return self.wanted is not None or locked.swarm is not None

    def _sources(self, locked: Locked) -> tuple[str, ...]:
        """The URL that was asked, and those that need not be asked first: a publisher of another kind is, when its turn comes.

        The asset's own and not where it led: each new connection is led afresh, so expiring links heal.
        """
        if urlsplit(_first(locked)).scheme == "file":
            return (locked.final_url,)
        # Bytes of two servers that nobody vouches for are not put into one file.
        alone = self.alone or locked.alone or not self._provable(locked)
        rest = () if alone else (url for url in self._all() if url != locked.url and _can_be_asked(url))
        return tuple(dict.fromkeys((_first(locked), *rest)))

    def _all(self) -> tuple[str, ...]:
        """What is left of the URLs that the file and the publisher name."""
        return tuple(url for url in (*self.asset.urls, *self.also_at) if url not in self.refused)

    def _lead(self, locked: Locked, url: str) -> Callable[[], Fresh] | None:
        """Whom to ask for links in place of that URL: the publisher, or nobody where headers or a password go with it."""
        if url == _first(locked) and locked.fresh is not None:
            return locked.fresh
        if (sent := _credentials(self.asset, url)) is None:
            return None
        fresh = Fresh(*sent)
        return lambda: fresh

    def finish(self, follower: Follower, before: Future[None] | None, now: Future[Locked] | None) -> Stored:
        """Hash the rest, compare, adopt; runs in a worker. `now`: what the publisher says of the file after the transfer.

        Raises:
            DigestMismatch, SizeMismatch: other bytes than asked for.
            UpstreamChanged: what has come may be of two versions of the file.
            NetworkFailed: the partial file was changed under us, or the publisher does not answer any more.
        """
        assert self.claim is not None
        assert self.locked is not None
        name, asked = self.asset.name, self.wanted
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
            vouched_by = "" if self.asset.digest else self.vouched_by
            raise DigestMismatch(name, asked.algorithm, asked.hex, digests[asked.algorithm].hex, source, vouched_by=vouched_by)
        if not self.asset.fits(size_bytes):
            # A server that announces no length is found out only now.
            raise SizeMismatch(name, self.asset.size_bytes or 0, size_bytes, shown_url(self.locked.final_url))
        if now is not None and _marks(now.result()) != _marks(self.locked):
            raise UpstreamChanged(name, f"{shown_url(self.locked.final_url)} has another version of the file now")
        left = self.want.salvage
        if left is not None and left.modified_ns is not None:
            # Receipts of other environments know it by that.
            os.utime(self.claim.data, ns=(left.modified_ns, left.modified_ns))
        # A URL names bytes only when no digest in the file does.
        urls = () if self.asset.digest is not None else tuple(asset.url for asset in self.want.assets)
        return self.claim.adopt(digests=digests, size_bytes=size_bytes, urls=urls)

    def rest(self) -> None:
        """Forget the transfer and its futures, keep the claim and what has arrived."""
        for future in (self.hashing, self.finishing, self.salving):
            if future is not None and not future.cancel():
                with suppress(AssetsError, OSError, EOFError):
                    future.result()
        self.earlier_bytes += self.job_bytes
        self.job_bytes = self.reserved_bytes = 0
        self.moving = self.announced = False
        self.probing = self.hashing = self.finishing = self.salving = self.locked = self.follower = None

    def next_source(self) -> bool:
        """After wrong bytes: from empty, one source at a time, so that blame can be put. False when none is left.

        A source is refused only when all that is wrong can have come from it alone.
        """
        if self.only and (self.from_empty or self.salved):
            self.refused.add(self.only)
        self.urls, self.alone, self.whole, self.salved = self._all()[:1], True, False, None
        self.denied = None
        self.best_bytes = self.paced_bytes = self.most_bytes = 0
        self.quiet_since = 0.0
        return bool(self.urls)

    @property
    def guessed(self) -> bool:
        """Pieces of a damaged file were taken over, so nobody can be blamed for what is wrong."""
        return self.salved is not None and self.salved is self.want.salvage

    def forget_guess(self) -> None:
        """Do without them; where nobody vouches for the bytes, they may be others than they were."""
        self.salved = None
        if self.asset.digest is None and self.promised is None:
            self.want = replace(self.want, salvage=None)

    def piecewise(self, claim: Claim) -> bool:
        """After wrong bytes: keep what is right of them, where the lock says how each piece is."""
        known = self.asset.pieces
        self.salvage = None if known is None else Salvage(claim.data, known=known)
        return self.salvage is not None

    def without(self, url: str) -> bool:
        """Go on without a source that does not serve. False when none is left."""
        self.refused.add(url)
        self.salved = None
        self.urls = self._all()[:1] if self.alone else self._all()
        self.tries, self.whole, self.quiet_since = 0, False, 0.0
        return bool(self.urls)

    def arrival(self, *, stored: Stored | None = None, error: AssetsError | None = None, fetched: bool = False) -> Arrival:
        """The end of the want; gives the claim back."""
        source = shown_url(self.locked.final_url if self.locked else self.asset.url)
        if self.claim is not None:
            self.claim.release()
            self.claim = None
        bytes_fetched = self.earlier_bytes + self.job_bytes
        seconds = time.monotonic() - self.since if self.since else 0.0
        pieces = self.follower.pieces() if self.follower and fetched and self.want.pieces else None
        revision = self.locked.revision if self.locked and self.locked.url == self.asset.url else None
        return Arrival(self.want, stored, error, fetched, bytes_fetched, seconds, source, pieces, revision)


def _marks(locked: Locked) -> tuple[int | None, str | None, str | None]:
    """What another version of the file would have otherwise."""
    return locked.size_bytes, locked.etag, locked.modified


def _is_marked(locked: Locked) -> bool:
    return bool(locked.etag or locked.modified)


def _can_be_asked(url: str) -> bool:
    """A transport reads such URLs; the others name a file that a source has to find first."""
    return urlsplit(url).scheme.lower() in ("http", "https", "ftp", "sftp")


def _first(locked: Locked) -> str:
    """The URL of the publisher that was asked, or where it is shown to be."""
    return locked.url if _can_be_asked(locked.url) else locked.final_url


def _credentials(asset: Asset, url: str) -> tuple[str, tuple[tuple[str, str], ...]] | None:
    """The URL without user and password, and what is to be sent to its origin; None where there is nothing to hide."""
    parts = urlsplit(url)
    if parts.scheme.lower() not in ("http", "https"):
        return None
    user, at, host = parts.netloc.rpartition("@")
    headers = dict(asset.headers) if origin_of(url) == origin_of(asset.url) else {}
    if at and not any(name.lower() == "authorization" for name in headers):
        headers["Authorization"] = "Basic " + base64.b64encode(unquote_to_bytes(user if ":" in user else f"{user}:")).decode()
    return (parts._replace(netloc=host).geturl(), tuple(headers.items())) if headers else None
