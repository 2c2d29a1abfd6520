"""URLs and header values: variables expanded, schemes known, nothing in them that a header, a log or aria2 would trip over.

No message and no warning shows a value: they may be secrets. What may be shown of a URL is its scheme and host.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from conda_assets.regexes import regex
from conda_assets.spec.values import UNSEEN, Wrong, nearest, shown

__all__ = [
    "HEADER_NAME",
    "HEADER_VALUE",
    "SECRET_QUERY",
    "URL",
    "Expanded",
    "expand",
    "header_warning",
    "read_header_name",
    "read_header_value",
    "read_url",
    "url_warning",
]

#: scheme → what follows it, as an example
SCHEMES = {
    "https": "https://example.org/file.bin",
    "http": "http://example.org/file.bin",
    "ftp": "ftp://example.org/file.bin",
    "sftp": "sftp://example.org/file.bin",
    "file": "file:///data/file.bin",
    "hf": "hf://org/name@revision/file.bin",
    "s3": "s3://bucket/key",
    "gs": "gs://bucket/key",
    "doi": "doi:10.5281/zenodo.1234567/file.bin",
    "github": "github:owner/repository@tag/file.bin",
    "oci": "oci://registry/name:tag",
    "magnet": "magnet:?xt=urn:btih:…",
}
_ALSO = {
    "aws": "s3", "gcs": "gs", "google": "gs", "huggingface": "hf", "hugging-face": "hf", "gh": "github", "zenodo": "doi",
    "docker": "oci", "ssh": "sftp", "scp": "sftp", "ftps": "ftp", "webdav": "https", "dav": "https", "torrent": "magnet",
}  # fmt: skip

_VARIABLE = regex(r"\$(?:\$|\{([^}]*)(\}?))")
_VARIABLE_NAME = regex("[A-Za-z_][A-Za-z0-9_]*")
_REFUSED = f'\\s"<>\\\\{UNSEEN}'


def _any_case(word: str) -> str:
    return "".join(f"[{sign}{sign.upper()}]" if sign.isalpha() else sign for sign in word)


_HOST = f"[^/?#{_REFUSED}]"
_RESTS = {
    "file": f"//(?:{_any_case('localhost')})?/[^{_REFUSED}]+",
    "s3": f"//{_HOST}[^/{_REFUSED}]*/[^{_REFUSED}]+",
    "gs": f"//{_HOST}[^/{_REFUSED}]*/[^{_REFUSED}]+",
    "magnet": f"\\?(?:[^{_REFUSED}]*&)?xt(?:\\.[0-9]+)?=urn:[^{_REFUSED}]+",
    **dict.fromkeys(("https", "http", "ftp", "sftp"), f"//{_HOST}[^{_REFUSED}]*"),
    **dict.fromkeys(("hf", "doi", "github", "oci"), f"/*[^/{_REFUSED}][^{_REFUSED}]*"),
}
#: For the schema, before variables are expanded: one may stand for the scheme, or for what has to follow it.
URL = "|".join(f"{_any_case(scheme)}:{rest}" for scheme, rest in _RESTS.items()) + (
    f"|(?:{'|'.join(map(_any_case, SCHEMES))}):[^{_REFUSED}]*\\$\\{{[^{_REFUSED}]+|[A-Za-z0-9+.-]*\\$\\{{[^{_REFUSED}]+"
)
_BAD_SIGN = regex(f"[{_REFUSED}]")
# Nearly all URLs: nothing to look at twice.
_PLAIN_WEB = regex(r"https?://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[1-9][0-9]{0,3})?(?:/[A-Za-z0-9._~%!()*+,;=:@/-]*)?")
_SCHEME = regex(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_ENCODED_CONTROL = regex(r"%(?:[01][0-9a-fA-F]|7[fF])")
MAX_URL = 8192

# RFC 9110, 5.6.2
HEADER_NAME = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HEADER_NAME = regex(HEADER_NAME)
HEADER_VALUE = "[!-~](?:[ -~]*[!-~])?"
_HEADER_VALUE = regex(HEADER_VALUE)
_OURS_NAMES = (
    "accept-encoding connection content-length content-type expect host if-match if-modified-since if-none-match if-range "
    "if-unmodified-since keep-alive proxy-connection range te trailer transfer-encoding upgrade"
)
_OURS = frozenset(_OURS_NAMES.split())
_SECRET_NAME = regex(
    r"authorization|cookie|token|secret|passw|credential|signature|session|(?:^|[-_])(?:auth|key|sig)$", re.IGNORECASE
)
SECRET_QUERY = regex(r"token|secret|passw|credential|signature|(?:^|[-_])(?:api_?key|sig)$", re.IGNORECASE)
_NEVER_SECRET = frozenset(("user-agent", "accept", "accept-language", "referer", "from"))


class Expanded(NamedTuple):
    """A text with its variables expanded. `names`: the variables that were."""

    text: str
    names: tuple[str, ...]


def expand(text: str, environ: Mapping[str, str]) -> Expanded:
    """Put the environment's values for `${NAME}`, and `$` for `$$`. A `$` alone is a `$`.

    Raises:
        Wrong: a variable is not set, or it is not written as `${NAME}`.
    """
    if "$" not in text:
        return Expanded(text, ())
    names: list[str] = []

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return "$"
        if not found[2] or not _VARIABLE_NAME.fullmatch(name):
            raise Wrong("only `${NAME}` is expanded", "write `$${` where you mean the signs themselves")
        if name not in environ:
            raise Wrong(f"the environment variable `{name}` is not set", f"set it: `export {name}=…`")
        names.append(name)
        return environ[name]

    return Expanded(_VARIABLE.sub(value, text), tuple(names))


def read_url(raw: str, environ: Mapping[str, str]) -> Expanded:
    """The URL, expanded, its scheme in lower case, its host in ASCII.

    Raises:
        Wrong: see the message; it never shows more than scheme and host.
    """
    if _PLAIN_WEB.fullmatch(raw):
        return Expanded(raw, ())
    url, names = expand(raw, environ)
    came = f" after `${{{names[0]}}}` is expanded" if names else ""
    if not url:
        raise Wrong(f"an empty URL{came}", f"for example `{SCHEMES['https']}`")
    bad = _BAD_SIGN.search(url)
    if bad:
        if names or not re.match(r"[A-Za-z]:\\", url):
            raise _bad_sign(bad[0], came, names)
        raise Wrong("a Windows path instead of a URL", f"write `file:///{url[0].upper()}:/…`")
    if len(url) > MAX_URL:
        raise Wrong(f"a URL of {len(url)} signs{came}", f"servers accept at most {MAX_URL}")
    found = _SCHEME.fullmatch(url)
    if not found:
        raise _no_scheme(raw, came, bool(names))
    scheme, rest = found[1].lower(), found[2]
    if scheme not in SCHEMES:
        raise _unknown_scheme(scheme, came, bool(names))
    _check_rest(scheme, rest, came)
    return Expanded(f"{scheme}:{rest if rest.isascii() else _with_ascii_host(scheme, rest, came)}", names)


def _with_ascii_host(scheme: str, rest: str, came: str) -> str:
    """The name of the server as DNS and aria2 want it: `bücher.example` is `xn--bcher-kva.example`.

    Source: RFC 5891 and UTS 46, as browsers do it.
    """
    if scheme not in ("http", "https", "ftp", "sftp"):
        return rest
    netloc = urlsplit(f"{scheme}:{rest}").netloc
    user, at, place = netloc.rpartition("@")
    host, colon, port = place.partition(":")
    if host.isascii():
        return rest
    import idna  # 10 ms, for few

    try:
        name = idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise Wrong(f"a host that cannot be a name in the DNS{came}", f"for example `{SCHEMES[scheme]}`") from error
    return rest.replace(netloc, f"{user}{at}{name}{colon}{port}", 1)


def _bad_sign(sign: str, came: str, names: tuple[str, ...]) -> Wrong:
    hint = (
        f"percent-encode it: `%{ord(sign):02X}`" if sign in ' "<>\\' else "write the URL on one line, without control characters"
    )
    what = "white space" if sign.isspace() else f"the sign {shown(sign)}"
    return Wrong(f"{what} in a URL{came}", f"look at the value of `{names[0]}`" if names else hint)


def _no_scheme(raw: str, came: str, expanded: bool) -> Wrong:
    if raw.startswith("/") and not raw.startswith("//"):
        return Wrong("a path instead of a URL", f"write {shown('file://' + raw.partition('?')[0])}")
    host = re.match(r"(?://)?([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?::\d+)?)/", raw)
    if host and not expanded:
        return Wrong("no scheme in the URL", f"write `https://{host[1]}/…`")
    return Wrong(f"no scheme in the URL{came}", f"for example `{SCHEMES['https']}`")


def _unknown_scheme(scheme: str, came: str, expanded: bool) -> Wrong:
    if len(scheme) == 1 and not expanded:
        return Wrong("a Windows path instead of a URL", f"write `file:///{scheme.upper()}:/…`")
    meant = _ALSO.get(scheme) or nearest(scheme, SCHEMES)
    if expanded:
        return Wrong(f"unknown scheme{came}", f"one of {', '.join(SCHEMES)}")
    return Wrong(f"unknown scheme {shown(scheme)}", f"did you mean `{meant}`?" if meant else f"one of {', '.join(SCHEMES)}")


def _check_rest(scheme: str, rest: str, came: str) -> None:
    example = f"for example `{SCHEMES[scheme]}`"
    if scheme in ("http", "https", "ftp", "sftp", "file", "s3", "gs"):
        try:
            parts = urlsplit(f"{scheme}:{rest}")
            _ = parts.port
        except ValueError as error:
            raise Wrong(f"the host or the port of the URL cannot be read{came}", example) from error
        if not rest.startswith("//"):
            raise Wrong(f"`//` is missing after `{scheme}:`{came}", example)
        if scheme == "file":
            if parts.netloc.lower() not in ("", "localhost") or len(parts.path) < 2:
                raise Wrong(f"a file URL is absolute and has three slashes{came}", example)
        elif not parts.hostname or parts.hostname.startswith(("-", ".")):
            raise Wrong(f"no {'bucket' if scheme in ('s3', 'gs') else 'host'} in the URL{came}", example)
        elif scheme in ("s3", "gs") and len(parts.path) < 2:
            raise Wrong(f"no key after the bucket{came}", example)
        if scheme in ("ftp", "sftp", "file") and _ENCODED_CONTROL.search(rest):
            raise Wrong(f"an encoded control character in the URL{came}", "such a name cannot be asked for safely")
    elif scheme == "magnet":
        if not re.match(r"\?(?:.*&)?xt(?:\.\d+)?=urn:.", rest):
            raise Wrong(f"a magnet link without `xt=urn:…`{came}", example)
    elif not rest.strip("/"):
        raise Wrong(f"nothing after `{scheme}:`{came}", example)


def url_warning(raw: str) -> str:
    """What is risky in a URL that is written out in the file; an empty string if nothing is."""
    if "@" not in raw and "?" not in raw:
        return ""
    try:
        parts = urlsplit(raw)
    except ValueError:
        return ""
    user, at, _ = parts.netloc.rpartition("@")
    if at and "${" not in user and parts.scheme.lower() in ("http", "https", "ftp", "sftp"):
        return "a user or password is written in the URL; keep it in a variable: `https://${USER}:${PASSWORD}@…`"
    for key, value in parse_qsl(parts.query):
        if SECRET_QUERY.search(key) and "${" not in value:
            return f"the parameter {shown(key)} of the URL looks like a secret; keep it in a variable: `${{TOKEN}}`"
    return ""


def read_header_name(text: str) -> str:
    """A header's name that the user may set."""
    if not _HEADER_NAME.fullmatch(text):
        raise Wrong(f"{shown(text)} is not the name of a header", "letters, digits and `-`, for example `Authorization`")
    if text.lower() in _OURS:
        raise Wrong(f"the header {shown(text)} belongs to the transfer itself", "leave it out: it is set as needed")
    return text


