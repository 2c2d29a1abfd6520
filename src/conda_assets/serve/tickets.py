"""Links that open one thing for a while, without any other right: what a client's aria2 may be given."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

from conda_assets.digest import Digest

__all__ = ["GOOD_FOR_S", "PASS", "PASS_S", "Tickets"]

#: Seconds that a ticket is good for.
GOOD_FOR_S = 3600
#: What opens the tracker, and the seconds that it is good for: a long transfer announces itself to its end.
PASS, PASS_S = "announce", 86400


class Tickets:
    """Signed with a key of this process: after a start they are asked for anew."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def issue(self, what: Digest | str, good_for_s: int = GOOD_FOR_S) -> str:
        """A ticket for the file with that digest, or for what has that name."""
        ends = int(time.time()) + good_for_s
        return f"{ends}.{self._sign(what, ends)}"

    def holds(self, ticket: str, what: Digest | str) -> bool:
        """It is ours, for this, and not over."""
        ends, _, signature = ticket.partition(".")
        if not ends.isascii() or not ends.isdigit() or len(ends) > 12 or int(ends) < time.time():
            return False
        return hmac.compare_digest(signature.encode("utf-8", "surrogatepass"), self._sign(what, int(ends)).encode())

    def _sign(self, what: Digest | str, ends: int) -> str:
        return hmac.new(self._key, f"{what} {ends}".encode(), hashlib.sha256).hexdigest()
