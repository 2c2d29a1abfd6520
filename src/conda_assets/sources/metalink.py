"""Metalink 4: a file's size, hashes and mirrors in XML, as servers name it in `Link: <…>; rel=describedby`.

    <metalink xmlns="urn:ietf:params:xml:ns:metalink">
      <file name="model.bin">
        <size>548105171</size>
        <hash type="sha-256">248dfc…</hash>
        <url priority="1">https://mirror.example/model.bin</url>
      </file>
    </metalink>

Source: RFC 5854, RFC 6249. A document type is refused, and with it every entity: nothing can grow while it is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

from conda_assets.digest import ALGORITHMS, Digest

__all__ = ["MEDIA_TYPE", "Entry", "of_name", "read_metalink"]

MEDIA_TYPE = "application/metalink4+xml"
_SPACE = "urn:ietf:params:xml:ns:metalink "
_TYPES = {"sha-256": "sha256", "sha-512": "sha512", "sha-1": "sha1", "md5": "md5"}
_MOST_FILES = 10_000
_MOST_MIRRORS = 32
# RFC 5854, 4.2.16.1: those without one come last.
_NO_PRIORITY = 999_999


@dataclass(frozen=True, slots=True)
class Entry:
    """One file. `urls`: http and https, best first."""

    name: str
    size_bytes: int | None
    digests: tuple[Digest, ...]
    urls: tuple[str, ...] = field(repr=False)


def read_metalink(text: bytes) -> tuple[Entry, ...]:
    """The files that it describes, in its order.

    Raises:
        ValueError: it is no Metalink 4.
    """
    reader = _Reader()
    try:
        reader.parser.Parse(text, True)
    except expat.ExpatError as error:
        raise ValueError("it is not XML") from error
    if not reader.is_metalink:
        raise ValueError("it is XML, but no Metalink 4")
    return tuple(reader.entries)


def of_name(entries: tuple[Entry, ...], name: str) -> Entry | None:
    """The entry of a file of that name; the only one, whatever it is called there."""
    return entries[0] if len(entries) == 1 else next((entry for entry in entries if entry.name == name), None)


class _Reader:
    """Handlers for one document; `path` is where in it we are."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.is_metalink = False
        self._path: list[str] = []
        self._text: list[str] = []
        self._said: dict[str, str] = {}
        self._begin()
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartDoctypeDeclHandler = _refuse
        self.parser.EntityDeclHandler = _refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text.append

    def _begin(self, name: str = "") -> None:
        self._name = name
        self._size: int | None = None
        self._digests: list[Digest] = []
        self._urls: list[tuple[int, str]] = []

    def _start(self, tag: str, said: dict[str, str]) -> None:
        self._path.append(tag.removeprefix(_SPACE))
        self._text.clear()
        self._said = said
        if self._path == ["metalink"] and tag.startswith(_SPACE):
            self.is_metalink = True
        elif self._path == ["metalink", "file"]:
            self._begin(said.get("name", ""))

    def _end(self, tag: str) -> None:
        path, text = self._path, "".join(self._text).strip()
        if path == ["metalink", "file"]:
            if len(self.entries) >= _MOST_FILES:
                raise ValueError(f"it has more than {_MOST_FILES} files")
            urls = tuple(dict.fromkeys(url for _, url in sorted(self._urls, key=lambda each: each[0])))
            self.entries.append(Entry(self._name, self._size, tuple(self._digests), urls[:_MOST_MIRRORS]))
        elif path[:-1] == ["metalink", "file"]:
            self._take(path[-1], text)
        self._text.clear()
        path.pop()

    def _take(self, tag: str, text: str) -> None:
        """Take in what stands directly in a file; the hashes of pieces stand deeper."""
        if tag == "size" and text.isascii() and text.isdigit():
            self._size = int(text)
        elif tag == "hash" and (algorithm := _TYPES.get(self._said.get("type", "").lower())):
            if len(text) == ALGORITHMS[algorithm] and not set(text.lower()) - set("0123456789abcdef"):
                self._digests.append(Digest(algorithm, text.lower()))
        elif tag == "url" and text.startswith(("https://", "http://")):
            rank = self._said.get("priority", "")
            self._urls.append((int(rank) if rank.isascii() and rank.isdigit() and len(rank) < 7 else _NO_PRIORITY, text))


def _refuse(*unused: object) -> None:
    raise ValueError("it has a document type")
