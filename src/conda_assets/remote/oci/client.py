"""One repository of a registry, to write to: its tokens, what is asked again, failures as our errors."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

from conda_assets.errors import AccessDenied, AssetFailed, NetworkFailed, RemoteFailed
from conda_assets.model import shown_url
from conda_assets.remote.kind import Gone
from conda_assets.remote.oci.manifests import MANIFEST, place_of
from conda_assets.settings import Network
from conda_assets.sources.asking import Answer, body_of, next_of, web_of
from conda_assets.sources.registry import Registry
from conda_assets.web.reach import origin_of

__all__ = ["Broken", "Repository"]

_TRIES = 5
_AGAIN_S = 0.5
_MOST_AGAIN_S = 30.0
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_ANSWER_BYTES = 1 << 20
_TAGS_BYTES = 64 << 20
_MOST_PAGES = 10_000
_AGAIN = "run the same command again: what is there is not sent again"


class Broken(RemoteFailed):
    """The connection broke, or the registry is busy; it may be tried again."""


class Disputed(RemoteFailed):
    """It says that the bytes are not what their digest says."""


class Repository:
    """Questions and orders; safe for several threads. A path is behind `/v2/<repository>/`.

    Raises (in each of its functions):
        RemoteFailed: no answer, a refusal.
    """

    def __init__(self, remote: str, network: Network) -> None:
        host, repository = place_of(remote)
        self.shown, self.host, self.name = shown_url(remote), host, repository
        self._network = network
        self._registry = Registry(host, repository, network)
        self._base = f"{self._registry.base}/v2/{self._registry.repository}/"

    def get(self, path: str, what: str, *, method: str = "GET", most_bytes: int = _ANSWER_BYTES) -> Answer:
        """Ask, and follow where it leads. `what`: a verb's rest, `cannot …`.

        Raises:
            Gone: there is nothing of that name.
        """
        for attempt in range(1, _TRIES + 1):
            with self._mapped(what):
                url = urlsplit(urljoin(self._base, path))
                asked = url.path + (f"?{url.query}" if url.query else "")
                answer = self._registry.ask(self.name, asked, {"Accept": f"{MANIFEST}, */*"}, method=method, most=most_bytes)
            if answer.status == 200:
                return answer
            if answer.status not in _BUSY or attempt == _TRIES:
                raise self._refusal(answer, what)
            time.sleep(_pause_s(answer, attempt))
        raise AssertionError

    def order(
        self, method: str, path: str, what: str, headers: Mapping[str, str], body: Any = b"", *, read_s: float | None = None
    ) -> Answer:
        """Ask once, with a body (bytes, or a file that can be read again); the answer says that it is done.

        `path` may be a URL that the registry has given, also at another host: that one gets no credentials.

        Raises:
            Broken: who gave the order knows whether it can be given again.
            Gone: there is no such upload, manifest or repository.
        """
        url = urljoin(self._base, path)
        ours = origin_of(url) == origin_of(self._base)
        for last in (False, True):
            with self._mapped(what):
                secret = dict(self._registry.token(self.name)[0]) if ours else {}
                # A server that refuses early may close while the body is still sent: then it is not known what it said.
                with web_of(self._network).send(self.name, method, url, {**headers, **secret}, body, read_s=read_s) as said:
                    answer = Answer(said.status, said.url, said.headers, body_of(self.name, said, _ANSWER_BYTES))
                if answer.status == 401 and ours and not last:
                    self._registry.renew(self.name, answer.headers)
                    if not isinstance(body, bytes):
                        body.seek(0)
                    continue
            break
        if answer.status in (200, 201, 202, 204):
            return answer
        raise self._refusal(answer, what)

    def again(self, method: str, path: str, what: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """An order that may be given twice, until it is taken.

        Seen with CNCF Distribution 2.8.2: it disputes a manifest in the moment in which another writer writes the same tag.
        """
        for attempt in range(1, _TRIES):
            try:
                return self.order(method, path, what, headers, body)
            except (Broken, Disputed):
                time.sleep(_AGAIN_S * attempt)
        return self.order(method, path, what, headers, body)

    def tags(self) -> list[str]:
        """All tags; none where the repository is not there yet."""
        found: list[str] = []
        path = "tags/list?n=1000"
        for _ in range(_MOST_PAGES):
            try:
                answer = self.get(path, "be listed", most_bytes=_TAGS_BYTES)
            except Gone:
                return found
            try:
                found += [str(tag) for tag in json.loads(answer.body)["tags"] or ()]
            except (ValueError, KeyError, TypeError) as error:
                raise RemoteFailed(self.shown, f"{self.host} answers with no list of tags", "check the URL") from error
            following = next_of(answer)
            if following is None:
                return found
            path = following
        raise RemoteFailed(self.shown, f"{self.host} lists tags without end", "")

    @contextmanager
    def _mapped(self, what: str) -> Iterator[None]:
        try:
            yield
        except AccessDenied as error:
            raise RemoteFailed(self.shown, f"cannot {what}: {error.cause}", error.fix, refused=True) from error
        except NetworkFailed as error:
            fix = f"check the name and the network, then {_AGAIN}"
            raise Broken(self.shown, f"no answer from {self.host}: {error.cause}", fix) from error
        except AssetFailed as error:
            fix = error.hints[0].text if error.hints else ""
            raise RemoteFailed(self.shown, f"no answer from {self.host}: {error.cause}", fix) from error
        except OSError as error:
            raise RemoteFailed(
                self.shown, f"the file cannot be read: {error.strerror or error}", "run `conda assets verify`"
            ) from error

    def _refusal(self, answer: Answer, what: str) -> RemoteFailed:
        code = _code(answer)
        where = f"({code or answer.status} from {self.host})"
        if answer.status in (401, 403):
            fix = f"log in with `docker login {self.host}`, `podman login` or `oras login` as who may write to {self.name}"
            return RemoteFailed(self.shown, f"may not {what} with these credentials {where}", fix, refused=True)
        if code == "NAME_UNKNOWN" or (answer.status == 404 and code in ("", "NAME_INVALID")):
            fix = f"check its name, or make {self.name} there: this registry does not make it by itself"
            return Gone(self.shown, f"{self.host} has no repository {self.name} {where}", fix)
        if answer.status == 404:
            return Gone(self.shown, f"cannot {what} {where}", _AGAIN)
        if code == "DIGEST_INVALID":
            return Disputed(self.shown, f"cannot {what} {where}", _AGAIN)
        if answer.status in _BUSY:
            return Broken(self.shown, f"cannot {what} {where}", _AGAIN)
        if answer.status == 405 or code == "UNSUPPORTED":
            return RemoteFailed(self.shown, f"the registry does not let anything {what} {where}", "")
        return RemoteFailed(self.shown, f"cannot {what} {where}", _AGAIN)


def _pause_s(answer: Answer, attempt: int) -> float:
    said = answer.headers.get("Retry-After", "")
    return min(float(said), _MOST_AGAIN_S) if said.isascii() and said.isdigit() else _AGAIN_S * 2**attempt


def _code(answer: Answer) -> str:
    """The registry's own word for it: `DENIED`."""
    try:
        code = str(json.loads(answer.body)["errors"][0]["code"])
    except (ValueError, KeyError, IndexError, TypeError):
        return ""
    return code if re.fullmatch("[A-Z_]{3,40}", code) else ""
