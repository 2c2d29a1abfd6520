"""From the Hub's refusals to our errors, each with a way out: what to accept, what to set, which name was meant.

The Hub says why in `X-Error-Code`. A repository that is not there and one that is private look the same to it: 401 without a
token, 404 with one. Source: `hf_raise_for_status` of huggingface_hub.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from conda_assets.errors import AccessDenied, AssetFailed, NetworkFailed, NotThere
from conda_assets.regexes import regex
from conda_assets.settings import Network
from conda_assets.sources.asking import Answer, ask, bearer, understood
from conda_assets.sources.hub import Hub, Place
from conda_assets.sources.patterns import nearest
from conda_assets.web.failures import of_status, retry_after_s

__all__ = ["failure"]

# draft-ietf-httpapi-ratelimit-headers: `"api";r=0;t=55`, t in seconds.
_RESET = regex(r";\s*t=(\d{1,6})")
_SHORT = regex("[0-9a-f]{7,39}")


def failure(asset: str, place: Place, hub: Hub, network: Network, answer: Answer) -> AssetFailed:
    """The error for an answer that is neither the file nor a redirect to it. What is near is looked up, at most two requests."""
    code = answer.headers.get("X-Error-Code", "")
    said = answer.headers.get("X-Error-Message", "")
    page = f"{hub.endpoint}/{place.page}"
    if code == "GatedRepo":
        return _gated(asset, place, hub)
    if code == "RevisionNotFound":
        return _no_revision(asset, place, hub, network)
    if code == "EntryNotFound":
        return _no_file(asset, place, hub, network)
    if answer.status == 401 and hub.token and said.startswith("Invalid credentials"):
        return AccessDenied(
            asset, f"{hub.endpoint} does not know the token", "get another one: `hf auth login`, or set `HF_TOKEN`"
        )
    if code == "RepoNotFound" or answer.status in (401, 404):
        if hub.token:
            fix = f"open {page} in a browser: the account of the token may not see it, or its name is another"
        else:
            fix = f"check the name at {page}; if it is private, set `HF_TOKEN` or run `hf auth login`"
        return NotThere(asset, f"no {_word(place)} {place.repo} on {hub.endpoint}, or it is private", fix)
    if answer.status == 403:
        return AccessDenied(asset, f"{page} may not be read with this token", f"open {page} in a browser to see what it asks for")
    if answer.status == 429:
        return _limited(asset, hub, answer)
    return of_status(asset, answer.status, answer.shown, retry_after_s(answer.headers.get("Retry-After")))


def _word(place: Place) -> str:
    return place.kind.removesuffix("s")


def _gated(asset: str, place: Place, hub: Hub) -> AccessDenied:
    page = f"{hub.endpoint}/{place.page}"
    if hub.token:
        return AccessDenied(
            asset,
            f"{place.repo} is gated, and the account of the token has not been let in",
            f"open {page} with that account, accept the terms, and wait for its owner if they ask for that",
        )
    return AccessDenied(
        asset,
        f"{place.repo} is gated: its terms must be accepted first",
        f"open {page} in a browser, accept the terms, then set `HF_TOKEN` to a token of that account, or run `hf auth login`",
    )


def _limited(asset: str, hub: Hub, answer: Answer) -> NetworkFailed:
    reset = _RESET.search(answer.headers.get("RateLimit", ""))
    wait_s = retry_after_s(answer.headers.get("Retry-After")) or (float(reset[1]) if reset else 0.0)
    fix = "" if hub.token else "set `HF_TOKEN`: with an account the limit is higher"
    when = f", try again in {wait_s:.0f} s" if wait_s else ""
    return NetworkFailed(asset, f"{hub.endpoint} answers 429: too many requests{when}", wait_s, fix)


def _no_revision(asset: str, place: Place, hub: Hub, network: Network) -> NotThere:
    names = _names(asset, f"{hub.endpoint}/{place.api('refs')}", network, hub, _refs)
    near = nearest(place.revision, names)
    if _SHORT.fullmatch(place.revision) and not near:
        fix = f"write all 40 digits of the commit; {hub.endpoint}/{place.page}/commits/main lists them"
    else:
        fix = _meant(near, names)
    return NotThere(asset, f"{place.repo} has no revision {place.revision!r}", fix)


def _no_file(asset: str, place: Place, hub: Hub, network: Network) -> NotThere:
    tree = f"{hub.endpoint}/{place.api('tree')}/{quote(place.revision, safe='')}?recursive=true"
    names = _names(asset, tree, network, hub, _paths)
    if any(name.startswith(f"{place.path}/") for name in names):
        fix = f"{place.path} is a folder: write `{place.path}/` for all that is in it"
    else:
        fix = _meant(nearest(place.path, names), names)
    return NotThere(asset, f"{place.repo}@{place.revision} has no file {place.path}", fix)


def _refs(said: Any) -> list[str]:
    return [str(each["name"]) for kind in ("branches", "tags") for each in said.get(kind) or ()]


def _paths(said: Any) -> list[str]:
    return [str(each["path"]) for each in said if each["type"] == "file"]


def _meant(near: list[str], names: list[str]) -> str:
    if near:
        return "did you mean " + " or ".join(f"`{name}`" for name in near) + "?"
    return f"it has {', '.join(names[:5])}" + (f" and {len(names) - 5} more" if len(names) > 5 else "") if names else ""


def _names(asset: str, url: str, network: Network, hub: Hub, read: Callable[[Any], list[str]]) -> list[str]:
    """Names that would be good to have for a hint; what goes wrong with that must not hide the error at hand."""
    try:
        answer = ask(asset, url, network, secret=bearer(hub.token))
        with understood(asset, answer) as said:
            return read(said) if answer.status == 200 else []
    except AssetFailed:
        return []
