"""Every error can be made, printed, turned into JSON, and is drawn in the tree."""

from __future__ import annotations

import dataclasses
import inspect
import json

import pytest

from conda_assets import errors
from conda_assets.errors import AssetsError, Fault, Hint

CLASSES = [
    each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, AssetsError) and each is not AssetsError
]
VALUES = {
    "str": "word",
    "tuple[str, ...]": ("one", "two"),
    "int": 7,
    "bool": True,
    "float": 1.5,
    "tuple[Fault, ...]": (Fault("environment.yml", 3, 5, "assets[0].url", "no"),),
    "tuple[tuple[str, str], ...]": tuple((f"{number}.csv", "it is missing") for number in range(7)),
}


def made(kind: type[AssetsError]) -> AssetsError:
    return kind(*(VALUES[str(field.type)] for field in dataclasses.fields(kind)))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_is_a_sentence_with_a_way_out(kind: type[AssetsError]) -> None:
    error = made(kind)
    assert str(error) == error.message
    assert error.message
    assert error.message != kind.code
    assert not error.message.endswith(".")
    assert all(isinstance(hint, Hint) and not hint.text.endswith(".") for hint in error.hints)
    assert json.loads(json.dumps(error.to_json()))["code"] == kind.code
    assert kind.exit_code in (1, 2, 3, 4, 130)


def test_codes_are_unique_and_names_are_drawn_in_the_tree() -> None:
    assert len({kind.code for kind in CLASSES}) == len(CLASSES)
    assert errors.__doc__ is not None
    assert [kind.__name__ for kind in CLASSES if kind.__name__ not in errors.__doc__] == []
    assert [kind.__name__ for kind in CLASSES if kind.__name__ not in errors.__all__] == []
    assert sorted(errors.__all__) == errors.__all__
