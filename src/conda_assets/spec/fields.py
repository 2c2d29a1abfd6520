"""The fields of an asset, defined once: the walker, "did you mean" and the JSON Schema are made from this table."""

from __future__ import annotations

from conda_assets.model import LinkMode, Root
from conda_assets.spec.paths import PATH, read_path
from conda_assets.spec.types import Choice, Field, Flag, ListOf, SizeOf, Text, Unpacking, Whole
from conda_assets.spec.values import (
    GLOB,
    HASH,
    NAME,
    PLATFORMS,
    SHA256,
    VARIABLE,
    read_glob,
    read_group,
    read_hash,
    read_name,
    read_platform,
    read_sha256,
    read_variable,
)
from conda_assets.spec.web import HeaderMap, Url

__all__ = ["FIELDS"]

_DIGITS = "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707"

_UNPACK_FIELDS = {
    "strip": Field(
        Whole(maximum=64),
        "How many leading folders of the archive to drop, as `tar --strip-components` does.",
        (1,),
        also=("strip_components", "strip-components", "stripcomponents"),
        default=0,
    ),
    "include": Field(
        ListOf(Text("a pattern", GLOB, read_glob), "patterns"),
        "Which members to take, as patterns; without it all of them.",
        (["*.jsonl"],),
        also=("members", "files", "only", "glob", "globs"),
    ),
}

#: In the order of the documentation.
FIELDS = {
    "name": Field(
        Text("a name", NAME, read_name),
        "What the asset is called in commands and messages; unique in the file. Default: the last part of the URL.",
        ("gpt2-weights",),
        also=("id", "title", "label"),
    ),
    "url": Field(
        Url(),
        "Where the file comes from. `${NAME}` is replaced by that environment variable; write `$$` for a `$` before a brace.",
        ("https://example.org/data/train.csv", "hf://openai-community/gpt2@607a30d7/model.safetensors", "s3://bucket/key"),
        also=("uri", "href", "source", "src", "location", "download", "from"),
    ),
    "mirrors": Field(
        ListOf(Url(), "URLs"),
        "Further URLs with the same bytes, for speed and for the day when the first one is down.",
        (["https://lab.example/mirror/gpt2.safetensors"],),
        also=("mirror", "urls", "alternatives", "fallback", "fallbacks"),
    ),
    "sha256": Field(
        Text("64 hex digits", SHA256, read_sha256),
        "The sha256 of the file: 64 hex digits. Bytes that do not match are never put in place.",
        (_DIGITS,),
        also=("sha", "sha-256", "sha_256"),
    ),
    "hash": Field(
        Text("`algorithm:hex`", HASH, read_hash),
        "The digest of the file with its algorithm before it (sha256, sha512, sha1, md5, blake3), where there is no sha256.",
        ("md5:6cd3556deb0da54bca060b4c39479839",),
        also=("checksum", "digest", "md5", "sha1", "sha512", "blake3", "md5sum", "sha1sum", "integrity"),
    ),
    "size": Field(
        SizeOf(),
        "The size in bytes, or a rounded figure with a unit. Another size on the server is an error before the transfer.",
        (548105171, "523 MiB", "4.9 GB"),
        also=("bytes", "size_bytes", "length", "filesize", "content-length"),
    ),
    "path": Field(
        Text("a path", PATH, read_path),
        "Where it appears below `root`, with `/`. Default: the name. With `unpack` it is a folder.",
        ("models/gpt2.safetensors",),
        also=("file", "filename", "dest", "destination", "target", "to", "out", "output", "dir", "folder"),
    ),
    "root": Field(
        Choice(Root),
        "What `path` is relative to: `prefix` is `share/assets` of the environment, `project` the folder of this file.",
        tuple(each.value for each in Root),
        also=("base", "relative_to", "where"),
        default=Root.PREFIX.value,
    ),
    "env": Field(
        Text("the name of a variable", VARIABLE, read_variable),
        "A variable that holds the absolute path in the activated environment. Where the user has set it, nothing is fetched.",
        ("GPT2_WEIGHTS",),
        also=("variable", "var", "environment", "env_var", "envvar"),
    ),
    "groups": Field(
        ListOf(Text("a group's name", NAME, read_group), "groups"),
        "Fetched only when one of these groups is asked for (`--group train`); without it always.",
        (["train"],),
        also=("group", "tags", "tag", "features", "extras"),
    ),
    "platforms": Field(
        ListOf(
            Text("a platform", "", read_platform, words=PLATFORMS), "platforms", "delete the line: then it is wanted everywhere"
        ),
        "The platforms that it is for, as conda calls them; without it all.",
        (["linux-64", "osx-arm64"],),
        also=("platform", "subdir", "subdirs", "os", "arch"),
    ),
    "optional": Field(
        Flag(),
        "If true, its failure is a warning and the command succeeds.",
        (True,),
        also=("required", "allow_failure", "allow-failure"),
        default=False,
    ),
    "unpack": Field(
        Unpacking(_UNPACK_FIELDS),
        "Unpack the archive: true, or how.",
        (True, {"strip": 1, "include": ["*.jsonl"]}),
        also=("extract", "unzip", "untar", "decompress", "unarchive", "uncompress"),
        default=False,
    ),
    "headers": Field(
        HeaderMap(),
        "Request headers, sent to the host of `url` only. Keep secrets in variables: `${NAME}` is replaced.",
        ({"Authorization": "Bearer ${TOKEN}"},),
        also=("header", "http_headers", "auth", "token"),
    ),
    "link": Field(
        Choice(LinkMode),
        "`auto` shares the bytes with the store (reflink, hardlink or symlink), `copy` gives a private, writable file.",
        tuple(each.value for each in LinkMode),
        also=("mode", "link_mode", "copy"),
        default=LinkMode.AUTO.value,
    ),
}
