"""From GitHub's refusals to our errors, each with a way out.

A repository that is private is not there (404) to whoever may not see it. Over a limit the answer is 403 or 429.
Source: https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api and …/rate-limits-for-the-rest-api
"""

from __future__ import annotations

import time
from datetime import datetime

from conda_assets.errors import AccessDenied, AssetFailed, NetworkFailed, NotThere
from conda_assets.records import dataclass, field
from conda_assets.settings import Network
from conda_assets.sources.asking import Answer, ask, bearer, understood
from conda_assets.sources.patterns import nearest
from conda_assets.web.failures import of_status, retry_after_s

__all__ = ["Api", "failure", "no_asset"]

# What GitHub asks for where it names no time.
_LEAST_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Api:
    """The interface, without `/` at its end, and the token for its host and no other."""

    url: str
    token: str | None = field(default=None, repr=False)


def failure(asset: str, repo: str, tag: str | None, api: Api, network: Network, answer: Answer) -> AssetFailed:
    """The error for an answer that is not the release. Names that are near are looked up with one request."""
    limited = (
        answer.headers.get("X-RateLimit-Remaining") == "0" or "Retry-After" in answer.headers or b"rate limit" in answer.body
    )
    if answer.status == 429 or (answer.status == 403 and limited):
        return _limited(asset, api, answer)
    if answer.status == 401:
        return AccessDenied(
            asset, f"{api.url} does not know the token", "set `GITHUB_TOKEN` to a valid one, or unset it for public files"
        )
    if answer.status == 403:
        fix = "check what the token may do: it needs to read the contents, and single sign-on where the organization has that"
        return AccessDenied(asset, f"{repo} may not be read with this token", fix)
    if answer.status == 404:
        return _not_there(asset, repo, tag, api, network)
    return of_status(asset, answer.status, answer.shown, retry_after_s(answer.headers.get("Retry-After")))


def no_asset(asset: str, where: str, name: str, names: list[str]) -> NotThere:
    """The release has no such file; what it has instead."""
    if near := nearest(name, names):
        fix = "did you mean " + " or ".join(f"`{each}`" for each in near) + "?"
    else:
        fix = f"it has {', '.join(names[:5]) or 'no files'}" + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return NotThere(asset, f"the release {where} has no file {name}", fix)


def _limited(asset: str, api: Api, answer: Answer) -> NetworkFailed:
    """Over the limit of an hour, or too many at once; with the time when it is over, as a clock here shows it."""
    wait_s = retry_after_s(answer.headers.get("Retry-After"))
    reset = answer.headers.get("X-RateLimit-Reset", "")
    if (
        not wait_s
        and answer.headers.get("X-RateLimit-Remaining") == "0"
        and reset.isascii()
        and reset.isdigit()
        and len(reset) < 12
    ):
        wait_s = max(1.0, float(reset) - time.time())
    wait_s = wait_s or _LEAST_WAIT_S
    until = datetime.fromtimestamp(time.time() + wait_s).strftime("%H:%M")
    limit = answer.headers.get("X-RateLimit-Limit", "")
    quota = f"{limit} requests an hour are" if limit.isdigit() else "number of requests is"
    fix = "" if api.token else "set `GITHUB_TOKEN`: with an account the limit is 5,000 requests an hour"
    return NetworkFailed(asset, f"{api.url}: the {quota} used up until {until}", wait_s, fix)


def _not_there(asset: str, repo: str, tag: str | None, api: Api, network: Network) -> NotThere:
    tags = _tags(asset, repo, api, network)
    if tags is None:
        token = "the account of the token may not see it" if api.token else "if it is private, set `GITHUB_TOKEN`"
        return NotThere(asset, f"no repository {repo} at {api.url}, or it is private", f"check its name; {token}")
    if tag is None:
        return NotThere(
            asset, f"{repo} has no release", f"see https://github.com/{repo}/tags: files are attached to releases only"
        )
    if near := nearest(tag, tags):
        fix = "did you mean " + " or ".join(f"`{each}`" for each in near) + "?"
    else:
        fix = f"its latest are {', '.join(tags[:3])}" if tags else "it has none: files are attached to releases, not to tags"
    return NotThere(asset, f"{repo} has no release of the tag {tag!r}", fix)


def _tags(asset: str, repo: str, api: Api, network: Network) -> list[str] | None:
    """Tags of its releases, newest first; None where there is no such repository, or nothing is said."""
    try:
        answer = ask(asset, f"{api.url}/repos/{repo}/releases?per_page=100", network, secret=bearer(api.token))
        with understood(asset, answer) as said:
            return [str(each["tag_name"]) for each in said] if answer.status == 200 else None
    except AssetFailed:
        return None
