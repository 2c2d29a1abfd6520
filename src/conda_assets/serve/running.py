"""Running it: uvicorn in this thread, until a signal says that it is over."""

from __future__ import annotations

import logging
import logging.handlers
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from types import FrameType

import uvicorn

from conda_assets.errors import UsageError
from conda_assets.records import replace
from conda_assets.serve.app import make_app
from conda_assets.serve.centre import Centre
from conda_assets.serve.options import ServeOptions
from conda_assets.settings import Settings

__all__ = ["listen", "serve"]

_LOG_BYTES, _LOGS = 4 << 20, 4
_GRACE_S = 10


def serve(
    options: ServeOptions,
    settings: Settings,
    environ: Mapping[str, str],
    *,
    ready: Callable[[ServeOptions, str | None], None],
    fill: Callable[[Centre], None] | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C, then halt everything so that it goes on at the next start.

    `ready` is called when it can be reached, with the port that it has, and the token of a first start; then `fill`.

    Raises:
        UsageError: options that would be unsafe, an address that cannot be had, a folder that cannot be written.
    """
    options.check()
    listening = listen(options)
    try:
        options = replace(options, port=listening.getsockname()[1])
        with _alone(options):
            centre = Centre(options, settings, environ)
            _log_to(options)
            try:
                _run(centre, listening, ready, fill)
            finally:
                centre.close()
    finally:
        listening.close()


def _run(
    centre: Centre,
    listening: socket.socket,
    ready: Callable[[ServeOptions, str | None], None],
    fill: Callable[[Centre], None] | None,
) -> None:
    app, hang_up = make_app(centre)
    options = centre.options
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_S,
        ssl_certfile=str(options.tls_cert) if options.tls_cert else None,
        ssl_keyfile=str(options.tls_key) if options.tls_key else None,
        ws="websockets-sansio",
        ws_max_size=4 << 20,
        h11_max_incomplete_event_size=64 << 10,
    )
    server = uvicorn.Server(config)

    def stop(number: int, frame: FrameType | None) -> None:
        hang_up()
        server.handle_exit(number, frame)

    # uvicorn's own handlers wait for the listeners, and raise the signal again at the end.
    server.capture_signals = nullcontext
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ready(options, centre.start())
        if fill is not None:
            fill(centre)
        server.run(sockets=[listening])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _alone(options: ServeOptions) -> Iterator[None]:
    """The only centre with this data.

    Raises:
        UsageError: another one runs, or the folder cannot be written.
    """
    import filelock  # 45 ms, for this verb only

    lock = filelock.FileLock(options.data / "centre.lock", mode=0o600)
    try:
        options.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise UsageError(
            f"another centre runs with the data in {options.data}", "stop it, or name another `--data DIR`"
        ) from None
    except OSError as error:
        raise UsageError(
            f"the centre's data cannot be kept in {options.data}: {error.strerror}", "name a `--data DIR`"
        ) from error
    try:
        yield
    finally:
        lock.release()


def listen(options: ServeOptions) -> socket.socket:
    """The socket that takes connections.

    Raises:
        UsageError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # With its protocol named: asyncio sets TCP_NODELAY on connections of such sockets only. Without, each answer over a kept
    # connection waits 40 ms for the client's delayed acknowledgement of its head.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((options.host, options.port))
        listening.listen(1024)
    except OSError as error:
        listening.close()
        raise UsageError(
            f"{options.host} port {options.port} cannot be had: {error.strerror}", "choose another with `--port`"
        ) from error
    return listening


def _log_to(options: ServeOptions) -> None:
    """A log that is turned over, in the data folder."""
    handler = logging.handlers.RotatingFileHandler(
        options.data / "centre.log", maxBytes=_LOG_BYTES, backupCount=_LOGS, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name in ("conda_assets.serve", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.handlers[:] = [handler]
