"""What servers do wrong, row by row: a whole sync ends in the right bytes or in an error that says what, where and what next.

Each row is fetched twice, with its sha256 and without, by each engine of this machine; all rows of an engine in one sync.
docs/faults.md says the same for people.
"""

from __future__ import annotations

import email.utils
import hashlib
import os
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

import hostile
from conda_assets import spec
from conda_assets.api.sync import sync
from conda_assets.errors import (
    AccessDenied,
    AssetFailed,
    AssetsError,
    DigestMismatch,
    DiskFull,
    InsecureRedirect,
    NetworkFailed,
    NotTheFile,
    NotThere,
    UpstreamChanged,
)
from conda_assets.model import Outcome, Report, Target
from conda_assets.settings import load
from conda_assets.transport.answers import Answer, Answers, trouble_with
from engines import engines
from hostile import Talk, head, tag
from server import Request, Server

BODY = random.Random(11).randbytes(1_300_000)
OTHER = random.Random(12).randbytes(1_300_000)
DOCS = Path(__file__).parent.parent / "docs" / "faults.md"
# Nothing here takes longer: limits of 1 s each, five tries, waits of 0.5 to 4 s.
MOST_S = 90.0

Kinds = type[AssetsError] | tuple[type[AssetsError], ...] | str
RIGHT = "right"
#: Nobody can tell without a hash: the server is consistent in what it says.
BELIEVED = "believed"
#: The file, or all of the other one that the server has: never parts of both.
EITHER = "either"


@dataclass(frozen=True)
class Row:
    """`hashed`, `bare`: how it ends with a sha256 and without. `faults`: of the test server; `talk`: instead of them."""

    hashed: Kinds = RIGHT
    bare: Kinds | None = None
    faults: dict[str, object] = field(default_factory=dict)
    talk: Callable[[bytes], Talk] | None = None

    def expected(self, hashed: bool) -> Kinds:
        return self.hashed if hashed or self.bare is None else self.bare


def faulty(hashed: Kinds = RIGHT, bare: Kinds | None = None, **faults: object) -> Row:
    return Row(hashed, bare, faults)


def spoken(talk: Callable[[bytes], Talk], hashed: Kinds = RIGHT, bare: Kinds | None = None) -> Row:
    return Row(hashed, bare, talk=talk)


def _other(body: bytes) -> bytes:
    """Another version of the file, of the same length."""
    return OTHER[: len(body)] + body[len(OTHER) :]


