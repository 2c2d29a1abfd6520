"""What the OpenAPI document says holds: schemathesis asks a real centre all that it describes, and what it forbids."""

from __future__ import annotations

import http.client
import json
import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema
import pytest

from centre import Client, running
from conda_assets.serve.app import make_app
from conda_assets.serve.gate import Gate
from server import Faults, Server, Virtual

MB = 1_000_000
_METHODS = {"get", "put", "post", "patch", "delete", "head"}
# Of tokens and users that schemathesis does not hit upon: it deletes what it can name.
_FAR = 10**9
# What a text or a URL means, no schema can say, nor whether a condition holds: fitting ones may be refused.
_CONFIG = """
[[operations]]
include-operation-id = ["addJobs", "askStore"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 409, 429]
[[operations]]
include-operation-id = ["getStored", "headStored"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 401, 403, 404, 412, 416]
"""


@dataclass
class Lab:
    """A centre with somebody of each role. `tokens`: by role; nobody's is empty."""

    client: Client
    tokens: dict[str, str]
    folder: Path

    @property
    def document(self):
        return Client(self.client.url).ask("GET", "/api/openapi.json").json

    def run(self, role: str, *words: str, document: object = None) -> str:
        """Let schemathesis loose in a process of its own; gives what it says. Always the same cases; nothing is kept."""
        (self.folder / "schemathesis.toml").write_text(_CONFIG)
        where = [f"{self.client.url}/api/openapi.json"]
        if document is not None:
            (self.folder / "openapi.json").write_text(json.dumps(document))
            where = ["openapi.json", "--url", self.client.url]
        token = ["-H", f"Authorization: Bearer {self.tokens[role]}"] if self.tokens[role] else []
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "run", *where, *token, "--generation-deterministic", "--no-color", *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            errors="replace",
        )
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
        return done.stdout


@pytest.fixture
def lab(tmp_path, caplog):
    """Names lead to this machine, and nowhere else; streams end at once, or whoever reads them would wait for ever."""
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")

    async def here(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    with running(tmp_path, private=False, gate=Gate(lambda address: address == "127.0.0.1", here)) as (centre, client):
        yield _peopled(centre, client, tmp_path)
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR] == []


@pytest.fixture
def open_lab(tmp_path, caplog):
    """One that fetches from this machine."""
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    with running(tmp_path) as (centre, client):
        yield _peopled(centre, client, tmp_path)
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR] == []


def _peopled(centre, client: Client, folder: Path) -> Lab:
    client.hang_up()
    tokens = {"nobody": ""}
    for number, role in enumerate(("reader", "member", "admin"), _FAR):
        centre.database.run("INSERT INTO users (id, name, role, created_at) VALUES (?, ?, ?, 0)", (number, f"the {role}", role))
        columns = "INSERT INTO tokens (id, user_id, label, digest, created_at) VALUES (?, ?, '', ?, 0)"
        centre.database.run(columns, (number * 10, number, f"none {role}"))
        tokens[role] = centre.accounts.new_token(number, "the test")[1]
    return Lab(client, tokens, folder)


def test_a_few_questions_of_each_kind(lab):
    lab.run("member", "--phases", "fuzzing", "--max-examples", "1")


@pytest.mark.slow
@pytest.mark.parametrize("role", ["nobody", "reader", "member", "admin"])
def test_every_operation_keeps_to_the_document(lab, role):
    lab.run(role, "--phases", "examples,coverage,fuzzing", "--max-examples", "6")
    assert Client(lab.client.url).ask("GET", "/healthz").json["status"] == "ok"


@pytest.mark.slow
@pytest.mark.parametrize("role", ["member", "admin"])
def test_what_one_operation_answers_others_take(open_lab, role):
    """With URLs of files that there are, and no field in any answer that the document does not name."""
    with Server() as origin:
        content = Virtual(MB, seed=1)
        urls = [
            origin.add("/w.bin", content),
            origin.add("/slow.bin", Virtual(20 * MB, seed=2), Faults(rate=50_000)),
            origin.add("/gone.bin", b"", Faults(status=404)),
        ]
        admin = Client(open_lab.client.url, open_lab.tokens["admin"])
        admin.done(admin.add(urls[0])[0]["id"])
        document = _narrowed(open_lab.document, urls, content.sha256)
        # It takes ids from answers, and would delete the very account that it asks as.
        spared = [word for name in ("removeUser", "changeUser", "removeToken") for word in ("--exclude-operation-id", name)]
        words = ["--phases", "fuzzing,stateful", "--max-examples", "15", "--mode", "positive", *spared]
        open_lab.run(role, *words, document=document)
        assert admin.api("GET", "/me")["role"] == "admin"


