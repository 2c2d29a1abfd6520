"""Environments made for real by the embedded engine, from channels on the local disk and on loopback servers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import distribution
from pathlib import Path

import pytest
import trustme

from base import PYTHON, installed_packages, python_package
from channel import Package, make_channel
from conda_assets import bootstrap
from conda_assets.bootstrap.child import run_engine
from conda_assets.bootstrap.prefix import read_history
from conda_assets.bootstrap.wire import Done, Failed, Job, to_line
from conda_assets.errors import AssetsError, BootstrapFailed, UsageError
from conda_assets.events import Event, Noted, nobody
from conda_assets.settings import Network, Settings, load, native_subdir
from condas import conda_params
from server import Server

pytestmark = pytest.mark.slow

DEADLINE_S = 60.0
SHELLS = ("sh", "dash", "bash", "zsh")


def plain(name: str, version: str = "1.0", depends: Sequence[str] = (), **more: object) -> Package:
    files = {f"share/{name}.txt": version.encode()}
    return Package(name, version, depends=depends, files=files, noarch="generic", **more)  # type: ignore[arg-type]


@pytest.fixture
def channels(tmp_path: Path) -> Path:
    """`main` (a 1.0 needs b >=2; b 1.0 and 2.0; c) and `extra` (b 3.0, gpu, broken)."""
    make_channel(
        tmp_path / "channels" / "main",
        [plain("a", depends=["b >=2"]), plain("b", "1.0"), plain("b", "2.0", depends=["c"]), plain("c")],
    )
    make_channel(
        tmp_path / "channels" / "extra",
        [plain("b", "3.0"), plain("gpu", depends=["__cuda >=12"]), plain("broken", depends=["nowhere >=1"])],
    )
    return tmp_path / "channels"


@pytest.fixture(scope="session")
def python_channel(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A channel with a Python, pip, and two versions of a noarch package with a program."""
    tool = {
        version: Package(
            "tool",
            version,
            depends=["python"],
            noarch="python",
            files={
                "site-packages/tool/__init__.py": f"def main():\n    print({version!r})\n".encode(),
                "site-packages/tool/not_python.py": b"this is ( no Python\n",
                **({"site-packages/tool/old.py": b"x = 1\n"} if version == "1.0" else {}),
            },
            entry_points=["tool = tool:main"],
        )
        for version in ("1.0", "2.0")
    }
    return make_channel(tmp_path_factory.mktemp("python-channel"), [python_package(), *installed_packages("pip"), *tool.values()])


@pytest.fixture
def settings(channels: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The defaults, with names of channels meaning folders below `channels`."""
    monkeypatch.setenv("CONDA_CHANNEL_ALIAS", channels.as_uri())
    return load(environ=os.environ)


def create(text: str, prefix: Path, settings: Settings, *, watch: object = nobody, **choices: object) -> bootstrap.Created:
    source = str(prefix.parent / "environment.yml")
    return bootstrap.create(
        [(source, text)],
        prefix=prefix,
        settings=settings,
        environ=os.environ,
        choices=bootstrap.Choices(**{"engine": "rattler", **choices}),  # type: ignore[arg-type]
        watch=watch,  # type: ignore[arg-type]
    )


def damages(prefix: Path) -> list[str]:
    """Every file that a package's record promises and that is not there or has other bytes."""
    found = []
    for record in sorted((prefix / "conda-meta").glob("*.json")):
        for row in json.loads(record.read_text())["paths_data"]["paths"]:
            path = prefix / row["_path"]
            if not path.exists():
                found.append(f"{record.name}: {row['_path']} is missing")
            elif row["path_type"] == "hardlink":
                expected = row.get("sha256_in_prefix") or row["sha256"]
                if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
                    found.append(f"{record.name}: {row['_path']} has other bytes")
    return found


def wait_until(claim: object, what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not claim():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"not within {DEADLINE_S:.0f} s: {what}"
        time.sleep(0.01)


# ---- making


def test_an_environment_is_made_and_known_to_conda_s_conventions(tmp_path: Path, settings: Settings, clean_environ: Path) -> None:
    seen: list[Event] = []
    prefix = tmp_path / "env"
    made = create("channels: [main]\ndependencies: [a]\nvariables: {GREETING: hello}\n", prefix, settings, watch=seen.append)
    assert replace(made, seconds=0) == bootstrap.Created(prefix, "rattler", True, 0, ("a-1.0-0", "b-2.0-0", "c-1.0-0"), 3, 0)
    assert damages(prefix) == []
    assert read_history(prefix).requested == {"a": "a"}
    assert read_history(prefix).state == {"main/noarch::a-1.0-0", "main/noarch::b-2.0-0", "main/noarch::c-1.0-0"}
    assert json.loads((prefix / "conda-meta" / "state").read_text()) == {"env_vars": {"GREETING": "hello"}}
    assert (clean_environ / ".conda" / "environments.txt").read_text() == f"{prefix}\n"
    assert sorted(path.name for path in prefix.iterdir()) == ["conda-meta", "share"]
    assert {type(event) for event in seen} == {Noted}
    assert seen[0] == Noted("reading channels and solving")


def test_the_same_again_changes_nothing(tmp_path: Path, settings: Settings) -> None:
    text = "channels: [main]\ndependencies: [a]\nvariables: {A: 1}\n"
    create(text, tmp_path / "env", settings)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in (tmp_path / "env").rglob("*")}
    again = create(text, tmp_path / "env", settings)
    assert (again.new, again.linked, again.unlinked) == (False, 0, 0)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in (tmp_path / "env").rglob("*")} == before


