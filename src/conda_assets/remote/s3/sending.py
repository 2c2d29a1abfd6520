"""Putting files into a remote store: whole where they are small, else in parts, several at once; hashed on the way.

Parts are read from the file as they are sent, so memory does not grow with the file. A push that was killed leaves its parts at
the server; the next one looks which are there, by their hash, and sends the others. The name appears when all parts are there,
and only if the bytes that were read have that hash: a damaged file of this machine does not come into the store.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

from conda_assets.digest import Digest
from conda_assets.errors import DigestMismatch, RemoteFailed
from conda_assets.model import Stored
from conda_assets.records import dataclass, field
from conda_assets.remote.kind import ONE_PUT_BYTES, Gone, Sent, check_hash
from conda_assets.remote.s3.client import Bucket, NotKnown, Taken
from conda_assets.remote.window import Window

__all__ = ["put_alias", "send"]

_PART_BYTES = 16 << 20
# S3 takes 10,000.
_MOST_PARTS = 9_000
_PARTS_AT_ONCE = 4
_BLOCK_BYTES = 1 << 20
# As long as a server may need for the parts of another writer, and between two looks.
_TOGETHER_S, _LOOK_S = 20.0, 0.25


def send(bucket: Bucket, name: str, stored: Stored, sent: Sent) -> int | None:
    """Have the store hold the file; the bytes that had to be sent for that, None where it had it.

    `name`: the asset's, for messages.

    Raises:
        RemoteFailed: the store cannot be written.
        DigestMismatch: the file of this machine is damaged; nothing of it is in the store.
    """
    key = bucket.keys.object(stored.sha256)
    size_bytes = bucket.size_of(key)
    if size_bytes is not None:
        _check_size(bucket, stored, size_bytes)
        sent(stored.size_bytes)
        return None
    try:
        if stored.size_bytes <= ONE_PUT_BYTES:
            return _send_whole(bucket, name, key, stored, sent)
        return _Upload(bucket, name, key, stored, sent).run()
    except RemoteFailed:
        # Two that send the same parts: the second one finds that its upload was ended, and servers say that in many ways.
        if bucket.size_of(key) == stored.size_bytes:
            return None
        raise
    except OSError as error:
        raise RemoteFailed(
            bucket.shown, f"{stored.path} cannot be read: {error.strerror}", "run `conda assets verify`"
        ) from error


def put_alias(bucket: Bucket, digest: Digest, sha256: str) -> None:
    """Have the store say which file another digest means.

    Raises:
        RemoteFailed: the store cannot be written.
    """
    bucket.put_new(bucket.keys.alias(digest), json.dumps({"sha256": sha256}).encode() + b"\n")


def _check_size(bucket: Bucket, stored: Stored, size_bytes: int) -> None:
    if size_bytes != stored.size_bytes:
        key = bucket.keys.object(stored.sha256)
        said = f"{key} has {size_bytes} bytes, expected {stored.size_bytes}: it is damaged"
        raise RemoteFailed(bucket.shown, said, f"delete it: `aws s3 rm s3://{bucket.name}/{key}`, then push again")


def _send_whole(bucket: Bucket, name: str, key: str, stored: Stored, sent: Sent) -> int | None:
    content = stored.path.read_bytes()
    digest = hashlib.sha256(content)
    check_hash(name, stored, digest.hexdigest())
    fresh = bucket.put_new(key, content, sha256=_base64(digest.digest()))
    sent(len(content))
    return len(content) if fresh else None


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the file, from `start`. `sha256`, `md5`: of its bytes; `md5` is what most servers have for an ETag."""

    number: int
    start: int
    size_bytes: int
    sha256: str
    md5: str

    def is_at(self, row: dict[str, Any]) -> bool:
        """The row of the server's list is this part."""
        if int(row["Size"]) != self.size_bytes:
            return False
        checksum = row.get("ChecksumSHA256")
        return bool(checksum == self.sha256) if checksum else row["ETag"].strip('"').lower() == self.md5


