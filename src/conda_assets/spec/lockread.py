"""Reading a lock, strictly: who edits or merges it by hand is told of each fault with its line, and nothing is believed then."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping

from conda_assets.digest import Pieces
from conda_assets.errors import Fault, LockInvalid
from conda_assets.records import dataclass, replace
from conda_assets.regexes import regex
from conda_assets.spec.events import Unreadable, fast_parser
from conda_assets.spec.lockfile import FORMAT, Entry, Lock
from conda_assets.spec.nodes import Items, Node, Pairs, Scalar, entries
from conda_assets.spec.paths import read_path
from conda_assets.spec.types import ListOf, Text, Type, Whole
from conda_assets.spec.values import MAX_BYTES, UNSEEN, Wrong, read_hash, read_name, read_sha256, shown
from conda_assets.spec.walk import Walk, gather, said
from conda_assets.torrent import torrent_piece_bytes

__all__ = ["read_lock"]

_MAX_LINE = 8192
_UNSEEN = regex(f"[{UNSEEN}]")
_CONFLICT = regex(r"^(?:<{7}|={7}|>{7}|\|{7})(?: .*)?$", re.MULTILINE)


def read_lock(text: str, file: str, relock: str = "conda assets lock") -> Lock:
    """The lock in the text. `file`: as messages name it; `relock`: the command that makes it anew.

    Raises:
        LockInvalid: all its faults; one alone where it is not YAML, of another version, or half merged.
    """
    text = text.removeprefix("\ufeff")
    if conflict := _CONFLICT.search(text):
        line = text.count("\n", 0, conflict.start()) + 1
        hint = f"take either block of the asset, then run `{relock} --check`"
        raise LockInvalid((Fault(file, line, 1, "", "a merge is not finished here", hint),), relock)
    walk = Walk(file, {})
    try:
        top = _top(text, walk)
    except Unreadable as error:
        raise LockInvalid((Fault(file, error.line, error.column, "", error.message, error.hint),), relock) from error
    if _is_ours(top, walk):
        found = _entries(top["assets"], walk)
        if not walk.faults:
            return Lock(file, found)
    raise LockInvalid(tuple(sorted(walk.faults, key=lambda fault: (fault.line, fault.column))), relock)


def _line(text: str) -> str:
    if not text or len(text) > _MAX_LINE or _UNSEEN.search(text):
        raise Wrong(f"{shown(text)} is not one line of text")
    return text


def _safe_path(text: str) -> str:
    path = read_path(text)
    if path.endswith("/"):
        raise Wrong(f"{shown(text)} is a folder, expected a file")
    return path


def _pieces(text: str, digest_bytes: int = 32) -> bytes:
    try:
        digests = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Wrong("expected base64") from error
    if not digests or len(digests) % digest_bytes:
        raise Wrong(f"expected {digest_bytes} bytes a piece, got {len(digests)} bytes")
    return digests


def _torrent(text: str) -> bytes:
    return _pieces(text, 20)


@dataclass(frozen=True, slots=True)
class _Key:
    """A key of an entry, and the field of `Entry` that it fills (pieces and their size are put together)."""

    type: Type
    field: str
    also: tuple[str, ...] = ()


def _text(expected: str, reader: Callable[[str], object]) -> Text:
    return Text(expected, "", reader)


_FACTS = {
    "url": _Key(_text("a URL", _line), "url"),
    "final_url": _Key(_text("a URL", _line), "final_url"),
    "pinned_url": _Key(_text("a URL", _line), "pinned_url"),
    "revision": _Key(_text("text", _line), "revision", ("commit", "version")),
    "size": _Key(Whole(MAX_BYTES), "size_bytes", ("size_bytes", "bytes")),
    "sha256": _Key(_text("64 hex digits", read_sha256), "sha256"),
    "hash": _Key(_text("`algorithm:hex`", read_hash), "other", ("digest", "checksum")),
    "etag": _Key(_text("text", _line), "etag"),
    "modified": _Key(_text("text", _line), "modified", ("last_modified",)),
    "vouched_by": _Key(_text("text", _line), "vouched_by"),
    "piece_size": _Key(Whole(MAX_BYTES), "piece_size"),
    "pieces": _Key(_text("base64", _pieces), "pieces"),
    "torrent": _Key(_text("base64", _torrent), "torrent"),
}
_ENTRY: dict[str, _Key] = {
    "name": _Key(_text("a name", read_name), "name"),
    "mirrors": _Key(ListOf(_text("a URL", _line), "URLs"), "mirrors"),
    **_FACTS,
}
_FILE: dict[str, _Key] = {"path": _Key(_text("a path", _safe_path), "name"), **_FACTS}


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of a pattern."""

    def read(self, node: Node, at: str, walk: Walk) -> tuple[Entry, ...] | None:
        if not isinstance(node, Items):
            walk.fault(node, at, f"expected a list of files, got {said(node)}")
            return None
        return tuple(_named(node, at, walk, _FILE, "path").values())

    def schema(self) -> dict[str, object]:
        return {"type": "array"}


