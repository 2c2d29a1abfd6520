"""Where settings come from, and who wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from conda_assets.errors import UsageError
from conda_assets.settings import load, parse_rate


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    settings = load(environ={"HOME": str(tmp_path)})
    assert settings.stores == (tmp_path / ".conda" / "assets",)
    assert (settings.connections, settings.jobs, settings.limit_rate, settings.offline) == (16, 4, None, False)
    assert settings.envs_dirs == (tmp_path / ".conda" / "envs",)
    assert set(settings.origins.values()) == {"default"}


def test_a_condarc_is_read_as_conda_reads_it(tmp_path: Path) -> None:
    (tmp_path / ".condarc").write_text(
        "channels: [conda-forge]\noffline: true\nssl_verify: /ca.pem\nproxy_servers: {https: 'http://u:p@proxy:3128'}\n"
        "remote_connect_timeout_secs: 3.5\nplugins:\n  assets_stores: [/big/store, ~/small]\n  assets_connections: 8\n"
    )
    settings = load(environ={"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)})
    assert settings.offline is True
    assert settings.network.verify == "/ca.pem"
    assert settings.network.proxies == (("https", "http://u:p@proxy:3128"),)
    assert settings.network.connect_timeout_s == 3.5
    assert settings.stores[0] == Path("/big/store")
    assert settings.connections == 8
    assert settings.origins["assets_connections"] == str(tmp_path / ".condarc")
    assert "u:p" not in repr(settings), "a proxy's password is never printed"


def test_later_files_and_then_variables_win(tmp_path: Path) -> None:
    root, active = tmp_path / "root", tmp_path / "active"
    (root / "condarc.d").mkdir(parents=True)
    (root / "condarc.d" / "a.yml").write_text("plugins: {assets_jobs: 1}\n")
    active.mkdir()
    (active / ".condarc").write_text("plugins: {assets_jobs: 2}\n")
    environ = {"HOME": str(tmp_path), "CONDA_EXE": str(root / "bin" / "conda")}
    assert load(environ=environ).jobs == 1
    environ["CONDA_PREFIX"] = str(active)
    assert load(environ=environ).jobs == 2
    environ["CONDA_PLUGINS_ASSETS_JOBS"] = "3"
    settings = load(environ=environ)
    assert settings.jobs == 3
    assert settings.origins["assets_jobs"] == "$CONDA_PLUGINS_ASSETS_JOBS"
    assert settings.envs_dirs[0] == root / "envs"


def test_inside_conda_its_context_is_the_source(tmp_path: Path) -> None:
    (tmp_path / ".condarc").write_text("offline: true\n")
    conda = {
        "offline": False,
        "ssl_verify": False,
        "root_prefix": "/opt/conda",
        "plugins": {"assets_limit_rate": "2M"},
        "subdir": "osx-arm64",
    }
    settings = load(environ={"HOME": str(tmp_path)}, conda=conda)
    assert settings.offline is False
    assert settings.network.verify is False
    assert settings.root_prefix == Path("/opt/conda")
    assert settings.limit_rate == 2 << 20
    assert settings.subdir == "osx-arm64"


def test_our_own_variable_names_the_stores(tmp_path: Path) -> None:
    settings = load(environ={"HOME": str(tmp_path), "CONDA_ASSETS_STORE": "/a, /b"})
    assert settings.stores == (Path("/a"), Path("/b"))


def test_proxies_of_the_environment_hold_where_conda_names_none(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "https_proxy": "http://p:1", "NO_PROXY": "localhost,.lab"}
    assert load(environ=environ).network.proxies == (("https", "http://p:1"), ("no_proxy", "localhost,.lab"))


@pytest.mark.parametrize(
    ("condarc", "says"),
    [
        ("plugins: {assets_connections: 17}\n", "assets_connections is 17, expected a number from 1 to 16"),
        ("plugins: {assets_connections: many}\n", "assets_connections is 'many', expected a number from 1 to 16"),
        ("remote_read_timeout_secs: soon\n", "remote_read_timeout_secs is 'soon', expected seconds"),
        ("plugins: [\n", "not YAML"),
        ("plugins: {assets_limit_rate: fast}\n", "cannot read 'fast' as a rate"),
    ],
    ids=["too-many", "no-number", "no-seconds", "no-yaml", "no-rate"],
)
def test_a_wrong_value_is_named_with_its_file(tmp_path: Path, condarc: str, says: str) -> None:
    (tmp_path / ".condarc").write_text(condarc)
    with pytest.raises(UsageError) as caught:
        load(environ={"HOME": str(tmp_path)})
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("text", "rate"), [("20M", 20 << 20), ("500k", 500 << 10), ("1.5G", 3 << 29), ("1048576", 1 << 20), ("8 MiB/s", 8 << 20)]
)
def test_rates_are_read(text: str, rate: int) -> None:
    assert parse_rate(text) == rate
