"""A repository as Zenodo is one, found by its DOI."""

from __future__ import annotations

import hashlib
import json
from urllib.parse import quote

from conda_assets.digest import Digest
from conda_assets.sources import doi
from server import Request
from source_rules import BODY, FILES, Publisher, World


def publish(world: World) -> Publisher:
    doi.POLITE.forget()
    world.setenv("CONDA_ASSETS_DOI_URL", world.server.url("/doi"))
    records = {1: {"w.bin": BODY}, 2: dict(FILES)}
    for number, files in records.items():
        add_record(world, number, files)

    def hostile(name: str) -> str:
        add_record(world, 3, {name: b"evil"})
        return "doi:10.5281/zenodo.3/"

    return Publisher(
        file="doi:10.5281/zenodo.1/w.bin",
        missing="doi:10.5281/zenodo.1/v.bin",
        folder="doi:10.5281/zenodo.2/",
        glob="doi:10.5281/zenodo.2/part-*.bin",
        hostile=hostile,
        digest=Digest("md5", hashlib.md5(BODY, usedforsecurity=False).hexdigest()),
        vouched_by="Zenodo",
        sends_token=False,
    )


def add_record(world: World, number: int, files: dict[str, bytes]) -> None:
    own = f"10.5281/zenodo.{number}"
    page, rows = f"/api/records/{number}", []
    for name, body in files.items():
        link = world.server.url(f"{page}/files/{quote(name)}/content")
        checksum = hashlib.md5(body, usedforsecurity=False).hexdigest()
        rows.append({"key": name, "size": len(body), "checksum": f"md5:{checksum}", "links": {"self": link}})
        add_file(world, f"{page}/files/{quote(name)}/content", body)
    landing = {"type": "URL", "data": {"format": "string", "value": world.server.url(f"/records/{number}")}}
    metadata = {"doi": own, "access_right": "open"}
    record = {"id": number, "doi": own, "metadata": metadata, "links": {"self": world.server.url(page)}, "files": rows}
    for path, said in ((f"/doi/api/handles/{own}", {"responseCode": 1, "values": [landing]}), (page, record)):
        add_json(world, path, said)


def add_json(world: World, path: str, said: object) -> None:
    world.route(path, lambda request, body: (200, {"Content-Type": "application/json"}, json.dumps(said).encode()))


def add_file(world: World, path: str, content: bytes) -> None:
    def answer(request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        return 200, {"Content-Type": "application/octet-stream"}, content

    world.route(path, answer)
