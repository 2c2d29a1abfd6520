"""A conda channel on the local disk, made of packages that are written down as values.

    channel = make_channel(folder, [Package("tiny", files={"share/tiny.txt": b"tiny"})])     # file:///…/folder

    <folder>/noarch/repodata.json
    <folder>/noarch/tiny-1.0-0.tar.bz2
    <folder>/linux-64/repodata.json           the running platform's folder is always there, tools ask for it

Standard library only, Python 3.10: `scripts/quickstart` uses it on a machine that has nothing else.
The same packages give the same bytes.

Source: https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html
"""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import platform
import re
import struct
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["PLACEHOLDER", "Package", "make_channel", "native_subdir"]

#: Stands for the prefix in a file's content; conda writes the real one over it when it links. Padded as real packages are.
PLACEHOLDER = "/opt/placehold" + "_placehold" * 24

# 2023-11-14: any fixed moment, so that the same package has the same hash.
_MOMENT_S = 1_700_000_000


@dataclass(frozen=True)
class Package:
    """One package. `files`: path in the prefix, POSIX → content; those below `bin/` are executable.

    `noarch="python"`: paths start with `site-packages/` or `python-scripts/`; `entry_points` (`name = module:function`) become
    programs.
    `subdir`: default `noarch` for a noarch package, else the running platform. `form`: `.tar.bz2` or `.conda`.
    """

    name: str
    version: str = "1.0"
    build: str = "0"
    depends: Sequence[str] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    noarch: str | None = None
    subdir: str | None = None
    constrains: Sequence[str] = ()
    entry_points: Sequence[str] = ()
    form: str = ".tar.bz2"

    @property
    def folder(self) -> str:
        """The subdir it stands in."""
        return self.subdir or ("noarch" if self.noarch else native_subdir())

    @property
    def stem(self) -> str:
        """`name-version-build`."""
        return f"{self.name}-{self.version}-{self.build}"

    @property
    def index(self) -> dict[str, object]:
        """What `info/index.json` and `repodata.json` say of it."""
        number = re.search(r"(\d+)$", self.build)
        said: dict[str, object] = {
            "name": self.name,
            "version": self.version,
            "build": self.build,
            "build_number": int(number[1]) if number else 0,
            "depends": list(self.depends),
            "constrains": list(self.constrains),
            "license": "BSD-3-Clause",
            "subdir": self.folder,
            "timestamp": _MOMENT_S * 1000,
        }
        if self.noarch:
            said["noarch"] = self.noarch
        else:
            system, machine = self.folder.split("-", 1)
            said |= {"arch": {"64": "x86_64"}.get(machine, machine), "platform": system}
        return said


