"""File systems of other kinds, for tests; skipped with the reason where they may not be made."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

MIB = 1 << 20


@contextmanager
def tmpfs(folder: Path, size_bytes: int = 16 * MIB, *, options: str = "") -> Iterator[Path]:
    """A file system of that size in memory: another device, quickly full."""
    with _mounted(["-t", "tmpfs", "-o", f"size={size_bytes},mode=777{options}", "tmpfs"], folder):
        yield folder


@contextmanager
def btrfs(folder: Path) -> Iterator[Path]:
    """A file system with reflinks."""
    image = _image(folder, 128 * MIB, ["mkfs.btrfs", "-q"])
    with _mounted(["-o", "loop", str(image)], folder):
        yield folder


@contextmanager
def exfat(folder: Path) -> Iterator[Path]:
    """A file system with neither hardlinks nor symlinks nor modes, through FUSE."""
    image = _image(folder, 16 * MIB, ["mkfs.exfat"])
    if shutil.which("mount.exfat-fuse") is None:
        pytest.skip("no mount.exfat-fuse (Debian package exfat-fuse)")
    with ExitStack() as stack:
        device = _run(["losetup", "--find", "--show", str(image)]).strip()
        stack.callback(_run, ["losetup", "--detach", device])
        _run(["mount.exfat-fuse", device, str(folder)])
        stack.callback(_run, ["umount", str(folder)])
        yield folder


@contextmanager
def _mounted(arguments: list[str], folder: Path) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    _run(["mount", *arguments, str(folder)])
    try:
        yield
    finally:
        _run(["umount", str(folder)])


def _image(folder: Path, size_bytes: int, mkfs: list[str]) -> Path:
    if shutil.which(mkfs[0]) is None:
        pytest.skip(f"no {mkfs[0]} on this machine")
    folder.mkdir(exist_ok=True)
    image = folder.with_name(f"{folder.name}.img")
    with image.open("wb") as file:
        file.truncate(size_bytes)
    _run([*mkfs, str(image)])
    return image


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"`{' '.join(command)}` is not possible here: {done.stderr.strip()}")
    return done.stdout
