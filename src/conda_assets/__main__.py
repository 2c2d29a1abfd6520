"""`python -m conda_assets` is `conda-assets`."""

from __future__ import annotations

import sys

from conda_assets.cli import main

sys.exit(main())
