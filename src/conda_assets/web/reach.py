"""How to reach a host: through which proxy, and trusting whom. The same answers for probes and for every transport."""

from __future__ import annotations

import importlib.util
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from conda_assets.regexes import regex
from conda_assets.settings import Network

__all__ = ["asked_of", "authorities", "origin_of", "proxy_for", "simple_parts", "target_of"]

_PORTS = {"http": 80, "https": 443}
# Nothing that `urlsplit` would do more with than to cut it here: no user, query or fragment, visible ASCII.
_SIMPLE = regex(r'(https?://[!"$-.0->A-~]+)(/[!"$->@-~]*)')
# Debian and Arch, Fedora and RHEL (old and new names), SUSE, OpenELEC, macOS and Alpine.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/ssl/cert.pem",
)


def origin_of(url: str) -> tuple[str, str, int]:
    """(scheme, host, port) in lower case with the default port filled in: who a secret may be sent to. No host: no URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", "", -1
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), _PORTS.get(scheme, 0) if port is None else port


_origin_of = lru_cache(maxsize=64)(origin_of)


def target_of(parts: SplitResult) -> str:
    """What a request to the server of a URL asks for: path and query."""
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def simple_parts(url: str) -> tuple[str, str] | None:
    """What stands before the path, and the path, of nearly all URLs; None where that is not all that has to be looked at."""
    found = _SIMPLE.fullmatch(url)
    return (found[1], found[2]) if found else None


def asked_of(url: str) -> tuple[tuple[str, str, int], str]:
    """`origin_of` and `target_of`, for who has thousands of URLs."""
    if (parts := simple_parts(url)) is not None:
        return _origin_of(parts[0]), parts[1]
    return origin_of(url), target_of(urlsplit(url))


def authorities(network: Network, environ: Mapping[str, str]) -> Path | None:
    """The file or folder of certificate authorities to trust; None: verification is switched off.

    For `verify=True` it is what the machine trusts. certifi comes last: behind a company proxy it knows too few.
    """
    if network.verify is False:
        return None
    if isinstance(network.verify, str):
        return Path(network.verify).expanduser()
    for found in _candidates(environ):
        if found.exists():
            return found
    return None


def _candidates(environ: Mapping[str, str]) -> Iterator[Path]:
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if environ.get(name):
            yield Path(environ[name])
    yield from map(Path, _BUNDLES)
    import ssl  # 4 ms, and the engine starts without it

    if own := ssl.get_default_verify_paths().cafile:
        yield Path(own)
    spec = importlib.util.find_spec("certifi")
    if spec is not None and spec.origin:
        yield Path(spec.origin).with_name("cacert.pem")


def proxy_for(url: str, proxies: Sequence[tuple[str, str]]) -> str | None:
    """The proxy for that URL, or None for a direct connection; the most exact of requests' kinds of keys wins."""
    table = {key.lower(): value for key, value in proxies}
    scheme, host, port = origin_of(url)
    if not host or _is_direct(host, port, table.get("no_proxy", "")):
        return None
    for key in (f"{scheme}://{host}", scheme, f"all://{host}", "all"):
        if table.get(key):
            value = table[key]
            return value if "://" in value else f"http://{value}"
    return None


def _is_direct(host: str, port: int, listed: str) -> bool:
    for each in (part.strip().lower() for part in listed.replace(" ", ",").split(",")):
        if not each:
            continue
        if each == "*" or _in_block(host, each):
            return True
        name = each.lstrip(".")
        if f"{host}:{port}" == name or host == name or host.endswith("." + name):
            return True
    return False


def _in_block(host: str, block: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(block, strict=False)
    except ValueError:
        return False
