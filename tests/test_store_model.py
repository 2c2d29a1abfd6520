"""Store, sync and gc against a model: any order, each killed before any of its file-system calls.

Kills are exact: a forked child counts its own calls through an audit hook and ends, without a word to anybody, before the n-th.
Everything is linked symbolically here, which forgives nothing: a stored file that goes too early leaves a link to nowhere.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from conda_assets.api.collect import Policy, collect, survey
from conda_assets.api.options import Options
from conda_assets.api.sync import sync
from conda_assets.digest import Digest
from conda_assets.link import making
from conda_assets.model import Asset, LinkType, Spec, Target
from conda_assets.receipt import read_receipt
from conda_assets.settings import load
from conda_assets.store import Tree, collecting

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")]

NAMES = ("a", "b", "c", "d")
#: What changes something; `open` also where it only reads, so that a kill may come between two looks.
CALLS = frozenset(
    ("open", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.utime", "os.listdir")
)
KILLED = 9

envs = st.sampled_from(("one", "two", "three"))
chosen = st.sets(st.sampled_from(NAMES), min_size=1)
# 0 for no kill. A sync of four files makes about 250 calls.
moments = st.one_of(st.just(0), st.integers(1, 300))


def in_child(action: Callable[[], None], kill_before: int) -> bool:
    """Run it in a process of its own; whether that came to its end."""
    pid = os.fork()
    if not pid:
        try:
            if kill_before:
                _kill_before(kill_before)
            action()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, KILLED), "the child failed; its trace is above"
    return code == 0


def _kill_before(number: int) -> None:
    count = 0

    def hook(name: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if name in CALLS:
            count += 1
            if count >= number:
                os._exit(KILLED)

    sys.addaudithook(hook)


class Machine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="conda-assets-"))
        self.ways = making._WAYS
        making._WAYS = tuple(each for each in self.ways if each[0] is LinkType.SYMLINK)
        self.settings = load(environ={"HOME": str(self.folder), "CONDA_ASSETS_STORE": str(self.folder / "store")})
        self.tree = Tree(self.folder / "store")
        self.assets = {}
        for name in NAMES:
            source = self.folder / "from" / name
            source.parent.mkdir(exist_ok=True)
            source.write_bytes(name.encode() * 1000)
            digest = Digest("sha256", hashlib.sha256(source.read_bytes()).hexdigest())
            self.assets[name] = Asset(name=name, url=source.as_uri(), path=name, digest=digest)
        #: Environment → what its last sync that came to its end placed there; None after one that was killed.
        self.model: dict[str, set[str] | None] = {}
        #: Where a kill may have left links that no receipt names.
        self.littered: set[str] = set()

    def prefix(self, env: str) -> Path:
        return self.folder / "envs" / env

    def _sync(self, env: str, names: set[str]) -> None:
        spec = Spec(tuple(self.assets[name] for name in sorted(names)), ("environment.yml",), self.folder)
        target = Target(self.prefix(env), self.folder)
        report = sync(spec, target, self.settings, options=Options(prune=True), environ={})
        assert not report.failures, report.failures[0].error

    def _collect(self) -> None:
        # Else what is fresh would stay for a while when something was killed before it had said who it is.
        collecting._FRESH_NS = 0
        with survey(self.settings, Policy(), {"HOME": str(self.folder)}) as findings:
            collect(findings)

    @rule(env=envs, names=chosen, kill_before=moments)
    def sync(self, env: str, names: set[str], kill_before: int) -> None:
        done = in_child(lambda: self._sync(env, names), kill_before)
        self.model[env] = set(names) if done else None
        if not done:
            self.littered.add(env)

    @rule(kill_before=moments)
    def collect(self, kill_before: int) -> None:
        if in_child(self._collect, kill_before) and not self.littered:
            used = {self.assets[name].digest.hex for names in self.model.values() for name in names or ()}  # type: ignore[union-attr]
            assert {stored.sha256 for stored in self.tree.objects()} == used

    @precondition(lambda self: self.model)
    @rule(env=envs)
    def remove(self, env: str) -> None:
        shutil.rmtree(self.prefix(env), ignore_errors=True)
        self.model.pop(env, None)
        self.littered.discard(env)

    @invariant()
    def what_the_store_has_is_right(self) -> None:
        for stored in self.tree.objects():
            assert hashlib.sha256(stored.path.read_bytes()).hexdigest() == stored.sha256

    @invariant()
    def nothing_dangles(self) -> None:
        assert [path for path in (self.folder / "envs").rglob("*") if path.is_symlink() and not path.exists()] == []

    @invariant()
    def environments_have_what_was_placed(self) -> None:
        for env, names in self.model.items():
            if names is not None:
                assert set(read_receipt(self.prefix(env))) == names
                for name in names:
                    assert (self.prefix(env) / "share" / "assets" / name).read_bytes() == name.encode() * 1000

    def teardown(self) -> None:
        try:
            for env in list(self.model):
                assert in_child(lambda env=env: self._sync(env, set(NAMES)), 0)  # type: ignore[misc]
                self.model[env] = set(NAMES)
            self.environments_have_what_was_placed()
            for env in list(self.model):
                self.remove(env)
            assert in_child(self._collect, 0)
            assert list(self.tree.objects()) == []
            # But for temporary names, and what was killed before it had written anything.
            left = [path for part in ("runs", "roots") for path in (self.tree.folder / part).glob("*") if path.stat().st_size]
            assert [path for path in left if not path.name.startswith(".")] == []
        finally:
            making._WAYS = self.ways
            shutil.rmtree(self.folder)


@pytest.mark.parametrize("examples", [6, pytest.param(100, marks=pytest.mark.slow)])
def test_any_order_with_kills_at_any_moment_keeps_every_promise(examples: int) -> None:
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    bounds = settings(
        max_examples=examples,
        stateful_step_count=10,
        deadline=None,
        derandomize=examples < 50,
        database=None,
        # Not shrunk: that takes minutes where each step is a process; ten steps can be read.
        phases=(Phase.generate,),
        suppress_health_check=slow,
    )
    run_state_machine_as_test(Machine, settings=bounds)
