"""Assets as lists that other downloaders read: a Metalink 4, an input file of aria2. What they cannot say is named.

Source: https://www.rfc-editor.org/rfc/rfc5854, https://aria2.github.io/manual/en/html/aria2c.html#input-file
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from conda_assets.digest import Digest
from conda_assets.records import dataclass
from conda_assets.regexes import regex

__all__ = ["Listed", "aria2_text", "metalink_text"]

#: Our name of an algorithm → theirs (IANA's hash function textual names). They have no blake3.
_NAMES = {"sha256": "sha-256", "sha512": "sha-512", "sha1": "sha-1", "md5": "md5"}
_METALINK = regex("(?:https?|ftp)://", re.IGNORECASE)
_ARIA2 = regex("(?:https?|ftp|sftp)://|magnet:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Listed:
    """A file as a list has it. `urls`: plain ones, as they may be shown: variables stand in them as `${NAME}`."""

    name: str
    path: str
    urls: tuple[str, ...]
    digest: Digest | None = None
    size_bytes: int | None = None
    headers: bool = False
    unpack: bool = False


def aria2_text(files: Sequence[Listed]) -> tuple[str, tuple[str, ...]]:
    """The list, and notes on what is not in it."""
    lines: list[str] = []
    notes: list[str] = []
    for file in files:
        urls = _urls(file, _ARIA2, notes)
        if not urls:
            continue
        lines += ["\t".join(urls), f"  out={file.path}"]
        if name := _hash_name(file, notes):
            assert file.digest is not None
            lines.append(f"  checksum={name}={file.digest.hex}")
    return "".join(f"{line}\n" for line in lines), tuple(notes)


def metalink_text(files: Sequence[Listed]) -> tuple[str, tuple[str, ...]]:
    """The document, and notes on what is not in it."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<metalink xmlns="urn:ietf:params:xml:ns:metalink">']
    notes: list[str] = []
    for file in files:
        urls = _urls(file, _METALINK, notes)
        if not urls:
            continue
        lines.append(f"  <file name={quoteattr(file.path)}>")
        if file.size_bytes is not None:
            lines.append(f"    <size>{file.size_bytes}</size>")
        if name := _hash_name(file, notes):
            assert file.digest is not None
            lines.append(f'    <hash type="{name}">{file.digest.hex}</hash>')
        lines += [f'    <url priority="{place}">{escape(url)}</url>' for place, url in enumerate(urls, 1)]
        lines.append("  </file>")
    return "\n".join([*lines, "</metalink>", ""]), tuple(notes)


def _urls(file: Listed, known: re.Pattern[str], notes: list[str]) -> list[str]:
    """The URLs that the list can have; none, with a note, where it can have none."""
    urls = [url for url in file.urls if known.match(url)]
    plain = [url for url in urls if "${" not in url]
    if not plain:
        why = "its URL has a variable in it" if urls else f"nobody else knows `{file.urls[0].partition(':')[0]}:` URLs"
        notes.append(f"{file.name} is left out: {why}")
    elif len(plain) < len(file.urls):
        notes.append(f"{file.name}: {len(file.urls) - len(plain)} of its URLs are left out")
    if plain and file.headers:
        notes.append(f"{file.name}: its headers are left out, as they may hold secrets")
    if plain and file.unpack:
        notes.append(f"{file.name}: the archive is listed, `unpack` is not")
    return plain


def _hash_name(file: Listed, notes: list[str]) -> str:
    if file.digest is None:
        notes.append(f"{file.name} has no hash; `conda assets lock` finds one")
        return ""
    if file.digest.algorithm not in _NAMES:
        notes.append(f"{file.name}: the {file.digest.algorithm} is left out, such lists have none")
    return _NAMES.get(file.digest.algorithm, "")
