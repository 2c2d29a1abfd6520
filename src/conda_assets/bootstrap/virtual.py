"""Virtual packages of a platform that is not this machine's: what a solve for it may rely on.

`CONDA_OVERRIDE_GLIBC`, `CONDA_OVERRIDE_CUDA`, `CONDA_OVERRIDE_OSX` and so on say otherwise, as with conda; empty takes one away.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["virtual_packages"]

# The floors that conda-forge builds for. Source: conda-forge-pinning's c_stdlib_version.
_SYSTEMS: Mapping[str, Mapping[str, str]] = {
    "linux": {"__unix": "0", "__linux": "5.10", "__glibc": "2.28"},
    "osx": {"__unix": "0", "__osx": "13.0"},
    "win": {"__win": "10"},
}
_ARCHSPEC = {"64": "x86_64", "32": "x86", "arm64": "m1"}


def virtual_packages(subdir: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """`name=version=build` of each."""
    system, _, machine = subdir.partition("-")
    versions = dict(_SYSTEMS.get(system, {}))
    for name in ("__linux", "__glibc", "__osx", "__win", "__cuda"):
        said = environ.get(f"CONDA_OVERRIDE_{name[2:].upper()}")
        if said:
            versions[name] = said
        elif said is not None:
            versions.pop(name, None)
    rows = [f"{name}={version}=0" for name, version in versions.items()]
    build = environ.get("CONDA_OVERRIDE_ARCHSPEC") or _ARCHSPEC.get(machine, machine)
    return (*rows, f"__archspec=1={build}") if system != "noarch" else tuple(rows)
