"""Metalink 4: a file's size, hashes and mirrors in XML, as servers name it in `Link: <…>; rel=describedby`.

    <metalink xmlns="urn:ietf:params:xml:ns:metalink">
      <file name="model.bin">
        <size>548105171</size>
        <hash type="sha-256">248dfc…</hash>
        <url priority="1">https://mirror.example/model.bin</url>
      </file>
    </metalink>

Its forerunner Metalink 3 says the same with `files`, `verification` and `resources` in between, and `preference` (the higher
the better) for `priority` (the lower the better).

Source: RFC 5854, RFC 6249; http://www.metalinker.org/Metalink_3.0_Spec.pdf. A document type is refused, and with it every
entity: nothing can grow while it is read.
"""

from __future__ import annotations

from xml.parsers import expat

from conda_assets.digest import ALGORITHMS, Digest
from conda_assets.records import dataclass, field

__all__ = ["MEDIA_TYPE", "Entry", "of_name", "read_metalink"]

MEDIA_TYPE = "application/metalink4+xml"
_SPACES = ("urn:ietf:params:xml:ns:metalink ", "http://www.metalinker.org/ ")
# What Metalink 3 has around the same things.
_AROUND = frozenset({"files", "verification", "resources"})
_TYPES = {"sha256": "sha256", "sha512": "sha512", "sha1": "sha1", "md5": "md5"}
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
        ValueError: it is no Metalink.
    """
    reader = _Reader()
    try:
        reader.parser.Parse(text, True)
    except expat.ExpatError as error:
        raise ValueError("it is not XML") from error
    if not reader.is_metalink:
        raise ValueError("it is XML, but no Metalink")
    return tuple(reader.entries)


def of_name(entries: tuple[Entry, ...], name: str) -> Entry | None:
    """The entry of a file of that name; the only one, whatever it is called there."""
    return entries[0] if len(entries) == 1 else next((entry for entry in entries if entry.name == name), None)


class _Reader:
    """Handlers for one document; `path` is where in it we are."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.is_metalink = False
        self._tags: list[str] = []
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
        space, _, word = tag.rpartition(" ")
        self._tags.append(word)
        self._text.clear()
        self._said = said
        if self._path == ["metalink"] and f"{space} " in _SPACES:
            self.is_metalink = True
        elif word not in _AROUND and self._path == ["metalink", "file"]:
            self._begin(said.get("name", ""))

    def _end(self, tag: str) -> None:
        path, text = self._path, "".join(self._text).strip()
        if self._tags[-1] in _AROUND:
            pass
        elif path == ["metalink", "file"]:
            if len(self.entries) >= _MOST_FILES:
                raise ValueError(f"it has more than {_MOST_FILES} files")
            urls = tuple(dict.fromkeys(url for _, url in sorted(self._urls, key=lambda each: each[0])))
            self.entries.append(Entry(self._name, self._size, tuple(self._digests), urls[:_MOST_MIRRORS]))
        elif path[:-1] == ["metalink", "file"]:
            self._take(path[-1], text)
        self._text.clear()
        self._tags.pop()

    @property
    def _path(self) -> list[str]:
        return [tag for tag in self._tags if tag not in _AROUND]

    def _take(self, tag: str, text: str) -> None:
        """Take in what stands directly in a file; the hashes of pieces stand deeper."""
        if tag == "size" and text.isascii() and text.isdigit():
            self._size = int(text)
        elif tag == "hash" and (algorithm := _TYPES.get(self._said.get("type", "").lower().replace("-", ""))):
            if len(text) == ALGORITHMS[algorithm] and not set(text.lower()) - set("0123456789abcdef"):
                self._digests.append(Digest(algorithm, text.lower()))
        elif tag == "url" and text.startswith(("https://", "http://")):
            rank, liked = _number(self._said.get("priority", "")), _number(self._said.get("preference", ""))
            if rank is None and liked is not None:
                rank = _NO_PRIORITY - 1 - liked
            self._urls.append((_NO_PRIORITY if rank is None else rank, text))


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def _refuse(*unused: object) -> None:
    raise ValueError("it has a document type")
