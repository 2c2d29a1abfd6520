"""Unpacking: every kind gives the same folder, `strip` and `include` choose, the manifest knows what is there."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import struct
import subprocess
import sys
import tarfile
import textwrap
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from archives import BLOCK, COMPRESSORS, TarMember, ZipMember, pax, rar, seven_zip, tar, wrap, zip_, zstd_compress
from conda_assets.errors import ArchiveRefused, NotAnArchive, UnsafePath, UsageError
from conda_assets.events import Event, Noted, Unpacking
from conda_assets.globs import compile_glob
from conda_assets.model import Unpack
from conda_assets.unpack import (
    Damaged,
    Manifest,
    Member,
    extract,
    manifest_path,
    read_manifest,
    remove_unpacked,
    stands,
    verify_members,
    write_manifest,
)
from conda_assets.unpack.checking import LOOK_AT_MOST

pytestmark = pytest.mark.slow

MTIME_NS = 1_700_000_000 * 10**9
FILES = {
    "top/a.jsonl": b'{"a": 1}\n' * 100,
    "top/empty": b"",
    "top/run": b"#!/bin/sh\n",
    "top/sub/b.jsonl": b'{"b": 2}\n',
    "top/sub/big.bin": bytes(range(256)) * 12_000,
    "top/sub/naïve 日本.txt": "grün".encode(),
}


def packed_tar(format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for folder in ("top", "top/sub"):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o700
            archive.addfile(info)
        for name, data in FILES.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(data), MTIME_NS // 10**9, 0o4755 if name.endswith("run") else 0o600
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def packed_zip(method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in FILES.items():
            info = zipfile.ZipInfo(name, (2023, 11, 14, 22, 13, 20))
            info.external_attr = (stat.S_IFREG | (0o4755 if name.endswith("run") else 0o600)) << 16
            info.compress_type = method
            archive.writestr(info, data)
    return out.getvalue()


def packed_seven_zip(folder: Path) -> bytes:
    attributes = {"mtime": MTIME_NS // 10**9}
    return seven_zip(
        folder,
        [(name, data, {**attributes, "permission": 0o755 if name.endswith("run") else 0o644}) for name, data in FILES.items()],
    )


def unpack(folder: Path, data: bytes, name: str = "x", how: Unpack = Unpack(), **more: object) -> tuple[Manifest, Path]:  # noqa: B008
    """Unpack bytes into `folder/prefix/share/assets/data`."""
    archive = folder / "archive"
    archive.write_bytes(data)
    prefix = folder / "prefix"
    into = prefix / "share" / "assets" / "data"
    return extract(archive, name, into, how, within=prefix, **more), into  # type: ignore[arg-type]


def tree(folder: Path) -> dict[str, bytes]:
    """path → bytes of all files."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


KINDS: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "zip": ("zip", lambda folder: packed_zip()),
    "zip stored": ("zip", lambda folder: packed_zip(zipfile.ZIP_STORED)),
    "zip bzip2": ("zip", lambda folder: packed_zip(zipfile.ZIP_BZIP2)),
    "zip lzma": ("zip", lambda folder: packed_zip(zipfile.ZIP_LZMA)),
    "zip behind a program": ("zip", lambda folder: b"\x7fELF" + os.urandom(5000) + packed_zip()),
    "tar pax": ("tar", lambda folder: packed_tar()),
    "tar gnu": ("tar", lambda folder: packed_tar(tarfile.GNU_FORMAT)),
    "tar.gz": ("tar.gz", lambda folder: wrap("gz", packed_tar())),
    "tar.bz2": ("tar.bz2", lambda folder: wrap("bz2", packed_tar())),
    "tar.xz": ("tar.xz", lambda folder: wrap("xz", packed_tar())),
    "tar.zst": ("tar.zst", lambda folder: wrap("zst", packed_tar())),
    "7z": ("7z", packed_seven_zip),
}


@pytest.mark.parametrize("label", KINDS)
def test_every_kind_gives_the_same_folder(label: str, tmp_path: Path) -> None:
    kind, make = KINDS[label]
    data = make(tmp_path)
    manifest, into = unpack(tmp_path, data)
    assert tree(into) == FILES
    assert (manifest.kind, manifest.sha256) == (kind, hashlib.sha256(data).hexdigest())
    assert {member.path: member.sha256 for member in manifest.members} == {
        name: hashlib.sha256(body).hexdigest() for name, body in FILES.items()
    }
    assert {path.stat().st_mtime_ns for path in into.rglob("*") if path.is_file()} == {MTIME_NS}
    modes = {path.relative_to(into).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in into.rglob("*") if path.is_file()}
    assert modes == {name: 0o555 if name == "top/run" else 0o444 for name in FILES}
    assert stands(manifest, into)
    assert verify_members(manifest, into) == []
    assert [path.name for path in into.parent.iterdir()] == ["data"]


