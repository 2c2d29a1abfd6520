"""Text without what may be secret in it. The second fence: what is written down should not have secrets to begin with."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from conda_assets.regexes import regex

__all__ = ["mask", "secrets_of"]

_HIDDEN = "***"
_SECRET_NAME = (
    r"(?:authorization|cookie|token|secret|passw(?:or)?d|passwd|api[-_]?key|access[-_]?key|private[-_]?key|signature|credential)"
)
# What a text must hold, in lower case, for the rule to find anything: most lines hold none of it, and the rules are dear.
_RULES: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    # scheme://user:password@host
    (("@",), regex(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/?#@\"'<>]+(?:@[^\s/?#@\"'<>]+)*@"), rf"\1{_HIDDEN}@"),
    # conda's channel tokens: /t/<token>/
    (("/t/",), regex(r"/t/[^\s/?#\"']+"), f"/t/{_HIDDEN}"),
    # Every value in a query: signatures have many names. In a request line there is no scheme to be seen.
    (("?", "&", ";"), regex(r"([?&;][^\s=&;#?\"'<>]{1,100}=)[^\s&;#\"'<>]+"), rf"\1{_HIDDEN}"),
    (("?",), regex(r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s?#\"'<>]*\?)[^\s=&;#\"'<>]+(?=[\s#\"'<>]|$)"), rf"\1{_HIDDEN}"),
    # Fragments: a redirect may have a token there.
    (
        ("#",),
        regex(r"(?i)((?:\b[a-z][a-z0-9+.-]*://|\blocation:\s*)[^\s#\"'<>]*#)[^\s\"'<>]+"),
        rf"\1{_HIDDEN}",
    ),
    # Headers to their end; `authorization = Basic …` too.
    (
        ("authorization", "cookie"),
        regex(r"(?i)(\b(?:proxy-)?(?:authorization|set-cookie|cookie)\b[\"']?\s*[:=]\s*)[^\r\n]+"),
        rf"\1{_HIDDEN}",
    ),
    # Other names of secrets, as headers, options, variables, or members of a record: one word, or what stands in quotes.
    (
        ("authorization", "cookie", "token", "secret", "passw", "key", "signature", "credential"),
        regex(rf"(?i)([\w.-]*{_SECRET_NAME}[\w.-]*[\"']?\s*[:=]\s*)(\"[^\"\r\n]*\"|'[^'\r\n]*'|[^\s\"',;&]+)"),
        rf"\1{_HIDDEN}",
    ),
    (
        ("bearer", "basic", "digest", "aws4"),
        regex(r"(?i)\b(bearer|basic|digest|aws4-hmac-sha256)\s+(?!\*\*\*)[^\s\"',;]{6,}"),
        rf"\1 {_HIDDEN}",
    ),
    # Tokens that tell what they are: Hugging Face, GitHub, GitLab, AWS, Slack, Google, JWT.
    (
        ("hf_", "gh", "glpat-", "xox", "ya29.", "akia", "asia", "eyj"),
        regex(r"\b(?:hf_|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|ya29\.|AKIA|ASIA|eyJ)[\w.\-]{8,}"),
        _HIDDEN,
    ),
)
_SIGNS = tuple(dict.fromkeys(sign for signs, _, _ in _RULES for sign in signs))
_SECRET_VARIABLE = regex(r"(?i)token|secret|passw|passwd|credential|apikey|accesskey|_key$|_auth$|_pat$|_sas$|cookie")
# Shorter values are words: `1`, `true`, a port.
_LEAST = 8


def mask(text: str, secrets: Collection[str] = ()) -> str:
    """The text with stars for passwords, query values, authorization and tokens, and for each of the `secrets`.

    >>> mask("GET https://me:pw@lab.example/w.bin?sig=0a1b&v=2")
    'GET https://***@lab.example/w.bin?sig=***&v=***'
    >>> mask("Authorization: Bearer 0123456789")
    'Authorization: ***'
    """
    if secrets:
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(secret, _HIDDEN)
    # casefold, since to `re` a long s is an s too.
    folded = text.casefold()
    for sign in _SIGNS:
        if sign in folded:
            break
    else:
        return text
    for signs, pattern, replacement in _RULES:
        if any(sign in folded for sign in signs):
            text = pattern.sub(replacement, text)
    return text


def secrets_of(environ: Mapping[str, str]) -> frozenset[str]:
    """What variables hold that are called like secrets."""
    return frozenset(value for name, value in environ.items() if len(value) >= _LEAST and _SECRET_VARIABLE.search(name))
