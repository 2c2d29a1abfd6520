"""tests/data/valid must load, tests/data/invalid must fail with exactly the faults that each file lists at its top.

# environ: NAME=value …       what the file's variables stand for; `\n` is a line break
# fault: 3:12: assets[0].name: …       a fault that the JSON Schema sees too (see test_schema.py)
# beyond: 9:12: assets[7].name: …      one that only the walker can see
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conda_assets.errors import SpecInvalid
from conda_assets.model import Spec
from conda_assets.spec import load

DATA = Path(__file__).parent / "data"
VALID = sorted((DATA / "valid").glob("*.yml"))
INVALID = sorted((DATA / "invalid").glob("*.yml"))


def notes(path: Path, kind: str) -> list[str]:
    """The lines of one kind at the top of a data file."""
    return re.findall(rf"(?m)^# {kind}: (.*?)\r?$", path.read_text(encoding="utf-8"))


def environ_of(path: Path) -> dict[str, str]:
    pairs = re.findall(r"(\w+)=(.*?)(?= \w+=|$)", " ".join(notes(path, "environ")))
    return {name: value.replace("\\n", "\n") for name, value in pairs}


def expected_faults(path: Path) -> list[str]:
    return [line for _, line in re.findall(r"(?m)^# (fault|beyond): (.*?)\r?$", path.read_text(encoding="utf-8"))]


def no_network(url: str) -> str:
    raise AssertionError(f"nothing here reads {url}")


def load_file(path: Path) -> Spec:
    """Load as `-f environment.yml` would in the folder of a project."""
    spec = load([path.name], environ=environ_of(path), cwd=path.parent, read_url=no_network)
    assert spec.base == path.parent
    return spec


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_file_loads_without_a_warning(path: Path) -> None:
    assert load_file(path).warnings == ()


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_all_faults_of_an_invalid_file_are_reported_in_file_order(path: Path) -> None:
    with pytest.raises(SpecInvalid) as caught:
        load_file(path)
    said = [str(fault).removeprefix(f"{path.name}:") for fault in caught.value.faults]
    assert said == expected_faults(path)


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_no_message_shows_what_a_variable_holds(path: Path) -> None:
    with pytest.raises(SpecInvalid) as caught:
        load_file(path)
    for name, value in environ_of(path).items():
        if len(value) > 3:
            assert value not in str(caught.value), name


def test_no_message_holds_a_control_character() -> None:
    """A terminal obeys escape sequences: a spec file from elsewhere must not speak to it."""
    for path in INVALID:
        with pytest.raises(SpecInvalid) as caught:
            load_file(path)
        for fault in caught.value.faults:
            assert str(fault).isprintable(), (path.name, fault)
