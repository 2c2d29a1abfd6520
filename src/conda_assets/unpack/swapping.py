"""Putting the finished folder in its place, and what is the user's in the old one back into it."""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from conda_assets.errors import UsageError
from conda_assets.events import Noted, Observer, nobody
from conda_assets.paths import Spot, hold, open_spot, refused
from conda_assets.unpack.carrying import Ours, carry, discard
from conda_assets.unpack.manifest import Manifest, manifest_text, parse_manifest
from conda_assets.unpack.work import NEW, NEW_MANIFEST, OLD, OLD_MANIFEST, Work, alone, forsaken
from conda_assets.unpack.writing import sync_folder

__all__ = ["heal", "heal_all", "swap", "tell_kept", "tidy"]

# Other runs for the same target may put theirs there between our two renames; each try needs a run that does.
_TRIES = 20
_NAMED = 5


def swap(work: Work, target: str, old: Manifest | None, new: Manifest) -> list[str]:
    """Replace the target by the new folder; the paths, below it, of files that were not ours and are kept.

    What was in the old folder and is not ours is moved over, to the same path, or to `<path>.orig` where that is taken.

    Raises:
        OSError: the file system refuses; the old folder is back then.
    """
    if old is not None:
        _note(work, OLD_MANIFEST, old)
    _note(work, NEW_MANIFEST, new)
    sync_folder(work.above, work.name)
    ours = Ours.of(old, new)
    try:
        _exchange(work, target)
    except OSError:
        _put_back(work, target)
        _carry_all(work, target, ours)
        raise
    sync_folder(work.above, ".")
    return _carry_all(work, target, ours)


def heal(work: Work, target: str) -> list[str]:
    """Bring what a killed run left to an end, and delete its work folder; the paths of files that were not ours and are kept.

    Raises:
        OSError: the file system refuses.
    """
    kept: list[str] = []
    if _olds(work):
        _put_back(work, target)
        kept = _carry_all(work, target, Ours.of(_noted(work, OLD_MANIFEST), _noted(work, NEW_MANIFEST)))
    work.above.remove_tree(work.name)
    return kept


def heal_all(above: Spot, into: Path, watch: Observer) -> None:
    """Bring to an end what all killed runs left in `above` for the target `into`, and tell what is kept.

    Raises:
        OSError: as `heal`.
    """
    with alone(above):
        for left in forsaken(above, into.name):
            tell_kept(into, heal(left, into.name), watch)


def tidy(into: Path, *, within: Path, asset: str = "", watch: Observer = nobody) -> None:
    """Do so where nothing is to be unpacked: a run may have been killed while another one did its work.

    Raises:
        UnsafePath, DiskRefused: as `extract`.
    """
    try:
        with open_spot(into, within, asset or into.name, create=False) as spots:
            heal_all(spots[-1], into, watch)
    except FileNotFoundError:
        return
    except OSError as error:
        raise refused(error, asset or into.name, into.parent) from error


def tell_kept(into: Path, kept: Sequence[str], watch: Observer) -> None:
    """Say which files were not ours, and where they are now."""
    if kept:
        names = ", ".join(kept[:_NAMED]) + (f" and {len(kept) - _NAMED} more" if len(kept) > _NAMED else "")
        watch(Noted(f"{into} held files that conda-assets did not put there; they are kept: {names}", "warning"))


def _exchange(work: Work, target: str) -> None:
    """The two renames: the old folder aside, the new one to its name."""
    for number in range(_TRIES):
        # Moving a folder into another one changes its `..`, for which it must be writable.
        work.above.unlock(target)
        with suppress(FileNotFoundError):
            work.above.rename(target, f"{OLD}{number}", work.spot)
        try:
            work.spot.rename(NEW, target, work.above)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)


def _put_back(work: Work, target: str) -> None:
    """If nothing stands at the target, the old folder does again."""
    for name in _olds(work):
        if work.above.look(target) is None:
            work.spot.rename(name, target, work.above)


def _olds(work: Work) -> list[str]:
    """What stood at the target, latest first."""
    names = [name for name in work.spot.names() if name.startswith(OLD) and name[len(OLD) :].isdigit()]
    return sorted(names, key=lambda name: int(name[len(OLD) :]), reverse=True)


def _carry_all(work: Work, target: str, ours: Ours) -> list[str]:
    kept: list[str] = []
    for name in _olds(work):
        try:
            with hold(work.spot, name) as old, hold(work.above, target) as new:
                carry(old, new, ours, kept)
                # Nothing goes without a look: where there are no locks, another run may have put something there just now.
                while discard(old, ours):
                    carry(old, new, ours, kept)
            os.rmdir(work.spot.at(name), dir_fd=work.spot.descriptor)
        except OSError:
            # Something in it that we may not move, a folder of another user for instance: then all that is left of it is kept.
            kept.append(f"../{_set_aside(work, name, target)}")
    return kept


def _set_aside(work: Work, name: str, target: str) -> str:
    for number in itertools.count():
        aside = f"{target}.orig" + (f".{number}" if number else "")
        if work.above.look(aside) is None:
            work.spot.unlock(name)
            work.spot.rename(name, aside, work.above)
            return aside
    raise AssertionError("unreachable: numbers do not end")


def _note(work: Work, name: str, manifest: Manifest) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(work.spot.at(name), flags, 0o600, dir_fd=work.spot.descriptor)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(manifest_text(manifest))
        file.flush()
        os.fsync(file.fileno())


def _noted(work: Work, name: str) -> Manifest | None:
    info = work.spot.look(name)
    if info is None or not stat.S_ISREG(info.st_mode):
        return None
    with os.fdopen(os.open(work.spot.at(name), os.O_RDONLY, dir_fd=work.spot.descriptor), "rb") as file:
        data = file.read()
    try:
        return parse_manifest(data, work.spot.path / name)
    except UsageError:
        return None  # then nothing is taken for ours, and all is kept
