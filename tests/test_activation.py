"""Every hook is run by the real shell it is for, sourced as conda sources it; a shell that is not on this machine is skipped."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conda_assets.activation import remove_hooks, set_by_user, write_hooks
from conda_assets.errors import DiskRefused, UsageError
from condas import Conda, conda_params

pytestmark = pytest.mark.slow

MARKER = "_CONDA_ASSETS_SET_"
# Names that do harm in some shell when they are read as code; `pwned` must never come to be.
HOSTILE = (
    "with space",
    "it's",
    'dou"ble',
    "$HOME ${HOME} $(touch pwned)",
    "`touch pwned`",
    "%PATH% %CD% %% %",
    "bang!bang !! !$ !x!",
    "back\\slash\\",
    "semi;touch pwned;&|<>",
    "'; touch pwned; '",
    "\\'; touch pwned; '\\",
    '"; touch pwned; "',
    "' + (New-Item pwned) + '",
    "’; touch pwned; ‘ ‚ ‛ “ ”",
    "(touch pwned) {a,b}*?[x]~#^=@",
    "^q^touch pwned^",
    "日本語 ünï→😀",
    "two\nlines\n",
    "tab\tand\rreturn",
    "-n",
    "~",
    "#",
    "bytes \udcff\udc80",
)
# Not comparable across programs: set by the shells themselves.
_SHELLS_OWN = {"_", "SHLVL", "PWD", "OLDPWD", "HOSTTYPE", "VENDOR", "OSTYPE", "MACHTYPE", "LOGNAME", "USER", "GROUP", "HOST"}


@dataclass
class Session:
    """Lines for one shell, and what the environment is at each `look`."""

    shell: Shell
    folder: Path
    environ: dict[str, str]
    lines: list[str] = field(default_factory=list)
    looks: int = 0

    def activate(self, prefix: Path) -> None:
        """What conda does: `CONDA_PREFIX`, then the scripts."""
        self.set("CONDA_PREFIX", str(prefix))
        self.source(prefix / f"etc/conda/activate.d/conda-assets{self.shell.suffix}")

    def deactivate(self, prefix: Path) -> None:
        self.source(prefix / f"etc/conda/deactivate.d/conda-assets{self.shell.suffix}")
        self.unset("CONDA_PREFIX")

    def source(self, script: Path) -> None:
        self.lines.append(self.shell.source.format(self._spell(str(script))))

    def set(self, name: str, value: str) -> None:
        self.lines.append(self.shell.set.format(name, self._spell(value)))

    def unset(self, name: str) -> None:
        self.lines.append(self.shell.unset.format(name))

    def look(self) -> None:
        dump = f"{sys.executable} {self.folder / 'dump.py'} {self.folder / f'look{self.looks}'}"
        self.lines.append(dump)
        self.looks += 1

    def run(self) -> list[dict[str, str]]:
        """The environments looked at, without what the shell itself sets; fails on any output, error or stray file."""
        (self.folder / "dump.py").write_text(
            "import json, os, sys\nwith open(sys.argv[1], 'w') as file:\n    json.dump(dict(os.environ), file)\n"
        )
        script = self.folder / f"session{self.shell.suffix}"
        script.write_text("\n".join([self.shell.prologue, *self.lines, ""]))
        work = self.folder / "work"
        work.mkdir()
        done = subprocess.run([*self.shell.argv, str(script)], cwd=work, env=self.environ, capture_output=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr, os.listdir(work)) == (0, b"", b"", [])
        seen = [json.loads((self.folder / f"look{number}").read_text()) for number in range(self.looks)]
        return [{name: value for name, value in each.items() if name not in self.shell.own} for each in seen]

    def _spell(self, value: str) -> str:
        # Anything odd goes through a variable: the tests must not rely on the quoting they test.
        if re.fullmatch(r"[A-Za-z0-9/._-]+", value):
            return self.shell.plain.format(value)
        name = f"TEST_{len(self.environ)}"
        self.environ[name] = value
        return self.shell.read.format(name)


@dataclass(frozen=True)
class Shell:
    name: str
    argv: tuple[str, ...]
    suffix: str = ".sh"
    source: str = ". {}"
    set: str = "export {}={}"
    unset: str = "unset {}"
    read: str = '"${{{}}}"'
    plain: str = "{}"
    prologue: str = ""
    own: frozenset[str] = frozenset(_SHELLS_OWN)


def _shells() -> Iterator[Shell]:
    # -e and -u: a hook must bear what a careful user's shell has set.
    for name in ("bash", "dash", "mksh"):
        yield Shell(name, (name, "-e", "-u"))
    yield Shell("zsh", ("zsh", "-f", "-e", "-u"))
    yield Shell("busybox", ("busybox", "sh", "-e", "-u"))
    yield Shell("fish", ("fish", "--no-config"), ".fish", "source {}", "set -gx {} {}", "set -eg {}", '"${}"')
    yield Shell("tcsh", ("tcsh", "-f", "-e"), ".csh", "source {}", "setenv {} {}", "unsetenv {}", '"${{{}:q}}"')
    yield Shell(
        "pwsh",
        ("pwsh", "-NoProfile", "-NonInteractive", "-File"),
        ".ps1",
        ". {}",
        "$Env:{} = {}",
        "$Env:{} = $null",
        "${{Env:{}}}",
        "'{}'",
        prologue="Set-StrictMode -Version Latest; $ErrorActionPreference = 'Stop'",
    )
    # As conda writes them for xonsh; it runs the .sh pair.
    yield Shell(
        "xonsh",
        ("xonsh", "--no-rc"),
        ".sh",
        "source-bash --suppress-skip-message -n @({})",
        "${{'{}'}} = {}",
        "del ${}",
        "${{'{}'}}",
        "'{}'",
    )


SHELLS = tuple(_shells())
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


@pytest.fixture(params=SHELLS, ids=lambda shell: shell.name)
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Session:
    shell: Shell = request.param
    if shutil.which(shell.argv[0], path=PATH) is None:
        pytest.skip(f"no {shell.argv[0]} on this machine")
    folder = tmp_path / "session"
    folder.mkdir()
    return Session(shell, folder, {"PATH": PATH, "HOME": str(folder), "LANG": "C.UTF-8", "PYTHONUTF8": "1", "TERM": "dumb"})


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    folder = tmp_path / "envs" / "bert"
    (folder / "conda-meta").mkdir(parents=True)
    return folder


def ours(environ: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    return {name: environ[name] for name in names if name in environ}


def hostile(session: Session) -> list[str]:
    # xonsh reads what bash prints as UTF-8 text with universal newlines, whatever a script does.
    return [name for name in HOSTILE if session.shell.name != "xonsh" or not re.search("[\r\ud800-\udfff]", name)]


def markers(environ: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix(MARKER): value for name, value in environ.items() if name.startswith(MARKER)}


def test_activation_sets_and_deactivation_leaves_no_trace(session: Session, prefix: Path) -> None:
    write_hooks(prefix, {"GPT2_WEIGHTS": prefix / "share/assets/models/gpt2.bin", "corpus": Path("/data/corpus")})
    session.look()
    session.activate(prefix)
    session.look()
    session.deactivate(prefix)
    session.look()
    before, active, after = session.run()
    assert active == {
        **before,
        "CONDA_PREFIX": str(prefix),
        "CONDA_ASSETS_DIR": f"{prefix}/share/assets",
        "GPT2_WEIGHTS": f"{prefix}/share/assets/models/gpt2.bin",
        "corpus": "/data/corpus",
        f"{MARKER}CONDA_ASSETS_DIR": f"{prefix}/share/assets",
        f"{MARKER}GPT2_WEIGHTS": f"{prefix}/share/assets/models/gpt2.bin",
        f"{MARKER}corpus": "/data/corpus",
    }
    assert after == before


def test_a_hostile_path_is_a_value_and_never_code(session: Session, tmp_path: Path) -> None:
    """Below the prefix and outside of it, in a prefix whose own name is hostile too."""
    # xonsh builds the command that sources a script without quoting the script's name.
    prefix = (
        tmp_path / "plain"
        if session.shell.name == "xonsh"
        else tmp_path / "envs" / 'it\'s $(touch pwned) `touch pwned` "a" !x! \\'
    )
    paths = {}
    for i, name in enumerate(hostile(session)):
        paths[f"BELOW_{i}"] = prefix / "share/assets" / name / "x"
        paths[f"ENDS_{i}"] = prefix / "share/assets" / name
        paths[f"OUTSIDE_{i}"] = Path("/data") / name
    write_hooks(prefix, paths)
    session.look()
    session.activate(prefix)
    session.look()
    session.activate(prefix)  # the second time every value is compared as well
    session.look()
    session.deactivate(prefix)
    session.look()
    before, active, again, after = session.run()
    assert ours(active, paths) == {name: str(path) for name, path in paths.items()}
    assert again == active
    assert after == before


def test_the_users_value_wins_and_outlives_the_environment(session: Session, prefix: Path) -> None:
    mine = {f"MINE_{i}": value for i, value in enumerate((*hostile(session), "(", "!", "=", "*", "-z"))}
    session.environ.update(mine)
    write_hooks(prefix, {name: prefix / "share/assets" / name for name in mine})
    session.activate(prefix)
    session.look()
    session.deactivate(prefix)
    session.look()
    active, after = session.run()
    assert ours(active, mine) == mine
    assert ours(after, mine) == mine
    assert markers(active) == {"CONDA_ASSETS_DIR": f"{prefix}/share/assets"}


def test_an_empty_variable_counts_as_not_set(session: Session, prefix: Path) -> None:
    session.environ["WEIGHTS"] = ""
    write_hooks(prefix, {"WEIGHTS": prefix / "share/assets/w"})
    session.activate(prefix)
    session.look()
    (active,) = session.run()
    assert active["WEIGHTS"] == f"{prefix}/share/assets/w"


def test_a_value_that_the_user_changes_afterwards_stays(session: Session, prefix: Path) -> None:
    write_hooks(prefix, {"WEIGHTS": prefix / "share/assets/w"})
    session.activate(prefix)
    session.set("WEIGHTS", "mine")
    session.deactivate(prefix)
    session.look()
    session.activate(prefix)
    session.look()
    session.deactivate(prefix)
    session.look()
    for each in session.run():
        assert each["WEIGHTS"] == "mine"
        assert "WEIGHTS" not in markers(each)


def test_reactivation_is_symmetrical(session: Session, prefix: Path) -> None:
    """`conda install` in an active environment runs its deactivation and activation scripts."""
    write_hooks(prefix, {"WEIGHTS": prefix / "share/assets/w"})
    session.activate(prefix)
    session.look()
    session.source(prefix / f"etc/conda/deactivate.d/conda-assets{session.shell.suffix}")
    session.source(prefix / f"etc/conda/activate.d/conda-assets{session.shell.suffix}")
    session.look()
    first, second = session.run()
    assert second == first


def test_a_stacked_environment_covers_the_one_below_and_gives_it_back(session: Session, tmp_path: Path) -> None:
    """`conda activate a`, `conda activate --stack b`, `conda deactivate` twice."""
    a, b = tmp_path / "a", tmp_path / "b"
    session.environ["MINE"] = "mine"
    for each in (a, b):
        write_hooks(each, {"BOTH": each / "share/assets/w", "MINE": each / "m", f"ONLY_{each.name}": each / "o"})
    session.look()
    session.activate(a)
    session.look()
    session.activate(b)
    session.look()
    session.deactivate(b)
    session.activate(a)
    session.look()
    session.deactivate(a)
    session.look()
    before, in_a, in_b, back, after = session.run()
    names = ("CONDA_ASSETS_DIR", "BOTH", "MINE", "ONLY_a", "ONLY_b")
    assert ours(in_b, names) == {
        "CONDA_ASSETS_DIR": f"{b}/share/assets",
        "BOTH": f"{b}/share/assets/w",
        "MINE": "mine",
        "ONLY_a": f"{a}/o",
        "ONLY_b": f"{b}/o",
    }
    assert back == in_a
    assert after == before


def test_a_users_change_survives_a_stacked_environment(session: Session, tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for each in (a, b):
        write_hooks(each, {"WEIGHTS": each / "w"})
    session.activate(a)
    session.set("WEIGHTS", "mine")
    session.activate(b)
    session.look()
    session.deactivate(b)
    session.activate(a)
    session.look()
    assert [each["WEIGHTS"] for each in session.run()] == ["mine", "mine"]


def test_hooks_rewritten_under_an_active_shell_still_clean_up(session: Session, prefix: Path, tmp_path: Path) -> None:
    """The shell holds what the old hooks set: a variable that is gone, and one that has moved."""
    write_hooks(prefix, {"GONE": prefix / "g", "MOVED": prefix / "old", "KEPT": prefix / "k"})
    old = tmp_path / "old"
    shutil.copytree(prefix, old)
    write_hooks(prefix, {"MOVED": prefix / "new", "KEPT": prefix / "k"})
    write_hooks(prefix, {"KEPT": prefix / "k"})
    session.look()
    session.set("CONDA_PREFIX", str(prefix))
    session.source(old / f"etc/conda/activate.d/conda-assets{session.shell.suffix}")
    session.deactivate(prefix)
    session.look()
    before, after = session.run()
    assert after == before


def test_without_a_prefix_nothing_is_set(session: Session, prefix: Path) -> None:
    write_hooks(prefix, {"WEIGHTS": prefix / "w"})
    session.environ["CONDA_PREFIX"] = ""
    session.look()
    session.source(prefix / f"etc/conda/activate.d/conda-assets{session.shell.suffix}")
    session.look()
    session.unset("CONDA_PREFIX")
    session.source(prefix / f"etc/conda/activate.d/conda-assets{session.shell.suffix}")
    session.look()
    before, empty, unset = session.run()
    assert empty == before
    assert markers(unset) == {}


def test_a_clone_sets_its_own_paths(session: Session, prefix: Path, tmp_path: Path) -> None:
    """Conda copies the files of an environment byte for byte; what lies outside of it stays where it is."""
    write_hooks(prefix, {"BELOW": prefix / "share/assets/w", "PROJECT": tmp_path / "project/data"})
    clone = tmp_path / "envs" / "clone"
    shutil.copytree(prefix, clone)
    session.activate(clone)
    session.look()
    (active,) = session.run()
    assert ours(active, ("BELOW", "PROJECT", "CONDA_ASSETS_DIR")) == {
        "BELOW": f"{clone}/share/assets/w",
        "PROJECT": f"{tmp_path}/project/data",
        "CONDA_ASSETS_DIR": f"{clone}/share/assets",
    }


def test_hooks_need_no_program(session: Session, prefix: Path) -> None:
    """With a PATH on which nothing is, and under a trace of the system calls that start a process."""
    if session.shell.name == "xonsh":
        pytest.skip("xonsh runs every such script in bash, whatever is in it")
    program = shutil.which(session.shell.argv[0], path=PATH)
    assert program is not None
    write_hooks(prefix, {f"V{i}": prefix / name for i, name in enumerate(HOSTILE)})
    session.environ["PATH"] = "/nowhere"
    none = _processes(session, program)
    session.activate(prefix)
    session.activate(prefix)
    session.deactivate(prefix)
    assert _processes(session, program) == none


def _processes(session: Session, program: str) -> list[str]:
    script = session.folder / f"script{session.shell.suffix}"
    script.write_text("\n".join([session.shell.prologue, *session.lines, ""]))
    command = [program, *session.shell.argv[1:], str(script)]
    log = session.folder / "trace"
    strace = shutil.which("strace", path=PATH)
    if strace:
        command = [strace, "-f", "-qq", "-e", "trace=execve,execveat,fork,vfork,clone,clone3", "-o", str(log), *command]
    done = subprocess.run(command, env=session.environ, capture_output=True, timeout=60)
    if strace and b"ptrace" in done.stderr and b"not permitted" in done.stderr:
        pytest.skip("strace may not trace here")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    return re.findall(r"\b(execve|fork|vfork|clone3?)\(", log.read_text()) if strace else []


@pytest.mark.parametrize(
    "habit", ["set backslash_quote", "set histchars = '%^'", "unset histchars", "set noglob", "set nonomatch"]
)
def test_csh_habits_do_not_turn_a_path_into_code(habit: str, tmp_path: Path, prefix: Path) -> None:
    """What people set in a .cshrc changes how csh reads quotes, `!` and `%`."""
    if shutil.which("tcsh") is None:
        pytest.skip("no tcsh on this machine")
    tcsh = next(shell for shell in SHELLS if shell.name == "tcsh")
    session = Session(tcsh, tmp_path, {"PATH": PATH, "HOME": str(tmp_path), "LANG": "C.UTF-8"})
    paths = {f"V{i}": prefix / "share/assets" / name for i, name in enumerate(HOSTILE)}
    write_hooks(prefix, paths)
    session.lines.append(habit)
    session.activate(prefix)
    session.look()
    (active,) = session.run()
    assert ours(active, paths) == {name: str(path) for name, path in paths.items()}


_ANY_NAME = st.text(st.characters(codec="utf-8", exclude_characters="\x00/"), min_size=1, max_size=30)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bash", "dash", "zsh", "fish", "tcsh"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(_ANY_NAME, min_size=10, max_size=40))
def test_any_path_comes_out_as_it_went_in(name: str, names: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"no {name} on this machine")
    folder = tmp_path_factory.mktemp("any")
    shell = next(each for each in SHELLS if each.name == name)
    session = Session(shell, folder, {"PATH": PATH, "HOME": str(folder), "LANG": "C.UTF-8"})
    paths = {f"V{i}": folder / "env" / text / "x" for i, text in enumerate(names)}
    paths = {name: Path(os.path.normpath(path)) for name, path in paths.items()}
    write_hooks(folder / "env", paths)
    session.activate(folder / "env")
    session.look()
    (active,) = session.run()
    assert ours(active, paths) == {name: str(path) for name, path in paths.items()}


_SOURCED = [each for each in SHELLS if each.name in ("bash", "dash", "zsh")]


@pytest.mark.parametrize("conda", conda_params())
@pytest.mark.parametrize("shell", _SOURCED, ids=lambda shell: shell.name)
def test_real_conda_activates_stacks_and_deactivates(conda: Conda, shell: Shell, tmp_path: Path) -> None:
    """What `conda activate` in a shell does: it evaluates the text that `conda shell.posix` prints."""
    if shutil.which(shell.name) is None:
        pytest.skip(f"no {shell.name} on this machine")
    root = conda.make_root(tmp_path, "file:///nowhere")
    session = Session(shell, tmp_path / "session", {**root.environ({"MINE": "mine", "CONDA_CHANGEPS1": "no"}), "PATH": PATH})
    session.folder.mkdir()
    a, b = root.env("a"), root.env("b")
    for each in (a, b):
        (each / "conda-meta").mkdir(parents=True)
        (each / "conda-meta/history").touch()
        write_hooks(each, {"BOTH": each / "share/assets/w", "MINE": each / "m", f"ONLY_{each.name}": Path("/data")})
    session.lines.append("set +u")  # conda's own text does not bear -u
    for step in (
        f"activate {a}",
        f"activate --stack {b}",
        "reactivate",
        "deactivate",
        f"activate {b}",
        "deactivate",
        "deactivate",
    ):
        session.lines.append(f'text="$({root.conda.python} {root.launcher} shell.posix {step})"')
        session.lines.append('eval "$text"')
        session.look()
    looks = [ours(each, ("CONDA_ASSETS_DIR", "BOTH", "MINE", "ONLY_a", "ONLY_b")) for each in session.run()]
    in_a = {"CONDA_ASSETS_DIR": f"{a}/share/assets", "BOTH": f"{a}/share/assets/w", "MINE": "mine", "ONLY_a": "/data"}
    in_b = {"CONDA_ASSETS_DIR": f"{b}/share/assets", "BOTH": f"{b}/share/assets/w", "MINE": "mine", "ONLY_b": "/data"}
    stacked = {**in_b, "ONLY_a": "/data"}
    assert looks == [in_a, stacked, stacked, in_a, in_b, in_a, {"MINE": "mine"}]


@pytest.mark.parametrize("conda", conda_params())
def test_real_conda_finds_the_hooks_of_every_shell(conda: Conda, tmp_path: Path) -> None:
    root = conda.make_root(tmp_path, "file:///nowhere")
    prefix = root.env("a")
    (prefix / "conda-meta").mkdir(parents=True)
    (prefix / "conda-meta/history").touch()
    write_hooks(prefix, {})
    for shell, suffix in {
        "posix": "sh",
        "fish": "fish",
        "csh": "csh",
        "powershell": "ps1",
        "cmd.exe": "bat",
        "xonsh": "sh",
    }.items():
        done = root.run(f"shell.{shell}+json", "activate", prefix)
        assert done.json["scripts"]["activate"] == [f"{prefix}/etc/conda/activate.d/conda-assets.{suffix}"], done
        active = {"CONDA_PREFIX": str(prefix), "CONDA_SHLVL": "1"}
        done = root.run(f"shell.{shell}+json", "deactivate", env=active)
        assert done.json["scripts"]["deactivate"] == [f"{prefix}/etc/conda/deactivate.d/conda-assets.{suffix}"], done


@pytest.mark.parametrize("conda", conda_params())
def test_conda_takes_no_offence_at_our_variables(conda: Conda, tmp_path: Path) -> None:
    """CONDA_ASSETS_DIR looks like one of conda's settings; emptied, as conda 25.7 and later unset variables, even more so."""
    root = conda.make_root(tmp_path, "file:///nowhere")
    plain = root.run("config", "--show", "--json")
    for value in ("/somewhere", ""):
        names = ("CONDA_ASSETS_DIR", f"{MARKER}CONDA_ASSETS_DIR", f"{MARKER}WEIGHTS")
        assert root.run("config", "--show", "--json", env=dict.fromkeys(names, value)) == plain
    assert plain.status == 0


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """File → inode, time stamp, content."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_hooks_are_written_only_where_they_differ(prefix: Path) -> None:
    write_hooks(prefix, {"WEIGHTS": prefix / "share/assets/w"})
    first = snapshot(prefix)
    write_hooks(prefix, {"WEIGHTS": prefix / "share/assets/w"})
    assert snapshot(prefix) == first
    write_hooks(prefix, {"WEIGHTS": prefix / "share/assets/other"})
    second = snapshot(prefix)
    moved = sorted(name for name in second if second[name] != first.get(name))
    assert moved == [f"etc/conda/activate.d/conda-assets.{suffix}" for suffix in ("bat", "csh", "fish", "ps1", "sh")]
    assert second.keys() == first.keys()


def test_a_rewrite_replaces_the_file_and_never_edits_it(prefix: Path) -> None:
    """A shell that is reading the script at this moment reads the old one to its end."""
    write_hooks(prefix, {"WEIGHTS": prefix / "old"})
    with (prefix / "etc/conda/activate.d/conda-assets.sh").open("rb") as reading:
        begin = reading.read(10)
        write_hooks(prefix, {"WEIGHTS": prefix / "new"})
        assert b"'/old'" in begin + reading.read()


def test_a_name_that_comes_back_is_no_longer_a_retired_one(prefix: Path) -> None:
    write_hooks(prefix, {"A": prefix / "a", "B": prefix / "b"})
    first = snapshot(prefix)
    write_hooks(prefix, {"A": prefix / "a"})
    write_hooks(prefix, {"A": prefix / "a", "B": prefix / "b"})
    assert {name: content for name, (_, _, content) in snapshot(prefix).items()} == {
        name: content for name, (_, _, content) in first.items()
    }


def test_removal_takes_our_files_and_the_folders_left_empty(prefix: Path) -> None:
    before = sorted(prefix.rglob("*"))
    (prefix / "etc").mkdir()
    write_hooks(prefix, {"WEIGHTS": prefix / "w"})
    remove_hooks(prefix)
    assert sorted(prefix.rglob("*")) == sorted([*before, prefix / "etc"])
    remove_hooks(prefix)


def test_removal_leaves_what_others_put_there(prefix: Path) -> None:
    write_hooks(prefix, {"WEIGHTS": prefix / "w"})
    theirs = prefix / "etc/conda/activate.d/gdal.sh"
    theirs.write_text("export GDAL_DATA=x\n")
    # The user has made this one theirs.
    own = prefix / "etc/conda/deactivate.d/conda-assets.fish"
    own.write_text("echo mine\n")
    remove_hooks(prefix)
    assert sorted(path for path in prefix.rglob("*") if path.is_file()) == [theirs, own]


def test_a_file_of_the_user_is_not_overwritten(prefix: Path) -> None:
    own = prefix / "etc/conda/deactivate.d/conda-assets.csh"
    own.parent.mkdir(parents=True)
    own.write_text("echo mine\n")
    with pytest.raises(UsageError, match=re.escape(f"{own} was not written by conda-assets")):
        write_hooks(prefix, {"WEIGHTS": prefix / "w"})
    assert [path for path in prefix.rglob("*") if path.is_file()] == [own]
    assert own.read_text() == "echo mine\n"


def test_a_link_in_place_of_a_hook_is_replaced_and_its_target_left_alone(prefix: Path, tmp_path: Path) -> None:
    write_hooks(prefix, {"WEIGHTS": prefix / "w"})
    hook = prefix / "etc/conda/activate.d/conda-assets.sh"
    elsewhere = tmp_path / "elsewhere.sh"
    hook.rename(elsewhere)
    content = elsewhere.read_bytes()
    hook.symlink_to(elsewhere)
    write_hooks(prefix, {"WEIGHTS": prefix / "other"})
    assert not hook.is_symlink()
    assert elsewhere.read_bytes() == content


def test_a_prefix_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("a file where a folder should be")
    with pytest.raises(DiskRefused, match=re.escape(str(tmp_path))):
        write_hooks(tmp_path, {})
    assert sorted(os.listdir(tmp_path)) == ["etc"]
    remove_hooks(tmp_path)


def test_a_full_disk_leaves_the_old_hooks_and_no_litter(prefix: Path) -> None:
    resource = pytest.importorskip("resource", reason="a limit on the size of a file stands in for a full disk")
    write_hooks(prefix, {"WEIGHTS": prefix / "w"})
    before = snapshot(prefix)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(DiskRefused, match="cannot be written: File too large"):
            write_hooks(prefix, {"WEIGHTS": prefix / "new"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert snapshot(prefix) == before


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A=B", "A;touch pwned", "é", "A\n"])
def test_an_illegal_name_is_refused(name: str, prefix: Path) -> None:
    with pytest.raises(UsageError, match="no name for an environment variable"):
        write_hooks(prefix, {name: prefix / "w"})
    assert not (prefix / "etc").exists()


@pytest.mark.parametrize("name", ["CONDA_CHANNEL_PRIORITY", "CONDA_PREFIX", "CONDA_ASSETS_DIR", "_CONDA_EXE", "conda_channels"])
def test_condas_own_names_are_refused(name: str, prefix: Path) -> None:
    with pytest.raises(UsageError, match="conda's own"):
        write_hooks(prefix, {name: prefix / "w"})


def test_a_relative_path_is_refused(prefix: Path) -> None:
    with pytest.raises(UsageError, match="not an absolute path"):
        write_hooks(prefix, {"WEIGHTS": Path("w")})


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param({}, False, id="unset"),
        pytest.param({"W": ""}, False, id="empty"),
        pytest.param({"W": "/mine"}, True, id="set"),
        pytest.param({"W": "/env/w", f"{MARKER}W": "/env/w"}, False, id="set-by-a-hook"),
        pytest.param({"W": "/other/w", f"{MARKER}W": "/other/w"}, False, id="set-by-another-environment"),
        pytest.param({"W": "/mine", f"{MARKER}W": "/env/w"}, True, id="changed-after-a-hook"),
        pytest.param({"W": "/env/w"}, False, id="where-it-goes-anyway"),
        pytest.param({"W": "/env//w/"}, False, id="where-it-goes-anyway-in-other-words"),
        pytest.param({"W": "", f"{MARKER}W": "/env/w"}, False, id="emptied-after-a-hook"),
    ],
)
def test_set_by_user(environ: dict[str, str], expected: bool) -> None:
    assert set_by_user("W", environ, Path("/env/w")) is expected


# What PowerShell takes for a single quote: about_Quoting_Rules, and CharTraits in its own source.
_QUOTE = "'\u2018\u2019\u201a\u201b"


def powershell_literals(code: str) -> tuple[str, list[str]]:
    """The code with each single-quoted literal replaced by `''`, and the literals' values."""
    rest, values, at = [], [], 0
    while at < len(code):
        if code[at] not in _QUOTE:
            rest.append(code[at])
            at += 1
            continue
        value, at = [], at + 1
        while not (code[at] in _QUOTE and code[at + 1 : at + 2] not in tuple(_QUOTE)):
            at += code[at] in _QUOTE
            value.append(code[at])
            at += 1
        values.append("".join(value))
        rest.append("''")
        at += 1
    return "".join(rest), values


