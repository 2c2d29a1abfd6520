"""What is fetched, over which link, and what a run of a peer means there."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.ground import Link

__all__ = ["PROFILES", "Bar", "Kind", "Profile"]

MB = 1_000_000
Kind = str  # fetch | warm | second | resume | verify


@dataclass(frozen=True)
class Bar:
    """Our median of the rounds' ratios to `peer` is to be at most `most`; of the bytes fetched again where `peer` is empty."""

    peer: str
    most: float


@dataclass(frozen=True)
class Profile:
    """`sizes`: of the files in bytes; `quick_sizes`: where a minute is all there is. `axis`: "files" or "bytes" of a curve."""

    name: str
    title: str
    sizes: tuple[int, ...]
    quick_sizes: tuple[int, ...]
    link: Link = field(default_factory=Link)
    kind: Kind = "fetch"
    bars: tuple[Bar, ...] = ()
    only: frozenset[str] = frozenset()
    axis: str = ""

    def takes(self, peer: str) -> bool:
        """That peer has a part in it."""
        return peer in self.only if self.only else peer not in _CHECKERS

    @property
    def slow(self) -> frozenset[str]:
        """Peers that go one file after the other: a few minutes each where there are thousands."""
        return frozenset({"pypdl"}) if len(self.sizes) > 500 else frozenset()


_CHECKERS = frozenset({"openssl dgst -sha256", "sha256sum"})
_SHAPED = Link(each=(12 * MB,), mbit=1000, delay_ms=20)
# As a repository of a model has it: few big files, many tiny ones.
_TINY = tuple(2_000 * (1 + number % 20) ** 2 for number in range(45))
_MIXED = (500 * MB, 500 * MB, 40 * MB, 40 * MB, 5 * MB, *_TINY)
_QUICK_MIXED = (60 * MB, 40 * MB, 5 * MB, *_TINY)
_CURVE = frozenset({"conda-assets", "aria2c", "curl -Z"})


def _curve_files(count: int) -> Profile:
    sizes = (50_000,) * count
    return Profile(f"curve-files-{count}", f"{count:,} files of 50 KB, loopback", sizes, sizes, only=_CURVE, axis="files")


def _curve_bytes(megabytes: int) -> Profile:
    sizes = (megabytes * MB,)
    return Profile(f"curve-bytes-{megabytes}", f"one file of {megabytes:,} MB, loopback", sizes, sizes, only=_CURVE, axis="bytes")


PROFILES = (
    Profile(
        "connection", "400 MB, 12 MB/s a connection, a shared link of 1 Gbit/s, 20 ms", (400 * MB,), (60 * MB,), _SHAPED,
        bars=(Bar("aria2c", 1.05), Bar("wget", 1 / 8)),
    ),
    Profile("link", "400 MB, a link of 1 Gbit/s, 20 ms, no limit a connection", (400 * MB,), (60 * MB,),
            Link(mbit=1000, delay_ms=20), bars=(Bar("aria2c", 1.05),)),
    Profile("loopback", "2 GB, loopback", (2000 * MB,), (200 * MB,), bars=(Bar("aria2c", 1.10), Bar("aria2c --checksum", 0.6))),
    Profile("tls", "1 GB, loopback, TLS", (1000 * MB,), (100 * MB,), Link(tls=True), bars=(Bar("aria2c", 1.10),)),
    Profile("mirrors", "200 MB from 4 mirrors: 3, 6, 1 and 0.3 MB/s a connection, the first named to all; 300 Mbit/s",
            (200 * MB,), (40 * MB,), Link(each=(3 * MB, 6 * MB, MB, 300_000), mbit=300, delay_ms=20),
            bars=(Bar("aria2c", 1.05),)),
    Profile("small", "2,000 files of 50 KB, loopback", (50_000,) * 2000, (50_000,) * 300, bars=(Bar("curl -Z", 1.5),)),
    Profile("mixed", "50 files, 5 big and 45 tiny, 12 MB/s a connection, 1 Gbit/s, 20 ms", _MIXED, _QUICK_MIXED, _SHAPED,
            bars=(Bar("aria2c", 0.9), Bar("curl -Z", 0.9))),
    Profile("warm", "nothing to do, 1,000 files", (5_000,) * 1000, (5_000,) * 200, kind="warm",
            only=frozenset({"conda-assets", "aria2c", "wget", "pooch", "huggingface_hub"})),
    Profile("second", "400 MB into a second environment, loopback", (400 * MB,), (60 * MB,), kind="second",
            only=frozenset({"conda-assets", "aria2c", "curl", "wget", "pooch", "huggingface_hub"})),
    Profile("resume", "400 MB, 12 MB/s a connection, killed at 90 %, then again", (400 * MB,), (60 * MB,), _SHAPED, kind="resume",
            bars=(Bar("", 0.15),)),
    Profile("verify", "comparing 8 files of 500 MB that are there", (500 * MB,) * 8, (50 * MB,) * 4, kind="verify",
            bars=(Bar("openssl dgst -sha256", 1 / 1.7),), only=_CHECKERS | {"conda-assets"}),
    *(_curve_files(count) for count in (1, 10, 100, 1000, 4000)),
    *(_curve_bytes(megabytes) for megabytes in (1, 10, 100, 1000)),
)  # fmt: skip
