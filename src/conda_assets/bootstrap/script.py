"""Activation on a machine without conda: a script to source, for sh, dash, bash and zsh.

    <prefix>/conda-meta/conda-assets/activate.sh        sourced:  . <prefix>/conda-meta/conda-assets/activate.sh
                                                        back:     deactivate

It does what `conda activate` does: PATH, CONDA_PREFIX, the file's `variables:`, each package's activation script, the prompt; and
`deactivate` takes all of it back. Below `conda-meta`, because conda leaves that behind when it clones or renames an environment:
the script names its prefix.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

__all__ = ["activation_command", "write_script"]

_SCRIPT = """\
# Written by conda-assets: activates this environment without conda. Source it: . {script}
if [ -n "${{_CONDA_ASSETS_ACTIVE-}}" ]; then deactivate; fi
_conda_assets_hooks() {{
    # zsh would complain of a folder without such files.
    if [ -n "${{ZSH_VERSION-}}" ]; then setopt local_options null_glob; fi
    _conda_assets_dir=$1
    _conda_assets_reverse=$2
    set --
    for _conda_assets_hook in "$_conda_assets_dir"/*.sh; do
        [ -f "$_conda_assets_hook" ] || continue
        if [ "$_conda_assets_reverse" = yes ]; then set -- "$_conda_assets_hook" "$@"; else set -- "$@" "$_conda_assets_hook"; fi
    done
    for _conda_assets_hook; do . "$_conda_assets_hook"; done
    unset _conda_assets_dir _conda_assets_reverse _conda_assets_hook
}}
deactivate() {{
    if [ -z "${{_CONDA_ASSETS_ACTIVE-}}" ]; then return 0; fi
    _conda_assets_hooks "$CONDA_PREFIX/etc/conda/deactivate.d" yes
    PATH=$_CONDA_ASSETS_OLD_PATH
    export PATH
    if [ -n "${{_CONDA_ASSETS_OLD_PS1-}}" ]; then PS1=$_CONDA_ASSETS_OLD_PS1; fi
{restore}
    unset _CONDA_ASSETS_ACTIVE _CONDA_ASSETS_OLD_PATH _CONDA_ASSETS_OLD_PS1
    unset -f deactivate _conda_assets_hooks
    hash -r 2>/dev/null || true
}}
_CONDA_ASSETS_ACTIVE=1
_CONDA_ASSETS_OLD_PATH=$PATH
{save}
CONDA_PREFIX={prefix}
CONDA_DEFAULT_ENV={prefix}
CONDA_SHLVL=1
PATH=$CONDA_PREFIX/bin:$PATH
export CONDA_PREFIX CONDA_DEFAULT_ENV CONDA_SHLVL PATH
{variables}
if [ -n "${{PS1-}}" ]; then
    _CONDA_ASSETS_OLD_PS1=$PS1
    PS1={prompt}" $PS1"
fi
_conda_assets_hooks "$CONDA_PREFIX/etc/conda/activate.d" no
hash -r 2>/dev/null || true
"""
# What activation sets besides PATH and the prompt.
_CONDA_S = ("CONDA_PREFIX", "CONDA_DEFAULT_ENV", "CONDA_SHLVL")


def write_script(prefix: Path, variables: Mapping[str, str]) -> None:
    """Write the script, for an environment whose `conda-meta/state` sets `variables`.

    Raises:
        OSError: it cannot be written.
    """
    path = _path(prefix)
    names = (*_CONDA_S, *variables)
    text = _SCRIPT.format(
        script=shlex.quote(str(path)),
        prefix=shlex.quote(str(prefix)),
        prompt=shlex.quote(f"({prefix.name})"),
        save="\n".join(f"{_old(name)}=${{{name}-}}; {_was(name)}=${{{name}+set}}" for name in names),
        restore="\n".join(
            f'    if [ -n "${_was(name)}" ]; then {name}=${_old(name)}; else unset {name}; fi; unset {_old(name)} {_was(name)}'
            for name in names
        ),
        variables="\n".join(f"{name}={shlex.quote(value)}; export {name}" for name, value in variables.items()),
    )
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def activation_command(prefix: Path, engine: str) -> str:
    """What to type to activate the environment that this engine made."""
    if engine != "rattler":
        return shlex.join(["micromamba" if engine == "micromamba" else "conda", "activate", str(prefix)])
    if os.name == "nt":
        return f'set "PATH={prefix};{prefix}\\Library\\bin;{prefix}\\Scripts;%PATH%"'
    return f". {shlex.quote(str(_path(prefix)))}"


def _path(prefix: Path) -> Path:
    return prefix / "conda-meta" / "conda-assets" / "activate.sh"


def _old(name: str) -> str:
    return f"_CONDA_ASSETS_OLD_{name}"


def _was(name: str) -> str:
    return f"_CONDA_ASSETS_WAS_{name}"
