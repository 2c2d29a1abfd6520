"""A server that speaks S3: objects with their checksums, and listings of two keys a page. Private where there are credentials."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from urllib.parse import parse_qs, quote, quote_plus
from xml.sax.saxutils import escape

import pytest

from server import Request
from source_rules import BODY, CANARY, DIGEST, FILES, Publisher, World

Answer = tuple[int, Mapping[str, str], bytes]
KEY_ID = "AKIDEXAMPLE"
BUCKET = "lab-data"
_SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


class Bucket:
    """`keys`: key → content. `page`: keys a page of a listing; `encodes`: it knows `encoding-type=url`."""

    def __init__(self, world: World, *, private: bool = False, page: int = 2, encodes: bool = True) -> None:
        self.world, self.private, self.page, self.encodes = world, private, page, encodes
        self.keys: dict[str, bytes] = {}
        self.listed: list[str] | None = None
        world.setenv("AWS_ENDPOINT_URL_S3", world.server.url())
        # Nobody else is asked for credentials.
        world.setenv("AWS_EC2_METADATA_DISABLED", "true")
        world.route(f"/{BUCKET}/", self._checked(self._list))

    def add(self, key: str, content: bytes = BODY) -> str:
        """Put an object there; returns its URL."""
        self.keys[key] = content
        self.world.route(f"/{BUCKET}/{quote(key)}", self._checked(lambda request: self._object(request, key)))
        return self.url(key)

    def url(self, key: str) -> str:
        return f"s3://{BUCKET}/{quote(key, safe='/*')}"

    def _checked(self, answer: object) -> object:
        def checked(request: Request, body: bytes) -> Answer:
            said = parse_qs(request.query)
            if self.private and not said.get("X-Amz-Credential", [""])[0].startswith(f"{KEY_ID}/"):
                return refused(403, "AccessDenied")
            status, headers, content = answer(request)  # type: ignore[operator]
            return status, headers, b"" if request.method == "HEAD" and status != 200 else content

        return checked

    def _object(self, request: Request, key: str) -> Answer:
        content = self.keys[key]
        headers = {"ETag": f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"', "Accept-Ranges": "bytes"}
        if request.headers.get("x-amz-checksum-mode") == "ENABLED":
            headers["x-amz-checksum-sha256"] = base64.b64encode(hashlib.sha256(content).digest()).decode()
        return 200, headers, content

    def _list(self, request: Request) -> Answer:
        said = {name: values[0] for name, values in parse_qs(request.query, keep_blank_values=True).items()}
        assert said["list-type"] == "2"
        known = sorted(self.keys if self.listed is None else self.listed)
        names = [name for name in known if name.startswith(said["prefix"])]
        at = int(said.get("continuation-token", "0"))
        more = at + self.page < len(names)
        rows = "".join(
            f"<Contents><Key>{self._spelt(name)}</Key><Size>1</Size></Contents>" for name in names[at : at + self.page]
        )
        following = f"<NextContinuationToken>{at + self.page}</NextContinuationToken>" if more else ""
        encoding = "<EncodingType>url</EncodingType>" if self.encodes else ""
        truncated = f"<IsTruncated>{str(more).lower()}</IsTruncated>"
        text = f'<ListBucketResult xmlns="{_SPACE}">{truncated}{encoding}{following}{rows}</ListBucketResult>'
        return 200, {"Content-Type": "application/xml"}, ('<?xml version="1.0" encoding="UTF-8"?>\n' + text).encode()

    def _spelt(self, name: str) -> str:
        return quote_plus(name, safe="/") if self.encodes else escape(name)


def refused(status: int, code: str, headers: Mapping[str, str] | None = None) -> Answer:
    """What S3 says instead of an object."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>No.</Message></Error>".encode()
    return status, {"Content-Type": "application/xml", **(headers or {})}, body


def publish(world: World) -> Publisher:
    if world.has_credentials:
        pytest.importorskip("botocore", reason="signing needs botocore, of the group `test`")
        world.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
        world.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    bucket = Bucket(world, private=world.has_credentials)
    file = bucket.add("models/w.bin")
    for path, content in FILES:
        bucket.add(f"data/{path}", content)
    bucket.keys["data/"] = b""
    world.route(f"/{BUCKET}/models/missing.bin", lambda request, body: refused(404, "NoSuchKey"))

    def hostile(name: str) -> str:
        bucket.listed = [f"data/{name}", "data/good.bin"]
        return bucket.url("data/")

    return Publisher(
        file=file,
        missing=bucket.url("models/missing.bin"),
        folder=bucket.url("data/"),
        glob=bucket.url("data/part-*.bin"),
        hostile=hostile,
        digest=DIGEST,
        vouched_by="its server (x-amz-checksum)",
        sends_token=False,
    )
