"""Bytes in one direction: blocks of a file, decoded in a thread of their own, and a cursor over them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from conda_assets.unpack.codecs import Codec, decoder_of
from conda_assets.unpack.refusal import Refused, reading

__all__ = ["BLOCK_BYTES", "Flow", "ahead", "decoded", "raw"]

BLOCK_BYTES = 1 << 20
# What a decoder is given at once. What follows the end of a stream is copied, so a file of many tiny streams costs time by this.
_SIP_BYTES = 128 << 10
# Blocks that wait: enough to ride over a slow write, little enough to forget.
_WAITING = 8
_POLL_S = 0.2


def raw(file: BinaryIO, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """The file as it is, in blocks.

    Raises:
        Refused: it cannot be read.
    """
    while True:
        with reading("the archive"):
            block = file.read(block_bytes)
        if not block:
            return
        yield block


def decoded(file: BinaryIO, codec: Codec, memory_bytes: int) -> Iterator[bytes]:
    """What is compressed in the file, all streams of it one after the other, in blocks of at most 1 MiB.

    Raises:
        Refused: damaged, cut off, followed by something else, or no decoder here.
    """
    make = decoder_of(codec, memory_bytes)
    source = raw(file, _SIP_BYTES)
    data: bytes | None = next(source, None)
    first = True
    while data is not None:
        decoder = make()
        with reading(f"the .{codec.value} file") if first else _following(codec):
            block = decoder.decompress(data, BLOCK_BYTES)
        while True:
            if block:
                yield block
            if decoder.eof:
                break
            data = next(source, b"") if decoder.needs_input else b""
            if not data and decoder.needs_input:
                raise Refused(f"the .{codec.value} file is cut off", "fetch it again; if its hash is right, it was published so")
            with reading(f"the .{codec.value} file"):
                block = decoder.decompress(data, BLOCK_BYTES)
        # Zeros may fill up the last block of a tape, or align the next stream.
        data = decoder.unused_data.lstrip(b"\0") or next(filter(None, (each.lstrip(b"\0") for each in source)), None)
        first = False


@contextmanager
def _following(codec: Codec) -> Iterator[None]:
    """For the first bytes after the end of a stream."""
    try:
        with reading("what follows"):
            yield
    except Refused as error:
        raise Refused(f"something else follows the end of the .{codec.value} file: {error.cause}", error.fix) from error


@contextmanager
def ahead(blocks: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    """The same blocks, made in a thread while earlier ones are used; ends with the context, also in the middle.

    What decodes, hashes and writes releases the interpreter lock for a block: two cores then do 1.5 times the work of one.
    """
    full: queue.Queue[bytes | BaseException | None] = queue.Queue(_WAITING)
    stop = threading.Event()

    def put(item: bytes | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                full.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for block in blocks:
                if not put(block):
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001 - handed over, and raised there
            put(error)

    def take() -> Generator[bytes, None, None]:
        while (item := full.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    worker = threading.Thread(target=work, name="unpack-decode", daemon=True)
    worker.start()
    taken = take()
    try:
        yield taken
    finally:
        taken.close()
        stop.set()
        worker.join()


class Flow:
    """A cursor over blocks, forwards only. `came` is told of every byte that passes."""

    def __init__(self, blocks: Iterator[bytes], came: Callable[[int], None]) -> None:
        self._blocks, self._came = blocks, came
        self._view = memoryview(b"")

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end; the cursor stays."""
        while len(self._view) < count and self._fill():
            pass
        return bytes(self._view[:count])

    def read(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end. For little."""
        data = self.peek(count)
        self._view = self._view[len(data) :]
        return data

    def pieces(self, count: int | None) -> Iterator[memoryview]:
        """The next `count` bytes, or all, in pieces that are not copied.

        Raises:
            Refused: there are not so many.
        """
        left = count
        while left is None or left > 0:
            if not self._view and not self._fill():
                if left is None:
                    return
                raise Refused("the archive is cut off in the middle of a member", "fetch it again")
            piece = self._view if left is None else self._view[:left]
            self._view = self._view[len(piece) :]
            left = None if left is None else left - len(piece)
            yield piece

    def skip(self, count: int | None) -> None:
        """Pass over the next `count` bytes, or all.

        Raises:
            Refused: as `pieces`.
        """
        for _ in self.pieces(count):
            pass

    def _fill(self) -> bool:
        block = next(self._blocks, None)
        if block is None:
            return False
        self._came(len(block))
        self._view = memoryview(bytes(self._view) + block) if self._view else memoryview(block)
        return True
