"""The loopback server that every other test believes."""

from __future__ import annotations

import hashlib
import http.client
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests

from server import Faults, Server, Virtual

MIB = 1 << 20


def test_a_virtual_file_is_the_same_however_it_is_read(tmp_path: Path) -> None:
    content = Virtual(3 * MIB + 17, seed=5)
    whole = content.read(0, content.size)
    assert len(whole) == content.size
    assert content.read(MIB - 3, MIB + 3) == whole[MIB - 3 : MIB + 3]
    assert content.sha256 == hashlib.sha256(whole).hexdigest()
    content.write(tmp_path / "v")
    assert (tmp_path / "v").read_bytes() == whole
    # every MiB differs, so that a piece in the wrong place is noticed
    assert len({whole[at : at + 4096] for at in range(0, content.size, MIB)}) == 4


@pytest.mark.parametrize("body", [b"0123456789" * 1000, Virtual(2 * MIB + 5)], ids=["bytes", "virtual"])
def test_whole_files_and_ranges_carry_the_right_bytes(body: bytes | Virtual) -> None:
    whole = body if isinstance(body, bytes) else body.read(0, body.size)
    with Server() as server:
        url = server.add("/f", body)
        assert requests.get(url, timeout=10).content == whole
        for span, expected in [("5-9", whole[5:10]), ("100-", whole[100:]), ("-7", whole[-7:]), ("9-99999999", whole[9:])]:
            answer = requests.get(url, headers={"Range": f"bytes={span}"}, timeout=10)
            assert (answer.status_code, answer.content) == (206, expected)
        assert requests.get(url, headers={"Range": f"bytes={len(whole)}-"}, timeout=10).status_code == 416
        assert [request.status for request in server.requests] == [200, 206, 206, 206, 206, 416]
        assert server.sent("/f") == len(whole) + 5 + (len(whole) - 100) + 7 + (len(whole) - 9)


def test_validators_decide() -> None:
    with Server() as server:
        url = server.add("/f", b"x" * 100, etag="one")

        def status(**headers: str) -> int:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return requests.get(url, headers=named, timeout=10).status_code

        assert status(If_Match='"one"', Range="bytes=0-0") == 206
        assert status(If_Match='"two"', Range="bytes=0-0") == 412
        assert status(If_None_Match='"one"') == 304
        assert status(If_Range='"one"', Range="bytes=5-") == 206
        assert status(If_Range='"two"', Range="bytes=5-") == 200


def test_a_connection_serves_many_requests() -> None:
    with Server() as server:
        server.add("/f", b"abc")
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        for _ in range(3):
            connection.request("GET", "/f")
            assert connection.getresponse().read() == b"abc"
        connection.request("HEAD", "/f")
        assert connection.getresponse().read() == b""
        connection.close()
        assert server.accepted == 1
        assert [request.number for request in server.requests] == [1, 2, 3, 4]


