"""Every real conda that can be found here, and scratch roots to run them in.

    for conda in find_condas():
        root = conda.make_root(tmp_path, channel)          # root prefix, HOME and .condarc of its own; our plugin is in it
        done = root.run("env", "create", "-f", "environment.yml", cwd=project)
        assert done.status == 0, done.told

Found: conda 24.7.1 inside conda-lock, `conda` on PATH, and what CONDA_ASSETS_TEST_CONDAS names: programs, separated as in PATH.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Conda", "Done", "Root", "conda_params", "find_condas", "write_vendored_launcher"]

NAMED = "CONDA_ASSETS_TEST_CONDAS"
# Of this machine's environment a conda gets only what no conda and no test may depend on.
_KEPT = ("PATH", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "COVERAGE_PROCESS_START", "COV_CORE_CONFIG", "COV_CORE_SOURCE")
_OLDEST_CONDA, _OLDEST_PYTHON = (24, 1), (3, 10)

_ALIAS = """\
#!{python}
# conda {version} as conda-lock carries it, under its own name.
import importlib
import importlib.machinery
import importlib.util
import sys
import types

# Without conda-lock's own __init__: it takes half a second and is no part of conda.
conda_lock = types.ModuleType("conda_lock")
conda_lock.__path__ = importlib.util.find_spec("conda_lock").submodule_search_locations
sys.modules["conda_lock"] = conda_lock


class Alias:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] != "conda" or importlib.util.find_spec("conda_lock._vendor." + name) is None:
            return None
        return importlib.machinery.ModuleSpec(name, Alias, is_package=True)

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        sys.modules[module.__name__] = importlib.import_module("conda_lock._vendor." + module.__name__)


sys.meta_path.insert(0, Alias)

if __name__ == "__main__":  # conda's probe for CUDA starts this file again in a new process
    from conda.cli.main import main

    sys.exit(main())
"""

# Asked of the Python that runs a conda.
_PROBE = """\
import json, sys
from importlib import metadata
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
try:
    import conda
    version = conda.__version__
except ImportError:
    version = None
print(json.dumps({"python": sys.version_info[:2], "conda": version, "found": found}))
"""


@dataclass(frozen=True)
class Done:
    """How a command ended: `assert done.status == 0, done.told`."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output, which has to be exactly one JSON document."""
        return json.loads(self.stdout)

    @property
    def told(self) -> str:
        """All of it, for the message of an assertion: pytest would shorten a record."""
        return f"exit {self.status}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


@dataclass(frozen=True)
class Conda:
    """One conda. `program`: its launcher, None for conda-lock's; `missing`: distributions that its Python lacks for us."""

    version: str
    python: Path
    program: Path | None = None
    missing: tuple[str, ...] = ()

    @property
    def number(self) -> tuple[int, int]:
        """Year and month: for what a release cannot do; what it has is never guessed from it."""
        year, month = re.findall(r"\d+", self.version)[:2]
        return int(year), int(month)

    def make_root(self, folder: Path, channel: str) -> Root:
        """A fresh root prefix below `folder`, with the plugin of this working tree."""
        root = Root(self, Path(folder, "root"), Path(folder, "home"), Path(folder, "site"))
        for each in ("conda-meta", "pkgs", "envs", "bin"):
            Path(root.prefix, each).mkdir(parents=True)
        Path(root.prefix, "conda-meta", "history").touch()
        root.home.mkdir()
        rows = {"channels": [channel], "solver": "classic", "notify_outdated_conda": False, "number_channel_notices": 0}
        Path(root.home, ".condarc").write_text(json.dumps(rows))
        if self.program is None:
            write_vendored_launcher(root.launcher)
        else:
            _link_distributions(root.site, ("conda-assets", *self.missing))
        return root


