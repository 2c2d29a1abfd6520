"""Who takes part. A peer is a command for a task, or a reason why it cannot do that task."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import yaml

__all__ = ["OURS", "PEERS", "Call", "File", "Peer", "Task", "environment", "missing", "tuned"]

OURS = "conda-assets"
# A program that takes one URL a run is not asked for hundreds.
_SEVERAL = 60


@dataclass(frozen=True)
class File:
    """One file of a task. `urls`: same bytes, the first is everybody's, the others are for who uses mirrors."""

    name: str
    urls: tuple[str, ...]
    size: int
    sha256: str


@dataclass(frozen=True)
class Task:
    """Files to bring into `out`, an empty folder, which is also where a peer keeps whatever else it writes.

    `base`: of the server, for who asks it as a Hub. `again`: `out` holds what an earlier run left, to be gone on with.
    """

    files: Sequence[File]
    out: Path
    base: str
    authority: Path | None = None
    again: bool = False


@dataclass(frozen=True)
class Call:
    """What to run. `environ` is added to ours."""

    argv: list[str]
    environ: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Peer:
    """`call` gives a command, or says why not; `needs`: the program or module, `verified`: it compares digests.

    `check`: instead, to compare files that are there.
    """

    name: str
    needs: str
    call: Callable[[Task], Call | str]
    verified: bool = False
    resumes: bool = False
    check: Callable[[Task], Call] | None = None

    @property
    def here(self) -> bool:
        """It can be run on this machine."""
        if self.needs.startswith("import "):
            return importlib.util.find_spec(self.needs.removeprefix("import ")) is not None
        return shutil.which(self.needs) is not None


def missing() -> list[str]:
    """The peers that are not here, each with what would bring it."""
    how = {"import": "pip install", "": "apt install"}
    return [
        f"{peer.name}: `{how['import' if peer.needs.startswith('import') else '']} {peer.needs.removeprefix('import ')}`"
        for peer in PEERS
        if not peer.here
    ]


def _ours(task: Task) -> Call:
    spec = task.out / "environment.yml"
    if not spec.exists():
        assets = [
            {"url": file.urls[0], **({"mirrors": list(file.urls[1:])} if len(file.urls) > 1 else {}), "name": file.name,
             "sha256": file.sha256, "size": file.size}
            for file in task.files
        ]  # fmt: skip
        spec.write_text(yaml.safe_dump({"name": "bench", "dependencies": [], "assets": assets}, sort_keys=False))
    return _command(task, "sync", "-q", "-f", str(spec))


def _command(task: Task, *words: str) -> Call:
    argv = [sys.executable, "-m", "conda_assets", *words, "-p", str(task.out / "env")]
    return Call(argv, {"CONDA_ASSETS_STORE": str(task.out / "store"), **_trust(task)})


def _digests_of(task: Task, *command: str) -> Call:
    return Call([*command, *(str(task.out / "env" / "share" / "assets" / file.name) for file in task.files)])


def _trust(task: Task) -> dict[str, str]:
    if task.authority is None:
        return {}
    return dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), str(task.authority))


@dataclass(frozen=True)
class _Setting:
    """Of aria2c: connections to a server and parts of a file, the least size of a part in MiB, files at once."""

    connections: int = 16
    part_mib: int = 1
    files: int | None = None

    @property
    def words(self) -> list[str]:
        at_once = [f"-j{self.files}"] if self.files else []
        return [f"-x{self.connections}", f"-s{self.connections}", f"-k{self.part_mib}M", *at_once]


def _aria2(task: Task, setting: _Setting | None = None, *, checksum: bool = False) -> Call:
    lines = []
    for file in task.files:
        lines += ["\t".join(file.urls), f"  out={file.name}", *([f"  checksum=sha-256={file.sha256}"] if checksum else [])]
    listed = task.out / ".list"
    listed.write_text("\n".join(lines) + "\n")
    setting = setting or _Setting(files=5 if len(task.files) < _SEVERAL else 32)
    argv = ["aria2c", "--no-conf", "-q", *setting.words, "--file-allocation=none"]
    argv += ["--continue=true", "--allow-overwrite=true", "-d", str(task.out), "-i", str(listed)]
    return Call([*argv, *([f"--ca-certificate={task.authority}"] if task.authority else [])])


def _curl(task: Task, *, parallel: bool) -> Call:
    again = "continue-at = -\n" if task.again else ""
    listed = task.out / ".list"
    listed.write_text("".join(f'url = "{file.urls[0]}"\noutput = "{task.out / file.name}"\n{again}' for file in task.files))
    return Call(["curl", "-sS", "-f", *(["-Z", "--parallel-max", "16"] if parallel else []), "-K", str(listed)], _trust(task))


