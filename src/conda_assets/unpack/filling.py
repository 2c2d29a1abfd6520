"""Filling a new folder with the members of an archive."""

from __future__ import annotations

from collections.abc import Sequence

from conda_assets.model import Unpack
from conda_assets.unpack.entry import Entries, Entry, Sort
from conda_assets.unpack.layout import Landing, Layout
from conda_assets.unpack.limits import Limits, Meter
from conda_assets.unpack.links import Link, Links, Resolved
from conda_assets.unpack.manifest import Member
from conda_assets.unpack.names import split
from conda_assets.unpack.refusal import Refused, shown
from conda_assets.unpack.writing import Tree

__all__ = ["Filling"]


class Filling:
    """One new folder and one archive; `notes` are for people, and complete once `finish` has returned."""

    def __init__(self, tree: Tree, unpack: Unpack, limits: Limits, meter: Meter) -> None:
        self._tree, self._unpack, self._limits, self._meter = tree, unpack, limits, meter
        self._layout = Layout(unpack, limits, meter)
        self._written: dict[str, Member] = {}
        # Name in the archive → path in the folder; and all links, because others may lead through one that is not wanted.
        self._originals: dict[str, str] = {}
        self._links: list[Link] = []
        self.notes: list[str] = []

    def fill(self, entries: Entries) -> None:
        """Write all files and folders that are wanted.

        Raises:
            Refused, DiskFull: as `Layout.land` and `Tree.write`.
            OSError: the file system refuses.
        """
        if isinstance(entries, Sequence):
            # All is known at once: then what is wrong with any of them is said before the first byte is written.
            planned = [(entry, self._layout.land(entry)) for entry in entries]
            self._meter.announced(sum(entry.size_bytes or 0 for entry, landing in planned if landing))
            for entry, landing in planned:
                self._take(entry, landing)
            return
        for entry in entries:
            self._take(entry, self._layout.land(entry))

    def finish(self) -> tuple[Member, ...]:
        """Make what links stand for; all that was written, by path.

        Raises:
            Refused: a link leads out, or nothing was written.
            DiskFull, OSError: as `fill`.
        """
        if self._links:
            made, dangling = Links(self._links, self._originals, self._limits).resolve()
            for resolved in made:
                self._copy(resolved)
            for link in dangling:
                self._leave_out(link)
        self._layout.check_used()
        self.notes += [f"no member matches {shown(glob)}" for glob in self._layout.unused]
        return tuple(self._written[path] for path in sorted(self._written))

    def _take(self, entry: Entry, landing: Landing | None) -> None:
        if entry.sort in (Sort.SYMLINK, Sort.HARDLINK):
            original = landing.original if landing else "/".join(split(entry.name, self._limits))
            self._links.append(Link(original, entry.leads, entry.sort, landing))
        elif landing is None:
            return
        elif entry.sort is Sort.FOLDER:
            self._tree.folder(landing.path)
        else:
            self._written[landing.path] = self._tree.write(landing.path, entry)
            self._originals[landing.original] = landing.path

    def _copy(self, resolved: Resolved) -> None:
        if resolved.from_folder and resolved.link.landing:
            self._layout.give_back(resolved.link.landing.path)
        for path, source in resolved.copies:
            if resolved.from_folder:
                self._layout.claim_copy(path)
            self._written[path] = self._tree.copy(path, self._written[source])

    def _leave_out(self, link: Link) -> None:
        """A link that leads to nothing: often in real archives, and harmless, unless somebody asked for just that."""
        name, leads = shown(link.original), shown(link.leads)
        if self._unpack.include:
            raise Refused(
                f"its member {name} is a link to {leads}, which is not among what `include` takes", "add that to `include:`"
            )
        if link.sort is Sort.HARDLINK:
            raise Refused(f"its member {name} is a hard link to {leads}, which is not in the archive")
        if link.landing:
            self._layout.give_back(link.landing.path)
        self.notes.append(f"the link {name} leads to {leads}, which is not in the archive; it is left out")
