"""What interfaces that list a publisher's files have in common: asking them politely, and a file in a list."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from urllib.parse import quote

from conda_assets.digest import Digest, parse_digest
from conda_assets.errors import AssetFailed, NetworkFailed, NotTheFile, NotThere
from conda_assets.records import dataclass, field
from conda_assets.settings import Network
from conda_assets.sources import patterns
from conda_assets.sources.asking import ask
from conda_assets.web.failures import of_status, retry_after_s
from conda_assets.web.reach import origin_of

__all__ = ["Listed", "Polite", "digest_or_none", "matching", "peace_s", "pick", "tidy_url"]

# An answer is believed as long: thirty assets of one record are one question.
_KEPT_S = 60.0


@dataclass(frozen=True, slots=True)
class Listed:
    """A file as its publisher lists it. `path`: relative, POSIX; `url`: where its bytes are; `revision`: see `Locked`."""

    path: str
    url: str = field(repr=False)
    size_bytes: int | None = None
    digest: Digest | None = None
    revision: str | None = None


class Polite:
    """Asks interfaces for JSON: one question at a time to a host, the same one once a minute, none while a host wants peace."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hosts: dict[tuple[str, str, int], threading.Lock] = {}
        self._not_before: dict[tuple[str, str, int], float] = {}
        self._kept: dict[tuple[Network, str], tuple[float, object]] = {}

    def json(self, asset: str, url: str, network: Network) -> object:
        """What `url` answers.

        Raises:
            NotThere, AccessDenied: as the status says.
            NotTheFile: something that is not JSON.
            NetworkFailed: no answer, or the host wants to be left alone; says for how long.
        """
        host = origin_of(url)
        with self._lock:
            turn = self._hosts.setdefault(host, threading.Lock())
        with turn:
            kept = self._kept.get((network, url))
            if kept is not None and time.monotonic() - kept[0] < _KEPT_S:
                return kept[1]
            wait_s = self._not_before.get(host, 0.0) - time.monotonic()
            if wait_s > 0:
                raise NetworkFailed(asset, f"{host[1]} asks to be left alone for {wait_s:.0f} s", wait_s)
            answer = self._ask(asset, url, host, network)
            self._kept[network, url] = (time.monotonic(), answer)
            return answer

    def forget(self) -> None:
        """Ask anew."""
        with self._lock:
            self._kept.clear()
            self._not_before.clear()

    def _ask(self, asset: str, url: str, host: tuple[str, str, int], network: Network) -> object:
        answer = ask(asset, url, network, {"Accept": "application/json"})
        if answer.status != 200:
            wait_s = peace_s(answer.headers) if answer.status in (403, 429, 503) else 0.0
            if wait_s:
                self._not_before[host] = time.monotonic() + wait_s
                if answer.status == 403:  # figshare's word for "too often"
                    raise NetworkFailed(asset, f"{answer.shown} is asked too often", wait_s)
            raise of_status(asset, answer.status, answer.shown, wait_s)
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise NotTheFile(asset, f"{answer.shown} answers with something that is not JSON") from error


def peace_s(headers: Mapping[str, str]) -> float:
    """Seconds that a host wants to be left alone: Retry-After, or the time at which its count starts again."""
    if asked := retry_after_s(headers.get("Retry-After")):
        return asked
    reset = headers.get("X-RateLimit-Reset", "").strip()
    if headers.get("X-RateLimit-Remaining", "").strip() != "0" or not reset.isdigit() or len(reset) > 12:
        return 0.0
    # Zenodo and GitHub say when, others in how many seconds.
    return max(1.0, float(reset) - time.time()) if int(reset) > 1_000_000_000 else float(reset)


def pick(asset: str, listed: Sequence[Listed], path: str, where: str) -> Listed:
    """The file of that name. `where`: who lists them, for messages.

    Raises:
        NotThere: no such file, with the names that are near.
        AssetFailed: several.
    """
    found = [each for each in listed if each.path == path]
    if len(found) == 1:
        return found[0]
    if found:
        raise AssetFailed(asset, f"{where} has {len(found)} files named {path}")
    raise NotThere(asset, f"{where} has no file {path}; it has {_some(path, [each.path for each in listed])}")


def matching(asset: str, listed: Sequence[Listed], pattern: str, where: str) -> tuple[tuple[str, Listed], ...]:
    """The files that match, each with its path below the pattern's fixed folder, sorted by that.

    Raises:
        NotThere: none does, with some of the names that there are.
        UnsafePath: a name that cannot be a path here.
        AssetFailed: two files with one name.
    """
    by_path = {each.path: each for each in listed}
    found = patterns.matching(asset, where, pattern, [each.path for each in listed])
    if not found:
        raise NotThere(asset, f"nothing in {where} matches {pattern or '/'}; it has {_some(pattern, sorted(by_path))}")
    if twice := next((path for (_, path), (_, after) in pairwise(found) if path == after), ""):
        raise AssetFailed(asset, f"{where} has two files named {twice}")
    return tuple((relative, by_path[path]) for relative, path in found)


def _some(path: str, names: list[str]) -> str:
    """A few of the names, the most likely first."""
    first = list(dict.fromkeys([*patterns.nearest(path, names), *names]))[:5]
    more = len(set(names)) - len(first)
    return (", ".join(first) or "none") + (f" and {more} more" if more else "")


def digest_or_none(algorithm: object, digits: object) -> Digest | None:
    """What a publisher says, where it makes sense; `SHA-256` and `sha256` are the same."""
    try:
        return parse_digest(f"{str(algorithm).replace('-', '')}:{digits}")
    except ValueError:
        return None


def tidy_url(url: str) -> str:
    """The URL with what a publisher forgot to encode, encoded."""
    return quote(url, safe="%/:?&=#+,;@!$'()*[]~")
