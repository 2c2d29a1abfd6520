"""All that the centre can tell a person has its Chinese; the sources are read for it, so that no new sentence is forgotten."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import conda_assets
from conda_assets import errors

HERE = Path(conda_assets.__file__).parent
ZH = json.loads((HERE / "serve/static/zh.json").read_text(encoding="utf-8"))
_ERRORS = {name for name in vars(errors) if isinstance(vars(errors)[name], type) and issubclass(vars(errors)[name], Exception)}
# Modules whose words reach the page; those for who starts the centre, and of the RPC, do not.
_SERVE = ("accounts", "app", "centre", "door", "hearing", "intake", "pace", "pages", "queue")
_MODULES = [
    *(HERE / f"serve/{name}.py" for name in _SERVE),
    *sorted((HERE / "serve/rest").glob("*.py")),
    HERE / "transport/failures.py",
    HERE / "web/failures.py",
]
# A sentence of another module in its place, a list made elsewhere, or a class of errors in a docstring.
_PIECES = re.compile(r"(\{\}[:;, ]*)+")


def sentence(node: ast.AST) -> str | None:
    """The text of a literal, its values as `{}`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.JoinedStr):
        return None
    parts = []
    for part in node.values:
        if isinstance(part, ast.Constant):
            parts.append(str(part.value))
        else:
            assert isinstance(part, ast.FormattedValue)
            parts.append("'{}'" if part.conversion == ord("r") else "{}")
    return "".join(parts)


def said(module: Path) -> Iterator[str]:
    """What errors are made with, and what `_fault…` and `_clause` return."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        asked: list[ast.AST] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {*_ERRORS, "Refusal"}:
            asked = [*node.args, *(each.value for each in node.keywords)]
        elif isinstance(node, ast.FunctionDef) and node.name in ("_fault", "_clause"):
            asked = [each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value is not None]
        for each in asked:
            text = sentence(each)
            if text and " " in text and not _PIECES.fullmatch(text):
                yield text


def known(text: str) -> bool:
    holes = {key.replace("{word}", "{}") for key in ZH}
    # A reason in brackets that may be there or not; the names of what is wrong, which stand before it.
    text = text.replace("{} may ask for {}", "{} may ask for {}, has {} and asks for {}")
    return bool({text, text.removeprefix("{}: "), re.sub(r"\{\}$", "", text), text.replace("{}{}", "{} ({})")} & holes)


def test_every_sentence_has_its_chinese():
    missing = {text: module.name for module in _MODULES for text in said(module) if not known(text)}
    assert missing == {}


def test_every_hint_of_an_error_has_its_chinese():
    tree = ast.parse(Path(errors.__file__).read_text(encoding="utf-8"))
    hints = {
        text
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Hint"
        for each in node.args[:1]
        if (text := sentence(each)) and not _PIECES.fullmatch(text)
    }
    # What only a command says: with files, locks, bundles, prefixes or archives.
    only = re.compile(
        r"conda assets (verify|export|fetch|sync|lock)|run `\{\}`|`\{\}`$|with `\{\}`"
        r"|unpack:|another `path:`|sync again|in the file$"
    )
    assert {hint for hint in hints if hint not in ZH and not only.search(hint)} == set()


def test_every_value_keeps_its_place():
    for english, chinese in ZH.items():
        holes = len(re.findall(r"\{(?:word)?\}", english))
        assert sorted(re.findall(r"\{(\d)\}", chinese)) == [str(number) for number in range(holes)], english


def test_the_page_has_every_word_in_both_languages():
    text = (HERE / "serve/static/words.js").read_text(encoding="utf-8")
    english, chinese = text.split("\n  zh: {")
    bare = [re.sub(r'"[^"]*"|`[^`]*`', '""', part.partition("\n};")[0]) for part in (english, chinese)]
    keys = [set(re.findall(r"(\w+): ", part)) for part in bare]
    assert keys[0] - keys[1] - {"en"} == set()
    assert {key for key in keys[1] - keys[0] if not key.startswith("code_")} == set()