ROWS = {
    # Ranges
    "no ranges": faulty(no_ranges=True),
    "200 to a range": faulty(range_200=True),
    "416 to every range": faulty(range_416=True),
    "403 to every later range": spoken(
        lambda body: _later(head("403 Forbidden", "Content-Length: 0"), body),
    ),
    "429 to every later range": spoken(lambda body: _later(head("429 Too Many Requests", "Content-Length: 0"), body)),
    "Content-Range lies about the start": spoken(
        lambda body: hostile.named_otherwise(body, lambda a, b, n: f"{a + 7}-{b + 7}/{n}"), (NetworkFailed, RIGHT)
    ),
    "Content-Range lies about the end": spoken(
        lambda body: hostile.named_otherwise(body, lambda a, b, n: f"{a}-{b - 7}/{n}"), (NetworkFailed, RIGHT)
    ),
    "Content-Range lies about the total": spoken(
        lambda body: hostile.named_otherwise(body, lambda a, b, n: f"{a}-{b}/{n + 7}"), (UpstreamChanged, RIGHT)
    ),
    "Content-Range is nonsense": spoken(
        lambda body: hostile.named_otherwise(body, lambda a, b, n: "pages 1-2 of three"), (NetworkFailed, RIGHT)
    ),
    "206 for more than asked": spoken(lambda body: hostile.widened(body, 0, 1000), (NetworkFailed, RIGHT)),
    "206 for less than asked": spoken(lambda body: hostile.widened(body, 0, -1000), (NetworkFailed, RIGHT)),
    "206 that overlaps": spoken(lambda body: hostile.widened(body, 1000, 0), (NetworkFailed, RIGHT)),
    "206 multipart": spoken(lambda body: hostile.multipart(body)),
    "unknown total": spoken(lambda body: hostile.named_otherwise(body, lambda a, b, n: f"{a}-{b}/*")),
    "right headers, another part": faulty((DigestMismatch, RIGHT), BELIEVED, shifted_body=4096),
    "ranges off by one": spoken(lambda body: hostile.off_by_one(body), (DigestMismatch, RIGHT), BELIEVED),
    "one connection of many lies": spoken(lambda body: hostile.one_of_many_lies(body), (DigestMismatch, RIGHT), BELIEVED),
    "206 in chunks": spoken(lambda body: hostile.recoded_parts(body)),
    "some parts are of another version, by ETag": spoken(
        lambda body: hostile.some(body, hostile.parts_of(_other(body), 'ETag: "other"'), 4),
        (DigestMismatch, RIGHT),
        (UpstreamChanged, EITHER),
    ),
    "some parts are of another version, by date": spoken(
        lambda body: hostile.some(body, hostile.parts_of(_other(body), "Last-Modified: Mon, 02 Jan 2023 00:00:00 GMT"), 4),
        (DigestMismatch, RIGHT), (UpstreamChanged, EITHER),
    ),
    "some parts are pages": spoken(
        lambda body: hostile.some(body, hostile.parts_of(_other(body), "Content-Type: text/html; charset=utf-8", tag(body)), 4),
        (DigestMismatch, RIGHT), (UpstreamChanged, NotTheFile, RIGHT),
    ),
    "some parts are compressed": spoken(
        lambda body: hostile.some(body, hostile.parts_of(_other(body), "Content-Encoding: gzip", tag(body)), 4),
        (DigestMismatch, NotTheFile, RIGHT), (UpstreamChanged, NotTheFile, RIGHT),
    ),
    # Refusals and patience
    "503 twice": faulty(status=503, first=2),
    "503 always": faulty(NetworkFailed, status=503),
    "429 once": faulty(status=429, retry_after="1", first=1),
    "429 always": faulty(NetworkFailed, status=429),
    "408 once": faulty(status=408, first=1),
    "425 once": faulty(status=425, first=1),
    "500 once": faulty(status=500, first=1),
    "520 once": faulty(status=520, first=1),
    "Retry-After is negative": faulty(status=503, retry_after="-5", first=1),
    "Retry-After is nonsense": faulty(status=503, retry_after="soon", first=1),
    "Retry-After is long past": faulty(status=503, retry_after="Mon, 01 Jan 1990 00:00:00 GMT", first=1),
    "Retry-After is a week": faulty(NetworkFailed, status=503, retry_after="604800", first=1),
    "Retry-After is in the year 9999": faulty(NetworkFailed, status=503, retry_after="Fri, 31 Dec 9999 23:59:59 GMT", first=1),
    "Retry-After is a date": faulty(
        status=503, retry_after=email.utils.formatdate(time.time() + 20, usegmt=True), first=1
    ),
    "Retry-After is a year from now": faulty(
        NetworkFailed, status=503, retry_after=email.utils.formatdate(time.time() + 31_536_000, usegmt=True)
    ),
    "400": faulty(AssetFailed, status=400),
    "405": faulty(AssetFailed, status=405),
    "501": faulty(AssetFailed, status=501),
    "404 after the probe": spoken(lambda body: hostile.only_probed(body, head("404 Not Found", "Content-Length: 0")), NotThere),
    "401 after the probe": spoken(
        lambda body: hostile.only_probed(body, head("401 Unauthorized", "WWW-Authenticate: Basic", "Content-Length: 0")),
        AccessDenied,
    ),
    "404": faulty(NotThere, status=404),
    "410": faulty(NotThere, status=410),
    "401": faulty(AccessDenied, user="somebody:else"),
    "403": faulty(AccessDenied, status=403),
    "451": faulty(AssetFailed, status=451),
    "204": faulty(AssetFailed, status=204),
    "304": faulty(AssetFailed, status=304),
    "403 above two connections": faulty(max_connections=2, over_status=403),
    "503 above two connections": faulty(max_connections=2, over_status=503),
    "429 above two connections": faulty(max_connections=2, over_status=429),
    # Connections
    "reset once": faulty(cut_after=100_000, first=3),
    "end once": faulty(cut_after=100_000, cut_by="close", first=3),
    "reset in every answer": faulty(cut_after=100_000),
    "end in every answer": faulty(cut_after=100_000, cut_by="close"),
    "end after ten bytes": spoken(lambda body: hostile.closing_often(body, 10), NetworkFailed),
    "stall once": faulty(stall_after=100_000, first=3),
    "stall always": faulty(NetworkFailed, stall_after=1000),
    "silence": spoken(lambda _: hostile.silent, NetworkFailed),
    "a header drips": faulty(NetworkFailed, slow_header=0.2),
    "a header has no end": spoken(lambda _: hostile.endless_header, (NetworkFailed, AssetFailed)),
    "a header of 60 kB": faulty(huge_header=60_000),
    "a header of 1 MB": faulty(NetworkFailed, huge_header=1_000_000),
    "1,000 headers": faulty(NetworkFailed, extra=tuple((f"X-{n}", "v" * 60) for n in range(1000))),
    "a header is cut off": spoken(lambda _: hostile.raw(b"HTTP/1.1 200 OK\r\nContent-Ty"), NetworkFailed),
    "a header is cut off at a line": spoken(lambda _: hostile.raw(b"HTTP/1.1 200 OK\r\nAge: 1\r\n"), NetworkFailed),
    "a header is cut off now and then": spoken(
        lambda body: hostile.some(body, hostile.raw(b"HTTP/1.1 206 Partial Content\r\nContent-Ty"))
    ),
    "a line of a header a second": spoken(
        lambda _: hostile.without_end(b"HTTP/1.1 200 OK\r\n", b"X-More: x\r\n", 0.5), NetworkFailed
    ),
    "reset above two connections": spoken(lambda body: hostile.hanging_up_above(body, 2)),
    "reset after the probe": spoken(lambda body: hostile.only_probed(body, b""), NetworkFailed),
    "100 without end": spoken(lambda _: hostile.without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.05), NetworkFailed),
    "103 before every answer": spoken(lambda body: hostile.hinted(body)),
    "101": spoken(lambda _: hostile.raw(head("101 Switching Protocols", "Upgrade: h2c")), AssetFailed),
    "100 before every answer": spoken(lambda body: hostile.after_continue(body)),
    "no HTTP at all": spoken(lambda _: hostile.raw(b"SSH-2.0-OpenSSH_9.6\r\n"), (NetworkFailed, AssetFailed)),
    # Lengths
    "Content-Length is too large": spoken(lambda body: hostile.lengths(body, len(body) + 1000), NetworkFailed),
    "Content-Length is too small": spoken(
        lambda body: hostile.lengths(body, len(body) - 1000), (DigestMismatch, NetworkFailed), BELIEVED
    ),
    "two Content-Lengths": spoken(
        lambda body: hostile.lengths(body, len(body), len(body) - 1000), (RIGHT, AssetFailed, DigestMismatch)
    ),
    "chunked": faulty(chunked=True),
    "chunked with a trailer": spoken(lambda body: hostile.chunks(body, trailer=True)),
    "chunked, cut": spoken(lambda body: hostile.chunks(body, stop_at=500_000), NetworkFailed),
    "chunked, with nonsense": spoken(lambda body: hostile.chunks(body, size_line="zz"), (NetworkFailed, AssetFailed)),
    "a chunk of 2^64 bytes": spoken(lambda body: hostile.chunks(body, size_line="ffffffffffffffff"), NetworkFailed),
    "a chunk of less than none": spoken(lambda body: hostile.chunks(body, size_line="-5"), NetworkFailed),
    "2^63 bytes": spoken(lambda body: hostile.named(1 << 63), DiskFull),
    "no length": faulty(RIGHT, NotTheFile, no_length=True),
    "no length, cut": faulty((DigestMismatch, NetworkFailed), NotTheFile, no_length=True, cut_after=500_000, cut_by="close"),
    "HTTP/1.0": spoken(lambda body: hostile.old(body)),
    "HTTP/0.9": spoken(lambda body: hostile.old(body, "0.9"), (NetworkFailed, AssetFailed)),
    # Content
    "a bit flips always": faulty(DigestMismatch, BELIEVED, flip=(900_000,)),
    "a bit flips once": faulty((RIGHT, DigestMismatch), BELIEVED, flip=(900_000,), first=3),
    "an HTML page": faulty(NotTheFile, html=True),
    "an HTML page after the probe": spoken(
        lambda body: hostile.only_probed(body, head("200 OK", "Content-Type: text/html", "Content-Length: 9") + b"<html/>\r\n"),
        AssetFailed,
    ),
    "an HTML page now and then": spoken(
        lambda body: hostile.some(
            body, hostile.raw(head("200 OK", "Content-Type: text/html", "Content-Length: 9") + b"<html/>\r\n")
        )
    ),
    "404 with a page without end": spoken(
        lambda _: hostile.without_end(head("404 Not Found", "Transfer-Encoding: chunked"), b"4\r\nmore\r\n", 0.01), NotThere
    ),
    "an empty file": faulty(NotTheFile, empty=True),
    "an empty file after the probe": spoken(
        lambda body: hostile.only_probed(body, head("200 OK", "Content-Length: 0")), AssetFailed
    ),
    "gzip": faulty(NotTheFile, gzip=True),
    "br after the probe": spoken(
        lambda body: hostile.only_probed(body, head("200 OK", "Content-Encoding: br", "Content-Length: 9") + b"br br br\n"),
        (AssetFailed, DigestMismatch),
    ),
    "a Metalink instead": faulty(extra=(("Content-Type", "application/metalink4+xml"),)),
    "Content-Disposition climbs": faulty(extra=(("Content-Disposition", 'attachment; filename="../../../x"'),)),
    "Content-Disposition is absolute": faulty(extra=(("Content-Disposition", "attachment; filename*=UTF-8''%2Fetc%2Fx"),)),
    "Content-Disposition is long": faulty(extra=(("Content-Disposition", f"attachment; filename={'x' * 4000}"),)),
    # Versions
    "replaced meanwhile, marked": spoken(
        lambda body: hostile.swapped(body, OTHER, 1, marks=True), (DigestMismatch, UpstreamChanged), BELIEVED
    ),
    "replaced meanwhile, unmarked": spoken(
        lambda body: hostile.swapped(body, OTHER, 1, marks=False), (DigestMismatch, UpstreamChanged), BELIEVED
    ),
    "another ETag each time": spoken(lambda body: hostile.restless(body)),
    "a weak ETag": spoken(lambda body: hostile.honest(body, 'ETag: W/"1"')),
    "an ETag of nonsense": spoken(lambda body: hostile.honest(body, "ETag: \x7f\xff,,\"\"\"", "Last-Modified: yesterday")),
    "modified in the future": spoken(
        lambda body: hostile.honest(body, "Last-Modified: Fri, 01 Jan 2100 00:00:00 GMT", "Age: -7")
    ),
    "If-Match is refused always": faulty(refuse_if_match=True),
    # Redirects
    "a redirect loop": faulty(InsecureRedirect, loop=True),
    "a redirect to a file": faulty(InsecureRedirect, redirect="file:///etc/passwd"),
    "a redirect to ftp": faulty(InsecureRedirect, redirect="ftp://127.0.0.1/x"),
    "a redirect to nowhere": faulty((InsecureRedirect, NetworkFailed, AssetFailed), redirect="http://"),
    "a redirect to nonsense": faulty((InsecureRedirect, AssetFailed, NetworkFailed), redirect="http://[::1/x"),
    "a redirect to data": faulty(InsecureRedirect, redirect="data:text/plain,hello"),
    "a redirect to a file after the probe": spoken(
        lambda body: hostile.leading(body, "file:///etc/passwd"), InsecureRedirect
    ),
    "a redirect to ftp after the probe": spoken(lambda body: hostile.leading(body, "ftp://127.0.0.1/x"), InsecureRedirect),
    "a redirect without a place": spoken(lambda _: hostile.raw(head("302 Found", "Content-Length: 0")), AssetFailed),
    "300": spoken(lambda _: hostile.raw(head("300 Multiple Choices", "Content-Length: 0", "Location: /x")), AssetFailed),
}  # fmt: skip


