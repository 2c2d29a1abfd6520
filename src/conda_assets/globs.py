"""Patterns for relative paths: of archive members (as they are after `strip`), of files that a publisher lists.

    *.jsonl         files of the top folder; `*` and `?` stay within one name, `[ab]` and `[!ab]` are one sign
    **/*.jsonl      in any folder, the top one too
    images          a folder stands for all that is in it
    train/**        the same, said at length

Case counts. A pattern is relative; `./` in front and `/` at the end do not matter.
"""

from __future__ import annotations

import re

__all__ = ["compile_glob"]


def compile_glob(glob: str) -> re.Pattern[str]:
    """The pattern as an expression that must match a whole path."""
    parts = [part for part in glob.split("/") if part not in ("", ".")]
    text = ""
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            text += "[^/]+" if last else "(?:[^/]+/)*"
        else:
            text += _one_name(part) + ("" if last else "/")
    return re.compile(f"{text}(?:/.*)?", re.DOTALL)


def _one_name(part: str) -> str:
    text, at = "", 0
    while at < len(part):
        sign = part[at]
        if sign == "*":
            text += "" if text.endswith("[^/]*") else "[^/]*"
        elif sign == "?":
            text += "[^/]"
        elif sign == "[" and (end := part.find("]", at + (3 if part[at + 1 : at + 2] in ("!", "^") else 2))) > 0:
            text += _one_sign(part[at + 1 : end])
            at = end
        else:
            text += re.escape(sign)
        at += 1
    return text


def _one_sign(inside: str) -> str:
    """A set of signs. Never `/`, which separates."""
    negated = inside[0] in "!^"
    signs = inside[1:] if negated else inside
    escaped = re.sub(r"([\\\[\]^&~|])", r"\\\1", signs)
    try:
        re.compile(f"[{escaped}]")
    except re.error:  # `[z-a]`
        escaped = re.sub("-", r"\\-", escaped)
    return f"(?!/)[{'^' if negated else ''}{escaped}]"
