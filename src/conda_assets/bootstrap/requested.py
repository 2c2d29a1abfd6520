"""`environment.yml` as a request for packages: channels, specs, the pip section, variables. Nothing is looked up.

Source: CEP 24 (https://github.com/conda/ceps/blob/main/cep-0024.md); `sel(…)` as mamba reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from conda_assets.bootstrap.pip import anchored
from conda_assets.errors import UsageError
from conda_assets.records import dataclass, field
from conda_assets.regexes import regex

__all__ = ["Requested", "WantedSpec", "parse_requested", "split_channel"]

_NAME = regex(r"[A-Za-z_][A-Za-z0-9_]*")
_SELECTOR = regex(r"sel\(\s*(\w+)\s*\)")
_SELECTORS = ("unix", "linux", "osx", "win")
_VARIABLE = regex(r"\$(?:\{(\w+)\}|(\w+))")
_BRACKET_CHANNEL = regex(r"[\[,]\s*channel\s*=\s*['\"]?([^'\"\],]+)['\"]?\s*(?=[\],])")


@dataclass(frozen=True, slots=True)
class WantedSpec:
    """One entry of `dependencies:`. `text`: as conda records it; `channel`: of `channel::name`; `rest`: without it."""

    text: str
    rest: str
    channel: str | None = None

    @property
    def name(self) -> str:
        """The package's name in lower case; empty for a URL."""
        return "" if "://" in self.rest else re.split(r"[\s=<>!~\[]", self.rest.strip(), maxsplit=1)[0].lower()


@dataclass(frozen=True, slots=True)
class Requested:
    """What the files ask for. `channels` are expanded, so they may hold secrets; `alone`: `nodefaults` stands among them.

    `pip`: lines with absolute paths, so that they mean the same anywhere. `notes`: what a person should read once.
    """

    sources: tuple[str, ...]
    channels: tuple[str, ...] = field(default=(), repr=False)
    alone: bool = False
    specs: tuple[WantedSpec, ...] = ()
    pip: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()


def parse_requested(texts: Sequence[tuple[str, str]], *, environ: Mapping[str, str], subdir: str) -> Requested:
    """Read (source, text) pairs, several are merged in order; `assets:` and unknown top-level keys are passed over.

    Raises:
        UsageError: all faults of all files in one message.
    """
    reader = _Reader(environ, subdir)
    for source, text in texts:
        reader.read(source, text)
    if reader.faults:
        count = len(reader.faults)
        raise UsageError("\n".join([f"{count} fault{'s' if count > 1 else ''}:", *(f"  {fault}" for fault in reader.faults)]))
    if reader.pip and not any(spec.name == "pip" for spec in reader.specs):
        reader.specs.append(WantedSpec("pip", "pip"))
        reader.notes.append("`dependencies` has a pip section but no `pip`; it is installed too")
    return Requested(
        sources=tuple(source for source, _ in texts),
        channels=tuple(dict.fromkeys(reader.channels)),
        alone=reader.alone,
        specs=tuple(dict.fromkeys(reader.specs)),
        pip=tuple(reader.pip),
        variables=reader.variables,
        notes=tuple(reader.notes),
    )


