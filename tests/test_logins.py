"""What is sent to which host from netrc, conda's channels and anaconda's login; and that it is seen nowhere else."""

from __future__ import annotations

import base64
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conda_assets import sources
from conda_assets.errors import AccessDenied
from conda_assets.model import Asset, Fresh, shown_url
from conda_assets.settings import Network
from conda_assets.web import credentials
from conda_assets.web.credentials import credentials_for, login_for, netrc_warning
from lab import Lab
from server import Faults, Server

SECRET = "canary-77aa"
BASIC = (("Authorization", "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()),)
BODY = b"private bytes\n" * 1000


@pytest.fixture(autouse=True)
def read_anew() -> Iterator[None]:
    credentials._read.cache_clear()
    yield
    credentials._read.cache_clear()


@pytest.fixture
def netrc(clean_environ: Path) -> Callable[..., Path]:
    def write(*lines: str, mode: int = 0o600) -> Path:
        path = clean_environ / ".netrc"
        path.write_text("".join(f"{line}\n" for line in lines))
        path.chmod(mode)
        return path

    return write


def condarc(text: str) -> None:
    (Path(os.environ["HOME"]) / ".condarc").write_text(text)


def test_netrc_is_for_its_host(netrc: Callable[..., Path]) -> None:
    netrc(f"machine data.example login me password {SECRET}", f"default login anybody password {SECRET}")
    assert credentials_for("https://data.example/a") == Fresh("https://data.example/a", BASIC)
    assert credentials_for("https://DATA.example:8443/a") == Fresh("https://DATA.example:8443/a", BASIC)
    for url in ("https://sub.data.example/a", "https://example/a", "https://other.example/a", "ftp://data.example/a"):
        assert credentials_for(url) is None, "neither a neighbour nor `default`"
    login = login_for("data.example")
    assert login is not None
    assert (login.user, login.password) == ("me", SECRET)


def test_the_variable_names_another_file(netrc: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc("machine data.example login wrong password wrong")
    (tmp_path / "mine").write_text(f"machine data.example login me password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "mine"))
    assert credentials_for("https://data.example/a") == Fresh("https://data.example/a", BASIC)


@pytest.mark.parametrize(
    ("lines", "mode", "words"),
    [
        ((f"machine data.example login b password {SECRET}",), 0o644, "can be read by others; `chmod 600"),
        ((f"machine data.example login b password {SECRET} {SECRET}",), 0o600, "line"),
        ((f"machine data.example login b password {SECRET}",), 0o600, ""),
    ],
    ids=["open to others", "faulty", "right"],
)
def test_what_is_wrong_with_netrc_is_said_without_what_is_in_it(
    netrc: Callable[..., Path], lines: tuple[str, ...], mode: int, words: str
) -> None:
    netrc(*lines, mode=mode)
    assert netrc_warning(["https://other.example/x"]) == ""
    said = netrc_warning(["https://data.example/x"])
    assert SECRET not in said
    assert (words in said) if words else said == ""


URL = "https://repo.example/conda/lab/data.bin"


@pytest.mark.parametrize(
    ("text", "fresh"),
    [
        (f"channels: ['https://me:{SECRET}@repo.example/conda/lab']", Fresh(URL, BASIC)),
        ("channels: ['https://me:${LAB_WORD}@repo.example/conda/lab/']", Fresh(URL, BASIC)),
        (f"channel_alias: https://me:{SECRET}@repo.example/conda", Fresh(URL, BASIC)),
        (f"custom_channels: {{lab: 'https://me:{SECRET}@repo.example/conda'}}", Fresh(URL, BASIC)),
        (f"custom_multichannels: {{all: ['https://me:{SECRET}@repo.example/conda/lab']}}", Fresh(URL, BASIC)),
        (
            f"channels: ['https://repo.example/conda/t/{SECRET}/lab']",
            Fresh(f"https://repo.example/conda/t/{SECRET}/lab/data.bin"),
        ),
        (f"channels: ['https://repo.example/t/{SECRET}/conda']", Fresh(f"https://repo.example/t/{SECRET}/conda/lab/data.bin")),
        (f"channels: ['https://me:{SECRET}@repo.example/conda/other']", None),
        (f"channels: ['https://me:{SECRET}@repo.example/conda/la']", None),
        (f"channels: ['https://me:{SECRET}@repo.example:8443/conda/lab']", None),
        (f"channels: ['http://me:{SECRET}@repo.example/conda/lab']", None),
        ("channels: [conda-forge, 'https://repo.example/conda/lab', 7]", None),
    ],
)
def test_a_channels_credentials_are_for_what_lies_below_it(
    text: str, fresh: Fresh | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_WORD", SECRET)
    condarc(text)
    assert credentials_for(URL) == fresh


def test_what_an_url_brings_itself_is_left_alone(netrc: Callable[..., Path]) -> None:
    netrc(f"machine repo.example login me password {SECRET}")
    assert credentials_for("https://you:word@repo.example/a") is None
    assert credentials_for("https://repo.example/t/mine/a") is None


@pytest.mark.parametrize("wanted", [True, False])
def test_anacondas_login_is_for_its_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: bool) -> None:
    monkeypatch.setenv("BINSTAR_CONFIG_DIR", str(tmp_path))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "https%3A%2F%2Fapi.anaconda.org.token").write_text(SECRET)
    condarc(f"add_anaconda_token: {str(wanted).lower()}")
    fresh = Fresh(f"https://conda.anaconda.org/t/{SECRET}/lab/data.bin")
    assert credentials_for("https://conda.anaconda.org/lab/data.bin") == (fresh if wanted else None)
    assert credentials_for("http://conda.anaconda.org/lab/data.bin") is None
    assert credentials_for("https://conda.anaconda.org.evil.example/lab/data.bin") is None


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    with Server() as private, Server() as elsewhere:
        private.add("/lab/direct.bin", BODY, Faults(needs=BASIC[0]))
        private.add(f"/t/{SECRET}/lab/token.bin", BODY)
        elsewhere.add("/far.bin", BODY)
        private.add("/lab/led.bin", b"", Faults(redirect=elsewhere.url("/far.bin", host="localhost")))
        yield private, elsewhere


WAYS = {"netrc": "/lab/direct.bin", "redirect": "/lab/led.bin", "token": "/lab/token.bin"}


@pytest.mark.parametrize("path", WAYS.values(), ids=list(WAYS))
def test_a_private_file_is_probed_and_the_secret_is_shown_nowhere(
    servers: tuple[Server, Server], netrc: Callable[..., Path], path: str
) -> None:
    private, elsewhere = servers
    netrc(f"machine 127.0.0.1 login me password {SECRET}")
    if "token" in path:
        condarc(f"channels: ['{private.url(f'/t/{SECRET}/lab')}']")
    url = private.url(path)
    said = sources.probe(Asset("w", url, "w"), url, Network())
    assert (said.size_bytes, said.final_url) == (len(BODY), url)
    assert said.fresh is not None
    assert SECRET not in repr((said, said.fresh()))
    assert [each for each in elsewhere.requests if "authorization" in each.headers] == []


def test_the_assets_own_header_comes_first(servers: tuple[Server, Server], netrc: Callable[..., Path]) -> None:
    private, _ = servers
    netrc("machine 127.0.0.1 login me password wrong")
    url = private.url("/lab/direct.bin")
    said = sources.probe(Asset("w", url, "w", headers=dict(BASIC)), url, Network())
    assert said.fresh is None


@pytest.mark.parametrize("engine", ["aria2", "plain"])
@pytest.mark.parametrize("path", WAYS.values(), ids=list(WAYS))
def test_a_private_file_arrives_and_nothing_tells_the_secret(
    servers: tuple[Server, Server],
    netrc: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    engine: str,
) -> None:
    private, elsewhere = servers
    if engine == "plain":
        monkeypatch.setenv("CONDA_PLUGINS_ASSETS_ARIA2C", "none")
    netrc(f"machine 127.0.0.1 login me password {SECRET}")
    if "token" in path:
        condarc(f"channels: ['{private.url(f'/t/{SECRET}/lab')}']")
    lab = Lab(tmp_path)
    lab.write([{"name": "w", "url": private.url(path)}])
    lab.prefix()
    said = lab.run("sync", "-p", str(lab.prefix()), "--json", "-v")
    assert (said.status, said.rows()["w"]["state"]) == (0, "fetched"), said
    assert lab.placed("w").read_bytes() == BODY
    assert SECRET not in said.out + said.err
    kept = [
        path for path in itertools.chain(lab.prefix().rglob("*"), Path(os.environ["HOME"], "store").rglob("*")) if path.is_file()
    ]
    assert [path for path in kept if SECRET.encode() in path.read_bytes()] == []
    assert [each for each in elsewhere.requests if "authorization" in each.headers] == []


def test_a_download_centre_sends_nothing_of_its_owners(servers: tuple[Server, Server], netrc: Callable[..., Path]) -> None:
    private, _ = servers
    netrc(f"machine 127.0.0.1 login me password {SECRET}")
    url = private.url("/lab/direct.bin")
    with pytest.raises(AccessDenied):
        sources.probe(Asset("w", url, "w"), url, Network(admit=lambda port: None))
    assert [each for each in private.requests if "authorization" in each.headers] == []


def test_a_refusal_tells_no_token(servers: tuple[Server, Server]) -> None:
    private, _ = servers
    private.add(f"/t/{SECRET}/lab/closed.bin", b"", Faults(status=403))
    condarc(f"channels: ['{private.url(f'/t/{SECRET}/lab')}']")
    url = private.url("/lab/closed.bin")
    with pytest.raises(AccessDenied) as caught:
        sources.probe(Asset("w", url, "w"), url, Network())
    assert SECRET not in str(caught.value) + repr(caught.value)
    assert "~/.netrc" in caught.value.hints[0].text
    assert shown_url(f"https://x/t/{SECRET}/y") == "https://x/t/<TOKEN>/y"
