"""The broker between aria2 and what must not get to it: links and credentials, asked for afresh, told to nobody else."""

from __future__ import annotations

import http.client
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from conda_assets.errors import AccessDenied, NetworkFailed, UpstreamChanged
from conda_assets.model import Fresh
from conda_assets.settings import Network
from conda_assets.transport import Job
from conda_assets.transport.broker import Broker, Route
from conda_assets.transport.lead import Lead
from engines import MIB, PATIENT, Engine, drive, engines, made_of, written_by
from server import Faults, Server, Virtual

TOKEN = ("Authorization", "Bearer CANARY")
BODY = Virtual(3 * MIB + 7)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def broker() -> Iterator[Broker]:
    with closing(Broker(PATIENT)) as broker:
        yield broker


def said(
    route: Route, headers: dict[str, str] | None = None, method: str = "GET", path: str | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    """What the broker answers on a connection of its own."""
    parts = urlsplit(route.url)
    with closing(http.client.HTTPConnection(parts.netloc, timeout=10)) as connection:
        connection.request(method, path or parts.path, headers=headers or {})
        answer = connection.getresponse()
        return answer, answer.read()


def counted(*answers: Fresh) -> tuple[list[int], Callable[[], Fresh]]:
    """A source that gives these answers, the last for ever, and how often it was asked."""
    asked: list[int] = []

    def ask() -> Fresh:
        asked.append(1)
        return answers[min(len(asked), len(answers)) - 1]

    return asked, ask


def test_a_link_is_led_to_and_kept_while_it_is_good(broker: Broker) -> None:
    asked, ask = counted(Fresh("https://files.invalid/a b?sig=ä%20+/=", (), 3600.0))
    route = broker.route("a", ask)
    for method in ("GET", "HEAD", "GET"):
        answer, body = said(route, method=method)
        assert (answer.status, body) == (302, b"")
        assert answer.getheader("Location") == "https://files.invalid/a%20b?sig=%C3%A4%20+/="
    assert len(asked) == 1


@pytest.mark.parametrize(("good_s", "asks"), [(0.0, 3), (3600.0, 1), (None, 1)])
def test_a_link_is_asked_for_anew_before_it_ends(good_s: float | None, asks: int) -> None:
    asked, ask = counted(Fresh("https://files.invalid/", (), good_s))
    lead = Lead(ask)
    for _ in range(3):
        lead.now()
    assert len(asked) == asks


def test_a_source_is_asked_once_by_many_at_once() -> None:
    asked: list[int] = []
    all_are_here = threading.Barrier(16)

    def ask() -> Fresh:
        asked.append(1)
        all_are_here.wait(10)
        return Fresh("https://files.invalid/", (), 3600.0)

    lead = Lead(ask)
    threads = [threading.Thread(target=lead.now)]
    threads += [threading.Thread(target=lambda: (all_are_here.wait(10), lead.now())) for _ in range(15)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1


def test_who_waited_while_another_was_refused_does_not_ask_again() -> None:
    asked: list[int] = []

    def ask() -> Fresh:
        asked.append(1)
        raise AccessDenied("a", "no")

    class Door:
        """A lock that another one holds, and is refused, while we wait for it."""

        def __enter__(self) -> None:
            with pytest.raises(AccessDenied):
                lead._renew()

        def __exit__(self, *unused: object) -> None:
            return

    lead = Lead(ask)
    real, lead._lock = lead._lock, Door()  # type: ignore[assignment]
    with pytest.raises(AccessDenied):
        lead.now()
    assert len(asked) == 1
    lead._lock = real
    with pytest.raises(AccessDenied):
        lead.now()
    assert len(asked) == 2, "who comes later asks"


def test_only_a_nonce_is_answered(broker: Broker) -> None:
    route = broker.route("a", lambda: Fresh("https://files.invalid/"))
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[0-9a-f]{32}", route.url)
    assert "CANARY" not in repr(Fresh("https://h/CANARY", (TOKEN,)))
    assert route.url not in repr(route)
    path = urlsplit(route.url).path
    for other in ("/", "/" + "0" * 32, path + "/", path + "?x", path[:-1]):
        answer, body = said(route, path=other)
        assert (answer.status, body) == (404, b"")
    assert said(route, method="POST")[0].status == 501
    assert said(route)[0].status == 302
    broker.drop(route)
    assert said(route)[0].status == 404


def test_headers_travel_from_here_and_the_bytes_come_back(broker: Broker, server: Server) -> None:
    url = server.add("/w.bin", BODY, needs=TOKEN, etag="one")
    route = broker.route("a", lambda: Fresh(url, (TOKEN,)))
    whole, body = said(route)
    assert (whole.status, body) == (200, BODY.read(0, BODY.size))
    assert whole.getheader("ETag") == '"one"'
    part, body = said(route, {"Range": "bytes=1000-1999"})
    assert (part.status, body) == (206, BODY.read(1000, 2000))
    assert part.getheader("Content-Range") == f"bytes 1000-1999/{BODY.size}"
    other, _ = said(route, {"Range": "bytes=1000-1999", "If-Range": '"two"'})
    assert other.status == 200
    beyond, _ = said(route, {"Range": f"bytes={BODY.size}-"})
    assert (beyond.status, beyond.getheader("Content-Range")) == (416, f"bytes */{BODY.size}")
    head, body = said(route, method="HEAD")
    assert (head.status, head.getheader("Content-Length"), body) == (200, str(BODY.size), b"")
    assert route.error is None
    assert said(route, {"If-Match": '"two"'})[0].status == 412
    assert isinstance(route.error, UpstreamChanged)


def test_what_aria2_says_of_itself_goes_no_further(broker: Broker, server: Server) -> None:
    url = server.add("/w.bin", b"x", headers={"Set-Cookie": "a=CANARY", "Link": "<http://elsewhere.invalid/>; rel=duplicate"})
    route = broker.route("a", lambda: Fresh(url, (TOKEN,)))
    answer, _ = said(route, {"Cookie": "a=b", "Authorization": "Basic aria2", "Referer": "x", "User-Agent": "aria2"})
    assert {"set-cookie", "link", "location"} & {name.lower() for name in answer.headers} == set()
    (request,) = server.requests
    assert request.headers["authorization"] == TOKEN[1]
    assert request.headers["user-agent"] == "conda-assets"
    assert {"cookie", "referer"} & set(request.headers) == set()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_handed_on_without_the_headers(broker: Broker, server: Server, status: int) -> None:
    server.add("/w.bin", b"body")
    elsewhere = server.url("/w.bin", host="localhost") + "?sig=1"
    server.redirect("/go", elsewhere, status)
    route = broker.route("a", lambda: Fresh(server.redirect("/first", "/go", 302), (TOKEN,)))
    answer, _ = said(route)
    assert (answer.status, answer.getheader("Location")) == (302, elsewhere)
    assert [(request.path, request.headers.get("authorization")) for request in server.requests] == [
        ("/first", TOKEN[1]),
        ("/go", TOKEN[1]),
    ]


@pytest.mark.parametrize("status", [401, 403, 410])
def test_what_is_refused_is_asked_for_anew_once(broker: Broker, server: Server, status: int) -> None:
    old, new = server.add("/old", b"", Faults(status=status)), server.add("/new", b"body")
    asked, ask = counted(Fresh(old, (TOKEN,)), Fresh(new, (TOKEN,)))
    assert said(broker.route("a", ask))[1] == b"body"
    assert len(asked) == 2


def test_a_source_that_insists_is_believed(broker: Broker, server: Server) -> None:
    url = server.add("/w.bin", b"body", needs=("Authorization", "another"))
    asked, ask = counted(Fresh(url, (TOKEN,)))
    route = broker.route("a", ask)
    assert said(route)[0].status == 401
    assert isinstance(route.error, AccessDenied)
    assert (len(asked), len(server.requests)) == (2, 1)
    assert "CANARY" not in str(route.error)


def test_what_a_source_objects_to_is_kept_for_the_report(broker: Broker) -> None:
    def refuse() -> Fresh:
        raise AccessDenied("a", "accept the licence first")

    route = broker.route("a", refuse)
    assert said(route)[0].status == 500
    assert route.error is not None
    assert route.error.message == "a: accept the licence first"


def test_an_origin_that_cannot_be_reached_is_worth_another_try(broker: Broker) -> None:
    route = broker.route("a", lambda: Fresh("http://127.0.0.1:1/w.bin", (TOKEN,)))
    assert said(route)[0].status == 502
    assert isinstance(route.error, NetworkFailed)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_cut_there_is_a_cut_here(broker: Broker, server: Server, chunked: bool) -> None:
    url = server.add("/w.bin", BODY, cut_after=MIB, cut_by="close", chunked=chunked)
    route = broker.route("a", lambda: Fresh(url, (TOKEN,)))
    with pytest.raises(http.client.IncompleteRead) as caught:
        said(route)
    assert BODY.read(0, BODY.size).startswith(caught.value.partial)
    assert isinstance(route.error, NetworkFailed)


@pytest.mark.parametrize("framing", ["chunked", "no_length"])
def test_a_body_of_unknown_length_comes_whole(broker: Broker, server: Server, framing: str) -> None:
    url = server.add("/w.bin", BODY, Faults(**{framing: True}))  # type: ignore[arg-type]
    assert said(broker.route("a", lambda: Fresh(url, (TOKEN,))))[1] == BODY.read(0, BODY.size)


def test_a_header_of_several_lines_brings_no_other_header(broker: Broker, server: Server) -> None:
    url = server.add("/w.bin", b"x", headers={"ETag": '"a"\r\n Location: http://elsewhere.invalid/'}, etag=None)
    answer, body = said(broker.route("a", lambda: Fresh(url, (TOKEN,))))
    assert (answer.status, body, answer.getheader("Location")) == (200, b"x", None)


def test_a_connection_serves_many_requests(broker: Broker, server: Server) -> None:
    url = server.add("/w.bin", BODY)
    led, carried = broker.route("a", lambda: Fresh(url)), broker.route("b", lambda: Fresh(url, (TOKEN,)))
    with closing(http.client.HTTPConnection(urlsplit(led.url).netloc, timeout=10)) as connection:
        for number in range(20):
            connection.request(
                "GET", urlsplit((led, carried)[number % 2].url).path, headers={"Range": f"bytes={number}-{number}"}
            )
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == ((302, b""), (206, BODY.read(number, number + 1)))[number % 2]
    assert server.accepted == 1


def test_closing_ends_every_thread_and_file(server: Server) -> None:
    url = server.add("/w.bin", BODY, stall_after=1000)
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    with closing(Broker(PATIENT)) as broker:
        route = broker.route("a", lambda: Fresh(url, (TOKEN,)))
        parts = urlsplit(route.url)
        idle, busy = (http.client.HTTPConnection(parts.netloc, timeout=10) for _ in range(2))
        idle.connect()
        busy.request("GET", parts.path)
        assert busy.getresponse().read(1000) == BODY.read(0, 1000)
        began = time.monotonic()
        broker.close()
        assert time.monotonic() - began < 3
    for connection in (idle, busy):
        connection.close()
    server.wait(lambda: all(request.done for request in server.requests))
    deadline = time.monotonic() + 5
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= threads
    if files:
        # What the server keeps open: the body's file, and the connection until its thread has ended.
        assert len(os.listdir("/proc/self/fd")) <= files + 1
    with pytest.raises(OSError, match="refused"):
        said(route)


# Through the transports


@pytest.fixture(params=engines())
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    scratch = tmp_path / "scratch"
    scratch.mkdir(mode=0o700)
    made = made_of(request.param, scratch)
    yield made
    for transport in made.open:
        transport.close()


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "staging"
    folder.mkdir(mode=0o700)
    return folder / "data"


@pytest.mark.slow
@pytest.mark.parametrize("carried", [False, True], ids=["led", "carried"])
def test_all_connections_are_used(engine: Engine, into: Path, carried: bool) -> None:
    content = Virtual(48 * MIB)
    with Server(rate=4_000_000, link=80_000_000) as server:
        url = server.add("/w.bin", content)
        fresh = Fresh(url, (TOKEN,) if carried else (), 3600.0)
        job = Job("a", ("s3://shown/only",), into, content.size, fresh={"s3://shown/only": lambda: fresh})
        if not engine.is_aria2:
            content = Virtual(2 * MIB)
            server.add("/w.bin", content)
            job = Job("a", job.urls, into, content.size, fresh=job.fresh)
        with closing(engine()) as transport:
            most = [0]

            def count(tiding: object) -> bool:
                most[0] = max(most[0], getattr(tiding, "connections", 0))
                return False

            last = drive(transport, [job], until=count)["a"]
        assert last.done, last
        assert written_by(into, content)
        assert server.sent() == content.size
        assert most[0] == (16 if engine.is_aria2 else 1)


def test_a_file_without_ranges_or_size_comes_through(engine: Engine, into: Path) -> None:
    with Server() as server:
        url = server.add("/w.bin", BODY, chunked=True)
        job = Job("a", (url,), into, None, resumable=False, fresh={url: lambda: Fresh(url, (TOKEN,))})
        assert engine.bring(job).done
        assert written_by(into, BODY)


def test_the_true_cause_is_told_and_not_the_brokers_status(engine: Engine, into: Path) -> None:
    with Server() as server:
        url = server.add("/w.bin", BODY, needs=("Authorization", "another"))
        last = engine.bring(Job("a", (url,), into, BODY.size, fresh={url: lambda: Fresh(url, (TOKEN,))}))
        assert isinstance(last.error, AccessDenied)
        assert last.error.message == f"a: {url} answers 401 (Unauthorized)"


@pytest.mark.slow
def test_a_link_that_lives_for_a_moment_is_used_from_here(engine: Engine, into: Path) -> None:
    content = Virtual(16 * MIB)
    with Server(rate=1_000_000 if engine.is_aria2 else None, link=8_000_000) as server:
        url = server.add("/w.bin", content, signed=True)

        def ask() -> Fresh:
            return Fresh(f"{url}?until={time.time() + 0.6}", (), 0.6)

        last = engine.bring(Job("a", (url,), into, content.size, fresh={url: ask}))
        assert last.done, last
        assert written_by(into, content)
        assert server.sent() == content.size


def test_a_proxy_is_not_asked_for_the_broker(engine: Engine, into: Path) -> None:
    with Server() as proxy:
        proxy.add("/w.bin", BODY)
        network = Network(proxies=(("http", proxy.url()),), connect_timeout_s=5, read_timeout_s=5)
        url = "http://files.invalid/w.bin"
        for number, headers in enumerate(((), (TOKEN,))):
            fresh = Fresh(url, headers)
            last = engine.bring(Job(f"j{number}", (url,), into, BODY.size, fresh={url: lambda fresh=fresh: fresh}), network)  # type: ignore[misc]
            assert last.done, last
            into.unlink()
        assert {request.headers["host"] for request in proxy.requests} == {"files.invalid"}