def test_rar_is_read(tmp_path: Path) -> None:
    pytest.importorskip("libarchive", exc_type=Exception)
    manifest, into = unpack(tmp_path, rar((b"top/a.txt", b"hello"), (b"top/b/c.txt", b"there" * 1000)))
    assert (manifest.kind, tree(into)) == ("rar", {"top/a.txt": b"hello", "top/b/c.txt": b"there" * 1000})


@pytest.mark.parametrize("codec", COMPRESSORS)
@pytest.mark.parametrize("body", [b"", b"one line\n", bytes(range(256)) * 5_000], ids=["empty", "small", "large"])
def test_a_compressed_file_becomes_a_folder_with_that_file(codec: str, body: bytes, tmp_path: Path) -> None:
    manifest, into = unpack(tmp_path, wrap(codec, body), f"table.csv.{codec}")
    assert (manifest.kind, tree(into)) == (codec, {"table.csv": body})


@pytest.mark.parametrize("codec", COMPRESSORS)
def test_several_streams_in_one_file_are_one_file(codec: str, tmp_path: Path) -> None:
    """As bgzip, pigz, pbzip2, pixz and pzstd write them."""
    pieces = [bytes([number]) * 70_000 for number in range(20)]
    _, into = unpack(tmp_path, b"".join(wrap(codec, piece) for piece in pieces), "x.txt")
    assert tree(into) == {"x.txt": b"".join(pieces)}


@pytest.mark.parametrize("codec", ["gz", "bz2", "xz"])
def test_zeros_after_the_last_stream_do_not_matter(codec: str, tmp_path: Path) -> None:
    _, into = unpack(tmp_path, wrap(codec, b"text") + bytes(300_000), "x.txt")
    assert tree(into) == {"x.txt": b"text"}


def test_a_zstandard_file_may_begin_with_a_frame_to_pass_over(tmp_path: Path) -> None:
    skippable = b"\x50\x2a\x4d\x18" + struct.pack("<L", 4) + b"abcd"
    _, into = unpack(tmp_path, skippable + zstd_compress(b"text"), "x.txt.zst")
    assert tree(into) == {"x.txt": b"text"}


def test_a_long_zstandard_window_is_read(tmp_path: Path) -> None:
    """As `zstd --long=31` makes it, which decoders refuse by default."""
    zstd = pytest.importorskip("backports.zstd")
    options = {zstd.CompressionParameter.window_log: 30, zstd.CompressionParameter.enable_long_distance_matching: 1}
    packer = zstd.ZstdCompressor(options=options)
    data = packer.compress(b"text" * 1000) + packer.flush()
    _, into = unpack(tmp_path, data, "x.txt.zst")
    assert tree(into) == {"x.txt": b"text" * 1000}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("table.csv.gz", "table.csv"),
        ("TABLE.CSV.GZ", "TABLE.CSV"),
        ("table", "table"),
        ("genome.fa.bgz", "genome.fa"),
        ("x.tgz", "x"),
        (".gz", ".gz"),
        ("", "data"),
        ("..", "data"),
        ("../../evil.gz", "evil"),
        ("..%2f..\\..\\evil.gz", "evil"),
        ("a\nb.gz", "data"),
        ("C:evil.gz", "data"),
        ("x" * 300 + ".gz", "data"),
    ],
    ids=repr,
)
def test_a_single_file_takes_its_name_from_the_url_if_that_is_one(name: str, expected: str, tmp_path: Path) -> None:
    manifest, _ = unpack(tmp_path, wrap("gz", b"text"), name)
    assert [member.path for member in manifest.members] == [expected]


def test_a_gzip_header_knows_the_time(tmp_path: Path) -> None:
    manifest, _ = unpack(tmp_path, gzip.compress(b"text", mtime=1_600_000_000), "x.gz")
    assert manifest.members[0].modified_ns == 1_600_000_000 * 10**9


def test_the_bytes_decide_the_kind_and_not_the_name(tmp_path: Path) -> None:
    for name in ("x.zip", "x.tar.gz", "x.7z", "x.csv"):
        manifest, _ = unpack(tmp_path, wrap("xz", packed_tar()), name)
        assert manifest.kind == "tar.xz"


