"""Which addresses a user's URL may lead to: public ones, so that nobody reads the server's own network through it."""

from __future__ import annotations

import ipaddress
import unicodedata
from urllib.parse import urlsplit

__all__ = ["is_address", "is_public", "literal_address", "plain_host"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# An IPv4 address in the last 32 bits; a translator on the way would lead there. Source: RFC 6052, RFC 8215.
_TRANSLATOR = ipaddress.IPv6Network("64:ff9b::/96")
# What is given out for the internet; the rest is local, reserved, or an IPv4 address in another guise (`::127.0.0.1`).
# Source: https://www.iana.org/assignments/ipv6-address-space
_GIVEN_OUT = ipaddress.IPv6Network("2000::/3")
# Python knows them as public: for documentation (RFC 9637), and once a way to relays that nobody answers for (RFC 7526).
_NOT_PUBLIC = (ipaddress.ip_network("3fff::/20"), ipaddress.ip_network("192.88.99.0/24"))
# Full stops of other scripts, which IDNA takes for dots. Source: RFC 3490, 3.1.
_DOTS = str.maketrans("\u3002\uff0e\uff61", "...")


def is_public(text: str) -> bool:
    """An address that everybody on the internet may reach; not loopback, private, link-local, shared, multicast or reserved."""
    try:
        address: _Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address in _TRANSLATOR:
            return is_public(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))
        if address not in _GIVEN_OUT or not all(is_public(str(each)) for each in _inner(address)):
            return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _NOT_PUBLIC)


def is_address(text: str) -> bool:
    """It needs no resolving."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def literal_address(url: str) -> str | None:
    """The address that stands in the URL instead of a name, also in the forms that C libraries read: `127.1`, `0x7f000001`.

    And in what IDNA makes digits of: `①27.0.0.1`.
    """
    try:
        host = plain_host(urlsplit(url).hostname or "")
    except ValueError:
        return None
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return _old_form(host.rstrip("."))


def plain_host(host: str) -> str:
    """The host with letters, digits and dots as they are compared, whatever they look like."""
    return unicodedata.normalize("NFKC", host.translate(_DOTS)).lower()


def _inner(address: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """IPv4 addresses that an IPv6 address leads to."""
    return [each for each in (address.sixtofour, *(address.teredo or ())) if each is not None]


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
