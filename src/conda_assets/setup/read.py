"""What a `.condarc` says, read as conda reads it (YAML 1.2), and where it cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conda_assets.regexes import regex

__all__ = ["CHANNEL", "CHANNELS", "NULL", "PRIORITY", "Unsafe", "channels_of", "is_channel", "parse", "root_of", "without"]

CHANNEL = "conda-forge"
#: The key and conda's other name for it; a file may have one of them.
CHANNELS = ("channels", "channel")
PRIORITY = "channel_priority"

#: The tag of a key without a value.
NULL = "tag:yaml.org,2002:null"

_FULL_URL = regex(r"https?://conda\.anaconda\.org/conda-forge/?")


class Unsafe(Exception):
    """The text cannot be edited with certainty. `line` counts from 1; 0 where it is the whole file."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line, self.why = line, why


def parse(text: str) -> dict[str, Any]:
    """The content, read as conda reads it (YAML 1.2); empty for a file with nothing in it.

    Raises:
        Unsafe: not YAML, or not a mapping.
    """
    root_of(text)
    content = _guarded(lambda yaml: yaml.load(text))
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise Unsafe(1, "it is not a list of `key: value` lines")
    return content


def root_of(text: str) -> Any:
    """The node of the one mapping in the text, None where there is none.

    Raises:
        Unsafe: not YAML, or several documents.
    """
    documents = _guarded(lambda yaml: list(yaml.compose_all(text)))
    if len(documents) > 1:
        raise Unsafe(documents[1].start_mark.line + 1, "it holds several YAML documents")
    return documents[0] if documents and documents[0].tag != NULL else None


def channels_of(content: dict[str, Any]) -> list[Any]:
    """The channels that the content lists."""
    listed: Any = next((content[name] for name in CHANNELS if content.get(name) is not None), [])
    return listed if isinstance(listed, list) else [listed]


def is_channel(value: object) -> bool:
    """Whether an entry of `channels` is conda-forge, by name or by its address."""
    return isinstance(value, str) and (value == CHANNEL or _FULL_URL.fullmatch(value) is not None)


def without(content: dict[str, Any], *names: str) -> str:
    """What the content says beside these keys, comparable; its words, since NaN is not even equal to itself."""
    return repr([(key, value) for key, value in content.items() if key not in names])


def _guarded(read: Callable[[Any], Any]) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return read(YAML(typ="safe", pure=True))
    except DuplicateKeyError as error:
        # Its own words quote the values, which may hold a token.
        raise Unsafe(error.problem_mark.line + 1, "it has a key twice") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unsafe(mark.line + 1 if mark else 0, f"it is not YAML: {error.problem or error.context}") from error
    # ruamel lets Python's own errors through where a value only looks like a number or a date.
    except (YAMLError, ValueError, TypeError, LookupError, AttributeError, AssertionError, RecursionError) as error:
        raise Unsafe(0, "it holds something that cannot be read as YAML") from error
