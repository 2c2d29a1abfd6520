"""What aria2's exit codes and messages mean for us; told apart once, here.

Source: https://aria2.github.io/manual/en/html/aria2c.html#exit-status
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from urllib.parse import urlsplit

from conda_assets.errors import (
    AccessDenied,
    AssetFailed,
    AssetsError,
    DiskFull,
    DiskRefused,
    InsecureRedirect,
    NetworkFailed,
    NotThere,
    TlsFailed,
    UpstreamChanged,
)
from conda_assets.model import shown_url
from conda_assets.regexes import regex
from conda_assets.transport import Job
from conda_assets.transport.door import REFUSED
from conda_assets.web.failures import of_status

__all__ = ["of_aria2", "of_complaints", "of_disk", "shown_source"]

_STATUS = regex(r"status=(\d{3})")
# "Invalid range header. Request: 0-1048575/9000000, Response: 0-9/10"
_RANGES = regex(r"Request: \d+-\d+/(\d+), Response: \d+-\d+/(\d+)")
_ADDRESS = regex(r"\b\w+://\S+")
_CHANGED_SIZE = ("total length mismatch", "Size mismatch")
_LATER = {
    2: "silent for too long",
    5: "slower than 1 kB/s",
    6: "the connection was cut",
    19: "the name cannot be resolved",
    29: "overloaded (503)",
}
_DISK = {
    13: "a file stands in the way",
    14: "the file cannot be renamed",
    15: "the file cannot be opened",
    16: "the file cannot be created",
    17: "the disk reports an error",
    18: "the folder cannot be made",
}


# Most telling first.
_TELLING = (DiskFull, DiskRefused, InsecureRedirect, UpstreamChanged, NetworkFailed, TlsFailed, AssetsError)


def shown_source(job: Job) -> str:
    """Where the bytes come from, for messages: the URL, or the hosts of several."""
    if len(job.urls) == 1:
        return shown_url(job.urls[0])
    return ", ".join(dict.fromkeys(urlsplit(url).hostname or "?" for url in job.urls))


def of_disk(job: Job, error: OSError) -> AssetsError:
    """The error for what the operating system refuses."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        folder = job.into.parent
        return DiskFull(
            str(folder), job.size_bytes or 0, shutil.disk_usage(folder).free, job.id, quota=error.errno == errno.EDQUOT
        )
    return DiskRefused(job.id, f"{error.filename or job.into}: {error.strerror or error}")


def of_complaints(job: Job, complaints: Sequence[tuple[int, str]]) -> AssetsError:
    """The error that says most about a transfer that aria2 gave up; (exit code, message) of each of its connections.

    What another try may heal comes before what it cannot: one connection's refusal is not the file's end.
    """
    telling = [each for each in complaints if "No URI available" not in each[1]] or list(complaints)
    errors = [of_aria2(job, code, said) for code, said in telling]
    ranks = [next(rank for rank, kind in enumerate(_TELLING) if isinstance(error, kind)) for error in errors]
    return errors[ranks.index(min(ranks))]


def of_aria2(job: Job, code: int, said: str) -> AssetsError:
    """The error for a transfer that aria2 gave up; `said` is its errorMessage."""
    where = shown_source(job)
    if any(words in said for words in _CHANGED_SIZE):
        return UpstreamChanged(job.id, f"{where} announces another size now")
    if code == 8:
        return _of_range(job, where, said)
    if code == 9 or "No space left" in said:
        return of_disk(job, OSError(errno.ENOSPC, ""))
    if code in _DISK:
        return DiskRefused(job.id, f"{job.into}: {_DISK[code]}{_reason(said)}")
    if code in (3, 4):
        return NotThere(job.id, f"{where} has no such file (404)")
    if code == 23:
        return InsecureRedirect(job.id, f"{where} redirects too often")
    if code == 24:
        return AccessDenied(job.id, f"{where} wants a user and a password (401)")
    if code in _LATER:
        return NetworkFailed(job.id, f"{where}: {_LATER[code]}", cut=code == 6)
    match = _STATUS.search(said)
    if match and match[1] == "416":
        return NetworkFailed(job.id, f"{where} refuses a part of the file (416)")
    if match and int(match[1]) == REFUSED:
        return InsecureRedirect(
            job.id, f"{where} leads to http or ftp, after it has first answered otherwise; that is not followed"
        )
    if match:
        return of_status(job.id, int(match[1]), where)
    return _of_text(job, where, code, said)


def _of_range(job: Job, where: str, said: str) -> AssetsError:
    match = _RANGES.search(said)
    if match and match[1] != match[2] and match[2] != "0":
        return UpstreamChanged(job.id, f"{where} announces {match[2]} bytes now, it were {match[1]}")
    return NetworkFailed(job.id, f"{where} sends another part of the file than it was asked for")


def _of_ssh(job: Job, where: str, said: str) -> AssetsError | None:
    """What goes wrong before an SSH server lets us in; None for anything else."""
    if "SSH host key" in said:
        fix = "if its owner says that it has a new one, `ssh-keygen -R HOST`, and connect once with `sftp`"
        return AccessDenied(job.id, f"{where}: the server shows another key than the one in ~/.ssh/known_hosts", fix)
    if "SSH authentication" in said:
        return AccessDenied(job.id, f"{where} wants another user or password; keys and agents are not known to aria2")
    return None


def _of_text(job: Job, where: str, code: int, said: str) -> AssetsError:
    if (refused := _of_ssh(job, where, said)) is not None:
        return refused
    if "SSL/TLS" in said or "SSL" in said.split(":")[0] or "certificate" in said:
        hosts = ", ".join(dict.fromkeys(urlsplit(url).hostname or "?" for url in job.urls))
        return TlsFailed(job.id, f"no safe connection to {hosts}: {_words(said.replace('SSL/TLS handshake failure:', ''))}")
    if said.startswith("CUID#") and "Redirect to" in said:
        return InsecureRedirect(job.id, f"{where} redirects to something that is not on the web")
    if code == 22:
        return NetworkFailed(job.id, f"{where} does not speak HTTP properly{_reason(said)}")
    if code in (1, 31, 32):
        # A catch-all: resets, ends of file, control files that were damaged meanwhile. Another start looks at the disk anew.
        return NetworkFailed(
            job.id, f"{where}: the transfer broke off{_reason(said)}", cut="reset by peer" in said or "EOF" in said
        )
    return AssetFailed(job.id, f"{where}: aria2 gives up with code {code}{_reason(said)}")


def _reason(said: str) -> str:
    words = _words(said)
    return f" ({words})" if words else ""


def _words(said: str) -> str:
    """aria2's own words, without addresses: those may hold secrets."""
    return _ADDRESS.sub("…", said).strip().rstrip(".")[:200]
