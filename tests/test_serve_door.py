"""Who gets in, and what does not get out: tokens, sessions, Host, Origin, private networks."""

from __future__ import annotations

import base64
import socket
from urllib.parse import urlsplit

import pytest

from centre import Client, running
from conda_assets.errors import UsageError
from conda_assets.serve.addresses import is_public, literal_address
from conda_assets.serve.gate import Gate
from conda_assets.serve.options import ServeOptions
from server import Faults, Server, Virtual

pytestmark = pytest.mark.slow

MB = 1_000_000


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """One for all that changes nothing that others look at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONDA_ASSETS_STORE", str(tmp_path_factory.mktemp("store")))
        with running(tmp_path_factory.mktemp("lab")) as (centre, client):
            yield centre, client


def cookie_of(said) -> str:
    return said.headers["set-cookie"].partition(";")[0]


def test_nobody_is_let_in_without_a_token(lab):
    _, client = lab
    said = Client(client.url).ask("GET", "/api/v1/jobs")
    assert (said.status, said.json["error"]["code"]) == (401, "not_signed_in")
    assert said.headers["www-authenticate"] == "Bearer"
    assert Client(client.url, "cat_wrong").ask("GET", "/api/v1/jobs").status == 401


def test_a_session_needs_its_word_for_whatever_changes_something(lab):
    _, client = lab
    anybody = Client(client.url)
    said = anybody.ask("POST", "/api/v1/session", {"token": client.token})
    assert "HttpOnly" in said.headers["set-cookie"]
    assert "samesite=strict" in said.headers["set-cookie"].lower()
    signed_in = Client(client.url, headers={"Cookie": cookie_of(said)})
    assert signed_in.ask("GET", "/api/v1/jobs").status == 200
    assert signed_in.ask("POST", "/api/v1/tokens", {"label": "x"}).status == 403
    signed_in.headers["X-CSRF-Token"] = said.json["csrf"]
    assert signed_in.ask("POST", "/api/v1/tokens", {"label": "x"}).status == 201
    assert signed_in.ask("DELETE", "/api/v1/session").status == 200
    assert signed_in.ask("GET", "/api/v1/jobs").status == 401


@pytest.mark.slow
def test_a_password_signs_in_and_guesses_are_not_heard_for_ever(lab):
    _, client = lab
    client.api("POST", "/users", {"name": "ann", "role": "member", "password": "correct horse"})
    anybody = Client(client.url)
    assert anybody.ask("POST", "/api/v1/session", {"name": "ann", "password": "correct horse"}).status == 201
    statuses = [anybody.ask("POST", "/api/v1/session", {"name": "ann", "password": f"guess {n}"}).status for n in range(11)]
    assert statuses == [401] * 10 + [429]
    said = anybody.ask("POST", "/api/v1/session", {"name": "ann", "password": "correct horse"})
    assert said.status == 429
    assert int(said.headers["retry-after"]) > 0


def test_roles_say_who_may_what(lab):
    _, client = lab
    people = {
        role: Client(client.url, client.api("POST", "/users", {"name": role, "role": role})["token"])
        for role in ("reader", "member")
    }
    assert people["reader"].ask("POST", "/api/v1/jobs", {"text": "https://example.org/x"}).status == 403
    assert people["member"].ask("GET", "/api/v1/users").status == 403
    assert people["member"].ask("PUT", "/api/v1/pace", {"limit_rate": 1}).status == 403
    assert [row["action"] for row in client.api("GET", "/audit?limit=2")["lines"]] == ["add user", "add user"]


def test_the_last_administrator_stays(lab):
    _, client = lab
    assert client.api("PATCH", "/users/1", {"role": "reader"}, status=409)["error"]["code"] == "out_of_turn"
    assert client.api("GET", "/me")["role"] == "admin"


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost:1"}],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pages_of_other_sites_and_rebound_names_are_refused(lab, headers, method):
    _, client = lab
    said = client.ask(method, "/api/v1/jobs", {"text": "https://example.org/x"} if method == "POST" else None, **headers)
    assert (said.status, said.json["error"]["code"]) == (403, "not_allowed")
    assert "access-control-allow-origin" not in said.headers


def test_a_form_of_another_site_is_no_json(lab):
    _, client = lab
    assert client.ask("POST", "/api/v1/jobs", {"text": "https://example.org/x"}, Content_Type="text/plain").status == 400


def test_every_answer_tells_browsers_to_be_careful(lab):
    _, client = lab
    for path in ("/", "/api/v1/jobs", "/nowhere", "/healthz"):
        headers = client.ask("GET", path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"


def test_a_proxy_that_signs_people_in_is_believed_and_nobody_else(tmp_path):
    with running(tmp_path, trust_header="X-Remote-User") as (_, client):
        anybody = Client(client.url)
        assert anybody.ask("GET", "/api/v1/me", X_Remote_User="ann").json["name"] == "ann"
        assert anybody.ask("POST", "/api/v1/tokens", {"label": "x"}, X_Remote_User="ann").status == 403
        assert anybody.ask("POST", "/api/v1/tokens", {"label": "x"}, X_Remote_User="ann", X_CSRF_Token="1").status == 201
    with running(tmp_path, trust_header="X-Remote-User", proxies=("192.0.2.1",)) as (_, client):
        assert Client(client.url).ask("GET", "/api/v1/me", X_Remote_User="admin").status == 401


def test_other_addresses_than_loopback_need_tls_or_a_word(tmp_path):
    with pytest.raises(UsageError, match="unencrypted"):
        ServeOptions(data=tmp_path, host="0.0.0.0").check()
    ServeOptions(data=tmp_path, host="0.0.0.0", plain_http=True).check()


_PRIVATE = [
    "http://127.0.0.1/x", "http://127.1/x", "http://2130706433/x", "http://0x7f.1/x", "http://017700000001/x", "http://0/x",
    "http://[::1]/x", "http://[::ffff:127.0.0.1]/x", "http://[::ffff:10.0.0.1]/x", "http://[64:ff9b::7f00:1]/x",
    "http://[fe80::1]/x", "http://[fc00::1]/x", "http://[2002:7f00:1::]/x", "http://10.1.2.3/x", "http://172.16.0.1/x",
    "http://192.168.1.1/x", "http://169.254.169.254/latest", "http://100.64.0.1/x", "http://0.0.0.0/x", "http://255.255.255.255/x",
    "http://224.0.0.1/x", "http://localhost/x", "http://localhost./x", "http://a.localhost/x", "http://metadata.google.internal/x",
    "http://printer.local/x", "http://user@127.0.0.1/x",
]  # fmt: skip
_OTHER = [
    "file:///etc/passwd",
    "ftp://example.org/x",
    "gopher://example.org/x",
    "data:,x",
    "http:///x",
    "http://[::1",
    "magnet:?xt=1",
    "sftp://example.org/x",
    "https://example.org/x.torrent",
    "https://example.org/x.TORRENT#part",
]


@pytest.mark.parametrize("url", _PRIVATE + _OTHER)
def test_urls_into_the_servers_own_network_are_refused(tmp_path_factory, private_lab, url):
    said = private_lab.ask("POST", "/api/v1/jobs", {"text": url})
    assert said.status == 400, said.body
    assert said.json["error"]["code"] == "refused"


@pytest.fixture(scope="module")
def private_lab(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONDA_ASSETS_STORE", str(tmp_path_factory.mktemp("store")))
        with running(tmp_path_factory.mktemp("lab"), private=False) as (_, client):
            yield client


def test_addresses_are_told_apart():
    assert is_public("93.184.216.34")
    assert is_public("2606:2800:220:1::1")
    assert not any(map(is_public, ("10.0.0.1", "::1", "fe80::1%eth0", "64:ff9b::a00:1", "no address")))
    assert literal_address("http://example.org/") is None
    assert literal_address("http://1.2.3/") == "1.2.0.3"


class Names:
    """A resolver of our own; each name has the next of its answers each time it is asked for."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers, self.asked = answers, []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        answers = self.answers[host.partition(".")[0]]
        return [answers.pop(0) if len(answers) > 1 else answers[0]]


