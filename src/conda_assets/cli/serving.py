"""The verb that stays: serve."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from conda_assets.cli.call import Call
from conda_assets.cli.document import SCHEMA
from conda_assets.errors import UsageError

if TYPE_CHECKING:
    from conda_assets.serve.options import ServeOptions

__all__ = ["run_serve"]


def run_serve(call: Call) -> int:
    """The download centre, until a signal ends it."""
    missing = [name for name in ("starlette", "uvicorn", "websockets") if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"the download centre needs {', '.join(missing)}",
            "`conda install -c conda-forge starlette uvicorn websockets` or `pip install 'conda-assets[server]'`",
        )
    options = _options(call)
    if call.args.backup:
        return _back_up(call, options)
    if call.args.new_token:
        return _new_token(call, options)
    from conda_assets.serve.running import serve  # 150 ms, for this verb only

    def ready(running: ServeOptions, token: str | None) -> None:
        if call.json:
            call.write({"schema": SCHEMA, "success": True, "command": "serve", "url": running.url, "token": token})
            call.out.flush()
            return
        # What follows the # stays in the browser: the page puts it where it is to be typed.
        call.say(f"The download centre is at {running.url}" + (f"#token={token}" if call.args.demo else ""))
        if token and not call.args.demo:
            call.tell(f"Token of the administrator, shown this once: {token}")
            call.out.flush()

    if call.args.demo:
        from conda_assets.serve.demo import staged

        with staged(options, call.settings) as (options, settings, fill):
            serve(options, settings, call.environ, ready=ready, fill=fill)
    else:
        serve(options, call.settings, call.environ, ready=ready)
    return 0


def _options(call: Call) -> ServeOptions:
    from conda_assets.serve.options import LOOPBACK, ServeOptions

    args = call.args
    if not 0 <= args.port < 65536:
        raise UsageError(f"--port {args.port}: expected 0 to 65535")
    return ServeOptions(
        data=_data(call),
        host=args.host,
        port=args.port,
        allow_private=args.allow_private,
        tls_cert=Path(args.tls_cert) if args.tls_cert else None,
        tls_key=Path(args.tls_key) if args.tls_key else None,
        plain_http=args.plain_http,
        hosts=tuple(args.allow_host),
        origins=tuple(args.allow_origin),
        trust_header=args.trust_header or "",
        proxies=tuple(args.trust_proxy) or LOOPBACK,
        open_store=args.open_store,
    )


def _data(call: Call) -> Path:
    if call.args.data:
        return Path(call.args.data).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("conda-assets", appauthor=False) / "centre"


def _back_up(call: Call, options: ServeOptions) -> int:
    from conda_assets.serve.database import Database

    _must_be_there(options)
    into = call.cwd / Path(call.args.backup).expanduser()
    database = Database(options.data)
    try:
        database.back_up(into)
    finally:
        database.close()
    if call.json:
        call.write({"schema": SCHEMA, "success": True, "command": "serve", "backup": str(into)})
    else:
        call.say(f"{into} is a copy of the centre's database")
    return 0


def _new_token(call: Call, options: ServeOptions) -> int:
    from conda_assets.serve.accounts import Accounts
    from conda_assets.serve.database import Database

    _must_be_there(options)
    database = Database(options.data)
    try:
        accounts, name = Accounts(database), call.args.new_token
        found = next((row for row in accounts.people() if row["name"] == name), None)
        if found is None:
            raise UsageError(f"no user {name!r}", f"users are {', '.join(str(row['name']) for row in accounts.people())}")
        _, token = accounts.new_token(found["id"], "command line")
        database.note(name, "command line", "add token", "command line")
    finally:
        database.close()
    if call.json:
        call.write({"schema": SCHEMA, "success": True, "command": "serve", "user": name, "token": token})
    else:
        call.tell(token)
    return 0


def _must_be_there(options: ServeOptions) -> None:
    if not (options.data / "centre.db").is_file():
        raise UsageError(f"no centre has its data in {options.data}", "name its folder with `--data DIR`")