def powershell_code(prefix: Path) -> str:
    content = (prefix / "etc/conda/activate.d/conda-assets.ps1").read_bytes()
    assert content.isascii() or content.startswith(b"\xef\xbb\xbf")  # else Windows PowerShell 5.1 reads it in an old code page
    return content.decode("utf-8-sig")


def test_powershell_sees_one_literal_and_the_same_code_around_it(prefix: Path) -> None:
    """PowerShell is not on every machine; what a path can do to its script is seen without it."""
    write_hooks(prefix, {"BELOW": prefix / "plain", "OUTSIDE": Path("/data/plain")})
    code, values = powershell_literals(powershell_code(prefix))
    assert values == ["/share/assets", "/plain", "/data/plain"]
    for name in HOSTILE[:-1]:
        write_hooks(prefix, {"BELOW": prefix / name, "OUTSIDE": Path("/data") / name})
        assert powershell_literals(powershell_code(prefix)) == (code, ["/share/assets", f"/{name}", f"/data/{name}"])


def test_powershell_grammar_accepts_the_hooks(prefix: Path) -> None:
    tree_sitter = pytest.importorskip("tree_sitter", reason="its PowerShell grammar checks what no PowerShell is here to run")
    grammar = pytest.importorskip("tree_sitter_powershell")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    write_hooks(prefix, {f"V{i}": Path("/data") / name for i, name in enumerate(HOSTILE[:-1])})
    for folder in ("activate.d", "deactivate.d"):
        content = (prefix / f"etc/conda/{folder}/conda-assets.ps1").read_bytes().removeprefix(b"\xef\xbb\xbf")
        tree = parser.parse(content)
        assert not tree.root_node.has_error
        assert b"(touch pwned)" not in b"".join(_commands(tree.root_node))
    assert b"pwned" in b"".join(_commands(parser.parse(b"touch pwned").root_node))


