"""The REST interface: a table of operations, from which routes, checks of what comes in, and the OpenAPI document are made."""

from __future__ import annotations
