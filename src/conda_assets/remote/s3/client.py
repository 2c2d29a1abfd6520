"""One bucket, by botocore: credentials wherever AWS's own tools find them, retries, failures as our errors."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from conda_assets.errors import AssetsError, RemoteFailed
from conda_assets.model import shown_url
from conda_assets.remote.kind import AT_ONCE, Gone, Held
from conda_assets.remote.s3.keys import VERSION, Keys
from conda_assets.settings import Network
from conda_assets.sources.s3_account import has_botocore
from conda_assets.sources.s3_failures import INSTALL, REFUSED
from conda_assets.web.failures import told_s
from conda_assets.web.reach import authorities, proxy_for

__all__ = ["Bucket", "NotKnown", "Taken"]

_TRIES = 5
_MARKER_BYTES = 4096
_AGAIN = "run the same command again: what is there is not sent again"
# S3's words for a condition that does not hold, and for one that cannot be judged while somebody else writes.
_TAKEN = frozenset({"PreconditionFailed", "412"})
_BUSY = frozenset({"ConditionalRequestConflict", "OperationAborted", "409"})
_BUSY_S = 0.5
_GONE = frozenset({"NoSuchKey", "404", "NotFound", "NoSuchUpload"})
_NOT_KNOWN = frozenset({"NotImplemented", "501"})
_DENIED = frozenset({"AccessDenied", "403", "Forbidden", "AllAccessDisabled", "AccountProblem"})


class Taken(RemoteFailed):
    """There is such an object already."""


class Busy(RemoteFailed):
    """Somebody else writes the same object at this moment."""


class NotKnown(RemoteFailed):
    """The server does not know what it is asked for."""


class Bucket:
    """What a remote store needs of S3; safe for several threads; hangs up as a context manager. Times are the server's.

    Raises (in each of its functions):
        RemoteFailed: no answer, a refusal, no bucket.
    """

    def __init__(self, remote: str, network: Network) -> None:
        if not has_botocore():
            raise RemoteFailed(shown_url(remote), "writing to it needs botocore, which is not installed", INSTALL)
        self.remote, self.keys = remote, Keys.of(remote)
        self.name, self.shown = self.keys.place.bucket, shown_url(remote)
        with self.mapped("be used"):
            self._client = _client(dict(self.keys.place.given), network)
        #: The server takes checksums, and conditions.
        self.checks = self.conditions = True

    def __enter__(self) -> Bucket:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    @property
    def endpoint(self) -> str:
        """Who is asked, for messages."""
        return shown_url(str(self._client.meta.endpoint_url))

    @contextmanager
    def mapped(self, what: str) -> Iterator[None]:
        """botocore's errors as ours. `what`: a verb's rest, `may not …`.

        Raises:
            RemoteFailed: as the server or the way to it says; Taken, Gone, NotKnown for who can go on with that.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            raise self._refusal(error, what) from error
        except (BotoCoreError, ValueError, OSError) as error:
            # OSError: the file of certificate authorities is not there.
            raise self._silence(error) from error

    def call(self, operation: str, what: str, **given: Any) -> dict[str, Any]:
        """One request about the bucket, again while somebody else is at it; botocore's name of it and its parameters."""
        for attempt in range(1, _TRIES + 1):
            try:
                with self.mapped(what):
                    answer: dict[str, Any] = getattr(self._client, operation)(Bucket=self.name, **given)
                    return answer
            except Busy:
                if attempt == _TRIES:
                    raise
                time.sleep(_BUSY_S * attempt)
        raise AssertionError

    def pages(self, operation: str, what: str, **given: Any) -> Iterator[dict[str, Any]]:
        """All pages of a listing."""
        with self.mapped(what):
            yield from self._client.get_paginator(operation).paginate(Bucket=self.name, **given)

    def uploads(self, prefix: str) -> list[dict[str, Any]]:
        """What was begun in parts and not ended."""
        try:
            pages = list(self.pages("list_multipart_uploads", "be listed", Prefix=prefix))
        except Gone:
            # rclone's server (1.75) says so where there are none.
            return []
        return [row for page in pages for row in page.get("Uploads", ())]

    def is_marked(self) -> bool:
        """There is a store of ours; False where there is none yet.

        Raises:
            RemoteFailed: something else stands there, or a newer store.
        """
        try:
            content = json.loads(self.read(self.keys.marker, _MARKER_BYTES))
            version = int(content["version"]) if content["store"] == "conda-assets" else 0
        except Gone:
            return False
        except (ValueError, KeyError, TypeError) as error:
            raise RemoteFailed(self.shown, f"its {self.keys.marker} is not one of ours", "choose another prefix") from error
        if version != VERSION:
            raise RemoteFailed(self.shown, f"has layout {version}, this conda-assets knows {VERSION}", "update conda-assets")
        return True

    def mark(self) -> None:
        """Make it a store."""
        self.put_new(self.keys.marker, json.dumps({"store": "conda-assets", "version": VERSION}).encode() + b"\n")

    def size_of(self, key: str) -> int | None:
        """Bytes of an object; None where there is none, or where that may not be known."""
        try:
            return int(self.call("head_object", "be read", Key=key)["ContentLength"])
        except Gone:
            return None
        except RemoteFailed as error:
            # Without the right to list, S3 says "denied" for what is not there; whoever then puts it is told which it was.
            if error.refused:
                return None
            raise

    def read(self, key: str, most_bytes: int) -> bytes:
        """The content of a small object, cut off behind so many bytes.

        Raises:
            Gone: there is none.
        """
        answer = self.call("get_object", "be read", Key=key)
        with self.mapped("be read"), answer["Body"] as body:
            content: bytes = body.read(most_bytes)
            return content

    def put_new(self, key: str, body: bytes, *, sha256: str | None = None) -> bool:
        """Put an object where there is none; False where there is one. `sha256`: base64, for the server to check."""
        while True:
            checked = sha256 is not None and self.checks
            conditional = self.conditions
            given = {"ChecksumSHA256": sha256} if checked else {}
            given |= {"IfNoneMatch": "*"} if conditional else {}
            try:
                self.call("put_object", "be written", Key=key, Body=body, **given)
            except Taken:
                return False
            except NotKnown as error:
                self.do_without(checked, conditional, error)
                continue
            return True

    def do_without(self, checked: bool, conditional: bool, error: Exception) -> None:
        """Ask no more for what the server does not know: names are hashes, so a second writer writes the same bytes.

        Raises:
            RemoteFailed: nothing is left to do without.
        """
        if conditional:
            self.conditions = False
        elif checked:
            self.checks = False
        else:
            raise RemoteFailed(self.shown, f"{self.endpoint} does not know how to take files", "") from error

    def put(self, key: str, body: bytes) -> None:
        """Put a small object, in place of what is there."""
        self.call("put_object", "be written", Key=key, Body=body)

    def delete(self, key: str) -> None:
        """Remove an object."""
        self.call("delete_object", "be deleted", Key=key)

    def held(self, below: str) -> tuple[list[Held], float]:
        """What is there below that, and the server's time when it began to tell."""
        rows: list[Held] = []
        now_s: float | None = None
        for page in self.pages("list_objects_v2", "be listed", Prefix=self.keys.prefix + below):
            now_s = told_s(page.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")) if now_s is None else now_s
            rows += [
                Held(row["Key"], int(row["Size"]), row["LastModified"].timestamp(), row.get("ETag", ""))
                for row in page.get("Contents", ())
            ]
        assert now_s is not None
        return rows, now_s

    def _refusal(self, error: Any, what: str) -> Exception:
        said = error.response.get("Error", {})
        code = str(said.get("Code", ""))
        where = f"({code} from {self.endpoint})"
        for kind, codes in ((Taken, _TAKEN), (Busy, _BUSY), (Gone, _GONE), (NotKnown, _NOT_KNOWN)):
            if code in codes:
                return kind(self.shown, f"cannot {what} {where}", _AGAIN)
        if code == "NoSuchBucket":
            make = f"check its name and `?endpoint=`, or make it: `aws s3 mb s3://{self.name}`"
            return RemoteFailed(self.shown, f"{self.endpoint} has no bucket {self.name}", make)
        if code in REFUSED:
            cause, fix = REFUSED[code]
            return RemoteFailed(self.shown, f"{cause} {where}", fix, refused=True)
        if code in _DENIED:
            fix = (
                "choose other credentials with `AWS_PROFILE`, or ask the bucket's owner for the rights that docs/stores.md lists"
            )
            return RemoteFailed(self.shown, f"may not {what} with these credentials {where}", fix, refused=True)
        return RemoteFailed(self.shown, f"cannot {what} {where}", _AGAIN)

    def _silence(self, error: Exception) -> AssetsError:
        """No answer at all, or nothing to ask with."""
        name = type(error).__name__
        if name in ("NoCredentialsError", "PartialCredentialsError", "NoAuthTokenError"):
            fix = "set `AWS_PROFILE`, or `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`; `aws configure` writes them down"
            return RemoteFailed(self.shown, "no credentials are found to write with", fix, refused=True)
        if name == "ProfileNotFound":
            return RemoteFailed(self.shown, "the AWS profile that is asked for is not there", "see `aws configure list-profiles`")
        if "SSO" in name or "Token" in name or "Credential" in name:
            return RemoteFailed(self.shown, f"the AWS credentials cannot be had ({name})", "log in again: `aws sso login`")
        place = dict(self.keys.place.given).get("endpoint") or os.environ.get("AWS_ENDPOINT_URL_S3") or "AWS"
        fix = f"check `?endpoint=` and the network, then {_AGAIN}"
        return RemoteFailed(self.shown, f"no answer from {shown_url(place)} ({name})", fix)


def _client(given: dict[str, str], network: Network) -> Any:
    """botocore's client. Addresses as `s3_place` has them."""
    from botocore.config import Config
    from botocore.session import Session

    session = Session()
    trusted = authorities(network, os.environ)
    asked = given.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL_S3") or "https://s3.amazonaws.com"
    proxy = proxy_for(asked, network.proxies)
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": given.get("style") or ("path" if given.get("endpoint") else "auto")},
        connect_timeout=network.connect_timeout_s,
        read_timeout=network.read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": _TRIES},
        max_pool_connections=AT_ONCE,
        # None would have botocore look for them by itself.
        proxies={urlsplit(asked).scheme: proxy} if proxy else {},
        client_cert=network.client_cert,
        user_agent_extra=network.user_agent.split()[0],
        # Ours say which; servers that know none refuse the ones that botocore would add by itself.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return session.create_client(
        "s3",
        region_name=given.get("region") or session.get_config_variable("region") or "us-east-1",
        endpoint_url=given.get("endpoint"),
        verify=False if network.verify is False else (str(Path(trusted)) if trusted else None),
        config=config,
    )
