"""Which environments there are and what they use: their receipts, conda's lists of environments, and the store's own register."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from conda_assets.api.places import place_of
from conda_assets.errors import StoreFailed, UsageError
from conda_assets.model import Placed, Target
from conda_assets.model import Root as Where
from conda_assets.receipt import read_receipt, receipt_path
from conda_assets.records import dataclass, field
from conda_assets.settings import Settings, home_of
from conda_assets.store import HEX, Outside, Root, Standing, Store, Tree, place_now, read_roots

__all__ = ["Environment", "Registration", "Uses", "find_uses"]

_SHARED = 0o077


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment that somebody has told of. `state`: `here`, `gone`, or `unknown`: perhaps only its disk is not there."""

    prefix: Path
    state: Standing
    sha256: frozenset[str]
    roots: tuple[Root, ...] = ()


@dataclass(slots=True)
class Uses:
    """What must stay, and why."""

    environments: list[Environment] = field(default_factory=list)
    sha256: set[str] = field(default_factory=set)
    forgotten: list[Root] = field(default_factory=list)


class Registration:
    """The environment's entry in the store's register, during one sync."""

    def __init__(self, store: Store, target: Target, hoped: frozenset[str]) -> None:
        """`hoped`: sha256 of what may be placed, as far as that is known."""
        self._store, self._target, self._hoped = store, target, hoped
        self._earlier: frozenset[str] | None = None

    def announce(self, placed: Mapping[str, Placed]) -> None:
        """Before the first file stands there: should we be killed then, a collector knows of it all the same. Once is enough."""
        if self._earlier is None:
            self._earlier = self._store.unsettled(_root_of(self._target, placed))
            self._store.register(_root_of(self._target, placed, settled=False, more=self._hoped | self._earlier))

    def settle(self, placed: Mapping[str, Placed]) -> None:
        """Behind the receipt. What a killed sync has linked, and no receipt names, is in use for as long as the link is there."""
        root = _root_of(self._target, placed)
        earlier = self._store.unsettled(root) if self._earlier is None else self._earlier
        links = _links_among(self._target, earlier - root.sha256)
        self._store.register(_root_of(self._target, placed, settled=not links, more=links))


def find_uses(tree: Tree, settings: Settings, environ: Mapping[str, str], *, forget: Iterable[Path] = ()) -> Uses:
    """All environments that may use the store folder, with what they use. `forget`: prefixes that shall not count.

    Raises:
        StoreFailed: the register cannot be read.
    """
    uses, dropped = Uses(), {Path(os.path.abspath(path)) for path in forget}
    try:
        roots, named = read_roots(tree)
    except OSError as error:
        raise StoreFailed(f"{error.filename} cannot be read, so nobody knows what is used: {error.strerror}") from error
    uses.sha256 |= named
    registered: dict[Path, list[Root]] = {}
    for root in roots:
        registered.setdefault(root.prefix, []).append(root)
    for prefix in dict.fromkeys((*registered, *_listed(tree, settings, environ))):
        if prefix in dropped:
            uses.forgotten += registered.get(prefix, [])
            continue
        environment = _environment(prefix, tuple(registered.get(prefix, ())))
        if environment is None:
            continue
        uses.environments.append(environment)
        uses.sha256 |= environment.sha256
        if environment.state is Standing.GONE and not environment.sha256:
            uses.forgotten += environment.roots
    return uses


def _environment(prefix: Path, roots: tuple[Root, ...]) -> Environment | None:
    """None for what only a list names and what has nothing of ours."""
    standings = [root.place.standing for root in roots]
    used = set[str]()
    for root, standing in zip(roots, standings, strict=True):
        # Unsettled: a sync is at work, or was killed before it wrote its receipt.
        if standing in (Standing.UNKNOWN, Standing.OTHER) or (standing is Standing.HERE and not root.settled):
            used |= root.sha256
        used |= {each.sha256 for each in root.outside if _still_uses(each)}
    received = _received(prefix)
    if received is None:
        used |= {sha256 for root in roots for sha256 in root.sha256}
    else:
        used |= received
    if not roots and not used:
        return None
    state = Standing.GONE if standings and set(standings) == {Standing.GONE} else Standing.HERE
    if Standing.UNKNOWN in standings:
        state = Standing.UNKNOWN
    return Environment(prefix, state, frozenset(used), roots)


def _received(prefix: Path) -> frozenset[str] | None:
    """What the receipt names; None where there may be one that we cannot read."""
    try:
        return frozenset(line.sha256 for line in read_receipt(prefix).values())
    except UsageError:
        # Damaged, or written by a newer version: what looks like a sha256 counts.
        with suppress(OSError):
            return frozenset(HEX.findall(receipt_path(prefix).read_text(encoding="utf-8", errors="replace")))
        return None


def _still_uses(outside: Outside) -> bool:
    """A file in a project folder may still need the stored one: a link to it, or what we cannot see."""
    standing = outside.place.standing
    if standing is Standing.GONE:
        return False
    if standing is Standing.UNKNOWN:
        return True
    try:
        # Hard links show by themselves, copies need nobody.
        return Path(os.readlink(outside.place.path / outside.name)).name == outside.sha256  # noqa: PTH115 - as written
    except OSError:
        return False


def _listed(tree: Tree, settings: Settings, environ: Mapping[str, str]) -> Iterator[Path]:
    """Prefixes that conda's lists name, and those that stand where environments do."""
    for home in _homes(tree, environ):
        with suppress(OSError, UnicodeError):
            lines = (home / ".conda" / "environments.txt").read_text(encoding="utf-8").splitlines()
            yield from (Path(line.strip()) for line in lines if line.strip())
    for folder in settings.envs_dirs:
        with suppress(OSError):
            yield from sorted(folder.iterdir())
    yield from (each for each in (settings.root_prefix, settings.active_prefix) if each is not None)


def _homes(tree: Tree, environ: Mapping[str, str]) -> Iterator[Path]:
    yield home_of(environ)
    if os.name != "posix" or not tree.folder.stat().st_mode & _SHARED:
        return
    import pwd

    for entry in pwd.getpwall():
        yield Path(entry.pw_dir)


def _links_among(target: Target, sha256: frozenset[str]) -> frozenset[str]:
    """Which of these stored files something in the environment is a link to, whether or not a receipt names it."""
    found = set[str]()
    for folder, folders, names in os.walk(target.folder(Where.PREFIX)) if sha256 else ():
        for name in (*folders, *names):
            with suppress(OSError):
                found.add(os.path.basename(os.readlink(f"{folder}/{name}")))  # noqa: PTH115, PTH119 - many files
    return sha256 & found


def _root_of(target: Target, placed: Mapping[str, Placed], *, settled: bool = True, more: Iterable[str] = ()) -> Root:
    files = [
        (place_of(target, line), line.sha256)
        for _, line in sorted(placed.items())
        if line.root is Where.PROJECT and line.unpack is None
    ]
    outside = tuple(Outside(place_now(path.parent), path.name, sha256) for path, sha256 in files)
    used = frozenset(line.sha256 for line in placed.values()) | frozenset(more)
    return Root(place_now(target.prefix), settled, used, outside)
