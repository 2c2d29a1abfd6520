"""What the engine's failure means to a person: what, where, and the next command."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from conda_assets.bootstrap.channels import shown_channel, without_secrets
from conda_assets.bootstrap.prefix import Ground
from conda_assets.bootstrap.requested import Requested
from conda_assets.bootstrap.wire import Failed
from conda_assets.errors import AssetsError, BootstrapFailed, UsageError
from conda_assets.regexes import regex

__all__ = ["engine_missing", "refusal"]

_NO_CANDIDATE = regex(r"No candidates were found for (\S+)|([A-Za-z0-9_.-]+)(?: [^\n,]*)?, for which no candidates were found")
_LOOSEN = "loosen the versions that the lines above name"


def engine_missing(detail: str = "") -> BootstrapFailed:
    """There is nothing on this machine that could make an environment."""
    what = "py-rattler, the embedded engine, " + (f"cannot be loaded ({detail})" if detail else "is not installed")
    in_conda = (Path(sys.prefix) / "conda-meta").is_dir()
    command = "conda install -c conda-forge py-rattler" if in_conda else "pip install 'conda-assets[rattler]'"
    return BootstrapFailed(f"no conda, mamba or micromamba is used, and {what}", f"`{command}`, then run the same command again")


def refusal(
    failed: Failed, *, requested: Requested, urls: Sequence[str], prefix: Path, ground: Ground, again: str
) -> AssetsError:
    """The error to raise."""
    text = without_secrets(failed.text.strip(), urls)
    where = requested.sources[0] if requested.sources else str(prefix)
    if failed.kind == "spec":
        return UsageError(f"{where}: {text}", "conda's grammar: `numpy`, `numpy=1.26`, `numpy >=1.26,<2`, `conda-forge::numpy`")
    if failed.kind == "import":
        return engine_missing(text)
    if failed.kind == "unsolvable":
        return BootstrapFailed(f"{where}: no set of packages fits:\n{_indented(text)}", _unsolvable_hint(text, urls))
    if failed.kind == "channel":
        which = "a channel" if "://" in text else f"one of the channels {', '.join(map(shown_channel, urls))}"
        return BootstrapFailed(f"{which} cannot be read: {_flat(text)}", _channel_hint(text))
    if failed.kind == "offline":
        return BootstrapFailed(
            f"offline, and packages are {text}", f"run `{again}` once where there is a network, with the same cache"
        )
    left = "it is gone again" if ground is not Ground.ENVIRONMENT else "it may be half changed"
    after = f"{left}; run `{again}` again, packages that have arrived are kept"
    if failed.kind == "disk":
        return BootstrapFailed(f"{prefix}: the disk refuses: {_flat(text)}", f"make room or mend the permissions; {after}")
    if failed.kind == "link_script":
        return BootstrapFailed(f"{prefix}: a script of a package failed: {_flat(text)}", after)
    if failed.kind == "package":
        return BootstrapFailed(f"{prefix}: a package cannot be installed: {_flat(text)}", after)
    return BootstrapFailed(f"{prefix}: {text}", after)


def _unsolvable_hint(text: str, urls: Sequence[str]) -> str:
    channels = ", ".join(shown_channel(url) for url in urls)
    if "conflicts with the versions reported above" in text:
        return _LOOSEN
    if "strict channel priority" in text:
        return "a channel further up has that package too, so it alone is asked: write `channel::package`, or reorder `channels:`"
    if found := _NO_CANDIDATE.search(text):
        name = found[1] or found[2]
        if name.startswith("__"):
            variable = f"CONDA_OVERRIDE_{name[2:].upper()}"
            return f"this machine has no {name} that fits; to make the environment all the same set `{variable}` to a version"
        return f"nothing of that name and version in {channels}: check both, or add the channel that has it to `channels:`"
    return _LOOSEN


def _channel_hint(text: str) -> str:
    if "could not find subdir" in text or "404" in text:
        return "check the channel's name or URL in `channels:`"
    if re.search(r"40[137]|Unauthorized|Forbidden", text):
        return "the channel wants credentials, or other ones"
    if re.search(r"certificate|tls|ssl", text, re.IGNORECASE):
        return "behind a company proxy, `conda config --set ssl_verify /path/to/ca.pem`, or set `SSL_CERT_FILE`"
    if "parse" in text:
        return "the channel's index is damaged, or the URL is not a channel's"
    if "force-cache-only" in text or "cache" in text:
        return "run the same command once where there is a network, with the same cache"
    return "check the network (`https_proxy`, `proxy_servers`), then run the same command again"


def _flat(text: str) -> str:
    return ": ".join(part.removeprefix("Caused by: ").strip() for part in text.splitlines() if part.strip())


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines() if line.strip())
