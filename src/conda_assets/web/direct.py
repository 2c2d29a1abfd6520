"""Servers that are reached directly and without a word about who asks: which URLs are of that kind, and whom to trust then."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from conda_assets.settings import Network
from conda_assets.web.credentials import credentials_for
from conda_assets.web.reach import authorities, proxy_for

if TYPE_CHECKING:
    import ssl

__all__ = ["context_of", "is_plain"]


def is_plain(url: str, network: Network) -> bool:
    """Reached directly, and there is nothing to prove to anybody."""
    parts = urlsplit(url)
    return (
        parts.scheme.lower() in ("http", "https")
        and bool(parts.hostname)
        and "@" not in parts.netloc
        and url.isascii()
        and url.isprintable()
        and " " not in url
        and network.admit is None
        and network.verify is not False
        and network.client_cert is None
        and proxy_for(url, network.proxies) is None
        and credentials_for(url) is None
    )


def context_of(network: Network) -> ssl.SSLContext:
    """Which authorities to trust, as `web.reach` has them; read once, since that takes 10 ms and more.

    Raises:
        OSError: their file cannot be read.
    """
    return _context(authorities(network, os.environ))


@lru_cache(maxsize=4)
def _context(trusted: Path | None) -> ssl.SSLContext:
    folder = trusted is not None and trusted.is_dir()
    import ssl  # 8 ms with what it brings along, which plain HTTP needs nothing of

    return ssl.create_default_context(
        cafile=str(trusted) if trusted and not folder else None, capath=str(trusted) if folder else None
    )
