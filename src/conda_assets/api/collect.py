"""Remove from the store what no environment uses: look, let somebody decide, delete what is still unused then."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from conda_assets.api.rooting import Environment, Uses, find_uses
from conda_assets.model import Stored
from conda_assets.records import dataclass
from conda_assets.settings import Settings
from conda_assets.store import Tree, forget_root, last_use_ns
from conda_assets.store.collecting import Collector, Leftover, open_collector

__all__ = ["Findings", "Policy", "Removal", "Shelf", "collect", "doomed", "survey"]

# Partial files and what failed verification stay for a week, unless somebody says otherwise: the next sync goes on from the one,
# and a person may want to look at the other.
_LEFT_S = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class Policy:
    """What is spared of what nobody uses: what was used within `older_than_s`, and all once the store has no more than
    `max_size_bytes`; the longest unused go first. `forget`: prefixes that are not coming back.
    """

    max_size_bytes: int | None = None
    older_than_s: float | None = None
    forget: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Removal:
    """One file to go, or what stands in a folder of partial files. `kind`: `file`, `partial` or `quarantine`.

    `disk_bytes`: what its removal gives back, where the file system says that. `last_use_ns`: since the epoch.
    """

    kind: str
    path: Path
    size_bytes: int
    disk_bytes: int
    last_use_ns: int
    what: Stored | Leftover


@dataclass(frozen=True, slots=True)
class Shelf:
    """One store folder. `collector`: None where we may not write, and nothing is looked for. `spared`: unused files that stay."""

    folder: Path
    collector: Collector | None
    files: int = 0
    size_bytes: int = 0
    used_bytes: int = 0
    uses: Uses | None = None
    removals: tuple[Removal, ...] = ()
    others: int = 0

    @property
    def environments(self) -> Sequence[Environment]:
        """Those that may use it."""
        return self.uses.environments if self.uses else ()


@dataclass(frozen=True, slots=True)
class Findings:
    """What could go, folder by folder."""

    shelves: tuple[Shelf, ...]

    @property
    def removals(self) -> tuple[Removal, ...]:
        """Of all folders."""
        return tuple(each for shelf in self.shelves for each in shelf.removals)


@contextmanager
def survey(settings: Settings, policy: Policy, environ: Mapping[str, str]) -> Iterator[Findings]:
    """What may go; good for as long as the block runs, and whatever is used meanwhile stays.

    Raises:
        StoreFailed: a store cannot be judged.
    """
    with ExitStack() as stack:
        shelves = []
        for folder in settings.stores:
            tree = Tree(folder)
            collector = open_collector(tree)
            if collector is None:
                shelves.append(Shelf(folder, None))
                continue
            stack.callback(collector.close)
            shelves.append(_survey(collector, settings, policy, environ))
        yield Findings(tuple(shelves))


def collect(findings: Findings) -> tuple[Removal, ...]:
    """Delete; what has really gone.

    Raises:
        StoreFailed: the system refuses.
    """
    gone = []
    for shelf in findings.shelves:
        if shelf.collector is None or shelf.uses is None:
            continue
        for each in shelf.removals:
            what = each.what
            if shelf.collector.remove(what) if isinstance(what, Stored) else shelf.collector.clear(what):
                gone.append(each)
        shelf.collector.clear_names()
        for root in shelf.uses.forgotten:
            forget_root(root)
    return tuple(gone)


def doomed(unused: Sequence[Removal], total_bytes: int, policy: Policy, now_ns: int) -> list[Removal]:
    """Which of the unused files go, the longest unused first."""
    last_ns = now_ns - int((policy.older_than_s or 0.0) * 1e9)
    going = []
    for each in sorted(unused, key=lambda each: (each.last_use_ns, str(each.path))):
        if policy.max_size_bytes is not None and total_bytes <= policy.max_size_bytes:
            break
        if policy.older_than_s is not None and each.last_use_ns > last_ns:
            break
        going.append(each)
        total_bytes -= each.size_bytes
    return going


def _survey(collector: Collector, settings: Settings, policy: Policy, environ: Mapping[str, str]) -> Shelf:
    tree = collector.tree
    # After the collector began, and before anything is judged: see `store.collecting`.
    uses = find_uses(tree, settings, environ, forget=policy.forget)
    count, total_bytes, used_bytes, others = 0, 0, 0, 0
    unused: list[Removal] = []
    for stored in tree.objects():
        count, total_bytes = count + 1, total_bytes + stored.size_bytes
        if stored.sha256 in uses.sha256 or not collector.is_free(stored):
            used_bytes += stored.size_bytes
            continue
        with suppress(FileNotFoundError):  # another collector was faster
            if collector.may_remove(stored):
                unused.append(_removal(tree, stored))
            else:
                others += 1
    left_s = _LEFT_S if policy.older_than_s is None else policy.older_than_s
    leftovers = [
        Removal(each.kind, each.path, each.size_bytes, each.disk_bytes, each.modified_ns, each)
        for each in collector.leftovers(left_s)
    ]
    going = doomed(unused, total_bytes, policy, time.time_ns())
    return Shelf(tree.folder, collector, count, total_bytes, used_bytes, uses, (*going, *leftovers), others)


def _removal(tree: Tree, stored: Stored) -> Removal:
    info = stored.path.lstat()
    disk_bytes = getattr(info, "st_blocks", -(-info.st_size // 512)) * 512
    return Removal("file", stored.path, stored.size_bytes, disk_bytes, last_use_ns(tree, stored.sha256), stored)
