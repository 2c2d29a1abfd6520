"""Syncs from a real server through a real engine into real environments."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from conda_assets.api.options import Options
from conda_assets.errors import DigestMismatch, HashRequired, NotThere, Offline, SizeMismatch, UnknownAsset, UsageError
from conda_assets.events import Event, Finished, Noted, Progressed, Retrying
from conda_assets.model import LinkType, State
from conda_assets.receipt import read_receipt
from lab import Lab
from server import Faults, Server, Virtual

BODY = b"the very bytes\n" * 1000
SHA = hashlib.sha256(BODY).hexdigest()
BIG = Virtual(24_000_000, seed=5)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        server.add("/w.bin", BODY)
        server.add("/big.bin", BIG)
        yield server


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def entry(server: Server, at: str = "/w.bin", **fields: object) -> dict[str, object]:
    return {"name": "weights", "url": server.url(at), "sha256": SHA, **fields}


def states(lab: Lab, name: str = "env", **options: object) -> dict[str, State]:
    report = lab.sync(name, options=Options(**options))  # type: ignore[arg-type]
    return {row.name: row.state for row in report.outcomes}  # type: ignore[misc]


def test_a_file_is_fetched_verified_placed_and_written_down(server: Server, lab: Lab) -> None:
    lab.write([entry(server, path="models/w.bin", size=len(BODY))])
    (row,) = lab.sync().outcomes
    path = lab.placed("models/w.bin")
    assert (row.state, row.path, row.size_bytes, row.sha256, row.bytes_fetched) == (
        State.FETCHED,
        path,
        len(BODY),
        SHA,
        len(BODY),
    )
    assert (row.pinned, row.error, row.source) == (True, None, server.url("/w.bin"))
    assert path.read_bytes() == BODY
    assert not path.stat().st_mode & stat.S_IWUSR, "what the store shares is read-only"
    assert read_receipt(lab.prefix())["weights"].sha256 == SHA
    assert any(isinstance(event, Finished) for event in lab.seen)


def test_a_second_environment_fetches_nothing(server: Server, lab: Lab) -> None:
    lab.write([entry(server), server.url("/big.bin")])
    assert states(lab) == {"weights": State.FETCHED, "big.bin": State.FETCHED}
    server.forget()
    assert states(lab, "second") == {"weights": State.LINKED, "big.bin": State.LINKED}
    assert server.requests == []
    assert lab.placed("big.bin", "second").read_bytes() == BIG.read(0, BIG.size)


def test_a_second_sync_asks_nobody_and_changes_nothing(server: Server, lab: Lab) -> None:
    lab.write([entry(server), server.url("/big.bin")])
    lab.sync()
    server.forget()
    before = lab.placed("weights").stat()
    assert states(lab) == {"weights": State.KEPT, "big.bin": State.KEPT}
    assert (server.requests, lab.placed("weights").stat()) == ([], before)


def test_a_removed_environment_is_linked_again_without_the_network(server: Server, lab: Lab) -> None:
    import shutil

    lab.write([entry(server)])
    lab.sync()
    shutil.rmtree(lab.prefix())
    server.close()
    assert states(lab) == {"weights": State.LINKED}
    assert lab.placed("weights").read_bytes() == BODY


def test_wrong_bytes_get_no_name_anywhere(server: Server, lab: Lab) -> None:
    lab.write([entry(server, sha256="0" * 64)])
    (row,) = lab.sync().outcomes
    assert row.state is State.FAILED
    assert isinstance(row.error, DigestMismatch)
    assert (row.error.expected, row.error.got, row.error.exit_code) == ("0" * 64, SHA, 4)
    assert not lab.placed("weights").exists()
    left = [
        path for path in Path(os.environ["CONDA_ASSETS_STORE"]).rglob("*") if path.is_file() and path.stat().st_size == len(BODY)
    ]
    assert left == []


def test_one_failure_does_not_stop_the_others(server: Server, lab: Lab) -> None:
    lab.write([entry(server, "/gone.bin"), {"name": "other", "url": server.url("/big.bin"), "sha256": BIG.sha256}])
    report = lab.sync()
    assert [row.state for row in report.outcomes] == [State.FAILED, State.FETCHED]
    assert isinstance(report.outcomes[0].error, NotThere)
    assert [row.name for row in report.failures] == ["weights"]


def test_an_optional_failure_is_no_failure(server: Server, lab: Lab) -> None:
    lab.write([entry(server, "/gone.bin", optional=True)])
    report = lab.sync()
    assert (report.outcomes[0].state, report.failures) == (State.FAILED, ())


def test_a_size_that_the_server_contradicts_is_refused_before_the_transfer(server: Server, lab: Lab) -> None:
    lab.write([entry(server, "/big.bin", sha256=BIG.sha256, size=2_000_000)])
    (row,) = lab.sync().outcomes
    assert isinstance(row.error, SizeMismatch)
    assert (row.error.expected, row.error.got) == (2_000_000, BIG.size)
    assert server.sent("/big.bin") < 100_000


def test_a_mirror_steps_in_for_a_missing_file(server: Server, lab: Lab) -> None:
    lab.write([entry(server, "/gone.bin", mirrors=[server.url("/w.bin")])])
    assert states(lab) == {"weights": State.FETCHED}


def test_a_poisoned_mirror_is_found_out(server: Server, lab: Lab) -> None:
    server.add("/evil.bin", BODY.replace(b"very", b"evil"))
    lab.write([entry(server, "/evil.bin", mirrors=[server.url("/w.bin")])])
    assert states(lab) == {"weights": State.FETCHED}
    assert lab.placed("weights").read_bytes() == BODY
    assert any(isinstance(event, Noted) and "expected sha256" in event.text for event in lab.seen)


def test_a_busy_server_is_asked_again_when_it_says_so(server: Server, lab: Lab) -> None:
    server.add("/busy.bin", BODY, Faults(status=503, retry_after="1", first=2))
    lab.write([entry(server, "/busy.bin")])
    assert states(lab) == {"weights": State.FETCHED}
    waits = [event.after_s for event in lab.seen if isinstance(event, Retrying)]
    assert len(waits) == 2
    assert all(wait >= 1.0 for wait in waits)


@pytest.mark.slow
def test_a_server_that_bears_few_requests_gives_all_files(lab: Lab) -> None:
    """Four requests at once are what it bears, and each of twenty files would take three."""
    contents = [Virtual(3_000_000, seed=number) for number in range(20)]
    with Server(most=4, rate=4_000_000) as server:
        lab.write([{"url": server.add(f"/{n}.bin", each), "sha256": each.sha256} for n, each in enumerate(contents)])
        assert set(states(lab).values()) == {State.FETCHED}
        # If each file counted its tries by itself, some would give up here.
        assert server.too_many > 0


def test_bytes_that_are_wrong_once_are_fetched_again_from_another_source_only(server: Server, lab: Lab) -> None:
    server.add("/flip.bin", BODY, Faults(flip=(3,)))
    lab.write([entry(server, "/flip.bin")])
    (row,) = lab.sync().outcomes
    assert isinstance(row.error, DigestMismatch)
    assert server.sent("/flip.bin") <= 3 * len(BODY)


def test_assets_with_the_same_bytes_come_once(server: Server, lab: Lab) -> None:
    lab.write([entry(server), entry(server, name="twin", path="twin.bin")])
    assert states(lab) == {"weights": State.FETCHED, "twin": State.LINKED}
    assert server.sent("/w.bin") <= len(BODY) + 100
    assert lab.placed("twin.bin").read_bytes() == BODY


def test_the_right_file_that_stands_already_is_kept(server: Server, lab: Lab) -> None:
    lab.write([entry(server)])
    lab.placed("weights").parent.mkdir(parents=True)
    lab.placed("weights").write_bytes(BODY)
    assert states(lab) == {"weights": State.KEPT}
    assert server.requests == []
    assert states(lab) == {"weights": State.KEPT}


def test_a_file_of_the_users_is_set_aside_never_lost(server: Server, lab: Lab) -> None:
    lab.write([entry(server)])
    lab.placed("weights").parent.mkdir(parents=True)
    lab.placed("weights").write_bytes(b"my own notes")
    assert states(lab) == {"weights": State.FETCHED}
    assert lab.placed("weights").read_bytes() == BODY
    assert lab.placed("weights.orig").read_bytes() == b"my own notes"


def test_another_path_in_the_file_moves_the_asset(server: Server, lab: Lab) -> None:
    lab.write([entry(server, path="old/w.bin")])
    lab.sync()
    lab.write([entry(server, path="new/w.bin")])
    assert states(lab) == {"weights": State.LINKED}
    assert lab.placed("new/w.bin").read_bytes() == BODY
    assert not lab.placed("old").exists()


def test_prune_removes_what_the_file_no_longer_names(server: Server, lab: Lab) -> None:
    lab.write([entry(server), server.url("/big.bin")])
    lab.sync()
    lab.write([entry(server)])
    lab.sync()
    assert lab.placed("big.bin").exists(), "only --prune removes"
    lab.sync(options=Options(prune=True))
    assert not lab.placed("big.bin").exists()
    assert list(read_receipt(lab.prefix())) == ["weights"]


def test_a_private_copy_may_be_edited_and_is_left_alone(server: Server, lab: Lab) -> None:
    lab.write([entry(server, link="copy")])
    assert lab.sync().outcomes[0].link is LinkType.COPY
    lab.placed("weights").write_bytes(b"edited")
    assert states(lab) == {"weights": State.KEPT}
    assert lab.placed("weights").read_bytes() == b"edited"
    assert states(lab, "second") == {"weights": State.LINKED}
    assert lab.placed("weights", "second").read_bytes() == BODY, "the store's own file was not touched"


def test_a_variable_that_the_user_set_wins_and_nothing_is_fetched(
    server: Server, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.write([entry(server, env="MY_WEIGHTS")])
    monkeypatch.setenv("MY_WEIGHTS", "/my/own/file")
    assert states(lab) == {"weights": State.SKIPPED}
    assert server.requests == []


def test_groups_and_names_choose(server: Server, lab: Lab) -> None:
    lab.write([entry(server, groups=["train"]), server.url("/big.bin")])
    assert states(lab) == {"weights": State.SKIPPED, "big.bin": State.FETCHED}
    assert states(lab, groups=("train",)) == {"weights": State.FETCHED, "big.bin": State.KEPT}
    assert states(lab, "second", only=("weights",)) == {"weights": State.LINKED, "big.bin": State.SKIPPED}
    with pytest.raises(UnknownAsset, match="no asset 'wieghts'"):
        states(lab, only=("wieghts",))
    with pytest.raises(UsageError, match="no group 'trian'"):
        states(lab, groups=("trian",))


def test_offline_uses_the_store_and_says_what_is_missing(server: Server, lab: Lab) -> None:
    lab.write([entry(server), server.url("/big.bin")])
    lab.sync(options=Options(only=("weights",)))
    server.forget()
    report = lab.sync("second", settings=replace(lab.settings(), offline=True))
    assert [row.state for row in report.outcomes] == [State.LINKED, State.FAILED]
    assert isinstance(report.outcomes[1].error, Offline)
    assert server.requests == []


def test_hashes_can_be_required(server: Server, lab: Lab) -> None:
    lab.write([entry(server), server.url("/big.bin")])
    report = lab.sync(options=Options(require_hashes=True))
    assert [row.state for row in report.outcomes] == [State.FETCHED, State.FAILED]
    assert isinstance(report.outcomes[1].error, HashRequired)


def test_headers_go_to_their_host_and_never_beyond(server: Server, lab: Lab) -> None:
    with Server() as elsewhere:
        there = elsewhere.add("/big.bin", BIG)
        server.redirect("/led", there)
        server.add("/guarded.bin", BIG, Faults(needs=("Authorization", "Bearer canary-token")))
        headers = {"Authorization": "Bearer ${TOKEN}"}
        os.environ["TOKEN"] = "canary-token"
        lab.write(
            [
                {"name": "led", "url": server.url("/led"), "sha256": BIG.sha256, "headers": headers},
                {"name": "guarded", "url": server.url("/guarded.bin"), "hash": "md5:" + BIG.digest("md5"), "headers": headers},
            ]
        )
        report = lab.sync()
        assert [row.state for row in report.outcomes] == [State.FETCHED, State.FETCHED], [row.because for row in report.outcomes]
        assert [r for r in elsewhere.requests if "canary" in str(r.headers)] == []
        assert all("canary" in str(r.headers) for r in server.seen("/guarded.bin"))
    for path in Path(os.environ["HOME"]).rglob("*"):
        assert not path.is_file() or b"canary" not in path.read_bytes(), path
    assert b"canary" not in b"".join(path.read_bytes() for path in (lab.prefix() / "etc").rglob("*") if path.is_file())


def test_an_interrupted_sync_goes_on_where_it_was(lab: Lab) -> None:
    with Server(rate=1_500_000) as server:
        url = server.add("/big.bin", BIG)
        lab.write([{"name": "big", "url": url, "sha256": BIG.sha256}])

        def stop_half_way(event: Event) -> None:
            lab.seen.append(event)
            if isinstance(event, Progressed) and event.done_bytes > BIG.size * 0.5:
                raise KeyboardInterrupt

        from conda_assets.api.sync import sync

        with pytest.raises(KeyboardInterrupt):
            sync(lab.spec(), lab.target(), lab.settings(), watch=stop_half_way)
        before = server.sent("/big.bin")
        (row,) = lab.sync().outcomes
        assert (row.state, row.sha256) == (State.FETCHED, BIG.sha256)
        assert row.bytes_fetched < BIG.size * 0.7
        assert server.sent("/big.bin") - before < BIG.size * 0.7


def test_without_aria2c_one_connection_does_it_and_says_how_to_get_more(
    server: Server, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.write([entry(server, "/big.bin", sha256=BIG.sha256)])
    report = lab.sync(settings=replace(lab.settings(), aria2c="none"))
    assert [row.state for row in report.outcomes] == [State.FETCHED]
    notes = [event.text for event in lab.seen if isinstance(event, Noted)]
    assert len([note for note in notes if "conda install -c conda-forge aria2" in note]) == 1
