"""GitHub: the interface with its releases, the pages that browsers use, and the host that signed URLs lead to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from urllib.parse import quote

from server import Request
from source_rules import BODY, CANARY, DIGEST, Publisher, World

REPO = "octocat/Hello-World"
Answer = tuple[int, Mapping[str, str], bytes]
_GONE = json.dumps({"message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404"}).encode()


class GitHub:
    """One repository with releases. `private`: only with a token. `hashed`: assets have a digest, as since June 2025."""

    def __init__(self, world: World, *, private: bool = False, hashed: bool = True) -> None:
        self.world, self.private, self.hashed = world, private, hashed
        self.releases: dict[str, list[dict[str, object]]] = {}
        self.refusal: Answer | None = None
        self.signed = "?se=2999-01-01T00%3A00%3A00Z&sig=x"
        world.setenv("GITHUB_API_URL", world.server.url("/api/v3"))
        self._route("/releases", self._list)
        self._route("/releases/latest", lambda request: self._release(next(iter(self.releases), "")))
        self.release("v1.0.0")

    def release(self, tag: str) -> None:
        """A release without files; the first one counts as the latest."""
        self.releases[tag] = []
        self._route(f"/releases/tags/{quote(tag, safe='')}", lambda request: self._release(tag))

    def add(self, name: str, content: bytes = BODY, *, tag: str = "v1.0.0", **said: object) -> str:
        """Attach a file; returns its URL."""
        number = sum(map(len, self.releases.values())) + 1
        page = f"/{REPO}/releases/download/{quote(tag, safe='')}/{quote(name)}"
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}" if self.hashed else None
        self.world.elsewhere.add(f"/asset/{number}", content)
        self.world.route(page, lambda request, body: (404, {}, b"") if self.private else self._away(number))
        self._route(f"/releases/assets/{number}", lambda request: self._bytes(request, number))
        self.releases[tag].append(
            {
                "url": self.world.server.url(f"/api/v3/repos/{REPO}/releases/assets/{number}"),
                "browser_download_url": self.world.server.url(page),
                "id": number,
                "name": name,
                "state": "uploaded",
                "content_type": "application/octet-stream",
                "size": len(content),
                "digest": digest,
                **said,
            }
        )
        return f"github:{REPO}@{quote(tag, safe='')}/{quote(name)}"

    def _away(self, number: int) -> Answer:
        return 302, {"Location": f"{self.world.abroad}/asset/{number}{self.signed}"}, b""

    def _bytes(self, request: Request, number: int) -> Answer:
        assert request.headers["accept"] == "application/octet-stream"
        return self._away(number)

    def _release(self, tag: str) -> Answer:
        if tag not in self.releases:
            return 404, {}, _GONE
        number = list(self.releases).index(tag) + 1
        return _json({"id": number, "tag_name": tag, "target_commitish": "main", "assets": self.releases[tag]})

    def _list(self, request: Request) -> Answer:
        return _json([{"id": at, "tag_name": tag} for at, tag in enumerate(self.releases)])

    def _route(self, path: str, answer: object) -> None:
        def checked(request: Request, body: bytes) -> Answer:
            token = request.headers.get("authorization")
            if token not in (None, f"Bearer {CANARY}"):
                return 401, {}, json.dumps({"message": "Bad credentials"}).encode()
            if self.private and token is None:
                return 404, {}, _GONE
            return self.refusal or answer(request)  # type: ignore[operator]

        self.world.route(f"/api/v3/repos/{REPO}{path}", checked)


def publish(world: World) -> Publisher:
    if world.has_credentials:
        world.setenv("GITHUB_TOKEN", CANARY)
    github = GitHub(world, private=world.has_credentials)
    file = github.add("weights.bin")
    github.release("parts")
    for name, content in (("part-2.bin", b"two"), ("part-1.bin", b"one"), ("read.me", b"hi")):
        github.add(name, content, tag="parts")

    def hostile(name: str) -> str:
        github.release("hostile")
        github.add(name, tag="hostile")
        return f"github:{REPO}@hostile"

    return Publisher(
        file=file,
        missing=f"github:{REPO}@v1.0.0/weights.zip",
        glob=f"github:{REPO}@parts/part-*.bin",
        hostile=hostile,
        digest=DIGEST,
        vouched_by="GitHub",
    )


def _json(document: object) -> Answer:
    headers = {"Content-Type": "application/json; charset=utf-8", "X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "57"}
    return 200, headers, json.dumps(document).encode()
