"""A late pattern finds what a compiled one finds, and is none before somebody looks with it."""

from __future__ import annotations

import ast
import gc
import re
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import conda_assets
from conda_assets.regexes import regex

# What is read once a run, by every line: late would be the same.
_USED_BY_ALL = {"log/file.py"}
# A child that asks aria2c, long after the plan.
_STARTS_ARIA2 = {"transport/daemon.py", "transport/locate.py"}


@pytest.mark.parametrize("text", ["a1b22", "", "xyz", "A9"])
def test_it_finds_the_same(text: str) -> None:
    late, compiled = regex("([a-z])[0-9]+", re.IGNORECASE), re.compile("([a-z])[0-9]+", re.IGNORECASE)
    for _ in range(2):
        assert late.findall(text) == compiled.findall(text)
        assert late.sub(r"<\1>", text) == compiled.sub(r"<\1>", text)
        assert late.split(text) == compiled.split(text)
        assert bool(late.fullmatch(text)) == bool(compiled.fullmatch(text))
    assert (late.pattern, late.groups, repr(late)) == (compiled.pattern, compiled.groups, repr(compiled))
    assert regex(rb"\d").search(b"a1")


def test_nothing_is_compiled_before_the_first_use() -> None:
    wrong = regex("(")
    with pytest.raises(re.error):
        wrong.search("")


def test_every_pattern_of_ours_compiles() -> None:
    """A wrong one would be seen at its first use only."""
    names = sorted({name for _, name in _calls("regex")})
    assert len(names) > 40
    for name in names:
        with suppress(ModuleNotFoundError):  # conda
            import_module(f"conda_assets.{name.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}")
    late = [each for each in gc.get_objects() if type(each) is type(regex(""))]
    assert len(late) > 80
    for each in late:
        if each.pattern != "(":
            re.compile(each.pattern, each._flags)


def test_no_module_compiles_when_it_is_read() -> None:
    wrong = {name for _, name in _calls("re.compile")} - _USED_BY_ALL - _STARTS_ARIA2
    assert not wrong


def _calls(called: str) -> list[tuple[ast.Call, str]]:
    """The calls outside functions, with the module's path."""
    found: list[tuple[ast.Call, str]] = []

    def walk(node: Any, name: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call) and ast.unparse(child.func) == called:
                found.append((child, name))
            if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                walk(child, name)

    root = Path(next(iter(conda_assets.__path__)))
    for file in root.rglob("*.py"):
        walk(ast.parse(file.read_text()), file.relative_to(root).as_posix())
    return found
