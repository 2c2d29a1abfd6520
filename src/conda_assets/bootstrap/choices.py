"""What a caller may decide, and what it gets back."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from conda_assets.bootstrap.script import activation_command
from conda_assets.model import ENGINES
from conda_assets.records import dataclass

__all__ = ["ENGINES", "Choices", "Created"]


@dataclass(frozen=True, slots=True)
class Choices:
    """How to make it. `engine`: one of `ENGINES`; `channels`: instead of the file's; `subdir`: another platform, `osx-arm64`.

    `prune`: take away what earlier requests asked for and the file does not. `dry_run`: solve, and change nothing.
    `again`: the command that repeats this one, for messages; made up where the caller has none.
    """

    engine: str = "auto"
    channels: tuple[str, ...] = ()
    subdir: str | None = None
    prune: bool = False
    dry_run: bool = False
    again: str = ""

    def command(self, sources: Sequence[str], prefix: Path) -> str:
        """What to type to repeat this."""
        files = [word for source in sources for word in ("-f", source)]
        return self.again or shlex.join(["conda-assets", "create", *files, "-p", str(prefix)])


@dataclass(frozen=True, slots=True)
class Created:
    """What was made. `engine`: conda, mamba, micromamba or rattler; `new`: no environment stood there before.

    `packages`: all of the environment, as `name-version-build`; `linked`, `unlinked`: how many came and went. All three are None
    where the engine does not say.
    """

    prefix: Path
    engine: str
    new: bool
    seconds: float
    packages: tuple[str, ...] | None = None
    linked: int | None = None
    unlinked: int | None = None

    @property
    def activation(self) -> str:
        """What to type to activate it."""
        return activation_command(self.prefix, self.engine)
