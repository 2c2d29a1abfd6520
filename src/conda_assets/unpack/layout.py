"""Where members land: `strip` and `include` applied, and no two of them on one place."""

from __future__ import annotations

from conda_assets.globs import compile_glob
from conda_assets.model import Unpack
from conda_assets.records import dataclass
from conda_assets.unpack.entry import Entry, Sort
from conda_assets.unpack.limits import Limits, Meter
from conda_assets.unpack.names import check_portable, fold, split
from conda_assets.unpack.refusal import Refused, shown

__all__ = ["Landing", "Layout"]

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Landing:
    """`original`: the member's path in the archive; `path`: the one in the folder; both with `/`."""

    original: str
    path: str


class Layout:
    """Decides for one member after the other; keeps what is taken, so that nothing lands twice."""

    def __init__(self, unpack: Unpack, limits: Limits, meter: Meter) -> None:
        self._strip, self._limits, self._meter = unpack.strip, limits, meter
        self._globs = {glob: compile_glob(glob) for glob in unpack.include}
        self._unused = set(unpack.include)
        # folded → as it stands. Folders and files apart: a folder may be named again, a file may not.
        self._folders: dict[str, str] = {}
        self._files: dict[str, str] = {}
        self._first: list[str] = []

    def land(self, entry: Entry) -> Landing | None:
        """Where it goes; None for what `strip` or `include` leaves out. Every member counts.

        Raises:
            Refused: its name, its kind, or another member at its place forbids it.
        """
        self._meter.member()
        parts = split(entry.name, self._limits)
        if len(self._first) < _NAMED and entry.sort is not Sort.FOLDER:
            self._first.append("/".join(parts))
        path = "/".join(parts[self._strip :])
        if not path or not self._is_included(path, entry.sort is Sort.FOLDER):
            return None
        if entry.sort in (Sort.DEVICE, Sort.FIFO, Sort.SOCKET):
            raise Refused(f"its member {shown(path)} is {entry.sort.value}")
        check_portable(path)
        self._claim(path, entry.sort is Sort.FOLDER)
        return Landing("/".join(parts), path)

    def claim_copy(self, path: str) -> None:
        """A file more, one that a link to a folder stands for.

        Raises:
            Refused: as `land`.
        """
        split(path, self._limits)
        check_portable(path)
        self._meter.member()
        self._claim(path, False)

    def give_back(self, path: str) -> None:
        """Nothing will land there after all, or a folder."""
        self._files.pop(fold(path), None)

    @property
    def folders(self) -> frozenset[str]:
        """Paths of all folders so far."""
        return frozenset(self._folders.values())

    @property
    def unused(self) -> tuple[str, ...]:
        """Patterns that matched nothing so far."""
        return tuple(glob for glob in self._globs if glob in self._unused)

    def check_used(self) -> None:
        """At the end: something must have landed.

        Raises:
            Refused: nothing did; the message names what there is.
        """
        if self._files:
            return
        some = ", ".join(map(shown, self._first)) + (" …" if len(self._first) == _NAMED else "")
        if not self._first:
            raise Refused("the archive holds no files")
        if self._globs:
            what = ", ".join(map(shown, self._globs))
            raise Refused(
                f"no member matches {what}; its first ones are {some}", "correct `include:`; it sees names after `strip:`"
            )
        raise Refused(f"`strip: {self._strip}` leaves nothing of it; its first members are {some}", "take a smaller `strip:`")

    def _is_included(self, path: str, folder: bool) -> bool:
        if not self._globs:
            return True
        hits = {glob for glob, pattern in self._globs.items() if pattern.fullmatch(path)}
        # A folder comes with the files that are wanted in it; alone it is no match.
        if not folder:
            self._unused -= hits
        return bool(hits)

    def _claim(self, path: str, folder: bool) -> None:
        self._claim_folders(path if folder else path.rpartition("/")[0])
        if folder:
            return
        key = fold(path)
        rival = self._files.get(key) or self._folders.get(key)
        if rival is not None:
            raise _clash(path, rival)
        self._files[path if key == path else key] = path

    def _claim_folders(self, path: str) -> None:
        """The folder and those above it."""
        while path:
            key = fold(path)
            known = self._folders.get(key)
            if known == path:
                return  # then those above are, too
            rival = known or self._files.get(key)
            if rival is not None:
                raise _clash(path, rival)
            self._meter.member()
            self._folders[key] = path
            path = path.rpartition("/")[0]


def _clash(path: str, rival: str) -> Refused:
    if path == rival:
        return Refused(
            f"two of its members land on {shown(path)}", "`strip:` or `include:` can tell them apart, if they differ at all"
        )
    return Refused(
        f"its members {shown(rival)} and {shown(path)} are one and the same where case or the form of Unicode does not count",
        "`include:` can take one of them",
    )
