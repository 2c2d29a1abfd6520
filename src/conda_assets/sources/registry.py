"""One repository of a container registry: questions, and the token that answers to them want.

    GET /v2/…                        → 401, WWW-Authenticate: Bearer realm="https://auth…",service="…",scope="…"
    GET https://auth…?service&scope  → {"token": "…", "expires_in": 300}      with user and password where there are any
    GET /v2/…  Authorization: Bearer …

User and password are those of `docker login`, `podman login` and `oras login`: in `$REGISTRY_AUTH_FILE`,
`$XDG_RUNTIME_DIR/containers/auth.json`, `~/.config/containers/auth.json`, `$DOCKER_CONFIG/config.json` or
`~/.docker/config.json`, there under `auths` or with a program named under `credHelpers` or `credsStore`; else netrc's.

Source: https://distribution.github.io/distribution/spec/auth/token/, https://github.com/docker/docker-credential-helpers,
https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from conda_assets.errors import AccessDenied, AssetFailed
from conda_assets.regexes import regex
from conda_assets.settings import Network, home_of
from conda_assets.sources.asking import Answer, ask, understood
from conda_assets.web.credentials import Login, login_for
from conda_assets.web.failures import of_status, retry_after_s

__all__ = ["Registry"]

_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
_PARAMETER = regex(r'(\w+)="([^"]*)"')
# What a token lives without a word about it. Source: distribution's "Token Authentication Specification".
_LIFE_S = 60.0
_HELPER_S = 30.0
_MOST_BYTES = 1 << 20

_Headers = tuple[tuple[str, str], ...]


class Registry:
    """`base`: the registry's address, in the clear for this machine only. All that ask for one repository share its token."""

    _tokens: dict[tuple[Network, str, str], tuple[_Headers, float]] = {}  # noqa: RUF012  one memory for the process
    _lock = threading.Lock()

    def __init__(self, host: str, repository: str, network: Network) -> None:
        hub = host.lower() in _HUB
        name = urlsplit(f"//{host}").hostname or ""
        scheme = "http" if name in ("localhost", "127.0.0.1", "::1") else "https"
        self.base = f"{scheme}://{'registry-1.docker.io' if hub else host}"
        self.repository = f"library/{repository}" if hub and "/" not in repository else repository
        self._host, self._network = "docker.io" if hub else host.lower(), network
        self._challenge = ""

    def ask(
        self,
        asset: str,
        path: str,
        headers: Mapping[str, str],
        *,
        method: str = "GET",
        abroad: bool = True,
        most: int = _MOST_BYTES,
    ) -> Answer:
        """Ask, and where a token is wanted, once more with one; the answer may have any status.

        Raises:
            AccessDenied: no token is to be had.
            AssetFailed: no answer.
        """
        for last in (False, True):
            secret, _ = self.token(asset)
            url = f"{self.base}{path}"
            answer = ask(asset, url, self._network, headers, secret=dict(secret), method=method, abroad=abroad, most_bytes=most)
            if answer.status != 401 or last:
                return answer
            self.renew(asset, answer.headers)
        raise AssertionError("unreachable")

    def renew(self, asset: str, refusal: Mapping[str, str]) -> None:
        """Get the token that a refusal (401) asks for; `refusal`: its headers.

        Raises:
            AccessDenied, AssetFailed: as `ask`.
        """
        self._challenge = refusal.get("WWW-Authenticate", "")
        self._forget()
        self.token(asset, renew=True)

    def token(self, asset: str, *, renew: bool = False) -> tuple[_Headers, float | None]:
        """The header to send with each question, and for how many seconds; empty and None while nobody has asked for one.

        Raises:
            AccessDenied, AssetFailed: as `ask`.
        """
        key = (self._network, self.base, self.repository)
        with self._lock:
            headers, until = self._tokens.get(key, ((), 0.0))
            left_s = until - time.monotonic()
            if not renew and (left_s > 0 or not self._challenge):
                return (headers, left_s) if left_s > 0 else ((), None)
            headers, life_s = self._login(asset)
            self._tokens[key] = (headers, time.monotonic() + life_s)
            return headers, life_s

    def _forget(self) -> None:
        with self._lock:
            self._tokens.pop((self._network, self.base, self.repository), None)

    def _login(self, asset: str) -> tuple[_Headers, float]:
        kind, _, rest = self._challenge.partition(" ")
        said = dict(_PARAMETER.findall(rest))
        # A download centre fetches for others than those who have logged in here.
        ours = self._network.admit is None
        login = (_login_of(self._host, self.repository) or login_for(urlsplit(self.base).hostname or "")) if ours else None
        if kind.lower() == "basic" and login is not None:
            return login.basic, 3600.0
        if kind.lower() != "bearer" or not said.get("realm"):
            fix = f"log in with `docker login {self._host}`, `podman login` or `oras login`"
            raise AccessDenied(asset, f"{self._host} wants a user and a password", fix)
        if urlsplit(said["realm"]).scheme != urlsplit(self.base).scheme and not said["realm"].startswith("https://"):
            raise AssetFailed(asset, f"{self._host} wants a password to be sent in the clear")
        query = {"scope": said.get("scope") or f"repository:{self.repository}:pull"}
        if said.get("service"):
            query["service"] = said["service"]
        url = f"{said['realm']}{'&' if '?' in said['realm'] else '?'}{urlencode(query)}"
        answer = ask(asset, url, self._network, secret=dict(login.basic) if login else {}, most_bytes=_MOST_BYTES)
        if answer.status in (401, 403):
            fix = f"log in anew with `docker login {self._host}`, `podman login` or `oras login`"
            raise AccessDenied(asset, f"{answer.shown} gives no token for {self.repository} ({answer.status})", fix)
        if answer.status != 200:
            raise of_status(asset, answer.status, answer.shown, retry_after_s(answer.headers.get("Retry-After")))
        with understood(asset, answer) as token:
            text, life_s = str(token.get("token") or token["access_token"]), float(token.get("expires_in") or _LIFE_S)
            if not re.fullmatch(r"[!-~]+", text):
                raise ValueError
        # Given up a little early: the request has still to get there.
        return (("Authorization", f"Bearer {text}"),), max(life_s - 10.0, life_s / 2)


