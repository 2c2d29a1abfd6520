"""Who asks Google Cloud Storage: gcloud's own token, or the application default credentials, found and renewed by google-auth."""

from __future__ import annotations

import importlib.util
import os
import threading
import time
from collections.abc import Mapping
from datetime import timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

from conda_assets.errors import AccessDenied
from conda_assets.settings import Network
from conda_assets.sources.asking import bearer
from conda_assets.web.reach import authorities

__all__ = ["Account", "account", "has_google_auth", "is_named"]

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"
# Given out no more when it has less than that left.
_SPARE_S = 300.0


def has_google_auth() -> bool:
    """Other credentials than a token can be used."""
    return importlib.util.find_spec("google") is not None and importlib.util.find_spec("google.auth") is not None


def is_named(environ: Mapping[str, str]) -> bool:
    """The user has said something about credentials; without that, only the machine itself might have some."""
    folder = Path(environ.get("CLOUDSDK_CONFIG") or "~/.config/gcloud").expanduser()
    told = environ.get("CLOUDSDK_AUTH_ACCESS_TOKEN") or environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    return bool(told) or (folder / "application_default_credentials.json").is_file()


class Account:
    """A token, renewed when it has to be; safe for several threads."""

    def __init__(self, credentials: Any, network: Network) -> None:
        import requests

        self._credentials, self._lock = credentials, threading.Lock()
        self._session = requests.Session()
        self._session.trust_env = False
        trusted = authorities(network, os.environ)
        self._session.verify = network.verify is not False and (str(trusted) if trusted else True)
        self._session.proxies = {key: value for key, value in network.proxies if key != "no_proxy"}

    def headers(self, asset: str) -> tuple[dict[str, str], float | None]:
        """What to send, and the seconds that it is good for.

        Raises:
            AccessDenied: there is no token to be had.
        """
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request

        held = self._credentials
        with self._lock:
            try:
                if not held.valid or _left_s(held) < _SPARE_S:
                    held.refresh(Request(self._session))
                sent: dict[str, str] = {}
                held.apply(sent)
            except (GoogleAuthError, OSError) as error:
                raise _refused(asset, error) from error
            return {"Authorization" if name == "authorization" else name: value for name, value in sent.items()}, _left_s(held)


class _Token:
    """gcloud's own variable for a token; it says not how long it lives."""

    def __init__(self, token: str) -> None:
        self._token = token

    def headers(self, asset: str) -> tuple[dict[str, str], float | None]:
        return bearer(self._token), None


def account(asset: str, environ: Mapping[str, str], network: Network) -> Account | _Token | None:
    """The credentials that Google's tools would use here, None without any, or without google-auth.

    Raises:
        AccessDenied: those that are named cannot be had.
    """
    if token := environ.get("CLOUDSDK_AUTH_ACCESS_TOKEN"):
        return _Token(token)
    if not has_google_auth():
        return None
    from google.auth.exceptions import DefaultCredentialsError

    said = tuple(
        sorted((name, value) for name, value in environ.items() if name.startswith(("GOOGLE_", "CLOUDSDK_")) or name == "HOME")
    )
    try:
        return _found(said, network, is_named(environ), os.getpid())
    except DefaultCredentialsError as error:
        raise _refused(asset, error) from error


@lru_cache(maxsize=8)
def _found(said: tuple[tuple[str, str], ...], network: Network, named: bool, process: int) -> Account | None:
    """Kept for as long as the environment says the same: a token costs a request, and to find no machine of Google's 9 s."""
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
    except DefaultCredentialsError:
        if named:
            raise
        return None
    return Account(credentials, network)


def _left_s(credentials: Any) -> float:
    # google-auth's times are UTC and do not say so.
    expiry = credentials.expiry
    return float("inf") if expiry is None else float(expiry.replace(tzinfo=timezone.utc).timestamp()) - time.time()


def _refused(asset: str, error: Exception) -> AccessDenied:
    words = str(error).strip().splitlines()
    said = words[0].rstrip(".") if words else type(error).__name__
    return AccessDenied(
        asset, f"the Google credentials cannot be had: {said}", "log in again: `gcloud auth application-default login`"
    )
