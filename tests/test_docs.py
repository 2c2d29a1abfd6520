"""The README says what there is: every verb, field and setting, and nothing that is gone."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from conda_assets import settings, spec
from conda_assets.cli import configure_parser

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def verbs() -> dict[str, argparse.ArgumentParser]:
    parser = argparse.ArgumentParser()
    configure_parser(parser)
    (action,) = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    return dict(action.choices)


def table(title: str) -> list[str]:
    """The first cells of the README's table below a title."""
    part = README.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    return [line.split("|")[1] for line in part.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_is_in_the_readme(verb: str) -> None:
    assert any(f"`{verb}" in cell for cell in table("Verbs"))


def test_the_readme_has_no_verb_that_is_gone() -> None:
    named = {match for cell in table("Verbs") for match in re.findall(r"`([a-z]+)", cell)}
    assert named == set(verbs())


def test_the_readme_has_the_fields_of_the_schema() -> None:
    schema = spec.json_schema()
    text = str(schema)
    fields = {match for cell in table("Fields of an asset") for match in re.findall(r"`([a-z0-9]+)", cell)}
    assert [name for name in fields if f"'{name}'" not in text] == []


def test_the_readme_has_every_setting() -> None:
    named = {match for cell in table("Settings") for match in re.findall(r"`(assets_[a-z0-9_]+)", cell)}
    assert named == set(settings._PLUGIN_KEYS)


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#:]+)\)", README))
def test_links_lead_somewhere(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("script", ["quickstart", "test", "check"])
def test_the_scripts_that_the_readme_names_can_be_run(script: str) -> None:
    assert (ROOT / "scripts" / script).stat().st_mode & 0o111
