"""What happened, for the day on which something goes wrong: one file a user, kept small, without secrets.

    <state>/conda-assets/log/conda-assets.log       0600; .1 to .4 are older ones, of a mebibyte each
        2026-11-25T23:50:11.123Z 4711 info    gpt2-weights: fetched, 548.1 MB in 5.1 s

`<state>`: `~/.local/state` (`XDG_STATE_HOME`), `~/Library/Logs`, `%LOCALAPPDATA%`. Lines of several processes may alternate; each
is whole, and bears its process's number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from conda_assets.log.file import Log
from conda_assets.log.masking import mask, secrets_of
from conda_assets.log.recording import recorder, write_error
from conda_assets.settings import LEVELS, Settings

__all__ = ["LEVELS", "Log", "mask", "open_log", "recorder", "secrets_of", "write_error"]


@contextmanager
def open_log(level: str, environ: Mapping[str, str], settings: Settings) -> Iterator[Log]:
    """The log of this user while the block runs; what is known to be secret is masked whatever it looks like."""
    known = {settings.server_token, *(urlsplit(proxy).password for _, proxy in settings.network.proxies)}
    log = Log(level, secrets=secrets_of(environ) | {secret for secret in known if secret})
    try:
        yield log
    finally:
        log.close()
