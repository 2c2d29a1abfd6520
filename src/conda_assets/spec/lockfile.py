"""The lock: what a spec file's URLs gave when they were asked, to be committed beside it. `environment.yml` has
`environment.assets.lock`.

    # Made by `conda assets lock`; commit it. …
    version: 1
    assets:
    - name: gpt2-weights
      url: hf://openai-community/gpt2/model.safetensors    # as in the file: `${NAME}` stays, secrets go
      mirrors:
      - https://lab.example/gpt2.safetensors
      final_url: https://huggingface.co/…                  # where redirects ended, without its query
      pinned_url: hf://openai-community/gpt2@607a30d7…/model.safetensors
      revision: 607a30d7…
      size: 548105171
      sha256: 248dfc39…
      hash: md5:6cd3556d…                                  # a publisher's digest of another kind
      etag: '"5f3c"'
      modified: Sat, 01 Nov 2025 12:00:00 GMT              # only where there is no strong ETag
      vouched_by: Hugging Face
      piece_size: 4194304
      pieces: Zk3q…                                        # the sha256 of each piece, 32 bytes each, all together in base64
      torrent: 9vQe…                                       # sha1, 20 bytes each, in the pieces of `conda_assets.torrent`
    - name: corpus                                         # a pattern: no bytes of its own, but files
      url: hf://lab/corpus/data/*.parquet
      pinned_url: …
      files:
      - path: data/0.parquet
        url: …
        size: …

Sorted by name, a line a fact, the same bytes for the same facts: merging by hand means to take one of two blocks. No dates, for
that reason. Pure; `lockread` reads it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from conda_assets.digest import Digest, Pieces
from conda_assets.model import Asset
from conda_assets.records import dataclass
from conda_assets.regexes import regex
from conda_assets.spec.hiding import without_secrets
from conda_assets.spec.nodes import plain_kind

__all__ = [
    "FIRST_DOWNLOAD",
    "FORMAT",
    "Entry",
    "Lock",
    "as_written",
    "lock_path",
    "lock_text",
    "mirrors_as_written",
    "misfit",
    "misfits",
]

FORMAT = 1
#: Who vouches where no publisher does: the bytes were believed when they came first.
FIRST_DOWNLOAD = "first download"

_HEAD = """\
# Made by `conda assets lock`; commit it beside the file it is named after. In a merge, take either block of an asset,
# then run `conda assets lock --check`.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one asset, or of one file of a pattern (then `name` is its path). Fields as drawn above.

    Either `files`, or at least one of `sha256` and `other`.
    """

    name: str
    url: str = ""
    mirrors: tuple[str, ...] = ()
    final_url: str | None = None
    pinned_url: str | None = None
    revision: str | None = None
    size_bytes: int | None = None
    sha256: Digest | None = None
    other: Digest | None = None
    etag: str | None = None
    modified: str | None = None
    vouched_by: str = ""
    pieces: Pieces | None = None
    torrent: bytes = b""
    files: tuple[Entry, ...] = ()

    @property
    def digest(self) -> Digest | None:
        """The strongest that is known."""
        return self.sha256 or self.other

    def digests(self) -> tuple[Digest, ...]:
        """All that are known."""
        return tuple(each for each in (self.sha256, self.other) if each)


@dataclass(frozen=True, slots=True)
class Lock:
    """What a lock file says. `file`: as messages name it."""

    file: str
    entries: Mapping[str, Entry]


def lock_path(spec_file: Path) -> Path:
    """Where the lock of a spec file stands.

    >>> lock_path(Path("lab/environment.yml")).as_posix()
    'lab/environment.assets.lock'
    """
    return spec_file.with_name(f"{spec_file.stem}.assets.lock")


def as_written(asset: Asset) -> str:
    """The asset's URL as it stands in the lock."""
    return without_secrets(asset.written[0] if asset.written else asset.url)