def make_channel(folder: Path, packages: Iterable[Package]) -> str:
    """Write these packages and their index; returns the channel's `file://` URL. A second call replaces the index.

    `folder` is made where it is missing.
    """
    rows: dict[str, list[Package]] = {"noarch": [], native_subdir(): []}
    for package in packages:
        rows.setdefault(package.folder, []).append(package)
    for subdir, inside in rows.items():
        place = Path(folder, subdir)
        place.mkdir(parents=True, exist_ok=True)
        index: dict[str, dict[str, object]] = {".tar.bz2": {}, ".conda": {}}
        for package in inside:
            body = _pack(package)
            name = package.stem + package.form
            (place / name).write_bytes(body)
            sums = {"md5": hashlib.md5(body, usedforsecurity=False).hexdigest(), "sha256": hashlib.sha256(body).hexdigest()}
            index[package.form][name] = {**package.index, **sums, "size": len(body)}
        repodata = {
            "info": {"subdir": subdir},
            "packages": index[".tar.bz2"],
            "packages.conda": index[".conda"],
            "removed": [],
            "repodata_version": 1,
        }
        (place / "repodata.json").write_text(json.dumps(repodata, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return Path(folder).resolve().as_uri()


def native_subdir() -> str:
    """conda's word for the running platform: `linux-64`, `osx-arm64`, `win-64`."""
    system = {"linux": "linux", "darwin": "osx", "win32": "win"}.get(sys.platform, sys.platform)
    machine = platform.machine().lower()
    machine = {"x86_64": "64", "amd64": "64", "i686": "32"}.get(machine, machine)
    return f"{system}-{'arm64' if system != 'linux' and machine == 'aarch64' else machine}"


def _pack(package: Package) -> bytes:
    content = dict(sorted(package.files.items()))
    if package.form == ".tar.bz2":
        return bz2.compress(_tar({**_info(package), **content}))
    if package.form != ".conda":
        raise ValueError(f"{package.name}: form is {package.form!r}, expected '.tar.bz2' or '.conda'")
    made = io.BytesIO()
    # Stored, not deflated: conda streams the inner archives out of it.
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as outer:
        for name, body in (
            ("metadata.json", json.dumps({"conda_pkg_format_version": 2}).encode()),
            (f"pkg-{package.stem}.tar.zst", _zstd(_tar(content))),
            (f"info-{package.stem}.tar.zst", _zstd(_tar(_info(package)))),
        ):
            outer.writestr(zipfile.ZipInfo(name, (2023, 11, 14, 0, 0, 0)), body)
    return made.getvalue()


def _info(package: Package) -> dict[str, bytes]:
    paths = sorted(package.files)
    about = {"summary": f"{package.name}, for tests", "license": "BSD-3-Clause", "channels": []}
    made: dict[str, object] = {
        "info/index.json": package.index,
        "info/paths.json": {"paths": [_path(path, package.files[path]) for path in paths], "paths_version": 1},
        "info/about.json": about,
    }
    if package.noarch:
        kind: dict[str, object] = {"type": package.noarch}
        if package.noarch == "python":
            kind["entry_points"] = list(package.entry_points)
        made["info/link.json"] = {"noarch": kind, "package_metadata_version": 1}
    info = {name: (json.dumps(body, indent=1, sort_keys=True) + "\n").encode() for name, body in made.items()}
    info["info/files"] = "".join(f"{path}\n" for path in paths).encode()
    # conda up to 26 reads the placeholders of a package without a usable paths.json from here.
    held = [f'"{PLACEHOLDER}" {_mode(package.files[path])} "{path}"\n' for path in paths if _holds_prefix(package.files[path])]
    if held:
        info["info/has_prefix"] = "".join(held).encode()
    return dict(sorted(info.items()))


def _path(path: str, body: bytes) -> dict[str, object]:
    row: dict[str, object] = {
        "_path": path,
        "path_type": "hardlink",
        "sha256": hashlib.sha256(body).hexdigest(),
        "size_in_bytes": len(body),
    }
    if _holds_prefix(body):
        row |= {"prefix_placeholder": PLACEHOLDER, "file_mode": _mode(body)}
    return row


def _holds_prefix(body: bytes) -> bool:
    return PLACEHOLDER.encode() in body


def _mode(body: bytes) -> str:
    return "binary" if b"\0" in body else "text"


def _tar(files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, body in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(body)
            member.mtime = _MOMENT_S
            member.mode = 0o755 if path.startswith(("bin/", "Scripts/", "python-scripts/")) else 0o644
            archive.addfile(member, io.BytesIO(body))
    return made.getvalue()


def _zstd(body: bytes) -> bytes:
    """A zstd frame of raw blocks: valid everywhere, and no library has to be there to compress it.

    Source: RFC 8878, section 3.1.1
    """
    window_128_kib = (17 - 10) << 3
    made = [struct.pack("<IBB", 0xFD2FB528, 0, window_128_kib)]
    block_bytes = 1 << 17
    starts = range(0, len(body), block_bytes) or range(1)
    for start in starts:
        block = body[start : start + block_bytes]
        is_last = start + block_bytes >= len(body)
        made += [struct.pack("<I", len(block) << 3 | is_last)[:3], block]
    return b"".join(made)