def test_a_tar_whose_first_name_begins_like_a_zip_is_told_by_its_name(tmp_path: Path) -> None:
    both = tar(TarMember(b"PK\x03\x04x", b"data"))
    with pytest.raises(ArchiveRefused, match="zip archive is damaged"):
        unpack(tmp_path, both, "x.bin")
    with pytest.raises(ArchiveRefused, match="control character"):
        unpack(tmp_path, both, "x.tar")


STRIP_AND_INCLUDE = [
    (Unpack(), sorted(FILES)),
    (Unpack(1), ["a.jsonl", "empty", "run", "sub/b.jsonl", "sub/big.bin", "sub/naïve 日本.txt"]),
    (Unpack(2), ["b.jsonl", "big.bin", "naïve 日本.txt"]),
    (Unpack(1, ("*.jsonl",)), ["a.jsonl"]),
    (Unpack(1, ("**/*.jsonl",)), ["a.jsonl", "sub/b.jsonl"]),
    (Unpack(0, ("*.jsonl", "top/**/b.*")), ["top/sub/b.jsonl"]),
    (Unpack(1, ("sub",)), ["sub/b.jsonl", "sub/big.bin", "sub/naïve 日本.txt"]),
    (Unpack(1, ("sub/",)), ["sub/b.jsonl", "sub/big.bin", "sub/naïve 日本.txt"]),
    (Unpack(1, ("./sub/**",)), ["sub/b.jsonl", "sub/big.bin", "sub/naïve 日本.txt"]),
    (Unpack(1, ("sub/b*",)), ["sub/b.jsonl", "sub/big.bin"]),
    (Unpack(1, ("*/?.[jk]sonl", "[!ae]un")), ["run", "sub/b.jsonl"]),
    (Unpack(1, ("**",)), ["a.jsonl", "empty", "run", "sub/b.jsonl", "sub/big.bin", "sub/naïve 日本.txt"]),
    (Unpack(0, ("top",)), sorted(FILES)),
]


@pytest.mark.parametrize("label", ["zip", "tar.gz", "7z"])
@pytest.mark.parametrize(("how", "expected"), STRIP_AND_INCLUDE, ids=lambda each: repr(each) if isinstance(each, Unpack) else "")
def test_strip_and_include_choose(label: str, how: Unpack, expected: list[str], tmp_path: Path) -> None:
    manifest, into = unpack(tmp_path, KINDS[label][1](tmp_path), how=how)
    assert sorted(tree(into)) == expected == [member.path for member in manifest.members]
    folders = {path.relative_to(into).as_posix() for path in into.rglob("*") if path.is_dir()}
    assert folders == {path.rpartition("/")[0] for path in expected if "/" in path} | ({"top"} & folders)


def test_no_match_names_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ArchiveRefused) as caught:
        unpack(tmp_path, packed_zip(), how=Unpack(1, ("*.parquet",)))
    assert str(caught.value) == (
        "data: no member matches `*.parquet`; its first ones are `top/a.jsonl`, `top/empty`, `top/run`, `top/sub/b.jsonl`, "
        "`top/sub/big.bin` …"
    )
    assert caught.value.hints[0].text == "correct `include:`; it sees names after `strip:`"


def test_one_pattern_of_several_without_a_match_is_told(tmp_path: Path) -> None:
    seen: list[Event] = []
    unpack(tmp_path, packed_zip(), how=Unpack(1, ("*.jsonl", "*.parquet")), watch=seen.append)
    assert [event.text for event in seen if isinstance(event, Noted)] == ["data: no member matches `*.parquet`"]


def test_stripping_everything_away_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveRefused, match=r"`strip: 3` leaves nothing of it; its first members are `top/a.jsonl`"):
        unpack(tmp_path, packed_zip(), how=Unpack(3))


