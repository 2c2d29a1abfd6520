"""What servers answered to aria2, part by part, read from its log: for files that no digest vouches for.

Each part comes by a request of its own. Where several servers stand behind one name, a part may be of another version of the
file, compressed, or a page that asks for patience; aria2 compares lengths, and nothing later would tell.

    CUID#9 - Requesting:            which URL the connection has been sent to; a redirect keeps it with where it began
    CUID#9 - Response received:     what came for that
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import BinaryIO
from urllib.parse import urlsplit

from conda_assets.records import dataclass
from conda_assets.regexes import regex
from conda_assets.web.failures import is_page, is_recoded
from conda_assets.web.reach import target_of

__all__ = ["Answer", "Answers", "trouble_with"]

_RECORD = regex(r"\[INFO\].* CUID#(\d+) - (Requesting|Response received):$")
_BLOCK_BYTES = 1 << 20
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Of one URL; more different ones than any fault needs.
_MOST = 64


@dataclass(frozen=True, slots=True)
class Answer:
    """The headers of a part that say what it is a part of; empty where not sent."""

    etag: str = ""
    modified: str = ""
    encoding: str = ""
    kind: str = ""

    def may_be_of(self, other: Answer) -> bool:
        """Nothing says that they are of different versions. Servers of one name may have ETags of their own for one file."""
        if self.modified and self.modified == other.modified:
            return True
        if self.etag and other.etag:
            return self.etag.removeprefix("W/") == other.etag.removeprefix("W/")
        # Of the one that says nothing, nothing is known.
        return not (self.etag or self.modified) or not (other.etag or other.modified)


class Answers:
    """Reads the log as it grows. Owns the file."""

    def __init__(self, log: BinaryIO) -> None:
        self._log = log
        self._rest = b""
        self._started: dict[tuple[str, str], str] = {}
        self._at: dict[str, str] = {}
        self._seen: dict[str, dict[Answer, None]] = {}
        self._record: tuple[str, str] | None = None
        self._lines: list[str] = []

    def follow(self, urls: Iterable[str]) -> None:
        """Remember what is answered when aria2 is sent to these from now on, wherever they lead."""
        self._read()
        for url in urls:
            # What an earlier try was answered is not this one's.
            self._at = {connection: at for connection, at in self._at.items() if at != url}
            self._started[_key(url)] = url
            self._seen.setdefault(url, {})

    def of(self, url: str) -> tuple[Answer, ...]:
        """Each different answer with bytes in it so far, in the order in which they came."""
        self._read()
        return tuple(self._seen.get(url, ()))

    def forget(self, urls: Iterable[str]) -> None:
        """They are not asked any more."""
        for url in urls:
            self._seen.pop(url, None)

    def close(self) -> None:
        """Safe to call twice."""
        self._log.close()

    def _read(self) -> None:
        while block := self._log.read(_BLOCK_BYTES):
            *lines, self._rest = (self._rest + block).split(b"\n")
            for line in lines:
                self._take(line.decode("latin-1").rstrip("\r"))

    def _take(self, line: str) -> None:
        if self._record is None:
            if match := _RECORD.search(line):
                self._record, self._lines = (match[1], match[2]), []
        elif line:
            self._lines.append(line)
        else:
            (connection, what), self._record = self._record, None
            if what == "Requesting":
                self._asked(connection, self._lines)
            else:
                self._answered(connection, self._lines)

    def _asked(self, connection: str, lines: list[str]) -> None:
        method, _, rest = (lines[0] if lines else "").partition(" ")
        target = rest.rpartition(" ")[0]
        if method != "GET":
            return  # CONNECT
        key = _key(target) if "://" in target else (_headers(lines).get("host", ""), target)
        if key in self._started:
            self._at[connection] = self._started[key]

    def _answered(self, connection: str, lines: list[str]) -> None:
        words = lines[0].split(" ") if lines else []
        seen = self._seen.get(self._at.get(connection, ""))
        if seen is None or len(words) < 2 or words[1] not in ("200", "206") or len(seen) >= _MOST:
            return
        said = _headers(lines)
        names = ("etag", "last-modified", "content-encoding", "content-type")
        seen[Answer(*(said.get(name, "") for name in names))] = None


def trouble_with(answers: Iterable[Answer], url: str, page: bool | None) -> str:
    """Why parts that came with these answers make no file, in words that follow the server's name; empty where they may.

    `page`: the file is a web page, or is not, as it was said before; None if unknown.
    """
    first: Answer | None = None
    for each in answers:
        if is_recoded(url, each.encoding):
            return "sent a part of the file compressed, although it was asked not to"
        first = first or each
        page = is_page(first.kind) if page is None else page
        if is_page(each.kind) != page and each.kind:
            return "sent a page in place of a part of the file"
        if not each.may_be_of(first):
            return "sent parts of different versions of the file"
    return ""


def _headers(lines: Iterable[str]) -> Mapping[str, str]:
    said: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            said.setdefault(name.strip().lower(), value.strip())
    return said


def _key(url: str) -> tuple[str, str]:
    """(Host header, target), as aria2 sends them."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if parts.port == _DEFAULT_PORTS.get(parts.scheme.lower()):
        host = host.removesuffix(f":{parts.port}")
    return host, target_of(parts)
