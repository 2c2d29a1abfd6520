"""Settings: one frozen record, read once at the edge; nothing else reads the environment.

Inside conda its own context is the source (`load(conda=…)`); alone, the same `.condarc` files are read by `condarc`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from conda_assets.condarc import read_condarcs
from conda_assets.errors import UsageError
from conda_assets.machine import this_machine
from conda_assets.places import read_age, sort_stores
from conda_assets.records import dataclass, field
from conda_assets.regexes import regex
from conda_assets.version import __version__

__all__ = ["LEVELS", "Network", "Settings", "Sharing", "home_of", "load", "native_subdir", "parse_rate", "root_prefix"]

# What of a .condarc concerns us; files without any of these words are not parsed.
_KEYS = (
    "offline",
    "ssl_verify",
    "client_ssl_cert",
    "client_ssl_cert_key",
    "proxy_servers",
    "remote_connect_timeout_secs",
    "remote_read_timeout_secs",
    "always_yes",
    "json",
    "quiet",
    "envs_dirs",
    "envs_path",
    "subdir",
)
_PLUGIN_KEYS = (
    "assets_stores",
    "assets_aria2c",
    "assets_connections",
    "assets_jobs",
    "assets_grace",
    "assets_limit_rate",
    "assets_log_level",
    "assets_push",
    "assets_server",
    "assets_user_agent",
)
# conda's own 60 s is for a server that makes an index while one waits; a file's next byte is there or is not.
_READ_TIMEOUT_S = 20.0
#: How much goes into the log, from much to nothing.
LEVELS = ("debug", "info", "warning", "error", "none")
# Not a setting: `conda config --show` would print it.
_TOKEN = "CONDA_ASSETS_SERVER_TOKEN"
_SYSTEMS = {"Linux": "linux", "Darwin": "osx", "Windows": "win"}
_MACHINES = {
    "x86_64": "64",
    "amd64": "64",
    "aarch64": "aarch64",
    "arm64": "arm64",
    "ppc64le": "ppc64le",
    "i686": "32",
    "s390x": "s390x",
}
_RATE = regex(r"(\d+(?:\.\d+)?)\s*([kKmMgG]?)i?[bB]?(?:/s)?")


@dataclass(frozen=True, slots=True)
class Network:
    """How to reach the outside; the same for probes and every transport.

    `verify`: True (system's authorities), False, or the path of a CA file or folder. `proxies`: scheme or scheme://host
    → proxy URL, as requests and conda's `proxy_servers` have them; the key `no_proxy` lists hosts to reach directly.
    `admit`: the proxy is a guard of ours, which connects to every port (CONNECT) but to no private address; this tells it a
    port of this machine that is ours as well. Times in seconds.
    """

    verify: bool | str = True
    client_cert: str | tuple[str, str] | None = None
    proxies: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 20.0
    user_agent: str = "conda-assets"
    admit: Callable[[int], None] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Sharing:
    """How machines give each other what they have. `tracker`: announce URL; `seed_s`: how long to give once all is here."""

    tracker: str = field(repr=False)
    upload_bytes_per_s: int | None = None
    seed_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a run may be told. `origins`: setting → where its value comes from, for `conda assets info`.

    `stores`: the first writable one is written, all are read. `remotes`: URLs of stores elsewhere, asked before a file's origin,
    without secrets; the first one is pushed to, after each fetch with `push`. `grace_s`: how long a machine that is not heard of
    keeps its files there. `connections`: to one server for one file, 1 to 16. `jobs`: large
    files at once. `limit_rate`: bytes per second for the whole run, None for no limit. `subdir`: conda's platform, `linux-64`.
    """

    stores: tuple[Path, ...]
    subdir: str
    aria2c: str | None = None
    connections: int = 16
    jobs: int = 4
    limit_rate: int | None = None
    sharing: Sharing | None = None
    network: Network = field(default_factory=Network)
    offline: bool = False
    always_yes: bool = False
    json: bool = False
    quiet: bool = False
    root_prefix: Path | None = None
    envs_dirs: tuple[Path, ...] = ()
    log_level: str = "info"
    server: str | None = None
    server_token: str | None = field(default=None, repr=False)
    active_prefix: Path | None = None
    remotes: tuple[str, ...] = ()
    push: bool = False
    grace_s: float = 30 * 86400.0
    origins: Mapping[str, str] = field(default_factory=dict)


def parse_rate(text: str) -> int:
    """Bytes per second of `20M`, `500k`, `1.5G` (powers of 1024, as aria2 and curl have them) or a number of bytes.

    Raises:
        UsageError: anything else.
    """
    match = _RATE.fullmatch(text.strip())
    if not match:
        raise UsageError(f"cannot read {text!r} as a rate", "write bytes per second such as `20M`, `500k` or `1048576`")
    return int(float(match[1]) * 1024 ** " kmg".index(match[2].lower() or " "))


def load(*, environ: Mapping[str, str], conda: Mapping[str, object] | None = None) -> Settings:
    """Gather the settings: environment variables, then conda's context or the `.condarc` files, then defaults.

    `conda` maps names of conda's context to values, `plugins` to a map of ours.

    Raises:
        UsageError: a value of the wrong kind, with where it comes from.
    """
    root = root_prefix(environ, conda)
    said = _Said(environ)
    if conda is None:
        for origin, content in read_condarcs(environ, root, home_of(environ), _KEYS):
            said.add(origin, content)
    else:
        said.add("conda", conda)
    home = home_of(environ)
    stores, remotes = _stores(said, home)
    grace = said.text("assets_grace")
    subdir = said.text("subdir") or native_subdir()
    return Settings(
        stores=stores,
        remotes=remotes,
        push=said.flag("assets_push"),
        grace_s=read_age(grace, said.origins["assets_grace"]) if grace else 30 * 86400.0,
        subdir=subdir,
        aria2c=said.text("assets_aria2c"),
        connections=said.number("assets_connections", 16, 1, 16),
        jobs=said.number("assets_jobs", 4, 1, 64),
        limit_rate=parse_rate(rate) if (rate := said.text("assets_limit_rate")) else None,
        network=_network(said, environ),
        log_level=said.word("assets_log_level", "info", LEVELS),
        server=_server(said),
        server_token=environ.get(_TOKEN) or None,
        offline=said.flag("offline"),
        always_yes=said.flag("always_yes"),
        json=said.flag("json"),
        quiet=said.flag("quiet"),
        root_prefix=root,
        envs_dirs=_envs_dirs(said, home, root),
        active_prefix=Path(environ["CONDA_PREFIX"]) if environ.get("CONDA_PREFIX") else None,
        origins=said.origins,
    )


class _Said:
    """What the files and variables say: the last file wins, a variable wins over all; remembers who won."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._values: dict[str, tuple[object, str]] = {}
        self.origins: dict[str, str] = {}

    def add(self, origin: str, content: Mapping[str, object]) -> None:
        plugins = content.get("plugins")
        flat = {key: content[key] for key in _KEYS if content.get(key) is not None}
        if isinstance(plugins, Mapping):
            flat.update({key: plugins[key] for key in _PLUGIN_KEYS if plugins.get(key) not in (None, "", ())})
        for key, value in flat.items():
            self._values[key] = (value, origin)

    def value(self, key: str) -> object:
        variable = ("CONDA_PLUGINS_" if key in _PLUGIN_KEYS else "CONDA_") + key.upper()
        if self._environ.get(variable):
            self.origins[key] = f"${variable}"
            return self._environ[variable]
        value, origin = self._values.get(key, (None, "default"))
        self.origins[key] = origin
        return value

    def text(self, key: str) -> str | None:
        value = self.value(key)
        return None if value is None else str(value)

    def flag(self, key: str) -> bool:
        value = self.value(key)
        return value if isinstance(value, bool) else str(value or "").strip().lower() in ("1", "true", "yes", "on", "y")

    def number(self, key: str, default: int, low: int, high: int) -> int:
        value = self.value(key)
        if value is None:
            return default
        try:
            number = int(str(value))
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise UsageError(f"{self.origins[key]}: {key} is {value!r}, expected a number from {low} to {high}")
        return number

    def word(self, key: str, default: str, words: Sequence[str]) -> str:
        value = self.text(key)
        if value is not None and value not in words:
            raise UsageError(f"{self.origins[key]}: {key} is {value!r}, expected one of {', '.join(words)}")
        return value or default

    def seconds(self, key: str, default: float) -> float:
        value = self.text(key)
        try:
            return float(value) if value is not None else default
        except ValueError:
            raise UsageError(f"{self.origins[key]}: {key} is {value!r}, expected seconds") from None

    def words(self, key: str, separator: str) -> tuple[str, ...]:
        value = self.value(key)
        parts: Sequence[object] = value if isinstance(value, (list, tuple)) else ()
        if isinstance(value, str):
            parts = value.split(separator)
        return tuple(str(part) for part in parts if str(part).strip())

    def paths(self, key: str) -> tuple[Path, ...]:
        return tuple(Path(os.path.expandvars(part)).expanduser() for part in self.words(key, os.pathsep))


def _stores(said: _Said, home: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    said.origins["stores"] = "default"
    own = said._environ.get("CONDA_ASSETS_STORE", "")
    if words := tuple(part for part in own.split(",") if part.strip()):
        said.origins["stores"] = "$CONDA_ASSETS_STORE"
    elif words := said.words("assets_stores", ","):
        said.origins["stores"] = said.origins["assets_stores"]
    folders, remotes = sort_stores(words, said.origins["stores"])
    said.origins["remotes"] = said.origins["stores"] if remotes else "default"
    return folders or (home / ".conda" / "assets",), remotes


def _server(said: _Said) -> str | None:
    text = said.text("assets_server")
    if not text:
        return None
    parts = urlsplit(text)
    if parts.scheme.lower() not in ("http", "https") or not parts.netloc or "@" in parts.netloc or parts.query:
        origin = said.origins["assets_server"]
        raise UsageError(f"{origin}: assets_server is not the URL of a centre", "write it as `https://lab.example`; no password")
    return text


def _network(said: _Said, environ: Mapping[str, str]) -> Network:
    verify: bool | str = True
    value = said.value("ssl_verify")
    if isinstance(value, bool):
        verify = value
    elif value is not None:
        # "truststore" means the system's authorities, which is what True is here.
        words: dict[str, bool] = {
            "true": True,
            "1": True,
            "yes": True,
            "truststore": True,
            "false": False,
            "0": False,
            "no": False,
        }
        verify = words.get(str(value).lower(), str(value))
    cert, key = said.text("client_ssl_cert"), said.text("client_ssl_cert_key")
    proxies = said.value("proxy_servers")
    table = {str(k): str(v) for k, v in proxies.items() if v} if isinstance(proxies, Mapping) else {}
    for scheme in ("http", "https", "ftp", "all", "no"):
        from_environ = environ.get(f"{scheme}_proxy") or environ.get(f"{scheme.upper()}_PROXY")
        # Lower case only for http: the upper-case name can be set by a CGI request's header ("httpoxy").
        if scheme == "http" and environ.get("REQUEST_METHOD"):
            from_environ = environ.get("http_proxy")
        if from_environ:
            table.setdefault("no_proxy" if scheme == "no" else scheme, from_environ)
    return Network(
        verify=verify,
        client_cert=(cert, key) if cert and key else cert,
        proxies=tuple(sorted(table.items())),
        connect_timeout_s=said.seconds("remote_connect_timeout_secs", 10.0),
        read_timeout_s=said.seconds("remote_read_timeout_secs", _READ_TIMEOUT_S),
        user_agent=said.text("assets_user_agent") or _user_agent(),
    )


def _user_agent() -> str:
    # Zenodo and others ask tools to name themselves.
    here = this_machine()
    return f"conda-assets/{__version__} ({here.system}; {here.kind})"


def home_of(environ: Mapping[str, str]) -> Path:
    """The user's home."""
    return Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())