def test_an_environment_is_updated_in_place(tmp_path: Path, settings: Settings) -> None:
    """The user's files and earlier requests stay; with `prune` the file alone counts."""
    prefix = tmp_path / "env"
    create("channels: [main]\ndependencies: [c]\n", prefix, settings)
    (prefix / "share" / "mine.txt").write_text("mine")
    made = create("channels: [main]\ndependencies: [b=1]\n", prefix, settings)
    assert made.packages == ("b-1.0-0", "c-1.0-0")
    made = create("channels: [main]\ndependencies: [b=1]\n", prefix, settings, prune=True, dry_run=True)
    assert (made.packages, made.unlinked) == (("b-1.0-0",), 1)
    assert (prefix / "share" / "c.txt").exists()
    made = create("channels: [main]\ndependencies: [b=1]\n", prefix, settings, prune=True)
    assert made.unlinked == 1
    assert sorted(path.name for path in (prefix / "share").iterdir()) == ["b.txt", "mine.txt"]


def test_pins_of_the_environment_are_respected(tmp_path: Path, settings: Settings) -> None:
    prefix = tmp_path / "env"
    create("channels: [main]\ndependencies: [c]\n", prefix, settings)
    (prefix / "conda-meta" / "pinned").write_text("b <2\n")
    assert create("channels: [main]\ndependencies: [b]\n", prefix, settings).packages == ("b-1.0-0", "c-1.0-0")
    with pytest.raises(BootstrapFailed, match="b <2"):
        create("channels: [main]\ndependencies: [a]\n", prefix, settings)


def test_an_environment_without_packages_is_one(tmp_path: Path, settings: Settings) -> None:
    assert create("channels: [main]\n", tmp_path / "env", settings).packages == ()
    assert (tmp_path / "env" / "conda-meta" / "history").exists()


def test_a_dry_run_writes_nothing(tmp_path: Path, settings: Settings, clean_environ: Path) -> None:
    made = create("channels: [main]\ndependencies: [a]\nvariables: {A: 1}\n", tmp_path / "env", settings, dry_run=True)
    assert made.packages == ("a-1.0-0", "b-2.0-0", "c-1.0-0")
    assert not (tmp_path / "env").exists()
    assert not (clean_environ / ".conda").exists()


def test_scripts_of_packages_run_as_with_conda(tmp_path: Path, settings: Settings, channels: Path) -> None:
    script = b'#!/bin/sh\necho "$PKG_NAME-$PKG_VERSION" > "$PREFIX/share/post-link"\necho chatter\n'
    make_channel(channels / "scripts", [Package("noisy", files={"bin/.noisy-post-link.sh": script, "share/noisy": b""})])
    create("channels: [scripts]\ndependencies: [noisy]\n", tmp_path / "env", settings)
    assert (tmp_path / "env" / "share" / "post-link").read_text() == "noisy-1.0\n"


def test_a_script_of_a_package_that_fails_is_named(tmp_path: Path, settings: Settings, channels: Path) -> None:
    script = b"#!/bin/sh\necho it hurts >&2\nexit 3\n"
    make_channel(channels / "scripts", [Package("broken", files={"bin/.broken-post-link.sh": script})])
    with pytest.raises(BootstrapFailed, match=r"a script of a package failed: bin/\.broken-post-link\.sh of broken"):
        create("channels: [scripts]\ndependencies: [broken]\n", tmp_path / "env", settings)
    assert not (tmp_path / "env").exists()


