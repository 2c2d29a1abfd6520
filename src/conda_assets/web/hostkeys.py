"""Which key an SSH server must have: the one that `ssh` has seen there, from `~/.ssh/known_hosts` and `/etc/ssh/ssh_known_hosts`.

aria2 compares one hash with the key that libssh2 agrees on with the server, so of several kinds the one that libssh2 likes best.

Source: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"; `hostkey_methods` of libssh2 1.9 to 1.11
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from conda_assets.settings import home_of

__all__ = ["host_key_sha1"]

_LIKED = ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-ed25519", "ssh-rsa")


def host_key_sha1(host: str, port: int = 22, environ: Mapping[str, str] | None = None) -> str | None:
    """The sha1 of the server's key, 40 hex digits; None for a server that is not known."""
    name = host.lower() if port == 22 else f"[{host.lower()}]:{port}"
    known: dict[str, str] = {}
    home = home_of(os.environ if environ is None else environ)
    for path in (home / ".ssh" / "known_hosts", Path("/etc/ssh/ssh_known_hosts")):
        for hosts, kind, key in _lines(path):
            if _names(hosts, name):
                known.setdefault(kind, hashlib.sha1(key, usedforsecurity=False).hexdigest())
    return next((known[kind] for kind in _LIKED if kind in known), None)


def _lines(path: Path) -> Iterator[tuple[str, str, bytes]]:
    """(hosts, kind, key); lines for authorities and revoked keys are passed over."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 3 and line[:1] not in "#@":
            try:
                yield words[0], words[1], base64.b64decode(words[2], validate=True)
            except binascii.Error:
                continue


def _names(hosts: str, name: str) -> bool:
    if hosts.startswith("|1|"):
        try:
            salt, digest = (base64.b64decode(part, validate=True) for part in hosts[3:].split("|"))
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)
    patterns = hosts.lower().split(",")
    if any(_fits(name, each[1:]) for each in patterns if each.startswith("!")):
        return False
    return any(_fits(name, each) for each in patterns)


def _fits(name: str, pattern: str) -> bool:
    # `[` begins a port here, no set of signs.
    return name == pattern or fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))
