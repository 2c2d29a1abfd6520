"""How aria2 logs in to FTP and SFTP servers: by options of the one job, which no other process can see and no log has."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from conda_assets.errors import AccessDenied
from conda_assets.transport import Job
from conda_assets.web.credentials import Login, login_for
from conda_assets.web.hostkeys import host_key_sha1

__all__ = ["login_options"]


def login_options(job: Job) -> dict[str, object]:
    """User, password and the key that the server must have, for the first of the job's URLs that is ftp or sftp.

    Raises:
        AccessDenied: an SSH server whose key nobody has seen.
    """
    url = next((each for each in job.urls if urlsplit(each).scheme.lower() in ("ftp", "sftp")), None)
    if url is None:
        return {}
    parts = urlsplit(url)
    host, options = parts.hostname or "", dict[str, object]()
    login = Login(unquote(parts.username), unquote(parts.password or "")) if parts.username else login_for(host)
    if login is not None:
        # aria2 takes both for SFTP, too.
        options = {"ftp-user": login.user, "ftp-passwd": login.password}
    if parts.scheme.lower() == "sftp":
        key = host_key_sha1(host, parts.port or 22)
        if key is None:
            raise AccessDenied(job.id, f"the key of {host} is not in ~/.ssh/known_hosts")
        options["ssh-host-key-md"] = f"sha-1={key}"
    return options
