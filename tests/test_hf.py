"""Assets on the Hugging Face Hub: names, tokens, errors with a way out; the rules for all sources are in test_source_rules.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from conda_assets.digest import Digest
from conda_assets.errors import AccessDenied, AssetFailed, AssetsError, NetworkFailed, NoSource, NotThere, Offline
from conda_assets.model import State
from conda_assets.sources.asking import Answer
from conda_assets.sources.hf import _said
from conda_assets.sources.hub import Hub as Machine
from conda_assets.sources.hub import read_hub, read_place
from lab import Lab
from publisher_hf import COMMIT, REPO, Hub, _json
from server import Server
from source_rules import BODY, CANARY, DIGEST, Publisher, World, make_world, read_back

DATA = Path(__file__).parent / "data" / "hf"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with Server() as server, Server() as elsewhere:
        yield make_world(server, elsewhere, monkeypatch, has_credentials=False)


@pytest.fixture
def hub(world: World) -> Hub:
    return Hub(world)


def failed(url: str, **fields: object) -> AssetsError:
    with pytest.raises(AssetsError) as caught:
        Publisher(url, url).probe(**fields)
    return caught.value


@pytest.mark.parametrize(
    ("url", "kind", "repo", "revision", "path"),
    [
        ("hf://openai-community/gpt2@607a30d/model.safetensors", "models", REPO, "607a30d", "model.safetensors"),
        ("hf://openai-community/gpt2/a/b.bin", "models", REPO, "main", "a/b.bin"),
        ("hf:openai-community/gpt2/b.bin?download=true", "models", REPO, "main", "b.bin"),
        ("hf://models/org/name/x@y.bin", "models", "org/name", "main", "x@y.bin"),
        ("hf://datasets/org/c4@refs/convert/parquet/en/0.pq", "datasets", "org/c4", "refs/convert/parquet", "en/0.pq"),
        ("hf://spaces/org/name@refs/pr/3", "spaces", "org/name", "refs/pr/3", ""),
        ("hf://org/name@feature%2Fx/a%20b.bin", "models", "org/name", "feature/x", "a b.bin"),
        ("hf://gpt2/config.json", "models", "gpt2", "main", "config.json"),
        ("hf://gpt2@v1/config.json", "models", "gpt2", "v1", "config.json"),
        ("hf://gpt2/*.json", "models", "gpt2", "main", "*.json"),
        ("hf://meta-llama/Llama-3.1-8B", "models", "meta-llama/Llama-3.1-8B", "main", ""),
        ("hf://datasets/squad/plain_text/", "datasets", "squad/plain_text", "main", ""),
    ],
)  # fmt: skip
def test_a_url_is_taken_apart(url: str, kind: str, repo: str, revision: str, path: str) -> None:
    place = read_place("weights", url)
    assert (place.kind, place.repo, place.revision, place.path) == (kind, repo, revision, path)
    assert read_place("weights", place.url) == place


@pytest.mark.parametrize(
    "url",
    [
        "hf://",
        "hf://../../etc/passwd",
        "hf://@main/x",
        "hf://a b/c/d",
        "hf://buckets/org/name/x",
        "hf://o/n/../../x",
        "hf://o/n@../x",
        "hf://o/n/%2e%2e/x",
    ],
)
def test_a_url_without_a_repository_or_out_of_it_is_refused(url: str) -> None:
    with pytest.raises(AssetFailed):
        read_place("weights", url)


def test_the_token_is_where_the_hubs_own_tools_put_it(tmp_path: Path) -> None:
    def token(name: str, *parts: str) -> str:
        path = tmp_path.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")
        return str(path)

    environ = {"HOME": str(tmp_path)}
    assert read_hub(environ) == Machine("https://huggingface.co")
    token("default", ".cache", "huggingface", "token")
    assert read_hub(environ).token == "default"
    token("home", "hf-home", "token")
    environ["HF_HOME"] = str(tmp_path / "hf-home")
    assert read_hub(environ).token == "home"
    token("path", "elsewhere")
    environ["HF_TOKEN_PATH"] = "~/elsewhere"
    assert read_hub(environ).token == "path"
    environ["HF_TOKEN"] = " variable\r\n"
    assert read_hub(environ).token == "variable"
    assert "variable" not in repr(read_hub(environ))
    assert read_hub({**environ, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}).token is None
    assert read_hub({**environ, "HF_ENDPOINT": "https://hub.example/"}).endpoint == "https://hub.example"


def test_the_answer_is_pinned_to_the_commit(hub: Hub) -> None:
    locked = Publisher(hub.add("model.safetensors"), "").probe()
    assert locked.revision == COMMIT
    assert locked.final_url == hub.world.server.url(f"/{REPO}/resolve/{COMMIT}/model.safetensors")
    assert (locked.resumable, locked.fresh, locked.digest) == (True, None, DIGEST)
    assert locked.pinned_url == hub.url("model.safetensors", COMMIT)


def test_a_small_file_of_gits_own_has_a_size_and_no_digest(hub: Hub) -> None:
    locked = Publisher(hub.add("config.json", plain=True), "").probe()
    assert (locked.size_bytes, locked.digest, locked.vouched_by, locked.revision) == (len(BODY), None, "", COMMIT)


def test_with_a_token_each_connection_gets_a_signed_url_and_no_token(hub: Hub) -> None:
    hub.world.setenv("HF_TOKEN", CANARY)
    hub.private = True
    locked = Publisher(hub.add("model.safetensors"), "").probe()
    assert locked.fresh is not None
    fresh = locked.fresh()
    assert fresh.url.startswith(hub.world.abroad)
    assert fresh.headers == ()
    assert fresh.good_for_s is not None
    assert 3500 < fresh.good_for_s <= 3570
    small = Publisher(hub.add("config.json", plain=True), "").probe()
    assert small.fresh is not None
    assert dict(small.fresh().headers) == {"Authorization": f"Bearer {CANARY}"}
    assert read_back(small) == BODY
    assert [request for request in hub.world.elsewhere.requests if "authorization" in request.headers] == []


def test_the_assets_own_authorization_counts_more_than_the_machines(hub: Hub) -> None:
    hub.world.setenv("HF_TOKEN", "the machine's")
    hub.private = True
    url = hub.add("model.safetensors")
    locked = Publisher(url, "", headers={"authorization": f"Bearer {CANARY}"}).probe()
    assert read_back(locked) == BODY
    assert {request.headers["authorization"] for request in hub.world.server.requests} == {f"Bearer {CANARY}"}
    assert [request for request in hub.world.elsewhere.requests if "authorization" in request.headers] == []


def test_a_hub_that_sends_large_files_itself_is_not_read_for_a_link(hub: Hub) -> None:
    hub.world.setenv("HF_TOKEN", CANARY)
    big = b"\0" * (48 << 20)
    hub._route("main", "big.bin", lambda request: (200, {"X-Repo-Commit": COMMIT}, big))
    hub._route(COMMIT, "big.bin", lambda request: (200, {"X-Repo-Commit": COMMIT}, big))
    locked = Publisher(hub.url("big.bin"), "").probe()
    assert locked.size_bytes == len(big)
    assert locked.fresh is not None
    assert locked.fresh().url == locked.final_url


def test_a_short_commit_is_made_whole(hub: Hub) -> None:
    hub.add("model.safetensors")
    hub.add("data/x.bin")
    hub._route("607a30d7", "model.safetensors", lambda request: (404, {"X-Error-Code": "RevisionNotFound"}, b""))
    hub.world.route(
        f"/api/models/{REPO}/revision/607a30d7", hub._answer(lambda request: (404, {"X-Error-Code": "RevisionNotFound"}, b""))
    )
    url = hub.url("model.safetensors", "607a30d7")
    assert Publisher(url, "").probe().revision == COMMIT
    assert Publisher("", "").expand(f"hf://{REPO}@607a30d7") == (
        ("data/x.bin", f"hf://{REPO}@{COMMIT}/data/x.bin"),
        ("model.safetensors", f"hf://{REPO}@{COMMIT}/model.safetensors"),
    )


def test_a_missing_file_is_told_with_those_that_are_like_it(hub: Hub) -> None:
    hub.add("pytorch_model.bin")
    hub.add("onnx/model.bin")
    error = failed(hub.refuse("pytorch-model.bin", "EntryNotFound"))
    assert error.to_json() == {
        "code": "not_found",
        "message": f"weights: {REPO}@main has no file pytorch-model.bin",
        "hints": ["did you mean `pytorch_model.bin`?"],
    }
    assert failed(hub.refuse("model.bin", "EntryNotFound")).hints[0].text.startswith("did you mean `onnx/model.bin`")
    assert failed(hub.refuse("onnx", "EntryNotFound")).hints[0].text == ("onnx is a folder: write `onnx/` for all that is in it")


def test_a_missing_revision_is_told_with_those_that_are_like_it(hub: Hub) -> None:
    error = failed(hub.refuse("model.bin", "RevisionNotFound", "v1.1"))
    assert (error.message, error.hints[0].text) == (f"weights: {REPO} has no revision 'v1.1'", "did you mean `v1.0`?")
    with pytest.raises(NotThere):
        Publisher("", "").expand(f"hf://{REPO}@nope")


def test_a_gated_repository_says_where_its_terms_are(hub: Hub) -> None:
    url = hub.refuse("model.bin", "GatedRepo", status=401)
    error = failed(url)
    assert isinstance(error, AccessDenied)
    assert hub.world.server.url(f"/{REPO}") in error.hints[0].text
    assert "HF_TOKEN" in error.hints[0].text
    hub.world.setenv("HF_TOKEN", CANARY)
    error = failed(url)
    assert isinstance(error, AccessDenied)
    assert "has not been let in" in error.message


def test_a_repository_that_is_private_or_not_there_is_told_as_both(hub: Hub) -> None:
    url = hub.add("model.bin")
    hub.private = True
    error = failed(url)
    assert isinstance(error, NotThere)
    assert "or it is private" in error.message
    assert "HF_TOKEN" in error.hints[0].text
    hub.world.setenv("HF_TOKEN", "another")
    error = failed(url)
    assert isinstance(error, AccessDenied)
    assert "another" not in str(error.to_json()).replace("get another", "")


def test_the_limit_of_requests_is_waited_for(hub: Hub) -> None:
    url = hub.add("model.bin")
    hub.refusal = (429, {"RateLimit": '"api";r=0;t=55', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}, b"")
    error = failed(url)
    assert isinstance(error, NetworkFailed)
    assert (error.retryable, error.retry_after_s) == (True, 55.0)
    assert "HF_TOKEN" in error.hints[0].text


def test_a_file_that_plain_http_does_not_serve_is_named_with_the_way_out(hub: Hub) -> None:
    url = hub.add("huge.gguf", b"bridge", size=432 * 10**9)
    sha256 = hub._entry("huge.gguf")["lfs"]["oid"]  # type: ignore[index]
    hub.world.elsewhere.add(f"/repos/{sha256}", b"", status=400)
    error = failed(url)
    assert isinstance(error, NoSource)
    assert "432.0 GB" in error.message
    assert f"hf download {REPO} huge.gguf --revision {COMMIT}" in error.hints[0].text
    hub.world.elsewhere.add(f"/repos/{sha256}", b"bridge")
    assert Publisher(url, "").probe().size_bytes == 432 * 10**9, "the servers do serve this one"


def test_offline_for_its_own_tools_is_offline_for_us(hub: Hub) -> None:
    url = hub.add("model.bin")
    hub.world.setenv("HF_HUB_OFFLINE", "1")
    assert isinstance(failed(url), Offline)
    assert hub.world.server.requests == []


def test_nothing_that_matches_is_told_with_what_is_there(hub: Hub) -> None:
    hub.add("a.bin")
    with pytest.raises(NotThere) as caught:
        Publisher("", "").expand(f"hf://{REPO}/*.safetensors")
    assert caught.value.hints[0].text == "it has a.bin"


def test_a_tree_is_read_as_the_hub_sends_it(hub: Hub) -> None:
    tree = json.loads((DATA / "tree.json").read_text())
    hub.world.route(f"/api/models/{REPO}/tree/{COMMIT}", lambda request, body: _json(tree))
    hub.add(".gitattributes", plain=True)
    found = Publisher("", "").expand(f"hf://{REPO}")
    assert [path for path, _ in found] == [".gitattributes", "config.json", "flax_model.msgpack", "merges.txt", "onnx/vocab.json"]
    sha256 = "d88b0d6a6ff9c3f8151f9d3228f57092aaea997f09af009eefd7373a77b5abb9"
    said = {path: Publisher(url, "").probe() for path, url in found}
    assert (said["flax_model.msgpack"].size_bytes, said["flax_model.msgpack"].digest) == (497764107, Digest("sha256", sha256))
    assert (said["config.json"].size_bytes, said["config.json"].digest, said["config.json"].vouched_by) == (554, None, "")


def test_the_files_of_a_pattern_are_described_by_its_list(hub: Hub) -> None:
    hub.page = 1000
    for number in range(2500):
        hub.files[f"{number:04}.bin"] = b"x" * number
    hub.add("0000.bin", b"")
    found = Publisher("", "").expand(f"hf://{REPO}")
    sizes = [Publisher(url, "").probe().size_bytes for _, url in found]
    assert sizes == list(range(2500))
    # The commit, three pages, and whether one of them may be had.
    assert len(hub.world.server.requests) == 5


def test_a_list_that_may_be_read_is_no_leave_to_read_the_files(hub: Hub) -> None:
    hub.files["model.bin"] = BODY
    hub.refuse("model.bin", "GatedRepo", COMMIT, 401)
    with pytest.raises(AccessDenied, match="is gated"):
        Publisher("", "").expand(f"hf://{REPO}/*.bin")


def test_a_new_name_of_a_repository_is_followed_with_the_token(hub: Hub) -> None:
    hub.world.setenv("HF_TOKEN", CANARY)
    hub.add("model.bin")
    moved = f"/{REPO}/resolve/main/model.bin"
    hub.world.route("/gpt2/resolve/main/model.bin", lambda request, body: (307, {"Location": moved}, b""))
    assert Publisher("hf://gpt2/model.bin", "").probe().digest == DIGEST
    assert hub.world.server.seen(moved)[0].headers["authorization"] == f"Bearer {CANARY}"


def test_an_answer_in_another_form_is_told_and_not_a_crash(hub: Hub) -> None:
    for body in (b"<html>", b"[1]", b'[{"path": "x"}]', b"[" * 100_000):
        hub.world.route(f"/api/models/{REPO}/tree/{COMMIT}", lambda request, _, body=body: (200, {}, body))
        with pytest.raises(AssetFailed, match="in a form that this version does not know"):
            Publisher("", "").expand(f"hf://{REPO}")


def test_pages_are_not_followed_to_another_host(hub: Hub) -> None:
    away = hub.world.elsewhere.add("/more", b"[]")
    hub.world.route(f"/api/models/{REPO}/tree/{COMMIT}", lambda request, _: _json([], {"Link": f'<{away}>; rel="next"'}))
    with pytest.raises(AssetFailed, match="another host"):
        Publisher("", "").expand(f"hf://{REPO}")
    assert hub.world.elsewhere.requests == []


def test_a_size_is_a_number_or_unknown() -> None:
    assert _said(Answer(200, "", {"Content-Length": "12"}, b"")).size_bytes == 12
    assert _said(Answer(302, "", {"Content-Length": "12"}, b"")).size_bytes is None
    assert _said(Answer(302, "", {"X-Linked-Size": "²"}, b"")).size_bytes is None


def test_a_public_file_is_synced(hub: Hub, tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.write([{"name": "weights", "url": hub.add("model.safetensors"), "path": "m.safetensors"}])
    (row,) = lab.sync().outcomes
    assert (row.error, row.state, row.sha256) == (None, State.FETCHED, DIGEST.hex)
    assert lab.placed("m.safetensors").read_bytes() == BODY


def test_a_private_file_is_synced_and_the_token_stays_with_the_hub(hub: Hub, tmp_path: Path) -> None:
    hub.world.setenv("HF_TOKEN", CANARY)
    hub.private = True
    lab = Lab(tmp_path)
    lab.write(
        [{"name": "weights", "url": hub.add("model.safetensors")}, {"name": "config", "url": hub.add("c.json", plain=True)}]
    )
    rows = lab.sync().outcomes
    assert [(row.error, row.state, row.sha256) for row in rows] == [(None, State.FETCHED, DIGEST.hex)] * 2
    assert lab.placed("weights").read_bytes() == BODY
    assert [request for request in hub.world.elsewhere.requests if CANARY in str(request)] == []
    assert CANARY not in repr(lab.seen) + repr(rows)