def _later(answer: bytes, content: bytes) -> Talk:
    """The first part is served, and every later one gets that answer."""

    def talk(connection: object, request: object) -> bool:
        asked = hostile.span(request, len(content))  # type: ignore[arg-type]
        if asked and asked[0]:
            connection.sendall(answer)  # type: ignore[attr-defined]
            return True
        return hostile.honest(content, tag(content))(connection, request)  # type: ignore[arg-type]

    return talk


# ---- one sync an engine


@dataclass
class Told:
    """How the sync of one engine ended."""

    outcomes: dict[str, Outcome]
    took_s: float
    folder: Path


def content(number: int, hashed: bool) -> bytes:
    """Another one for each asset: what has the same digest is fetched once."""
    return BODY + f"{number}{hashed}".encode()


def _sync(server: Server, folder: Path, engine: object) -> Told:
    assets = []
    for number, row in enumerate(ROWS.values()):
        for hashed in (True, False):
            name = f"r{number}{'h' if hashed else 'b'}"
            path, body = f"/{_kind(engine)}/{name}.bin", content(number, hashed)
            url = server.speak(path, row.talk(body)) if row.talk else server.add(path, body, **row.faults)
            digest = {"sha256": hashlib.sha256(body).hexdigest()} if hashed else {}
            assets.append({"name": name, "url": f"{url}?sig=canary", **digest})
    began = time.monotonic()
    report = run_sync(folder, engine, assets)
    return Told({row.name: row for row in report.outcomes}, time.monotonic() - began, folder)


