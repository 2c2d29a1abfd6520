"""Settings."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Network"]


@dataclass(frozen=True, slots=True)
class Network:
    """How to reach the outside; the same for probes and every transport.

    `verify`: True (system's authorities), False, or the path of a CA file or folder. `proxies`: scheme or scheme://host
    → proxy URL, as requests and conda's `proxy_servers` have them. Times in seconds.
    """

    verify: bool | str = True
    client_cert: str | tuple[str, str] | None = None
    proxies: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 20.0
    user_agent: str = "conda-assets"