@dataclass(frozen=True)
class Root:
    """A root prefix with a HOME; `site` is put before the packages of conda's Python."""

    conda: Conda
    prefix: Path
    home: Path
    site: Path

    @property
    def launcher(self) -> Path:
        """The program `conda` of this root."""
        return self.conda.program or Path(self.prefix, "bin", "conda")

    def env(self, name: str) -> Path:
        """The folder of a named environment."""
        return Path(self.prefix, "envs", name)

    def environ(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """What its processes are given, nothing else."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        own = {
            "HOME": str(self.home),
            "USERPROFILE": str(self.home),
            "LANG": "C.UTF-8",
            "CONDA_ROOT": str(self.prefix),
            "CONDA_ROOT_PREFIX": str(self.prefix),
            "CONDA_EXE": str(self.launcher),
        }
        if self.site.exists():
            own["PYTHONPATH"] = str(self.site)
        return {**kept, **own, **(extra or {})}

    def run(
        self,
        *words: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        typed: str = "",
        timeout_s: float = 120,
    ) -> Done:
        """Run `conda WORDS` to its end. `typed`: standard input."""
        done = subprocess.run(
            self._argv(words),
            cwd=cwd or self.home,
            env=self.environ(env),
            input=typed,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start `conda WORDS` in a process group of its own; the caller ends it."""
        return subprocess.Popen(
            self._argv(words), cwd=cwd or self.home, env=self.environ(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def _argv(self, words: tuple[str | Path, ...]) -> list[str]:
        return [str(self.conda.python), str(self.launcher), *map(str, words)]


def write_vendored_launcher(path: Path) -> Path:
    """Write a program that is conda 24.7.1, from conda-lock beside this Python.

    Raises:
        LookupError: conda-lock is not there; it belongs to the dependency group `test`.
    """
    version = _vendored_version()
    if version is None:
        raise LookupError(f"conda-lock is not installed beside {sys.executable}: it belongs to the dependency group `test`")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_ALIAS.format(python=sys.executable, version=version))
    path.chmod(0o755)
    return path


def conda_params() -> list[Any]:
    """One pytest parameter a conda; one that is too old is skipped by name."""
    made = []
    for conda, why in _all_condas():
        marks = [pytest.mark.skip(reason=why)] if why else []
        made.append(pytest.param(conda, id=conda.version, marks=marks))
    return made


def find_condas() -> list[Conda]:
    """Those that can run the plugin, oldest first."""
    return [conda for conda, why in _all_condas() if not why]


@lru_cache(maxsize=1)
def _all_condas() -> tuple[tuple[Conda, str], ...]:
    found: dict[str, tuple[Conda, str]] = {}
    if (version := _vendored_version()) is not None:
        found[version] = (Conda(version, Path(sys.executable)), "")
    named = [program for program in os.environ.get(NAMED, "").split(os.pathsep) if program]
    for program in filter(None, [*named, shutil.which("conda")]):
        conda, why = _look_at(Path(program), must=program in named)
        if conda is not None:
            found.setdefault(conda.version, (conda, why))
    return tuple(sorted(found.values(), key=lambda each: [int(part) for part in re.findall(r"\d+", each[0].version)]))


def _vendored_version() -> str | None:
    found = importlib.util.find_spec("conda_lock")
    if found is None or not found.submodule_search_locations:
        return None
    said = Path(found.submodule_search_locations[0], "_vendor", "conda", "_version.py").read_text()
    return re.findall(r"^__version__.*= *['\"]([\d.]+)", said, re.MULTILINE)[0]


def _look_at(program: Path, *, must: bool) -> tuple[Conda | None, str]:
    try:
        python = _python_of(program)
        needed = sorted(_closure("conda-assets") - {"conda-assets"})
        said = json.loads(_ask(python, "-c", _PROBE, *needed))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        if must:
            raise LookupError(f"{NAMED}: {program} does not run: {error}") from error
        return None, ""
    if said["conda"] is None:
        return None, ""
    missing = tuple(name for name in needed if name not in said["found"])
    conda = Conda(said["conda"], python, program, missing)
    if tuple(said["python"]) < _OLDEST_PYTHON:
        return conda, f"{program} runs in Python {'.'.join(map(str, said['python']))}, the plugin needs 3.10"
    return conda, f"{program} is older than 24.1" if conda.number < _OLDEST_CONDA else ""


def _python_of(program: Path) -> Path:
    with program.open("rb") as file:
        first = file.readline()
    match = re.fullmatch(rb"#!\s*(/\S*python[\d.]*)\s*", first)
    if match and Path(os.fsdecode(match[1])).exists():
        return Path(os.fsdecode(match[1]))
    return Path(json.loads(_ask(program, "info", "--json"))["sys.executable"])


def _ask(*words: str | Path) -> str:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    done = subprocess.run([str(word) for word in words], env=kept, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def _closure(name: str) -> set[str]:
    """A distribution and all that it requires, without extras."""
    from packaging.requirements import Requirement

    done: set[str] = set()
    waiting = [name]
    while waiting:
        if (each := waiting.pop()) in done:
            continue
        done.add(each)
        for line in metadata.requires(each) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return done


def _link_distributions(site: Path, names: tuple[str, ...]) -> None:
    """Make distributions of this Python importable, with their entry points, from a folder of their own."""
    site.mkdir()
    for name in names:
        for source in _top_level(metadata.distribution(name)):
            if not Path(site, source.name).exists():
                Path(site, source.name).symlink_to(source)


def _top_level(found: metadata.Distribution) -> Iterator[Path]:
    for top in sorted({path.parts[0] for path in found.files or () if path.parts[0] not in ("..", "__pycache__")}):
        source = Path(str(found.locate_file(top)))
        if source.suffix == ".pth":
            # An editable install: the folder it names holds the package.
            folder = Path(source.read_text().strip())
            yield from (each for each in sorted(folder.iterdir()) if Path(each, "__init__.py").exists())
        elif source.exists():
            yield source