def mirrors_as_written(asset: Asset) -> tuple[str, ...]:
    """The asset's mirrors as they stand in the lock."""
    return tuple(map(without_secrets, asset.written[1:] if asset.written else asset.mirrors))


def misfit(entry: Entry, asset: Asset) -> str:
    """Why the entry is not about what the asset asks for, as a clause; empty where it is."""
    if entry.url != as_written(asset):
        return "the file has another `url`"
    if asset.digest is None and entry.digest is None and not entry.files:
        return "it has no hash"
    known = {each.algorithm: each for each in entry.digests()}
    if asset.digest is not None and known.get(asset.digest.algorithm) != asset.digest:
        return f"the file has another {asset.digest.algorithm}"
    if entry.size_bytes is not None and not asset.fits(entry.size_bytes):
        return "the file has another `size`"
    return ""


def misfits(assets: Sequence[Asset], lock: Lock) -> tuple[str, ...]:
    """All that `lock` would change, as sentences; an optional asset may be missing, as its publisher may be."""
    why = []
    for asset in assets:
        entry = lock.entries.get(asset.name)
        if entry is None:
            if not asset.optional:
                why.append(f"{asset.name}: not in the lock")
        elif reason := misfit(entry, asset):
            why.append(f"{asset.name}: {reason}")
        elif entry.mirrors != mirrors_as_written(asset):
            why.append(f"{asset.name}: the file has other `mirrors`")
    names = {asset.name for asset in assets}
    why += [f"{name}: no longer in the file" for name in sorted(set(lock.entries) - names)]
    return tuple(why)


def lock_text(entries: Iterable[Entry]) -> str:
    """The file's content."""
    listed = sorted(entries, key=lambda entry: entry.name)
    lines = [f"version: {FORMAT}", "assets:" if listed else "assets: []"]
    for entry in listed:
        lines += _block("name", entry, "")
    return _HEAD + "\n".join(lines) + "\n"


def _block(key: str, entry: Entry, indent: str) -> Iterator[str]:
    first = "- "
    for name, value in (
        (key, entry.name),
        ("url", entry.url),
        ("mirrors", entry.mirrors),
        ("final_url", entry.final_url),
        ("pinned_url", entry.pinned_url),
        ("revision", entry.revision),
        ("size", entry.size_bytes),
        ("sha256", entry.sha256.hex if entry.sha256 else None),
        ("hash", str(entry.other) if entry.other else None),
        ("etag", entry.etag),
        ("modified", entry.modified),
        ("vouched_by", entry.vouched_by),
        ("piece_size", entry.pieces.size_bytes if entry.pieces else None),
        ("pieces", base64.b64encode(entry.pieces.digests).decode() if entry.pieces else None),
        ("torrent", base64.b64encode(entry.torrent).decode()),
    ):
        if value is None or value in ("", ()):
            continue
        if isinstance(value, tuple):
            yield f"{indent}{first}{name}:"
            yield from (f"{indent}  - {_scalar(each)}" for each in value)
        else:
            yield f"{indent}{first}{name}: {value if isinstance(value, int) else _scalar(value)}"
        first = "  "
    if entry.files:
        yield f"{indent}  files:"
        for each in sorted(entry.files, key=lambda each: each.name):
            yield from _block("path", each, f"{indent}  ")


_PLAIN = regex(r"[A-Za-z0-9](?:[A-Za-z0-9._/@:+=?&%~,;()${}*-]| (?=[A-Za-z0-9(]))*")
# What YAML 1.1 readers take for booleans.
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off"))


def _scalar(text: str) -> str:
    """Plain where every reader of YAML sees text, else quoted; always one line."""
    if (
        _PLAIN.fullmatch(text)
        and plain_kind(text) == "text"
        and text.lower() not in _WORDS
        and ": " not in text
        and not text.endswith(":")
    ):
        return text
    if text.isascii() and text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[^\x20-\x7e]", lambda found: f"\\U{ord(found[0]):08x}", escaped) + '"'
