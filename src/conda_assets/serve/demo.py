"""A centre to look at: an origin on this machine, three people, files on their way; nothing of it stays."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from conda_assets.model import Asset
from conda_assets.records import replace
from conda_assets.serve.accounts import Person
from conda_assets.serve.centre import Centre
from conda_assets.serve.jobs import Wanted
from conda_assets.serve.options import ServeOptions
from conda_assets.serve.origin import Origin, Sample
from conda_assets.settings import Settings

__all__ = ["staged"]

_MB = 1_000_000
# Path, size, speed of each connection, who wants it, for which environment.
_FILES = (
    ("/models/tokenizer.json", 2, 900, "ann", "bert"),
    ("/models/gpt2-weights.safetensors", 420, 450, "ann", "bert"),
    ("/data/corpus-v3.tar.zst", 900, 700, "bob", "bert"),
    ("/genomes/GRCh38.primary_assembly.fa.gz", 640, 380, "bob", "genomes"),
    ("/data/train-00000-of-00042.parquet", 180, 260, "ann", ""),
    ("/data/imagenet-val.tar", 1200, 500, "bob", "vision"),
    ("/data/labels.csv", 1, 900, "ann", "vision"),
)
_GONE = ("/data/moved-away.bin", "ann")


@contextmanager
def staged(options: ServeOptions, settings: Settings) -> Iterator[tuple[ServeOptions, Settings, Callable[[Centre], None]]]:
    """Options and settings for a centre in a temporary folder, and what fills it once it runs."""
    origin = Origin({path: Sample(size * _MB, speed * 1000) for path, size, speed, _, _ in _FILES})
    with tempfile.TemporaryDirectory(prefix="conda-assets-demo-") as folder:
        origin.start()
        try:
            staged_settings = replace(settings, stores=(Path(folder) / "store",))
            yield replace(options, data=Path(folder) / "centre"), staged_settings, lambda centre: _fill(centre, origin)
        finally:
            origin.close()


def _fill(centre: Centre, origin: Origin) -> None:
    centre.admit(origin.port)
    people = {name: centre.accounts.add(name, "member", quota_bytes=5000 * _MB) for name in ("ann", "bob")}
    for path, _, _, name, environment in _FILES:
        _ask(centre, people[name], origin.url(path), environment)
    _ask(centre, people[_GONE[1]], origin.url(_GONE[0]), "")
    _ask(centre, people["ann"], origin.url("/models/tokenizer.json"), "genomes")


def _ask(centre: Centre, person: Person, url: str, environment: str) -> None:
    name = url.rpartition("/")[2]
    centre.desk.ask([Wanted(Asset(name=name, url=url, path=name), environment)], person)
