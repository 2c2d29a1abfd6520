"""Starting a process that ends when this one does.

aria2c's `stop-with-process` asks whether our process id still exists. Where nobody reaps the dead (a container whose first
process does not care, a parent that never waits) it exists for ever, and an orphan would keep the store's lock for ever. Linux
tells a child itself: but when the *thread* ends that started it, so a thread that lives as long as we do starts all of them.
"""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from typing import Any

__all__ = ["spawn"]

# Source: linux/prctl.h
_PR_SET_PDEATHSIG = 1

_Order = tuple["Future[subprocess.Popen[bytes]]", list[str], dict[str, Any]]


def spawn(command: list[str], **how: Any) -> subprocess.Popen[bytes]:
    """`subprocess.Popen`, whose process is sent SIGTERM when ours has died, where the system can do that.

    Raises:
        OSError: as `Popen` does.
    """
    if sys.platform != "linux" or (dies := _death_bound()) is None:
        return _popen(command, how)
    made: Future[subprocess.Popen[bytes]] = Future()
    _orders().put((made, command, {**how, "preexec_fn": dies}))
    return made.result()


@cache
def _death_bound() -> Callable[[], object] | None:
    """What a child calls between fork and exec; looked up before, because little is safe there."""
    try:
        import ctypes  # optional in some builds of Python

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None
    return lambda: prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)


_STARTING = threading.Lock()
_thread: tuple[threading.Thread, queue.SimpleQueue[_Order]] | None = None


def _orders() -> queue.SimpleQueue[_Order]:
    global _thread
    with _STARTING:
        # After a fork of ours the thread is not there any more.
        if _thread is None or not _thread[0].is_alive():
            orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
            _thread = threading.Thread(target=_serve, args=(orders,), name="spawn", daemon=True), orders
            _thread[0].start()
        return _thread[1]


def _popen(command: list[str], how: dict[str, Any]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, **how)


def _serve(orders: queue.SimpleQueue[_Order]) -> None:
    while True:
        made, command, how = orders.get()
        try:
            made.set_result(_popen(command, how))
        except BaseException as error:  # noqa: BLE001 - the one who asked gets it
            made.set_exception(error)
        del made
