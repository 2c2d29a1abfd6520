"""Ways to put entries into the `assets:` section of a text, the most natural one first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from conda_assets.spec.entry import Fields, block_lines, flow_text
from conda_assets.spec.layout import Layout, Section, Span
from conda_assets.spec.lines import (
    BREAK,
    below,
    blank_above,
    dash,
    ends_in_break,
    inserted,
    line_end,
    line_start,
    newline,
    replaced,
)

__all__ = ["put_ways"]


def put_ways(text: str, layout: Layout, new: Sequence[Fields]) -> Iterator[str]:
    """Texts that may be right; whoever takes one compares it with what was wanted."""
    section = layout.section
    if section is None:
        yield from _new_section(text, layout, new)
    elif section.flow and (section.items or layout.flow or _gap_has_comment(text, section)):
        yield _in_brackets(text, layout, section, new)
    elif section.items:
        yield from _behind_last(text, section, new)
    elif layout.flow:
        yield replaced(text, section.value, "[" + ", ".join(flow_text(fields, as_json=True) for fields in new) + "]")
    else:
        yield from _into_empty(text, layout, section, new)


def _new_section(text: str, layout: Layout, new: Sequence[Fields]) -> Iterator[str]:
    if layout.flow:
        listed = '"assets": [' + ", ".join(flow_text(fields, as_json=True) for fields in new) + "]"
        end = _last_value_end(text, layout)
        if end is None:
            yield replaced(text, Span(layout.top.start + 1, layout.top.start + 1), listed)
        else:
            yield replaced(text, Span(end, end), f", {listed}")
        return
    indent = " " * layout.indent
    lines = [f"{indent}assets:", *_block(new, indent + "  ")]
    if layout.ended is None:
        yield inserted(text, len(text), lines)
        yield inserted(text, line_end(text, layout.top.end), lines)
    else:
        yield inserted(text, line_start(text, layout.ended), lines)
    # The end is taken, by a text whose line breaks count.
    yield inserted(text, line_start(text, layout.top.start), lines)


def _last_value_end(text: str, layout: Layout) -> int | None:
    """The end of the last value in `{…}`, before a comma and the brace; None where it is empty."""
    inside = text[layout.top.start + 1 : layout.top.end - 1]
    written = inside.rstrip(" \t\r\n,")
    return layout.top.start + 1 + len(written) if written else None


def _gap_has_comment(text: str, section: Section) -> bool:
    return "#" in text[slice(*section.value)]


def _in_brackets(text: str, layout: Layout, section: Section, new: Sequence[Fields]) -> str:
    written = [flow_text(fields, as_json=layout.flow) for fields in new]
    if not section.items:
        bracket = section.value.start + text[slice(*section.value)].index("[") + 1
        return replaced(text, Span(bracket, bracket), ", ".join(written))
    last = section.items[-1]
    start = section.items[-2].end if len(section.items) > 1 else section.value.start
    gap = text[start : last.start]
    separator = ", "
    if BREAK.search(gap):
        before = text[line_start(text, last.start) : last.start]
        indent = "".join(sign if sign in " \t" else " " for sign in before)
        separator = f",{newline(text, line_start(text, last.start))}{indent}"
    return replaced(text, Span(last.end, last.end), "".join(separator + each for each in written))


def _behind_last(text: str, section: Section, new: Sequence[Fields]) -> Iterator[str]:
    last = section.items[-1]
    start = dash(text, section, len(section.items) - 1)
    column = start - line_start(text, start)
    place = below(text, last)
    behind = place
    # Comments that are indented deeper than the dash, right below, are the last entry's.
    while (line := text[behind : line_end(text, behind)]) and re.match(rf"[ \t]{{{column + 1},}}#", line):
        behind = line_end(text, behind)
    lines = _block(new, " " * column)
    spaced = len(section.items) > 1 and blank_above(text, section, len(section.items) - 1) is not None
    if spaced and not ends_in_break(text, last):  # the lines behind a text in `|` are its own
        for at in (behind, place):
            yield inserted(text, at, ["", *(line for fields in new for line in (*_block([fields], " " * column), ""))][:-1])
    yield inserted(text, behind, lines)
    yield inserted(text, place, lines)


def _into_empty(text: str, layout: Layout, section: Section, new: Sequence[Fields]) -> Iterator[str]:
    """A section that says `[]`, `null` or nothing: that goes, a comment behind it stays."""
    colon = text.index(":", section.key.end) + 1
    kept = text
    if section.value.end > section.value.start:
        start = section.value.start
        while start > colon and text[start - 1] in " \t":
            start -= 1
        kept = text[:start] + text[section.value.end :]
    place = line_end(kept, colon)
    lines = _block(new, " " * layout.indent + "  ")
    yield inserted(kept, place, lines)


def _block(new: Sequence[Fields], indent: str) -> list[str]:
    lines: list[str] = []
    for fields in new:
        first, *rest = block_lines(fields)
        lines += [f"{indent}- {first}", *(f"{indent}  {line}" for line in rest)]
    return lines
