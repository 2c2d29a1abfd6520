"""A proxy that refuses everybody: where a redirect of aria2's ends that leads to less safety than the transfer began with.

aria2 follows every redirect by itself, and no option forbids that. But it asks a proxy for each scheme that has one.
"""

from __future__ import annotations

import contextlib
import socket
import threading

__all__ = ["REFUSED", "Door"]

#: The status that it answers with. No server gives it, so that aria2's error tells the cause.
REFUSED = 597
_ANSWER = f"HTTP/1.1 {REFUSED} No Way\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
_HEAR_S = 1.0
_QUESTION_BYTES = 1 << 16


class Door:
    """Listens on a port of 127.0.0.1 from the start until it is closed; one thread, which answers one after the other."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._refuse, name="door", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; returns when the thread has ended. Safe to call twice."""
        with contextlib.suppress(OSError):
            # Closing alone leaves a thread in accept() on Linux.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(2 * _HEAR_S)

    def _refuse(self) -> None:
        while True:
            try:
                knocking, _ = self._listener.accept()
            except OSError:
                return
            with knocking, contextlib.suppress(OSError):
                # The question is read before it hangs up: unread bytes would turn the answer into a reset.
                knocking.settimeout(_HEAR_S)
                knocking.recv(_QUESTION_BYTES)
                knocking.sendall(_ANSWER)