def test_members_that_fall_together_after_strip_are_refused(tmp_path: Path) -> None:
    data = zip_(ZipMember("a/x.csv", b"1"), ZipMember("b/x.csv", b"2"))
    with pytest.raises(ArchiveRefused, match=r"two of its members land on `x\.csv`"):
        unpack(tmp_path, data, how=Unpack(1))


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("*.csv", ["a.csv", ".csv", "a.csv/below"], ["d/a.csv", "a.csv.gz", "a.CSV"]),
        ("**/*.csv", ["a.csv", "d/a.csv", "d/e/a.csv"], ["a.csvx"]),
        ("d/**/x", ["d/x", "d/e/x", "d/e/f/x"], ["x", "dx", "e/d/x"]),
        ("d/**", ["d/x", "d/e/x"], ["d", "dd/x"]),
        ("?[0-9].[!a]", ["a1.b"], ["a1.a", "1.b", "a/1.b"]),
        ("[!x]", ["y"], ["x", "/"]),
        ("a[", ["a["], ["a"]),
        ("a[]b]", ["a]", "ab"], ["a"]),
        ("[z-a]", ["z", "a", "-"], ["m"]),
        ("(a|b)+$", ["(a|b)+$"], ["a"]),
        ("x**y", ["xy", "x1y"], ["x/y"]),
        ("[^a]", ["b"], ["a"]),
    ],
)
def test_globs(glob: str, yes: list[str], no: list[str]) -> None:
    pattern = compile_glob(glob)
    assert [path for path in yes if not pattern.fullmatch(path)] == []
    assert [path for path in no if pattern.fullmatch(path)] == []


def test_a_dot_in_front_is_no_folder(tmp_path: Path) -> None:
    """As `tar czf x.tgz .` writes it."""
    data = tar(TarMember("./", type=b"5"), TarMember("./d/", type=b"5"), TarMember("./d/x", b"1"), TarMember(".//d/./y", b"2"))
    _, into = unpack(tmp_path, data, how=Unpack(1))
    assert tree(into) == {"x": b"1", "y": b"2"}


def test_empty_folders_of_the_archive_are_made(tmp_path: Path) -> None:
    _, into = unpack(tmp_path, tar(TarMember("out/", type=b"5"), TarMember("x", b"1")))
    assert sorted(path.name for path in into.iterdir()) == ["out", "x"]


@pytest.mark.parametrize("format", ["pax", "gnu", "prefix"])
def test_long_names_arrive(format: str, tmp_path: Path) -> None:
    name = "/".join(["folder" * 6] * 4 + ["a file with a long name " * 4 + ".txt"])
    leader = {
        "pax": [pax([("path", name.encode())]), TarMember("short", b"1")],
        "gnu": [TarMember("././@LongLink", name.encode() + b"\0", b"L", magic=b"ustar  \0"), TarMember("short", b"1")],
        "prefix": [TarMember(name.split("/", 3)[3][-100:], b"1", prefix="/".join(name.split("/")[:3]).encode())],
    }[format]
    expected = name if format != "prefix" else "/".join(name.split("/")[:3]) + "/" + name.split("/", 3)[3][-100:]
    _, into = unpack(tmp_path, tar(*leader))
    assert tree(into) == {expected: b"1"}


def test_old_archives_have_readable_names(tmp_path: Path) -> None:
    """No encoding is said there: UTF-8 where it is valid, else Latin-1 in tar and the DOS code page in zip."""
    _, into = unpack(tmp_path, tar(TarMember("größe".encode("latin-1"), b"1"), TarMember("größe2".encode(), b"2")))
    assert sorted(tree(into)) == ["größe", "größe2"]
    _, into = unpack(tmp_path, zip_(ZipMember("größe".encode("cp437"), b"1"), ZipMember("größe2".encode(), b"2")))
    assert sorted(tree(into)) == ["größe", "größe2"]


def test_a_zip_name_in_the_unicode_field_counts(tmp_path: Path) -> None:
    import zlib

    raw = b"gr__e"
    field = b"\x01" + struct.pack("<L", zlib.crc32(raw)) + "größe".encode()
    _, into = unpack(tmp_path, zip_(ZipMember(raw, b"1", extra=struct.pack("<HH", 0x7075, len(field)) + field)))
    assert sorted(tree(into)) == ["größe"]


@pytest.mark.parametrize(
    ("mtime", "expected"),
    [
        (0, 315_532_800),
        (-5, 315_532_800),
        (1_600_000_000, 1_600_000_000),
        (1 << 40, None),
        (1 << 80, None),
        (-(1 << 80), 315_532_800),
    ],
)
def test_time_stamps_are_sane(mtime: int, expected: int | None, tmp_path: Path) -> None:
    before = time.time_ns()
    manifest, _ = unpack(tmp_path, tar(TarMember("x", b"1", mtime=mtime)))
    got = manifest.members[0].modified_ns
    assert before <= got <= time.time_ns() if expected is None else got == expected * 10**9


@pytest.mark.parametrize("mtime", [b"nan", b"inf", b"-inf", b"1e400", b"soon", b""])
def test_a_time_stamp_that_is_none_is_old(mtime: bytes, tmp_path: Path) -> None:
    manifest, _ = unpack(tmp_path, tar(pax([("mtime", mtime)]), TarMember("x", b"1")))
    assert manifest.members[0].modified_ns == 315_532_800 * 10**9