def _commands(node: Any) -> Iterator[bytes]:
    if node.type == "command":
        yield node.text
    for child in node.children:
        yield from _commands(child)


def test_what_powershell_and_cmd_cannot_write_is_left_out_and_said(prefix: Path) -> None:
    write_hooks(prefix, {"BYTES": prefix / "a\udcff", "LINES": prefix / "a\nb", "QUOTE": prefix / 'a"b'})
    said = {
        suffix: re.findall(
            rb"(\w+): its path cannot be written", (prefix / f"etc/conda/activate.d/conda-assets.{suffix}").read_bytes()
        )
        for suffix in ("sh", "fish", "csh", "ps1", "bat")
    }
    assert said == {"sh": [], "fish": [], "csh": [], "ps1": [b"BYTES"], "bat": [b"BYTES", b"LINES", b"QUOTE"]}


def cmd_lines(prefix: Path, folder: str = "activate.d") -> list[str]:
    return (prefix / f"etc/conda/{folder}/conda-assets.bat").read_bytes().decode().split("\r\n")


def test_cmd_is_silent_ends_well_and_holds_each_literal_alone_on_its_line(prefix: Path) -> None:
    """A line is `@…SET "NAME=…"`: whatever the code page makes of its end, there is no code behind it."""
    names = [name for name in HOSTILE if not re.search(r'[\x00-\x1f"\ud800-\udfff]', name)]
    write_hooks(prefix, {f"V{i}": prefix / name for i, name in enumerate(names)})
    for folder in ("activate.d", "deactivate.d"):
        lines = cmd_lines(prefix, folder)
        assert lines[-2:] == ["@EXIT /B 0", ""]  # conda 26.1 and later give up where a hook's last command failed
        assert all(line.startswith(("@", ":conda_assets_")) for line in lines[:-1])
        for line in lines:
            assert line.count('"') % 2 == 0
            if "\\" in line:
                assert re.fullmatch(r'@IF (NOT )?"!!"=="" @SET "\w+=[^"]*"', line)