def only_loopback_1(address: str) -> bool:
    """Stands for the public: 127.0.0.1; all else is private."""
    return address == "127.0.0.1"


def test_bytes_come_through_the_gate(tmp_path):
    content = Virtual(20 * MB, seed=1)
    gate = Gate(only_loopback_1, Names(public=["127.0.0.1"]))
    with Server() as origin, running(tmp_path, gate=gate, private=False) as (_, client):
        port = urlsplit(origin.add("/w.bin", content)).port
        (job,) = client.add(f"http://public.example:{port}/w.bin")
        assert client.done(job["id"])["sha256"] == content.sha256
        assert {request.headers["host"] for request in origin.seen("/w.bin")} == {f"public.example:{port}"}
        assert all("proxy-authorization" not in request.headers for request in origin.seen("/w.bin"))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_redirect_into_a_private_network_ends_at_the_gate(tmp_path, scheme):
    gate = Gate(only_loopback_1, Names(public=["127.0.0.1"], inside=["10.0.0.7"]))
    with Server() as origin, running(tmp_path, gate=gate, private=False) as (_, client):
        port = urlsplit(origin.redirect("/w.bin", f"{scheme}://inside.example/secret")).port
        (job,) = client.add(f"http://public.example:{port}/w.bin")
        job = client.done(job["id"])
        assert (job["state"], job["error"]["code"]) == ("failed", "access_denied")