def test_zip_time_stamps_come_from_the_best_field(tmp_path: Path) -> None:
    unix = struct.pack("<HHBl", 0x5455, 5, 1, 1_600_000_000)
    ntfs = struct.pack("<HHLHHQQQ", 0x000A, 32, 0, 1, 24, (1_500_000_000 * 10**7) + 116_444_736_000_000_000, 0, 0)
    data = zip_(ZipMember("dos", b"1"), ZipMember("ntfs", b"1", extra=ntfs), ZipMember("unix", b"1", extra=ntfs + unix))
    manifest, _ = unpack(tmp_path, data)
    assert [member.modified_ns // 10**9 for member in manifest.members] == [1_700_000_000, 1_500_000_000, 1_600_000_000]


OLD_SPARSE = TarMember(
    "sparse", b"A" * 512 + b"B" * 10, b"S", magic=b"ustar  \0",
    extra=bytes(41) + b"".join(b"%011o\0" % number for number in (0, 512, 1_000_000, 10)).ljust(96, b"\0") + b"\0"
    + b"%011o\0" % 1_000_010,
)  # fmt: skip
SPARSE_MAP_1 = b"2\n0\n512\n1000000\n10\n".ljust(BLOCK, b"\0")


@pytest.mark.parametrize(
    "members",
    [
        [OLD_SPARSE],
        [
            pax([("GNU.sparse.name", b"sparse"), ("GNU.sparse.size", b"1000010"), ("GNU.sparse.map", b"0,512,1000000,10")]),
            TarMember("GNUSparseFile.1/sparse", b"A" * 512 + b"B" * 10),
        ],
        [
            pax(
                [("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.name", b"sparse"),
                 ("GNU.sparse.realsize", b"1000010")]
            ),
            TarMember("GNUSparseFile.1/sparse", SPARSE_MAP_1 + b"A" * 512 + b"B" * 10),
        ],
    ],
    ids=["old GNU", "0.1", "1.0"],
)  # fmt: skip
def test_sparse_files_are_filled(members: list[TarMember], tmp_path: Path) -> None:
    _, into = unpack(tmp_path, tar(*members, TarMember("after", b"1")))
    assert tree(into) == {"sparse": b"A" * 512 + bytes(1_000_000 - 512) + b"B" * 10, "after": b"1"}


def test_what_gnu_tar_writes_is_read(tmp_path: Path) -> None:
    """All its forms, with a sparse file, a long name, a hard link and a link."""
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    with (source / "sparse").open("wb") as file:
        for index in range(30):
            file.seek(index * 100_000)
            file.write(b"x")
        file.truncate(5_000_000)
    (source / "d" / ("long" * 50)).write_bytes(b"long")
    (source / "hard").hardlink_to(source / "d" / ("long" * 50))
    (source / "soft").symlink_to("d/" + "long" * 50)
    expected = tree(source)
    for option in ("gnu", "oldgnu", "posix"):
        packed = subprocess.run(
            ["tar", f"--format={option}", "--sparse", "-cf", "-", "-C", source, "."], capture_output=True, check=True
        )
        _, into = unpack(tmp_path, packed.stdout)
        assert tree(into) == expected


def test_links_inside_become_other_names_of_the_file(tmp_path: Path) -> None:
    data = tar(
        TarMember("d/hard", type=b"1", link="d/x"),
        TarMember("latest", type=b"2", link="./d/../d/x"),
        TarMember("d/x", b"12345", mode=0o755),
        TarMember("d/up", type=b"2", link="../latest"),
        TarMember("e/f", b"e"),
        TarMember("through", type=b"2", link="dir/f"),
        TarMember("dir", type=b"2", link="e"),
    )
    manifest, into = unpack(tmp_path, data)
    expected = {
        "d/hard": b"12345",
        "latest": b"12345",
        "d/x": b"12345",
        "d/up": b"12345",
        "e/f": b"e",
        "dir/f": b"e",
        "through": b"e",
    }
    assert tree(into) == expected
    assert sorted(expected) == [member.path for member in manifest.members]
    assert not any(path.is_symlink() for path in into.rglob("*"))
    assert verify_members(manifest, into) == []
    assert (into / "latest").stat().st_mode & 0o777 == 0o555


def test_links_to_folders_hold_what_these_hold(tmp_path: Path) -> None:
    data = tar(
        TarMember("v2/x", b"x"), TarMember("v2/y", type=b"2", link="x"), TarMember("v2/inner", type=b"2", link="../other"),
        TarMember("other/z", b"z"), TarMember("latest", type=b"2", link="v2"),
    )  # fmt: skip
    _, into = unpack(tmp_path, data)
    assert sorted(tree(into)) == [
        "latest/inner/z", "latest/x", "latest/y", "other/z", "v2/inner/z", "v2/x", "v2/y",
    ]  # fmt: skip


def test_links_in_zip_and_7z_are_treated_alike(tmp_path: Path) -> None:
    data = zip_(ZipMember("l", b"d/x", mode=stat.S_IFLNK | 0o777), ZipMember("d/x", b"1"))
    assert tree(unpack(tmp_path, data)[1]) == {"l": b"1", "d/x": b"1"}


def test_links_are_resolved_with_names_before_strip(tmp_path: Path) -> None:
    data = tar(
        TarMember("top/x", b"1"), TarMember("top/d/l", type=b"2", link="../x"), TarMember("top/h", type=b"1", link="top/x")
    )
    assert tree(unpack(tmp_path, data, how=Unpack(1))[1]) == {"x": b"1", "d/l": b"1", "h": b"1"}


def test_a_link_to_nothing_is_left_out_and_told(tmp_path: Path) -> None:
    seen: list[Event] = []
    manifest, into = unpack(tmp_path, tar(TarMember("x", b"1"), TarMember("l", type=b"2", link="gone")), watch=seen.append)
    assert tree(into) == {"x": b"1"}
    assert [event.text for event in seen if isinstance(event, Noted)] == [
        "data: the link `l` leads to `gone`, which is not in the archive; it is left out"
    ]
    assert stands(manifest, into)


def test_a_link_to_what_include_leaves_out_is_refused(tmp_path: Path) -> None:
    data = tar(TarMember("x.csv", b"1"), TarMember("latest.csv", type=b"2", link="x.csv"))
    with pytest.raises(ArchiveRefused, match=r"`latest\.csv` is a link to `x\.csv`, which is not among what `include` takes"):
        unpack(tmp_path, data, how=Unpack(0, ("latest.csv",)))
    assert sorted(tree(unpack(tmp_path, data, how=Unpack(0, ("*.csv",)))[1])) == ["latest.csv", "x.csv"]


def test_progress_ends_at_the_size_of_the_archive(tmp_path: Path) -> None:
    seen: list[Event] = []
    data = tar(*(TarMember(f"d/{number}", os.urandom(3 << 20)) for number in range(5)))
    unpack(tmp_path, data, watch=seen.append, asset="corpus")
    steps = [event for event in seen if isinstance(event, Unpacking)]
    assert all(step.asset == "corpus" and step.size_bytes == len(data) for step in steps)
    assert [step.done_bytes for step in steps] == sorted(step.done_bytes for step in steps)
    assert (steps[0].done_bytes, steps[-1].done_bytes) == (0, len(data))


def test_the_digest_that_is_given_is_believed(tmp_path: Path) -> None:
    manifest, _ = unpack(tmp_path, packed_zip(), sha256="ab" * 32)
    assert manifest.sha256 == "ab" * 32


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is empty"),
        (b"  <!DOCTYPE html><html>", "it is an HTML page, not an archive: the server may want a login or a click"),
        (b"%PDF-1.7 ...", "it is a PDF document"),
        (b"a,b,c\n1,2,3\n", "it begins with 61 2c 62 2c 63 0a 31 2c"),
        (b"\x89HDF\r\n\x1a\n", "it is an HDF5 file"),
        (bytes(10240), "it begins with 00 00 00 00"),
    ],
)
def test_what_is_no_archive_is_called_by_its_name(data: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(NotAnArchive) as caught:
        unpack(tmp_path, data, "x.bin")
    assert str(caught.value).startswith(f"data: {said}")
    assert not (tmp_path / "prefix" / "share" / "assets" / "data").exists()


@pytest.mark.parametrize(
    "data", [zip_(), tar(), tar(TarMember("d/", type=b"5")), wrap("gz", tar())], ids=["zip", "tar", "folder", "tgz"]
)
def test_an_empty_archive_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ArchiveRefused, match="holds no files"):
        unpack(tmp_path, data, "x.tar.gz")


