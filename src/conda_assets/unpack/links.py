"""Links in archives: none is ever made. One that stays inside becomes another name of the file it leads to.

Nothing is resolved on the disk: all is decided with the names in the archive, after its last member.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence

from conda_assets.records import dataclass
from conda_assets.unpack.entry import Sort
from conda_assets.unpack.layout import Landing
from conda_assets.unpack.limits import Limits
from conda_assets.unpack.names import split
from conda_assets.unpack.refusal import Refused, shown

__all__ = ["Link", "Links", "Resolved"]

_TURNS = 40  # links that lead to links; as many as Linux follows
_LEADS = 4096


@dataclass(frozen=True, slots=True)
class Link:
    """`landing` is None for a link that is not wanted, but that others may lead through."""

    original: str
    leads: str
    sort: Sort
    landing: Landing | None


@dataclass(frozen=True, slots=True)
class Resolved:
    """`copies`: (path to make, path it is a copy of). `from_folder`: the link led to a folder, and becomes one."""

    link: Link
    copies: tuple[tuple[str, str], ...]
    from_folder: bool = False


class Links:
    """The links of one archive. `files`: name in the archive → path in the folder, of every file that was written."""

    def __init__(self, links: Sequence[Link], files: Mapping[str, str], limits: Limits) -> None:
        self._links = {link.original: link for link in links}
        self._limits, self._left = limits, limits.link_copies
        self._files = dict(files)
        self._folder_links: dict[str, str] = {}
        self._sorted: list[str] = []

    def resolve(self) -> tuple[list[Resolved], list[Link]]:
        """What becomes of the wanted links, and those that lead to nothing.

        Raises:
            Refused: a link leads out of the archive, or in circles.
        """
        wanted = [link for link in self._links.values() if link.landing is not None]
        ends = {link.original: self._follow(link) for link in wanted}
        made, rest = [], []
        for link in wanted:
            source = self._files.get(ends[link.original])
            if source is not None and link.landing is not None:
                made.append(Resolved(link, ((link.landing.path, source),)))
            else:
                rest.append(link)
        # From here on a link to a file is a file, which folders that are linked to may hold.
        self._files |= {each.link.original: each.copies[0][1] for each in made}
        self._folder_links = {link.original: ends[link.original] for link in rest}
        self._sorted = sorted({*self._files, *self._folder_links})
        dangling = []
        for link in rest:
            inside = self._inside(link.original, ()) if link.sort is Sort.SYMLINK and link.landing else []
            if inside and link.landing:
                made.append(Resolved(link, tuple((f"{link.landing.path}/{name}", source) for name, source in inside), True))
            else:
                dangling.append(link)
        return made, dangling

    def _follow(self, link: Link) -> str:
        """The name in the archive that it leads to at last; empty for the archive's root."""
        if link.sort is Sort.HARDLINK:
            here, todo = [], deque(_parts(link, self._limits))
        else:
            here, todo = link.original.split("/")[:-1], deque(_steps(link))
        turns = _TURNS
        while todo:
            part = todo.popleft()
            if part == "..":
                if not here:
                    raise Refused(f"its link {shown(link.original)} leads out of the archive, to {shown(link.leads)}")
                here.pop()
                continue
            here.append(part)
            other = self._links.get("/".join(here))
            if other is None:
                continue
            turns -= 1
            if turns < 0:
                raise Refused(f"its link {shown(link.original)} leads in a circle")
            if other.sort is Sort.HARDLINK:
                here, more = [], list(_parts(other, self._limits))
            else:
                here, more = here[:-1], _steps(other)
            todo.extendleft(reversed(more))
        return "/".join(here)

    def _inside(self, original: str, above: tuple[str, ...]) -> list[tuple[str, str]]:
        """(name below the link, path it is a copy of) of all files in the folder that a link leads to."""
        folder = self._folder_links[original]
        prefix = f"{folder}/" if folder else ""
        if original.startswith(prefix) or original in above or len(above) >= _TURNS:
            raise Refused(f"its link {shown(original)} leads to {shown(folder or '.')}, a folder that the link itself is in")
        found: list[tuple[str, str]] = []
        for name in self._sorted[bisect_left(self._sorted, prefix) :]:
            if not name.startswith(prefix):
                break
            self._left -= 1
            if self._left < 0:
                raise Refused(f"its links to folders stand for more than {self._limits.link_copies:,} files")
            below = name[len(prefix) :]
            if name in self._folder_links:
                found += [(f"{below}/{deeper}", source) for deeper, source in self._inside(name, (*above, original))]
            else:
                found.append((below, self._files[name]))
        return found


def _parts(link: Link, limits: Limits) -> tuple[str, ...]:
    """A hard link's other name, which counts from the archive's root."""
    try:
        return split(link.leads, limits)
    except Refused as error:
        raise Refused(f"its link {shown(link.original)} leads out of the archive: {error.cause}") from error


def _steps(link: Link) -> list[str]:
    """A symbolic link's steps from the folder it stands in."""
    leads = link.leads
    if len(leads) > _LEADS:
        raise Refused(f"its link {shown(link.original)} leads to a path of {len(leads)} signs")
    if not leads or leads.startswith("/") or "\\" in leads or "\0" in leads or leads[1:2] == ":":
        raise Refused(f"its link {shown(link.original)} leads out of the archive, to {shown(leads)}")
    return [part for part in leads.split("/") if part not in ("", ".")]
