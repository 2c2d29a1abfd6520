"""What every source keeps to: the same rules over each publisher, with and without credentials."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conda_assets import sources
from conda_assets.errors import AssetFailed, AssetsError, NotThere, Offline, SizeMismatch, UnsafePath
from lab import Lab
from server import Server
from source_rules import (
    BODY,
    CANARY,
    FILES,
    HOSTILE,
    NETWORK,
    PUBLISHERS,
    Publisher,
    World,
    make_world,
    publisher,
    read_back,
)


@pytest.fixture(params=[False, True], ids=["anonymous", "with-credentials"])
def world(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with Server() as server, Server() as elsewhere:
        yield make_world(server, elsewhere, monkeypatch, has_credentials=request.param)


@pytest.fixture(params=PUBLISHERS)
def published(request: pytest.FixtureRequest, world: World) -> Publisher:
    return publisher(request.param, world)


def patterns(published: Publisher) -> list[str]:
    return [url for url in (published.folder, published.glob) if url is not None]


def test_a_file_is_described_before_its_first_byte(published: Publisher) -> None:
    locked = published.probe()
    assert (locked.size_bytes, locked.digest, locked.vouched_by) == (len(BODY), published.digest, published.vouched_by)
    assert (locked.url, locked.asset.url) == (published.file, published.file)
    assert read_back(locked) == BODY


def test_what_is_said_twice_is_the_same(published: Publisher) -> None:
    assert published.probe() == published.probe()


def test_nothing_secret_is_shown(published: Publisher, world: World) -> None:
    texts = []
    world.down = 403
    for url in (published.file, published.missing):
        with pytest.raises(AssetsError) as caught:
            published.probe(url)
        texts += [repr(caught.value), str(caught.value), str(caught.value.to_json())]
    world.down = 0
    locked = published.probe()
    texts += [repr(locked), str(locked)]
    if locked.fresh is not None:
        texts += [repr(locked.fresh()), locked.final_url]
    assert [text for text in texts if CANARY in text] == []


def test_credentials_reach_their_own_host_only(published: Publisher, world: World) -> None:
    read_back(published.probe())
    for url in patterns(published):
        published.expand(url)
    assert [request for request in world.elsewhere.requests if CANARY in str(request)] == []
    if world.has_credentials and published.sends_token:
        assert any(CANARY in str(request.headers) for request in world.server.requests)


def test_a_missing_file_is_an_error_with_a_next_step(published: Publisher) -> None:
    with pytest.raises(NotThere) as caught:
        published.probe(published.missing)
    assert not caught.value.retryable
    assert caught.value.asset == "weights"
    assert [hint.text for hint in caught.value.hints if hint.text]


@pytest.mark.parametrize("status", [503, 429])
def test_a_publisher_that_is_busy_is_asked_again(published: Publisher, world: World, status: int) -> None:
    world.down = status
    with pytest.raises(AssetFailed) as caught:
        published.probe()
    assert caught.value.retryable


def test_a_publisher_that_does_not_answer_is_asked_again(published: Publisher, world: World) -> None:
    world.server.close()
    with pytest.raises(AssetFailed) as caught:
        published.probe()
    assert caught.value.retryable


def test_another_size_than_the_specs_is_found_before_the_transfer(published: Publisher) -> None:
    with pytest.raises(SizeMismatch) as caught:
        published.probe(size_bytes=len(BODY) + 1)
    assert (caught.value.expected, caught.value.got) == (len(BODY) + 1, len(BODY))


def test_what_is_a_pattern_is_told_without_asking(published: Publisher, world: World) -> None:
    assert not sources.is_pattern(published.asset())
    assert [sources.is_pattern(published.asset(url)) for url in patterns(published)] == [True] * len(patterns(published))
    assert world.server.requests == []


def test_a_pattern_names_its_files_in_order(published: Publisher) -> None:
    wanted = dict(FILES)
    if published.folder is not None:
        found = published.expand(published.folder)
        assert [path for path, _ in found] == sorted(wanted)
        for path, url in found:
            locked = published.probe(url)
            assert (path, locked.size_bytes, read_back(locked)) == (path, len(wanted[path]), wanted[path])
    if published.glob is not None:
        assert [path for path, _ in published.expand(published.glob)] == ["part-1.bin", "part-2.bin"]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_name_that_would_leave_the_folder_is_refused(published: Publisher, world: World, name: str) -> None:
    if published.hostile is None or world.has_credentials:
        return
    with pytest.raises(UnsafePath):
        published.expand(published.hostile(name))


def test_nobody_is_asked_offline(published: Publisher, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_OFFLINE", "true")
    lab = Lab(tmp_path)
    lab.write([{"name": "weights", "url": published.file}])
    (row,) = lab.sync().outcomes
    assert isinstance(row.error, Offline)
    assert world.server.requests == []


def test_the_rules_know_the_network_that_they_use() -> None:
    assert NETWORK.read_timeout_s < 10, "a publisher that is silent is noticed within a test"