def run_sync(folder: Path, engine: object, assets: Sequence[object]) -> Report:
    """A sync by that engine, with a store of its own and little patience."""
    file, prefix = folder / "environment.yml", folder / "env"
    file.write_text(yaml.safe_dump({"assets": assets}))
    (prefix / "conda-meta").mkdir(parents=True)
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "CONDA_ASSETS_STORE": str(folder / "store")}
    settings = load(environ=environ)
    network = replace(settings.network, connect_timeout_s=1.0, read_timeout_s=1.0)
    aria2c = "none" if engine == "pool" else str(engine.path)  # type: ignore[attr-defined]
    settings = replace(settings, aria2c=aria2c, network=network, jobs=64)
    read = spec.load([str(file)], environ=environ, cwd=folder, read_url=str)
    return sync(read, Target(prefix, folder), settings, environ=environ)


def _kind(engine: object) -> str:
    return "pool" if engine == "pool" else "aria2-" + engine.version  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Told]]:
    """The engines side by side: they mostly wait."""
    done: dict[str, Told] = {}
    failed: list[BaseException] = []
    present = [each.values[0] if hasattr(each, "values") else each for each in engines()]  # type: ignore[attr-defined]
    with Server() as server:

        def run(engine: object, folder: Path) -> None:
            kind = _kind(engine)
            try:
                done[kind] = _sync(server, folder, engine)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=run, args=(each, tmp_path_factory.mktemp(_kind(each)))) for each in present if each]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(MOST_S + 60)
        if failed:
            raise failed[0]
        yield done


