"""`s3://bucket/key`: what it names, and under which address a server has it.

    s3://bucket/path/key                                     at AWS, or at AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL
    s3://bucket/key?endpoint=https://minio.example:9000      at a server of one's own
    s3://bucket/key?endpoint=https://oss.example&style=virtual   which has a host for each bucket
    s3://bucket/key?region=eu-central-1&versionId=…          one version

Servers of one's own are asked for `endpoint/bucket/key`, with `style=virtual` for `bucket.endpoint/key` (Alibaba's OSS takes
nothing else), AWS for `bucket.s3.region.amazonaws.com/key`, which its certificates
do not cover where the bucket's name has dots.
"""

from __future__ import annotations

from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from conda_assets.records import dataclass, field
from conda_assets.regexes import regex

__all__ = ["Place", "read_place"]

# A name that may be a part of a host's.
_HOST_PART = regex("[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_UNRESERVED = "/-._~"


@dataclass(frozen=True, slots=True)
class Place:
    """`key` is decoded; `given` what of endpoint, region and style the URL itself says. `version`: None for the latest."""

    bucket: str
    key: str
    given: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    version: str | None = None

    def url(self, *, key: str | None = None, version: str | None = None) -> str:
        """As it stands in a spec, of this object or of another one beside it."""
        query = urlencode([*self.given, *([("versionId", version)] if version else [])], safe=":/")
        path = quote(self.key if key is None else key, safe=_UNRESERVED)
        return f"s3://{self.bucket}/{path}" + (f"?{query}" if query else "")

    def address(self, endpoint: str | None, region: str, query: str = "") -> str:
        """The object's http(s) URL; the bucket's with a key of nothing."""
        host = f"s3.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
        if endpoint is not None and ("style", "virtual") in self.given:
            scheme, _, rest = endpoint.rstrip("/").partition("://")
            base = f"{scheme}://{self.bucket}.{rest}"
        elif endpoint is not None:
            base = f"{endpoint.rstrip('/')}/{self.bucket}"
        elif _HOST_PART.fullmatch(self.bucket):
            base = f"https://{self.bucket}.{host}"
        else:
            base = f"https://{host}/{self.bucket}"
        if self.version and self.key and not query:
            query = urlencode({"versionId": self.version})
        return f"{base}/{quote(self.key, safe=_UNRESERVED)}" + (f"?{query}" if query else "")


def read_place(url: str) -> Place:
    """What the URL names; parameters that are not ours are left out."""
    parts = urlsplit(url)
    said = {name: values[0] for name, values in parse_qs(parts.query).items()}
    given = tuple((name, said[name]) for name in ("endpoint", "region", "style") if name in said)
    return Place(parts.netloc, unquote(parts.path[1:]), given, said.get("versionId"))
