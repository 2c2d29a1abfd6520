"""Google Cloud Storage: objects with their hashes by the XML interface, listings of two names a page by the JSON one."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from urllib.parse import parse_qs, quote

from conda_assets.digest import Digest
from publisher_s3 import refused
from server import Request
from source_rules import BODY, CANARY, FILES, Publisher, World

Answer = tuple[int, Mapping[str, str], bytes]
BUCKET = "lab-data"
GENERATION = "1730462400000001"


class Bucket:
    """`keys`: name → content. `page`: names a page of a listing. `token`: what a private bucket wants to see."""

    def __init__(self, world: World, *, token: str | None = None, page: int = 2) -> None:
        self.world, self.token, self.page = world, token, page
        self.keys: dict[str, bytes] = {}
        self.listed: list[str] | None = None
        world.setenv("STORAGE_EMULATOR_HOST", world.server.url())
        # Nobody else is asked for credentials.
        world.setenv("NO_GCE_CHECK", "true")
        world.route(f"/storage/v1/b/{BUCKET}/o", self._checked(self._list))

    def add(self, key: str, content: bytes = BODY) -> str:
        """Put an object there; returns its URL."""
        self.keys[key] = content
        self.world.route(f"/{BUCKET}/{quote(key)}", self._checked(lambda request: self._object(request, key)))
        return self.url(key)

    def url(self, key: str) -> str:
        return f"gs://{BUCKET}/{quote(key, safe='/*')}"

    def _checked(self, answer: object) -> object:
        def checked(request: Request, body: bytes) -> Answer:
            shown = request.headers.get("authorization")
            if self.token is not None and shown != f"Bearer {self.token}":
                return refused(401 if shown else 403, "AuthenticationRequired" if shown else "AccessDenied")
            status, headers, content = answer(request)  # type: ignore[operator]
            return status, headers, content

        return checked

    def _object(self, request: Request, key: str) -> Answer:
        if parse_qs(request.query).get("generation", [GENERATION]) != [GENERATION]:
            return refused(404, "NoSuchKey")
        content = self.keys[key]
        md5 = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        headers = {"x-goog-hash": f"crc32c=n03x6A==,md5={md5}", "x-goog-generation": GENERATION, "ETag": '"abc"'}
        if (match := re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))) is not None:
            first, last = int(match[1]), min(int(match[2]), len(content) - 1)
            return 206, {**headers, "Content-Range": f"bytes {first}-{last}/{len(content)}"}, content[first : last + 1]
        return 200, headers, content

    def _item(self, name: str) -> dict[str, str]:
        content = self.keys.get(name, b"")
        md5 = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        return {"name": name, "generation": GENERATION, "size": str(len(content)), "md5Hash": md5}

    def _list(self, request: Request) -> Answer:
        said = {name: values[0] for name, values in parse_qs(request.query, keep_blank_values=True).items()}
        known = sorted(self.keys if self.listed is None else self.listed)
        names = [name for name in known if name.startswith(said["prefix"])]
        at = int(said.get("pageToken", "0"))
        page: dict[str, object] = {}
        if rows := [self._item(name) for name in names[at : at + self.page]]:
            page["items"] = rows
        if at + self.page < len(names):
            page["nextPageToken"] = str(at + self.page)
        return 200, {"Content-Type": "application/json; charset=UTF-8"}, json.dumps(page).encode()


def publish(world: World) -> Publisher:
    if world.has_credentials:
        world.setenv("CLOUDSDK_AUTH_ACCESS_TOKEN", CANARY)
    bucket = Bucket(world, token=CANARY if world.has_credentials else None)
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
        digest=Digest("md5", hashlib.md5(BODY, usedforsecurity=False).hexdigest()),
        vouched_by="Google Cloud Storage",
    )
