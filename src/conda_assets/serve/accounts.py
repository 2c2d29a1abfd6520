"""Who may what: people with roles, their passwords, tokens and sessions; only digests of those are kept.

reader: sees everything. member: asks for files, and steers what nobody else asked for. admin: everything.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Mapping

from conda_assets.errors import CentreRefused, NotAllowed, NotFound, NotSignedIn, OutOfTurn, TooOften
from conda_assets.records import dataclass
from conda_assets.serve.database import Database, Row

__all__ = ["NAME", "ROLES", "SHORTEST_PASSWORD", "Accounts", "Person"]

#: From what may least to what may most.
ROLES = ("reader", "member", "admin")

#: Characters of a password, at least.
SHORTEST_PASSWORD = 10
#: What a name may be.
NAME = "^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$"
_SESSION_S = 12 * 3600.0
# 16 MiB and 50 ms each. Source: OWASP's cheat sheet on password storage, scrypt with N = 2^14, r = 8, p = 5.
_SCRYPT = {"n": 1 << 14, "r": 8, "p": 5, "maxmem": 64 << 20, "dklen": 32}
# Wrong passwords or tokens of one address, or for one name from anywhere, in so many seconds, before none is looked at any more.
_WRONG, _WRONG_ANYWHERE, _WRONG_S = 10, 50, 300.0
_USED_S = 60.0


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has signed in. `quota_bytes`: None for no limit. `csrf`: what a request with a cookie must repeat."""

    id: int
    name: str
    role: str
    quota_bytes: int | None = None
    csrf: str = ""

    def may(self, role: str) -> bool:
        """Has at least that role."""
        return ROLES.index(self.role) >= ROLES.index(role)

    def must(self, role: str) -> None:
        """Refuse who has not.

        Raises:
            NotAllowed: less than that role.
        """
        if not self.may(role):
            raise NotAllowed(f"{self.name} is a {self.role}; this needs {role}", "ask an administrator of the centre")


