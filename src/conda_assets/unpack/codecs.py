"""Decoders of gzip, bzip2, xz and Zstandard behind one small protocol: never more output at once than asked for."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

from conda_assets.unpack.refusal import Refused

__all__ = ["Codec", "Decoder", "decoder_of"]

# Input for `zstandard`, whose streaming decoder takes no limit of output: at most 128 KiB a block of 4 bytes.
_SIP_BYTES = 2048


class Codec(str, Enum):
    """What a file is compressed with. The value is the usual suffix."""

    GZIP = "gz"
    BZIP2 = "bz2"
    XZ = "xz"
    ZSTD = "zst"


class Decoder(Protocol):
    """Decodes one stream, of which a file may hold several."""

    @property
    def eof(self) -> bool:
        """The stream is complete, its checksum right."""

    @property
    def needs_input(self) -> bool:
        """Nothing more comes out of what it was given."""

    @property
    def unused_data(self) -> bytes:
        """What follows the end of the stream."""

    def decompress(self, data: bytes, max_length: int = ...) -> bytes:
        """At most `max_length` bytes; give `b""` while it needs no input."""


def decoder_of(codec: Codec, memory_bytes: int) -> Callable[[], Decoder]:
    """A maker of decoders, one for each stream; `memory_bytes`: what each may need.

    Raises:
        Refused: Zstandard, and no package for it.
    """
    if codec is Codec.GZIP:
        return _Gzip
    if codec is Codec.BZIP2:
        return bz2.BZ2Decompressor
    if codec is Codec.XZ:
        return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=memory_bytes)
    return _zstd(memory_bytes)


class _Gzip:
    """zlib's object, with the manners of the others."""

    def __init__(self) -> None:
        # 31: a gzip header and the largest window. Source: zlib.h, inflateInit2
        self._object = zlib.decompressobj(31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._object.eof

    @property
    def unused_data(self) -> bytes:
        return self._object.unused_data

    def decompress(self, data: bytes, max_length: int = 0) -> bytes:
        out = self._object.decompress(self._object.unconsumed_tail + data, max_length)
        # A full answer may have left some inside zlib even when it took all input.
        self.needs_input = len(out) < max_length and not self._object.unconsumed_tail
        return out


def _zstd(memory_bytes: int) -> Callable[[], Decoder]:
    """The standard library's, its backport, or `zstandard`, which older condas bring."""
    window_log = min(31, max(10, memory_bytes.bit_length() - 1))
    module = _import_zstd()
    if module is not None:
        options = {module.DecompressionParameter.window_log_max: window_log}
        make, error = module.ZstdDecompressor, module.ZstdError
        return lambda: _Translated(make(options=options), error)
    try:
        import zstandard  # optional: one of three
    except ImportError as missing:
        raise Refused(
            "Zstandard (.zst) cannot be read by this Python",
            "install it beside conda-assets: `conda install -c conda-forge backports.zstd`, or `pip install backports.zstd`",
        ) from missing
    reader = zstandard.ZstdDecompressor(max_window_size=1 << window_log)
    return lambda: _Translated(_Sipping(reader.decompressobj()), zstandard.ZstdError)


def _import_zstd() -> Any:
    try:
        from compression import zstd  # Python 3.14
    except ImportError:
        try:
            from backports import zstd  # optional
        except ImportError:
            return None
    return zstd


class _Sipping:
    """`zstandard`'s decoder, fed in sips: what one call gives is bounded by what it is given."""

    def __init__(self, inner: Any) -> None:
        self._inner, self._tail = inner, b""

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def needs_input(self) -> bool:
        return not self._tail and not self.eof

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data) + self._tail

    def decompress(self, data: bytes, max_length: int = 0) -> bytes:
        data = self._tail + data
        out: list[bytes] = []
        size = at = 0
        while at < len(data) and not self.eof and size <= max_length:
            piece = self._inner.decompress(data[at : at + _SIP_BYTES])
            at += _SIP_BYTES
            out.append(piece)
            size += len(piece)
        self._tail = data[at:]
        return b"".join(out)


class _Translated:
    """A decoder whose own error class becomes ValueError, which `refusal.reading` knows."""

    def __init__(self, inner: Any, error: type[Exception]) -> None:
        self._inner, self._error = inner, error

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def needs_input(self) -> bool:
        return bool(self._inner.needs_input)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data)

    def decompress(self, data: bytes, max_length: int = 0) -> bytes:
        try:
            return bytes(self._inner.decompress(data, max_length))
        except self._error as error:
            raise ValueError(str(error)) from error
