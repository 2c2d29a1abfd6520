"""Large files in conda environments."""

__version__ = "0.1.0"
