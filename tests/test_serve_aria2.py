"""aria2's front ends work with the centre as they are, and none of them can do what a person may not."""

from __future__ import annotations

import base64
import contextlib
import json
from pathlib import Path

import pytest

from centre import Client, running, until
from server import Faults, Server, Virtual

pytestmark = pytest.mark.slow

aria2p = pytest.importorskip("aria2p", reason="aria2p is not installed")

MB = 1_000_000


@pytest.fixture
def lab(tmp_path):
    with Server() as origin, running(tmp_path) as (centre, client):
        yield centre, client, origin


def rpc(client: Client, method: str, *said: object, token: str | None = None) -> dict:
    asked = {"jsonrpc": "2.0", "id": "q", "method": method, "params": [f"token:{token or client.token}", *said]}
    return Client(client.url).ask("POST", "/jsonrpc", asked).json


def api_of(client: Client) -> aria2p.API:
    host, _, port = client.url.rpartition(":")
    return aria2p.API(aria2p.Client(host=host, port=int(port), secret=client.token))


def test_aria2p_adds_steers_and_sees_a_download_finish(lab):
    _, client, origin = lab
    content = Virtual(6 * MB, seed=1)
    api = api_of(client)
    download = api.add_uris([origin.add("/w.bin", content, Faults(rate=200_000))])
    until(lambda: {"status": api.get_download(download.gid).status}, lambda seen: seen["status"] == "active")
    assert api.get_download(download.gid).name == "w.bin"
    api.pause([api.get_download(download.gid)])
    assert api.get_download(download.gid).is_paused
    origin.add("/w.bin", content)
    api.resume([api.get_download(download.gid)])
    until(lambda: {"status": api.get_download(download.gid).status}, lambda seen: seen["status"] == "complete")
    seen = api.get_download(download.gid)
    assert (seen.total_length, seen.completed_length, seen.progress) == (6 * MB, 6 * MB, 100.0)
    assert [each.gid for each in api.get_downloads()] == [download.gid]
    assert api.purge()
    assert api.get_downloads() == []


def test_aria2p_reorders_and_removes(lab):
    centre, client, origin = lab
    centre.queue.files = 0
    api = api_of(client)
    a, b, c = (api.add_uris([origin.add(f"/{name}.bin", name.encode())]) for name in "abc")
    api.move_to_top(api.get_download(c.gid))
    assert [each.gid for each in api.get_downloads()] == [c.gid, a.gid, b.gid]
    api.move(api.get_download(c.gid), 1)
    assert [each.gid for each in api.get_downloads()] == [a.gid, c.gid, b.gid]
    assert api.remove([api.get_download(b.gid)]) == [True]
    stats = api.get_stats()
    assert (stats.num_active, stats.num_waiting) == (0, 2)


def test_aria2p_sets_the_limit_and_reads_options(lab):
    _, client, _ = lab
    api = api_of(client)
    assert api.client.change_global_option({"max-overall-download-limit": "2M"}) == "OK"
    assert client.api("GET", "/pace")["limit_rate"] == 2 << 20
    assert api.get_global_options().max_overall_download_limit == 2 << 20
    assert api.client.get_version()["version"] == "1.37.0"


def test_a_metalink_is_added_with_its_hash(lab):
    _, client, origin = lab
    content = Virtual(MB, seed=2)
    url = origin.add("/w.bin", content)
    text = (
        '<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="../../etc/w.bin">'
        f'<hash type="sha-256">{content.sha256}</hash><url priority="2">{url}?b</url><url priority="1">{url}</url>'
        "</file></metalink>"
    )
    (gid,) = rpc(client, "aria2.addMetalink", base64.b64encode(text.encode()).decode())["result"]
    job = client.done(gid)
    assert (job["name"], job["sha256"], job["digest"], job["mirrors"]) == ("w.bin", content.sha256, f"sha256:{content.sha256}", 1)


def test_many_calls_in_one(lab):
    _, client, _ = lab
    token = f"token:{client.token}"
    calls = [
        {"methodName": "aria2.getVersion", "params": [token]},
        {"methodName": "aria2.tellStatus", "params": [token, "0" * 16]},
        {"methodName": "system.multicall", "params": [[]]},
        {"methodName": "aria2.shutdown", "params": [token]},
        {"methodName": "aria2.getVersion", "params": []},
    ]
    said = Client(client.url).ask(
        "POST", "/jsonrpc", {"jsonrpc": "2.0", "id": 1, "method": "system.multicall", "params": [calls]}
    )
    version, missing, nested, shutdown, nobody = said.json["result"]
    assert version[0]["version"]
    assert missing == {"code": 1, "message": f"GID {'0' * 16} is not found"}
    assert nested["message"] == "Recursive system.multicall forbidden."
    assert shutdown["message"] == "No such method: aria2.shutdown"
    assert nobody["message"] == "Unauthorized"


