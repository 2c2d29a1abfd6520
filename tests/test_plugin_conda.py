"""What the plugin adds to conda beside its own commands: the subcommand, settings, `conda doctor`."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme
from ruamel.yaml import YAML

from conda_assets.cli.inside import copy_for_conda
from server import Server

if TYPE_CHECKING:
    from plugged import Project

pytest_plugins = ["plugged"]

# `conda doctor --fix` and named checks.
FIXES = (26, 1)
# `conda config --set plugins.…`
SETS_PLUGIN_SETTINGS = (25, 5)

_EVERYTHING = r"""
# a comment
name: &n grüß-🙂
channels: [file:///x, 'a b']
dependencies:
- python=3.10  # [linux]
- {pip: ['-r x.txt', "tab\there"]}
assets:
- https://example.org/a
variables: {A: 1, B: 1.10, C: yes, D: *n, E: "\u2028\x7f\0", F: null, G: 012, H: 1e5, I: "100%"}
"""


def test_conda_lists_and_runs_the_subcommand(project: Project):
    helped = project.conda("--help")
    assert "assets" in helped.stdout, helped
    done = project.conda("assets", "--help")
    assert done.status == 0, done.told
    assert "usage: conda assets" in done.stdout
    assert "sync" in done.stdout


def test_the_subcommand_is_the_whole_program(project: Project):
    """Flags of the leaf, conda's own `--json` before it, and the exit status come through."""
    project.write(project.asset("a.bin"))
    assert project.conda("env", "create").status == 0
    done = project.conda("assets", "status", "-n", project.name, "--json")
    assert (done.status, done.json["totals"]["present"]) == (0, 1), done.told
    done = project.conda("--json", "assets", "list", "-p", project.prefix())
    assert done.json["assets"][0]["name"] == "a.bin", done.told
    (project.prefix() / "share" / "assets" / "a.bin").unlink()
    assert project.conda("assets", "status", "-n", project.name).status == 3
    done = project.conda("assets", "sync", "-n", project.name)
    assert done.status == 0, done.told
    assert project.placed("a.bin") == project.body("a.bin")


@pytest.mark.slow
@pytest.mark.parametrize("words", [["sync", "--nonsense"], ["nonsense"], []], ids=lambda words: " ".join(words) or "none")
def test_a_typing_error_is_exit_2(project: Project, words: list[str]):
    done = project.conda("assets", *words)
    assert done.status == 2, done.told
    assert "Traceback" not in done.stderr
    done = project.conda("assets", *words, "--json")
    assert done.status == 2, done.told
    assert done.json["success"] is False


@pytest.mark.slow
def test_settings_stand_in_condarc(project: Project, tmp_path: Path):
    """`conda config` knows them, checks their kind, and a run obeys them; a list of stores as `pkgs_dirs` has it."""
    condarc = tmp_path / "condarc"
    store = tmp_path / "from condarc"
    env = {"CONDARC": str(condarc), "CONDA_ASSETS_STORE": ""}
    if project.root.conda.number >= SETS_PLUGIN_SETTINGS:
        done = project.conda("config", "--file", condarc, "--set", "plugins.assets_jobs", "2")
        assert done.status == 0, done.told
        done = project.conda("config", "--file", condarc, "--set", "plugins.assets_jobs", "many")
        assert done.status == 1, done.told
        assert "assets_jobs" in project.conda("config", "--describe").stdout
    condarc.write_text(
        json.dumps({"plugins": {"assets_stores": [str(store)], "assets_jobs": 3, "assets_user_agent": "tester/1"}})
    )
    project.write(project.asset("a.bin"))
    done = project.conda("env", "create", env=env)
    assert done.status == 0, done.told
    assert any(store.rglob("*"))
    agents = {request.headers.get("user-agent") for request in project.server.requests if project.name in request.path}
    assert agents == {"tester/1"}
    done = project.conda("assets", "info", "--json", env=env)
    assert done.json["settings"]["jobs"]["value"] == 3, done.told
    assert done.json["settings"]["connections"] == {"value": 16, "origin": "default"}, done.told


@pytest.mark.slow
def test_settings_come_from_the_environment_too(project: Project, tmp_path: Path):
    store = tmp_path / "from environ"
    project.write(project.asset("a.bin"))
    done = project.conda("env", "create", env={"CONDA_PLUGINS_ASSETS_STORES": str(store), "CONDA_ASSETS_STORE": ""})
    assert done.status == 0, done.told
    assert any(store.rglob("*"))


@pytest.mark.slow
def test_conda_s_own_certificate_setting_is_obeyed(project: Project, tmp_path: Path):
    """`ssl_verify` in .condarc holds for assets as for packages."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with Server(tls=context) as server:
        url = server.add("/a.bin", b"secret" * 100)
        project.write({"name": "a.bin", "url": url})
        done = project.conda("env", "create")
        assert done.status == 1, done.told
        assert "certificate" in done.stderr.lower()
        done = project.conda("env", "update", env={"CONDA_SSL_VERIFY": str(tmp_path / "ca.pem")})
    assert done.status == 0, done.told
    assert project.placed("a.bin") == b"secret" * 100


@pytest.mark.slow
def test_doctor_reports_by_the_receipt(project: Project):
    project.write(project.asset("a.bin"), project.asset("b.bin", link="copy"))
    assert project.conda("env", "create").status == 0
    done = project.conda("doctor", "-n", project.name)
    assert "All 2 assets are in place" in done.stdout, done.told
    (project.prefix() / "share" / "assets" / "a.bin").unlink()
    done = project.conda("doctor", "-n", project.name, "-v")
    assert "1 of 2 assets are not right" in done.stdout, done.told
    assert "a.bin: missing" in done.stdout
    assert "b.bin: present" in done.stdout


@pytest.mark.slow
def test_doctor_of_an_environment_without_assets_is_calm(project: Project):
    assert project.conda("create", "-y", "-n", project.name, "tiny").status == 0
    done = project.conda("doctor", "-n", project.name)
    assert "There are no assets in this environment" in done.stdout, done.told
    assert "Error running health check" not in done.stderr


def test_doctor_brings_back_what_is_gone(project: Project):
    """From the store where it has the bytes, else from the URL; checked against the receipt's hash either way."""
    if project.root.conda.number < FIXES:
        pytest.skip("conda doctor has no --fix before 26.1")
    project.write(project.asset("a.bin"), project.asset("b.bin"))
    assert project.conda("env", "create").status == 0
    before = project.fetched
    (project.prefix() / "share" / "assets" / "a.bin").unlink()
    done = project.conda("doctor", "assets", "--fix", "-y", "-n", project.name)
    assert done.status == 0, done.told
    assert project.placed("a.bin") == project.body("a.bin")
    assert project.fetched == before
    other = {"CONDA_ASSETS_STORE": str(project.store.with_name("another"))}
    (project.prefix() / "share" / "assets" / "b.bin").unlink()
    done = project.conda("doctor", "assets", "--fix", "--dry-run", "-n", project.name, env=other)
    assert project.placed("b.bin") is None, done.told
    done = project.conda("doctor", "assets", "--fix", "-y", "-n", project.name, env=other)
    assert done.status == 0, done.told
    assert project.placed("b.bin") == project.body("b.bin")
    project.asset("b.bin", b"something else")
    (project.prefix() / "share" / "assets" / "b.bin").unlink()
    empty = {"CONDA_ASSETS_STORE": str(project.store.with_name("empty"))}
    done = project.conda("doctor", "assets", "--fix", "-y", "-n", project.name, env=empty)
    assert done.status != 0, done.told
    assert project.placed("b.bin") is None


def test_the_copy_for_conda_is_the_same_file_without_the_section():
    """Every kind of value that a file may hold comes through conda's own reader as it was."""
    read = YAML(typ="safe", pure=True).load
    whole = read(_EVERYTHING)
    assert whole.pop("assets")
    assert read(copy_for_conda(_EVERYTHING)) == whole
    assert read(copy_for_conda("assets: [https://example.org/a]\n")) == {"dependencies": []}