# ---- channels


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("channels: [main, extra]\ndependencies: [b]\n", ("b-2.0-0", "c-1.0-0")),
        ("channels: [extra, main]\ndependencies: [b]\n", ("b-3.0-0",)),
        ("channels: [main, extra]\ndependencies: ['extra::b']\n", ("b-3.0-0",)),
        ("channels: [main]\ndependencies: ['extra::b', c]\n", ("b-3.0-0", "c-1.0-0")),
        ("channels: [main]\ndependencies: ['b[channel=extra]']\n", ("b-3.0-0",)),
        ("channels: [main]\ndependencies: ['b=1.0=0']\n", ("b-1.0-0",)),
        ("channels: [main]\ndependencies: ['B <2']\n", ("b-1.0-0",)),
        ("channels: ['${WHERE}/extra', nodefaults]\ndependencies: [b]\n", ("b-3.0-0",)),
    ],
    ids=["first wins", "order", "named", "named outside", "in brackets", "build", "upper case", "variable"],
)
def test_channels_have_strict_priority(
    text: str, expected: tuple[str, ...], tmp_path: Path, settings: Settings, channels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERE", channels.as_uri())
    assert create(text, tmp_path / "env", settings).packages == expected


def test_a_version_that_only_a_weaker_channel_has_is_not_taken(tmp_path: Path, settings: Settings) -> None:
    """rattler 0.28 by itself takes it: it looks at matching packages only."""
    with pytest.raises(BootstrapFailed, match="strict channel priority") as caught:
        create("channels: [main, extra]\ndependencies: ['b >=3']\n", tmp_path / "env", settings)
    assert "channel::package" in caught.value.hints[0].text


def test_without_channels_conda_forge_is_asked(tmp_path: Path, settings: Settings, channels: Path, clean_environ: Path) -> None:
    (channels / "main").rename(channels / "conda-forge")
    assert create("dependencies: [c]\n", tmp_path / "one", settings).packages == ("c-1.0-0",)
    (clean_environ / ".condarc").write_text("channels: [extra]\n")
    assert create("dependencies: [b]\n", tmp_path / "two", settings).packages == ("b-3.0-0",)
    assert create("channels: [none]\ndependencies: [c]\n", tmp_path / "3", settings, channels=("conda-forge",)).packages == (
        "c-1.0-0",
    )


def test_a_channel_without_packages_for_this_platform_is_a_channel(tmp_path: Path, settings: Settings, channels: Path) -> None:
    shutil.rmtree(channels / "main" / native_subdir())
    assert create("channels: [main]\ndependencies: [c]\n", tmp_path / "one", settings).packages == ("c-1.0-0",)
    with Server(folder=channels) as server:
        text = f"channels: ['{server.url('/main')}']\ndependencies: [c]\n"
        assert create(text, tmp_path / "two", settings).packages == ("c-1.0-0",)


def test_a_package_may_be_given_by_its_url(tmp_path: Path, settings: Settings, channels: Path) -> None:
    url = f"{channels.as_uri()}/extra/noarch/b-3.0-0.tar.bz2"
    assert create(f"channels: [main]\ndependencies: ['{url}']\n", tmp_path / "env", settings).packages == ("b-3.0-0",)


def test_secrets_of_a_channel_stay_out_of_the_environment(tmp_path: Path, settings: Settings, channels: Path) -> None:
    seen: list[Event] = []
    with Server(folder=channels) as server:
        for path in sorted(channels.rglob("*.*")):
            server.add(f"/t/tok-sesame/{path.relative_to(channels).as_posix()}", path)
        url = server.url("/t/tok-sesame/main").replace("://", "://someone:sesame@")
        made = create(f"channels: ['{url}']\ndependencies: [a]\n", tmp_path / "env", settings, watch=seen.append)
        assert made.packages == ("a-1.0-0", "b-2.0-0", "c-1.0-0")
        again = create(f"channels: ['{url}']\ndependencies: [a]\n", tmp_path / "env", settings, watch=seen.append)
        assert (again.linked, again.unlinked) == (0, 0)
        assert "to install" not in str(seen[-1])
        with pytest.raises(BootstrapFailed) as caught:
            create(f"channels: ['{url}']\ndependencies: [a, zzz]\n", tmp_path / "env2", settings, watch=seen.append)
        with pytest.raises(BootstrapFailed) as caught_too:
            create(f"channels: ['{url}x']\ndependencies: [a]\n", tmp_path / "env3", settings, watch=seen.append)
    written = {path: path.read_bytes() for path in (tmp_path / "env").rglob("*") if path.is_file()}
    assert [path for path, content in written.items() if b"sesame" in content] == []
    record = json.loads((tmp_path / "env" / "conda-meta" / "c-1.0-0.json").read_text())
    assert (record["url"], record["channel"]) == (server.url("/main/noarch/c-1.0-0.tar.bz2"), server.url("/main/"))
    for said in (str(caught.value), str(caught.value.hints), str(caught_too.value), str(seen)):
        assert "sesame" not in said
    assert "/main" in str(caught_too.value)


# ---- refusals


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "kind", "says", "hint"),
    [
        ("channels: [main]\ndependencies: [zzz]\n", BootstrapFailed, "No candidates were found for zzz", "check both"),
        ("channels: [main]\ndependencies: [c=99]\n", BootstrapFailed, "No candidates were found for c 99", "check both"),
        ("channels: [extra]\ndependencies: [broken]\n", BootstrapFailed, "nowhere >=1", "check both"),
        ("channels: [extra]\ndependencies: [gpu]\n", BootstrapFailed, "__cuda >=12", "CONDA_OVERRIDE_CUDA"),
        ("channels: [main]\ndependencies: [a, b=1]\n", BootstrapFailed, "conflicts with", "loosen"),
        ("channels: [nowhere]\ndependencies: [a]\n", BootstrapFailed, "channels/nowhere", "name or URL"),
        ("channels: ['http://127.0.0.1:9/c']\ndependencies: [a]\n", BootstrapFailed, "127.0.0.1:9", "network"),
        ("channels: [damaged]\ndependencies: [a]\n", BootstrapFailed, "channels/damaged", "damaged"),
        ("channels: [main]\ndependencies: ['one two three four', 'x @@ 1']\n", UsageError, "'x @@ 1'", "conda's grammar"),
        ("channels: [main]\ndependencies: [{pip: [-r nowhere.txt]}]\n", UsageError, "nowhere.txt", "relative"),
    ],
    ids=["package", "version", "dependency", "virtual", "conflict", "channel", "network", "index", "grammar", "requirements"],
)
def test_what_cannot_be_made_is_said_with_the_next_step_and_leaves_nothing(
    text: str, kind: type[AssetsError], says: str, hint: str, tmp_path: Path, settings: Settings, channels: Path
) -> None:
    (channels / "damaged" / "noarch").mkdir(parents=True)
    (channels / "damaged" / "noarch" / "repodata.json").write_text("{oops")
    (channels / "damaged" / native_subdir()).mkdir()
    with pytest.raises(kind) as caught:
        create(text, tmp_path / "env", settings)
    assert says in caught.value.message
    assert hint in caught.value.hints[0].text
    assert not (tmp_path / "env").exists()


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("words")
    with pytest.raises(UsageError, match=r"thesis\.tex"):
        create("channels: [main]\ndependencies: [a]\n", tmp_path / "thesis", settings)
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["thesis.tex"]