def test_a_name_that_leads_elsewhere_the_second_time_ends_at_the_gate(tmp_path):
    names = Names(public=["127.0.0.1", "127.0.0.2"])
    with Server() as origin, running(tmp_path, gate=Gate(only_loopback_1, names), private=False) as (_, client):
        port = urlsplit(origin.add("/w.bin", Virtual(4 * MB, seed=2))).port
        (job,) = client.add(f"http://public.example:{port}/w.bin")
        client.until(job["id"], lambda seen: seen["note"] != "" or seen["state"] == "failed")
        assert len(names.asked) > 1
        assert sum(request.sent for request in origin.seen("/w.bin")) <= 1


def test_the_gate_is_no_proxy_for_others():
    gate = Gate(lambda address: True)
    gate.start()
    try:
        parts = urlsplit(gate.url)
        for line in ("", f"Proxy-Authorization: Basic {base64.b64encode(b'gate:guess').decode()}\r\n"):
            with socket.create_connection((parts.hostname, parts.port)) as connection:
                connection.sendall(f"CONNECT example.org:80 HTTP/1.1\r\n{line}\r\n".encode())
                assert connection.recv(100).startswith(b"HTTP/1.1 407 ")
    finally:
        gate.close()


def test_secrets_in_urls_are_shown_to_nobody(lab):
    _, client = lab
    with Server() as origin:
        url = origin.add("/w.bin", b"content", Faults()).replace("http://", "http://user:hunter2@") + "?token=hunter3"
        (job,) = client.add(url)
        client.done(job["id"])
        for path in ("/jobs", "/history", "/audit", f"/jobs/{job['id']}"):
            assert b"hunter" not in client.ask("GET", f"/api/v1{path}").body


def test_a_password_in_a_url_goes_to_its_host_through_our_own_broker_and_the_gate(tmp_path):
    content = Virtual(3 * MB, seed=3)
    gate = Gate(only_loopback_1, Names(public=["127.0.0.1"]))
    with Server() as origin, running(tmp_path, gate=gate, private=False) as (_, client):
        port = urlsplit(origin.add("/w.bin", content, Faults(user="ann:pass"))).port
        (job,) = client.add(f"http://ann:pass@public.example:{port}/w.bin")
        assert client.done(job["id"])["sha256"] == content.sha256