@pytest.mark.parametrize(
    "block", [["libarchive"], ["backports", "backports.zstd", "compression", "compression.zstd", "zstandard"]], ids=["7z", "zst"]
)
def test_a_missing_package_is_named(block: list[str], tmp_path: Path) -> None:
    """In a Python that cannot import it, as many cannot."""
    data = packed_seven_zip(tmp_path) if block == ["libarchive"] else zstd_compress(b"text")
    (tmp_path / "archive").write_bytes(data)
    # A folder in front of all others, whose modules say that they are not there.
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in block:
        if "." not in name:
            (hidden / f"{name}.py").write_text("raise ModuleNotFoundError")
    code = textwrap.dedent("""
        import sys
        from pathlib import Path
        from conda_assets.errors import ArchiveRefused
        from conda_assets.model import Unpack
        from conda_assets.unpack import extract
        folder = Path(sys.argv[1])
        try:
            extract(folder / "archive", "x", folder / "out" / "data", Unpack(), within=folder / "out")
        except ArchiveRefused as error:
            print(error.message, error.hints[0].text, sep="\\n")
    """)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(hidden)},
    )  # fmt: skip
    assert "conda install -c conda-forge" in done.stdout, done.stderr
    assert ("libarchive-c" if block == ["libarchive"] else "backports.zstd") in done.stdout
    assert ("cannot be read by this Python" in done.stdout) or ("which is not here" in done.stdout)


