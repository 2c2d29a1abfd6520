"""Ways to take an entry out of the `assets:` section of a text, the most natural one first."""

from __future__ import annotations

import re
from collections.abc import Iterator

from conda_assets.regexes import regex
from conda_assets.spec.layout import Layout, Section, Span
from conda_assets.spec.lines import below, blank_above, content_end, cut, dash, line_end, line_start, replaced

__all__ = ["drop_ways"]

_REST = regex(r"[ \t]*(?:#[^\r\n]*)?(?=[\r\n]|\Z)")


def drop_ways(text: str, layout: Layout, section: Section, index: int) -> Iterator[str]:
    """Texts that may be right; whoever takes one compares it with what was wanted."""
    item = section.items[index]
    if section.flow:
        yield from _out_of_brackets(text, section, index)
        return
    mark = dash(text, section, index)
    start, end = line_start(text, mark), below(text, item)
    if text[start:mark].strip(" \t") or not _REST.match(text, content_end(text, item)):
        return
    if len(section.items) == 1:
        yield from _last_out(text, layout, section, Span(start, end))
        return
    blank = blank_above(text, section, index) if index else None
    if blank is not None and (index == len(section.items) - 1 or not text[end : line_end(text, end)].strip()):
        yield cut(text, blank, end)
    yield cut(text, start, end)
    # Comments that are indented as its fields would now end a text in `|` above; they are the entry's own.
    deep = re.compile(rf"(?:[ \t]{{{mark - start + 1},}}#[^\r\n]*(?:\r\n|\n|\r|\Z)|[ \t]*(?:\r\n|\n|\r))+").match(text, end)
    if deep:
        yield cut(text, start, deep.end())


def _last_out(text: str, layout: Layout, section: Section, span: Span) -> Iterator[str]:
    """The only entry: `assets:` goes too, unless a comment stands with it."""
    head = line_start(text, section.key.start)
    bare = text[head : span.start].strip() in ("assets:", "'assets':", '"assets":')
    comment_below = re.match(rf"[ \t]{{{layout.indent + 1},}}#", text[span.end : line_end(text, span.end)])
    if bare and not comment_below:
        yield cut(text, head, span.end)
    yield cut(text, span.start, span.end)
    yield replaced(text, Span(section.value.start, section.items[0].end), "[]")


def _out_of_brackets(text: str, section: Section, index: int) -> Iterator[str]:
    item = section.items[index]
    if index:
        previous = section.items[index - 1].end
        if "#" not in text[previous : item.start]:
            yield text[:previous] + text[item.end :]
    elif len(section.items) > 1:
        following = section.items[1].start
        if "#" not in text[item.end : following]:
            yield text[: item.start] + text[following:]
    else:
        comma = re.compile(r"[ \t]*,").match(text, item.end)
        yield text[: item.start] + text[comma.end() if comma else item.end :]