def test_a_front_end_sees_every_piece_of_what_is_done_and_can_hand_its_options_back(lab):
    """AriaNg keeps the last bitfield that it was given, and tries again with all that getOption says."""
    _, client, origin = lab
    content = Virtual(3 * MB, seed=5)
    gid = rpc(client, "aria2.addUri", [origin.add("/w.bin", content)], {"checksum": f"sha-256={content.sha256}"})["result"]
    client.done(gid)
    row = rpc(client, "aria2.tellStatus", gid, ["bitfield", "numPieces"])["result"]
    assert row == {"bitfield": "e0", "numPieces": "3"}
    options = rpc(client, "aria2.getOption", gid)["result"]
    assert rpc(client, "aria2.addUri", [origin.add("/v.bin", content)], options)["result"]


def test_the_documentation_names_the_options_that_are_taken():
    from conda_assets.serve.aria2 import methods

    text = (Path(__file__).parent.parent / "docs/serve.md").read_text()
    assert {name for name in methods._MEANT | methods._DECIDED | set(methods._HOLDS) if f"`{name}`" not in text} == set()


_HOSTILE = [
    {"dir": "/etc"}, {"out": "../../x"}, {"out": "/abs"}, {"log": "/tmp/x"}, {"save-session": "/tmp/x"},
    {"on-download-complete": "/bin/sh"}, {"conf-path": "/etc/passwd"}, {"all-proxy": "http://10.0.0.1"},
    {"http-proxy": "x"}, {"no-proxy": "*"}, {"header": "X: y"}, {"gid": "0" * 16}, {"parameterized-uri": "true"},
    {"metalink-file": "/etc/passwd"}, {"torrent-file": "/etc/passwd"}, {"input-file": "/etc/passwd"},
    {"http-user": "a"}, {"referer": "x\r\ny"}, {"load-cookies": "/etc/passwd"}, {"ca-certificate": "/x"},
    {"check-certificate": "false"}, {"split": ["1"]}, {"pause": True}, {"allow-overwrite": "true"}, {"ftp-user": "a"},
    {"index-out": "1=/x"}, {"hash-check-only": "true"}, {"use-head": "true"}, {"netrc-path": "/x"},
    {"rpc-save-upload-metadata": "true"}, {"checksum": "sha-256=1"}, [], "dir=/etc", None,
]  # fmt: skip


@pytest.mark.parametrize("options", _HOSTILE, ids=str)
def test_options_that_could_do_harm_are_refused(lab_of_module, options):
    client = lab_of_module
    said = rpc(client, "aria2.addUri", ["http://127.0.0.1:9/x"], options)
    assert said["error"]["code"] == 1
    assert client.api("GET", "/jobs")["jobs"] == []


@pytest.mark.parametrize(
    "uri", ["file:///etc/passwd", "gopher://example.org/x", "data:,x", "http://a/x http://b/y", "x", "http://a/\ud800"]
)
def test_uris_that_are_not_for_the_centre_are_refused(lab_of_module, uri):
    assert rpc(lab_of_module, "aria2.addUri", [uri])["error"]["code"] == 1


@pytest.mark.parametrize(
    "said",
    [
        [],
        [1],
        ["x"],
        [None],
        [{}],
        ["0" * 16, 1, 2],
        [-1, 10],
        [[], []],
        [True, True],
        ["0" * 16, "a", "POS_SET"],
        [1 << 80, 1 << 80],
    ],
    ids=str,
)
def test_nonsense_gets_an_error_and_no_crash(lab_of_module, said):
    methods = Client(lab_of_module.url).ask("POST", "/jsonrpc", {"id": 1, "method": "system.listMethods"}).json["result"]
    for method in methods:
        body = {"id": 1, "method": method, "params": [f"token:{lab_of_module.token}", *said]}
        assert Client(lab_of_module.url).ask("POST", "/jsonrpc", body).status in (200, 400), method


