"""What may be sent to a host, from where this machine's other tools keep it; for URLs that bring nothing of their own.

    netrc       $NETRC, else ~/.netrc, else ~/_netrc: `machine HOST login … password …` → Basic, to that host.
                `default` is for nobody: it would go to every host that a file names.
    .condarc    a channel with `user:password@` → Basic, a channel with `/t/TOKEN/` → the same token in the URL; both only for
                URLs below that channel (or `channel_alias`). Values may hold `${VARIABLE}`.
    anaconda    the token that `anaconda login` keeps → `/t/TOKEN/` in URLs of that server, unless `add_anaconda_token: false`

Nothing of this is believed to be short-lived, and nothing is kept longer than a minute.

Source: https://www.gnu.org/software/inetutils/manual/html_node/The-_002enetrc-file.html; conda.common.url.split_anaconda_token,
conda.gateways.anaconda_client and conda.gateways.connection.session of conda 26.7
"""

from __future__ import annotations

import base64
import contextlib
import netrc
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, unquote_plus, urlsplit

from conda_assets.condarc import read_condarcs
from conda_assets.model import Fresh
from conda_assets.records import dataclass, field
from conda_assets.regexes import regex
from conda_assets.settings import home_of, root_prefix
from conda_assets.web.reach import origin_of

__all__ = ["Login", "credentials_for", "has_any_for", "login_for", "netrc_warning"]

_CHANNEL_KEYS = ("channels", "default_channels", "custom_channels", "custom_multichannels", "channel_alias")
_TOKEN = regex(r"/t/([A-Za-z0-9-]+)(?=/|$)")
# A .condarc without any of these has nothing to send, and is not parsed.
_TELLING = r".*(?:@|/t/|\$|add_(?:anaconda|binstar)_token)"
_API = regex(r"([./])api([./]|$)")
# What decides which files are read.
_VARIABLES = (
    "NETRC", "HOME", "USERPROFILE", "CONDARC", "CONDA_PREFIX", "CONDA_ROOT", "CONDA_ROOT_PREFIX", "MAMBA_ROOT_PREFIX",
    "CONDA_EXE", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "BINSTAR_CONFIG_DIR",
)  # fmt: skip
_KEPT_S = 60.0


@dataclass(frozen=True, slots=True)
class Login:
    """A user and a password for one host."""

    user: str = field(repr=False)
    password: str = field(repr=False)

    @property
    def basic(self) -> tuple[tuple[str, str], ...]:
        """As a header. Source: RFC 7617."""
        text = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return (("Authorization", f"Basic {text}"),)


@dataclass(frozen=True, slots=True)
class _Place:
    """A channel. `base`: (scheme, host, port) and the path without token, no `/` at its end; `spot`: where the token goes in."""

    origin: tuple[str, str, int]
    path: str
    login: Login | None = None
    token: str = field(default="", repr=False)
    spot: int = 0

    def covers(self, origin: tuple[str, str, int], path: str) -> bool:
        return self.origin == origin and (path == self.path or path.startswith(f"{self.path}/"))


def credentials_for(url: str, environ: Mapping[str, str] | None = None) -> Fresh | None:
    """What to ask in place of an http(s) URL, and with which headers; None where nothing is known for it.

    A URL with a user in it, or with a token, brings its own and gets nothing. The most exact channel wins, then netrc.
    """
    environ = os.environ if environ is None else environ
    parts, origin = urlsplit(url), origin_of(url)
    if origin[0] not in ("http", "https") or "@" in parts.netloc or _TOKEN.search(parts.path):
        return None
    channels, logins = _known(environ)
    for place in channels:
        if place.covers(origin, unquote(parts.path)) or place.covers(origin, parts.path):
            if place.token:
                path = f"{parts.path[: place.spot]}/t/{place.token}{parts.path[place.spot :]}"
                return Fresh(parts._replace(path=path).geturl())
            if place.login is not None:
                return Fresh(url, place.login.basic)
    login = logins.get(origin[1])
    return Fresh(url, login.basic) if login else None


def has_any_for(origin: tuple[str, str, int], environ: Mapping[str, str] | None = None) -> bool:
    """Whether `credentials_for` may know something for a URL of that origin."""
    channels, logins = _known(os.environ if environ is None else environ)
    return origin[1] in logins or any(place.origin == origin for place in channels)


def login_for(host: str, environ: Mapping[str, str] | None = None) -> Login | None:
    """What netrc has for a host, for protocols other than HTTP."""
    return _known(os.environ if environ is None else environ)[1].get(host.lower())


