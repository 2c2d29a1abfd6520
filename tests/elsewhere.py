"""What the tests of all stores elsewhere need: the program beside a line of ours, and another machine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lab import Lab

__all__ = ["COUNTED", "KILLED", "PEAKS", "forget_store", "program"]

#: Killed when two parts have been sent to a bucket.
KILLED = """
import os, signal
from conda_assets.remote.s3.client import Bucket
call, parts = Bucket.call, []
def killed(self, operation, what, **given):
    answer = call(self, operation, what, **given)
    parts.append(operation)
    if parts.count("upload_part") == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer
Bucket.call = killed
"""
#: Says at its end how many parts it has sent to a bucket.
COUNTED = """
import atexit
from conda_assets.remote.s3.client import Bucket
call, parts = Bucket.call, []
def counted(self, operation, what, **given):
    parts.append(operation)
    return call(self, operation, what, **given)
Bucket.call = counted
atexit.register(lambda: print(parts.count("upload_part"), file=sys.stderr))
"""
#: Says at its end the highest resident memory in KiB, its own and that of a child. Not its own ru_maxrss: that begins with what
#: the test program holds.
PEAKS = r"""
import atexit, re, resource
def own():
    return re.search(r"VmHWM:\s+(.*) kB", open("/proc/self/status").read())[1]
atexit.register(lambda: print(own(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
"""


def program(lab: Lab, patch: str, *words: str) -> subprocess.Popen[str]:
    """The program in a process of its own, with a line of ours first."""
    code = f"import sys\n{patch}\nfrom conda_assets.cli import main\nsys.exit(main(sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=lab.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def forget_store(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Another machine: an empty store, the same remote."""
    folder, _, rest = os.environ["CONDA_ASSETS_STORE"].partition(",")
    monkeypatch.setenv("CONDA_ASSETS_STORE", f"{folder}-{name},{rest}")
