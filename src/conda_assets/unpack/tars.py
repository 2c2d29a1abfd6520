"""The members of a tar archive, read once from front to back."""

from __future__ import annotations

from collections.abc import Iterator

from conda_assets.records import dataclass, field
from conda_assets.unpack.entry import Blocks, Entry, Sort, seconds_as_ns
from conda_assets.unpack.flow import Flow
from conda_assets.unpack.names import decode
from conda_assets.unpack.refusal import Refused
from conda_assets.unpack.sparse import Sparse, read_sparse
from conda_assets.unpack.tar_header import HEADER_BYTES, Header, is_header, parse_header, parse_records

__all__ = ["looks_like_tar", "tar_entries"]

# Long names and extended headers; PATH_MAX is 4 kB, real ones stay below 64 kB even with access lists in them.
_EXTENSION_BYTES = 1 << 20
# Extensions before one member, and all that global ones say.
_EXTENSIONS = 16
_GLOBAL_RECORDS = 1000

_SORTS = {
    b"0": Sort.FILE, b"\0": Sort.FILE, b"7": Sort.FILE, b"S": Sort.FILE,
    b"1": Sort.HARDLINK, b"2": Sort.SYMLINK, b"3": Sort.DEVICE, b"4": Sort.DEVICE,
    b"5": Sort.FOLDER, b"D": Sort.FOLDER, b"6": Sort.FIFO,
}  # fmt: skip
# Members that have no bytes, whatever their size field says.
_BODILESS = frozenset(b"123456")


def looks_like_tar(block: bytes, name: str) -> bool:
    """Whether a tar archive begins with these 512 bytes; `name` tells an empty archive from a file of zeros."""
    if is_header(block):
        return True
    lower = name.lower()
    said = ".tar" in lower or lower.endswith((".tgz", ".tbz", ".tbz2", ".txz", ".tzst"))
    return said and len(block) == HEADER_BYTES and not block.rstrip(b"\0")


def tar_entries(flow: Flow) -> Iterator[Entry]:
    """The members in the order of the archive; the bytes of one are passed over when the next is asked for.

    Raises:
        Refused: damaged, cut off, or of a kind that cannot be unpacked.
    """
    globally: dict[str, bytes] = {}
    while (said := _next(flow, globally)) is not None:
        header, records, stored_bytes = said.header, said.records, said.stored_bytes
        sort = _sort(header)
        sparse = read_sparse(header, records, flow, stored_bytes) if sort is Sort.FILE else None
        body = _Body(flow, sparse, stored_bytes)
        yield Entry(
            name=_name(records.get("GNU.sparse.name") or said.name),
            sort=Sort.FOLDER if sort is Sort.FILE and said.name.endswith(b"/") else sort,
            size_bytes=sparse.size_bytes if sparse else stored_bytes,
            modified_ns=_time(header, records),
            executable=sort is Sort.FILE and bool(header.mode & 0o111),
            leads=_name(said.leads),
            blocks=body.blocks(),
        )
        body.finish()


@dataclass(frozen=True, slots=True)
class _Said:
    """A header with what extensions before it say."""

    header: Header
    name: bytes
    leads: bytes
    stored_bytes: int
    records: dict[str, bytes]


@dataclass(slots=True)
class _Body:
    """The stored bytes of one member, from the first to the padding after the last."""

    flow: Flow
    sparse: Sparse | None
    stored_bytes: int
    left_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.left_bytes = self.stored_bytes - (self.sparse.map_bytes if self.sparse else 0)

    def blocks(self) -> Blocks:
        """What the member holds; holes of a sparse one are filled."""
        if self.sparse is None:
            for piece in self.flow.pieces(self.left_bytes):
                self.left_bytes -= len(piece)
                yield piece
        else:
            counted = Flow(map(bytes, self.flow.pieces(self.left_bytes)), self._took)
            yield from self.sparse.expand(counted)

    def finish(self) -> None:
        """Go to the next header."""
        self.flow.skip(self.left_bytes)
        padding = -self.stored_bytes % HEADER_BYTES
        # The padding of the very last member may be missing with what follows it: then the end mark is missed.
        self.flow.read(padding)

    def _took(self, count: int) -> None:
        self.left_bytes -= count


def _next(flow: Flow, globally: dict[str, bytes]) -> _Said | None:
    """The next member's header, with extensions applied; None at the end mark."""
    local: dict[str, bytes] = {}
    long_name = long_leads = None
    for _ in range(_EXTENSIONS):
        header = _header(flow)
        if header is None:
            return None
        if header.type in (b"L", b"K"):
            text = _extension(flow, header).split(b"\0", 1)[0]
            long_name, long_leads = (text, long_leads) if header.type == b"L" else (long_name, text)
        elif header.type in (b"x", b"X"):
            local |= parse_records(_extension(flow, header))
        elif header.type == b"g":
            globally |= parse_records(_extension(flow, header))
            if len(globally) > _GLOBAL_RECORDS:
                raise Refused("the tar archive has too many global records")
        elif header.type == b"V":
            continue  # the label of a tape
        else:
            return _said(header, {**globally, **local}, long_name, long_leads)
    raise Refused("the tar archive is damaged: extensions without a member")


def _said(header: Header, records: dict[str, bytes], long_name: bytes | None, long_leads: bytes | None) -> _Said:
    stored = header.size_bytes
    if "size" in records:
        if not records["size"].isdigit() or len(records["size"]) > 20:
            raise Refused("the tar archive is damaged: a size is no number")
        stored = int(records["size"])
    name = records.get("path") or long_name or header.name
    leads = records.get("linkpath") or long_leads or header.leads
    return _Said(header, name, leads, 0 if header.type[0] in _BODILESS else stored, records)


def _header(flow: Flow) -> Header | None:
    block = flow.read(HEADER_BYTES)
    if len(block) == HEADER_BYTES and not block.rstrip(b"\0"):
        # The end mark. What follows it is read to its end as well: only there are checksums of compressed files.
        flow.skip(None)
        return None
    if len(block) < HEADER_BYTES:
        raise Refused("the tar archive is cut off: its end mark is missing", "fetch it again")
    return parse_header(block)


def _extension(flow: Flow, header: Header) -> bytes:
    if header.size_bytes > _EXTENSION_BYTES:
        raise Refused(f"the tar archive has a header of {header.size_bytes} bytes")
    data = b"".join(flow.pieces(header.size_bytes))
    flow.read(-header.size_bytes % HEADER_BYTES)
    return data


def _sort(header: Header) -> Sort:
    sort = _SORTS.get(header.type)
    if sort is None:
        kind = {b"M": "a part of an archive on several volumes", b"N": "an old list of names"}.get(header.type)
        raise Refused(f"the tar archive holds {kind or f'a member of the unknown type {header.type!r}'}")
    return sort


def _name(name: bytes) -> str:
    return decode(name, "latin-1")


def _time(header: Header, records: dict[str, bytes]) -> int:
    try:
        return seconds_as_ns(float(records["mtime"])) if "mtime" in records else header.modified_s * 10**9
    except ValueError:
        return 0
