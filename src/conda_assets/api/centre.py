"""Asking a download centre first: what it has, or fetches for us, need not come from the origin.

Only files whose digest is known are taken from there: they are held against it like any others, so a centre that is broken, or
worse, costs time and never gives wrong bytes. Only URLs that hold no secret are shown to it. One try a file: whatever goes wrong
there, the origin is next.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from conda_assets.errors import AccessDenied, AssetsError
from conda_assets.events import Noted, Observer
from conda_assets.model import Asset, Fresh, Locked
from conda_assets.settings import Settings

if TYPE_CHECKING:
    from conda_assets.web.exchange import Web

__all__ = ["announce_url", "through_centre"]

Probe = Callable[[Asset, str], Locked]

# Until a centre that has to ask the origin itself knows the size; longer, and we ask ourselves.
_PATIENCE_S = 20.0
_FIX = "set `CONDA_ASSETS_SERVER_TOKEN` to a token from its page, under Account"
_AGAIN_S = 0.5
_ANSWER_BYTES = 1 << 16
# A link is good for an hour; it is asked for anew well before.
_GOOD_FOR_S = 3000.0


def through_centre(probe: Probe, settings: Settings, watch: Observer) -> Probe:
    """`probe`, with the centre of the settings before the origin; as it is where none is set."""
    return _Through(probe, settings, watch) if settings.server else probe


def announce_url(settings: Settings, watch: Observer) -> str:
    """The tracker of the settings, which must name one; with a pass where it is the centre's own; troubles are noted."""
    assert settings.sharing is not None
    tracker, base = settings.sharing.tracker, (settings.server or "").rstrip("/")
    if not base or tracker.rstrip("/") != f"{base}/announce":
        return tracker
    try:
        return base + str(_ask(settings, "swarm", "/api/v1/tracker")["path"])
    except (AssetsError, ValueError, KeyError) as error:
        cause = error.message if isinstance(error, AssetsError) else "it answers with something else"
        watch(Noted(f"no tracker at the download centre {settings.server}: {cause}", "warning"))
        return tracker


class _Through:
    """Called from several threads."""

    def __init__(self, probe: Probe, settings: Settings, watch: Observer) -> None:
        self._probe, self._settings, self._watch = probe, settings, watch
        self._web: Web | None = None
        self._asked: set[str] = set()
        self._away = False
        self._lock = threading.Lock()

    def __call__(self, asset: Asset, url: str) -> Locked:
        with self._lock:
            ask = not self._away and asset.digest is not None and asset.name not in self._asked
            self._asked.add(asset.name)
        if ask and (found := self._from_centre(asset)) is not None:
            return found
        return self._probe(asset, url)

    def _from_centre(self, asset: Asset) -> Locked | None:
        """Where the centre has it; None when it is the origin's turn."""
        query = {"digest": str(asset.digest)}
        if _is_open(asset):
            query["url"] = asset.url
            if asset.size_bytes is not None and not asset.size_slack_bytes:
                query["size_bytes"] = str(asset.size_bytes)
        ends = time.monotonic() + _PATIENCE_S
        try:
            while (said := self._ask(asset, query))["state"] == "coming" and time.monotonic() < ends:
                time.sleep(_AGAIN_S)
            return self._locked(asset, said, query)
        except (AssetsError, ValueError, KeyError, TypeError) as error:
            with self._lock:
                already, self._away = self._away, True
            if not already:
                cause = error.message if isinstance(error, AssetsError) else "it answers with something else"
                fix = f" ({_FIX})" if isinstance(error, AccessDenied) else ""
                self._watch(Noted(f"the download centre {self._settings.server} is not used: {cause}{fix}", "warning"))
            return None

    def _locked(self, asset: Asset, said: dict[str, Any], query: dict[str, str]) -> Locked | None:
        if said["state"] != "here":
            return None
        base = str(self._settings.server).rstrip("/")
        url = base + urlsplit(said["path"]).path
        size_bytes = int(said["size_bytes"])
        assert asset.digest is not None
        if not asset.fits(size_bytes):
            return None
        fresh = [Fresh(base + said["path"], (), _GOOD_FOR_S)]

        def lead() -> Fresh:
            return fresh.pop() if fresh else Fresh(base + self._ask(asset, query)["path"], (), _GOOD_FOR_S)

        return Locked(
            asset=asset,
            url=url,
            final_url=url,
            size_bytes=size_bytes,
            etag=f'"{asset.digest.algorithm}-{asset.digest.hex}"',
            modified=None,
            resumable=True,
            same_host=True,
            fresh=lead,
            alone=True,
        )

    def _ask(self, asset: Asset, query: dict[str, str]) -> dict[str, Any]:
        from conda_assets.web.exchange import Web  # requests: 50 ms that only those who use the network pay

        with self._lock:
            web = self._web = self._web or Web(self._settings.network)
        return _ask(self._settings, asset.name, f"/api/v1/store/ask?{urlencode(query)}", web)


def _ask(settings: Settings, name: str, path: str, web: Web | None = None) -> dict[str, Any]:
    """The centre's answer. `name`: what it is asked for, for messages.

    Raises:
        AssetFailed: none, or a refusal.
        ValueError: no JSON.
    """
    from conda_assets.web.exchange import Web  # requests: 50 ms that only those who use the network pay
    from conda_assets.web.failures import of_status

    token = settings.server_token
    secret = {"Authorization": f"Bearer {token}"} if token else {}
    with (web or Web(settings.network)).get(name, str(settings.server).rstrip("/") + path, {}, secret=secret) as answer:
        if answer.status != 200:
            raise of_status(name, answer.status, answer.shown)
        body = b""
        for block in answer.blocks(_ANSWER_BYTES):
            body += block
            if len(body) > _ANSWER_BYTES:
                raise ValueError("too long")
    said = json.loads(body)
    if not isinstance(said, dict):
        raise ValueError("no map")
    return said


def _is_open(asset: Asset) -> bool:
    """Its URL may be shown to the centre: no header, no password, and no query goes with it."""
    parts = urlsplit(asset.url)
    return not asset.headers and "@" not in parts.netloc and not parts.query and parts.scheme.lower() != "file"