def fits(outcome: Outcome, expected: Kinds, path: Path, body: bytes) -> bool:
    kinds = expected if isinstance(expected, tuple) else (expected,)
    if outcome.error is None:
        whole = {RIGHT: (body,), EITHER: (body, _other(body))}
        return BELIEVED in kinds or any(path.read_bytes() in whole[kind] for kind in kinds if isinstance(kind, str))
    return any(isinstance(kind, type) and isinstance(outcome.error, kind) for kind in kinds)


@pytest.mark.slow
@pytest.mark.parametrize("hashed", [True, False], ids=["hash", "no hash"])
@pytest.mark.parametrize("engine", engines())
@pytest.mark.parametrize("name", ROWS)
def test_a_fault_ends_in_right_bytes_or_a_clear_error(told: dict[str, Told], name: str, engine: object, hashed: bool) -> None:
    run, row = told[_kind(engine)], ROWS[name]
    number = list(ROWS).index(name)
    asset = f"r{number}{'h' if hashed else 'b'}"
    outcome, path = run.outcomes[asset], run.folder / "env/share/assets" / asset
    assert fits(outcome, row.expected(hashed), path, content(number, hashed)), f"{outcome.state} {outcome.error!r}"
    if outcome.error is not None:
        assert not path.exists()
        said = outcome.error.message
        assert said.startswith(f"{asset}: ")
        assert "127.0.0.1" in said or "redirects" in said or isinstance(outcome.error, DiskFull), said
        assert outcome.error.hints, said
        assert "canary" not in said + str(outcome.error.to_json())


@pytest.mark.slow
@pytest.mark.parametrize("after", [3, 5])
@pytest.mark.parametrize("marks", [True, False], ids=["marked", "unmarked"])
@pytest.mark.parametrize("engine", engines())
def test_two_versions_are_never_one_file(tmp_path: Path, engine: object, marks: bool, after: int) -> None:
    """Nobody says a hash, conditions have no effect, and the file is replaced by one of the same size while it comes."""
    first, second = random.Random(1).randbytes(6_000_000), random.Random(2).randbytes(6_000_000)
    with Server() as server:
        url = server.speak("/w.bin", hostile.swapped(first, second, after, marks=marks))
        report = run_sync(tmp_path, engine, [{"name": "w", "url": url}])
        assert report.failures == ()
        assert (tmp_path / "env/share/assets/w").read_bytes() in (first, second)


