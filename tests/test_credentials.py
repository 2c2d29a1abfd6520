"""What we were given to show to one host is shown to that host, and to nobody and nowhere else."""

from __future__ import annotations

import base64
import os
import threading
import time
import traceback
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from conda_assets.api.engine import make_transport
from conda_assets.api.sync import sync
from conda_assets.digest import Digest
from conda_assets.errors import AccessDenied, DigestMismatch
from conda_assets.events import Event, Progressed, Retrying
from conda_assets.fetch import Arrival, Limits, Want, fetch
from conda_assets.model import Asset, Fresh, Locked, State
from conda_assets.settings import Settings
from conda_assets.sources import http
from conda_assets.store import open_stores
from engines import ARIA2CS, MIB
from lab import Lab
from server import Faults, Request, Server, Virtual

pytestmark = pytest.mark.slow

CANARY = "CANARY-5e1d0c7a"
HEADERS = {"Authorization": "Bearer ${TOKEN}", "X-Api-Key": "${TOKEN}"}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("TOKEN", CANARY)
    return Lab(tmp_path)


@pytest.fixture(params=["aria2", "plain"])
def settings(request: pytest.FixtureRequest, lab: Lab) -> Settings:
    if request.param == "plain":
        return replace(lab.settings(), aria2c="none")
    if not ARIA2CS:
        pytest.skip("no usable aria2c")
    return lab.settings()


def shown_to(requests: list[Request], host: str) -> list[Request]:
    """The requests to that host which a secret came with."""
    mine = [request for request in requests if request.headers["host"].startswith(host + ":")]
    return [request for request in mine if CANARY in str((request.headers, request.query, request.path))]


