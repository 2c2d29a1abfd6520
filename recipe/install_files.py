"""Puts into the package what a wheel cannot hold: the channel settings, and hooks that set CONDA_ASSETS_DIR.

    <prefix>/condarc.d/conda-assets.yml
    <prefix>/etc/conda/activate.d/conda-assets-dir.{sh,fish,csh,ps1,bat}       and deactivate.d

The hooks come from the same code that `sync` writes an environment's hooks with, and have a name of their own: those of `sync`
belong to the environment and change with its assets. These count where the package is installed and nothing was synced yet.

Run by the recipe, with the Python and the $PREFIX of the build.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from conda_assets.activation import write_hooks


def main() -> None:
    """Write them into $PREFIX."""
    prefix = Path(os.environ["PREFIX"])
    settings = prefix / "condarc.d" / "conda-assets.yml"
    settings.parent.mkdir(exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("condarc.yml"), settings)
    write_hooks(prefix, {})
    for hook in sorted((prefix / "etc" / "conda").glob("*activate.d/conda-assets.*")):
        first, newline, code = hook.read_bytes().partition(b"\n")
        owned = first.partition(b"Written by")[0] + b"Owned by the package conda-assets, for as long as nothing was synced"
        hook.with_name(hook.name.replace("conda-assets.", "conda-assets-dir.")).write_bytes(owned + newline + code)
        hook.unlink()


if __name__ == "__main__":
    main()
