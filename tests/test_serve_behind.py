"""The files that a lab deploys the centre with are right, and the page works behind a real nginx as the example has it."""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from centre import Client, running, until
from server import Server, Virtual

EXAMPLES = Path(__file__).parent.parent / "examples/serve"
NGINX = shutil.which("nginx") or ("/usr/sbin/nginx" if Path("/usr/sbin/nginx").exists() else None)
MB = 1_000_000


def tool(name: str) -> str:
    """The program that checks, beside this Python or on the PATH."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"no {name} on this machine")
    return found


def passes(*words: str | Path) -> None:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["job.yaml", "centre.yaml"])
def test_kubernetes_knows_the_manifests(name):
    passes(tool("kubernetes-validate"), "--strict", EXAMPLES / name)


def test_compose_knows_the_file():
    passes(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", EXAMPLES / "compose.yaml")


def test_the_dockerfile_is_a_good_one():
    passes(tool("hadolint"), EXAMPLES / "Dockerfile")


def test_systemd_knows_the_unit(tmp_path):
    """Every directive is known, and little is left open."""
    program = tmp_path / "conda-assets"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "conda-assets-centre.service"
    text = (EXAMPLES / unit.name).read_text()
    unit.write_text(text.replace("/opt/conda-assets/bin/conda-assets", str(program)).replace("User=assets", "User=daemon"))
    analyze = tool("systemd-analyze")
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if unit.name in line] == []
    help_ = subprocess.run([analyze, "--help"], capture_output=True, text=True, check=False).stdout
    if "--threshold" in help_:
        passes(analyze, "security", "--offline=true", "--threshold=25", unit)


@contextmanager
def nginx(folder: Path, port: int, *, accounts: bool = False):
    """The example, with a certificate, ports and a password of our own. Gives (its port, what trusts it)."""
    trustme = pytest.importorskip("trustme", reason="trustme is not installed")
    if NGINX is None:
        pytest.skip("no nginx on this machine: `apt-get install nginx-light`")
    folder.mkdir()
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(folder / "site.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    (folder / "htpasswd").write_text("ann:{PLAIN}a password of hers\nadmin:{PLAIN}another\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        own = free.getsockname()[1]
    site = (EXAMPLES / "nginx.conf").read_text()
    changes = {
        "/etc/ssl/lab.example.pem": f"{folder}/site.pem",
        "/etc/ssl/private/lab.example.key": f"{folder}/site.pem",
        "/etc/nginx/lab.htpasswd": f"{folder}/htpasswd",
        "listen 443 ssl": f"listen 127.0.0.1:{own} ssl",
        "127.0.0.1:6801": f"127.0.0.1:{port}",
        "server_name lab.example": "server_name localhost",
    }
    for old, new in changes.items():
        assert old in site, old
        site = site.replace(old, new)
    if accounts:
        site = "\n".join(line for line in site.splitlines() if "auth_basic" not in line and "X-Remote-User " not in line)
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log; user root;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary}\n{site}\n}}\n"
    )
    passes(NGINX, "-t", "-q", "-c", folder / "nginx.conf", "-e", folder / "error.log")
    process = subprocess.Popen([NGINX, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")])
    try:
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        until(lambda: {"there": _reaches(own)}, lambda seen: seen["there"])
        yield own, context
    finally:
        process.terminate()
        process.wait()


def _reaches(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def port_of(client: Client) -> int:
    return int(client.url.rpartition(":")[2])


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def ask(at: tuple[int, ssl.SSLContext], method: str, path: str, body: object = None, **headers: str):
    connection = http.client.HTTPSConnection("localhost", at[0], context=at[1], timeout=20)
    data = json.dumps(body) if body is not None else None
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if data is not None:
        given["Content-Type"] = "application/json"
    connection.request(method, path, data, given)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


@pytest.mark.slow
def test_nginx_signs_people_in_and_nobody_signs_in_past_it(tmp_path):
    with running(tmp_path, trust_header="X-Remote-User") as (_, client), nginx(tmp_path / "nginx", port_of(client)) as at:
        ann = basic("ann", "a password of hers")
        answer, content = ask(at, "GET", "/api/v1/me", **ann)
        assert (answer.status, json.loads(content)["name"]) == (200, "ann")
        assert ask(at, "GET", "/", **ann)[0].status == 200
        token = client.token
        answer, content = ask(at, "GET", "/api/v1/me", Authorization=f"Bearer {token}", X_Remote_User="ann")
        assert (answer.status, json.loads(content)["name"]) == (200, "admin")
        # A name without its password, brought along in every way that there is.
        admin = basic("admin", "guessed")
        digest = "sha256:" + "0" * 64
        for path in (
            "/api/v1/me", "/api/v1/store/../me", "/api/v1/store/%2e%2e/me", f"/api/v1/store/ask?digest={digest}",
            "/jsonrpc/../api/v1/me", "/a:%20Bearer%20/../api/v1/me", "/healthz/../api/v1/me", "/api/v1/me/../store/x",
        ):  # fmt: skip
            named = {"X_Remote_User": "admin"}
            for more in (admin, named, {**admin, **named}, {"Authorization": "Bearer x", **named}):
                assert ask(at, "GET", path, **more)[0].status in (400, 401, 404), (path, more)
        assert ask(at, "GET", "/healthz")[0].status == 200


@pytest.mark.slow
def test_news_sockets_and_cookies_go_through(tmp_path):
    from websockets.sync.client import connect

    with (
        Server() as origin,
        running(tmp_path, trust_header="X-Remote-User") as (_, client),
        nginx(tmp_path / "nginx", port_of(client)) as at,
    ):
        ann = basic("ann", "a password of hers")
        listening = http.client.HTTPSConnection("localhost", at[0], context=at[1], timeout=20)
        listening.request("GET", "/api/v1/events", headers=ann)
        news = listening.getresponse()
        began = time.monotonic()
        ask(at, "POST", "/api/v1/jobs", {"text": origin.add("/w.bin", b"content")}, X_CSRF_Token="1", **ann)
        while b"w.bin" not in news.readline():
            pass
        assert time.monotonic() - began < 5
        listening.close()
        with connect(f"wss://localhost:{at[0]}/jsonrpc", ssl=at[1]) as talking:
            talking.send(json.dumps({"id": "1", "method": "aria2.getVersion", "params": [f"token:{client.token}"]}))
            assert json.loads(talking.recv(10))["result"]["version"]
        answer, _ = ask(at, "POST", "/api/v1/session", {"token": client.token}, **ann)
        assert "secure" in answer.headers["set-cookie"].lower()


@pytest.mark.slow
def test_with_accounts_of_the_centre_a_proxy_opens_nothing(tmp_path):
    """What is open to the machine itself is not open to all for whom its proxy asks."""
    with (
        running(tmp_path, hosts=("lab.example",)) as (_, client),
        nginx(tmp_path / "nginx", port_of(client), accounts=True) as at,
    ):
        assert Client(client.url).ask("GET", "/metrics").status == 200
        assert ask(at, "GET", "/metrics", Host="lab.example")[0].status == 401
        assert ask(at, "GET", "/metrics", Host="lab.example", X_Forwarded_For="127.0.0.1")[0].status == 401
        assert ask(at, "GET", "/metrics", Host="lab.example", Authorization=f"Bearer {client.token}")[0].status == 200
        assert Client(client.url).ask("GET", "/metrics", X_Forwarded_For="192.0.2.1").status == 401
        # Wrong passwords from one address do not shut the others out.
        client.api("POST", "/users", {"name": "bob", "role": "member", "password": "a long password"})
        right, wrong = ({"name": "bob", "password": each} for each in ("a long password", "a wrong password"))
        statuses = [
            Client(client.url).ask("POST", "/api/v1/session", wrong, X_Forwarded_For="192.0.2.1").status for _ in range(11)
        ]
        assert statuses == [401] * 10 + [429]
        assert ask(at, "POST", "/api/v1/session", right)[0].status == 201


@pytest.mark.slow
def test_a_client_fetches_through_nginx(tmp_path, monkeypatch):
    from lab import Lab

    content = Virtual(40 * MB, seed=1)
    monkeypatch.setenv("CONDA_ASSETS_STORE", str(tmp_path / "centre-store"))
    with Server() as origin, running(tmp_path) as (_, client), nginx(tmp_path / "nginx", port_of(client)) as at:
        monkeypatch.setenv("CONDA_ASSETS_STORE", str(tmp_path / "mine"))
        monkeypatch.setenv("CONDA_PLUGINS_ASSETS_SERVER", f"https://localhost:{at[0]}")
        monkeypatch.setenv("CONDA_ASSETS_SERVER_TOKEN", client.token)
        monkeypatch.setenv("CONDA_SSL_VERIFY", str(tmp_path / "nginx/ca.pem"))
        lab = Lab(tmp_path / "lab")
        lab.write([{"name": "w", "url": origin.add("/w.bin", content), "sha256": content.sha256}])
        from conda_assets.settings import load

        (row,) = lab.sync(settings=load(environ=os.environ)).outcomes
        assert (row.error, row.sha256) == (None, content.sha256)
        assert row.source.startswith(f"https://localhost:{at[0]}/")
