"""What moves the bytes of a run: made when it is wanted, and again when it dies."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from conda_assets.transport import Transport

__all__ = ["Engine"]

_STARTS = 3


class Engine:
    """A transport that is made when first wanted, beside the first probe, and made again when it dies."""

    def __init__(self, make: Callable[[], Transport], workers: ThreadPoolExecutor, wake: Callable[[object], None]) -> None:
        self._make, self._workers, self._wake = make, workers, wake
        self._made: Future[Transport] | None = None
        self._starts = 0

    def want(self) -> None:
        """Begin to make it, unless that has been begun."""
        if self._made is None:
            self._starts += 1
            self._made = self._workers.submit(self._make)
            self._made.add_done_callback(self._wake)

    def ready(self, *, failing: bool = True) -> Transport | None:
        """The transport, or None while it is being made.

        Raises:
            AssetsError: it could not be made (unless not `failing`).
        """
        if self._made is None or not self._made.done():
            return None
        if not failing and self._made.exception() is not None:
            return None
        return self._made.result()

    def restart(self) -> bool:
        """Make it anew; False when it has died too often."""
        self.close()
        if self._starts >= _STARTS:
            return False
        self.want()
        return True

    def close(self) -> None:
        """End it; what is wanted next is another one."""
        made, self._made = self._made, None
        if made is not None and not made.cancel() and made.exception() is None:
            made.result().close()