@pytest.mark.parametrize("engine", engines())
def test_parts_are_held_against_one_another_beyond_a_redirect(tmp_path: Path, engine: object) -> None:
    with Server() as server:
        server.speak("/far.bin", hostile.some(BODY, hostile.parts_of(_other(BODY), 'ETag: "other"'), 4))
        url = server.redirect("/near.bin", "/far.bin")
        report = run_sync(tmp_path, engine, [{"name": "w", "url": url}])
        assert report.failures == ()
        assert (tmp_path / "env/share/assets/w").read_bytes() in (BODY, _other(BODY))


def test_the_answers_that_count_are_those_to_what_was_asked(tmp_path: Path) -> None:
    near, far = "http://example.org/near?x=1", "https://other.org:8443/far"
    log = tmp_path / "log"
    log.touch()
    with closing(Answers(log.open("rb"))) as answers:
        answers.follow([near, far])
        log.write_bytes(
            b"2026-11-26 12:00:00.1 [INFO] [HttpConnection.cc:1] CUID#7 - Requesting:\n"
            b"CONNECT other.org:8443 HTTP/1.1\n\n"
            + _record(7, "Requesting", "GET http://example.org/near?x=1 HTTP/1.1", "Host: example.org")
            + _record(7, "Response received", "HTTP/1.1 302 Found", "Location: http://cdn.example.org/abc", 'ETag: "no"')
            + _record(7, "Requesting", "GET /abc HTTP/1.1", "Host: cdn.example.org")
            + _record(9, "Requesting", "GET /far HTTP/1.1", "Host: other.org:8443")
            + _record(7, "Response received", "HTTP/1.1 206 Partial Content", 'ETag: "a"', "Content-Type: x/y")
            + _record(9, "Response received", "HTTP/1.1 206 Partial Content", 'etag: W/"b"', "Last-Modified: today")
            + _record(9, "Response received", "HTTP/1.1 503 Later", 'ETag: "c"')
            + _record(8, "Response received", "HTTP/1.1 200 OK", 'ETag: "nobody asked"')
        )
        assert answers.of(near) == (Answer('"a"', kind="x/y"),)
        with log.open("ab") as more:
            text = _record(7, "Response received", "HTTP/1.1 206 Partial Content", "Content-Encoding: br")
            more.write(text[:-9])
            more.flush()
            assert len(answers.of(near)) == 1
            more.write(text[-9:])
        assert answers.of(near)[1] == Answer(encoding="br")
        assert answers.of(far) == (Answer('W/"b"', "today"),)
        answers.forget([far])
        with log.open("ab") as more:
            more.write(_record(9, "Response received", "HTTP/1.1 206 Partial Content", 'ETag: "of the try before"'))
        answers.follow([far])
        assert answers.of(far) == ()


def _record(connection: int, what: str, *lines: str) -> bytes:
    text = "\n".join([f"2026-11-26 12:00:00.1 [INFO] [HttpConnection.cc:1] CUID#{connection} - {what}:", *lines, "", "", ""])
    return text.encode()


@pytest.mark.parametrize(
    ("answers", "page", "trouble"),
    [
        ([], None, ""),
        ([Answer('"a"'), Answer('W/"a"')], None, ""),
        ([Answer('"a"', "monday"), Answer('"b"', "monday")], None, ""),
        ([Answer('"a"', "monday"), Answer('"b"', "tuesday")], None, "different versions"),
        ([Answer('"a"'), Answer(modified="monday")], None, "different versions"),
        ([Answer('"a"'), Answer()], None, ""),
        ([Answer(kind="a/b"), Answer(kind="text/html; charset=x")], None, "a page"),
        ([Answer(kind="text/html")], None, ""),
        ([Answer(kind="text/html")], True, ""),
        ([Answer(kind="TEXT/HTML")], False, "a page"),
        ([Answer(encoding="gzip")], None, "compressed"),
        ([Answer(encoding="identity")], None, ""),
    ],
)
def test_what_speaks_against_parts(answers: list[Answer], page: bool | None, trouble: str) -> None:
    said = trouble_with(answers, "https://example.org/w.bin", page)
    assert trouble in said if trouble else said == ""