def test_throttles_hold_for_a_connection_and_for_all() -> None:
    content = Virtual(600_000)
    with Server(rate=2_000_000, link=4_000_000) as server:
        url = server.add("/f", content)
        started = time.monotonic()
        requests.get(url, timeout=10)
        assert 0.27 <= time.monotonic() - started <= 0.45  # 600 kB at 2 MB/s
        started = time.monotonic()
        threads = [threading.Thread(target=requests.get, args=(url,), kwargs={"timeout": 10}) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 0.55 <= time.monotonic() - started <= 0.8  # 2.4 MB at 4 MB/s


def test_faults_of_the_answer() -> None:
    with Server() as server:

        def get(path: str, faults: Faults, **headers: str) -> requests.Response:
            return requests.get(server.add(path, b"0123456789", faults), headers=headers, timeout=10, allow_redirects=False)

        answer = get("/busy", Faults(status=503, retry_after="7", first=1))
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
        assert requests.get(server.url("/busy"), timeout=10).status_code == 200
        assert get("/plain", Faults(no_ranges=True), Range="bytes=1-2").status_code == 200
        assert get("/lies", Faults(range_200=True), Range="bytes=1-2").content == b"0123456789"
        assert get("/never", Faults(range_416=True), Range="bytes=1-2").status_code == 416
        assert get("/off", Faults(wrong_range=3), Range="bytes=1-2").headers["Content-Range"] == "bytes 4-5/10"
        assert get("/bits", Faults(flip=(0, 9))).content == b"1123456788"
        assert get("/chunks", Faults(chunked=True)).content == b"0123456789"
        assert "Content-Length" not in get("/open", Faults(no_length=True)).headers
        assert get("/page", Faults(html=True)).headers["Content-Type"].startswith("text/html")
        assert get("/none", Faults(empty=True)).content == b""
        assert get("/squeezed", Faults(gzip=True)).content == b"0123456789"
        assert get("/shut", Faults(user="a:b")).status_code == 401
        assert get("/round", Faults(loop=True)).headers["Location"] == "/round"
        assert get("/unsure", Faults(refuse_if_match=True), **{"If-Match": "*"}).status_code == 412
        late = get("/moved", Faults(change_after=1, change_to=b"changed"))
        assert late.content == b"0123456789"
        assert requests.get(server.url("/moved"), timeout=10).content == b"changed"
        assert requests.get(server.url("/absent"), timeout=10).status_code == 404


@pytest.mark.parametrize("by", ["reset", "close"])
def test_a_cut_connection_ends_after_the_given_bytes(by: str) -> None:
    with Server() as server:
        url = server.add("/f", Virtual(MIB), cut_after=1000, cut_by=by)
        with pytest.raises(requests.exceptions.RequestException):
            requests.get(url, timeout=10)
        assert server.sent() == 1000


def test_a_stalled_answer_ends_when_the_client_leaves_and_when_the_server_closes() -> None:
    with Server() as server:
        url = server.add("/f", Virtual(MIB), stall_after=1000)
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(url, timeout=0.2)
        server.wait(lambda: server.requests[0].done)
        stuck = socket.create_connection(("127.0.0.1", server.port))
        stuck.sendall(b"GET /f HTTP/1.1\r\nHost: h\r\n\r\n")
        server.wait(lambda: len(server.requests) == 2)
    stuck.close()


def test_more_connections_than_allowed_are_refused() -> None:
    with Server() as server:
        url = server.add("/f", Virtual(MIB), max_connections=1, over_status=429, stall_after=10)
        with requests.get(url, stream=True, timeout=10):
            server.wait(lambda: server.sent() == 10)
            assert requests.get(url, timeout=10).status_code == 429


def test_redirects_lead_to_another_host_name() -> None:
    with Server() as server:
        server.add("/f", b"here")
        url = server.redirect("/go", server.url("/f", host="localhost"))
        answer = requests.get(url, timeout=10)
        assert (answer.content, answer.url) == (b"here", server.url("/f", host="localhost"))


def test_a_route_answers_by_function() -> None:
    with Server() as server:
        url = server.route("/echo", lambda request, body: (200, {"X-Query": request.query}, body.upper()))
        answer = requests.post(url + "?a=1", data=b"abc", timeout=10)
        assert (answer.content, answer.headers["X-Query"]) == (b"ABC", "a=1")


def test_the_program_serves_a_folder_and_nothing_outside(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"hello")
    (tmp_path / "secret").write_bytes(b"no")
    (folder / "link").symlink_to(tmp_path / "secret")
    program = [sys.executable, str(Path(__file__).with_name("server.py")), "--dir", str(folder), "--virtual", "v=1000"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            assert requests.get(f"{url}/a.txt", timeout=10).content == b"hello"
            assert requests.get(f"{url}/v", timeout=10).content == Virtual(1000, 0).read(0, 1000)
            assert requests.get(f"{url}/link", timeout=10).status_code == 404
            port = int(url.rsplit(":", 1)[1])
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.sendall(b"GET /../secret HTTP/1.1\r\nHost: h\r\n\r\n")
                assert raw.recv(100).startswith(b"HTTP/1.1 404")
        finally:
            process.terminate()
