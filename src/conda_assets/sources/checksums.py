"""What a web server says a file's bytes are: in the headers of an answer, in a Metalink, in a file of checksums beside it.

Headers come with the answer that is read anyway. The rest costs requests and is asked for by `vouch` only: at most one for the
headers, one for a Metalink and eight for files of checksums, none of which is kept from answering by one that is missing.

A sha256 counts more than what is longer, because the store finds files by it; sha1 and md5 tell damage, not malice.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from urllib.parse import quote, urlsplit

from conda_assets.digest import ALGORITHMS, Digest
from conda_assets.errors import AssetFailed
from conda_assets.model import Locked, last_part
from conda_assets.records import replace
from conda_assets.regexes import regex
from conda_assets.settings import Network
from conda_assets.sources.asking import Answer, ask

__all__ = ["beside", "of_headers", "of_listing", "strongest"]

_ORDER = ("sha256", "sha512", "blake3", "sha1", "md5")
_LENGTHS = {128: "sha512", 64: "sha256", 40: "sha1", 32: "md5"}
# Names in headers (RFC 9530, RFC 3230 and its registry) and in BSD's and OpenSSL's lines.
_NAMES = {
    "sha-256": "sha256", "sha-512": "sha512", "sha": "sha1", "sha-1": "sha1", "md5": "md5", "sha256": "sha256",
    "sha512": "sha512", "sha1": "sha1", "sha2-256": "sha256", "sha2-512": "sha512", "blake3": "blake3",
}  # fmt: skip
_AMZ_MD5 = regex(r'"([0-9a-f]{32})"')
_GNU = regex(r"(\\?)([0-9a-fA-F]{32,128})[ \t]+\*?(\S.*)")
_BSD = regex(r"([A-Za-z0-9-]+) ?\((.+)\) ?= ?([0-9a-fA-F]{32,128})")
_BARE = regex("[0-9a-fA-F]{32,128}")
# Debian's largest list has 2 MB.
_MOST_BYTES = 4 << 20
_REMEMBERED_S = 60.0
# Beside the file, strongest first: `{}` is its name, those without one list a folder.
_BESIDE = ("{}.sha256", "{}.sha256sum", "SHA256SUMS", "sha256sums.txt", "{}.sha512", "SHA512SUMS", "{}.md5", "MD5SUMS")


def strongest(digests: Mapping[Digest, str]) -> tuple[Digest, str] | None:
    """The one to hold the bytes against, with who vouches for it."""
    return min(digests.items(), key=lambda item: _ORDER.index(item[0].algorithm), default=None)


def of_headers(headers: Mapping[str, str], status: int, host: str) -> tuple[Digest, str] | None:
    """What an answer says of the whole file, and where it says so. `status` 206: the body is a part of it; `host` answered.

    Not read: Content-Digest and, of a part, Content-MD5 (they are of what was sent), S3's checksums of parts (`…-N`), and ETags
    that only look like a digest.
    """
    found: dict[Digest, str] = {}
    for name, digest in (
        *(("Repr-Digest", each) for each in _listed(headers.get("Repr-Digest", ""), ":")),
        *(("Digest", each) for each in _listed(headers.get("Digest", ""), "")),
        *(("X-Checksum", _of_hex(kind, headers.get(f"X-Checksum-{kind}", ""))) for kind in ("sha256", "sha512", "sha1", "md5")),
        *(("x-amz-checksum", _of_base64(kind, headers.get(f"x-amz-checksum-{kind}", ""))) for kind in ("sha256", "sha1")),
        ("X-Linked-Etag", _of_hex("sha256", headers.get("X-Linked-Etag", "").strip('" '))),
        *(("x-goog-hash", each) for each in _of_google(headers)),
        ("x-ms-blob-content-md5", _of_base64("md5", headers.get("x-ms-blob-content-md5", ""))),
        ("Content-MD5", _of_base64("md5", headers.get("Content-MD5", "")) if status == 200 else None),
        ("ETag", _of_amazon(headers, host)),
    ):
        if digest is not None:
            found.setdefault(digest, f"its server ({name})")
    return strongest(found)


def of_listing(text: str, name: str, *, alone: bool) -> Digest | None:
    """The digest of `name` in a file of checksums, as coreutils, BSD and OpenSSL write them. `alone`: the file is about one name.

        248dfc…  ./model.bin          SHA256 (model.bin) = 248dfc…          248dfc…            (only where `alone`)

    None where it is not there, or there twice with different digests.
    """
    found = {digest for line in text.splitlines() if (digest := _of_line(line.strip(), name, alone=alone)) is not None}
    best = strongest(dict.fromkeys(found, ""))
    if best is None or sum(each.algorithm == best[0].algorithm for each in found) > 1:
        return None
    return best[0]


def beside(locked: Locked, network: Network, secret: Mapping[str, str]) -> Locked:
    """Look for files of checksums beside the one that was asked for; what cannot be read vouches for nothing.

    `secret`: headers for the file's own origin.
    """
    parts = urlsplit(locked.url)
    name = last_part(locked.url)
    # A query may be a signature for this very path, or name the file: then nothing lies beside it.
    if not name or parts.query or any(name == each or name.endswith(each[2:]) for each in _BESIDE):
        return locked
    folder = parts._replace(path=parts.path[: parts.path.rfind("/") + 1], query="", fragment="").geturl()
    for each in _BESIDE:
        sidecar = each.format(name)
        try:
            answer = _sidecar(network, folder + quote(sidecar), secret, of_folder="{}" not in each)
        except AssetFailed:
            return locked
        if answer.status != 200:
            continue
        if _is_page(answer):  # so it does for everything that is not there
            return locked
        digest = of_listing(_text(answer.body), name, alone="{}" in each)
        if digest is not None:
            return replace(locked, digest=digest, vouched_by=f"{sidecar} beside the file")
    return locked


def _sidecar(network: Network, url: str, secret: Mapping[str, str], *, of_folder: bool) -> Answer:
    if of_folder and not secret:
        return _of_folder(network, url, int(time.monotonic() / _REMEMBERED_S))
    return ask("", url, network, secret=secret, most_bytes=_MOST_BYTES)


@lru_cache(maxsize=8)
def _of_folder(network: Network, url: str, moment: int) -> Answer:
    """A folder's list is asked for once, not for each of its files. `moment` lets it be forgotten."""
    del moment
    return ask("", url, network, most_bytes=_MOST_BYTES)