class Accounts:
    """All of them. Safe for several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._names: dict[int, str] | None = None
        self._wrong: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def first_start(self) -> str | None:
        """Make the first administrator; their token, which is shown once and kept nowhere. None if there are people already."""
        with self._database.together():
            if self._database.row("SELECT 1 FROM users"):
                return None
            person = self.add("admin", "admin")
            return self.new_token(person.id, "first start")[1]

    # People

    def people(self) -> list[Row]:
        """Everybody, by name."""
        return self._database.rows("SELECT id, name, role, quota_bytes, disabled, created_at FROM users ORDER BY name")

    def names(self) -> dict[int, str]:
        """Number → name."""
        if self._names is None:
            self._names = {int(row["id"]): str(row["name"]) for row in self.people()}
        return self._names

    def add(self, name: str, role: str, *, password: str | None = None, quota_bytes: int | None = None) -> Person:
        """A new account.

        Raises:
            CentreRefused: a name or a password that cannot be.
            OutOfTurn: the name is taken.
        """
        if not re.fullmatch(NAME, name):
            raise CentreRefused(f"{name!r} cannot be a name", "use up to 64 letters, digits and `._@+-`")
        if self._database.row("SELECT 1 FROM users WHERE name = ?", (name,)):
            raise OutOfTurn(f"there is a user {name!r} already")
        values = (name, role, hashed(password) if password else None, quota_bytes, time.time())
        statement = "INSERT INTO users (name, role, password, quota_bytes, created_at) VALUES (?, ?, ?, ?, ?)"
        person = Person(self._database.insert(statement, values), name, role, quota_bytes)
        self._names = None
        return person

    def change(self, user_id: int, changes: dict[str, object]) -> None:
        """Set `role`, `password`, `quota_bytes` or `disabled`; ends the sessions of who loses something.

        Raises:
            NotFound: no such user.
            OutOfTurn: the last administrator would be gone.
        """
        known: dict[str, object] = {key: changes[key] for key in ("role", "quota_bytes", "disabled") if key in changes}
        if changes.get("password"):
            known["password"] = hashed(str(changes["password"]))
        with self._database.together():
            for key, value in known.items():
                if not self._database.run(f"UPDATE users SET {key} = ? WHERE id = ?", (value, user_id)):
                    raise NotFound(f"no user {user_id}")
            self._keep_an_admin()
            self._database.run("DELETE FROM sessions WHERE user_id = ?", (user_id,))

    def remove(self, user_id: int) -> None:
        """Delete an account with its tokens; its files stay.

        Raises:
            NotFound, OutOfTurn: as `change`.
        """
        with self._database.together():
            if not self._database.run("DELETE FROM users WHERE id = ?", (user_id,)):
                raise NotFound(f"no user {user_id}")
            self._keep_an_admin()
        self._names = None

    def by_header(self, name: str, role: str) -> Person:
        """Whom a proxy in front has signed in; an account is made when there is none.

        Raises:
            NotSignedIn: the name cannot be one, or the account is disabled.
        """
        found = self._database.row("SELECT * FROM users WHERE name = ?", (name,))
        if found is None and re.fullmatch(NAME, name):
            return self.add(name, role)
        if found is None or found["disabled"]:
            raise NotSignedIn(f"{name!r} may not come in", "ask an administrator of the centre")
        return _person(found)

    # Tokens

    def new_token(self, user_id: int, label: str) -> tuple[int, str]:
        """(number, token) of a new token of a user; the token itself is kept nowhere."""
        token = f"cat_{secrets.token_urlsafe(32)}"
        statement = "INSERT INTO tokens (user_id, label, digest, created_at) VALUES (?, ?, ?, ?)"
        return self._database.insert(statement, (user_id, label, _digest(token), time.time())), token

    def tokens(self, user_id: int) -> list[Row]:
        """A user's tokens, without the tokens."""
        return self._database.rows("SELECT id, label, created_at, used_at FROM tokens WHERE user_id = ? ORDER BY id", (user_id,))

    def remove_token(self, user_id: int, token_id: int) -> None:
        """Make one of a user's tokens worthless.

        Raises:
            NotFound: the user has none of that number.
        """
        if not self._database.run("DELETE FROM tokens WHERE id = ? AND user_id = ?", (token_id, user_id)):
            raise NotFound(f"no token {token_id} of yours")

    def by_token(self, token: str) -> Person:
        """Whose token it is. Nobody guesses one: a right one is always heard, whatever came before from the same address.

        Raises:
            NotSignedIn: nobody's.
        """
        statement = "SELECT u.*, t.id AS token_id, t.used_at FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.digest = ?"
        found = self._database.row(statement, (_digest(token),))
        if found is None or found["disabled"]:
            raise NotSignedIn("this token is not known here", "make one on the centre's page, under Account")
        if time.time() - (found["used_at"] or 0.0) > _USED_S:
            self._database.run("UPDATE tokens SET used_at = ? WHERE id = ?", (time.time(), found["token_id"]))
        return _person(found)

    def by_typed_token(self, token: str, address: str) -> Person:
        """As `by_token`, for places where somebody may try many.

        Raises:
            NotSignedIn: nobody's.
            TooOften: nobody's, like many before it.
        """
        try:
            return self.by_token(token)
        except NotSignedIn:
            self._check_patience({address: _WRONG})
            self._was_wrong(address)
            raise

    # Sessions

    def by_password(self, name: str, password: str, address: str) -> Person:
        """Whose name and password these are; takes 50 ms.

        Raises:
            NotSignedIn: nobody's.
            TooOften: too many wrong ones from that address or for that name.
        """
        self._check_patience({address: _WRONG, f"name {name}": _WRONG_ANYWHERE})
        found = self._database.row("SELECT * FROM users WHERE name = ?", (name,))
        # As slow for a name that there is not: the time shall not tell.
        if not _fits(password, found["password"] if found else None) or found is None or found["disabled"]:
            self._was_wrong(address, f"name {name}")
            raise NotSignedIn("name or password are wrong", "sign in with a token, or ask an administrator")
        return _person(found)

    def open_session(self, person: Person) -> tuple[str, Person]:
        """(what the cookie holds, the person with the word that requests must repeat)."""
        secret, csrf, now = secrets.token_urlsafe(32), secrets.token_urlsafe(24), time.time()
        self._database.run("DELETE FROM sessions WHERE ends_at < ?", (now,))
        values = (_digest(secret), person.id, csrf, now + _SESSION_S)
        self._database.run("INSERT INTO sessions (digest, user_id, csrf, ends_at) VALUES (?, ?, ?, ?)", values)
        return secret, Person(person.id, person.name, person.role, person.quota_bytes, csrf)

    def by_session(self, secret: str) -> Person:
        """Whose session it is.

        Raises:
            NotSignedIn: nobody's, or it is over.
        """
        statement = "SELECT u.*, s.csrf FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.digest = ? AND s.ends_at > ?"
        found = self._database.row(statement, (_digest(secret), time.time()))
        if found is None or found["disabled"]:
            raise NotSignedIn("the session is over", "sign in again")
        return _person(found, str(found["csrf"]))

    def close_session(self, secret: str) -> None:
        """End it."""
        self._database.run("DELETE FROM sessions WHERE digest = ?", (_digest(secret),))

    # Patience

    def _check_patience(self, whose: Mapping[str, int]) -> None:
        now = time.monotonic()
        with self._lock:
            for each, most in whose.items():
                times = self._wrong.get(each)
                while times and now - times[0] > _WRONG_S:
                    times.popleft()
                if times is not None and not times:
                    del self._wrong[each]
                elif times and len(times) >= most:
                    after_s = int(_WRONG_S - (now - times[0])) + 1
                    raise TooOften("too many wrong passwords or tokens", f"try again in {after_s} s", after_s)

    def _was_wrong(self, *whose: str) -> None:
        with self._lock:
            for each in whose:
                self._wrong.setdefault(each, deque(maxlen=_WRONG_ANYWHERE)).append(time.monotonic())

    def _keep_an_admin(self) -> None:
        if not self._database.row("SELECT 1 FROM users WHERE role = 'admin' AND NOT disabled"):
            raise OutOfTurn("there would be no administrator any more", "make another one first")


def hashed(password: str) -> str:
    """The password as it is kept.

    Raises:
        CentreRefused: it is too short.
    """
    if len(password) < SHORTEST_PASSWORD:
        raise CentreRefused(f"the password is too short, expected at least {SHORTEST_PASSWORD} characters")
    salt = secrets.token_bytes(16)
    return f"scrypt${salt.hex()}${hashlib.scrypt(password.encode(), salt=salt, **_SCRYPT).hex()}"


def _fits(password: str, kept: str | None) -> bool:
    _, salt, digest = (kept or f"scrypt${'00' * 16}${'00' * 32}").split("$")
    got = hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=bytes.fromhex(salt), **_SCRYPT).hex()
    return hmac.compare_digest(got, digest) and kept is not None


def _digest(secret: str) -> str:
    """Secrets of ours have 256 random bits: a plain hash of them gives nothing away."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _person(row: Row, csrf: str = "") -> Person:
    return Person(int(row["id"]), str(row["name"]), str(row["role"]), row["quota_bytes"], csrf)