def command_lines() -> bytes:
    """Of every process of this machine that we may look at."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(each.read_bytes())
        except OSError:
            continue
    return b"\n".join(found)


def files_with(canary: str, *folders: Path) -> list[Path]:
    return [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and canary.encode() in path.read_bytes()
    ]


@pytest.mark.slow
@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_to_another_host_takes_no_header_along_even_on_resume(lab: Lab, settings: Settings, status: int) -> None:
    content = Virtual(12 * MIB)
    with Server(rate=2_000_000 if settings.aria2c != "none" else None, link=16_000_000) as server:
        server.add("/w.bin", content)
        server.redirect("/elsewhere", server.url("/w.bin", host="localhost"), status)
        asked = server.redirect("/asked", "/elsewhere", 302)
        lab.write([{"name": "w", "url": asked, "sha256": content.sha256, "headers": HEADERS}])

        def stop_half_way(event: Event) -> None:
            if isinstance(event, Progressed) and event.done_bytes > 4 * MIB:
                assert CANARY.encode() not in command_lines()
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            sync(lab.spec(), lab.target(), settings, watch=stop_half_way)
        (row,) = lab.sync(settings=settings).outcomes
        assert (row.state, row.sha256) == (State.FETCHED, content.sha256), row.because
        assert row.bytes_fetched < 9 * MIB, "the second run goes on"
        assert shown_to(server.requests, "localhost") == []
        # Both were asked in both runs, and the host that the headers are for was shown them each time.
        ours = [request for request in server.requests if request.headers["host"].startswith("127.0.0.1:")]
        assert shown_to(server.requests, "127.0.0.1") == ours
        assert len([request for request in ours if request.path == "/asked"]) >= 4
    assert files_with(CANARY, lab.folder, Path(os.environ["HOME"])) == []


def test_headers_reach_every_part_of_a_guarded_file(lab: Lab, settings: Settings) -> None:
    content = Virtual(12 * MIB)
    with Server() as server:
        url = server.add("/w.bin", content, needs=("X-Api-Key", CANARY))
        lab.write([{"name": "w", "url": url, "sha256": content.sha256, "headers": HEADERS}])
        (row,) = lab.sync(settings=settings).outcomes
        assert row.state is State.FETCHED, row.because
        assert shown_to(server.requests, "127.0.0.1") == server.requests
        assert CANARY not in repr((lab.seen, row))


def test_a_broker_is_there_when_it_is_needed_and_gone_with_the_run(lab: Lab, settings: Settings) -> None:
    content = Virtual(8 * MIB)
    before, during = threading.active_count(), set()

    def look(event: Event) -> None:
        during.update(thread.name for thread in threading.enumerate())

    with Server(rate=2_000_000 if settings.aria2c != "none" else None, link=16_000_000) as server:
        plain = {"name": "plain", "url": server.add("/plain.bin", Virtual(2 * MIB)), "sha256": Virtual(2 * MIB).sha256}
        url = server.add("/w.bin", content, needs=("X-Api-Key", CANARY))
        for entry, brokers in ((plain, set()), ({"name": "w", "url": url, "headers": HEADERS}, {"broker"})):
            lab.write([entry])
            during.clear()
            (row,) = sync(lab.spec(), lab.target(), settings, watch=look).outcomes
            assert row.state is State.FETCHED, row.because
            assert during & {"broker"} == (brokers if settings.aria2c != "none" else set())
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before, [thread.name for thread in threading.enumerate()]


def test_a_mirror_beside_a_guarded_file_is_shown_nothing(lab: Lab, settings: Settings) -> None:
    content = Virtual(12 * MIB)
    with Server() as server:
        url = server.add("/w.bin", content, needs=("X-Api-Key", CANARY))
        mirror = server.url("/copy.bin", host="localhost")
        server.add("/copy.bin", content)
        lab.write([{"name": "w", "url": url, "mirrors": [mirror], "sha256": content.sha256, "headers": HEADERS}])
        assert lab.sync(settings=settings).outcomes[0].state is State.FETCHED
        assert shown_to(server.requests, "localhost") == []
        server.add("/w.bin", content, Faults(status=404))
        assert lab.sync("second", settings=replace(settings, stores=(lab.folder / "second",))).outcomes[0].state is State.FETCHED
        assert shown_to(server.requests, "localhost") == []


def test_a_password_in_a_url_goes_to_its_host_only(lab: Lab, settings: Settings) -> None:
    content = Virtual(4 * MIB)
    with Server() as server:
        server.add("/w.bin", content)
        server.add("/guarded.bin", content, user=f"me:{CANARY}")
        guarded = server.url("/guarded.bin").replace("://", "://me:${TOKEN}@")
        server.add("/go", b"", Faults(redirect=server.url("/w.bin", host="localhost")))
        led = server.url("/go").replace("://", "://me:${TOKEN}@")
        lab.write(
            [
                {"name": "guarded", "url": guarded, "hash": "md5:" + content.digest("md5")},
                {"name": "led", "url": led, "hash": "sha1:" + content.digest("sha1")},
            ]
        )
        report = lab.sync(settings=settings)
        assert [row.state for row in report.outcomes] == [State.FETCHED, State.FETCHED], [row.because for row in report.outcomes]
        encoded = base64.b64encode(f"me:{CANARY}".encode()).decode()
        for request in server.requests:
            assert (encoded in str(request.headers)) == request.headers["host"].startswith("127.0.0.1"), request
        assert CANARY not in repr(report)
    assert files_with(CANARY, lab.folder, Path(os.environ["HOME"])) == []
    assert files_with(encoded, lab.folder, Path(os.environ["HOME"])) == []


@pytest.mark.parametrize("needs", [CANARY, "another"], ids=["accepted", "refused"])
def test_the_program_says_no_secret_anywhere(lab: Lab, needs: str) -> None:
    with Server() as server:
        url = server.add("/w.bin", Virtual(2 * MIB), needs=("X-Api-Key", needs))
        lab.write([{"name": "w", "url": f"{url}?token=${{TOKEN}}", "headers": HEADERS}])
        prefix = str(lab.prefix())
        for words in (("sync", "-v", "--json"), ("sync", "-v", "-v"), ("status", "--json"), ("list", "--json")):
            said = lab.run(*words, "-p", prefix)
            assert CANARY not in said.out + said.err, words
            if words[0] == "sync":
                assert said.status == (0 if needs == CANARY else 1), said.err
    # The spec itself only names the variable.
    assert files_with(CANARY, lab.folder, Path(os.environ["HOME"])) == []


def test_no_error_shows_a_secret(lab: Lab, settings: Settings) -> None:
    with Server() as server:
        url = server.add("/w.bin", Virtual(2 * MIB), Faults(needs=("X-Api-Key", "another")))
        lab.write([{"name": "w", "url": f"{url}?token=${{TOKEN}}", "headers": HEADERS}])
        (row,) = lab.sync(settings=settings).outcomes
        assert isinstance(row.error, AccessDenied)
        said = "".join(traceback.format_exception(row.error)) + repr(row) + str(row.error.to_json())
        assert CANARY not in said


# Links of a publisher's


def brought(settings: Settings, locked: Locked, *, seen: list[Event] | None = None) -> Arrival:
    """The end of one want whose publisher says that."""
    store = open_stores(settings.stores)
    watch = (seen if seen is not None else []).append
    arrivals = fetch(
        [Want("key", (locked.asset,))],
        store=store,
        transport=lambda: make_transport(settings, store, os.environ, watch),
        probe=lambda asset, url: locked if url == locked.url else http.probe(asset, url, settings.network),
        limits=Limits(tries=3),
        watch=watch,
    )
    with closing(arrivals):  # type: ignore[type-var]
        (arrival,) = arrivals
    return arrival


def promised(url: str, content: Virtual, **rest: object) -> Locked:
    asset = Asset(name="w", url="s3://bucket/w.bin", path="w")
    known = {
        "digest": Digest("md5", content.digest("md5")),
        "vouched_by": "the bucket",
        "fresh": lambda: Fresh(f"{url}?until={time.time() + 1}", (), 1.0),
        **rest,
    }
    blank = Locked(asset, asset.url, asset.url, content.size, None, None, resumable=True, same_host=True)
    return replace(blank, **known)  # type: ignore[arg-type]


@pytest.mark.parametrize("size_mib", [48, pytest.param(200, marks=pytest.mark.slow)])
def test_links_that_end_and_connections_that_are_cut_cost_only_time(settings: Settings, size_mib: int) -> None:
    content = Virtual(size_mib * MIB)
    with Server(rate=3_000_000 if settings.aria2c != "none" else None, link=32_000_000) as server:
        url = server.add("/w.bin", content, signed=True, cut_each=2_000_000)
        arrival = brought(settings, promised(url, content))
        assert arrival.error is None
        assert arrival.stored is not None
        assert arrival.stored.sha256 == content.sha256
        assert server.sent() <= content.size * 1.1


@pytest.mark.slow
def test_a_link_that_ends_before_it_was_said_to_is_given_anew(settings: Settings) -> None:
    content = Virtual(24 * MIB)
    with Server(rate=1_000_000 if settings.aria2c != "none" else None, link=12_000_000) as server:
        url = server.add("/w.bin", content, signed=True)
        seen: list[Event] = []
        fresh = lambda: Fresh(f"{url}?until={time.time() + 1}")  # noqa: E731 - each call is another link
        arrival = brought(settings, promised(url, content, fresh=fresh), seen=seen)
        assert arrival.error is None
        assert arrival.stored is not None
        assert server.sent() <= content.size * 1.1
        if settings.aria2c != "none":
            assert [event.after_s for event in seen if isinstance(event, Retrying)] != []


def test_a_publisher_that_never_gives_a_good_link_is_given_up(settings: Settings) -> None:
    content = Virtual(3 * MIB)
    with Server() as server:
        url = server.add("/w.bin", content, signed=True)
        arrival = brought(settings, promised(url, content, fresh=lambda: Fresh(f"{url}?until=1&sig={CANARY}")))
        assert isinstance(arrival.error, AccessDenied)
        assert len(server.requests) <= 40
        assert CANARY not in repr(arrival)


def test_bytes_that_the_publisher_does_not_vouch_for_are_refused_by_name(settings: Settings) -> None:
    content = Virtual(3 * MIB)
    with Server() as server:
        url = server.add("/w.bin", Virtual(3 * MIB, seed=1), signed=True)
        error = brought(settings, promised(url, content)).error
        assert isinstance(error, DigestMismatch)
        assert (error.algorithm, error.expected, error.vouched_by) == ("md5", content.digest("md5"), "the bucket")
        assert "(says the bucket)" in error.message
        assert "relock" not in [hint.code for hint in error.hints]


def test_what_the_store_has_by_the_publishers_word_is_not_fetched(settings: Settings) -> None:
    content = Virtual(3 * MIB)
    with Server() as server:
        url = server.add("/w.bin", content, signed=True)
        first = brought(settings, promised(url, content))
        server.forget()
        other = Asset(name="other", url="s3://bucket/other", path="other")
        second = brought(settings, replace(promised(url, content), asset=other, url=other.url))
        assert (first.fetched, second.fetched) == (True, False)
        assert second.stored == first.stored
        assert server.requests == []


def test_further_urls_of_the_publishers_are_used_and_blamed_alone(settings: Settings) -> None:
    content = Virtual(8 * MIB)
    with Server() as server, Server() as second:
        poisoned = server.add("/w.bin", Virtual(8 * MIB, seed=1), signed=True)
        also = second.add("/w.bin", content)
        arrival = brought(settings, promised(poisoned, content, also_at=(also,)))
        assert arrival.error is None
        assert arrival.stored is not None
        assert arrival.stored.sha256 == content.sha256
        assert second.sent() >= content.size


def test_a_header_is_for_its_port_too(lab: Lab, settings: Settings) -> None:
    content = Virtual(2 * MIB)
    with Server() as server, Server() as elsewhere:
        asked = server.redirect("/go", elsewhere.add("/w.bin", content))
        lab.write([{"name": "w", "url": asked, "sha256": content.sha256, "headers": HEADERS}])
        assert lab.sync(settings=settings).outcomes[0].state is State.FETCHED
        assert shown_to(elsewhere.requests, "127.0.0.1") == []
        assert shown_to(server.requests, "127.0.0.1") == server.requests
