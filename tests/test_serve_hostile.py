"""Everything of the two lists of hostile input, option injection and the server's own network, through every door there is."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import connect

from centre import Client, running
from conda_assets.serve.addresses import is_public
from conda_assets.serve.gate import Gate
from server import Server
from swarm import make_torrent
from test_serve_door import _OTHER, _PRIVATE

pytestmark = pytest.mark.slow

# Ours, beyond those of `test_serve_door.py`: other spellings and scripts, addresses within addresses, hosts read in two ways.
_SPELT = [
    "http://0177.0.0.1/x", "http://0x7f000001/x", "http://127.0.0.1./x", "http://127.0.1/x", "http://127.000.000.001/x",
    "http://2130706433./x", "http://0x7f.0x0.0x0.0x1/x", "http://①②⑦.⓪.⓪.①/x", "http://127。0。0。1/x", "http://１２７.0.0.1/x",
    "http://ⓛocalhost/x", "http://localhost%2e/x", "http://%31%32%37.0.0.1/x", "http://[::]/x", "http://[::127.0.0.1]/x",
    "http://[::ffff:7f00:1]/x", "http://[::ffff:a9fe:a9fe]/x", "http://[::ffff:0:127.0.0.1]/x", "http://[::1%25lo]/x",
    "http://[fe80::1%25eth0]/x", "http://[fec0::1]/x", "http://[ff02::1]/x", "http://[64:ff9b::a9fe:a9fe]/x",
    "http://[64:ff9b:1::7f00:1]/x", "http://[2002:a9fe:a9fe::]/x", "http://[2001:0:7f00:1::]/x", "http://[2001:db8::1]/x",
    "http://[100::1]/x", "http://[5f00::1]/x", "http://[3fff::1]/x", "http://192.0.0.170/x", "http://192.88.99.1/x",
    "http://198.18.0.1/x", "http://192.0.2.1/x", "http://240.0.0.1/x", "http://100.127.255.255/x", "http://0.1.2.3/x",
    "http://foo@127.0.0.1:80@example.org/x", "http://example.org:80@127.0.0.1/x", "http://127.0.0.1\\@example.org/x",
    "http://example.org\\@127.0.0.1/x", "http://127.0.0.1#@example.org/x", "http://127.0.0.1?@example.org/x",
    "http:127.0.0.1/x", "http:///127.0.0.1/x", "HTTP://LOCALHOST/x", "http://host.docker.internal/x",
    "s3://bucket/key?endpoint=http://127.0.0.1:9000", "s3://bucket/key?endpoint=http://169.254.169.254",
    "gs://bucket/key?endpoint=http://[::1]", "s3://bucket/key?endpoint=localhost:9000", "oci://127.0.0.1:5000/repo:tag",
    "dict://127.0.0.1:11211/x", "ldap://127.0.0.1/x", "http+unix://%2fvar%2frun%2fdocker.sock/x", "netdoc:///etc/passwd",
    "http://127.0.0.1\t/x", "http://exa\nmple.org/x", "http://example.org/x\r\n dir=/etc", "http://example.org/${HOME}",
]  # fmt: skip
URLS = [*_PRIVATE, *_OTHER, *_SPELT]

# Of a download, or of all: what aria2 itself would obey, what it takes and ignores, and types that it does not expect.
OPTIONS = [
    {"dir": "/etc"}, {"out": "../../x"}, {"out": "/abs"}, {"out": "a\nb"}, {"header": "X: y"},
    {"header": ["X: y\r\nInjected: 1"]},
    {"http-user": "a"}, {"http-passwd": "b"}, {"all-proxy": "http://10.0.0.1"}, {"http-proxy": "x"}, {"https-proxy": "x"},
    {"ftp-proxy": "x"}, {"no-proxy": "*"}, {"all-proxy-user": "x"}, {"proxy-method": "get"}, {"no-netrc": "false"},
    {"netrc-path": "/x"}, {"parameterized-uri": "true"}, {"referer": "x\r\ny"}, {"follow-metalink": "mem"},
    {"follow-torrent": "true"}, {"metalink-file": "/etc/passwd"}, {"torrent-file": "/etc/passwd"}, {"input-file": "/etc/passwd"},
    {"on-download-complete": "/bin/sh"}, {"on-download-start": "/bin/sh"}, {"on-download-error": "/bin/sh"},
    {"on-bt-download-complete": "/bin/sh"}, {"conf-path": "/etc/passwd"}, {"log": "/tmp/x"}, {"save-session": "/tmp/x"},
    {"save-cookies": "/tmp/x"}, {"server-stat-of": "/tmp/x"}, {"server-stat-if": "/x"}, {"load-cookies": "/etc/passwd"},
    {"check-certificate": "false"}, {"ca-certificate": "/x"}, {"certificate": "/x"}, {"private-key": "/x"},
    {"dht-file-path": "/x"}, {"rpc-secret": "x"}, {"rpc-listen-all": "true"}, {"rpc-save-upload-metadata": "true"},
    {"gid": "0" * 16}, {"index-out": "1=/x"}, {"allow-overwrite": "true"}, {"auto-file-renaming": "true"}, {"force-save": "true"},
    {"hash-check-only": "true"}, {"use-head": "true"}, {"interface": "lo"}, {"multiple-interface": "lo"},
    {"async-dns-server": "10.0.0.1"}, {"bt-tracker": "http://127.0.0.1"}, {"bt-enable-lpd": "true"}, {"enable-dht": "true"},
    {"listen-port": "22"}, {"ftp-user": "a"}, {"ssh-host-key-md": "x"}, {"user-agent": "x\r\ny"}, {"uri-selector": "feedback"},
    {"DIR": "/etc"}, {"dir ": "/etc"}, {"": ""}, {"no such option": "x"}, {"split": ["1"]}, {"split": 1}, {"pause": True},
    {"checksum": "sha-256=1"}, {"checksum": ["sha-256=1"]}, {"__proto__": "x"}, [], ["dir=/etc"], "dir=/etc", 1,
]  # fmt: skip

Ask = Callable[[str], object]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONDA_ASSETS_STORE", str(tmp_path_factory.mktemp("store")))
        with running(tmp_path_factory.mktemp("lab"), private=False) as (_, client):
            yield client


def _rpc(client: Client, method: str, *said: object) -> dict:
    return client.ask("POST", "/jsonrpc", {"id": 1, "method": method, "params": [f"token:{client.token}", *said]}).json


def _many(client: Client, method: str, *said: object) -> dict:
    call = {"methodName": method, "params": [f"token:{client.token}", *said]}
    (answer,) = client.ask("POST", "/jsonrpc", {"id": 1, "method": "system.multicall", "params": [[call]]}).json["result"]
    return {"error": answer} if "code" in answer else {"result": answer}


def _socket(client: Client, method: str, *said: object) -> dict:
    with connect(client.url.replace("http", "ws") + "/jsonrpc") as socket_:
        socket_.send(json.dumps({"id": 1, "method": method, "params": [f"token:{client.token}", *said]}))
        return json.loads(socket_.recv(10))


def _batch(client: Client, method: str, *said: object) -> dict:
    (answer,) = client.ask("POST", "/jsonrpc", [{"id": 1, "method": method, "params": [f"token:{client.token}", *said]}]).json
    return answer


def _metalink(url: str) -> str:
    escaped = url.replace("&", "&amp;").replace("<", "&lt;")
    return f'<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="w"><url>{escaped}</url></file></metalink>'


def _environment(url: str, **more: object) -> str:
    return f"name: x\nassets:\n  - {json.dumps({'name': 'w', 'url': url, **more}, ensure_ascii=False)}\n"


def _lock(url: str, pinned: str = "") -> str:
    lines = ["version: 1", "assets:", "- name: w", f"  url: {json.dumps(url, ensure_ascii=False)}"]
    lines += [f"  pinned_url: {json.dumps(pinned, ensure_ascii=False)}"] if pinned else []
    return "\n".join([*lines, f"  sha256: {'0' * 64}", "  vouched_by: first download", ""])


_GOOD = "https://example.org/x"
_CALLS = {"request": _rpc, "batch": _batch, "multicall": _many, "websocket": _socket}
_POSTS = {
    "a list": lambda url: url,
    "an environment": _environment,
    "a mirror in an environment": lambda url: _environment(_GOOD, mirrors=[url]),
    "a Metalink": _metalink,
    "a lock": lambda url: _lock(url),
    "a pinned URL in a lock": lambda url: _lock(_GOOD, url),
}


@pytest.mark.parametrize("door", _POSTS)
def test_no_url_into_the_network_comes_through_rest(lab, door):
    taken = [url for url in URLS if lab.ask("POST", "/api/v1/jobs", {"text": _POSTS[door](url)}).status != 400]
    assert (taken, lab.api("GET", "/jobs")["jobs"]) == ([], [])


def test_what_no_parser_expects_is_refused_and_stumbles_nowhere(lab):
    long = "https://example.org/" + "a" * 10_000
    rank = '<metalink><file><url priority="{}">http://127.0.0.1/a</url></file></metalink>'
    texts = [
        long,
        _environment(long),
        _metalink(long),
        _lock(long),
        rank.format("9" * 5000),
        rank.format("²"),
        "assets: " + "[" * 5000,
    ]
    texts += [_environment(_GOOD, size=size) for size in (-1, 1 << 63, 10**30, "9" * 5000)]
    texts += [
        f"version: 1\nassets: {'[' * 5000}",
        "assets:\n- &a [*a]\n",
        "<metalink>" + "<a>" * 20_000,
        "assets: !!python/name:os.system",
    ]
    taken = [text[:60] for text in texts if lab.ask("POST", "/api/v1/jobs", {"text": text}).status != 400]
    assert (taken, lab.api("GET", "/jobs")["jobs"]) == ([], [])
    for depth in (10, 500, *range(960, 1000), 10_000):
        deep = "[" * depth + "]" * depth
        for body in (f'{{"id": {deep}, "method": "system.listMethods"}}', deep, f'{{"id": 1, "method": "x", "params": {deep}}}'):
            request = urllib.request.Request(f"{lab.url}/jsonrpc", data=body.encode(), method="POST")
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    status = answer.status
            except urllib.error.HTTPError as error:
                with error:
                    status = error.code
            assert status in (200, 400), (depth, body[:40])


def test_no_url_into_the_network_is_pulled_through(lab):
    from urllib.parse import quote

    digest = f"sha256:{'0' * 64}"
    asked = [lab.ask("GET", f"/api/v1/store/ask?digest={digest}&url={quote(url, safe='')}") for url in URLS]
    assert ({said.status for said in asked}, lab.api("GET", "/jobs")["jobs"]) == ({400}, [])


@pytest.mark.parametrize("door", _CALLS)
def test_no_url_into_the_network_comes_through_the_rpc(lab, door):
    call, magnet = _CALLS[door], "magnet:?xt=urn:btih:" + "0" * 40
    taken = [url for url in [*URLS, magnet] if "error" not in call(lab, "aria2.addUri", [url])]
    taken += [url for url in URLS if "error" not in call(lab, "aria2.addUri", [_GOOD, url])]
    encoded = {url: base64.b64encode(_metalink(url).encode("utf-8", "surrogatepass")).decode() for url in URLS}
    taken += [url for url, text in encoded.items() if "error" not in call(lab, "aria2.addMetalink", text)]
    torrent = base64.b64encode(make_torrent("w", b"x", "http://127.0.0.1:9/announce")).decode()
    assert "error" in call(lab, "aria2.addTorrent", torrent, ["http://127.0.0.1:9/"])
    assert (taken, lab.api("GET", "/jobs")["jobs"]) == ([], [])


@pytest.mark.parametrize("door", _CALLS)
def test_no_option_that_could_do_harm_comes_through(lab, door):
    call = _CALLS[door]
    metalink = base64.b64encode(_metalink(_GOOD).encode()).decode()
    torrent = base64.b64encode(make_torrent("w", b"x", "http://127.0.0.1:9/announce")).decode()
    taken = []
    for options in OPTIONS:
        asked = [
            ("aria2.addUri", [_GOOD], options),
            ("aria2.addMetalink", metalink, options),
            ("aria2.addTorrent", torrent, [], options),
            ("aria2.changeOption", "0" * 16, options),
        ]
        if options != []:
            asked.append(("aria2.changeGlobalOption", options))
        taken += [(method, options) for method, *said in asked if "error" not in call(lab, method, *said)]
    assert (taken, lab.api("GET", "/jobs")["jobs"]) == ([], [])


def test_no_option_comes_through_rest(lab):
    """What comes in has a closed schema; a line break in a list is a new entry, and no option of the one before."""
    options = [each for each in OPTIONS if isinstance(each, dict) and "pause" not in each]
    taken = [each for each in options if lab.ask("POST", "/api/v1/jobs", {"text": _GOOD, **each}).status != 400]
    texts = [f"{_GOOD}\n dir=/etc", f"{_GOOD}\n\tout=x", f"{_GOOD} dir=/etc", f"{_GOOD}\tdir=/etc", f"{_GOOD}\r dir=/etc"]
    taken += [text for text in texts if lab.ask("POST", "/api/v1/jobs", {"text": text}).status != 400]
    assert (taken, lab.api("GET", "/jobs")["jobs"]) == ([], [])


ADDRESSES = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.170",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "192.88.99.1",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:0:127.0.0.1",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "100::1",
    "3fff::1",
    "5f00::1",
]


def test_the_gate_connects_to_none_of_them_by_name_or_by_address():
    """However a request comes to it, from a probe, aria2, a redirect or a second lookup: this is where the connection is made."""
    asked = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        # One public address among them does not help.
        return (
            ["93.184.216.34", ADDRESSES[int(host.partition(".")[0])]] if host.endswith(".example") else await _system(host, port)
        )

    async def _system(host: str, port: int) -> list[str]:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [str(address[0]) for *_, address in found]

    gate = Gate(is_public, resolve)
    gate.start()
    # Forms that the C library reads as addresses, and names that this machine has for itself.
    spelt = ["127.1", "2130706433", "0x7f.1", "017700000001", "0", "localhost", "localhost.", "127.0.0.1."]
    try:
        hosts = [
            *(f"{number}.example" for number in range(len(ADDRESSES))),
            *(f"[{each}]" if ":" in each else each for each in ADDRESSES),
            *spelt,
        ]
        passed = [host for host in hosts for tunnel in (True, False) if not _is_refused(gate, host, tunnel)]
    finally:
        gate.close()
    assert passed == []
    assert len(asked) >= 2 * len(ADDRESSES)


def _is_refused(gate: Gate, host: str, tunnel: bool) -> bool:
    parts = urlsplit(gate.url)
    secret = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    line = f"CONNECT {host}:80" if tunnel else f"GET http://{host}/x"
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(f"{line} HTTP/1.1\r\nHost: {host}\r\nProxy-Authorization: Basic {secret}\r\n\r\n".encode())
        # Where nothing resolves the gate hangs up.
        return connection.recv(100)[:13] in (b"HTTP/1.1 403 ", b"")


@pytest.mark.parametrize(
    "url",
    [
        "http://inside.example/w.bin",
        "https://inside.example/w.bin",
        "s3://bucket/w.bin?endpoint=http://inside.example",
        "s3://bucket/w.bin?endpoint=https://inside.example",
        "oci://inside.example/repo:tag",
    ],
)
def test_names_that_lead_inside_are_asked_for_at_the_gate_and_nowhere_else(tmp_path, url):
    """Each kind of source has a way to connect of its own; a name that only the gate can resolve shows which it takes."""
    names, permitted = [], []

    async def resolve(host: str, port: int) -> list[str]:
        names.append(host)
        return ["10.0.0.7"]

    def permits(address: str) -> bool:
        permitted.append(address)
        return is_public(address)

    with running(tmp_path, private=False, gate=Gate(permits, resolve)) as (_, client):
        said = client.ask("POST", "/api/v1/jobs", {"text": url})
        for job in said.json.get("jobs", []):
            client.until(job["id"], lambda seen: seen["state"] == "failed" or "inside.example" in names)
        client.hang_up()
    assert any("inside.example" in name for name in names), said.body
    assert set(permitted) == {"10.0.0.7"}


def test_no_redirect_leads_inside_however_its_target_is_written(tmp_path):
    """127.0.0.1 stands for the internet here, everything else is inside."""
    targets = [
        "http://10.0.0.7/x",
        "http://167772167/x",
        "http://012.0.0.7/x",
        "http://0xa.7/x",
        "http://[::ffff:10.0.0.7]/x",
        "http://[::1]/x",
        "http://[::127.0.0.1]/x",
        "http://127.0.0.2/x",
        "http://169.254.169.254/latest",
        "https://10.0.0.7/x",
        "http://inside.example/x",
        "file:///etc/hostname",
        "ftp://10.0.0.7/x",
        "gopher://10.0.0.7/x",
        "//10.0.0.7/x",
    ]

    async def resolve(host: str, port: int) -> list[str]:
        if host.endswith(".example"):
            return ["10.0.0.7" if host.startswith("inside") else "127.0.0.1"]
        return [str(found[4][0]) for found in await asyncio.get_running_loop().getaddrinfo(host, port)]

    with (
        Server() as origin,
        running(tmp_path, private=False, gate=Gate(lambda address: address == "127.0.0.1", resolve)) as (centre, client),
    ):
        centre.queue.files = len(targets)
        ids = {}
        for number, target in enumerate(targets):
            port = urlsplit(origin.redirect(f"/{number}.bin", target)).port
            (job,) = client.add(f"http://public.example:{port}/{number}.bin")
            ids[target] = job["id"]
        ended = {target: client.done(job) for target, job in ids.items()}
    assert {target: job["done_bytes"] for target, job in ended.items()} == dict.fromkeys(targets, 0)
    odd = {target for target in targets if urlsplit(target).scheme not in ("", "http", "https")}
    expected = {target: "redirect" if target in odd else "access_denied" for target in targets}
    assert {target: job["error"]["code"] for target, job in ended.items()} == expected
