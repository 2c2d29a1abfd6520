"""Which addresses a user's URL may lead to: public ones, so that nobody reads the server's own network through it."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

__all__ = ["is_address", "is_public", "literal_address"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# An IPv4 address in the last 32 bits; a translator on the way would lead there. Source: RFC 6052, RFC 8215.
_TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))


def is_public(text: str) -> bool:
    """An address that everybody on the internet may reach; not loopback, private, link-local, shared, multicast or reserved."""
    try:
        address: _Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return address.is_global and not address.is_multicast and all(map(_is_public_v4, _inner(address)))


def is_address(text: str) -> bool:
    """It needs no resolving."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def literal_address(url: str) -> str | None:
    """The address that stands in the URL instead of a name, also in the forms that C libraries read: `127.1`, `0x7f000001`."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return None
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return _old_form(host.rstrip("."))


def _inner(address: _Address) -> list[ipaddress.IPv4Address]:
    """IPv4 addresses that an IPv6 address leads to."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    inner = [each for each in (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())) if each is not None]
    if any(address in network for network in _TRANSLATED):
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return inner


def _is_public_v4(address: ipaddress.IPv4Address) -> bool:
    return address.is_global and not address.is_multicast


def _old_form(host: str) -> str | None:
    """What inet_aton makes of it: one to four numbers, decimal, octal or hexadecimal, the last one filling the rest."""
    parts = host.split(".")
    if not 1 <= len(parts) <= 4:
        return None
    try:
        numbers = [_number(part) for part in parts]
    except ValueError:
        return None
    *firsts, last = numbers
    if any(each > 255 for each in firsts) or last >= 1 << 8 * (4 - len(firsts)):
        return None
    value = sum(each << 8 * (3 - place) for place, each in enumerate(firsts)) + last
    return str(ipaddress.IPv4Address(value))


def _number(text: str) -> int:
    if not text.isascii() or not text or text[0] in "+-_":
        raise ValueError(text)
    if text[:2].lower() == "0x":
        return int(text[2:] or "0", 16)
    return int(text, 8 if text[0] == "0" and len(text) > 1 else 10)