def _login_of(host: str, repository: str) -> Login | None:
    """What container tools keep for the registry; the most exact entry of the first file that has one."""
    names = [host] if host != "docker.io" else [host, "https://index.docker.io/v1/", "index.docker.io"]
    parts = repository.split("/")
    exact = [f"{host}/{'/'.join(parts[:count])}" for count in range(len(parts), 0, -1)]
    keys = [*exact, *names, f"https://{host}", f"https://{host}/v1/", f"https://{host}/v2/"]
    for config in _configs():
        auths, helpers = config.get("auths"), config.get("credHelpers")
        entries = auths if isinstance(auths, Mapping) else {}
        for key in keys:
            helper = helpers.get(key) if isinstance(helpers, Mapping) else None
            if helper and (login := _ask_helper(str(helper), key)):
                return login
            entry = entries.get(key)
            if isinstance(entry, Mapping) and (login := _read_entry(entry)):
                return login
        if config.get("credsStore"):
            for key in names:
                if login := _ask_helper(str(config["credsStore"]), key):
                    return login
    return None


def _configs() -> Iterator[Mapping[str, object]]:
    home, environ = home_of(os.environ), os.environ
    named = [
        environ.get("REGISTRY_AUTH_FILE"),
        f"{environ['XDG_RUNTIME_DIR']}/containers/auth.json" if environ.get("XDG_RUNTIME_DIR") else None,
        f"{environ.get('XDG_CONFIG_HOME') or home / '.config'}/containers/auth.json",
        f"{environ.get('DOCKER_CONFIG') or home / '.docker'}/config.json",
    ]
    for path in filter(None, named):
        try:
            config = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # not there, or not for us to mend: docker says so itself
        if isinstance(config, Mapping):
            yield config


def _read_entry(entry: Mapping[str, object]) -> Login | None:
    """`auth` is user:password in base64; without it both may stand there by name."""
    try:
        user, colon, password = base64.b64decode(str(entry.get("auth") or ""), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeError):
        return None
    if colon:
        return Login(user, password.rstrip("\0"))
    return Login(str(entry["username"]), str(entry["password"])) if entry.get("username") and entry.get("password") else None


def _ask_helper(name: str, server: str) -> Login | None:
    """What `docker-credential-NAME get` says; None where it has nothing, or an identity token that only docker can use."""
    program = shutil.which(f"docker-credential-{name}") if re.fullmatch(r"[\w.-]+", name) else None
    if program is None:
        return None
    try:
        done = subprocess.run([program, "get"], input=server, capture_output=True, text=True, timeout=_HELPER_S, check=True)
        said = json.loads(done.stdout)
        user, password = str(said["Username"]), str(said["Secret"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return None
    return Login(user, password) if user and user != "<token>" else None
