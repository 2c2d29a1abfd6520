"""What `conda assets serve` was told."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from conda_assets.errors import UsageError
from conda_assets.records import dataclass

__all__ = ["LOOPBACK", "ServeOptions"]

#: Where a proxy in front is by default.
LOOPBACK = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """`data`: folder for the database and logs. `hosts`: further names by which browsers may call it.

    `origins`: pages elsewhere that may use the RPC, such as a hosted AriaNg. `trust_header`: names the user, from a proxy at one
    of `proxies`. `plain_http`: other addresses than loopback without TLS. `open_store`: stored files are read without a token.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 6801
    allow_private: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    plain_http: bool = False
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    trust_header: str = ""
    proxies: tuple[str, ...] = LOOPBACK
    open_store: bool = False

    @property
    def is_local(self) -> bool:
        """Only this machine gets at it."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def is_safe(self) -> bool:
        """Browsers speak TLS with it, so that cookies may be kept from plain HTTP."""
        return self.tls_cert is not None

    @property
    def url(self) -> str:
        """Where people find it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.is_safe else 'http'}://{host}:{self.port}/"

    def check(self) -> None:
        """Refuse what would be unsafe.

        Raises:
            UsageError: other addresses than loopback without TLS; half a certificate.
        """
        if (self.tls_cert is None) != (self.tls_key is None):
            raise UsageError("a certificate and its key belong together", "give both `--tls-cert FILE` and `--tls-key FILE`")
        for path in (self.tls_cert, self.tls_key):
            if path is not None and not path.is_file():
                raise UsageError(f"no file {path}", "name a PEM file")
        if not self.is_local and not self.is_safe and not self.plain_http:
            raise UsageError(
                f"{self.host} can be reached from other machines, and tokens would travel unencrypted",
                "give `--tls-cert` and `--tls-key`, or `--plain-http` behind a proxy that has TLS",
            )
