"""Builds the recipe and runs its tests with py-rattler-build: python tests/build_recipe.py CHANNEL OUTPUT

Prints the log, and as its last line a JSON document: {"package": path, "variants": {"linux-64": {"run": […]}, "win-64": …}}.
A process of its own, because rattler's libraries may crash an interpreter that ends; this one leaves by `os._exit`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from rattler_build import PlatformConfig, RenderConfig, Stage0Recipe, ToolConfiguration, VariantConfig
from rattler_build.progress import SimpleProgressCallback

_RECIPE = Path(__file__).resolve().parent.parent / "recipe" / "recipe.yaml"
_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def main() -> None:
    channel, output = sys.argv[1:]
    recipe = Stage0Recipe.from_file(str(_RECIPE))
    # The local channel has one Python only, the one that runs this.
    variants = VariantConfig({"python_min": [_PYTHON]})
    rendered = {}
    for platform in ("linux-64", "osx-arm64", "win-64"):
        (variant,) = recipe.render(variants, RenderConfig(platform=PlatformConfig(target_platform=platform)))
        rendered[platform] = _plain(variant.recipe.to_dict())
    (built,) = recipe.run_build(
        variant_config=variants,
        channels=[channel],
        output_dir=output,
        tool_config=ToolConfiguration(test_strategy="native"),
        progress_callback=SimpleProgressCallback(),
    )
    print(json.dumps({"package": str(built.packages[0]), "variants": rendered}), flush=True)


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


if __name__ == "__main__":
    status = 1
    try:
        main()
        status = 0
    except Exception:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    os._exit(status)
