"""The process that solves and installs with rattler: `python -m conda_assets.bootstrap.engine`, spoken to as `wire` says.

A process of its own, because rattler crashes the interpreter at its exit in some runs (7 of 60, work complete); so it leaves by
`os._exit`. It ends by itself when its parent does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from conda_assets.bootstrap.channels import shown_channel
from conda_assets.bootstrap.wire import Done, EngineSpec, Failed, Job, Line, Package, Progress, parse_job, to_line
from conda_assets.records import dataclass

if TYPE_CHECKING:
    from rattler import Client, GenericVirtualPackage, MatchSpec, PrefixRecord, RepoDataRecord, VirtualPackage

__all__ = ["main"]

_ORPHANED = 3
_BETWEEN_LINES_S = 0.5


class _Refused(Exception):
    """The job cannot be done; `kind` as in `wire.Failed`."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class _Mouth:
    """Says lines to the parent, from any thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def say(self, line: Line) -> None:
        with self._lock:
            self._stream.write(to_line(line))
            self._stream.flush()


def main() -> None:
    """Do the job that stands in standard input, say what came of it, leave."""
    # Scripts of packages inherit standard output and may print there: the parent must only get our lines.
    mouth = _Mouth(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    job = parse_job(sys.stdin.readline())
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        mouth.say(asyncio.run(_work(job, mouth)))
    except _Refused as refused:
        mouth.say(Failed(refused.kind, str(refused)))
    except BaseException as error:  # noqa: BLE001  (last line of a process: whatever it is, the parent must hear of it)
        kind = "import" if isinstance(error, ImportError) else _kind_of(error)
        traceback.print_exc()
        mouth.say(Failed(kind, str(error) if kind != "internal" else f"{type(error).__name__}: {error}"))
    os._exit(0)


def _leave_with_parent() -> None:
    while sys.stdin.readline():
        pass
    os._exit(_ORPHANED)


async def _work(job: Job, mouth: _Mouth) -> Done:
    from rattler import Client, Config, install
    from rattler.platform import Subdir

    client = Client.from_config(
        Config.from_toml("" if job.verify is not False else "tls-no-verify = true"),
        user_agent=job.user_agent,
        timeout=job.timeout_s,
    )
    specs = _specs(job)
    installed = _installed(Path(job.prefix))
    mouth.say(Progress("reading channels and solving"))
    solved = await _solve(job, client, specs, installed)
    have = {_package(record) for record in installed}
    want = {_package(record) for record in solved}
    done = Done(sorted(want, key=lambda package: package.name), len(want - have), len(have - want))
    if job.dry_run:
        return done
    packages = Path(job.cache, "pkgs")
    if job.offline:
        await _require_cached([record for record in solved if _package(record) not in have], packages)
    reporter = _Reporter(mouth)
    await install(
        records=solved,
        target_prefix=job.prefix,
        cache_dir=packages,
        platform=Subdir(job.subdir),
        execute_link_scripts=job.native,
        client=client,
        # rattler 0.28 wants its inner objects here.
        requested_specs=[spec.match._match_spec for spec in specs],
        reporter=reporter,
    )
    if reporter.failed_scripts:
        # rattler goes on without a word; conda stops, because such a package is not what it should be.
        raise _Refused("link_script", ", ".join(sorted(reporter.failed_scripts)))
    return done


@dataclass(frozen=True)
class _Parsed:
    """A spec that rattler understands. `bare`: only the name; None for a URL."""

    match: MatchSpec
    bare: MatchSpec | None


def _specs(job: Job) -> list[_Parsed]:
    from rattler.exceptions import InvalidMatchSpecError

    parsed, faults = [], []
    for spec in job.specs:
        try:
            parsed.append(_parse(spec))
        except (InvalidMatchSpecError, ValueError) as error:
            faults.append(f"  {spec.text!r}: {error}")
    if faults:
        raise _Refused("spec", "\n".join(["not a package specification:", *faults]))
    for spec in job.kept:
        try:
            parsed.append(_parse(spec))
        except (InvalidMatchSpecError, ValueError):
            continue  # written by another tool; what it asked for stays only where something else needs it
    return parsed


def _parse(spec: EngineSpec) -> _Parsed:
    from rattler import MatchSpec

    match = MatchSpec(f"{spec.channel}::{spec.rest}" if spec.channel else spec.rest)
    if " " in str(match.build or ""):
        raise ValueError("too many words; write a name, a version and a build such as `python 3.12.* *_cpython`")
    if "://" in spec.rest:
        return _Parsed(match, None)
    name = match.name.as_package_name()
    if name is None:
        raise ValueError("a pattern, not a package's name")
    return _Parsed(match, MatchSpec(name.normalized))


def _installed(prefix: Path) -> list[PrefixRecord]:
    from rattler import PrefixRecord

    records = []
    for path in sorted(Path(prefix, "conda-meta").glob("*.json")):
        try:
            records.append(PrefixRecord.from_path(path))
        except Exception as error:  # rattler's errors here share no base; all mean the same
            raise _Refused("disk", f"{path} is not a package's record: {error}") from error
    return records


async def _solve(job: Job, client: Client, specs: Sequence[_Parsed], installed: Sequence[PrefixRecord]) -> list[RepoDataRecord]:
    from rattler import Channel, ChannelPriority, Gateway, SourceConfig, VirtualPackage, VirtualPackageOverrides, solve
    from rattler.platform import Subdir

    source = SourceConfig(cache_action="force-cache-only" if job.offline else "cache-or-fetch")
    gateway = Gateway(cache_dir=Path(job.cache, "repodata"), default_config=source, client=client)
    virtual: Sequence[VirtualPackage | GenericVirtualPackage]
    virtual = _virtual(job.virtual) if job.virtual else VirtualPackage.detect(VirtualPackageOverrides.from_env())
    solved: list[RepoDataRecord] = await solve(
        sources=[Channel(url) for url in job.channels],
        # Without the bare name rattler 0.28 looks at the matching packages only, and takes `numpy=3` from a channel further down
        # although one further up has numpy: strict priority would be lost, and the explanation of a conflict misleads.
        specs=[*(spec.match for spec in specs), *(spec.bare for spec in specs if spec.bare)],
        gateway=gateway,
        platforms=[Subdir(job.subdir), Subdir("noarch")],
        locked_packages=list(installed),
        virtual_packages=virtual,
        channel_priority=ChannelPriority.Strict,
        constraints=job.constraints or None,
    )
    return solved


def _virtual(texts: Sequence[str]) -> list[GenericVirtualPackage]:
    from rattler import BuildString, GenericVirtualPackage, PackageName, Version

    rows = [text.split("=") for text in texts]
    return [GenericVirtualPackage(PackageName(name), Version(version), BuildString(build)) for name, version, build in rows]


async def _require_cached(records: Sequence[RepoDataRecord], cache: Path) -> None:
    from rattler.package_cache import PackageCache

    index = await PackageCache(cache).index()
    missing = [record.file_name for record in records if not record.url.startswith("file:") and not index.contains_record(record)]
    if missing:
        raise _Refused("offline", f"not in {cache}: {', '.join(sorted(missing))}")


def _package(record: RepoDataRecord) -> Package:
    # Each by `str`: some of these are rattler's own objects.
    return Package(
        name=record.name.normalized,
        version=str(record.version),
        build=str(record.build),
        subdir=str(record.subdir),
        channel=shown_channel(record.url.rpartition("/")[0].removesuffix(f"/{record.subdir}")),
    )


def _kind_of(error: BaseException) -> str:
    name, text = type(error).__name__, str(error)
    if any(
        sign in text for sign in ("os error 28)", "os error 13)", "os error 30)", "os error 122)", "os error 36)", "os error 20)")
    ):
        return "disk"
    if "post-link" in text or "pre-unlink" in text or "link script" in text:
        return "link_script"
    kinds = {"SolverError": "unsolvable", "GatewayError": "channel", "FetchRepoDataError": "channel", "InstallerError": "package"}
    return kinds.get(name, "internal")


def _counted(packages: int) -> str:
    return f"{packages} package{'' if packages == 1 else 's'}"


class _Reporter:
    """Turns rattler's calls, which come from its threads, into a line now and then."""

    def __init__(self, mouth: _Mouth) -> None:
        self._mouth = mouth
        self._lock = threading.Lock()
        self._total = self._downloaded = self._downloads = self._linked = 0
        self._said_at = 0.0
        self._scripts: list[str] = []
        self.failed_scripts: set[str] = set()

    def on_transaction_start(self, total_operations: int) -> None:
        self._total = total_operations
        if total_operations:
            self._say(f"{_counted(total_operations)} to install, update or remove", now=True)

    def on_download_start(self, cache_entry: int) -> int:
        with self._lock:
            self._downloads += 1
        return self._downloads

    def on_download_completed(self, download_idx: int) -> None:
        with self._lock:
            self._downloaded += 1
        self._say(f"downloading {self._downloaded} of {max(self._downloads, self._downloaded)} packages")

    def on_link_complete(self, index: int) -> None:
        with self._lock:
            self._linked += 1
        self._say(f"linking {self._linked} of {self._total} packages")

    def on_post_link_start(self, package_name: str, script_path: str) -> int:
        with self._lock:
            self._scripts.append(f"{script_path} of {package_name}")
            return len(self._scripts) - 1

    def on_post_link_complete(self, index: int, success: bool) -> None:
        if not success:
            self.failed_scripts.add(self._scripts[index])

    def on_transaction_complete(self) -> None:
        if self._total:
            self._say(
                f"linked {_counted(self._linked)}" + (f", {self._downloaded} downloaded" if self._downloaded else ""), now=True
            )

    def __getattr__(self, name: str) -> object:
        if name.startswith("on_"):
            return lambda *_: 0
        raise AttributeError(name)

    def _say(self, text: str, *, now: bool = False) -> None:
        with self._lock:
            if not now and time.monotonic() - self._said_at < _BETWEEN_LINES_S:
                return
            self._said_at = time.monotonic()
        self._mouth.say(Progress(text))


if __name__ == "__main__":
    main()
