r"""conda-forge first and strict channel priority, for one environment or for the user; printed, and taken back by `undo`.

an environment    <prefix>/condarc.d/conda-assets-setup.yml      written whole, deleted when undone: `environment`
the user          $CONDARC, else ~/.condarc                      edited line by line: `user`, `edit`
                  ~/.conda/conda-assets-undo-<digest>.json       what was there before: `undo`
"""

from __future__ import annotations

from conda_assets.setup.change import Change, Where, apply_change
from conda_assets.setup.environment import plan_environment
from conda_assets.setup.user import plan_user, undo_user

__all__ = ["Change", "Where", "apply_change", "plan_setup"]


def plan_setup(where: Where, *, undo: bool = False) -> Change:
    """What `setup` would do there, or undo; reads, and writes nothing.

    Raises:
        UsageError: the user's file cannot be edited safely (with file, line and the lines to add by hand), or the environment's
            file was edited.
        EnvironmentMissing: no environment at the prefix.
        DiskRefused: a file cannot be read.
    """
    if where.prefix is not None:
        return plan_environment(where, where.prefix, undo=undo)
    return undo_user(where) if undo else plan_user(where)