def _wget(task: Task) -> Call:
    listed = task.out / ".list"
    listed.write_text("".join(f"{file.urls[0]}\n" for file in task.files))
    trust = [f"--ca-certificate={task.authority}"] if task.authority else []
    return Call(["wget", "-q", "-c", *trust, "-P", str(task.out), "-i", str(listed)])


def _one_by_one(task: Task, command: Callable[[File], list[str]]) -> Call | str:
    if len(task.files) > _SEVERAL:
        return "takes one URL a run"
    if len(task.files) == 1:
        return Call(command(task.files[0]), _trust(task))
    script = task.out / ".run"
    script.write_text("".join(" ".join(f"'{word}'" for word in command(file)) + " || exit 1\n" for file in task.files))
    return Call(["sh", str(script)], _trust(task))


def _axel(task: Task) -> Call | str:
    if task.authority is not None:
        return "trusts no authority of ours"
    return _one_by_one(task, lambda file: ["axel", "-q", "-n", "16", "-o", str(task.out / file.name), *file.urls])


def _lftp(task: Task) -> Call | str:
    trust = f"set ssl:ca-file {task.authority}; " if task.authority else ""
    return _one_by_one(task, lambda file: ["lftp", "-c", f"{trust}pget -n 16 -c {file.urls[0]} -o {task.out / file.name}"])


def _python(task: Task, code: str, environ: dict[str, str] | None = None) -> Call:
    script = task.out / ".run.py"
    files = [(file.urls[0], file.name, file.sha256) for file in task.files]
    script.write_text(f"OUT, BASE = {str(task.out)!r}, {task.base!r}\nFILES = {files!r}\n{code}")
    return Call([sys.executable, str(script)], {**_trust(task), **(environ or {})})


_POOCH = """
import pooch
for url, name, sha256 in FILES:
    pooch.retrieve(url, known_hash="sha256:" + sha256, fname=name, path=OUT, progressbar=False)
"""
_PYPDL = """
import pypdl
def main():
    downloader = pypdl.Pypdl(max_concurrent=5)
    downloader.start(tasks=[{"url": url, "file_path": f"{OUT}/{name}"} for url, name, _ in FILES], segments=16,
                     display=False, overwrite=False)
if __name__ == "__main__":
    main()
"""
_HUB = """
from huggingface_hub import snapshot_download
snapshot_download("bench/repo", local_dir=OUT, max_workers=16)
"""


def _pypdl(task: Task) -> Call | str:
    if task.authority is not None:
        return "trusts no authority of ours"
    return _python(task, _PYPDL)


def _hub(task: Task) -> Call:
    environ = {"HF_ENDPOINT": task.base, "HF_HOME": str(task.out / ".hf"), "HF_HUB_DISABLE_PROGRESS_BARS": "1",
               "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "DO_NOT_TRACK": "1"}  # fmt: skip
    return _python(task, _HUB, environ)


def _only_checks(_: Task) -> str:
    return "fetches nothing"


PEERS = (
    Peer(OURS, "import conda_assets", _ours, verified=True, resumes=True, check=lambda task: _command(task, "verify", "-q")),
    Peer("aria2c", "aria2c", _aria2, resumes=True),
    Peer("aria2c --checksum", "aria2c", lambda task: _aria2(task, checksum=True), verified=True, resumes=True),
    Peer("curl", "curl", lambda task: _curl(task, parallel=False), resumes=True),
    Peer("curl -Z", "curl", lambda task: _curl(task, parallel=True), resumes=True),
    Peer("wget", "wget", _wget, resumes=True),
    Peer("axel", "axel", _axel, resumes=True),
    Peer("lftp pget", "lftp", _lftp, resumes=True),
    Peer("pypdl", "import pypdl", _pypdl),
    Peer("pooch", "import pooch", lambda task: _python(task, _POOCH), verified=True),
    Peer("huggingface_hub", "import huggingface_hub", _hub),
    Peer("openssl dgst -sha256", "openssl", _only_checks, check=lambda task: _digests_of(task, "openssl", "dgst", "-sha256")),
    Peer("sha256sum", "sha256sum", _only_checks, check=lambda task: _digests_of(task, "sha256sum")),
)


def tuned(files: int) -> tuple[Peer, ...]:
    """Ours, and aria2c with every setting that somebody who tunes it by hand would try for so many files."""
    if files == 1:
        grid = [_Setting(connections, part) for connections in (4, 8, 16) for part in (1, 4, 20)]
    else:
        grid = [
            _Setting(connections, part, at_once)
            for connections, part in ((1, 1), (4, 1), (16, 1), (16, 8))
            for at_once in (2, 5, 16, 50)
        ]
    return PEERS[0], *(
        Peer(f"aria2c {' '.join(each.words)}", "aria2c", partial(_aria2, setting=each), resumes=True) for each in grid
    )


def environment(call: Call) -> dict[str, str]:
    """Ours without proxies, plus the call's."""
    kept = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    return {**kept, **call.environ}
