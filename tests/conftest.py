"""Every test has its own HOME, its own store and an environment without anything of the machine's conda."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_FOREIGN = (
    "CONDA",
    "_CONDA",
    "_CE_",
    "MAMBA",
    "PIXI",
    "CONDARC",
    "XDG_",
    "HF_",
    "HUGGING_FACE_",
    "GITHUB_",
    "GH_",
    "AWS_",
    "NETRC",
    "SLURM_",
)
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy")


@pytest.fixture(autouse=True)
def clean_environ(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Scrub the environment; returns the HOME of this test."""
    for name in list(os.environ):
        if name.startswith(_FOREIGN) or name.lower() in _PROXIES:
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("CONDA_ASSETS_STORE", str(home / "store"))
    return home