def test_zstandard_is_read_with_either_package(tmp_path: Path) -> None:
    pytest.importorskip("zstandard")
    (tmp_path / "archive").write_bytes(zstd_compress(packed_tar()) + zstd_compress(b""))
    (tmp_path / "short").write_bytes(zstd_compress(packed_tar())[:-20])
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in ("backports", "compression"):
        (hidden / f"{name}.py").write_text("raise ModuleNotFoundError")
    code = textwrap.dedent("""
        import sys
        from pathlib import Path
        from conda_assets.errors import ArchiveRefused
        from conda_assets.model import Unpack
        from conda_assets.unpack import extract
        folder = Path(sys.argv[1])
        print(len(extract(folder / "archive", "x", folder / "out" / "data", Unpack(), within=folder / "out").members))
        try:
            extract(folder / "short", "x", folder / "out" / "data", Unpack(), within=folder / "out")
        except ArchiveRefused as error:
            print(error.message)
    """)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(hidden)},
    )  # fmt: skip
    assert done.stdout == f"{len(FILES)}\ndata: the .zst file is cut off\n"


def test_a_manifest_comes_back_as_it_was(tmp_path: Path) -> None:
    manifest, into = unpack(tmp_path, packed_zip(), "x.zip", Unpack(1, ("*.jsonl", "sub")))
    path = manifest_path(tmp_path / "prefix", "corpus")
    assert path == tmp_path / "prefix" / "etc" / "conda-assets" / "unpacked" / "corpus.json"
    assert read_manifest(path) is None
    write_manifest(path, manifest)
    assert read_manifest(path) == manifest
    assert [each.name for each in path.parent.iterdir()] == ["corpus.json"]
    before = path.read_bytes()
    write_manifest(path, manifest)
    assert path.read_bytes() == before
    assert stands(manifest, into)


MANIFEST_OF = (
    '{"schema": 1, "sha256": "a", "kind": "zip", "name": "x", "unpack": {"strip": 0, "include": []},'
    ' "members": [["%s", 1, 1, "a", 0]]}'
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema": 2}',
        '{"schema": 1}',
        "[" * 100_000,
        '{"schema": 1, "sha256": "a", "kind": "zip", "name": "x", "unpack": {"strip": 0, "include": []}, "members": [[1]]}',
        MANIFEST_OF % "../x",
        MANIFEST_OF % "/etc/passwd",
    ],
    ids=range(9),
)
def test_a_manifest_that_is_none_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "corpus.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"corpus\.json"):
        read_manifest(path)


def test_a_manifest_says_whether_it_is_still_what_is_asked_for() -> None:
    members = (Member("x", 1, 1, "b"),)
    manifest = Manifest("a", "tar.gz", "x.tgz", Unpack(1), members)
    assert manifest.fits("a", "y.tgz", Unpack(1))
    assert not manifest.fits("b", "x.tgz", Unpack(1))
    assert not manifest.fits("a", "x.tgz", Unpack(2))
    assert not manifest.fits("a", "x.tgz", Unpack(1, ("*",)))
    assert not replace(manifest, kind="gz").fits("a", "y.gz", Unpack(1))


