"""Who asks S3: botocore finds the credentials wherever AWS's own tools do, and signs; nothing else of it is used.

Environment, `~/.aws/credentials`, profiles of `~/.aws/config` with their roles, SSO and processes, web identities, and the
metadata of the machine. 60 ms to load, paid by those who have credentials; public objects need neither it nor them.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from conda_assets.errors import AccessDenied

__all__ = ["SIGNED_S", "Account", "account", "has_botocore", "is_named"]

#: What a signature is good for. A role's credentials are renewed when they have less than 10 minutes left, so one made with
#: them may not live longer than that.
SIGNED_S, _ROLE_S = 3600, 600
_NAMING = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_FILES = (("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), ("AWS_CONFIG_FILE", "~/.aws/config"))


def has_botocore() -> bool:
    """Signing is possible."""
    return importlib.util.find_spec("botocore") is not None


def is_named(environ: Mapping[str, str]) -> bool:
    """The user has said something about credentials; without that, only the machine itself might have some."""
    return any(environ.get(name) for name in _NAMING) or any(
        Path(environ.get(name) or default).expanduser().is_file() for name, default in _FILES
    )


class Account:
    """Credentials and what the profile says beside them; safe for several threads."""

    def __init__(self, session: Any, credentials: Any) -> None:
        self._credentials, self._lock = credentials, threading.Lock()
        profile: Mapping[str, Any] = session.get_scoped_config()
        services = session.full_config.get("services", {}).get(profile.get("services", ""), {})
        self.region: str | None = profile.get("region")
        self.endpoint: str | None = services.get("s3", {}).get("endpoint_url") or profile.get("endpoint_url")

    def signed(self, asset: str, method: str, url: str, headers: Mapping[str, str], region: str) -> tuple[str, float]:
        """The URL with a signature for that request, and the seconds that it is good for. `headers` have to be sent with it.

        Raises:
            AccessDenied: the credentials cannot be renewed.
        """
        from botocore.auth import S3SigV4QueryAuth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError

        try:
            with self._lock:
                held = self._credentials.get_frozen_credentials()
        except BotoCoreError as error:
            raise _refused(asset, error) from error
        request = AWSRequest(method=method, url=url, headers=dict(headers))
        good_s = _ROLE_S if held.token else SIGNED_S
        S3SigV4QueryAuth(held, "s3", region, expires=good_s).add_auth(request)
        return str(request.url), float(good_s)


def account(asset: str, environ: Mapping[str, str]) -> Account | None:
    """The credentials that AWS's tools would use here, None without any, or without botocore.

    Raises:
        AccessDenied: those that are named cannot be had.
    """
    if not has_botocore():
        return None
    from botocore.exceptions import BotoCoreError

    said = tuple(sorted((name, value) for name, value in environ.items() if name.startswith("AWS_") or name == "HOME"))
    try:
        return _found(said, os.getpid())
    except BotoCoreError as error:
        raise _refused(asset, error) from error


@lru_cache(maxsize=8)
def _found(said: tuple[tuple[str, str], ...], process: int) -> Account | None:
    """Kept for as long as the environment says the same: a session reads files, and a role costs requests."""
    from botocore.session import Session

    session = Session()
    credentials = session.get_credentials()
    return None if credentials is None else Account(session, credentials)


def _refused(asset: str, error: Exception) -> AccessDenied:
    name = type(error).__name__
    if name == "ProfileNotFound":
        return AccessDenied(
            asset, f"the AWS profile that is asked for is not there ({error})", "see `aws configure list-profiles`"
        )
    words = str(error).strip().splitlines()
    fix = "log in again: `aws sso login`" if "SSO" in name or "Token" in name else "see `aws sts get-caller-identity`"
    return AccessDenied(asset, f"the AWS credentials cannot be had: {words[0].rstrip('.') if words else name}", fix)
