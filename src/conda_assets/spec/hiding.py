"""URLs as they may be written down: what stands in the file, without what is secret there."""

from __future__ import annotations

import re

from conda_assets.model import shown_url
from conda_assets.regexes import regex
from conda_assets.spec.urls import SECRET_QUERY

__all__ = ["HIDDEN", "has_variable", "led_to", "without_secrets"]

#: Stands for a secret that was written out in the file.
HIDDEN = "***"

_USER = regex(r"^([A-Za-z][A-Za-z0-9+.-]*)://([^/?#@]*)@")
_QUERY = regex(r"\?[^#]*")
_PARAMETER = regex(r"([?&;])([^=&;#]+)=([^&;#]*)")


def has_variable(written: str) -> bool:
    """Whether the URL takes something from the environment, which then must not be written down."""
    return "${" in written


def without_secrets(written: str) -> str:
    """The URL as it stands in the file, `${NAME}` unexpanded, without passwords, tokens and signatures that stand there too.

    >>> without_secrets("https://me:pw@lab.example/w.bin?v=2&X-Amz-Signature=0a1b")
    'https://lab.example/w.bin?v=2&X-Amz-Signature=***'
    >>> without_secrets("https://me:${PW}@lab.example/w.bin?token=${TOKEN}")
    'https://me:${PW}@lab.example/w.bin?token=${TOKEN}'
    """
    return _QUERY.sub(lambda query: _PARAMETER.sub(_parameter, query[0]), _USER.sub(_user, written))


def led_to(final_url: str, asked_url: str, written: str) -> str | None:
    """Where a URL led, if that was elsewhere; the query goes, which is where signatures are.

    None too where the URL takes something from the environment: its value may stand anywhere in the answer.
    """
    shown = shown_url(final_url)
    return None if has_variable(written) or shown == shown_url(asked_url) else shown


def _user(found: re.Match[str]) -> str:
    scheme, userinfo = found[1], found[2]
    user, colon, password = userinfo.partition(":")
    # A user alone is a name to ftp and sftp, and a token to web servers.
    kept = has_variable(password if colon else user) or (not colon and scheme.lower() in ("ftp", "sftp"))
    return found[0] if kept else f"{scheme}://"


def _parameter(found: re.Match[str]) -> str:
    before, key, value = found[1], found[2], found[3]
    hidden = SECRET_QUERY.search(key) and not has_variable(value)
    return f"{before}{key}={HIDDEN if hidden else value}"