LEADS = {
    "relative": "target.bin",
    "absolute path": "/a/target.bin",
    "up and down": "../a/b/../target.bin",
    "other scheme's host": "//127.0.0.1:{port}/a/target.bin",
    "fragment": "http://127.0.0.1:{port}/a/target.bin#part",
    "user": "http://somebody:secret@127.0.0.1:{port}/a/target.bin",
    "query": "target.bin?x=1&y=%26%20+",
    "another host": "http://localhost:{port}/a/target.bin",
    "cookie": "guarded.bin",
}


@pytest.mark.parametrize("engine", engines())
def test_redirects_of_every_form_are_followed(tmp_path: Path, engine: object) -> None:
    def guarded(connection: object, request: Request) -> bool:
        if "taste=sweet" in request.headers.get("cookie", ""):
            return hostile.honest(BODY, tag(BODY))(connection, request)  # type: ignore[arg-type]
        return hostile.raw(head("403 Forbidden", "Content-Length: 0"))(connection, request)  # type: ignore[arg-type]

    with Server() as server:
        server.add("/a/target.bin", BODY)
        server.speak("/a/guarded.bin", guarded)
        assets = []
        for number, to in enumerate(LEADS.values()):
            lines = (f"Location: {to.format(port=server.port)}", "Set-Cookie: taste=sweet; Path=/a", "Content-Length: 0")
            url = server.speak(f"/a/{number}", hostile.raw(head("302 Found", *lines)))
            assets.append({"name": f"r{number}", "url": url})
        report = run_sync(tmp_path, engine, assets)
        assert [row.error for row in report.outcomes] == [None] * len(LEADS)
        assert all((tmp_path / f"env/share/assets/r{number}").read_bytes() == BODY for number in range(len(LEADS)))


PATHS = ["/a%20b/ä€日本.bin", "/%C3%A4%2Fb.bin", "/" + "d" * 4000, "/x.bin;v=1", "/a+b'(c)[1].bin", "/a//b/./c.bin", "/%252e.bin"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("engine", engines())
def test_addresses_of_every_form_are_asked(tmp_path: Path, engine: object, host: str) -> None:
    if host == "::1" and not has_ipv6():
        pytest.skip("no IPv6 on this machine's loopback")
    with Server(host=host) as server:
        assets = []
        for number, path in enumerate(PATHS):
            server.add(quote(path, safe="/%;=+'()[].:"), BODY)
            server.add(quote(path.replace("/./", "/"), safe="/%;=+'()."), BODY)
            assets.append({"name": f"r{number}", "url": server.url(path)})
        report = run_sync(tmp_path, engine, assets)
        assert [row.error for row in report.outcomes] == [None] * len(PATHS)
        assert all((tmp_path / f"env/share/assets/r{number}").read_bytes() == BODY for number in range(len(PATHS)))


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("engine", engines())
def test_a_file_that_is_to_be_empty_may_be(tmp_path: Path, engine: object) -> None:
    with Server() as server:
        empty = {"url": server.add("/e.bin", b""), "size": 0}
        hashed = {"url": server.add("/h.bin", b"", no_ranges=True), "sha256": hashlib.sha256().hexdigest()}
        report = run_sync(tmp_path, engine, [{"name": "e", **empty}, {"name": "h", **hashed}])
        assert [row.error for row in report.outcomes] == [None, None]
        assert (tmp_path / "env/share/assets/e").read_bytes() == b""


@pytest.mark.parametrize("engine", engines())
def test_no_fault_takes_for_ever(told: dict[str, Told], engine: object) -> None:
    assert told[_kind(engine)].took_s < MOST_S


def test_each_row_of_the_page_names_a_test_that_exists() -> None:
    rows = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("|") and "`test_" in line]
    assert len(rows) >= 45
    named = set()
    for line in rows:
        for file, test in re.findall(r"`(test_\w+\.py)::([^`]+)`", line):
            text = (Path(__file__).parent / file).read_text(encoding="utf-8")
            assert f"def {test}(" in text or (file == "test_faults.py" and test in ROWS), f"{file} has no {test}: {line}"
            named.add(test)
    assert set(ROWS) <= named, f"not on the page: {sorted(set(ROWS) - named)}"
