"""The short form for CI: ratios that a change must not break, on a machine of whatever speed and load.

Nothing is compared with a time on a clock: a chain is compared with the same chain by hand, which takes turns with it;
CPU is compared with that of a fixed piece of Python, taken between the repetitions. Of each the best of several counts:
other programs can only make it worse. The limits leave room for noise; they tell a slip, the goals are for ``runs``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.installation import handwritten_worker, open_installation, our_worker
from benchmarks.measured import Measured
from benchmarks.shapes import SHAPES
from benchmarks.sides import HandWritten, Ours, measure

REPETITIONS = 4
WALL_LIMIT = 25.0
CPU_LIMIT = 15.0
BYTES_LIMIT = 7.0
EVENTS_LIMIT = 6.5
"""What each ratio may be at most."""

CHAIN, MAPPED = SHAPES["chain-10"], SHAPES["map-100"]


@dataclass(frozen=True)
class Ratio:
    """A figure, and what it must not exceed."""

    name: str
    value: float
    limit: float

    def as_line(self) -> str:
        """A line of JSON."""
        broken = self.value > self.limit
        return json.dumps({"ratio": self.name, "value": round(self.value, 2), "limit": self.limit, "broken": broken})


async def check_ratios() -> int:
    """Measure, print, and judge; 1 if a ratio is broken."""
    ratios = _ratios(*await _measure())
    for ratio in ratios:
        print(ratio.as_line(), flush=True)
    return int(any(ratio.value > ratio.limit for ratio in ratios))


async def _measure() -> tuple[list[Measured], float]:
    measured: list[Measured] = []
    units: list[float] = []
    async with (
        open_installation() as installation,
        our_worker("fork") as worker,
        handwritten_worker(installation.connection) as by_hand,
    ):
        sides = (Ours(installation, worker, "fork"), HandWritten(installation, by_hand, "fork"))
        for repetition in range(-1, REPETITIONS):  # the first one pays what only the first one pays
            shapes = (CHAIN, MAPPED) if repetition % 2 else (CHAIN,)
            found = [await measure(side, shape, repetition) for shape in shapes for side in sides]
            units.append(_unit_of_work())
            if repetition >= 0:
                measured += found
                for each in found:
                    print(each.as_line(), flush=True)
    return measured, min(units)


def _ratios(measured: Sequence[Measured], unit: float) -> list[Ratio]:
    ours, by_hand = ([each for each in measured if each.side == side] for side in ("ours", "handwritten"))
    wall = min(_walls(ours)) / min(_walls(by_hand))
    cpu = min(each.cpu["workers"] / each.tasks for each in ours if each.shape == MAPPED.name) / unit
    longest, shortest = (_bytes(side) for side in (ours, by_hand))
    return [
        Ratio("wall of a chain of 10, ours to by hand", wall, WALL_LIMIT),
        Ratio("CPU of our worker a mapped task, to a fixed piece of Python", cpu, CPU_LIMIT),
        Ratio("bytes of history a mapped task, ours to by hand", longest / shortest, BYTES_LIMIT),
        Ratio("events of history a mapped task", _events(ours), EVENTS_LIMIT),
    ]


def _walls(measured: Sequence[Measured]) -> list[float]:
    return [each.wall for each in measured if each.shape == CHAIN.name]


def _bytes(measured: Sequence[Measured]) -> float:
    return min(each.size / each.tasks for each in measured if each.shape == MAPPED.name)


def _events(measured: Sequence[Measured]) -> float:
    return min(each.events / each.tasks for each in measured if each.shape == MAPPED.name)


def _unit_of_work() -> float:
    """Seconds of CPU that a fixed piece of Python takes: some 10 ms."""
    begin = time.process_time()
    for _ in range(20):
        json.loads(json.dumps([{"number": number, "text": str(number)} for number in range(300)]))
    return time.process_time() - begin
