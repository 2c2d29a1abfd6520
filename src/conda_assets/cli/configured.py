"""The settings in force, and where each came from: the verb `config`, and a part of `info`."""

from __future__ import annotations

from conda_assets.cli.call import Call
from conda_assets.cli.document import SCHEMA
from conda_assets.errors import UsageError
from conda_assets.records import dataclass
from conda_assets.settings import Settings
from conda_assets.terminal import info_text

__all__ = ["Row", "rows_of", "run_config"]

# A setting's name here → as `.condarc` has it, where that is another one.
_IN_CONDARC = {
    "stores": "assets_stores",
    "aria2c": "assets_aria2c",
    "connections": "assets_connections",
    "jobs": "assets_jobs",
    "limit_rate": "assets_limit_rate",
    "push": "assets_push",
    "grace": "assets_grace",
    "log_level": "assets_log_level",
    "server": "assets_server",
    "user_agent": "assets_user_agent",
    "proxies": "proxy_servers",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One setting. `origin`: a file, a variable, a flag, or `default`. Nothing in it is secret."""

    key: str
    value: object
    origin: str

    @property
    def text(self) -> str:
        """`16  (default)`."""
        if isinstance(self.value, list):
            shown = ", ".join(map(str, self.value)) or "none"
        else:
            shown = "not set" if self.value is None else str(self.value)
        return f"{shown}  ({self.origin})"


def rows_of(settings: Settings) -> list[Row]:
    """Every setting that a run obeys."""
    network = settings.network
    values: dict[str, object] = {
        "stores": [str(folder) for folder in settings.stores],
        "remotes": list(settings.remotes),
        "push": settings.push,
        "grace": f"{settings.grace_s / 86400:g}d",
        "aria2c": settings.aria2c,
        "connections": settings.connections,
        "jobs": settings.jobs,
        "limit_rate": settings.limit_rate,
        "log_level": settings.log_level,
        "server": settings.server,
        "offline": settings.offline,
        "subdir": settings.subdir,
        "ssl_verify": network.verify,
        "user_agent": network.user_agent,
        # Whose addresses may hold passwords.
        "proxies": sorted(scheme for scheme, _ in network.proxies),
        "envs_dirs": [str(folder) for folder in settings.envs_dirs],
    }
    return [Row(key, value, _origin(settings, key)) for key, value in values.items()]


def run_config(call: Call) -> int:
    """Every setting with its origin, or one of them."""
    rows = rows_of(call.settings)
    wanted = call.args.key
    if wanted is not None:
        rows = [row for row in rows if wanted in (row.key, _IN_CONDARC.get(row.key))]
        if not rows:
            keys = ", ".join(row.key for row in rows_of(call.settings))
            raise UsageError(f"no setting {wanted!r}", f"there are: {keys}")
    if call.json:
        shown = {row.key: {"value": row.value, "origin": row.origin} for row in rows}
        call.write({"schema": SCHEMA, "success": True, "command": call.verb, "settings": shown})
    else:
        call.tell(info_text({row.key: row.text for row in rows}))
    return 0


def _origin(settings: Settings, key: str) -> str:
    return settings.origins.get(key) or settings.origins.get(_IN_CONDARC.get(key, key), "default")
