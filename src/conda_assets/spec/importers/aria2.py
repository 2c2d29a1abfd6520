"""A list for `aria2c --input-file`; a list of URLs, one a line, is one too.

    https://example.org/a.iso<TAB>https://mirror.example/a.iso      # URLs of one file, separated by tabs
      out=iso/a.iso                                                 # its options, indented
      checksum=sha-256=9f86…
      dir=downloads

Source: https://aria2.github.io/manual/en/html/aria2c.html#input-file
"""

from __future__ import annotations

from pathlib import PurePosixPath

from conda_assets.errors import Fault
from conda_assets.records import dataclass, field
from conda_assets.spec.entry import Fields, Value
from conda_assets.spec.importers.found import Found, Unreadable, digest_fields, last_of, note, read_digest, safe_url
from conda_assets.spec.naming import name_for, tame
from conda_assets.spec.values import shown

__all__ = ["read"]

_HEADERS = {"referer": "Referer", "user-agent": "User-Agent"}
#: How it is fetched, which is not the list's business here.
_OURS_NAMES = (
    "allow-overwrite always-resume auto-file-renaming conditional-get connect-timeout continue file-allocation "
    "lowest-speed-limit max-connection-per-server max-download-limit max-tries min-split-size pause piece-length "
    "remote-time retry-wait split stream-piece-selector timeout uri-selector gid"
)
_OURS = frozenset(_OURS_NAMES.split())
_SECRET = frozenset(("http-user", "http-passwd", "ftp-user", "ftp-passwd", "load-cookies", "private-key", "certificate"))


@dataclass
class _File:
    line: int
    urls: list[str]
    options: list[tuple[int, str, str]] = field(default_factory=list)


def read(text: str, base_url: str) -> Found:
    """All files, in the order of the list. `base_url` is not needed."""
    files: list[_File] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] not in " \t":
            files.append(_File(number, [safe_url(url) for url in line.split("\t") if url.strip()]))
            continue
        name, equals, value = line.strip().partition("=")
        if not files:
            raise Unreadable(number, "an option before the first URL", "indent options only")
        if not equals:
            raise Unreadable(number, f"expected `option=value`, got {shown(line.strip())}")
        files[-1].options.append((number, name.strip(), value.strip()))
    notes: list[Fault] = []
    return Found(tuple(_fields(each, notes) for each in files), tuple(notes))


def _fields(file: _File, notes: list[Fault]) -> Fields:
    fields: dict[str, Value] = {"url": file.urls[0], "mirrors": file.urls[1:]}
    who = last_of(file.urls[0])
    folder = out = ""
    headers: dict[str, Value] = {}
    for line, name, value in file.options:
        if name == "out":
            out = value
        elif name == "dir":
            folder = value
        elif name == "checksum":
            fields |= _checksum(line, who, value, notes)
        elif name == "header" and ":" in value:
            key, _, content = value.partition(":")
            headers[key.strip()] = content.strip()
        elif name in _HEADERS:
            headers[_HEADERS[name]] = value
        elif name in _SECRET:
            # Its value is not repeated.
            notes.append(note(line, who, f"`{name}` is left out", "write `headers: {Authorization: Bearer ${TOKEN}}`"))
        else:
            why = "how files are fetched is found out for each server" if name in _OURS else "there is nothing like it"
            notes.append(note(line, who, f"{shown(name)} is left out: {why}"))
    if folder and (PurePosixPath(folder).is_absolute() or ":" in folder or folder.startswith("~") or ".." in folder):
        notes.append(note(file.line, who, f"`dir={folder}` is left out: paths are below the environment", "see `root: project`"))
        folder = ""
    if headers:
        fields["headers"] = headers
    return fields | _place(file.urls[0], folder, out)


def _place(url: str, folder: str, out: str) -> dict[str, Value]:
    name = tame(PurePosixPath(out).name) if out else name_for(url)
    placed: dict[str, Value] = {"name": name} if name else {}
    last = out or name or last_of(url)
    path = (PurePosixPath(folder) / last).as_posix()
    return placed | ({"path": path} if (folder or out) and path != name else {})


def _checksum(line: int, who: str, value: str, notes: list[Fault]) -> dict[str, Value]:
    algorithm, _, digits = value.partition("=")
    try:
        digest = read_digest(algorithm, digits)
    except ValueError as error:
        notes.append(note(line, who, f"the checksum is left out: {error}"))
        return {}
    if digest is None:
        notes.append(note(line, who, f"{shown(algorithm)} cannot be checked here; the checksum is left out"))
        return {}
    return digest_fields([digest])
