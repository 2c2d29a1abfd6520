"""What conda says: its context, what was typed, the environment it works on; and what it is told: settings, errors."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conda_assets.errors import Hint
    from conda_assets.model import Spec

__all__ = ["conda_error", "context", "prefix_of", "said", "settings", "values"]

# What of conda's context concerns us; `conda_assets.settings.load` says what becomes of it.
_CONTEXT = (
    "always_yes",
    "channels",
    "client_ssl_cert",
    "client_ssl_cert_key",
    "dry_run",
    "envs_dirs",
    "json",
    "offline",
    "quiet",
    "remote_connect_timeout_secs",
    "remote_read_timeout_secs",
    "root_prefix",
    "ssl_verify",
    "subdir",
    "verbosity",
)
# Its default. Source: conda.base.context
_CONDA_READ_TIMEOUT_S = 60.0
# name, default, description
_SETTINGS: tuple[tuple[str, Any, str], ...] = (
    (
        "assets_stores",
        (),
        "Folders, and s3:// URLs, that keep each asset's bytes once. All are read, the first of a kind is written.",
    ),
    ("assets_aria2c", "", "Which aria2c to use: a path, or a name on PATH. When empty, it is looked for."),
    ("assets_connections", 16, "Connections to one server for one file, 1 to 16."),
    ("assets_jobs", 4, "Large files that are fetched at once, 1 to 64."),
    ("assets_limit_rate", "", "Bytes per second for everything together, such as 20M. When empty, no limit."),
    ("assets_push", False, "Copy what was fetched into the first s3:// store, after each fetch."),
    ("assets_grace", "", "How long an s3:// store keeps what a machine uses after it was last heard of. When empty, 30d."),
    ("assets_log_level", "", "How much goes into the log: debug, info, warning, error or none. When empty, info."),
    ("assets_server", "", "URL of a download centre (`conda assets serve`) to ask before a file's origin."),
    ("assets_user_agent", "", "How to introduce ourselves to servers. When empty, by name and version."),
)


def settings() -> Iterator[Any]:
    """Our settings, as conda declares them."""
    from conda.common.configuration import PrimitiveParameter, SequenceParameter
    from conda.plugins.types import CondaSetting

    for name, default, description in _SETTINGS:
        if isinstance(default, tuple):
            parameter = SequenceParameter(PrimitiveParameter("", element_type=str), default, string_delimiter=",")
        else:
            parameter = PrimitiveParameter(default, element_type=type(default))
        yield CondaSetting(name=name, description=description, parameter=parameter)


def context() -> Any:
    """conda's context."""
    from conda.base.context import context

    return context


def said() -> Mapping[str, Any]:
    """What was typed. Private to conda, though in each of its versions: a hook is told the command's name and no more."""
    return getattr(context(), "_argparse_args", None) or {}


def values() -> dict[str, object]:
    """conda's context as plain values, for `conda_assets.settings.load`."""
    now = context()
    ours = getattr(now, "plugins", None)
    chosen = {name: value for name, default, _ in _SETTINGS if (value := getattr(ours, name, default)) != default}
    given: dict[str, object] = {name: getattr(now, name) for name in _CONTEXT}
    if given["remote_read_timeout_secs"] == _CONDA_READ_TIMEOUT_S:
        # Nobody has set it.
        del given["remote_read_timeout_secs"]
    return {
        **given,
        "proxy_servers": dict(now.proxy_servers),
        "plugins": chosen,
    }


def prefix_of(command: str, spec: Spec) -> Path | None:
    """The environment that conda works on, found as conda finds it; None where conda itself will complain.

    `context.target_prefix` is base for `env update -f`, and up to 26.5 for `env create -f`, when the name comes from the file.
    """
    from conda import CondaError
    from conda.base.context import determine_target_prefix

    typed = said()
    name, prefix = typed.get("name"), typed.get("prefix")
    if not name and not prefix and command not in ("install", "update"):
        # `install` and `update` pass over the file's name; only `create` regards its prefix.
        name = spec.name
        prefix = spec.prefix if not name and command == "create" else None
        if not name and not prefix and command != "env_update":
            return None
    try:
        return Path(determine_target_prefix(context(), Namespace(name=name or None, prefix=prefix or None)))
    except CondaError:
        return None


def conda_error(exit_code: int, message: str, hints: Iterable[Hint], facts: Mapping[str, object] | None = None) -> Exception:
    """An error that conda shows as its own: in text, or as its JSON document with `facts` in it."""
    from conda import CondaError

    class AssetsError(CondaError):  # type: ignore[misc]
        return_code = exit_code

        def __str__(self) -> str:
            # conda up to 25 would take a % in the message for the start of a format.
            return str(self.message)

    given = [{"text": hint.text, "hint_code": hint.code} for hint in hints]
    named: dict[str, object] = {}
    if given and "guidance" in signature(CondaError.__init__).parameters:
        named["guidance"] = {"hints": given}  # 26.7 on shows them in its own way
    elif not context().json:
        message = "\n".join([message, *(f"Hint: {hint['text']}" for hint in given)])
    error = AssetsError(message, **named)
    # conda's document has the public attributes of an exception.
    for key, value in (facts or {}).items():
        if key != "message":
            setattr(error, key, value)
    return error