_ENTRY["files"] = _Key(_Files(), "files")


def _top(text: str, walk: Walk) -> dict[str, Node]:
    found: dict[str, Node] = {}
    for key, value in entries(text, fast=fast_parser(text)):
        name = key.text if isinstance(key, Scalar) else ""
        if name in found:
            walk.fault(key, name, "the key is there twice", "keep one of them")
        elif name not in ("version", "assets"):
            walk.fault(key, name, "unknown key", "a lock has `version` and `assets`")
        else:
            # The top-level list can be iterated once only.
            found[name] = value._replace(items=list(value.items)) if isinstance(value, Items) else value
    return found


def _is_ours(top: Mapping[str, Node], walk: Walk) -> bool:
    version, start = top.get("version"), Scalar("null", "", 1, 1)
    if not isinstance(version, Scalar) or version.kind != "integer":
        walk.faults.clear()  # they are about something else than a lock
        walk.fault(version or start, "version", "this is not a lock of conda-assets: it has no `version`")
    elif version.text != str(FORMAT):
        walk.faults.clear()
        newer = f"a lock of version {shown(version.text)}, this conda-assets reads {FORMAT}"
        walk.fault(version, "version", newer, "update conda-assets")
    elif "assets" not in top:
        walk.fault(start, "assets", "the key is missing", "`assets: []` where there are none")
    else:
        return True
    return False


def _entries(node: Node, walk: Walk) -> dict[str, Entry]:
    if isinstance(node, Items):
        return _named(node, "assets", walk, _ENTRY, "name")
    walk.fault(node, "assets", f"expected a list, got {said(node)}", "`assets: []` where there are none")
    return {}


def _named(node: Items, at: str, walk: Walk, keys: Mapping[str, _Key], label: str) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for index, item in enumerate(node.items):
        if label == "name":
            walk.asset = ""
        entry = _entry(item, f"{at}[{index}]", walk, keys, label)
        if entry is None:
            continue
        if entry.name in found:
            walk.fault(item, f"{at}[{index}].{label}", f"{shown(entry.name)} is there twice", "keep one of the two blocks")
        found[entry.name] = entry
    return found


def _entry(node: Node, at: str, walk: Walk, keys: Mapping[str, _Key], label: str) -> Entry | None:
    if not isinstance(node, Pairs):
        walk.fault(node, at, f"expected a map, got {said(node)}")
        return None
    before = len(walk.faults)
    nodes = gather(node, at, keys, walk)
    name = nodes.get(label)
    if label == "name" and isinstance(name, Scalar) and name.kind == "text":
        walk.asset = name.text if name.text.isprintable() else ""
    values = {keys[key].field: keys[key].type.read(value, f"{at}.{key}", walk) for key, value in nodes.items()}
    for key in (label,) if label == "path" else (label, "url"):
        if key not in nodes:
            walk.fault(node, f"{at}.{key}", "the key is missing", "take the whole block from version control")
    if len(walk.faults) > before:
        return None
    piece_size, pieces = values.pop("piece_size", None), values.pop("pieces", None)
    entry = Entry(**values)  # type: ignore[arg-type]
    if isinstance(pieces, bytes) and isinstance(piece_size, int):
        entry = replace(entry, pieces=Pieces(piece_size, pieces))
    for key, message in _contradictions(entry, piece_size is not None or pieces is not None):
        walk.fault(nodes.get(key, node), f"{at}.{key}", message, "take the whole block from version control")
    return entry


def _contradictions(entry: Entry, has_pieces: bool) -> list[tuple[str, str]]:
    found = []
    if entry.files:
        if entry.digests() or has_pieces:
            found.append(("files", "files, and a hash of a file too"))
    elif not entry.digests():
        found.append(("sha256", "neither `sha256` nor `hash`"))
    if entry.other is not None and entry.other.algorithm == "sha256":
        found.append(("hash", "a sha256, which has a key of its own"))
    if entry.torrent:
        count = -(-(entry.size_bytes or 0) // torrent_piece_bytes(entry.size_bytes or 0))
        if entry.sha256 is None or len(entry.torrent) // 20 != count:
            found.append(("torrent", f"`torrent` wants `sha256` and `size` beside it, and the sha1 of {count} pieces"))
    if has_pieces:
        pieces, size = entry.pieces, entry.size_bytes
        if pieces is None or size is None or not pieces.size_bytes:
            found.append(("pieces", "`pieces` wants `piece_size` and `size` beside it"))
        elif len(pieces.digests) // 32 != -(-size // pieces.size_bytes):
            count = -(-size // pieces.size_bytes)
            found.append(("pieces", f"expected the sha256 of {count} pieces, got {len(pieces.digests) // 32}"))
    return found
