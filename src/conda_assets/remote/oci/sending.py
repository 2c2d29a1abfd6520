"""Putting blobs into a registry: whole where they are small, else in chunks, each read from the file as it is sent.

    POST  blobs/uploads/                          202, Location: where the upload is
    PUT   <location>?digest=sha256:…              all of it, or what ends an upload
    PATCH <location>    Content-Range: 0-67108863 a chunk; 202 and the next Location

The registry itself holds the bytes against the digest before the blob is there. When a chunk breaks off it is asked how far it
got; a registry that cannot tell gets the file anew. One that takes no chunks gets it whole.

Source: distribution-spec 1.1, "Pushing blobs"
"""

from __future__ import annotations

import hashlib
import time
from urllib.parse import urljoin

from conda_assets.digest import digest_file
from conda_assets.errors import RemoteFailed
from conda_assets.model import Stored
from conda_assets.regexes import regex
from conda_assets.remote.kind import Gone, Sent, check_hash
from conda_assets.remote.oci.client import Broken, Repository
from conda_assets.remote.window import Window
from conda_assets.sources.asking import Answer

__all__ = ["CHUNK_BYTES", "has_blob", "put_blob", "send_blob"]

#: Larger files go in chunks: proxies before a registry limit what one request may have.
CHUNK_BYTES = 64 << 20
_TRIES = 4
_AGAIN_S = 0.5
_OCTETS = {"Content-Type": "application/octet-stream"}
# A registry reads all bytes once more before it says that the blob is there.
_READ_S, _HASHED_BYTES_PER_S = 60.0, 20e6
_RANGE = regex(r"(?:bytes=)?0-(\d+)")


def has_blob(repository: Repository, sha256: str) -> bool:
    """The registry has it, in this repository."""
    try:
        repository.get(f"blobs/sha256:{sha256}", "be read", method="HEAD")
    except Gone:
        return False
    return True


def put_blob(repository: Repository, content: bytes) -> tuple[str, Answer]:
    """Have the registry hold a small content: its sha256, and the answer, which has the registry's time.

    Raises:
        RemoteFailed: it cannot be written.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    for attempt in range(1, _TRIES + 1):
        try:
            begun = _begin(repository)
            ended = f"{begun}{'&' if '?' in begun else '?'}digest=sha256:{sha256}"
            return sha256, repository.order("PUT", ended, "be written", _OCTETS, content)
        except Broken:
            if attempt == _TRIES:
                raise
            time.sleep(_AGAIN_S * attempt)
    raise AssertionError


def send_blob(repository: Repository, name: str, stored: Stored, sent: Sent) -> int:
    """Have the registry hold a file: the bytes that were sent, 0 where it had them. `name`: the asset's, for messages.

    Raises:
        RemoteFailed: it cannot be written.
        DigestMismatch: the file of this machine is damaged; the registry has not taken it.
    """
    if has_blob(repository, stored.sha256):
        sent(stored.size_bytes)
        return 0
    try:
        if stored.path.stat().st_size != stored.size_bytes:
            check_hash(name, stored, digest_file(stored.path)["sha256"].hex)
    except OSError as error:
        said = f"{stored.path} cannot be read: {error.strerror}"
        raise RemoteFailed(repository.shown, said, "run `conda assets verify`") from error
    upload = _Upload(repository, stored, sent)
    try:
        for attempt in range(1, _TRIES + 1):
            try:
                return upload.run()
            except Broken:
                # Another writer may have been faster, and this registry strict about that.
                if attempt == _TRIES or has_blob(repository, stored.sha256):
                    raise
                time.sleep(_AGAIN_S * attempt)
    except RemoteFailed as error:
        if not error.refused and not isinstance(error, Broken):
            # It says that the bytes are others: are they?
            check_hash(name, stored, digest_file(stored.path)["sha256"].hex)
        if not error.refused and has_blob(repository, stored.sha256):
            return upload.count
        raise
    raise AssertionError


def _begin(repository: Repository) -> str:
    answer = repository.order("POST", "blobs/uploads/", "be written", {})
    return _following(answer, "")


def _following(answer: Answer, before: str) -> str:
    """Where the upload goes on."""
    location = answer.headers.get("Location")
    return urljoin(answer.url, location) if location else before


class _Upload:
    """One file; `run` may be called again after it broke. `count`: bytes that were sent."""

    def __init__(self, repository: Repository, stored: Stored, sent: Sent) -> None:
        self._repository, self._stored, self._tell = repository, stored, sent
        self._in_chunks = stored.size_bytes > CHUNK_BYTES
        self._told = self.count = 0

    def run(self) -> int:
        begun = _begin(self._repository)
        if self._in_chunks:
            taken = self._send_chunks(begun)
            if taken is not None:
                self._end(taken, None)
                return self.count
            self._in_chunks = False
            begun = _begin(self._repository)
        with Window(self._stored, 0, self._stored.size_bytes) as body:
            self._end(begun, body)
        self._sent_to(self._stored.size_bytes)
        self.count += self._stored.size_bytes
        return self.count

    def _send_chunks(self, location: str) -> str | None:
        """Where the upload can be ended; None where the registry takes no chunks.

        Raises:
            Broken: it has to be begun anew.
        """
        at, failures = 0, 0
        while at < self._stored.size_bytes:
            size_bytes = min(CHUNK_BYTES, self._stored.size_bytes - at)
            headers = {**_OCTETS, "Content-Range": f"{at}-{at + size_bytes - 1}"}
            try:
                with Window(self._stored, at, size_bytes) as body:
                    answer = self._repository.order("PATCH", location, "be written", headers, body)
            except Broken:
                failures += 1
                if failures == _TRIES:
                    raise
                time.sleep(_AGAIN_S * failures)
                at, location = self._asked(location)
                continue
            except RemoteFailed as error:
                if at == 0 and not error.refused:
                    return None
                raise
            self.count += size_bytes
            at, location = at + size_bytes, _following(answer, location)
            self._sent_to(at)
        return location

    def _asked(self, location: str) -> tuple[int, str]:
        """How far the upload got, and where it goes on."""
        try:
            answer = self._repository.order("GET", location, "be written", {})
        except RemoteFailed as error:
            raise Broken(error.store, error.said, error.fix) from error
        match = _RANGE.fullmatch(answer.headers.get("Range", ""))
        # `0-0` says nothing: registries write it for one byte and for none.
        at = int(match[1]) + 1 if match and int(match[1]) else 0
        if at > self._stored.size_bytes:
            raise Broken(self._repository.shown, "the upload has more bytes than the file", "run the same command again")
        return at, _following(answer, location)

    def _end(self, location: str, body: Window | None) -> None:
        ended = f"{location}{'&' if '?' in location else '?'}digest=sha256:{self._stored.sha256}"
        patience_s = _READ_S + self._stored.size_bytes / _HASHED_BYTES_PER_S
        whole = body if self._stored.size_bytes and body is not None else b""
        self._repository.order("PUT", ended, "be written", _OCTETS, whole, read_s=patience_s)

    def _sent_to(self, at: int) -> None:
        """Tell it once, whatever is sent again."""
        if at > self._told:
            self._tell(at - self._told)
            self._told = at
