"""A web server: files, nothing else."""

from __future__ import annotations

import base64

from server import Request
from source_rules import BODY, CANARY, DIGEST, Publisher, World


def publish(world: World) -> Publisher:
    said = {"Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(DIGEST.hex)).decode()}:"}
    headers = {"Authorization": f"Bearer {CANARY}"} if world.has_credentials else {}

    def answer(request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if world.has_credentials and request.headers.get("authorization") != headers["Authorization"]:
            return 401, {}, b""
        if world.has_credentials:
            return 200, said, BODY
        return 302, {"Location": world.abroad + "/bytes.bin"}, b""

    world.elsewhere.add("/bytes.bin", BODY, headers=said)
    return Publisher(
        file=world.route("/w.bin", answer),
        missing=world.route("/missing.bin", lambda request, body: (404, {}, b"")),
        digest=DIGEST,
        vouched_by="its server (Repr-Digest)",
        headers=headers,
    )
