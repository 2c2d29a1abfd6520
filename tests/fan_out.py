"""The arithmetic of docs/fan-out.md: until the last of N machines has a file. `python tests/fan_out.py` prints the table."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COUNTS", "Lab", "table"]

COUNTS = (1, 2, 8, 32, 100, 1_000, 10_000)
GIGABIT = 125_000_000


@dataclass(frozen=True)
class Lab:
    """Bytes a second. `swarm_factor`: how much longer than one machine alone a swarm takes; measured with 8 machines."""

    uplink: float = GIGABIT
    link: float = GIGABIT
    store: float = 10 * GIGABIT
    swarm_factor: float = 1.6

    def by_origin(self, size: float, count: int) -> float:
        """Each machine fetches from outside; they share the uplink."""
        return max(size / self.link, count * size / self.uplink)

    def by_store(self, size: float, count: int) -> float:
        """It comes once, and then each machine reads it."""
        return size / self.uplink + max(size / self.link, count * size / self.store)

    def by_swarm(self, size: float, count: int) -> float:
        """Each piece comes about once, and each machine gives on what it gets."""
        return (self.swarm_factor if count > 1 else 1.0) * size / min(self.uplink, self.link)


def shown(seconds: float) -> str:
    """With two digits."""
    for unit, length, most in (("s", 1, 100), ("min", 60, 60), ("h", 3600, 48), ("d", 86400, 1e9)):
        count = seconds / length
        if count < most:
            return f"{count:.1f} {unit}" if count < 10 else f"{count:.0f} {unit}"
    raise ValueError(seconds)


def table(lab: Lab | None = None, size: float = 10e9) -> str:
    """In Markdown."""
    lab = lab or Lab()
    rows = ["| machines | each from the origin | shared store | swarm |", "|---|---|---|---|"]
    for count in COUNTS:
        times = (way(size, count) for way in (lab.by_origin, lab.by_store, lab.by_swarm))
        rows.append(f"| {count:,} | " + " | ".join(map(shown, times)) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
