"""Metalink 4 (RFC 5854) and Metalink 3.

    <metalink xmlns="urn:ietf:params:xml:ns:metalink">
      <file name="a.iso"><size>14</size><hash type="sha-256">9f86…</hash>
        <url priority="1">https://example.org/a.iso</url><url priority="2">https://mirror.example/a.iso</url></file>
    </metalink>

A document with a DOCTYPE is refused before anything in it is expanded, and one that is nested or long beyond reason too.

Source: https://www.rfc-editor.org/rfc/rfc5854, Metalink 3.0 Specification, 2nd edition
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.parsers import expat

from conda_assets.digest import Digest
from conda_assets.errors import Fault
from conda_assets.records import dataclass, field
from conda_assets.spec.entry import ABOUT, Fields, Value
from conda_assets.spec.importers.found import Found, Unreadable, digest_fields, note, read_digest, safe_url
from conda_assets.spec.naming import tame
from conda_assets.spec.values import shown

__all__ = ["read"]

_DEPTH = 16
_LAST = 1 << 20


@dataclass
class _Element:
    name: str
    attributes: dict[str, str]
    line: int
    text: str = ""
    children: list[_Element] = field(default_factory=list)

    def below(self, *names: str) -> Iterator[_Element]:
        """All elements of these names, at any depth but not inside one another."""
        for child in self.children:
            if child.name in names:
                yield child
            else:
                yield from child.below(*names)


def read(text: str, base_url: str) -> Found:
    """All files, in the order of the document. `base_url` is not needed."""
    top = _parse(text)
    if top.name != "metalink":
        raise Unreadable(top.line, f"expected a `metalink` document, got {shown(top.name)}")
    made: list[Fields] = []
    notes: list[Fault] = []
    for file in top.below("file"):
        fields = _fields(file, notes)
        if fields:
            made.append(fields)
    return Found(tuple(made), tuple(notes))


def _fields(file: _Element, notes: list[Fault]) -> Fields | None:
    name = file.attributes.get("name", "").strip()
    urls = sorted(file.below("url"), key=_order)
    others = [each.line for each in file.children if each.name == "metaurl"]
    notes += [note(line, name, "a `metaurl` is left out", "add a torrent as a URL of its own") for line in others]
    if not urls:
        notes.append(note(file.line, name, "the file has no `url`; it is left out"))
        return None
    fields: dict[str, Value] = {"url": safe_url(urls[0].text), "mirrors": [safe_url(url.text) for url in urls[1:]]}
    if name:
        fields |= {"name": tame(name), **({"path": name} if tame(name) != name else {})}
    sizes = [each.text.strip() for each in file.below("size")]
    if sizes and sizes[0].isdecimal():
        fields["size"] = int(sizes[0])
    for about in (each.text for each in file.children if each.name in ("description", "identity") and each.text.strip()):
        fields.setdefault(ABOUT, about)
    return fields | digest_fields(_digests(file, name, notes))


def _digests(file: _Element, name: str, notes: list[Fault]) -> list[Digest]:
    digests: list[Digest] = []
    for each in file.below("hash", "pieces", "signature"):
        if each.name == "pieces":
            notes.append(note(each.line, name, "the hashes of its pieces are left out", "`url:` may be the Metalink itself"))
        elif each.name == "signature":
            notes.append(note(each.line, name, "the signature is left out"))
        else:
            try:
                digest = read_digest(each.attributes.get("type", ""), each.text.strip())
            except ValueError as error:
                notes.append(note(each.line, name, f"a hash is left out: {error}"))
                continue
            if digest is None:
                kind = shown(each.attributes.get("type", ""))
                notes.append(note(each.line, name, f"a hash is left out: {kind} cannot be checked here"))
            else:
                digests.append(digest)
    return digests


def _order(url: _Element) -> int:
    """`priority` of version 4: 1 is best; `preference` of version 3: 100 is best."""
    for name, sign in (("priority", 1), ("preference", -1)):
        value = url.attributes.get(name, "")
        if value.isdecimal():
            return sign * int(value[:6])
    return _LAST


class _Refused(Exception):
    pass


def _parse(text: str) -> _Element:
    parser = expat.ParserCreate(namespace_separator=" ")
    root = _Element("", {}, 0)
    stack = [root]

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(stack) > _DEPTH:
            raise _Refused(f"nested deeper than {_DEPTH} elements")
        element = _Element(name.rpartition(" ")[2], attributes, parser.CurrentLineNumber)
        stack[-1].children.append(element)
        stack.append(element)

    def end(name: str) -> None:
        stack.pop()

    def data(words: str) -> None:
        stack[-1].text += words

    def refuse(*_: object) -> None:
        raise _Refused("a DOCTYPE, which no Metalink has")

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, data
    parser.StartDoctypeDeclHandler = refuse
    parser.buffer_text = True
    try:
        parser.Parse(text, True)
    except _Refused as refused:
        raise Unreadable(parser.CurrentLineNumber, f"the document is refused: {refused}") from refused
    except (expat.ExpatError, UnicodeError) as error:
        line = getattr(error, "lineno", 0)
        raise Unreadable(
            line, f"not XML: {expat.ErrorString(error.code) if isinstance(error, expat.ExpatError) else error}"
        ) from error
    return root.children[0]
