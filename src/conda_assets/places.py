"""Where stores are, as settings name them: folders of this machine, prefixes of buckets, repositories of registries.

~/.conda/assets
s3://bucket/prefix                                        at AWS, or where AWS_ENDPOINT_URL_S3 says
s3://bucket/prefix?endpoint=https://minio.example:9000    at a server of one's own; `&region=` where it matters,
                                                          `&style=virtual` for a server with a host for each bucket (OSS)
oci://registry.example:5000/repository                    a container registry
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from conda_assets.errors import UsageError
from conda_assets.regexes import regex

__all__ = ["read_age", "sort_stores"]

_KNOWN = ("endpoint", "region", "style")
_AGES = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_OCI_FORM = "write it as `oci://registry.example:5000/repository`"
# Registry and repository. Source: distribution-spec 1.1, "Pulling manifests".
_OCI = regex(r"(?:\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::\d+)?/[a-z0-9]+(?:(?:\.|_|__|-+|/)[a-z0-9]+)*")
_FORM = "write it as `s3://bucket/prefix?endpoint=https://server.example`"


def sort_stores(values: Iterable[str], origin: str) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Absolute folders, and URLs of remote stores in one spelling; the URLs hold no secret. `origin`: where it stands.

    Raises:
        UsageError: a URL that names no store, or has a password in it.
    """
    folders: list[Path] = []
    remotes: list[str] = []
    for value in values:
        text = os.path.expandvars(value.strip())
        if "://" in text:
            remotes.append(_remote(text, origin))
        elif text:
            folders.append(Path(text).expanduser().absolute())
    return tuple(dict.fromkeys(folders)), tuple(dict.fromkeys(remotes))


def read_age(text: str, origin: str) -> float:
    """Seconds of `30d`, `12h`, `2w`, or `0`.

    Raises:
        UsageError: anything else.
    """
    figure, unit = text.strip()[:-1], text.strip()[-1:].lower()
    if text.strip() == "0":
        return 0.0
    try:
        seconds = float(figure) * _AGES[unit]
    except (ValueError, KeyError):
        seconds = -1.0
    if not 0 <= seconds < 1e10:
        raise UsageError(f"{origin}: cannot read {text!r} as an age", "write a figure and a unit: `30d`, `12h`, `2w`")
    return seconds


def _remote(text: str, origin: str) -> str:
    try:
        parts = urlsplit(text)
        said = dict(parse_qsl(parts.query, keep_blank_values=True))
        endpoint = urlsplit(said.get("endpoint", "https://aws"))
    except ValueError:
        raise UsageError(f"{origin}: a store that is no URL", _FORM) from None
    if "@" in parts.netloc or "@" in endpoint.netloc:
        raise UsageError(
            f"{origin}: a store with a password in its URL",
            "credentials come from `aws configure` or AWS_… variables, for a registry from `docker login`",
        )
    shown = f"{parts.scheme}://{parts.netloc}{parts.path}"
    if parts.scheme.lower() == "oci":
        return _oci(parts, shown, origin)
    if parts.scheme.lower() != "s3":
        raise UsageError(f"{origin}: {shown} is no store that this version can use: expected a folder, s3:// or oci://", _FORM)
    if not parts.netloc or parts.fragment:
        raise UsageError(f"{origin}: {shown} names no bucket", _FORM)
    if strange := sorted(set(said) - set(_KNOWN)):
        raise UsageError(f"{origin}: {shown} has `{strange[0]}`, expected one of {', '.join(_KNOWN)}", _FORM)
    if endpoint.scheme not in ("http", "https") or not endpoint.hostname or endpoint.query or endpoint.fragment:
        raise UsageError(f"{origin}: the endpoint of {shown} is not an http(s) URL", _FORM)
    if said.get("style", "path") not in ("path", "virtual"):
        raise UsageError(f"{origin}: the style of {shown} is neither path nor virtual", _FORM)
    prefix = "/".join(part for part in unquote(parts.path).split("/") if part)
    if any(part in (".", "..") for part in prefix.split("/")):
        raise UsageError(f"{origin}: {shown} has `.` or `..` in its prefix", _FORM)
    query = urlencode([(name, said[name].rstrip("/")) for name in _KNOWN if said.get(name)], safe=":/")
    return f"s3://{parts.netloc}/{quote(prefix, safe='/-._~')}".rstrip("/") + (f"?{query}" if query else "")


def _oci(parts: SplitResult, shown: str, origin: str) -> str:
    place = f"{parts.netloc.lower()}/{parts.path.strip('/')}"
    if parts.query or parts.fragment or _OCI.fullmatch(place) is None:
        raise UsageError(f"{origin}: {shown} is no repository of a registry (lower case, no tag)", _OCI_FORM)
    return f"oci://{place}"