def test_a_failed_update_leaves_the_environment_as_it_was(tmp_path: Path, settings: Settings) -> None:
    prefix = tmp_path / "env"
    create("channels: [main]\ndependencies: [a]\n", prefix, settings)
    before = {path: path.stat().st_mtime_ns for path in prefix.rglob("*")}
    with pytest.raises(BootstrapFailed):
        create("channels: [main]\ndependencies: [zzz]\n", prefix, settings)
    assert {path: path.stat().st_mtime_ns for path in prefix.rglob("*")} == before


def test_a_package_with_other_bytes_than_the_index_says_is_refused(tmp_path: Path, settings: Settings, channels: Path) -> None:
    path = channels / "main" / "noarch" / "c-1.0-0.tar.bz2"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BootstrapFailed, match=r"c-1\.0-0"):
        create("channels: [main]\ndependencies: [c]\n", tmp_path / "env", settings)
    assert not (tmp_path / "env").exists()


def test_a_disk_that_refuses_is_named(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BootstrapFailed) as caught:
        create("channels: [main]\ndependencies: [c]\n", tmp_path / "file" / "env", settings)
    assert str(tmp_path / "file" / "env") in caught.value.message


def test_a_damaged_record_is_named(tmp_path: Path, settings: Settings) -> None:
    create("channels: [main]\ndependencies: [c]\n", tmp_path / "env", settings)
    record = tmp_path / "env" / "conda-meta" / "c-1.0-0.json"
    record.write_text("{")
    with pytest.raises(BootstrapFailed, match=r"c-1\.0-0\.json"):
        create("channels: [main]\ndependencies: [c]\n", tmp_path / "env", settings)
    assert record.read_text() == "{"


# ---- the network


