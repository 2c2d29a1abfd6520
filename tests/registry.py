"""A container registry as the distribution specification has it, on the fault server: manifests, blobs, tokens.

registry = Registry(server)
digest = registry.push("lab/model", "v1", {"w.bin": b"…"})     an artifact as ORAS pushes it
registry.users["me"] = "word"                                  from now on tokens are wanted, and given to users only
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from server import Faults, Request, Server

__all__ = ["INDEX", "MANIFEST", "Registry", "sha256"]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_TITLE = "org.opencontainers.image.title"
# The empty JSON object. Source: image-spec 1.1, "Guidance for an Empty Descriptor".
_EMPTY = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": f"sha256:{hashlib.sha256(b'{}').hexdigest()}", "size": 2}

Answer = tuple[int, Mapping[str, str], bytes]


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Registry:
    """`users`: name → password; `guarded`: tokens are wanted; `open`: and given to everybody. `scheme`: Bearer or Basic.

    `blobs_at`: another server, to which blobs redirect. `life_s`: of a token. `down`: the answer to everything, if not 0.
    """

    server: Server
    users: dict[str, str] = field(default_factory=dict)
    guarded: bool = True
    open: bool = True
    scheme: str = "Bearer"
    token: str = "t0ken"
    life_s: int = 300
    blobs_at: Server | None = None
    route: Callable[[str, Callable[[Request, bytes], Answer]], str] | None = None

    def __post_init__(self) -> None:
        self._route("/token", self._give_token)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    def push(self, repository: str, tag: str, files: Mapping[str, bytes], *, named: bool = True) -> str:
        """An artifact of one layer a file; returns its digest."""
        layers = []
        for title, content in files.items():
            digest = self.add_blob(repository, content)
            layer: dict[str, object] = {"mediaType": "application/octet-stream", "digest": digest, "size": len(content)}
            layers.append({**layer, "annotations": {_TITLE: title}} if named else layer)
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.unknown.artifact.v1"}
        return self.add_manifest(repository, tag, {**manifest, "config": _EMPTY, "layers": layers}, MANIFEST)

    def index(self, repository: str, tag: str, manifests: Mapping[str, str]) -> str:
        """An index; `manifests`: `os/architecture` → digest."""
        rows = []
        for name, digest in manifests.items():
            system, _, machine = name.partition("/")
            row = {"mediaType": MANIFEST, "digest": digest, "size": 1, "platform": {"os": system, "architecture": machine}}
            rows.append(row)
        return self.add_manifest(repository, tag, {"schemaVersion": 2, "mediaType": INDEX, "manifests": rows}, INDEX)

    def add_manifest(self, repository: str, tag: str, said: object, media_type: str) -> str:
        content = json.dumps(said).encode()

        def answer(request: Request, body: bytes) -> Answer:
            if media_type not in request.headers.get("accept", ""):
                return 404, {}, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"accept it"}]}'
            return 200, {"Content-Type": media_type, "Docker-Content-Digest": sha256(content)}, content

        for name in (tag, sha256(content)):
            self._guard(f"/v2/{repository}/manifests/{name}", repository, answer)
        return sha256(content)

    def add_blob(self, repository: str, content: bytes) -> str:
        digest = sha256(content)
        path = f"/v2/{repository}/blobs/{digest}"
        if self.blobs_at is not None:
            self.blobs_at.add(f"/signed/{digest}", content)
            where = self.blobs_at.url(f"/signed/{digest}?X-Amz-Signature=1", host="localhost")
            self._guard(path, repository, lambda request, body: (307, {"Location": where}, b""))
        else:
            headers = {"Content-Type": "application/octet-stream"}
            self._guard(path, repository, lambda request, body: (200, headers, content))
        return digest

    def serve_whole(self, repository: str, digest: str, content: object) -> None:
        """Serve a blob with ranges, to whoever has the token."""
        path = f"/v2/{repository}/blobs/{digest}"
        self.server.add(path, content, Faults(needs=("Authorization", f"Bearer {self.token}")))  # type: ignore[arg-type]

    def _guard(self, path: str, repository: str, answer: Callable[[Request, bytes], Answer]) -> None:
        def guarded(request: Request, body: bytes) -> Answer:
            if self.guarded and not self._may(request):
                challenge = f'Bearer realm="{self.server.url("/token")}",service="test",scope="repository:{repository}:pull"'
                wanted = challenge if self.scheme == "Bearer" else 'Basic realm="test"'
                return 401, {"WWW-Authenticate": wanted}, b'{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}'
            return answer(request, body)

        self._route(path, guarded)

    def _may(self, request: Request) -> bool:
        sent = request.headers.get("authorization", "")
        return sent == f"Bearer {self.token}" if self.scheme == "Bearer" else self._is_user(sent)

    def _is_user(self, sent: str) -> bool:
        known = {base64.b64encode(f"{user}:{word}".encode()).decode() for user, word in self.users.items()}
        return sent.removeprefix("Basic ") in known

    def _give_token(self, request: Request, body: bytes) -> Answer:
        asked = parse_qs(request.query)
        if asked.get("service") != ["test"] or not asked.get("scope", [""])[0].endswith(":pull"):
            return 400, {}, b""
        if not self.open and not self._is_user(request.headers.get("authorization", "")):
            return 401, {}, b'{"errors":[{"code":"UNAUTHORIZED"}]}'
        return 200, {}, json.dumps({"token": self.token, "expires_in": self.life_s}).encode()

    def _route(self, path: str, answer: Callable[[Request, bytes], Answer]) -> None:
        (self.route or self.server.route)(path, answer)
