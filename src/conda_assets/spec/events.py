"""YAML text to parser events, from libyaml where it reads a text as ruamel.yaml does, else from ruamel.yaml.

Both give the same events. libyaml takes 0.4 s for 10,000 assets, ruamel.yaml, the one that conda reads with, 6.5 s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from conda_assets.regexes import regex

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Parser", "Unreadable", "fast_parser", "libyaml", "ruamel", "unreadable"]


NOT_YAML = "this is not YAML"


class Unreadable(Exception):
    """The text is not one YAML map. `line` and `column` count from 1."""

    def __init__(self, message: str, line: int, column: int, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.line, self.column, self.hint = message, line, column, hint

    @property
    def vague(self) -> bool:
        """Whether the parser stumbled itself and cannot say where."""
        return self.message == NOT_YAML


# Found by comparing the two on 100,000 broken and whole files (tests/test_spec_nodes.py goes on with it).
# Tabs, NEL, LS and PS: libyaml follows YAML 1.1 in them. `%`: a directive may ask for YAML 1.1.
_SIGNS_READ_DIFFERENTLY = ("\t", "\n%", "\r%", "\x85", "\u2028", "\u2029", "\ufeff")
# Each begins with a literal, which makes the search 20 times faster.
_READ_DIFFERENTLY = (
    regex(r"!(?<![^\s,\[{]!)"),  # a tag
    regex(r"&(?<![^\s,\[{]&)[A-Za-z0-9_-]*[^A-Za-z0-9_\s-]"),  # an anchor with other signs in its name, such as `:`
    regex(r"#(?:(?<=[|>]#)|(?<=[|>][-+0-9]#)|(?<=[|>][-+0-9][-+0-9]#))"),  # a comment right behind `|` or `>`
)


def fast_parser(text: str) -> bool:
    """Whether libyaml is there and reads this text as ruamel.yaml does."""
    if text.startswith("%") or any(sign in text for sign in _SIGNS_READ_DIFFERENTLY):
        return False
    if any(pattern.search(text) for pattern in _READ_DIFFERENTLY):
        return False
    try:
        from yaml import CSafeLoader  # noqa: F401
    except ImportError:  # no PyYAML, or one that was built without libyaml
        return False
    return True


class Parser(NamedTuple):
    """`following` gives the next event or raises Unreadable, `events` is the module of the events' classes."""

    following: Callable[[], Any]
    events: ModuleType
    close: Callable[[], None]


def libyaml(text: str) -> Parser:
    """Events by libyaml.

    Raises:
        Unreadable: the text cannot even be handed over.
    """
    import yaml
    import yaml.events

    try:
        parser = yaml.CSafeLoader(text)
    except UnicodeEncodeError as error:  # half a surrogate pair
        raise _at(text, error.start, "a character that is not allowed in YAML") from error

    def following() -> Any:
        try:
            return parser.get_event()
        except yaml.YAMLError as error:
            raise unreadable(text, error) from error

    return Parser(following, yaml.events, parser.dispose)


def ruamel(text: str) -> Parser:
    """Events by ruamel.yaml in Python: what conda reads with."""
    import ruamel.yaml
    import ruamel.yaml.error
    import ruamel.yaml.events

    parsed = ruamel.yaml.YAML(typ="safe", pure=True).parse(text)

    def following() -> Any:
        try:
            return next(parsed)
        except ruamel.yaml.error.YAMLError as error:
            raise unreadable(text, error) from error
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
            # Some broken files make the parser itself stumble, for example an escape above U+10FFFF or `%YAML 1`.
            raise Unreadable(NOT_YAML, 1, 1) from error

    return Parser(following, ruamel.yaml.events, parsed.close)


def unreadable(text: str, error: Any) -> Unreadable:
    """A parser's complaint without its excerpt of the file, which may hold secrets."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        position = getattr(error, "position", None)
        return _at(text, position if isinstance(position, int) else 0, "a character that is not allowed in YAML")
    said = str(getattr(error, "problem", None) or getattr(error, "context", None) or NOT_YAML)
    opened = getattr(error, "context_mark", None)
    if "unexpected end of stream" in said and opened:
        return Unreadable("not YAML: the quote that opens here is never closed", opened.line + 1, opened.column + 1)
    hint = ""
    if "<block mapping start>" in said or "<block sequence start>" in said:
        said = "this line is not indented as the lines that it belongs to"
    elif "'\\t'" in said or " tab " in said:
        hint = "indent with spaces: YAML does not allow tabs here"
    elif "mapping values" in said:
        hint = "quote a value that holds `: `, and check the indentation"
    elif said.startswith(("expected <block end>", "did not find expected key", "could not find expected")):
        hint = "check the indentation of this line and the one above, and that quotes are closed"
    return Unreadable(f"not YAML: {said}", mark.line + 1, mark.column + 1, hint)


def _at(text: str, position: int, message: str) -> Unreadable:
    before = text[:position]
    return Unreadable(message, before.count("\n") + 1, position - before.rfind("\n"))
