"""A bucket as a store."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

from conda_assets.digest import Digest
from conda_assets.model import Stored, shown_url
from conda_assets.records import replace
from conda_assets.remote.kind import AT_ONCE, Gone, Held, RemoteStore, Sent
from conda_assets.remote.s3.client import Bucket
from conda_assets.remote.s3.keys import read_alias
from conda_assets.remote.s3.sending import put_alias, send
from conda_assets.settings import Network

__all__ = ["S3Store"]

_ALIAS_BYTES = 4096
# 200,000 files.
_LEASE_BYTES = 16 << 20


class _Upload(NamedTuple):
    key: str
    id: str


class S3Store(RemoteStore):
    """See `RemoteStore`; the layout is the package's."""

    def __init__(self, remote: str, network: Network) -> None:
        self.bucket = Bucket(remote, network)
        self.remote, self.shown, self._keys = remote, self.bucket.shown, self.bucket.keys

    def close(self) -> None:
        """Hang up."""
        self.bucket.close()

    def is_marked(self) -> bool:
        """By the marker."""
        return self.bucket.is_marked()

    def mark(self) -> None:
        """Put the marker."""
        self.bucket.mark()

    def size_of(self, sha256: str) -> int | None:
        """By the object's header."""
        return self.bucket.size_of(self._keys.object(sha256))

    def send(self, name: str, stored: Stored, sent: Sent) -> int | None:
        """Whole, or in parts."""
        return send(self.bucket, name, stored, sent)

    def put_alias(self, digest: Digest, sha256: str) -> None:
        """An object that says it."""
        put_alias(self.bucket, digest, sha256)

    def files(self) -> tuple[list[Held], float]:
        """One list."""
        rows, now_s = self.bucket.held("objects/")
        named = [replace(row, sha256=self._keys.sha256_of(row.key) or "") for row in rows]
        return [row for row in named if row.sha256], now_s

    def url_of(self, sha256: str) -> str:
        """Without the endpoint."""
        return self.shown_key(self._keys.object(sha256))

    def shown_key(self, key: str) -> str:
        """Without the endpoint."""
        return shown_url(self._keys.url(key))

    def put_lease(self, machine: str, name: str, content: bytes) -> None:
        """An object, in place of what is there."""
        self.bucket.put(self._keys.lease(machine, name), content)

    def leases(self) -> list[Held]:
        """One list."""
        return [row for row in self.bucket.held("leases/")[0] if self._keys.is_lease(row.key)]

    def read_lease(self, row: Held) -> bytes:
        """The object."""
        return self.bucket.read(row.key, _LEASE_BYTES)

    def stray_aliases(self, stay: Collection[str], before_s: float) -> tuple[str, ...]:
        """Those that are old are read."""
        rows = [row for row in self.bucket.held("aliases/")[0] if self._keys.is_alias(row.key) and row.modified_s < before_s]

        def leads(row: Held) -> str | None:
            with suppress(Gone):
                return read_alias(self.bucket.read(row.key, _ALIAS_BYTES))
            return None

        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="aliases") as pool:
            return tuple(row.key for row, sha256 in zip(rows, pool.map(leads, rows), strict=True) if sha256 not in stay)

    def unended(self, before_s: float) -> tuple[_Upload, ...]:
        """Uploads in parts."""
        return tuple(
            _Upload(row["Key"], row["UploadId"])
            for row in self.bucket.uploads(self._keys.prefix + "objects/")
            if self._keys.sha256_of(row["Key"]) and row["Initiated"].timestamp() < before_s
        )

    def end(self, upload: _Upload) -> None:
        """With its parts."""
        with suppress(Gone):
            self.bucket.call("abort_multipart_upload", "be deleted", Key=upload.key, UploadId=upload.id)

    def delete(self, row: Held | str) -> None:
        """One object."""
        self.bucket.delete(row if isinstance(row, str) else row.key)