def netrc_warning(urls: Iterable[str], environ: Mapping[str, str] | None = None) -> str:
    """What is wrong with the netrc file: others can read it, or it cannot be understood. Empty when it is not for these URLs."""
    path = _netrc_path(os.environ if environ is None else environ)
    if path is None:
        return ""
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
        if not any(host and host in text for host in {urlsplit(url).hostname for url in urls}):
            return ""
        netrc.netrc(str(path))
    except netrc.NetrcParseError as error:
        # Its message may quote a password.
        return f"{path} is not used: line {error.lineno} cannot be understood"
    except (OSError, UnicodeError):
        return f"{path} is not used: it cannot be read"
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        return f"{path} has passwords and can be read by others; `chmod 600 {path}`"
    return ""


def _known(environ: Mapping[str, str]) -> tuple[tuple[_Place, ...], Mapping[str, Login]]:
    seen = tuple((name, environ[name]) for name in _VARIABLES if name in environ)
    return _read(seen, int(time.monotonic() / _KEPT_S))


@lru_cache(maxsize=2)
def _read(variables: tuple[tuple[str, str], ...], minute: int) -> tuple[tuple[_Place, ...], Mapping[str, Login]]:
    """Everything that is known; `minute` only makes it be read anew."""
    environ = dict(variables)
    channels: list[_Place] = []
    add_tokens = True
    for _, content in read_condarcs(environ, root_prefix(environ), home_of(environ), (_TELLING,)):
        for key in ("add_binstar_token", "add_anaconda_token"):
            add_tokens = bool(content.get(key, add_tokens))
        # Those of the last file count first.
        channels[:0] = [place for key in _CHANNEL_KEYS for url in _urls(content.get(key), key) if (place := _place(url))]
    channels.sort(key=lambda place: -len(place.path))
    if add_tokens:
        channels += _anaconda(environ)
    return tuple(channels), _logins(environ)


def _urls(value: object, key: str) -> Iterator[str]:
    """The URLs in a setting: text, a list, or a map of those."""
    if isinstance(value, str):
        yield os.path.expandvars(value)
    elif isinstance(value, Mapping):
        for name, inside in value.items():
            for url in _urls(inside, key):
                # `custom_channels` maps a name to what stands before it.
                yield f"{url.rstrip('/')}/{name}" if key == "custom_channels" else url
    elif isinstance(value, list):
        for inside in value:
            yield from _urls(inside, key)


def _place(url: str) -> _Place | None:
    """The channel, if its URL has something to send."""
    origin, parts = origin_of(url), urlsplit(url)
    if origin[0] not in ("http", "https") or not origin[1]:
        return None
    path = parts.path.rstrip("/")
    if found := _TOKEN.search(path):
        return _Place(origin, path[: found.start()] + path[found.end() :], token=found[1], spot=found.start())
    user, at, _ = parts.netloc.rpartition("@")
    if not at:
        return None
    name, _, password = user.partition(":")
    return _Place(origin, path, Login(unquote(name), unquote(password)))


def _anaconda(environ: Mapping[str, str]) -> Iterator[_Place]:
    for folder in _anaconda_folders(environ):
        with contextlib.suppress(OSError, UnicodeError):
            for path in sorted(folder.glob("*.token")):
                server, token = unquote_plus(path.stem).rstrip("/"), path.read_text(encoding="utf-8").strip()
                if not _TOKEN.fullmatch(f"/t/{token}"):
                    continue
                for url in dict.fromkeys((server, _API.sub(r"\1conda\2", server, count=1))):
                    base = urlsplit(url).path.rstrip("/")
                    # A token is never sent in the clear: the file's name says over which scheme it was given.
                    yield _Place(origin_of(url), base, token=token, spot=len(base))


def _anaconda_folders(environ: Mapping[str, str]) -> tuple[Path, ...]:
    if environ.get("BINSTAR_CONFIG_DIR"):
        return (Path(environ["BINSTAR_CONFIG_DIR"]) / "data",)
    import platformdirs  # 5 ms: only when something is asked for

    # Where new and old versions of anaconda-client put them.
    return tuple(
        Path(find(appname="binstar", appauthor="ContinuumIO"))
        for find in (platformdirs.user_config_dir, platformdirs.user_data_dir)
    )


def _netrc_path(environ: Mapping[str, str]) -> Path | None:
    if environ.get("NETRC"):
        return Path(environ["NETRC"]).expanduser()
    return next((path for name in (".netrc", "_netrc") if (path := home_of(environ) / name).is_file()), None)


def _logins(environ: Mapping[str, str]) -> Mapping[str, Login]:
    path = _netrc_path(environ)
    if path is None:
        return {}
    try:
        hosts = netrc.netrc(str(path)).hosts
    except (OSError, UnicodeError, netrc.NetrcParseError):
        return {}  # `netrc_warning` says so
    return {host.lower(): Login(user or "", password or "") for host, (user, _, password) in hosts.items() if host != "default"}
