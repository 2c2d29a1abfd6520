"""The version, where every layer may read it; pyproject.toml and recipe.yaml are held to it by a test."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