def test_offline_takes_what_is_here_and_names_what_is_not(tmp_path: Path, settings: Settings, channels: Path) -> None:
    offline = replace(settings, offline=True)
    with Server(folder=channels) as server:
        text = f"channels: ['{server.url('/main')}']\ndependencies: [%s]\n"
        with pytest.raises(BootstrapFailed) as caught:
            create(text % "a", tmp_path / "env", offline)
        assert server.requests == []
        create(text % "c", tmp_path / "one", settings)
        asked = len(server.requests)
        assert asked
        assert create(text % "c", tmp_path / "two", offline).packages == ("c-1.0-0",)
        with pytest.raises(BootstrapFailed, match=r"a-1\.0-0\.tar\.bz2.*b-2\.0-0\.tar\.bz2"):
            create(text % "a", tmp_path / "three", offline)
        assert len(server.requests) == asked
        # A folder is no network.
        assert create("channels: [main]\ndependencies: [a]\n", tmp_path / "four", offline).linked == 3
    assert "network" in caught.value.hints[0].text


@pytest.mark.slow
def test_certificates_are_judged_by_the_settings(tmp_path: Path, settings: Settings, channels: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with Server(folder=channels, tls=context) as server:
        text = f"channels: ['{server.url('/main')}']\ndependencies: [c]\n"
        with pytest.raises(BootstrapFailed) as caught:
            create(text, tmp_path / "refused", settings)
        assert "ssl_verify" in caught.value.hints[0].text, caught.value
        for number, verify in enumerate((str(tmp_path / "ca.pem"), False)):
            trusting = replace(settings, network=replace(settings.network, verify=verify))
            assert create(text, tmp_path / f"env{number}", trusting).packages == ("c-1.0-0",)


def test_a_proxy_of_the_settings_is_used(tmp_path: Path, settings: Settings, channels: Path) -> None:
    with Server() as proxy:
        for path in sorted(channels.rglob("*.*")):
            proxy.add(f"http://channels.example/{path.relative_to(channels).as_posix()}", path)
            proxy.add(f"/{path.relative_to(channels).as_posix()}", path)
        through = replace(settings, network=Network(proxies=(("http", proxy.url()),)))
        made = create("channels: ['http://channels.example/main']\ndependencies: [c]\n", tmp_path / "env", through)
        assert made.packages == ("c-1.0-0",)
        assert proxy.requests


# ---- Python


@pytest.mark.slow
def test_programs_byte_code_and_pip_work(tmp_path: Path, python_channel: str, settings: Settings) -> None:
    wheel = tmp_path / "wheels" / "thing-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("thing.py", "import os\nvalue = os.environ.get('A')\n")
        archive.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        archive.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("thing-1.0.dist-info/RECORD", "")
    (tmp_path / "reqs.txt").write_text("./wheels/thing-1.0-py3-none-any.whl\n")
    prefix = tmp_path / "an env"
    seen: list[Event] = []
    text = f"channels: ['{python_channel}']\ndependencies: [tool=1, {{pip: [--no-index, -r reqs.txt]}}]\nvariables: {{A: b}}\n"
    create(text, prefix, settings, watch=seen.append)
    assert damages(prefix) == []
    assert subprocess.run([prefix / "bin" / "tool"], capture_output=True, text=True, check=True).stdout == "1.0\n"
    subprocess.run([prefix / "bin" / "python", "-c", "import thing"], check=True)
    site = prefix / "lib" / f"python{PYTHON}" / "site-packages"
    # conda's own behaviour: compiled, recorded, and a file that cannot be compiled is passed over.
    tag = f"cpython-{PYTHON.replace('.', '')}"
    assert sorted(path.name for path in (site / "tool" / "__pycache__").iterdir()) == [f"__init__.{tag}.pyc", f"old.{tag}.pyc"]
    assert any("Successfully installed thing-1.0" in event.text for event in seen if isinstance(event, Noted))
    # An update takes the old version's byte code with it.
    create(text.replace("tool=1", "tool=2"), prefix, settings)
    assert subprocess.run([prefix / "bin" / "tool"], capture_output=True, text=True, check=True).stdout == "2.0\n"
    assert sorted(path.name for path in (site / "tool").rglob("*.*")) == [f"__init__.{tag}.pyc", "__init__.py", "not_python.py"]


@pytest.mark.slow
def test_a_failing_pip_section_keeps_the_environment_and_says_how_to_go_on(
    tmp_path: Path, python_channel: str, settings: Settings
) -> None:
    text = f"channels: ['{python_channel}']\ndependencies: [python, {{pip: [--no-index, no-such-thing]}}]\n"
    with pytest.raises(BootstrapFailed, match="no-such-thing") as caught:
        create(text, tmp_path / "env", settings)
    assert f"conda-assets create -f {tmp_path / 'environment.yml'} -p {tmp_path / 'env'}" in caught.value.hints[0].text
    assert (tmp_path / "env" / "bin" / "python").exists()
    assert read_history(tmp_path / "env").requested == {"python": "python", "pip": "pip"}


def test_an_environment_for_another_platform_runs_nothing(tmp_path: Path, settings: Settings, channels: Path) -> None:
    other = "osx-arm64" if native_subdir() != "osx-arm64" else "linux-64"
    make_channel(channels / "foreign", [Package("m", files={"bin/m": b"#!/bin/sh\n"}, depends=["__unix"], subdir=other)])
    text = "channels: [foreign, main]\ndependencies: [m, c]\n"
    assert create(text, tmp_path / "env", settings, subdir=other).packages == ("c-1.0-0", "m-1.0-0")
    assert (tmp_path / "env" / ".condarc").read_text() == f"subdir: {other}\n"
    with pytest.raises(BootstrapFailed, match=f"pip cannot install for {other}"):
        create("dependencies: [{pip: [x]}]\n", tmp_path / "env2", settings, subdir=other)


# ---- activation without conda


_HOOKS = {
    "etc/conda/activate.d/a.sh": b"export HOOKED=${HOOKED-}a\n",
    "etc/conda/activate.d/b.sh": b"export HOOKED=${HOOKED-}b\n",
    "etc/conda/deactivate.d/a.sh": b"UNHOOKED=${UNHOOKED-}a\n",
    "etc/conda/deactivate.d/b.sh": b"UNHOOKED=${UNHOOKED-}b; unset HOOKED\n",
    "bin/say": b"#!/bin/sh\necho said\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("with_hooks", [True, False], ids=["hooks", "no hooks"])
@pytest.mark.parametrize(
    "shell", [pytest.param(name, marks=pytest.mark.skipif(not shutil.which(name), reason=f"no {name}")) for name in SHELLS]
)
def test_an_environment_can_be_activated_without_conda(
    shell: str, with_hooks: bool, tmp_path: Path, settings: Settings, channels: Path
) -> None:
    make_channel(channels / "hooks", [Package("hooked", files=_HOOKS), plain("bare")])
    prefix = tmp_path / "my env's"
    name = "hooked" if with_hooks else "bare"
    text = f'channels: [hooks]\ndependencies: [{name}]\nvariables: {{GREETING: "it\'s $HOME", LANG: C}}\n'
    made = create(text, prefix, settings)
    script = f"""
set -eu
show() {{ echo "$1|${{CONDA_PREFIX-none}}|${{GREETING-none}}|$LANG|${{HOOKED-none}}|${{UNHOOKED-none}}|$PS1|$PATH"; }}
PS1='$ '
show before
{made.activation}
show active
command -v say || true
{made.activation}
show again
deactivate
show after
"""
    environ = {"PATH": os.defpath, "HOME": str(tmp_path), "LANG": "de_DE"}
    done = subprocess.run([shell, "-c", script], capture_output=True, text=True, env=environ)
    assert (done.returncode, done.stderr) == (0, "")
    lines = {line.split("|")[0]: line.split("|")[1:] for line in done.stdout.splitlines()}
    hooked = "ab" if with_hooks else "none"
    path = lines["before"][-1]  # zsh's own start file may set it
    active = [str(prefix), "it's $HOME", "C", hooked, "none", "(my env's) $ ", f"{prefix}/bin:{path}"]
    assert lines["before"] == ["none", "none", "de_DE", "none", "none", "$ ", path]
    assert lines["active"] == active
    assert lines["again"] == [*active[:4], "ba" if with_hooks else "none", *active[5:]]
    assert lines["after"] == ["none", "none", "de_DE", "none", "baba" if with_hooks else "none", "$ ", path]
    assert (str(prefix / "bin" / "say") in lines) == with_hooks


# ---- interruptions


_CREATE = """\
import os, sys
from pathlib import Path
from conda_assets import bootstrap
from conda_assets.errors import AssetsError
from conda_assets.settings import load
try:
    made = bootstrap.create(
        [("environment.yml", Path(sys.argv[1]).read_text())], prefix=Path(sys.argv[2]), settings=load(environ=os.environ),
        environ=os.environ, choices=bootstrap.Choices(engine="rattler"), watch=lambda event: print(event.text, flush=True),
    )
except AssetsError as error:
    print(error.code, error.message, *(hint.text for hint in error.hints), sep="\\n", flush=True)
    sys.exit(error.exit_code)
print("made", made.linked, flush=True)
"""


def start_create(file: Path, prefix: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _CREATE, file, prefix],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def engines() -> set[int]:
    """Processes of the engine that belong to this test, told apart by its HOME."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_engine = b"conda_assets.bootstrap.engine" in (folder / "cmdline").read_bytes()
            if is_engine and f"HOME={os.environ['HOME']}\0".encode() in (folder / "environ").read_bytes():
                found.add(int(folder.name))
        except OSError:
            continue
    return found


@pytest.fixture
def slow_file(tmp_path: Path) -> Iterator[Path]:
    """A file whose only package takes minutes to arrive."""
    make_channel(tmp_path / "slow", [Package("big", files={"share/big": os.urandom(4_000_000)}, noarch="generic")])
    with Server(folder=tmp_path / "slow", rate=100_000) as server:
        file = tmp_path / "environment.yml"
        file.write_text(f"channels: ['{server.url()}']\ndependencies: [big]\n")
        yield file


@pytest.mark.slow
def test_ctrl_c_leaves_no_half_environment_and_no_process(tmp_path: Path, slow_file: Path) -> None:
    with start_create(slow_file, tmp_path / "env") as process:
        assert process.stdout
        for line in process.stdout:
            if "to install" in line:
                break
        os.killpg(process.pid, signal.SIGINT)
        said = process.stdout.read()
        assert process.wait(DEADLINE_S) == 130, said
    assert f"resume with `conda-assets create -f environment.yml -p {tmp_path / 'env'}`" in said
    assert not (tmp_path / "env").exists()
    assert engines() == set()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked up in /proc, which is not here")
def test_the_engine_ends_with_a_killed_parent(tmp_path: Path, slow_file: Path) -> None:
    with start_create(slow_file, tmp_path / "env") as process:
        assert process.stdout
        for line in process.stdout:
            if "to install" in line:
                break
        assert len(engines()) == 1
        process.kill()
    wait_until(lambda: engines() == set(), "the engine's process ends")


@pytest.mark.slow
def test_after_kills_the_same_command_completes_the_environment(tmp_path: Path, python_channel: str) -> None:
    file = tmp_path / "environment.yml"
    file.write_text(f"channels: ['{python_channel}']\ndependencies: [tool, pip]\n")
    for round_ in range(12):
        prefix = tmp_path / f"env{round_ % 3}"
        with start_create(file, prefix) as process:
            # Later each round, through reading, extracting, linking and finishing.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1 + 0.06 * round_)
            process.kill()
    for number in range(3):
        prefix = tmp_path / f"env{number}"
        with start_create(file, prefix) as process:
            said = process.communicate(timeout=DEADLINE_S)[0]
        assert process.returncode == 0, said
        assert damages(prefix) == []
        assert read_history(prefix).requested == {"tool": "tool", "pip": "pip"}
        assert subprocess.run([prefix / "bin" / "tool"], capture_output=True, text=True, check=True).stdout == "2.0\n"


def test_two_at_once_make_one_environment(tmp_path: Path, settings: Settings) -> None:
    outcomes: list[bootstrap.Created] = []
    text = "channels: [main]\ndependencies: [a]\n"
    threads = [threading.Thread(target=lambda: outcomes.append(create(text, tmp_path / "env", settings))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert sorted(made.linked or 0 for made in outcomes) == [0, 0, 0, 3]
    assert damages(tmp_path / "env") == []


# ---- the engine's process


def job(tmp_path: Path) -> Job:
    (tmp_path / "cache").mkdir()
    return Job(
        prefix=str(tmp_path / "env"), subdir=native_subdir(), channels=[], specs=[], kept=[],
        constraints=[], cache=str(tmp_path / "cache"), native=True, virtual=[], offline=False, dry_run=False, verify=True,
        timeout_s=5, user_agent="test",
    )  # fmt: skip


def engine_with_rattler(tmp_path: Path, code: str) -> Failed:
    """What comes of it when the engine imports this instead of rattler."""
    (tmp_path / "site" / "rattler").mkdir(parents=True)
    (tmp_path / "site" / "rattler" / "__init__.py").write_text(code)
    environ = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    result = run_engine(job(tmp_path), environ=environ, network=Network(), watch=nobody)
    assert isinstance(result, Failed)
    return result


def test_an_engine_that_crashes_has_failed_and_its_last_words_are_told(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nprint('last words', file=sys.stderr)\nsys.stderr.flush()\nos.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    failed = engine_with_rattler(tmp_path, code)
    assert failed.kind == "internal"
    assert "(SIGSEGV)" in failed.text
    assert "last words" in failed.text


def test_an_engine_that_leaves_without_a_word_has_failed(tmp_path: Path) -> None:
    """An exit status of 0 alone proves nothing."""
    failed = engine_with_rattler(tmp_path, "import os\nos._exit(0)\n")
    assert (failed.kind, failed.text) == ("internal", "the engine's process ended without a result (exit status 0)")


def test_what_packages_print_is_no_result(tmp_path: Path) -> None:
    """Scripts of packages write to standard output; only the engine's own channel counts."""
    line = to_line(Done([], 0, 0)).strip()
    code = f"import os, subprocess\nprint({line!r}, flush=True)\nsubprocess.run(['echo', {line!r}])\nos._exit(0)\n"
    assert engine_with_rattler(tmp_path, code).kind == "internal"


def test_a_rattler_that_is_too_old_is_named(tmp_path: Path) -> None:
    assert engine_with_rattler(tmp_path, "").kind == "import"


def test_the_caller_s_process_never_loads_rattler(tmp_path: Path, channels: Path) -> None:
    file = tmp_path / "environment.yml"
    file.write_text(f"channels: ['{channels.as_uri()}/main']\ndependencies: [c]\n")
    code = _CREATE + "print('loaded', sorted(name for name in sys.modules if name.partition('.')[0] == 'rattler'))\n"
    done = subprocess.run([sys.executable, "-c", code, file, tmp_path / "env"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["made 1", "loaded []"]


def test_without_rattler_the_next_command_is_named(tmp_path: Path) -> None:
    """A Python with our requirements and no py-rattler, made of links."""
    site = tmp_path / "site"
    site.mkdir()
    for name in (
        "filelock",
        "platformdirs",
        "PyYAML",
        "requests",
        "ruamel.yaml",
        "urllib3",
        "idna",
        "certifi",
        "charset-normalizer",
    ):
        found = distribution(name)
        for top in {path.parts[0] for path in found.files or () if path.parts[0] not in ("..", "__pycache__")}:
            target = site / top
            if not target.exists():
                target.symlink_to(Path(str(found.locate_file(top))))
    import conda_assets

    (site / "conda_assets").symlink_to(Path(conda_assets.__file__).parent)
    (tmp_path / "environment.yml").write_text("dependencies: [a]\n")
    done = subprocess.run(
        [sys.executable, "-S", "-c", _CREATE, tmp_path / "environment.yml", tmp_path / "env"],
        env={"HOME": str(tmp_path), "PYTHONPATH": str(site), "PATH": os.defpath},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done
    assert "py-rattler, the embedded engine, is not installed" in done.stdout
    assert "pip install 'conda-assets[rattler]'" in done.stdout
    assert not (tmp_path / "env").exists()


# ---- conda, afterwards


@pytest.mark.slow
@pytest.mark.parametrize("conda", conda_params())
def test_conda_accepts_the_environment(conda: object, tmp_path: Path, python_channel: str, settings: Settings) -> None:
    prefix = tmp_path / "env"
    text = f"channels: ['{python_channel}']\ndependencies: [python, tool=1]\nvariables: {{GREETING: hello}}\n"
    create(text, prefix, settings)
    root = conda.make_root(tmp_path / "conda", python_channel)  # type: ignore[attr-defined]

    def run(*words: str) -> str:
        done = root.run(*words, "-p", prefix, timeout_s=300)
        assert done.status == 0, done
        return str(done.stdout)

    listed = json.loads(run("list", "--json"))
    assert sorted(row["name"] for row in listed) == ["python", "tool"]
    assert "altered files" not in run("doctor").replace("no packages with altered files", "")
    asked = run("env", "export", "--from-history")
    assert "tool=1" in asked
    assert "GREETING: hello" in asked
    assert json.loads(run("env", "export", "--json"))["variables"] == {"GREETING": "hello"}
    run("install", "-y", "-q", "pip")
    assert sorted(read_history(prefix).requested) == ["pip", "python", "tool"]
    # Nothing is told twice: conda's and our idea of the environment's packages agree.
    told = [line for line in (prefix / "conda-meta" / "history").read_text().splitlines() if line[:1] in "+-"]
    assert len(told) == len(set(told)) == 3
    run("remove", "-y", "-q", "tool")
    site = prefix / "lib" / f"python{PYTHON}" / "site-packages"
    assert not (site / "tool").exists()
    assert not (prefix / "bin" / "tool").exists()
    # And back: ours takes over what conda installed, with every file of it.
    create(f"channels: ['{python_channel}']\ndependencies: [python]\n", prefix, settings, prune=True)
    assert sorted(path.name for path in (prefix / "conda-meta").glob("*.json"))[0].startswith("python-")
    assert sorted(path.name for path in site.iterdir()) == ["README.txt"]
    assert json.loads(run("list", "--json"))[0]["name"] == "python"
