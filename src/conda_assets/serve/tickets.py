"""Links to one stored file that hold for an hour, without any other right: what a client's aria2 may be given."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

from conda_assets.digest import Digest

__all__ = ["GOOD_FOR_S", "Tickets"]

#: Seconds that a ticket is good for.
GOOD_FOR_S = 3600


class Tickets:
    """Signed with a key of this process: after a start they are asked for anew."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def issue(self, digest: Digest) -> str:
        """A ticket for the file with that digest."""
        ends = int(time.time()) + GOOD_FOR_S
        return f"{ends}.{self._sign(digest, ends)}"

    def holds(self, ticket: str, digest: Digest) -> bool:
        """It is ours, for this file, and not over."""
        ends, _, signature = ticket.partition(".")
        if not ends.isascii() or not ends.isdigit() or len(ends) > 12 or int(ends) < time.time():
            return False
        return hmac.compare_digest(signature.encode("utf-8", "surrogatepass"), self._sign(digest, int(ends)).encode())

    def _sign(self, digest: Digest, ends: int) -> str:
        return hmac.new(self._key, f"{digest} {ends}".encode(), hashlib.sha256).hexdigest()