class _Reader:
    """Collects the request and every fault of it."""

    def __init__(self, environ: Mapping[str, str], subdir: str) -> None:
        self._environ = environ
        self._system = subdir.split("-")[0]
        self._subdir = subdir
        self._source = ""
        self.channels: list[str] = []
        self.alone = False
        self.specs: list[WantedSpec] = []
        self.pip: list[str] = []
        self.variables: dict[str, str] = {}
        self.notes: list[str] = []
        self.faults: list[str] = []

    def read(self, source: str, text: str) -> None:
        self._source = source
        try:
            # conda's own reader: YAML 1.2, where `no` and `012` are text; the C loader refuses files that conda accepts.
            content = YAML(typ="safe", pure=True).load(text)
        except YAMLError as error:
            self._fault("", f"not YAML: {' '.join(str(error).split())}")
            return
        if not isinstance(content, Mapping):
            self._fault("", "expected a map with `dependencies:`" if content is not None else "the file is empty")
            return
        self._read_channels(content.get("channels"))
        self._read_dependencies(content.get("dependencies"), "dependencies")
        self._read_variables(content.get("variables"))
        platforms = content.get("platforms")
        if isinstance(platforms, list) and platforms and self._subdir not in [str(name) for name in platforms]:
            self.notes.append(f"{source} lists platforms {', '.join(map(str, platforms))}, not {self._subdir}")

    def _fault(self, where: str, message: str) -> None:
        self.faults.append(f"{self._source}: {where}: {message}" if where else f"{self._source}: {message}")

    def _read_channels(self, channels: object) -> None:
        for where, channel in self._entries(channels, "channels"):
            if not isinstance(channel, str):
                self._fault(where, f"expected a channel's name or URL, found {channel!r}")
                continue
            missing = [name for pair in _VARIABLE.findall(channel) if (name := "".join(pair)) not in self._environ]
            if missing:
                self._fault(where, f"the variable {missing[0]} is not set")
            elif channel.strip() == "nodefaults":
                self.alone = True
            else:
                self.channels.append(_VARIABLE.sub(lambda found: self._environ[found[1] or found[2]], channel.strip()))

    def _read_dependencies(self, dependencies: object, key: str) -> None:
        for where, entry in self._entries(dependencies, key):
            if isinstance(entry, Mapping):
                for name, inside in entry.items():
                    self._read_section(f"{where}.{name}", str(name), inside)
            elif isinstance(entry, str) and (text := entry.partition(" #")[0].strip()):
                self.specs.append(split_channel(text))
            else:
                self._fault(where, f"expected a package such as `numpy=1.26`, found {entry!r}")

    def _read_section(self, where: str, name: str, inside: object) -> None:
        if name == "pip":
            for place, line in self._entries(inside, where):
                if isinstance(line, str) and line.strip():
                    self.pip += anchored([line.strip()], self._source)
                else:
                    self._fault(place, f"expected a line of a requirements file, found {line!r}")
        elif selector := _SELECTOR.fullmatch(name):
            if selector[1] not in _SELECTORS:
                self._fault(where, f"unknown selector; known are {', '.join(_SELECTORS)}")
            elif selector[1] == self._system or (selector[1] == "unix" and self._system != "win"):
                self._read_dependencies([inside] if isinstance(inside, str) else inside, where)
        else:
            self._fault(where, "unknown section of dependencies: `pip` is the only one (CEP 24)")

    def _read_variables(self, variables: object) -> None:
        if variables is not None and not isinstance(variables, Mapping):
            self._fault("variables", f"expected a map of names and values, found {variables!r}")
            return
        for name, value in (variables or {}).items():
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                self._fault(f"variables.{name}", "not a variable's name: letters, digits and `_`, no digit in front")
            elif name.upper() == "PATH":
                self._fault(f"variables.{name}", "PATH belongs to activation and cannot be set here")
            elif value is None or isinstance(value, (Mapping, list)):
                self._fault(f"variables.{name}", f"expected text or a number, found {value!r}")
            else:
                self.variables[name] = str(value)

    def _entries(self, found: object, key: str) -> Iterator[tuple[str, object]]:
        if found is None:
            return
        if not isinstance(found, list):
            self._fault(key, f"expected a list, found {found!r}")
            return
        yield from ((f"{key}[{index}]", entry) for index, entry in enumerate(found))


def split_channel(text: str) -> WantedSpec:
    """`channel::name …` and `name[channel=…]` taken apart."""
    head, sign, rest = text.partition("::")
    if sign and not rest.startswith(":"):
        return WantedSpec(text, rest.strip(), head.strip())
    if found := _BRACKET_CHANNEL.search(text):
        bare = text[: found.start() + 1] + text[found.end() :]
        for pattern, put in ((r"[\[,]\s*,", "["), (r",\s*\]", "]"), (r"\[\s*\]", "")):
            bare = re.sub(pattern, put, bare)
        return WantedSpec(text, bare.strip(), found[1].strip())
    return WantedSpec(text, text)
