"""Many questions at once, answers in the order of the questions; an interrupt ends it, and does not wait for the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ask_each"]

# Publishers answer in 50 to 500 ms; more at once is what they call abuse.
_AT_ONCE = 16

Q = TypeVar("Q")
A = TypeVar("A")


def ask_each(questions: Sequence[Q], ask: Callable[[Q], A]) -> Iterator[tuple[Q, A]]:
    """Each question with its answer; `ask` is called from several threads."""
    if not questions:
        return
    workers = ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(questions)), thread_name_prefix="ask")
    try:
        yield from zip(questions, workers.map(ask, questions), strict=True)
    finally:
        workers.shutdown(wait=False, cancel_futures=True)
