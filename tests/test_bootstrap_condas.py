"""conda, mamba and micromamba make the environment where the machine has one of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from channel import Package, make_channel
from conda_assets import bootstrap
from conda_assets.bootstrap.condas import Found, find_conda
from conda_assets.errors import BootstrapFailed, UsageError
from conda_assets.events import Event, Noted
from conda_assets.settings import load
from condas import Conda, conda_params

# Stands for mamba and micromamba, which no package index brings here: it tells what it was asked, and makes a folder.
_RECORDER = """\
#!/bin/sh
printf '%s\\n' "$@" > "$RECORD/argv"
env > "$RECORD/env"
while [ $# -gt 0 ]; do
    case $1 in
        -f) cp "$2" "$RECORD/file"; shift ;;
        -p) mkdir -p "$2/conda-meta"; shift ;;
    esac
    shift
done
echo "solving like mad"
echo "it hurts" >&2
exit ${STATUS:-0}
"""
_TEXT = """\
name: demo
channels: [conda-forge, nodefaults]
dependencies: ['python=3.12', {pip: ['-r reqs.txt']}]
variables: {A: 1}
assets: [https://nowhere.example/never-asked]
"""


def program(folder: Path, name: str, text: str = _RECORDER) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return folder / name


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "record").mkdir()
    (tmp_path / "reqs.txt").touch()
    return {"HOME": str(tmp_path), "PATH": f"{tmp_path}/bin:{os.defpath}", "RECORD": str(tmp_path / "record")}


def create(
    tmp_path: Path, environ: dict[str, str], *, engine: str = "auto", **choices: object
) -> tuple[bootstrap.Created, list[Event]]:
    seen: list[Event] = []
    made = bootstrap.create(
        [(str(tmp_path / "environment.yml"), _TEXT)],
        prefix=tmp_path / "env",
        settings=load(environ=environ),
        environ=environ,
        choices=bootstrap.Choices(engine=engine, **choices),  # type: ignore[arg-type]
        watch=seen.append,
    )
    return made, seen


def argv(tmp_path: Path) -> list[str]:
    return (tmp_path / "record" / "argv").read_text().splitlines()


def test_the_shell_s_variable_comes_before_path_and_conda_before_mamba(tmp_path: Path) -> None:
    mamba, conda = program(tmp_path / "bin", "mamba"), program(tmp_path / "bin", "conda")
    other, micromamba = program(tmp_path / "other", "conda"), program(tmp_path / "other", "micromamba")
    path = {"PATH": str(tmp_path / "bin")}
    assert find_conda({"PATH": str(tmp_path / "nowhere")}) is None
    assert find_conda(path) == Found("conda", conda, "PATH")
    assert find_conda({**path, "CONDA_EXE": str(other)}) == Found("conda", other, "CONDA_EXE")
    assert find_conda({**path, "CONDA_EXE": str(tmp_path / "gone" / "conda")}) == Found("conda", conda, "PATH")
    conda.unlink()
    assert find_conda(path) == Found("mamba", mamba, "PATH")
    assert find_conda({"PATH": "", "MAMBA_EXE": str(micromamba)}) == Found("micromamba", micromamba, "MAMBA_EXE")
    assert find_conda(path, kind="micromamba") is None


def test_a_program_that_cannot_be_run_is_passed_over(tmp_path: Path) -> None:
    conda = program(tmp_path / "bin", "conda")
    conda.chmod(0o644)
    assert find_conda({"PATH": "", "CONDA_EXE": str(conda)}) is None


@pytest.mark.parametrize(
    ("kind", "new", "existing"),
    [
        ("mamba", ["env", "create", "-f", "F", "-p", "P"], ["env", "update", "-f", "F", "-p", "P", "--prune"]),
        ("micromamba", ["create", "--yes", "-f", "F", "-p", "P"], ["install", "--yes", "-f", "F", "-p", "P"]),
    ],
)
def test_each_is_asked_in_its_own_words(
    kind: str, new: list[str], existing: list[str], tmp_path: Path, environ: dict[str, str]
) -> None:
    program(tmp_path / "bin", kind)
    made, seen = create(tmp_path, environ)
    assert (made.engine, made.new, made.packages) == (kind, True, None)
    assert made.activation == f"{'micromamba' if kind == 'micromamba' else 'conda'} activate {tmp_path / 'env'}"
    words = argv(tmp_path)
    file = words[words.index("-f") + 1]
    assert [{file: "F", str(tmp_path / "env"): "P"}.get(word, word) for word in words] == new
    assert not Path(file).exists()
    # The file it gets has no assets: neither a warning, nor a second sync by our plugin in it. Paths still mean the same.
    assert json.loads((tmp_path / "record" / "file").read_text()) == {
        "channels": ["conda-forge", "nodefaults"],
        "dependencies": ["python=3.12", "pip", {"pip": [f"-r {tmp_path}/reqs.txt"]}],
        "variables": {"A": "1"},
    }
    assert [event.text for event in seen if isinstance(event, Noted)][-2:] == ["solving like mad", "it hurts"]
    made, _ = create(tmp_path, environ, prune=True)
    assert not made.new
    words = argv(tmp_path)
    assert [{words[3]: "F", str(tmp_path / "env"): "P"}.get(word, word) for word in words] == existing


def test_nobody_is_asked_and_settings_are_passed_on(tmp_path: Path, environ: dict[str, str]) -> None:
    program(tmp_path / "bin", "mamba")
    create(tmp_path, environ | {"CONDA_OFFLINE": "1"}, subdir="osx-arm64", dry_run=True)
    said = dict(line.partition("=")[::2] for line in (tmp_path / "record" / "env").read_text().splitlines())
    assert {
        name: said[name] for name in ("CONDA_ALWAYS_YES", "MAMBA_ALWAYS_YES", "CONDA_OFFLINE", "MAMBA_OFFLINE", "CONDA_SUBDIR")
    } == {
        "CONDA_ALWAYS_YES": "true",
        "MAMBA_ALWAYS_YES": "true",
        "CONDA_OFFLINE": "true",
        "MAMBA_OFFLINE": "true",
        "CONDA_SUBDIR": "osx-arm64",
    }
    assert "--dry-run" in argv(tmp_path)


def test_a_failure_is_told_with_its_words(tmp_path: Path, environ: dict[str, str]) -> None:
    program(tmp_path / "bin", "micromamba")
    with pytest.raises(BootstrapFailed) as caught:
        create(tmp_path, environ | {"STATUS": "7"})
    shown = f"`micromamba create --yes -f {tmp_path / 'environment.yml'} -p {tmp_path / 'env'}` failed (exit status 7):"
    assert caught.value.message == f"{shown}\n  solving like mad\n  it hurts"


def test_an_engine_that_is_not_here_is_named(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(BootstrapFailed, match="there is no micromamba"):
        create(tmp_path, environ, engine="micromamba")
    with pytest.raises(UsageError, match="unknown engine 'pixi'"):
        create(tmp_path, environ, engine="pixi")


def test_a_dry_run_of_an_update_is_refused_where_there_is_none(tmp_path: Path, environ: dict[str, str]) -> None:
    program(tmp_path / "bin", "mamba")
    (tmp_path / "env" / "conda-meta").mkdir(parents=True)
    with pytest.raises(UsageError, match="no dry run"):
        create(tmp_path, environ, dry_run=True)
    assert not (tmp_path / "record" / "argv").exists()


@pytest.mark.slow
@pytest.mark.parametrize("conda", conda_params())
def test_a_real_conda_makes_and_updates_and_leaves_the_assets_to_us(conda: Conda, tmp_path: Path) -> None:
    channel = make_channel(
        tmp_path / "channel",
        [Package(name, files={f"share/{name}": b""}, noarch="generic") for name in ("one", "two")],
    )
    root = conda.make_root(tmp_path / "conda", channel)
    environ = root.environ()
    text = "channels: [%s]\ndependencies: [%s]\nvariables: {A: b}\nassets: [http://127.0.0.1:9/never-asked]\n"
    seen: list[Event] = []

    def make(names: str) -> bootstrap.Created:
        return bootstrap.create(
            [("environment.yml", text % (channel, names))],
            prefix=tmp_path / "env",
            settings=load(environ=environ),
            environ=environ,
            choices=bootstrap.Choices(engine="conda"),
            watch=seen.append,
        )

    assert make("one").new
    (tmp_path / "env" / "mine.txt").write_text("mine")
    assert not make("one, two").new
    assert sorted(path.name for path in (tmp_path / "env" / "share").iterdir()) == ["one", "two"]
    assert (tmp_path / "env" / "mine.txt").exists()
    assert json.loads((tmp_path / "env" / "conda-meta" / "state").read_text())["env_vars"] == {"A": "b"}
    talk = "\n".join(event.text for event in seen if isinstance(event, Noted))
    assert "assets" not in talk.replace(str(tmp_path), "")
    with pytest.raises(BootstrapFailed, match="zzz"):
        make("zzz")
