"""What most tests of whole syncs need: files on a server, a spec that names them, an environment to put them into."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from conda_assets import spec
from conda_assets.api.options import Options
from conda_assets.api.sync import sync
from conda_assets.cli import main
from conda_assets.events import Event
from conda_assets.model import Report, Spec, Target
from conda_assets.settings import Settings, load

__all__ = ["Lab", "Said"]


@dataclass
class Said:
    """What the program answered."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, object]:
        """The one document on standard output."""
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document

    def rows(self) -> dict[str, dict[str, object]]:
        """name → row of the document's assets."""
        assets = self.json["assets"]
        assert isinstance(assets, list)
        return {row["name"]: row for row in assets}


@dataclass
class Lab:
    """A folder with a spec, and environments beside it. The store is the one of `clean_environ`."""

    folder: Path
    seen: list[Event] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.folder / "environment.yml"

    def write(self, assets: Sequence[object], **keys: object) -> Path:
        """The spec."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file.write_text(yaml.safe_dump({"name": "lab", "channels": [], "dependencies": [], **keys, "assets": list(assets)}))
        return self.file

    def prefix(self, name: str = "env") -> Path:
        """An environment that conda would call one."""
        prefix = self.folder / "envs" / name
        (prefix / "conda-meta").mkdir(parents=True, exist_ok=True)
        (prefix / "conda-meta" / "history").touch()
        return prefix

    def spec(self) -> Spec:
        return spec.load([str(self.file)], environ=os.environ, cwd=self.folder, read_url=_no_url)

    def target(self, name: str = "env") -> Target:
        return Target(self.prefix(name), self.folder)

    def settings(self) -> Settings:
        return load(environ=os.environ)

    def sync(self, name: str = "env", *, options: Options | None = None, settings: Settings | None = None) -> Report:
        """A sync in this process; its events are in `seen`."""
        self.seen.clear()
        return sync(
            self.spec(),
            self.target(name),
            settings or self.settings(),
            options=options,
            watch=self.seen.append,
            environ=os.environ,
        )

    def placed(self, path: str, name: str = "env") -> Path:
        return self.prefix(name) / "share" / "assets" / path

    def run(self, *words: str, environ: Mapping[str, str] | None = None) -> Said:
        """The program itself, in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "conda_assets", *words],
            cwd=self.folder,
            env={**os.environ, **(environ or {})},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def call(self, *words: str) -> Said:
        """The program in this process: half a second faster."""
        out, err, before = io.StringIO(), io.StringIO(), Path.cwd()
        os.chdir(self.folder)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = main(list(words))
        finally:
            os.chdir(before)
        return Said(status, out.getvalue(), err.getvalue())

    def start(self, *words: str, environ: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """The program in the background."""
        return subprocess.Popen(
            [sys.executable, "-m", "conda_assets", *words],
            cwd=self.folder,
            env={**os.environ, **(environ or {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def _no_url(url: str) -> str:
    raise AssertionError(f"asked for {url}")
