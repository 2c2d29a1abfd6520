"""Machines on one machine: network namespaces on one bridge, each link with a limit. Skipped where that is forbidden."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

__all__ = ["Machine", "machines"]


@dataclass(frozen=True)
class Machine:
    """One namespace."""

    name: str
    address: str

    def start(self, words: Sequence[str], **more: object) -> subprocess.Popen[str]:
        """A process there."""
        return subprocess.Popen(["ip", "netns", "exec", self.name, *words], text=True, **more)  # type: ignore[call-overload, no-any-return]


@contextmanager
def machines(count: int, rate: str) -> Iterator[list[Machine]]:
    """`rate`: of each link in each direction, as tc has it: `100mbit`."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root makes network namespaces")
    mark = secrets.token_hex(2)
    bridge = f"ca{mark}b"
    with ExitStack() as stack:
        _make(stack, f"ip link add {bridge} type bridge", f"ip link del {bridge}")
        _run(f"ip link set {bridge} up")
        made = []
        for number in range(1, count + 1):
            name, near, far = f"ca{mark}n{number}", f"ca{mark}v{number}", f"ca{mark}e{number}"
            _make(stack, f"ip netns add {name}", f"ip netns del {name}")
            _run(f"ip link add {near} type veth peer name {far}")
            _run(f"ip link set {far} netns {name}")
            _run(f"ip link set {near} master {bridge} up")
            _run(f"ip -n {name} addr add 10.213.0.{number}/24 dev {far}")
            _run(f"ip -n {name} link set {far} up")
            _run(f"ip -n {name} link set lo up")
            # What goes in is limited where it leaves the bridge.
            for place in (f"tc qdisc add dev {near}", f"tc -n {name} qdisc add dev {far}"):
                _run(f"{place} root tbf rate {rate} burst 128k latency 100ms")
            made.append(Machine(name, f"10.213.0.{number}"))
        yield made


def _make(stack: ExitStack, command: str, undo: str) -> None:
    _run(command)
    stack.callback(subprocess.run, undo.split(), check=False, capture_output=True)


def _run(command: str) -> None:
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"`{command}` is not possible here: {done.stderr.strip()}")
