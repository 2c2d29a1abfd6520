"""What a channel in `environment.yml` means: its URLs, by conda's rules and conda's settings.

    conda-forge                    <channel_alias>/conda-forge        or below `custom_channels`, `custom_multichannels`
    defaults                       each of `default_channels`
    https://…, file:///…           itself
    ./channel, ~/channel, /srv/c   a folder, relative to the working directory

Source: conda.models.channel of conda 24.7; https://docs.conda.io/projects/conda/en/stable/user-guide/configuration/
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

from conda_assets.condarc import read_condarcs
from conda_assets.model import shown_url
from conda_assets.records import dataclass, field
from conda_assets.regexes import regex

__all__ = ["ChannelNames", "read_channel_names", "shown_channel", "without_secrets"]

_DEFAULT_ALIAS = "https://conda.anaconda.org"
_DEFAULT_CHANNELS = ("https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r")
_DEFAULT_CHANNELS_WINDOWS = (*_DEFAULT_CHANNELS, "https://repo.anaconda.com/pkgs/msys2")
_WITHOUT_ANY = ("conda-forge",)
_KEYS = ("channels", "channel_alias", "default_channels", "custom_channels", "custom_multichannels")
_PATH = regex(r"\.{1,2}([/\\]|$)|~|/|[a-zA-Z]:[/\\]|\\\\")
_SUBDIR = regex(r"/(noarch|(linux|osx|win|emscripten|wasi|freebsd|zos)-[a-z0-9]+)/?$")
_TOKEN = regex(r"/t/[^/]+")


@dataclass(frozen=True, slots=True)
class ChannelNames:
    """conda's settings that give names of channels a meaning. `by_default`: what a file without channels gets."""

    alias: str = _DEFAULT_ALIAS
    defaults: tuple[str, ...] = _DEFAULT_CHANNELS
    custom: Mapping[str, str] = field(default_factory=dict)
    multi: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    by_default: tuple[str, ...] = _WITHOUT_ANY

    def urls(self, channel: str, cwd: Path) -> tuple[str, ...]:
        """The URLs of one channel, in order of priority, without a slash at the end. They may hold a token or a password."""
        channel = channel.strip()
        if "://" in channel:
            return (_SUBDIR.sub("", channel).rstrip("/"),)
        if _PATH.match(channel):
            return ((cwd / Path(channel).expanduser()).resolve().as_uri(),)
        name = _SUBDIR.sub("", channel).strip("/")
        if name == "defaults" and name not in self.multi:
            return tuple(url for member in self.defaults for url in self._of_name(member))
        if name in self.multi:
            return tuple(url for member in self.multi[name] for url in self._of_name(member))
        return self._of_name(name)

    def canonical(self, url: str) -> str:
        """What conda calls a channel of this URL, in its history: the name where the alias gives it one, else the URL.

        A platform at the end of it, as conda's records have it, is cut off.
        """
        bare = _SUBDIR.sub("", shown_channel(url)).rstrip("/")
        if any(bare == shown_channel(member) for name in self.defaults for member in self._of_name(name)):
            return "defaults"
        for prefix in (self.alias, *self.custom.values()):
            head = shown_channel(prefix).rstrip("/") + "/"
            if bare.startswith(head):
                return unquote(bare[len(head) :])
        return bare

    def _of_name(self, name: str) -> tuple[str, ...]:
        if "://" in name:
            return (name.rstrip("/"),)
        parts = name.split("/")
        for length in range(len(parts), 0, -1):
            if base := self.custom.get("/".join(parts[:length])):
                # A custom channel says where the channel's folder lies, not its own address.
                return (f"{base.rstrip('/')}/{name}",)
        return (f"{self.alias.rstrip('/')}/{name}",)


def read_channel_names(environ: Mapping[str, str], root: Path | None) -> ChannelNames:
    """Gather conda's channel settings from its variables and `.condarc` files; conda itself is not needed.

    Raises:
        UsageError: a `.condarc` that is not YAML.
    """
    said: dict[str, object] = {}
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())
    for _, content in read_condarcs(environ, root, home, _KEYS):
        for key in _KEYS:
            value = content.get(key)
            if isinstance(value, Mapping):
                earlier = said.get(key)
                said[key] = {**(earlier if isinstance(earlier, Mapping) else {}), **value}
            elif key == "channels" and isinstance(value, list):
                # conda puts the channels of the stronger file in front of those of the weaker one.
                said[key] = [*value, *(old for old in _texts(said.get(key)) if old not in value)]
            elif value is not None:
                said[key] = value
    for key in ("channels", "default_channels"):
        if environ.get(f"CONDA_{key.upper()}"):
            said[key] = [part for part in environ[f"CONDA_{key.upper()}"].split(",") if part.strip()]
    alias = _with_scheme(environ.get("CONDA_CHANNEL_ALIAS") or str(said.get("channel_alias") or _DEFAULT_ALIAS))
    custom, multi = said.get("custom_channels"), said.get("custom_multichannels")
    return ChannelNames(
        alias=alias,
        defaults=_texts(said.get("default_channels")) or (_DEFAULT_CHANNELS_WINDOWS if os.name == "nt" else _DEFAULT_CHANNELS),
        custom={str(name): _with_scheme(str(url)) for name, url in custom.items()} if isinstance(custom, Mapping) else {},
        multi={str(name): _texts(urls) for name, urls in multi.items()} if isinstance(multi, Mapping) else {},
        by_default=_texts(said.get("channels")) or _WITHOUT_ANY,
    )


def shown_channel(url: str) -> str:
    """The URL as it may be printed: no user, no password, no token, no query."""
    return shown_url(_TOKEN.sub("", url)) if "://" in url else url


def without_secrets(text: str, urls: Sequence[str]) -> str:
    """The text with each of the URLs, wherever it stands, as it may be printed."""
    for url in urls:
        text = text.replace(url, shown_channel(url))
    # Some libraries print addresses with the password cut out and the token still in.
    return re.sub(r"(?<=/t/)[^/\s'\"]+", "<TOKEN>", re.sub(r"(?<=://)[^/@\s'\"]+@", "", text))


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [value]
    return tuple(os.path.expandvars(str(part)) for part in value) if isinstance(value, (list, tuple)) else ()


def _with_scheme(url: str) -> str:
    return os.path.expandvars(url if "://" in url else f"https://{url}").rstrip("/")
