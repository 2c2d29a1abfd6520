"""`ftp://host/path` and `sftp://user@host/path`: old servers, and machines that one has a login for. aria2 moves the bytes.

User and password stand in the URL or in netrc; without either, ftp is anonymous. Of a file on an FTP server its size and time are
asked for; SFTP is spoken by aria2 alone, so there the first thing that is known is what arrives. An SSH server must be one that
`ssh` knows.

Source: RFC 959, RFC 3659 (SIZE, MDTM, REST)
"""

from __future__ import annotations

import ftplib
import re
from contextlib import suppress
from urllib.parse import unquote, urlsplit

from conda_assets.errors import AccessDenied, AssetFailed, NetworkFailed, NoSource, NotThere, SizeMismatch
from conda_assets.model import Asset, Locked, shown_url
from conda_assets.settings import Network
from conda_assets.web.credentials import Login, login_for
from conda_assets.web.hostkeys import host_key_sha1
from conda_assets.web.reach import proxy_for

__all__ = ["expand", "is_pattern", "probe"]

# Most servers let one address have that many connections or little more.
_MOST_REQUESTS = 16
_PORT = 21


def is_pattern(url: str) -> bool:
    """A URL is a file."""
    return False


def expand(asset: Asset, url: str, network: Network) -> tuple[tuple[str, str], ...]:
    """Never asked for: no URL of these is a pattern."""
    raise AssetFailed(asset.name, f"{shown_url(url)} is one file")


def probe(asset: Asset, url: str, network: Network) -> Locked:
    """Ask an FTP server for the file's size and time; an SFTP server, or one behind a proxy, is asked nothing.

    Raises:
        NotThere, AccessDenied, NetworkFailed, SizeMismatch: as the server says.
        NoSource: where only public web servers may be asked.
    """
    if network.admit is not None:
        raise NoSource(asset.name, f"{urlsplit(url).scheme}: is not fetched by a download centre")
    size_bytes, modified, resumable = None, None, False
    if urlsplit(url).scheme == "sftp":
        _check_known(asset.name, url)
    elif proxy_for(url, network.proxies) is None:
        size_bytes, modified, resumable = _ask(asset.name, url, network)
    if size_bytes is not None and not asset.fits(size_bytes):
        raise SizeMismatch(asset.name, asset.size_bytes or 0, size_bytes, shown_url(url))
    return Locked(
        asset=asset,
        url=url,
        final_url=url,
        size_bytes=size_bytes,
        etag=None,
        modified=modified,
        resumable=resumable and size_bytes is not None,
        same_host=True,
        most_requests=_MOST_REQUESTS,
    )


def _check_known(name: str, url: str) -> None:
    """Raises: AccessDenied: nobody on this machine has seen the server's key."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 22
    if host_key_sha1(host, port) is None:
        fix = f"connect once with `sftp{'' if port == 22 else f' -P {port}'} {host}`, and look at the key that it shows"
        raise AccessDenied(name, f"the key of {host} is not in ~/.ssh/known_hosts, so it could be anybody", fix)


def _ask(name: str, url: str, network: Network) -> tuple[int | None, str | None, bool]:
    """Size, time of its last change as the server writes it, and whether it can be had from the middle."""
    parts = urlsplit(url)
    # Relative to where the login leads. Source: RFC 1738, 3.2.2.
    path = unquote(parts.path.removeprefix("/"))
    login = _login(url)
    server = ftplib.FTP(encoding="utf-8", timeout=network.connect_timeout_s)
    try:
        server.connect(parts.hostname or "", parts.port or _PORT)
        server.login(login.user, login.password)
        server.voidcmd("TYPE I")
        size_bytes, modified, resumable = server.size(path), None, False
        with suppress(ftplib.error_perm):
            modified = server.sendcmd(f"MDTM {path}").partition(" ")[2].strip() or None
        with suppress(ftplib.error_perm):
            resumable = server.sendcmd("REST 1").startswith("350")
    except ftplib.error_perm as error:
        # Its words are the server's, and may repeat what was sent.
        raise _refusal(name, url, str(error)[:3]) from None
    except (ftplib.Error, OSError, EOFError, UnicodeError) as error:
        code = re.match(r"\d{3}\b", str(error)) if isinstance(error, ftplib.Error) else None
        said = f"answers {code[0]}" if code else str(getattr(error, "strerror", None) or error or "hangs up")
        raise NetworkFailed(name, f"{shown_url(url)}: {said}") from None
    else:
        with suppress(ftplib.Error, OSError, EOFError):
            server.quit()
        return size_bytes, modified, resumable
    finally:
        server.close()


def _login(url: str) -> Login:
    parts = urlsplit(url)
    if parts.username:
        return Login(unquote(parts.username), unquote(parts.password or ""))
    return login_for(parts.hostname or "") or Login("anonymous", "anonymous@")


def _refusal(name: str, url: str, code: str) -> AssetFailed:
    shown = shown_url(url)
    if code in ("530", "532", "331", "332"):
        fix = f"write `ftp://${{USER}}:${{PASSWORD}}@…` as `url:` of `{name}`, or a line for its host in `~/.netrc`"
        return AccessDenied(name, f"{shown} wants a user and a password, or other ones ({code})", fix)
    if code in ("550", "553"):
        return NotThere(name, f"{shown} has no such file, or shows it to others only ({code})")
    return AssetFailed(name, f"{shown} answers {code}")