@dataclass(slots=True)
class _Upload:
    """One file in parts: read and hashed in order by the caller's thread, sent by others."""

    bucket: Bucket
    name: str
    key: str
    stored: Stored
    sent: Sent
    _done: dict[int, dict[str, Any]] = field(default_factory=dict)
    _count: int = 0

    def run(self) -> int | None:
        upload, there = self._begun() or (self._begin(), {})
        sha256 = hashlib.sha256()
        pending: set[Future[tuple[_Part, dict[str, Any]]]] = set()
        with ThreadPoolExecutor(_PARTS_AT_ONCE, thread_name_prefix="send") as pool:
            try:
                for part in self._parts(sha256.update):
                    row = there.get(part.number)
                    if row is not None and part.is_at(row):
                        self._take(part, row, 0)
                        continue
                    if len(pending) >= _PARTS_AT_ONCE:
                        pending = self._reap(pending)
                    pending.add(pool.submit(self._send, upload, part))
                while pending:
                    pending = self._reap(pending)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        try:
            check_hash(self.name, self.stored, sha256.hexdigest())
        except DigestMismatch:
            self._abort(upload)
            raise
        return self._count if self._complete(upload) else None

    def _begun(self) -> tuple[str, dict[int, dict[str, Any]]] | None:
        """What a killed push has left, the newest of it: its id, and number → part."""
        try:
            rows = [row for row in self.bucket.uploads(self.key) if row["Key"] == self.key]
        except RemoteFailed as error:
            if error.refused:
                return None  # who may put need not have the right to look
            raise
        for row in sorted(rows, key=lambda row: row["Initiated"], reverse=True):
            try:
                listed = self.bucket.pages("list_parts", "be listed", Key=self.key, UploadId=row["UploadId"])
                return row["UploadId"], {int(part["PartNumber"]): part for page in listed for part in page.get("Parts", ())}
            except Gone:
                continue  # ended meanwhile
        return None

    def _begin(self) -> str:
        while True:
            checked = self.bucket.checks
            given = {"ChecksumAlgorithm": "SHA256"} if checked else {}
            try:
                return str(self.bucket.call("create_multipart_upload", "be written", Key=self.key, **given)["UploadId"])
            except NotKnown as error:
                self.bucket.do_without(checked, False, error)

    def _parts(self, update: Callable[[memoryview], object]) -> Any:
        size_bytes = self.stored.size_bytes
        step = max(_PART_BYTES, -(-size_bytes // _MOST_PARTS >> 20) << 20)
        buffer = memoryview(bytearray(_BLOCK_BYTES))
        with self.stored.path.open("rb", buffering=0) as file:
            for number, start in enumerate(range(0, size_bytes, step), 1):
                left = count = min(step, size_bytes - start)
                sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
                while left:
                    got = file.readinto(buffer[: min(left, _BLOCK_BYTES)])
                    if not got:
                        raise RemoteFailed(self.bucket.shown, f"{self.stored.path} ends too early", "run `conda assets verify`")
                    block = buffer[:got]
                    for each in (update, sha256.update, md5.update):
                        each(block)
                    left -= got
                yield _Part(number, start, count, _base64(sha256.digest()), md5.hexdigest())

    def _send(self, upload: str, part: _Part) -> tuple[_Part, dict[str, Any]]:
        given = {"ChecksumSHA256": part.sha256} if self.bucket.checks else {}
        with Window(self.stored, part.start, part.size_bytes) as body:
            answer = self.bucket.call(
                "upload_part",
                "be written",
                Key=self.key,
                UploadId=upload,
                PartNumber=part.number,
                Body=body,
                ContentLength=part.size_bytes,
                **given,
            )
        return part, answer

    def _reap(self, pending: set[Future[tuple[_Part, dict[str, Any]]]]) -> set[Future[tuple[_Part, dict[str, Any]]]]:
        done, rest = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            try:
                part, answer = future.result()
            except Gone:
                # Another writer has ended the same upload.
                continue
            self._take(part, answer, part.size_bytes)
        return rest

    def _take(self, part: _Part, answer: dict[str, Any], count: int) -> None:
        row = {"PartNumber": part.number, "ETag": answer["ETag"]}
        if answer.get("ChecksumSHA256"):
            row["ChecksumSHA256"] = answer["ChecksumSHA256"]
        self._done[part.number] = row
        self._count += count
        self.sent(part.size_bytes)

    def _complete(self, upload: str) -> bool:
        """Give the parts their name; False where another writer was faster."""
        given: dict[str, Any] = {"MultipartUpload": {"Parts": [self._done[number] for number in sorted(self._done)]}}
        while True:
            conditional = self.bucket.conditions
            try:
                more = {"IfNoneMatch": "*"} if conditional else {}
                self.bucket.call("complete_multipart_upload", "be written", Key=self.key, UploadId=upload, **given, **more)
                return True
            except NotKnown as error:
                self.bucket.do_without(False, conditional, error)
            except Taken:
                self._abort(upload)
                return False
            except Gone:
                size_bytes = self._size_soon()
                if size_bytes is None:
                    again = "run the same command again"
                    raise RemoteFailed(
                        self.bucket.shown, f"the upload of {self.name} was ended by somebody else", again
                    ) from None
                _check_size(self.bucket, self.stored, size_bytes)
                return False

    def _size_soon(self) -> int | None:
        """Of what another writer has sent: some servers forget an upload first, and then put its parts together."""
        until = time.monotonic() + _TOGETHER_S
        while (size_bytes := self.bucket.size_of(self.key)) is None and time.monotonic() < until:
            time.sleep(_LOOK_S)
        return size_bytes

    def _abort(self, upload: str) -> None:
        with suppress(Gone):
            self.bucket.call("abort_multipart_upload", "be written", Key=self.key, UploadId=upload)


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")
