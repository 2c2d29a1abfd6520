"""Lists of files that other tools keep, read as entries of `assets:`. Pure: text comes in, entries and notes go out.

    spec               the `assets:` of another spec file
    anaconda-project   the `downloads:` of an anaconda-project.yml
    metalink           a Metalink 4 or 3 document
    pooch              `name hash [url]` a line
    aria2              `aria2c --input-file`: URLs, options in indented lines; a plain list of URLs is one too

Whatever an entry cannot say is named in a note, with its line; nothing is dropped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import count
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from conda_assets.errors import Fault, SpecInvalid, UsageError
from conda_assets.records import dataclass, replace
from conda_assets.regexes import regex
from conda_assets.spec.entry import Fields, Value
from conda_assets.spec.importers.found import Found, Unreadable
from conda_assets.spec.naming import tame
from conda_assets.spec.scan import has_key

__all__ = ["KINDS", "Found", "kind_of", "read_list", "unique"]

#: kind → module below with `read(text, base_url) -> Found`
KINDS = {"spec": "section", "anaconda-project": "anaconda", "metalink": "metalink", "pooch": "pooch", "aria2": "aria2"}

_URL = regex(r"[A-Za-z][A-Za-z0-9+.-]*:(?://|\?|10\.|[A-Za-z0-9])")


def kind_of(source: str, text: str) -> str:
    """Whose list the text is, by what is in it, or by its name; empty where it is none of them."""
    text = text.removeprefix("\ufeff")
    if PurePosixPath(source.replace("\\", "/")).name.startswith("anaconda-project.y"):
        return "anaconda-project"
    if text.lstrip().startswith("<"):
        return "metalink"
    if has_key(text, "assets"):
        return "spec"
    if has_key(text, "downloads"):
        return "anaconda-project"
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        return ""
    first = lines[0].split()
    if _URL.match(first[0]) and not lines[0][:1].isspace():
        return "aria2"
    return "pooch" if len(first) in (2, 3) and re.fullmatch(r"(?:\w+:)?[0-9A-Fa-f]{16,}", first[1]) else ""


def read_list(source: str, text: str, *, kind: str = "", base_url: str = "") -> Found:
    """The entries of one list, and notes with their places.

    Args:
        source: the file, as messages name it.
        kind: one of `KINDS`; found out where it is empty.
        base_url: what the names of a pooch registry are appended to.

    Raises:
        UsageError: the text is no such list.
        SpecInvalid: it is one, and cannot be read.
    """
    kind = kind or kind_of(source, text)
    if not kind:
        raise UsageError(f"{source} is none of the lists that can be imported", f"say what it is: `--from {'|'.join(KINDS)}`")
    read: Callable[[str, str], Found] = import_module(f"conda_assets.spec.importers.{KINDS[kind]}").read
    try:
        found = read(text.removeprefix("\ufeff"), base_url)
    except Unreadable as error:
        raise SpecInvalid((Fault(source, error.line, 0, "", error.message, error.hint),)) from error
    return Found(found.entries, tuple(replace(note, file=source) for note in found.notes))


def unique(entries: Sequence[Fields], taken: Sequence[str]) -> list[Fields]:
    """The entries with names, and paths made of them, that nothing else has: `train-labels.csv` beside `labels.csv`."""
    names = {name.lower() for name in taken}
    made: list[Fields] = []
    for fields in entries:
        parts = _parts(str(fields["url"]))
        name = str(fields.get("name") or parts.last)
        renamed: dict[str, Value] = dict(fields)
        if name.lower() in names:
            beside = f"{parts.folder}-{parts.last}"
            if parts.folder and "name" not in fields and beside.lower() not in names:
                name = beside
                renamed = {"path": f"{parts.folder}/{parts.last}", **fields, "name": name}
            else:
                name = next(each for each in (f"{name}-{number}" for number in count(2)) if each.lower() not in names)
                renamed["name"] = name
        names.add(name.lower())
        made.append(renamed)
    return made


@dataclass(frozen=True, slots=True)
class _Parts:
    folder: str
    last: str


def _parts(url: str) -> _Parts:
    try:
        path = PurePosixPath(unquote(urlsplit(url).path))
    except ValueError:  # a host that cannot be read; whoever checks the entry says so
        path = PurePosixPath()
    return _Parts(tame(path.parent.name), tame(path.name))
