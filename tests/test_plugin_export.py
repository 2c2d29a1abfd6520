"""What `conda export` and `conda env export` write has the environment's assets, where conda has exporters to wrap."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import yaml

from conda_assets.cli import inside
from conda_assets.model import LinkType, Placed, Root
from conda_assets.plan import url_key
from conda_assets.receipt import receipt_path, write_receipt

if TYPE_CHECKING:
    from plugged import Project

pytestmark = pytest.mark.slow

# By its file: the package that it is in imports conda, which tests have none of.
with_section = runpy.run_path(str(Path(inside.__file__).parents[1] / "plugin" / "exporting.py"))["with_section"]

pytest_plugins = ["plugged"]

# `conda_environment_exporters`
EXPORTERS = (25, 7)
URL = "https://example.org/w.bin"
ENTRY = {"name": "w", "url": URL, "sha256": "a" * 64, "size": 12, "path": "m/w.bin", "env": "W"}


def receipt(prefix: Path) -> None:
    line = Placed("w", "m/w.bin", Root.PREFIX, "a" * 64, 12, 1, LinkType.COPY, URL, url_key(URL), env="W")
    write_receipt(prefix, [line])


@pytest.mark.slow
def test_what_conda_exports_has_the_assets(project: Project):
    prefix = project.root.env("exported")
    (prefix / "conda-meta").mkdir(parents=True)
    (prefix / "conda-meta" / "history").touch()
    receipt(prefix)
    done = project.conda("env", "export", "-p", prefix)
    assert done.status == 0, done.told
    content = yaml.safe_load(done.stdout)
    assert content["name"] == "exported"
    if project.root.conda.number >= EXPORTERS:
        assert content["assets"] == [ENTRY]
        done = project.conda("export", "-p", prefix, "--format", "environment-json")
        assert done.json["assets"] == [ENTRY]
    else:
        assert "assets" not in content, "conda has no exporters to wrap: `conda assets export --spec` prints the section"
        done = project.conda("assets", "export", "--spec", "-p", prefix)
        assert yaml.safe_load(done.stdout) == {"assets": [ENTRY]}, done.told


@dataclass
class Exporter:
    """What a conda from 25.7 on has, as far as it is looked at."""

    name: str
    export: Callable[[object], str] | None


def test_the_text_of_conda_comes_first_and_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    text = "name: a  # kept\ndependencies:\n  - python\n"
    exporter = with_section(Exporter("environment-yaml", lambda environment: text))
    environment = SimpleNamespace(prefix=str(tmp_path))
    assert exporter.export(environment) == text, "there are no assets"
    receipt(tmp_path)
    assert exporter.export(environment).startswith(text)
    assert yaml.safe_load(exporter.export(environment))["assets"] == [ENTRY]
    assert exporter.export(SimpleNamespace(prefix=None)) == text, "no environment is meant"
    exporter = with_section(Exporter("environment-json", lambda environment: '{"name": "a"}'))
    assert json.loads(exporter.export(environment)) == {"name": "a", "assets": [ENTRY]}
    receipt_path(tmp_path).write_text("{")
    assert exporter.export(environment) == '{"name": "a"}'
    assert "are not in this export" in capsys.readouterr().err


@pytest.mark.parametrize("exporter", [Exporter("explicit", str), Exporter("environment-yaml", None)])
def test_other_formats_are_left_alone(exporter: Exporter):
    assert with_section(exporter) is exporter
