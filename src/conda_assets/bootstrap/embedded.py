"""The embedded engine, around its process: what to ask it, and what it leaves for us to finish."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from conda_assets.bootstrap import prefix as at
from conda_assets.bootstrap.bytecode import compile_noarch
from conda_assets.bootstrap.cache import lock_path, open_cache
from conda_assets.bootstrap.channels import ChannelNames, read_channel_names
from conda_assets.bootstrap.child import run_engine
from conda_assets.bootstrap.choices import Choices
from conda_assets.bootstrap.leftovers import files_by_record, sweep
from conda_assets.bootstrap.pip import install_pip_section
from conda_assets.bootstrap.prefix import Ground
from conda_assets.bootstrap.records import hide_secrets
from conda_assets.bootstrap.refusal import engine_missing, refusal
from conda_assets.bootstrap.requested import Requested, WantedSpec, split_channel
from conda_assets.bootstrap.script import write_script
from conda_assets.bootstrap.virtual import virtual_packages
from conda_assets.bootstrap.wire import Done, EngineSpec, Failed, Job
from conda_assets.errors import BootstrapFailed, Interrupted
from conda_assets.events import Noted, Observer
from conda_assets.settings import Settings, native_subdir

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["create_embedded"]


def create_embedded(
    requested: Requested, *, prefix: Path, settings: Settings, environ: Mapping[str, str], choices: Choices, watch: Observer
) -> Done:
    """Solve and install with rattler, then finish what conda expects of an environment, then run pip.

    Raises:
        UsageError: a spec that is none.
        BootstrapFailed: as `bootstrap.create` says.
        Interrupted: Ctrl-C; a new environment is gone again, packages that have arrived are kept.
    """
    if find_spec("rattler") is None:
        raise engine_missing()
    subdir = choices.subdir or settings.subdir
    if requested.pip and subdir != native_subdir():
        raise BootstrapFailed(
            f"pip cannot install for {subdir} on {native_subdir()}",
            "make the environment there, or take the pip section out of the file",
        )
    names = read_channel_names(environ, settings.root_prefix)
    cache = open_cache(environ, settings.root_prefix)
    again = choices.command(requested.sources, prefix)
    with _alone(lock_path(cache, prefix), watch):
        ground = at.inspect_ground(prefix)
        job = _job(requested, names, prefix=prefix, cache=cache, settings=settings, environ=environ, choices=choices)
        before = files_by_record(prefix)
        with _undone_on_failure(prefix, ground, choices, again):
            result = run_engine(job, environ=environ, network=settings.network, watch=watch)
            if isinstance(result, Failed):
                raise refusal(result, requested=requested, urls=job.channels, prefix=prefix, ground=ground, again=again)
            if not choices.dry_run:
                sweep(prefix, before)
                hide_secrets(prefix, job.channels)
                _finish(requested, result, names, prefix=prefix, subdir=subdir, again=again, watch=watch)
        if not choices.dry_run:
            _register(prefix, environ, watch)
            if requested.pip:
                install_pip_section(
                    prefix,
                    requested.pip,
                    source=requested.sources[0],
                    environ={**environ, **requested.variables},
                    again=again,
                    watch=watch,
                )
    return result


@contextmanager
def _alone(path: Path, watch: Observer) -> Iterator[None]:
    from filelock import FileLock, Timeout  # 40 ms that only this needs

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        watch(Noted("another process makes this environment; waiting for it"))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _undone_on_failure(prefix: Path, ground: Ground, choices: Choices, again: str) -> Iterator[None]:
    tag = prefix / "CACHEDIR.TAG"
    was_tagged = tag.exists()
    try:
        yield
    except BaseException as error:
        if not choices.dry_run:
            with suppress(OSError):  # the error that led here matters more, and the next run clears up
                at.clear(prefix, ground)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(again) from error
        raise
    finally:
        if not was_tagged:
            # rattler tells backup programs to pass over the environment; what the user keeps in there may be worth a backup.
            with suppress(OSError):
                tag.unlink()


def _job(
    requested: Requested,
    names: ChannelNames,
    *,
    prefix: Path,
    cache: Path,
    settings: Settings,
    environ: Mapping[str, str],
    choices: Choices,
) -> Job:
    subdir = choices.subdir or settings.subdir
    cwd = Path.cwd()
    urls = [url for channel in requested.channels or names.by_default for url in names.urls(channel, cwd)]

    def resolved(spec: WantedSpec) -> EngineSpec:
        if spec.channel is None or spec.channel == "*":
            return EngineSpec(spec.text, spec.rest)
        own = names.urls(spec.channel, cwd)
        # A channel that only a spec names is asked last, as conda does.
        urls.extend(url for url in own if url not in urls)
        return EngineSpec(spec.text, spec.rest, own[0])

    asked = {spec.name for spec in requested.specs}
    earlier = {} if choices.prune else at.read_history(prefix).requested
    specs = [resolved(spec) for spec in requested.specs]
    kept = [resolved(split_channel(text)) for name, text in earlier.items() if name not in asked]
    native = subdir == native_subdir()
    return Job(
        prefix=str(prefix),
        subdir=subdir,
        channels=list(dict.fromkeys(urls)),
        specs=specs,
        kept=kept,
        constraints=list(at.read_pins(prefix)),
        cache=str(cache),
        native=native,
        virtual=[] if native else list(virtual_packages(subdir, environ)),
        offline=settings.offline,
        dry_run=choices.dry_run,
        verify=settings.network.verify,
        # An index may take a server longer than the next byte of a file.
        timeout_s=max(60, round(settings.network.read_timeout_s)),
        user_agent=settings.network.user_agent,
    )


def _finish(
    requested: Requested, done: Done, names: ChannelNames, *, prefix: Path, subdir: str, again: str, watch: Observer
) -> None:
    """What conda does and rattler leaves out: the history, byte code, variables, the platform; and a way to activate it."""
    (prefix / "conda-meta").mkdir(parents=True, exist_ok=True)
    if subdir == native_subdir():
        try:
            compile_noarch(prefix)
        except (OSError, subprocess.CalledProcessError) as error:
            watch(Noted(f"byte code was not compiled: {error}", "warning"))
    else:
        at.write_subdir(prefix, subdir)
    rows = [f"{names.canonical(row.channel)}/{row.subdir}::{row.name}-{row.version}-{row.build}" for row in done.packages]
    at.write_history(prefix, command=again, specs=[spec.text for spec in requested.specs], packages=rows)
    variables = at.write_variables(prefix, requested.variables)
    if os.name == "posix":
        write_script(prefix, variables)


def _register(prefix: Path, environ: Mapping[str, str], watch: Observer) -> None:
    home = environ.get("HOME") or environ.get("USERPROFILE") or Path.home()
    try:
        at.register(prefix, Path(home))
    except OSError as error:
        watch(Noted(f"{prefix} could not be added to the list of environments: {error}", "warning"))
