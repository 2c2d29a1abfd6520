"""The Hugging Face Hub: resolve, tree, revision and refs, with files in LFS elsewhere and small ones of its own."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from urllib.parse import parse_qs, quote

from server import Request
from source_rules import BODY, CANARY, DIGEST, FILES, Publisher, World

COMMIT = "607a30d783dfa663caf39e06633721c8d4cfcd7e"
REPO = "openai-community/gpt2"
Answer = tuple[int, Mapping[str, str], bytes]


class Hub:
    """One repository. `files`: path → content; those in `plain` are git's own, the others in LFS. `page`: files a tree page."""

    def __init__(self, world: World, *, kind: str = "models", repo: str = REPO, private: bool = False, page: int = 2) -> None:
        self.world, self.kind, self.repo, self.private, self.page = world, kind, repo, private, page
        self.files: dict[str, bytes] = {}
        self.plain: set[str] = set()
        self.sizes: dict[str, int] = {}
        self.listed: list[str] | None = None
        self.refusal: Answer | None = None
        self.branches, self.tags = ["main"], ["v1.0"]
        world.setenv("HF_ENDPOINT", world.server.url())
        api = f"/api/{kind}/{repo}"
        world.route(f"{api}/refs", self._answer(self._refs))
        world.route(f"{api}/commits/main", self._answer(self._commits))
        for revision in (*self.branches, *self.tags, COMMIT):
            world.route(f"{api}/revision/{revision}", self._answer(lambda request: _json({"_id": "621f", "sha": COMMIT})))
            world.route(f"{api}/tree/{revision}", self._answer(self._tree))
        world.route(f"{api}/revision/nope", self._answer(lambda request: _refused("RevisionNotFound", "Invalid rev id: nope")))

    def add(self, path: str, content: bytes = BODY, *, plain: bool = False, size: int | None = None) -> str:
        """Put a file there; returns its URL."""
        self.files[path] = content
        if plain:
            self.plain.add(path)
        if size is not None:
            self.sizes[path] = size
        for revision in (*self.branches, *self.tags, COMMIT):
            self._resolvable(revision, path)
        return self.url(path)

    def url(self, path: str, revision: str = "main") -> str:
        return f"hf://{'' if self.kind == 'models' else self.kind + '/'}{self.repo}@{revision}/{quote(path, safe='/*?[]')}"

    def refuse(self, path: str, code: str, revision: str = "main", status: int = 404) -> str:
        """A file that is not to be had; returns its URL."""
        self._route(revision, path, lambda request: _refused(code, "no", status))
        return self.url(path, revision)

    def _resolvable(self, revision: str, path: str) -> None:
        content = self.files[path]
        sha256 = hashlib.sha256(content).hexdigest()
        common = {"X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if path in self.plain:
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
            self._route(revision, path, lambda request: (200, {**common, "ETag": f'"{blob}"'}, content))
            return
        self.world.elsewhere.add(f"/repos/{sha256}", content, etag=sha256)
        end = int(time.time()) + 3600
        signed = f"{self.world.abroad}/repos/{sha256}?X-Amz-Expires=3600&Expires={end}&Signature=x~y"
        linked = {"X-Linked-Size": str(self.sizes.get(path, len(content))), "X-Linked-Etag": f'"{sha256}"'}
        self._route(revision, path, lambda request: (302, {**common, **linked, "Location": signed}, b"Found. Redirecting"))

    def _route(self, revision: str, path: str, answer: object) -> None:
        prefix = "" if self.kind == "models" else f"/{self.kind}"
        self.world.route(f"{prefix}/{self.repo}/resolve/{revision}/{quote(path)}", self._answer(answer))

    def _answer(self, answer: object) -> object:
        def checked(request: Request, body: bytes) -> Answer:
            token = request.headers.get("authorization")
            if self.private and token is None:
                return _refused("", "Invalid username or password.", 401)
            if token not in (None, f"Bearer {CANARY}"):
                return _refused("", "Invalid credentials in Authorization header", 401)
            return self.refusal or answer(request)  # type: ignore[operator]

        return checked

    def _refs(self, request: Request) -> Answer:
        def named(names: list[str], kind: str) -> list[dict[str, str]]:
            return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": COMMIT} for name in names]

        return _json({"tags": named(self.tags, "tags"), "branches": named(self.branches, "heads"), "converts": []})

    def _commits(self, request: Request) -> Answer:
        return _json([{"id": "0" * 40, "title": "later"}, {"id": COMMIT, "title": "Upload"}])

    def _tree(self, request: Request) -> Answer:
        """Pages of `page` files, as `Link: rel="next"` with a cursor leads through them."""
        names = self.listed if self.listed is not None else list(self.files)
        at = int(parse_qs(request.query).get("cursor", ["0"])[0])
        entries = [self._entry(name) for name in names[at : at + self.page]]
        headers = {}
        if at + self.page < len(names):
            following = self.world.server.url(f"{request.path}?recursive=true&cursor={at + self.page}")
            headers["Link"] = f'<{following}>; rel="next"'
        return _json(entries, headers)

    def _entry(self, name: str) -> dict[str, object]:
        content = self.files.get(name, b"")
        entry: dict[str, object] = {"type": "file", "oid": "2f9618c3a19b9a61add74f70bfb121335aeef666", "path": name}
        entry["size"] = self.sizes.get(name, len(content))
        if name not in self.plain:
            entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
        return entry


def publish(world: World) -> Publisher:
    if world.has_credentials:
        world.setenv("HF_TOKEN", CANARY)
    hub = Hub(world, private=world.has_credentials)
    file = hub.add("model.safetensors")
    for path, content in FILES:
        hub.add(f"data/{path}", content, plain=path.endswith(".txt"))
    api = f"/api/models/{hub.repo}/tree/{COMMIT}"
    world.route(f"{api}/data", hub._answer(lambda request: _of_folder(hub, request)))

    def hostile(name: str) -> str:
        hub.listed = [f"data/{name}", "data/good.bin"]
        return hub.url("data/")

    return Publisher(
        file=file,
        missing=hub.refuse("model.safetensor", "EntryNotFound"),
        folder=hub.url("data/"),
        glob=hub.url("data/part-*.bin"),
        hostile=hostile,
        digest=DIGEST,
        vouched_by="Hugging Face",
    )


def _of_folder(hub: Hub, request: Request) -> Answer:
    if hub.listed is None:
        hub.listed = [name for name in hub.files if name.startswith("data/")]
        answer = hub._tree(request)
        hub.listed = None
        return answer
    return hub._tree(request)


def _json(document: object, headers: Mapping[str, str] | None = None) -> Answer:
    return 200, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, json.dumps(document).encode()


def _refused(code: str, message: str, status: int = 404) -> Answer:
    headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
    return status, headers, json.dumps({"error": message}).encode()