def test_cmd_doubles_percent_and_escapes_only_where_delayed_expansion_is_on(prefix: Path) -> None:
    write_hooks(prefix, {"V": prefix / "50%!^"})
    given = [line for line in cmd_lines(prefix) if '"V=' in line and "\\" in line]
    assert given == [
        '@IF NOT "!!"=="" @SET "V=%CONDA_PREFIX%\\50%%!^"',
        '@IF "!!"=="" @SET "V=!CONDA_PREFIX!\\50%%^!^^"',
    ]


@pytest.fixture(scope="session")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str]]:
    """Run a batch script with Wine's cmd.exe; returns what `SET` prints at its end."""
    program = shutil.which("wine", path=PATH)
    if program is None:
        pytest.skip("no wine on this machine: cmd.exe runs nowhere else")
    home = tmp_path_factory.mktemp("wine")
    environ = {
        "PATH": PATH,
        "HOME": str(home),
        "WINEPREFIX": str(home / "c"),
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=",
    }

    def run(lines: list[str], extra: Mapping[str, str], *flags: str) -> dict[str, str]:
        script = home / "script.bat"
        script.write_bytes("\r\n".join([*lines, "@SET", ""]).encode())
        command = [program, "cmd", *flags, "/c", "script.bat"]
        done = subprocess.run(command, cwd=home, env={**environ, **extra}, capture_output=True, timeout=120)
        assert done.returncode == 0, done
        assert [each for each in os.listdir(home) if "pwned" in each] == []
        # Unlike Windows, Wine shows a prompt and the line where a label stands.
        shown = [line for line in done.stdout.decode(errors="replace").splitlines() if line and ">:conda_assets_" not in line]
        return dict(line.split("=", 1) for line in shown)

    run([], {})
    return run


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("/V:ON",)], ids=["plain", "delayed-expansion"])
def test_cmd_sets_stacks_and_cleans_up(wine: Callable[..., dict[str, str]], tmp_path: Path, flags: tuple[str, ...]) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    odd = "it's (50) & more"  # no `!` or `^`: Wine reads both otherwise than Windows
    for each in (a, b):
        write_hooks(each, {"BOTH": each / "sh are" / odd, "MINE": each / "m", f"ONLY_{each.name}": each / "o"})

    def on(prefix: Path) -> list[str]:
        return [f'@SET "CONDA_PREFIX=Z:{prefix}"', f'@CALL "Z:{prefix}/etc/conda/activate.d/conda-assets.bat"']

    def off(prefix: Path) -> list[str]:
        return [f'@CALL "Z:{prefix}/etc/conda/deactivate.d/conda-assets.bat"', '@SET "CONDA_PREFIX="']

    def look(*lines: str) -> dict[str, str]:
        seen = wine([*lines], {"MINE": "mine"}, *flags)
        return ours(seen, ("CONDA_ASSETS_DIR", "BOTH", "MINE", "ONLY_a", "ONLY_b"))

    in_a = {
        "CONDA_ASSETS_DIR": f"Z:{a}\\share\\assets",
        "BOTH": f"Z:{a}\\sh are\\{odd}",
        "MINE": "mine",
        "ONLY_a": f"Z:{a}\\o",
    }
    in_b = {name.replace("_a", "_b"): value.replace(f"Z:{a}", f"Z:{b}") for name, value in in_a.items()}
    assert look(*on(a)) == in_a
    assert look(*on(a), *on(b)) == {**in_b, "ONLY_a": in_a["ONLY_a"]}
    assert look(*on(a), *on(b), *off(b), *on(a)) == in_a
    assert look(*on(a), *off(a), *on(b), *off(b)) == {"MINE": "mine"}
    assert look(*on(a), '@SET "BOTH=changed"', *off(a)) == {"MINE": "mine", "BOTH": "changed"}
    assert look(*on(a), *on(a)) == in_a
    assert look(f'@CALL "Z:{a}/etc/conda/activate.d/conda-assets.bat"') == {"MINE": "mine"}