def test_a_change_is_seen_by_a_look(tmp_path: Path) -> None:
    manifest, into = unpack(tmp_path, packed_zip(), how=Unpack(1))
    (into / "mine.txt").write_text("not of the archive")
    assert stands(manifest, into)
    file = into / "sub" / "b.jsonl"
    info = file.stat()
    file.chmod(0o644)
    file.write_bytes(b"x" * info.st_size)
    assert not stands(manifest, into)
    os.utime(file, ns=(info.st_mtime_ns, info.st_mtime_ns))
    assert stands(manifest, into)  # bytes are not read
    assert [each.path for each in verify_members(manifest, into)] == ["sub/b.jsonl"]


def test_verify_says_what_is_wrong_with_which_member(tmp_path: Path) -> None:
    manifest, into = unpack(tmp_path, packed_zip(), how=Unpack(1))
    (into / "a.jsonl").unlink()
    (into / "run").unlink()
    (into / "run").symlink_to("/bin/sh")
    (into / "empty").chmod(0o644)
    (into / "empty").write_bytes(b"not")
    (into / "sub" / "b.jsonl").unlink()
    (into / "sub" / "b.jsonl").mkdir()
    big = into / "sub" / "big.bin"
    big.chmod(0o644)
    body = big.read_bytes()
    big.write_bytes(b"!" + body[1:])
    told: list[int] = []
    damaged = verify_members(manifest, into, progress=told.append)
    sha256 = [hashlib.sha256(each).hexdigest() for each in (body, b"!" + body[1:])]
    assert damaged == [
        Damaged("a.jsonl", "it is missing", missing=True),
        Damaged("empty", "expected 0 bytes, got 3"),
        Damaged("run", "it is a link now"),
        Damaged("sub/b.jsonl", "it is not a file any more"),
        Damaged("sub/big.bin", f"expected sha256 {sha256[0]}, got {sha256[1]}"),
    ]
    assert told[-1] == len(body) + len("grün".encode())
    assert [each.missing for each in verify_members(manifest, tmp_path / "gone")] == [True] * 6


def test_very_many_files_are_looked_at_in_part() -> None:
    """Every member of a folder that is gone is wrong, so any that is looked at says so."""
    members = tuple(Member(str(number), 0, 0, "") for number in range(LOOK_AT_MOST * 2 + 1))
    assert not stands(Manifest("", "zip", "", Unpack(), members), Path("/nonexistent"))


def test_removal_takes_ours_and_leaves_the_rest(tmp_path: Path) -> None:
    manifest, into = unpack(tmp_path, packed_zip(), how=Unpack(1))
    (into / "sub" / "mine").write_text("mine")
    (into / "run").chmod(0o755)
    (into / "run").write_text("changed")
    assert remove_unpacked(manifest, into, within=tmp_path / "prefix") == ["run", "sub/mine"]
    assert tree(into) == {"run": b"changed", "sub/mine": b"mine"}
    (into / "run").unlink()
    (into / "sub" / "mine").unlink()
    assert remove_unpacked(manifest, into, within=tmp_path / "prefix") == []
    assert list((tmp_path / "prefix").iterdir()) == []
    assert remove_unpacked(manifest, into, within=tmp_path / "prefix") == []


def test_a_file_or_link_at_the_target_is_left_alone(tmp_path: Path) -> None:
    into = tmp_path / "prefix" / "share" / "assets" / "data"
    into.parent.mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for plant in (lambda: into.write_text("mine"), lambda: into.symlink_to(elsewhere)):
        plant()
        with pytest.raises(UnsafePath, match="is not a folder, and is left as it is: move it away"):
            unpack(tmp_path, packed_zip())
        manifest = Manifest("", "zip", "", Unpack(), ())
        with pytest.raises(UnsafePath, match="is not a folder: left as it is"):
            remove_unpacked(manifest, into, within=tmp_path / "prefix")
        into.unlink()
    assert list(elsewhere.iterdir()) == []


def test_the_manifest_is_what_its_module_draws(tmp_path: Path) -> None:
    manifest, _ = unpack(tmp_path, packed_zip(), "x.zip", Unpack(1, ("*.jsonl",)))
    write_manifest(tmp_path / "m.json", manifest)
    content = json.loads((tmp_path / "m.json").read_text())
    assert content == {
        "schema": 1,
        "sha256": hashlib.sha256(packed_zip()).hexdigest(),
        "kind": "zip",
        "name": "x.zip",
        "unpack": {"strip": 1, "include": ["*.jsonl"]},
        "members": [["a.jsonl", 900, MTIME_NS, hashlib.sha256(FILES["top/a.jsonl"]).hexdigest(), 0]],
    }
