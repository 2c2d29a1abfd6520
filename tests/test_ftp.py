"""Files on FTP and SFTP servers: real ones on the loopback, a real aria2c, and passwords that nobody sees."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest

from conda_assets import sources
from conda_assets.errors import AccessDenied, AssetFailed, NetworkFailed, NoSource, NotThere, SizeMismatch
from conda_assets.model import Asset, Locked, State
from conda_assets.settings import Network
from conda_assets.sources import ftp
from conda_assets.web import credentials
from conda_assets.web.hostkeys import host_key_sha1
from ftpserver import FtpServer
from lab import Lab
from server import Virtual

pytestmark = pytest.mark.slow

BODY = Virtual(6_000_000, seed=9).read(0, 6_000_000)
SECRET = "canary-p@ss/word"
LOGIN = "me:canary-p%40ss%2Fword@"


@pytest.fixture(autouse=True)
def read_anew() -> None:
    credentials._read.cache_clear()


def netrc(host: str = "127.0.0.1") -> None:
    path = Path(os.environ["HOME"], ".netrc")
    path.write_text(f"machine {host} login me password {SECRET}\n")
    path.chmod(0o600)


def ask(url: str, **fields: object) -> Locked:
    return sources.probe(Asset(name="w", url=url, path="w", **fields), url, Network())  # type: ignore[arg-type]


def synced(lab: Lab, url: str) -> str:
    """Everything that was said and written of a sync that went well."""
    lab.write([{"name": "w", "url": url, "sha256": hashlib.sha256(BODY).hexdigest()}])
    said = lab.run("sync", "-p", str(lab.prefix()), "--json", "-v")
    assert (said.status, said.rows()["w"]["state"]) == (0, State.FETCHED.value), said
    assert lab.placed("w").read_bytes() == BODY
    kept = [path for path in lab.prefix().rglob("*") if path.is_file() and path.name != "w"]
    return said.out + said.err + "".join(path.read_text(errors="replace") for path in kept)


@pytest.mark.parametrize("way", ["anonymous", "url", "netrc"])
def test_a_file_arrives_and_the_password_is_seen_nowhere(tmp_path: Path, way: str) -> None:
    user = {} if way == "anonymous" else {"user": "me", "password": SECRET}
    with FtpServer({"a folder/w.bin": BODY}, **user) as server:
        if way == "netrc":
            netrc()
        said = synced(Lab(tmp_path), server.url("a%20folder/w.bin", LOGIN if way == "url" else ""))
        assert SECRET not in said
        assert "canary" not in said
        assert any(line == f"PASS {SECRET}" for line in server.said) == (way != "anonymous")


def test_the_server_is_asked_for_size_and_time(tmp_path: Path) -> None:
    with FtpServer({"w.bin": BODY}) as server:
        said = ask(server.url("w.bin"))
        assert (said.size_bytes, said.modified, said.resumable) == (len(BODY), "20251101120000", True)
        with pytest.raises(SizeMismatch):
            ask(server.url("w.bin"), size_bytes=1)
    with FtpServer({"w.bin": BODY}, rests=False) as server:
        assert not ask(server.url("w.bin")).resumable
        synced(Lab(tmp_path), server.url("w.bin"))


@pytest.mark.parametrize(
    ("path", "login", "kind", "words"),
    [
        ("v.bin", LOGIN, NotThere, "has no such file"),
        ("w.bin", "me:wrong-canary@", AccessDenied, "wants a user and a password"),
        ("w.bin", "", AccessDenied, "wants a user and a password"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(path: str, login: str, kind: type[AssetFailed], words: str) -> None:
    with FtpServer({"w.bin": BODY}, user="me", password=SECRET) as server, pytest.raises(kind, match=words) as caught:
        ask(server.url(path, login))
    assert "canary" not in str(caught.value) + repr(caught.value) + str(caught.value.to_json())
    assert caught.value.__cause__ is None


def test_a_server_that_is_away_is_asked_again() -> None:
    with FtpServer({}) as server:
        url = server.url("w.bin")
    with pytest.raises(NetworkFailed):
        ask(url)


def test_without_aria2c_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDA_PLUGINS_ASSETS_ARIA2C", "none")
    with FtpServer({"w.bin": BODY}) as server:
        lab = Lab(tmp_path)
        lab.write([{"name": "w", "url": server.url("w.bin")}])
        (row,) = lab.sync().outcomes
        assert isinstance(row.error, NoSource)
        assert "needs aria2c" in row.error.message


def test_a_download_centre_asks_no_such_server() -> None:
    url = "ftp://10.0.0.1/w.bin"
    with pytest.raises(NoSource):
        ftp.probe(Asset("w", url, "w"), url, Network(admit=lambda port: None))


@dataclass
class SshServer:
    """`key`: its public key as known_hosts has it."""

    port: int
    key: str


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[SshServer]:
    """An SFTP server with one user and one file, in a thread with an event loop of its own."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "w.bin").write_bytes(BODY)
    key = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    loop, ready, made = asyncio.new_event_loop(), threading.Event(), []

    class Door(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == ("me", SECRET)

    async def serve() -> None:
        def rooted(channel: object) -> asyncssh.SFTPServer:
            return asyncssh.SFTPServer(channel, chroot=str(tmp_path / "served"))

        options = {"server_host_keys": [key], "sftp_factory": rooted, "server_factory": Door}
        made.append(await asyncssh.listen("127.0.0.1", 0, **options))
        ready.set()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(20)
    yield SshServer(made[0].get_port(), key.export_public_key().decode().strip())

    async def end() -> None:
        made[0].close()
        await made[0].wait_closed()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    asyncio.run_coroutine_threadsafe(end(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(20)
    loop.close()


def know(line: str) -> None:
    path = Path(os.environ["HOME"], ".ssh", "known_hosts")
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write(line + "\n")


def test_a_known_ssh_server_gives_its_file(ssh: SshServer, tmp_path: Path) -> None:
    know(f"[127.0.0.1]:{ssh.port} {ssh.key}")
    said = synced(Lab(tmp_path), f"sftp://{LOGIN}127.0.0.1:{ssh.port}/w.bin")
    assert "canary" not in said


def test_netrc_serves_for_ssh_too(ssh: SshServer, tmp_path: Path) -> None:
    know(f"[127.0.0.1]:{ssh.port} {ssh.key}")
    netrc()
    synced(Lab(tmp_path), f"sftp://127.0.0.1:{ssh.port}/w.bin")


def test_an_ssh_server_that_nobody_knows_is_refused(ssh: SshServer) -> None:
    with pytest.raises(AccessDenied) as caught:
        ask(f"sftp://{LOGIN}127.0.0.1:{ssh.port}/w.bin")
    assert f"sftp -P {ssh.port} 127.0.0.1" in caught.value.hints[0].text
    assert "canary" not in str(caught.value.to_json())


def test_an_ssh_server_with_another_key_gets_no_password(ssh: SshServer, tmp_path: Path) -> None:
    other = asyncssh.generate_private_key("ecdsa-sha2-nistp256").export_public_key().decode().strip()
    know(f"[127.0.0.1]:{ssh.port} {other}")
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": f"sftp://{LOGIN}127.0.0.1:{ssh.port}/w.bin"}])
    (row,) = lab.sync().outcomes
    assert isinstance(row.error, AccessDenied), row.error
    assert "known_hosts" in row.error.message


def test_an_ssh_server_that_wants_another_password_says_so(ssh: SshServer, tmp_path: Path) -> None:
    know(f"[127.0.0.1]:{ssh.port} {ssh.key}")
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": f"sftp://me:canary@127.0.0.1:{ssh.port}/w.bin"}])
    (row,) = lab.sync().outcomes
    assert isinstance(row.error, AccessDenied), row.error
    assert "canary" not in str(row.error.to_json())


KEY = base64.b64encode(b"a key").decode()
SHA1 = hashlib.sha1(b"a key", usedforsecurity=False).hexdigest()


def hashed(name: str) -> str:
    salt = b"12345678901234567890"
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(
    ("line", "known"),
    [
        (f"data.example ssh-ed25519 {KEY}", True),
        (f"other,data.example,10.0.0.1 ssh-ed25519 {KEY} a comment", True),
        (f"*.example ssh-ed25519 {KEY}", True),
        (f"{hashed('data.example')} ssh-ed25519 {KEY}", True),
        (f"!data.example,*.example ssh-ed25519 {KEY}", False),
        (f"{hashed('other.example')} ssh-ed25519 {KEY}", False),
        (f"[data.example]:2222 ssh-ed25519 {KEY}", False),
        (f"@revoked data.example ssh-ed25519 {KEY}", False),
        (f"# data.example ssh-ed25519 {KEY}", False),
        ("data.example ssh-ed25519 !!!", False),
        ("data.example", False),
    ],
)
def test_known_hosts_is_read_as_ssh_reads_it(line: str, known: bool) -> None:
    know(line)
    assert host_key_sha1("Data.example") == (SHA1 if known else None)


def test_of_several_keys_the_one_that_will_be_shown_counts() -> None:
    know(f"h ssh-rsa {base64.b64encode(b'rsa').decode()}")
    know(f"h ssh-ed25519 {KEY}")
    assert host_key_sha1("h") == SHA1
