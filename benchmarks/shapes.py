"""What is run: the shape of a run, how many at once, and what it must cost."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Isolation = Literal["fork", "reuse"]

DAGS = Path(__file__).parent / "dags"
HANDWRITTEN = Path(__file__).with_name("handwritten.py")
HANDWRITTEN_SHA256 = "e9b33b7a812aefb2a670f4e5ea66eb0594315ff54183df77abb931b3f0f45bee"


class ThawedError(Exception):
    """What is compared with has changed, so figures can't be compared with earlier ones."""


@dataclass(frozen=True)
class Shape:
    """One row of the table.

    Attributes:
        dag_id: and name of the file in ``dags``.
        tasks: of one run.
        handwritten: workflow type, and its argument, of the hand-written counterpart.
        runs: how many at once.
        airflow: seconds that tuned Airflow took on the machine of the first measurements.
        goals: seconds, by isolation.
    """

    name: str
    dag_id: str
    tasks: int
    handwritten: tuple[str, int]
    runs: int = 1
    airflow: float | None = None
    goals: dict[Isolation, float] | None = None

    @property
    def all_tasks(self) -> int:
        """Of all runs."""
        return self.tasks * self.runs


def _goals(fork: float, reuse: float) -> dict[Isolation, float]:
    return {"fork": fork, "reuse": reuse}


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("chain-10", "chain_10", 10, ("Chain", 10), airflow=2.56, goals=_goals(0.5, 0.25)),
        Shape("chain-100", "chain_100", 100, ("Chain", 100), airflow=27.8, goals=_goals(4, 2)),
        Shape("fan-100", "fan_100", 100, ("Fan", 100), airflow=11.2, goals=_goals(2, 0.8)),
        Shape("map-1000", "map_1000", 1001, ("Map", 1000), airflow=105, goals=_goals(15, 7)),
        Shape("fan-1000", "fan_1000", 1000, ("Fan", 1000), airflow=291, goals=_goals(15, 7)),
        Shape("20-chains", "chain_10", 10, ("Chain", 10), runs=20, airflow=22, goals=_goals(4, 2)),
        Shape("200-chains", "chain_10", 10, ("Chain", 10), runs=200),
        Shape("map-100", "map_100", 101, ("Map", 100)),
    )
}

IDLE = Shape("idle-100", "idle_100", 100, ("Chain", 0))
"""A run that waits, whose memory is measured."""

WIDE_DAG = "map_widely"
"""Of the run that is as large as its conf says."""

IN_THE_TABLE = tuple(name for name in SHAPES if name != "map-100")

CPU_GOAL: dict[Isolation, float] = {"fork": 25, "reuse": 8}
"""Milliseconds a task of all our processes, in a map over 1,000."""

PSS_GOAL: dict[Isolation, float] = {"fork": 600, "reuse": 500}
"""Megabytes of everything: one worker and the server, with a DAG of 100 tasks."""


def check_frozen() -> None:
    """Refuse to compare with something else than before.

    Raises:
        ThawedError: if the hand-written workflow has been changed.
    """
    found = hashlib.sha256(HANDWRITTEN.read_bytes()).hexdigest()
    if found != HANDWRITTEN_SHA256:
        raise ThawedError(
            f"{HANDWRITTEN.name} has sha256 {found}, not {HANDWRITTEN_SHA256}. Undo the change; or take the new hash "
            "into shapes.py and measure everything in README.md anew."
        )