def _narrowed(document, urls: list[str], sha256: str):
    schemas, paths = document["components"]["schemas"], document["paths"]
    asked = paths["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    asked["properties"] = {"text": {"type": "string", "enum": urls}, "paused": {"type": "boolean"}}
    asked["required"] = ["text"]
    del asked["anyOf"]
    for operation in paths["/api/v1/store/{algorithm}/{hex}"].values():
        for parameter in operation["parameters"]:
            if parameter["in"] == "path":
                parameter["schema"] = {"type": "string", "enum": [{"algorithm": "sha256", "hex": sha256}[parameter["name"]]]}
            elif parameter["name"] == "Range":
                parameter["schema"] = {
                    "type": "string",
                    "enum": ["bytes=0-9", "bytes=-5", "bytes=999999-", "bytes=2000000-", "x"],
                }
    _close(schemas)
    for path in paths.values():
        _close([operation["responses"] for method, operation in path.items() if method in _METHODS])
    return document


def _close(schema: object) -> None:
    """No other fields than those that are named."""
    if isinstance(schema, list):
        for each in schema:
            _close(each)
    elif isinstance(schema, dict):
        if schema.get("type") == "object" and "properties" in schema:
            schema["additionalProperties"] = False
        for each in schema.values():
            _close(each)


def test_every_path_that_is_served_is_described(lab):
    """But the page, its parts, and the RPC of aria2, which has a description of its own."""
    served = set()
    with running(lab.folder / "other") as (centre, _):
        door, _ = make_app(centre)
    for route in door._app.routes:
        if route.path not in ("/", "/static/{name}", "/jsonrpc"):
            served |= {(route.path, method.lower()) for method in route.methods if method != "HEAD"}
    described = {(path, method) for path, operations in lab.document["paths"].items() for method in operations}
    assert described - {("/api/v1/store/{algorithm}/{hex}", "head")} == served
    names = [operation["operationId"] for path in lab.document["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))


_MADE = [
    ("/api/v1/jobs", {"text": "https://example.org/w.bin"}),
    ("/api/v1/users", {"name": "ann", "role": "reader"}),
    ("/api/v1/tokens", {"label": "x"}),
]
_BODIES = {"changeJob": {"priority": 1}, "changeUser": {"role": "member"}, "addUserToken": {"label": "x"}}


@pytest.mark.parametrize(("path", "body"), _MADE, ids=["jobs", "users", "tokens"])
def test_links_lead_from_what_was_made_to_what_can_be_done_with_it(lab, path, body):
    document, admin = lab.document, Client(lab.client.url, lab.tokens["admin"])
    where = {
        operation["operationId"]: (method, at) for at, each in document["paths"].items() for method, operation in each.items()
    }
    links = document["paths"][path]["post"]["responses"]["201"]["links"]
    made = admin.ask("POST", path, body).json
    assert links
    for name in sorted(links, key=lambda name: name.startswith(("forget", "remove"))):
        found = made
        for word in links[name]["parameters"]["id"].removeprefix("$response.body#/").split("/"):
            found = found[int(word) if word.isdigit() else word]
        method, at = where[links[name]["operationId"]]
        said = admin.ask(method.upper(), at.replace("{id}", str(found)), _BODIES.get(name))
        assert said.status in (200, 201, 409), (name, said.body)


def test_what_is_streamed_is_what_the_document_describes(tmp_path):
    """Events have no schema of their own in OpenAPI 3.1: `News` and `Totals` are it."""
    with Server() as origin, running(tmp_path) as (_, client):
        document = Client(client.url).ask("GET", "/api/openapi.json").json
        (job,) = client.add(origin.add("/w.bin", Virtual(MB, seed=1)))
        client.done(job["id"])
        connection = http.client.HTTPConnection(urlsplit(client.url).netloc, timeout=10)
        connection.request("GET", "/api/v1/events", headers={"Authorization": f"Bearer {client.token}"})
        answer = connection.getresponse()
        assert answer.getheader("content-type").startswith("text/event-stream")
        seen = {}
        while set(seen) != {"jobs", "totals"}:
            line = answer.readline().decode()
            if line.startswith("event: "):
                kind = line[7:].strip()
            elif line.startswith("data: "):
                seen[kind] = json.loads(line[6:])
        answer.close()
        connection.close()
    components = {"components": document["components"]}
    _close(components)
    for kind, name in (("jobs", "News"), ("totals", "Totals")):
        jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{name}", **components}).validate(seen[kind])
    assert [each["state"] for each in seen["jobs"]["jobs"]] == ["done"]


@pytest.mark.parametrize("since", ["x", "-1", "1.5", "9" * 16, ""])
def test_a_number_that_is_none_is_refused_where_news_are_asked_for(lab, since):
    client = Client(lab.client.url, lab.tokens["reader"])
    assert client.ask("GET", f"/api/v1/events?since={since}").status == 400
    assert client.ask("GET", "/api/v1/events", Last_Event_ID="x").status == 200
