"""What the tests of the plugin share: a conda with the plugin, a local channel, a server, and a project folder with files.

A test module says `pytest_plugins = ["plugged"]` and has the fixtures `root`, `server` and `project`; it must not import this.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from channel import Package, make_channel
from condas import Conda, Done, Root, conda_params
from server import Server

__all__ = ["PACKAGES", "Project", "project", "root", "server"]

_PYTHON = b"""#!/bin/sh
# Stands for an environment's Python with pip: writes down how conda calls it.
here=$(dirname "$0")/../share/pip.log
mkdir -p "$(dirname "$here")"
for word in "$@"; do [ -f "$word" ] && word=$(cat "$word"); printf '%s\\n' "$word" >> "$here"; done
printf 'in %s\\n' "$(pwd)" >> "$here"
"""
PACKAGES = (
    Package("tiny", files={"share/tiny.txt": b"tiny\n"}, noarch="generic"),
    Package("needs-tiny", depends=["tiny >=1"], files={"bin/needs-tiny": b"#!/bin/sh\necho needs\n"}, form=".conda"),
    Package("other", files={"share/other.txt": b"other\n"}, noarch="generic"),
    Package("python", "3.12.0", files={"bin/python": _PYTHON}),
    Package("pip", "25.0", depends=["python"], files={"share/pip.txt": b"pip\n"}, noarch="generic"),
)
_numbers = itertools.count(1)


class Project:
    """A folder with an environment file, the conda to run there, and the server that has its assets."""

    #: What conda says of a section that it does not know.
    SECTION_WARNING = "EnvironmentSectionNotValid"

    def __init__(self, folder: Path, root: Root, server: Server) -> None:
        self.folder, self.root, self.server = folder, root, server
        self.name = f"env{next(_numbers)}"
        self.store = folder.parent / "store"

    def asset(self, name: str, body: bytes | None = None, *, pinned: bool = True, **fields: Any) -> dict[str, Any]:
        """A file on the server, as an entry of `assets:`; `at` is its path there, `serve_…` are faults of the server."""
        body = f"{name} of {self.name}\n".encode() * 1000 if body is None else body
        faults = {key.removeprefix("serve_"): fields.pop(key) for key in list(fields) if key.startswith("serve_")}
        url = self.server.add(f"/{self.name}/{fields.pop('at', name)}", body, **faults)
        known = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)} if pinned else {}
        return {"name": name, "url": url, **known, **fields}

    def write(self, *assets: Any, file: str = "environment.yml", **content: Any) -> Path:
        """Write an environment file with these entries; `content` adds or replaces keys, None takes one away."""
        rows = {"name": self.name, "dependencies": ["tiny"], "assets": list(assets), **content}
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = {key: value for key, value in rows.items() if value is not None}
        path.write_text(yaml.safe_dump(kept, sort_keys=False, allow_unicode=True), encoding="utf-8")
        return path

    def conda(self, *words: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None, typed: str = "") -> Done:
        """Run conda in the project's folder, with a store of this test's own."""
        return self.root.run(*words, cwd=cwd or self.folder, env={**self.environ, **(env or {})}, typed=typed)

    @property
    def environ(self) -> dict[str, str]:
        """What the project adds to conda's environment."""
        return {"CONDA_ASSETS_STORE": str(self.store)}

    def prefix(self, name: str | None = None) -> Path:
        """The folder of the environment of that name, or of the project's."""
        return self.root.env(name or self.name)

    def placed(self, name: str, prefix: Path | None = None) -> bytes | None:
        """The bytes of an asset where it should stand, None where it does not."""
        path = (prefix or self.prefix()) / "share" / "assets" / name
        return path.read_bytes() if path.exists() else None

    def body(self, name: str) -> bytes:
        """What `asset` serves for that name by default."""
        return f"{name} of {self.name}\n".encode() * 1000

    @property
    def fetched(self) -> int:
        """Bytes that the server has sent for this project."""
        return sum(request.sent for request in list(self.server.requests) if request.path.startswith(f"/{self.name}/"))

    @property
    def asked(self) -> list[str]:
        """Paths that this project's server was asked for."""
        return [request.path for request in list(self.server.requests) if request.path.startswith(f"/{self.name}/")]

    def receipt(self, prefix: Path | None = None) -> dict[str, Any]:
        """name → line of the environment's receipt."""
        path = (prefix or self.prefix()) / "etc" / "conda-assets" / "receipt.json"
        return {line["name"]: line for line in json.loads(path.read_text())["assets"]} if path.exists() else {}


@pytest.fixture(scope="module", params=conda_params())
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A root prefix of each conda, shared by a module's tests; each makes an environment of its own."""
    conda: Conda = request.param
    folder = tmp_path_factory.mktemp(f"conda-{conda.version}")
    return conda.make_root(folder, make_channel(folder / "channel", PACKAGES))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Serves the assets."""
    with Server() as made:
        yield made


@pytest.fixture
def project(root: Root, server: Server, tmp_path: Path) -> Project:
    """A fresh project."""
    folder = tmp_path / "project"
    folder.mkdir()
    return Project(folder, root, server)