@pytest.fixture(scope="module")
def lab_of_module(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONDA_ASSETS_STORE", str(tmp_path_factory.mktemp("store")))
        with running(tmp_path_factory.mktemp("lab")) as (_, client):
            yield client


def test_guesses_in_one_multicall_are_of_no_use(lab):
    _, client, _ = lab
    calls = [{"methodName": "aria2.getVersion", "params": [f"token:{number}"]} for number in range(2000)]
    said = Client(client.url).ask("POST", "/jsonrpc", {"id": 1, "method": "system.multicall", "params": [calls]})
    assert {each["message"] for each in said.json["result"]} == {"Unauthorized", "too many wrong passwords or tokens"}
    assert rpc(client, "aria2.getVersion")["result"]


def test_a_reader_may_look_and_nothing_else(lab):
    _, client, _ = lab
    token = client.api("POST", "/users", {"name": "eve", "role": "reader"})["token"]
    assert rpc(client, "aria2.tellActive", token=token)["result"] == []
    assert "needs member" in rpc(client, "aria2.addUri", ["http://127.0.0.1:9/x"], token=token)["error"]["message"]
    assert "needs admin" in rpc(client, "aria2.changeGlobalOption", {}, token=token)["error"]["message"]


@contextlib.contextmanager
def socket_to(client: Client, **headers: str):
    from websockets.sync.client import connect

    with connect(
        client.url.replace("http", "ws") + "/jsonrpc",
        additional_headers={name.replace("_", "-"): value for name, value in headers.items()},
    ) as socket:
        yield socket


def test_a_websocket_answers_and_tells_what_happens(lab):
    _, client, origin = lab
    url = origin.add("/w.bin", b"content")
    with socket_to(client) as socket:
        socket.send(
            json.dumps({"jsonrpc": "2.0", "id": "1", "method": "aria2.addUri", "params": [f"token:{client.token}", [url]]})
        )
        gid = json.loads(socket.recv(10))["result"]
        told = [json.loads(socket.recv(10)) for _ in range(2)]
    assert [each["method"] for each in told] == ["aria2.onDownloadStart", "aria2.onDownloadComplete"]
    assert {each["params"][0]["gid"] for each in told} == {gid}


def test_aria2p_is_told_what_happens(lab):
    """Its listener shows no token: on the same machine it needs none."""
    import threading

    _, client, origin = lab
    api, told = api_of(client), []
    said = {
        f"on_download_{kind}": lambda api, gid, kind=kind: told.append((kind, gid))
        for kind in ("start", "pause", "stop", "complete", "error")
    }
    thread = threading.Thread(target=lambda: api.listen_to_notifications(threaded=False, timeout=1, handle_signals=False, **said))
    thread.start()
    until(lambda: {"listening": api.client.listening}, lambda seen: seen["listening"])
    gone = api.add_uris([origin.add("/gone.bin", b"", Faults(status=404))]).gid
    until(lambda: {"told": list(told)}, lambda seen: ("error", gone) in seen["told"])
    kept = api.add_uris([origin.add("/w.bin", Virtual(6 * MB, seed=3), Faults(rate=200_000))]).gid
    until(lambda: {"told": list(told)}, lambda seen: ("start", kept) in seen["told"])
    api.pause([api.get_download(kept)])
    until(lambda: {"told": list(told)}, lambda seen: ("pause", kept) in seen["told"])
    api.remove([api.get_download(kept)])
    until(lambda: {"told": list(told)}, lambda seen: ("stop", kept) in seen["told"])
    right = api.add_uris([origin.add("/v.bin", b"content")]).gid
    until(lambda: {"told": list(told)}, lambda seen: ("complete", right) in seen["told"])
    api.stop_listening()
    thread.join()


def test_who_shows_no_token_is_told_nothing_elsewhere(tmp_path):
    with (
        Server() as origin,
        running(tmp_path, trust_header="X-Remote-User") as (_, client),
        socket_to(client, X_Forwarded_For="192.0.2.1") as socket,
    ):
        (job,) = client.add(origin.add("/w.bin", b"content"))
        client.done(job["id"])
        with pytest.raises(TimeoutError):
            socket.recv(1.2)


def test_a_page_elsewhere_has_no_socket_unless_it_is_allowed(tmp_path):
    from websockets.exceptions import InvalidStatus

    with running(tmp_path, origins=("https://ariang.example",)) as (_, client):
        with pytest.raises(InvalidStatus), socket_to(client, Origin="https://evil.example"):
            pass
        with socket_to(client, Origin="https://ariang.example") as socket:
            socket.send('{"id": 1, "method": "system.listMethods"}')
            assert "result" in json.loads(socket.recv(10))
        anybody = Client(client.url)
        said = anybody.ask("POST", "/jsonrpc", {"id": 1, "method": "system.listMethods"}, Origin="https://ariang.example")
        assert said.headers["access-control-allow-origin"] == "https://ariang.example"
        assert anybody.ask("GET", "/api/v1/jobs", Origin="https://ariang.example").status == 403
