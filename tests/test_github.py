"""Assets of GitHub releases: names, tokens, errors with a way out; the rules for all sources are in test_source_rules.py."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conda_assets import sources
from conda_assets.digest import Digest
from conda_assets.errors import AccessDenied, AssetFailed, AssetsError, NetworkFailed, NotThere
from conda_assets.model import State
from conda_assets.sources.github import _place
from lab import Lab
from publisher_github import REPO, GitHub
from server import Server
from source_rules import BODY, CANARY, DIGEST, NETWORK, Publisher, World, make_world, read_back

DATA = Path(__file__).parent / "data" / "github"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with Server() as server, Server() as elsewhere:
        yield make_world(server, elsewhere, monkeypatch, has_credentials=False)


@pytest.fixture
def github(world: World) -> GitHub:
    return GitHub(world)


def failed(url: str) -> AssetsError:
    with pytest.raises(AssetsError) as caught:
        Publisher(url, url).probe()
    return caught.value


@pytest.mark.parametrize(
    ("url", "repo", "tag", "name"),
    [
        ("github:owner/repository@tag/file.bin", "owner/repository", "tag", "file.bin"),
        ("github://owner/name.js@v1.2/a%20b.bin", "owner/name.js", "v1.2", "a b.bin"),
        ("github:owner/name@release/v1/file.bin", "owner/name", "release/v1", "file.bin"),
        ("github:owner/name@release%2Fv1", "owner/name", "release/v1", ""),
        ("github:owner/name@v1/", "owner/name", "v1", ""),
        ("github:owner/name@latest/*.whl", "owner/name", None, "*.whl"),
        ("github:owner/name/file.bin", "owner/name", None, "file.bin"),
        ("github:owner/name", "owner/name", None, ""),
    ],
)
def test_a_url_is_taken_apart(url: str, repo: str, tag: str | None, name: str) -> None:
    place = _place("weights", url)
    assert (place.repo, place.tag, place.name) == (repo, tag, name)


@pytest.mark.parametrize(
    "url",
    ["github:", "github:owner", "github:owner/../x/y", "github:owner/..", "github:owner/../x", "github:o n/x/y", "github:@v1/x"],
)
def test_a_url_without_a_repository_is_refused(url: str) -> None:
    with pytest.raises(AssetFailed, match="names no repository"):
        _place("weights", url)


def test_a_public_file_is_fetched_where_browsers_get_it(github: GitHub) -> None:
    url = github.add("weights.bin")
    for token in (False, True):
        if token:
            github.world.setenv("GITHUB_TOKEN", CANARY)
        locked = Publisher(url, "").probe()
        assert (locked.revision, locked.fresh, locked.digest) == ("v1.0.0#1", None, DIGEST)
        assert locked.final_url == github.world.server.url(f"/{REPO}/releases/download/v1.0.0/weights.bin")


def test_a_private_file_gets_a_signed_url_each_time_and_no_token(github: GitHub) -> None:
    github.world.setenv("GH_TOKEN", CANARY)
    github.world.setenv("GITHUB_TOKEN", "not this one")
    github.private = True
    locked = Publisher(github.add("weights.bin"), "").probe()
    assert locked.fresh is not None
    fresh = locked.fresh()
    assert fresh.url.startswith(github.world.abroad)
    assert (fresh.headers, fresh.good_for_s is not None) == ((), True)
    assert read_back(locked) == BODY
    assert [request for request in github.world.elsewhere.requests if CANARY in str(request)] == []


def test_latest_is_pinned_to_its_tag(github: GitHub) -> None:
    github.add("weights.bin")
    locked = Publisher(f"github:{REPO}/weights.bin", "").probe()
    assert (locked.revision, locked.pinned_url) == ("v1.0.0#1", f"github:{REPO}@v1.0.0/weights.bin")
    assert Publisher("", "").expand(f"github:{REPO}@latest/*") == (("weights.bin", f"github:{REPO}@v1.0.0/weights.bin"),)


def test_files_of_one_release_cost_one_question(github: GitHub) -> None:
    urls = [github.add(f"{number}.bin", b"x") for number in range(20)]
    assert [Publisher(url, "").probe().size_bytes for url in urls] == [1] * 20
    assert len(github.world.server.requests) <= 2, "twice where a minute ends meanwhile"


def test_a_release_is_read_as_github_sends_it(github: GitHub) -> None:
    release = json.loads((DATA / "release.json").read_text())
    github.world.route(f"/api/v3/repos/{REPO}/releases/tags/sent", lambda request, body: (200, {}, json.dumps(release).encode()))
    locked = Publisher(f"github:{REPO}@sent/example.zip", "").probe()
    digest = Digest("sha256", "2151b604e3429bff440b9fbc03eb3617bc2603cda96c95b9bb05277f9ddba255")
    assert (locked.size_bytes, locked.digest, locked.vouched_by, locked.revision) == (1024, digest, "GitHub", "v1.0.0#1")
    locked = Publisher(f"github:{REPO}@sent/old.zip", "").probe()
    assert (locked.size_bytes, locked.digest, locked.vouched_by) == (7, None, "")


def test_an_older_file_is_vouched_for_by_a_list_in_its_release(github: GitHub) -> None:
    github.hashed = False
    published = Publisher(github.add("weights.bin"), "")
    github.add("SHA256SUMS", f"{DIGEST.hex}  weights.bin\n".encode())
    locked = sources.vouch(published.asset(), published.probe(), NETWORK)
    assert (locked.digest, locked.vouched_by, locked.url) == (DIGEST, "SHA256SUMS beside the file", published.file)


def test_an_upload_that_broke_off_is_not_there(github: GitHub) -> None:
    assert isinstance(failed(github.add("weights.bin", state="starter")), NotThere)


def test_a_missing_file_is_told_with_those_that_are_like_it(github: GitHub) -> None:
    github.add("weights.bin")
    assert failed(f"github:{REPO}@v1.0.0/weihgts.bin").to_json() == {
        "code": "not_found",
        "message": f"weights: the release {REPO}@v1.0.0 has no file weihgts.bin",
        "hints": ["did you mean `weights.bin`?"],
    }
    with pytest.raises(NotThere) as caught:
        Publisher("", "").expand(f"github:{REPO}@v1.0.0/*.whl")
    assert caught.value.hints[0].text == "it has weights.bin"


def test_a_missing_release_is_told_with_those_that_are_like_it(github: GitHub) -> None:
    github.world.server.route(f"/api/v3/repos/{REPO}/releases/tags/v1.0.1", lambda request, body: (404, {}, b"{}"))
    error = failed(f"github:{REPO}@v1.0.1/weights.bin")
    assert (error.message, error.hints[0].text) == (
        f"weights: {REPO} has no release of the tag 'v1.0.1'",
        "did you mean `v1.0.0`?",
    )


def test_a_repository_that_is_private_or_not_there_is_told_as_both(github: GitHub) -> None:
    url = github.add("weights.bin")
    github.private = True
    error = failed(url)
    assert isinstance(error, NotThere)
    assert "or it is private" in error.message
    assert "GITHUB_TOKEN" in error.hints[0].text
    github.world.setenv("GITHUB_TOKEN", "not-known")
    error = failed(url)
    assert isinstance(error, AccessDenied)
    assert "not-known" not in str(error.to_json())


@pytest.mark.parametrize("status", [403, 429])
def test_a_limit_is_told_with_the_time_when_it_ends(github: GitHub, status: int) -> None:
    url = github.add("weights.bin")
    limits = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 1800)}
    github.refusal = (status, limits, b'{"message": "API rate limit exceeded for 127.0.0.1."}')
    error = failed(url)
    assert isinstance(error, NetworkFailed)
    assert 1700 < error.retry_after_s <= 1800
    assert "the 60 requests an hour are used up until " in error.message
    assert "GITHUB_TOKEN" in error.hints[0].text


def test_over_the_limit_a_file_with_a_digest_is_found_without_the_list(github: GitHub) -> None:
    published = Publisher(github.add("weights.bin"), "")
    github.world.setenv("GITHUB_SERVER_URL", github.world.server.url())
    github.refusal = (403, {"X-RateLimit-Remaining": "0"}, b"")
    locked = published.probe(digest=DIGEST)
    assert (locked.url, locked.size_bytes, locked.fresh) == (published.file, len(BODY), None)
    assert read_back(locked) == BODY
    assert isinstance(failed(published.file), NetworkFailed), "without one the list is needed"


def test_too_many_at_once_waits_as_long_as_asked(github: GitHub) -> None:
    url = github.add("weights.bin")
    github.refusal = (403, {"Retry-After": "7"}, b'{"message": "You have exceeded a secondary rate limit."}')
    error = failed(url)
    assert isinstance(error, NetworkFailed)
    assert error.retry_after_s == 7.0
    github.refusal = (403, {}, b'{"message": "You have exceeded a secondary rate limit."}')
    assert failed(url).retry_after_s == 60.0  # type: ignore[attr-defined]
    github.refusal = (403, {}, b'{"message": "Resource not accessible by personal access token"}')
    assert isinstance(failed(url), AccessDenied)


def test_an_answer_in_another_form_is_told_and_not_a_crash(github: GitHub) -> None:
    bodies = (b"<html>", b"[]", b'{"id": 1, "tag_name": "v", "assets": [{}]}', b'{"id": "x", "tag_name": "v", "assets": []}')
    for number, body in enumerate(bodies):
        github.world.route(f"/api/v3/repos/{REPO}/releases/tags/odd{number}", lambda request, _, body=body: (200, {}, body))
        assert "in a form that this version does not know" in failed(f"github:{REPO}@odd{number}/weights.bin").message


def test_a_public_file_is_synced(github: GitHub, tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.write([{"name": "weights", "url": github.add("weights.bin")}])
    (row,) = lab.sync().outcomes
    assert (row.error, row.state, row.sha256) == (None, State.FETCHED, DIGEST.hex)
    assert lab.placed("weights").read_bytes() == BODY


def test_a_private_file_is_synced_and_the_token_stays_with_github(github: GitHub, tmp_path: Path) -> None:
    github.world.setenv("GITHUB_TOKEN", CANARY)
    github.private = True
    lab = Lab(tmp_path)
    lab.write([{"name": "weights", "url": github.add("weights.bin")}])
    (row,) = lab.sync().outcomes
    assert (row.error, row.state, row.sha256) == (None, State.FETCHED, DIGEST.hex)
    assert [request for request in github.world.elsewhere.requests if CANARY in str(request)] == []
    assert CANARY not in repr(lab.seen) + repr(row)
