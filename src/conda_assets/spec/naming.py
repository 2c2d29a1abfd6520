"""A name for a URL that ends in none: `hf://org/repo/*.safetensors` becomes `repo`."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from conda_assets.model import last_part
from conda_assets.spec.values import Wrong, read_name

__all__ = ["name_for", "names_many", "tame"]

#: Schemes whose URLs may name several files; in others `*` and `?` are signs like any other.
_PATTERNS = ("hf", "github", "s3", "gs", "doi")
_KINDS = ("datasets", "spaces", "models")


def names_many(url: str) -> bool:
    """Whether the URL is a pattern or a folder, as far as it can be told from its signs."""
    scheme, _, rest = url.partition(":")
    return scheme.lower() in _PATTERNS and (rest.endswith("/") or any(sign in rest for sign in "*?["))


def name_for(url: str) -> str:
    """The name to write; empty where the URL's last part is one already, or where none can be made."""
    if names_many(url):
        parts = [part for part in url.partition(":")[2].split("/") if part]
        fixed = [part for part in parts if not any(sign in part for sign in "*?[")]
        if url.lower().startswith(("hf:", "github:")):
            fixed = fixed[1:] if fixed[:1] and fixed[0] in _KINDS else fixed
            fixed = fixed[:2]
        return tame(fixed[-1] if fixed else "")
    try:
        last = last_part(url)
        read_name(last)
    except Wrong:
        return tame(last) or tame(unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2]))
    except ValueError:
        pass
    return ""


def tame(text: str) -> str:
    """The signs that a name may have; what stands behind `@` is a revision."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text.partition("@")[0]).strip("-._")