def _listed(text: str, mark: str) -> Iterator[Digest]:
    """`sha-256=:…:, sha-512=:…:` (RFC 9530, mark `:`), or `SHA-256=…,MD5=…` (RFC 3230, without)."""
    for part in text.split(","):
        name, _, value = part.partition(";")[0].strip().partition("=")
        algorithm = _NAMES.get(name.strip().lower())
        if algorithm and value[: len(mark)] == mark and value.endswith(mark):
            digest = _of_base64(algorithm, value.strip(mark) if mark else value)
            if digest is not None:
                yield digest


def _of_google(headers: Mapping[str, str]) -> Iterator[Digest]:
    """`crc32c=n03x6A==,md5=Ojk9c3dhfxgoKVVHYwFbHQ==`: of what is stored, which may be compressed while it is sent plain."""
    if headers.get("x-goog-stored-content-encoding", "identity").strip().lower() == "identity":
        for part in headers.get("x-goog-hash", "").split(","):
            name, _, value = part.strip().partition("=")
            if name == "md5" and (digest := _of_base64("md5", value)) is not None:
                yield digest


def _of_amazon(headers: Mapping[str, str], host: str) -> Digest | None:
    """The ETag of an object that came to S3 in one part, in plain or with S3's own key, in a usual bucket: its md5.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
    """
    encrypted = headers.get("x-amz-server-side-encryption", "AES256") != "AES256"
    if headers.get("Server") != "AmazonS3" or encrypted or "--x-s3" in host:
        return None
    if any(name.lower().startswith("x-amz-server-side-encryption-customer") for name in headers):
        return None
    match = _AMZ_MD5.fullmatch(headers.get("ETag", "").strip())
    return Digest("md5", match[1]) if match else None


def _of_base64(algorithm: str, text: str) -> Digest | None:
    try:
        return _of_hex(algorithm, base64.b64decode(text.strip(), validate=True).hex())
    except (binascii.Error, ValueError):
        return None


def _of_hex(algorithm: str, text: str) -> Digest | None:
    text = text.strip().lower()
    return Digest(algorithm, text) if len(text) == ALGORITHMS[algorithm] and _BARE.fullmatch(text) else None


def _of_line(line: str, name: str, *, alone: bool) -> Digest | None:
    if match := _GNU.fullmatch(line):
        said = match[3].replace("\\\\", "\\") if match[1] else match[3]
        return _by_length(match[2]) if _is_it(said, name, alone=alone) else None
    if (match := _BSD.fullmatch(line)) and (algorithm := _NAMES.get(match[1].lower())):
        return _of_hex(algorithm, match[3]) if _is_it(match[2], name, alone=alone) else None
    return _by_length(line) if alone and _BARE.fullmatch(line) else None


def _by_length(text: str) -> Digest | None:
    return Digest(_LENGTHS[len(text)], text.lower()) if len(text) in _LENGTHS else None


def _is_it(said: str, name: str, *, alone: bool) -> bool:
    """`dist/x.bin` is another file in a list of a folder; in `x.bin.sha256` it is where `x.bin` was when that was made."""
    said = said.removeprefix("./").replace("\\", "/") if alone else said.removeprefix("./")
    return said == name or (alone and said.rsplit("/", 1)[-1] == name)


def _is_page(answer: Answer) -> bool:
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml") or answer.body[:512].lstrip()[:1] == b"<"


def _text(body: bytes) -> str:
    """PowerShell redirects as UTF-16."""
    return body.decode("utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "replace")
