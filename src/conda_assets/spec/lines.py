"""Lines of a text, found from the places of signs: what edits are made of."""

from __future__ import annotations

from collections.abc import Sequence

from conda_assets.regexes import regex
from conda_assets.spec.layout import GAP, Section, Span

__all__ = [
    "BREAK",
    "Uneditable",
    "below",
    "blank_above",
    "content_end",
    "cut",
    "dash",
    "ends_in_break",
    "inserted",
    "line_end",
    "line_of",
    "line_start",
    "newline",
    "replaced",
]

BREAK = regex(r"\r\n|\n|\r")
_BLANK_LINE = regex(r"(?:\A|(?<=\n)|(?<=\r)(?!\n))[ \t]*(?:\r\n|\n|\r)\Z")


class Uneditable(Exception):
    """The section is written in a way that cannot be edited with certainty. `line` counts from 1; 0 where there is none."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line, self.message = line, message


def cut(text: str, start: int, end: int) -> str:
    """Without these lines; where they end in no line break, the text before them does not either."""
    if end == len(text) and not BREAK.search(text[end - 1 : end]):
        start -= 2 if text[:start].endswith("\r\n") else int(text[:start].endswith(("\n", "\r")))
    return text[:start] + text[end:]


def dash(text: str, section: Section, index: int) -> int:
    """Where the entry's dash is."""
    start = section.items[index - 1].end if index else section.value.start
    if not index and text[start] != "-":  # an anchor or a tag of the list
        start = line_end(text, start)
    gap = GAP.match(text, start)
    place = gap.end() if gap else start
    if text[place : place + 1] != "-":
        raise Uneditable(line_of(text, section.items[index].start), "the dash of this entry is not where it is expected")
    return place


def content_end(text: str, item: Span) -> int:
    """The item's end, before the line break that belongs to a text in `|` or `>`."""
    return len(text[: item.end].rstrip("\r\n")) if ends_in_break(text, item) else item.end


def blank_above(text: str, section: Section, index: int) -> int | None:
    """Where the blank line starts that stands right above the entry, behind the end of the one before."""
    start = line_start(text, dash(text, section, index))
    found = _BLANK_LINE.search(text[:start])
    least = section.items[index - 1].end if index else section.value.start
    if found is None or found.start() < least or (index and ends_in_break(text, section.items[index - 1])):
        return None
    return found.start()


def ends_in_break(text: str, item: Span) -> bool:
    """Whether the item ends with its line break, as a text in `|` or `>` does."""
    return text[item.start : item.end].endswith(("\n", "\r"))


def inserted(text: str, place: int, lines: Sequence[str]) -> str:
    """Whole lines at the start of a line, or at the end of a text; its last line has a line break afterwards if it had one."""
    ends = newline(text, place)
    if place == len(text) and text and not text.endswith(("\n", "\r")):
        return text + ends + ends.join(lines)
    return text[:place] + "".join(line + ends for line in lines) + text[place:]


def replaced(text: str, span: Span, by: str) -> str:
    """Something else in place of the span."""
    return text[: span.start] + by + text[span.end :]


def newline(text: str, place: int) -> str:
    """The line break of the line above, else the first one, else `\\n`."""
    above = text[max(0, place - 2) : place]
    if above.endswith("\r\n"):
        return "\r\n"
    if above[-1:] in ("\n", "\r"):
        return above[-1]
    found = BREAK.search(text)
    return found[0] if found else "\n"


def line_start(text: str, index: int) -> int:
    """Where the line starts that the sign at `index` is in."""
    return max(text.rfind("\n", 0, index), text.rfind("\r", 0, index)) + 1


def line_end(text: str, index: int) -> int:
    """Behind the line break of the line that the sign at `index` is in."""
    found = BREAK.search(text, index)
    return found.end() if found else len(text)


def below(text: str, item: Span) -> int:
    """Behind the last line of the item; a text in `|` or `>` ends with its line break, others before it."""
    return item.end if ends_in_break(text, item) else line_end(text, item.end)


def line_of(text: str, index: int) -> int:
    """The number of the line, from 1."""
    return len(BREAK.findall(text, 0, index)) + 1
