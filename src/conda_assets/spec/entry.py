"""An entry of `assets:` as YAML: lines for a block, one line for brackets, quoted only where YAML would read something else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from conda_assets.regexes import regex
from conda_assets.spec.fields import FIELDS
from conda_assets.spec.nodes import plain_kind

__all__ = ["ABOUT", "Fields", "Value", "block_lines", "flow_text", "short"]

Value = str | int | bool | Sequence[str] | Mapping[str, "Value"]
#: field → value; written in the order of the documentation, without those that are empty.
Fields = Mapping[str, Value]

#: No field of an asset: words that stand behind the first line, as a comment.
ABOUT = "about"

_PLAIN = regex(r"[A-Za-z0-9./_~][A-Za-z0-9._~/:@%+=?&$(){}\[\],;!*#'-]*(?: [A-Za-z0-9._~/@%+=()-]+)*")
# Other readers of the file follow YAML 1.1, where `no` and `12:30` are no texts.
_MEANS_MORE = regex(r":(?: |\Z)| #|\A[0-9:._]+\Z|\A(?:y|n|yes|no|on|off)\Z", re.IGNORECASE)
_NOT_IN_BRACKETS = regex(r"[\[\]{},]")
_WIDTH = 100


def short(fields: Fields) -> bool:
    """Whether a line with the URL says it all."""
    return set(_written(fields)) == {"url"} and not fields.get(ABOUT)


def block_lines(fields: Fields) -> tuple[str, ...]:
    """The lines of a `- ` entry, the first without its dash; each is to be indented equally."""
    written = _written(fields)
    if short(fields):
        return (_scalar(written["url"]),)
    lines: list[str] = []
    about = " ".join(str(fields.get(ABOUT, "")).split())
    for name, value in written.items():
        inline = f"{name}: {_value(value)}"
        if isinstance(value, (str, int)) or len(inline) <= _WIDTH:
            lines.append(inline)
        elif isinstance(value, Mapping):
            lines += [f"{name}:", *(f"  {_scalar(key)}: {_value(each)}" for key, each in value.items())]
        else:
            lines += [f"{name}:", *(f"  - {_scalar(each)}" for each in value)]
    if about:
        lines[0] += f"  # {about if len(about) <= _WIDTH else about[: _WIDTH - 1] + '…'}"
    return tuple(lines)


def flow_text(fields: Fields, *, as_json: bool = False) -> str:
    """The entry on one line, for a list in brackets; `as_json`: with every text quoted."""
    written = _written(fields)
    value: object = written["url"] if short(fields) else dict(written)
    return json.dumps(value, ensure_ascii=False) if as_json else _value(written["url"] if short(fields) else written, inside=True)


def _written(fields: Fields) -> dict[str, Value]:
    return {name: fields[name] for name in FIELDS if name in fields and fields[name] not in (None, "", (), [], {}, False)}


def _value(value: Value, *, inside: bool = False) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key, inside=True)}: {_value(each, inside=True)}" for key, each in value.items()) + "}"
    if isinstance(value, (str, int)):
        return _scalar(value, inside=inside)
    return "[" + ", ".join(_scalar(each, inside=True) for each in value) + "]"


def _scalar(value: Value, *, inside: bool = False) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    plain = _PLAIN.fullmatch(text) and not _MEANS_MORE.search(text) and plain_kind(text) == "text"
    if plain and not (inside and _NOT_IN_BRACKETS.search(text)):
        return text
    # JSON's escapes are YAML's; what JSON leaves as it is and YAML does not take (NEL, DEL) is escaped too.
    return re.sub(
        "[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]",
        lambda found: f"\\u{ord(found[0]):04x}",
        json.dumps(text, ensure_ascii=False),
    )
