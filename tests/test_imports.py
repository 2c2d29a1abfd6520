"""What importing costs, as sets of modules: no timing, so no flake."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from condas import Conda, conda_params

# Runs in a conda's Python, before conda's launcher would start it: which modules come with ours, beyond conda's plugin system.
_ASK = """\
import json, runpy, sys
runpy.run_path(sys.argv[1], run_name="launcher")        # the alias of conda-lock's conda, nothing for others
import conda.plugins.manager, conda.base.context
before = set(sys.modules)
import conda_assets.plugin
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.mark.parametrize("conda", conda_params())
def test_the_plugin_loads_nothing_but_itself(conda: Conda, tmp_path):
    root = conda.make_root(tmp_path, "file:///nowhere")
    asked = [str(conda.python), "-c", _ASK, str(root.launcher)]
    done = subprocess.run(asked, env=root.environ(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["conda_assets", "conda_assets.plugin", "conda_assets.version"]


@pytest.mark.parametrize("conda", conda_params())
@pytest.mark.parametrize("words", [["config", "--show", "channels"], ["list", "--json"], ["create", "--help"]], ids=" ".join)
def test_a_command_without_our_business_loads_no_engine(conda: Conda, words, tmp_path):
    """conda builds every plugin's parser, settings and readers for each command; ours must not drag the program in."""
    root = conda.make_root(tmp_path, "file:///nowhere")
    (tmp_path / "site").mkdir(exist_ok=True)
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import atexit, sys\n"
        "ours = lambda: ' '.join(name for name in sys.modules if name.startswith('conda_assets'))\n"
        "atexit.register(lambda: sys.stderr.write(f'LOADED {ours()}\\n'))\n"
    )
    done = root.run(*words, env={"PYTHONPATH": str(tmp_path / "site")})
    assert done.status == 0, done
    loaded = set(done.stderr.rsplit("LOADED", 1)[1].split())
    assert "conda_assets.plugin" in loaded
    # From 25.7 on conda asks for exporters whatever the command is; that module wraps them and loads nothing else.
    assert loaded <= {
        "conda_assets",
        "conda_assets.version",
        "conda_assets.plugin",
        "conda_assets.plugin.context",
        "conda_assets.plugin.exporting",
    }


def test_the_package_loads_in_a_python_without_conda():
    """`import conda_assets` serves project environments: no conda there, and no engine before it is asked for."""
    ask = "import sys; before = set(sys.modules); import conda_assets; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {_own_path()!r}; {ask}"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not {name.partition(".")[0] for name in done.stdout.split()} & {
        "conda",
        "rattler",
        "rich",
        "requests",
        "ruamel",
        "yaml",
    }


def _own_path() -> list[str]:
    import conda_assets

    return [str(next(iter(conda_assets.__path__)).rsplit("/", 1)[0])]
