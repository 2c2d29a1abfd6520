"""The `assets:` section."""
