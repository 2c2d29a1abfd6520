"""A container registry whose blobs lie elsewhere."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from registry import Registry
from source_rules import BODY, CANARY, DIGEST, FILES, Publisher, World


def publish(world: World) -> Publisher:
    registry = Registry(world.server, blobs_at=world.elsewhere, route=world.route)
    if world.has_credentials:
        registry.users["me"], registry.open, registry.token = CANARY, False, f"t-{CANARY}"
        auth = base64.b64encode(f"me:{CANARY}".encode()).decode()
        config = Path(os.environ["HOME"], ".docker", "config.json")
        config.parent.mkdir(parents=True)
        config.write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}))
    registry.push("lab/model", "v1", {"w.bin": BODY})
    registry.push("lab/set", "v1", dict(FILES))
    base = f"oci://{registry.host}/lab"

    def hostile(name: str) -> str:
        registry.push("lab/hostile", "v1", {name: b"evil"})
        return f"{base}/hostile:v1#/"

    return Publisher(
        file=f"{base}/model:v1#w.bin",
        missing=f"{base}/model:v2#w.bin",
        folder=f"{base}/set:v1#/",
        glob=f"{base}/set:v1#part-*.bin",
        hostile=hostile,
        digest=DIGEST,
        vouched_by=registry.host,
    )