def read_header_value(raw: str, environ: Mapping[str, str]) -> Expanded:
    """A header's value, expanded: visible ASCII and single-line, as HTTP wants it."""
    if not raw.strip():
        raise Wrong("an empty value", "delete the line to send no such header")
    for sign in raw:
        if not " " <= sign <= "~":
            what = "a line break" if sign in "\r\n" else "a control or non-ASCII character"
            raise Wrong(f"{what} in the value of a header", "one line of visible ASCII")
    value = expand(raw, environ)
    if not _HEADER_VALUE.fullmatch(value.text):
        if not value.names:
            raise Wrong("white space around the value of a header", "take it out")
        raise Wrong(
            f"with `${{{value.names[0]}}}` expanded, the value is empty, has white space around it, or more than visible ASCII",
            f"look at the value of `{value.names[0]}`: a line break at its end is a common cause",
        )
    return value


def header_warning(name: str, raw: str) -> str:
    """What is risky in a header that is written out in the file; an empty string if nothing is."""
    if "${" in raw or name.lower() in _NEVER_SECRET:
        return ""
    if _SECRET_NAME.search(name) or any(map(_looks_random, raw.split())):
        return "looks like a secret that is written in the file; keep it in a variable: `${TOKEN}`"
    return ""


def _looks_random(word: str) -> bool:
    """Whether a word is like a token: 20 signs or more, digits among letters, and hardly any sign repeated.

    English text has 2.5 to 3.5 bits a sign at that length, hex tokens 3.6 to 4, base64 4.2 and more.
    """
    if len(word) < 20 or not re.fullmatch(r"[A-Za-z0-9+/=_.-]+", word) or not re.search(r"\d", word) or word.isdigit():
        return False
    counts = Counter(word).values()
    return -sum(n / len(word) * math.log2(n / len(word)) for n in counts) >= 3.5
