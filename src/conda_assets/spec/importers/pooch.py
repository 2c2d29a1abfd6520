"""A pooch registry: `name hash [url]` a line, `#` for comments, names with spaces in quotes.

The hash is `algorithm:hex`, or hex digits of a sha256. Without a URL of its own a file is at the base URL followed by its name.

Source: pooch's documentation, "Registry files".
"""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath
from urllib.parse import quote

from conda_assets.errors import Fault
from conda_assets.spec.entry import Fields, Value
from conda_assets.spec.importers.found import Found, Unreadable, digest_fields, note, read_digest, safe_url
from conda_assets.spec.naming import tame
from conda_assets.spec.values import shown

__all__ = ["read"]


def read(text: str, base_url: str) -> Found:
    """All files, in the order of the registry."""
    made: list[Fields] = []
    notes: list[Fault] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise Unreadable(number, f"a quote in the line is never closed: {shown(line)}") from error
        if len(words) not in (2, 3):
            raise Unreadable(number, f"expected `name hash [url]`, got {len(words)} words: {shown(line)}")
        made.append(_fields(number, words, base_url, notes))
    return Found(tuple(made), tuple(notes))


def _fields(number: int, words: list[str], base_url: str, notes: list[Fault]) -> Fields:
    file, digits = words[0], words[1]
    if len(words) == 2 and not base_url:
        raise Unreadable(number, f"{shown(file)} has no URL", "give the registry's base: `--base-url https://example.org/data/`")
    url = words[2] if len(words) == 3 else base_url + quote(file)
    algorithm, colon, rest = digits.rpartition(":")
    fields: dict[str, Value] = {
        "name": tame(file) or f"file-{number}",
        "url": safe_url(url),
        "path": PurePosixPath(file).as_posix(),
    }
    try:
        digest = read_digest(algorithm if colon else "sha256", rest)
    except ValueError as error:
        notes.append(note(number, file, f"the hash is left out: {error}"))
        return fields
    if digest is None:
        notes.append(note(number, file, f"`{algorithm}` cannot be checked here; the hash is left out"))
        return fields
    return fields | digest_fields([digest])
