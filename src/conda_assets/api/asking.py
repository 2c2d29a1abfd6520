"""Many questions at once, answers in the order of the questions; an interrupt ends it, and does not wait for the rest."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from conda_assets.errors import AssetsError, NetworkFailed

__all__ = ["ask_each"]

# Publishers answer in 50 to 500 ms; more at once is what they call abuse.
_AT_ONCE = 16
_TRIES = 3
_FIRST_PAUSE_S = 0.3
# A server that asks for more patience than this is told of as it is.
_LONGEST_PAUSE_S = 60.0

Q = TypeVar("Q")
A = TypeVar("A")


def ask_each(questions: Sequence[Q], ask: Callable[[Q], A]) -> Iterator[tuple[Q, A | AssetsError]]:
    """Each question with its answer, or the error that `ask` raised. `ask` is called from several threads.

    What may be better in a moment (429, 503, a cut) is asked again twice, as late as the server says.
    """
    if not questions:
        return
    ended = threading.Event()

    def patiently(question: Q) -> A | AssetsError:
        tries = 0
        while True:
            try:
                return ask(question)
            except AssetsError as error:
                tries += 1
                asked_s = error.retry_after_s if isinstance(error, NetworkFailed) else 0.0
                if not error.retryable or tries >= _TRIES or asked_s > _LONGEST_PAUSE_S:
                    return error
                pause_s = max(asked_s, _FIRST_PAUSE_S * 2 ** (tries - 1) * random.uniform(0.8, 1.2))
                if ended.wait(pause_s):
                    return error

    workers = ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(questions)), thread_name_prefix="ask")
    try:
        yield from zip(questions, workers.map(patiently, questions), strict=True)
    finally:
        ended.set()
        workers.shutdown(wait=False, cancel_futures=True)
