"""Names on the Hugging Face Hub, and what its own tools have set up on this machine. Asks nobody.

    hf://openai-community/gpt2@607a30d/model.safetensors      a model's file, at a branch, a tag or a commit
    hf://datasets/allenai/c4/en/*.json.gz                     a dataset's, by a glob
    hf://datasets/org/data@refs/convert/parquet/default/      a folder, of a special revision
    hf://org/name                                             all of a repository
    hf://gpt2/config.json                                     a repository of old, without owner

What stands in a URL is percent-decoded. Source: https://huggingface.co/docs/huggingface_hub/package_reference/hf_uris
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote

from conda_assets.errors import AssetFailed, NoSource
from conda_assets.records import dataclass, field
from conda_assets.regexes import regex
from conda_assets.sources.patterns import is_glob

__all__ = ["Hub", "Place", "read_hub", "read_place"]

_SPECIAL = regex(r"refs/(?:pr/\d+|convert/[\w.-]+)")
# The owner, the name; the revision up to a slash, but for those special ones that have slashes; the path.
_PLACE = regex(rf"(?P<repo>[^/@]+(?:/[^/@]+)?)(?:@(?P<revision>{_SPECIAL.pattern}(?=/|$)|[^/]+))?(?:/(?P<path>.*))?", re.DOTALL)
_NAME = regex(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
_KINDS = {"models": "models", "datasets": "datasets", "spaces": "spaces", "kernels": "kernels"}
# `hf://gpt2/config.json` is a file of a repository without owner, `hf://org/name-v1.5` is a repository: told apart by these.
_FILES = regex(
    r".*\.(?:json|jsonl|txt|md|bin|safetensors|gguf|h5|ot|msgpack|onnx|pt|pth|pkl|model|tflite|csv|tsv|parquet|zip|gz|tar|zst|xz|bz2|npz|npy|ya?ml)",
    re.IGNORECASE,
)
_TRUE = frozenset({"1", "on", "yes", "true"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where on the Hub. `kind`: `models`, `datasets`, …; `path` is decoded, empty or with `/` at its end for a folder."""

    kind: str
    repo: str
    revision: str
    path: str

    @property
    def is_pattern(self) -> bool:
        """It names several files."""
        return not self.path or self.path.endswith("/") or is_glob(self.path)

    @property
    def page(self) -> str:
        """Its repository's page, below the endpoint."""
        return self.repo if self.kind == "models" else f"{self.kind}/{self.repo}"

    @property
    def resolve(self) -> str:
        """Its file, below the endpoint."""
        return f"{self.page}/resolve/{quote(self.revision, safe='')}/{quote(self.path)}"

    def api(self, what: str) -> str:
        """A question about its repository, below the endpoint: `revision`, `tree`, `refs`."""
        return f"api/{self.kind}/{self.repo}/{what}"

    @property
    def url(self) -> str:
        """As it stands in a file."""
        revision = self.revision if _SPECIAL.fullmatch(self.revision) else quote(self.revision, safe="")
        return f"hf://{self.page}@{revision}/{quote(self.path)}"


@dataclass(frozen=True, slots=True)
class Hub:
    """`endpoint` without `/` at its end. The token is for that host and no other."""

    endpoint: str
    token: str | None = field(default=None, repr=False)
    offline: bool = False


def read_place(asset: str, url: str) -> Place:
    """Take a URL apart.

    Raises:
        NoSource: a bucket.
        AssetFailed: it names no repository.
    """
    rest = url.partition(":")[2].lstrip("/").removesuffix("?download=true")
    kind, slash, after = rest.partition("/")
    if kind == "buckets":
        raise NoSource(asset, "buckets of the Hugging Face Hub cannot be fetched yet, only models, datasets and spaces")
    kind, rest = (_KINDS[kind], after) if slash and kind in _KINDS else ("models", rest)
    match = _PLACE.fullmatch(rest)
    repo, revision, path = (match["repo"], match["revision"], match["path"]) if match else ("", None, None)
    owner, slash, last = repo.partition("/")
    if slash and revision is None and path is None and (is_glob(last) or _FILES.fullmatch(last)):
        repo, path = owner, last
    if not all(_NAME.fullmatch(part) for part in repo.split("/")):
        raise AssetFailed(asset, "the URL names no repository; it has the form hf://[datasets/]owner/name[@revision]/path")
    place = Place(kind, repo, unquote(revision or "main"), unquote(path or "").lstrip("/"))
    if {".", ".."} & {*place.revision.split("/"), *place.path.split("/")}:
        raise AssetFailed(asset, "`.` and `..` are no parts of a revision or of a path on the Hub")
    return place


def read_hub(environ: Mapping[str, str]) -> Hub:
    """The Hub that the machine is set up for, with the variables and files of Hugging Face's own tools."""
    home = environ.get("HOME") or environ.get("USERPROFILE") or str(Path.home())
    endpoint = environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"
    offline = environ.get("HF_HUB_OFFLINE") or environ.get("TRANSFORMERS_OFFLINE") or ""
    return Hub(endpoint, _token(environ, home), offline.lower() in _TRUE)


def _token(environ: Mapping[str, str], home: str) -> str | None:
    if environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").lower() in _TRUE:
        return None
    if own := _clean(environ.get("HF_TOKEN") or environ.get("HUGGING_FACE_HUB_TOKEN") or ""):
        return own
    cache = environ.get("XDG_CACHE_HOME") or f"{home}/.cache"
    folder = environ.get("HF_HOME") or f"{cache}/huggingface"
    file = environ.get("HF_TOKEN_PATH") or f"{folder}/token"
    path = Path(home, file[2:]) if file.startswith("~/") else Path(file)
    try:
        return _clean(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _clean(text: str) -> str | None:
    """A token for a header; none where it could not be one."""
    text = text.strip()
    return text if text.isascii() and text.isprintable() else None