def root_prefix(environ: Mapping[str, str], conda: Mapping[str, object] | None = None) -> Path | None:
    """conda's own prefix, as far as conda or the environment says."""
    if conda is not None and conda.get("root_prefix"):
        return Path(str(conda["root_prefix"]))
    for name in ("CONDA_ROOT", "CONDA_ROOT_PREFIX", "MAMBA_ROOT_PREFIX"):
        if environ.get(name):
            return Path(environ[name])
    if environ.get("CONDA_EXE"):
        # <root>/bin/conda, or <root>\Scripts\conda.exe
        return Path(environ["CONDA_EXE"]).parent.parent
    return None


def _envs_dirs(said: _Said, home: Path, root: Path | None) -> tuple[Path, ...]:
    named = said.paths("envs_dirs") or said.paths("envs_path")
    own = (root / "envs",) if root else ()
    return tuple(dict.fromkeys((*named, *own, home / ".conda" / "envs")))


def native_subdir() -> str:
    """conda's word for this machine, whatever the settings say: `linux-64`."""
    here = this_machine()
    system = _SYSTEMS.get(here.system, sys.platform)
    machine = _MACHINES.get(here.kind.lower(), here.kind.lower())
    if system == "osx" and machine == "aarch64":
        machine = "arm64"
    return f"{system}-{machine}"
