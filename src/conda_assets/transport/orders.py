"""From a job to the call that aria2 understands, and from the network's settings to its conf file.

The choices that make it fast and safe, each measured:

- A Metalink of ours rather than a URL, where the size is known: aria2 then asks for ranges only, and for nothing twice (with a
  plain URL its first request is for the whole file, and up to half of a small file is sent in vain).
- Requests of one piece each, two of them ahead on a connection that stays open (`enable-http-pipelining`), in the order of the
  file: the front is complete at any time, so that a hash follows it, and the speed is that of one long request.
  400 MB at 12 MB/s a connection, 20 ms: 3.29 s; in order without it 3.4 to 3.8 s; out of order 3.30 s, but nothing to hash.
- Mirrors are read out of order, and without requests ahead: a slow one would hold up the front, and all others with it.
  40 MB from mirrors of 3, 6, 1 and 0.3 MB/s a connection: 7.8 s in order, 4.5 s so.
- A server that stumbles over requests sent ahead is asked the plain way from then on (`plain`).
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from conda_assets.errors import AssetFailed, EngineFailed
from conda_assets.settings import Network
from conda_assets.transport import Job, bittorrent
from conda_assets.transport.logins import login_options
from conda_assets.transport.pieces import piece_bytes_for
from conda_assets.transport.rpc import Call
from conda_assets.web.reach import authorities, proxy_for

__all__ = ["conf", "order", "pace", "piece_bytes"]

_MIB = 1 << 20
_SCHEMES = ("http", "https", "ftp", "sftp")
# Below this a connection counts as dead; where a user asks for less speed, nothing does.
_LOWEST = 1024
# Without pipelining each piece costs a connection, so pieces are longer then.
_PLAIN_PIECE_BYTES = 4 * _MIB
# xml.sax.saxutils has it too, and takes 14 ms to load.
_XML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})
# What aria2 takes. Source: aria2c(1), --piece-length.
_LARGEST_PIECE_BYTES = 1024 * _MIB


def conf(network: Network, *, scratch: Path, limit_rate: int | None, files_at_once: int, log: Path | None) -> dict[str, str]:
    """The lines of aria2's conf file that hold for a whole run.

    Raises:
        EngineFailed: a certificate that cannot be read.
    """
    lines = {
        "quiet": "false",
        "show-console-readout": "false",
        "summary-interval": "0",
        "console-log-level": "notice",
        "download-result": "hide",
        "no-netrc": "true",
        "follow-metalink": "false",
        "follow-torrent": "false",
        "bt-enable-lpd": "false",
        **bittorrent.conf(scratch),
        "remote-time": "false",
        "auto-file-renaming": "false",
        "allow-overwrite": "true",
        "file-allocation": "none",
        "disk-cache": "0",
        "auto-save-interval": "1",
        "metalink-enable-unique-protocol": "false",
        "http-accept-gzip": "false",
        "parameterized-uri": "false",
        "max-download-result": "1000000",
        "max-concurrent-downloads": str(files_at_once),
        **pace(limit_rate),
        "max-tries": "3",
        "retry-wait": "2",
        "timeout": str(_seconds(network.read_timeout_s)),
        "connect-timeout": str(_seconds(network.connect_timeout_s)),
        "user-agent": network.user_agent,
        **_trust(network, scratch),
    }
    if log is not None:
        lines.update({"log": str(log), "log-level": "info"})
    return lines


def pace(limit_rate: int | None) -> dict[str, str]:
    """The options that hold for all transfers together; they can be changed while aria2 runs."""
    return {
        "max-overall-download-limit": str(limit_rate or 0),
        "lowest-speed-limit": str(_LOWEST if not limit_rate or limit_rate >= 1024 * _LOWEST else 0),
    }


def piece_bytes(job: Job, *, plain: bool) -> int:
    """The piece length for a job that starts afresh."""
    length = max(job.piece_bytes, piece_bytes_for(job.size_bytes or 0, job.connections))
    if job.most_requests:
        # A request a piece.
        while length * job.most_requests < (job.size_bytes or 0) and length < _LARGEST_PIECE_BYTES:
            length *= 2
    return max(length, _PLAIN_PIECE_BYTES) if plain else length


def order(job: Job, network: Network, *, urls: Sequence[str], length: int, plain: bool, metalink: bool, closed: str = "") -> Call:
    """The call that adds the job. `urls`: what aria2 shall ask, the job's own or a broker's for them.

    `length`: bytes of a piece; `plain`: no pipelining; `metalink`: this aria2 reads Metalinks. `closed`: URL of a proxy that
    refuses everybody, for schemes to which no redirect may lead.

    Raises:
        AssetFailed: a URL that would be read as something else.
        EngineFailed: a proxy that aria2 cannot use.
    """
    _check(job, urls)
    whole = not job.resumable or job.size_bytes is None
    connections = 1 if whole else max(1, min(16, job.connections))
    several = len(urls) > 1
    options: dict[str, object] = {
        "dir": str(job.into.parent),
        "split": str(connections),
        "max-connection-per-server": str(connections),
        "min-split-size": "1M",
        "piece-length": str(length),
        # Among mirrors, what waits in the order of the file may wait for the slowest.
        "stream-piece-selector": "default" if several else "inorder",
        "enable-http-pipelining": "false" if whole or plain or several else "true",
        "continue": "false" if whole else "true",
        "always-resume": "false" if whole else "true",
        # It would go on from the middle, and nothing would tell that the file is another one by then.
        **({"max-tries": "1"} if whole and not job.checked else {}),
        # aria2's own way is to ask a proxy for plain http with GET, one connection a request.
        "proxy-method": "tunnel" if network.admit else "get",
        **proxy_options((*job.urls, *urls), network, direct=[] if network.admit else _hosts(set(urls) - set(job.urls))),
    }
    options.update(_closed(job, urls, network, closed))
    options.update(login_options(job))
    if pin := _pin(job):
        options["header"] = pin
    if whole or not metalink:
        return Call("addUri", (list(urls), {**options, "out": job.into.name}))
    return Call("addMetalink", (base64.b64encode(_metalink(job, urls).encode()).decode(), options))


def _metalink(job: Job, urls: Sequence[str]) -> str:
    # RFC 5854. The lower the number, the better.
    listed = "".join(f'<url priority="{n}">{_escaped(url)}</url>' for n, url in enumerate(urls, 1))
    return (
        '<?xml version="1.0" encoding="UTF-8"?><metalink xmlns="urn:ietf:params:xml:ns:metalink">'
        f'<file name="{_escaped(job.into.name)}"><size>{job.size_bytes}</size>{listed}</file></metalink>'
    )


def _closed(job: Job, urls: Sequence[str], network: Network, closed: str) -> dict[str, object]:
    """aria2 follows every redirect, and is led afresh by each: from https to nothing less, from the web to nothing else."""
    schemes = {urlsplit(url).scheme.lower() for url in job.urls}
    # A guard of ours is asked for the broker, too, and knows itself where it may lead.
    if not closed or not schemes <= {"http", "https"} or (network.admit and set(urls) != set(job.urls)):
        return {}
    return {f"{scheme}-proxy": closed for scheme in ("ftp", *(() if "http" in schemes else ("http",)))}


def _escaped(text: str) -> str:
    return text.translate(_XML)


def _pin(job: Job) -> list[str]:
    """A condition for every request of the transfer, so that a file that is replaced meanwhile is noticed at once.

    Mirrors have validators of their own, and a condition that is not theirs would refuse them.
    """
    if len(job.urls) != 1 or urlsplit(job.urls[0]).scheme.lower() not in ("http", "https"):
        return []
    if job.etag:
        return [f"If-Match: {job.etag}"]
    return [f"If-Unmodified-Since: {job.modified}"] if job.modified else []


def _check(job: Job, urls: Sequence[str]) -> None:
    for url in urls:
        # aria2 reads several URLs out of one with spaces or tabs in it.
        if any(ord(sign) <= 32 or ord(sign) == 127 for sign in url) or urlsplit(url).scheme.lower() not in _SCHEMES:
            raise AssetFailed(job.id, f"a URL with spaces or control characters, or of another scheme than {', '.join(_SCHEMES)}")
    if any(ord(sign) < 32 for sign in str(job.into)):
        raise AssetFailed(job.id, "a path with control characters")


def _hosts(urls: Iterable[str]) -> list[str]:
    return [urlsplit(url).hostname or "" for url in urls]


def proxy_options(urls: Sequence[str], network: Network, direct: list[str]) -> dict[str, object]:
    """The proxy of each scheme, and the hosts to be reached directly; never what aria2 would find by itself."""
    options: dict[str, object] = {"all-proxy": "", "http-proxy": "", "https-proxy": "", "ftp-proxy": "", "no-proxy": ""}
    # Without any proxy nothing has to be reached around one.
    for url in urls if network.proxies else ():
        parts, proxy = urlsplit(url), proxy_for(url, network.proxies)
        if parts.hostname in direct or parts.scheme.lower() not in ("http", "https", "ftp"):
            continue
        if proxy is None:
            direct.append(parts.hostname or "")
        elif urlsplit(proxy).scheme.lower() not in ("http", "https"):
            raise EngineFailed(f"aria2 cannot use a {urlsplit(proxy).scheme} proxy")
        else:
            options[f"{parts.scheme.lower()}-proxy"] = proxy
    if network.proxies:
        # A redirect may lead to another scheme.
        for scheme in ("http", "https", "ftp"):
            options[f"{scheme}-proxy"] = (
                options[f"{scheme}-proxy"] or proxy_for(f"{scheme}://redirected.invalid/", network.proxies) or ""
            )
        listed = dict(network.proxies).get("no_proxy", "").replace(" ", ",").split(",")
        # aria2 takes a name with a dot before it for a whole domain, and without for that host alone.
        direct += [form for each in listed if each.strip(".") for form in (each.lstrip("."), "." + each.lstrip("."))]
    options["no-proxy"] = ",".join(dict.fromkeys(direct))
    return options


def _trust(network: Network, scratch: Path) -> dict[str, str]:
    trusted = authorities(network, os.environ)
    lines = {"check-certificate": "false" if network.verify is False else "true"}
    if trusted is not None:
        lines["ca-certificate"] = str(_as_file(trusted, scratch))
    if network.client_cert:
        cert, key = (network.client_cert, network.client_cert) if isinstance(network.client_cert, str) else network.client_cert
        lines.update({"certificate": cert, "private-key": key})
    return lines


def _as_file(trusted: Path, scratch: Path) -> Path:
    """aria2 wants one file; a folder of certificates is joined to one."""
    if not trusted.is_dir():
        return trusted
    joined = scratch / "authorities.pem"
    try:
        parts = [path.read_bytes() for path in sorted(trusted.iterdir()) if path.suffix in (".pem", ".crt", ".cer", ".0")]
        joined.write_bytes(b"\n".join(dict.fromkeys(parts)))
    except OSError as error:
        raise EngineFailed(f"the certificates in {trusted} cannot be read: {error.strerror}") from error
    return joined


def _seconds(value: float) -> int:
    # What aria2 takes. Source: aria2c(1), --timeout, --connect-timeout.
    return max(1, min(600, round(value)))
