"""One measurement, and what it was taken on."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

Side = Literal["ours", "handwritten", "airflow"]


@dataclass(frozen=True)
class Measured:
    """One repetition of one shape on one side.

    Attributes:
        wall: seconds from the first trigger to the last run's end.
        latency: seconds from a task's start to the next one's, in the median; only chains have it.
        cpu: seconds, by part: ``workers``, ``server`` (and Airflow's components).
        pss: megabytes of all these, right after the run.
        events: of all histories.
        size: bytes of all histories.
        longest: events of the longest history.
        load: the machine's, of the last minute.
    """

    shape: str
    side: Side
    isolation: str | None
    repetition: int
    tasks: int
    wall: float
    latency: float | None
    cpu: dict[str, float]
    pss: float
    events: int = 0
    size: int = 0
    longest: int = 0
    load: float = 0.0

    @property
    def cpu_a_task(self) -> float:
        """Milliseconds, of all parts."""
        return sum(self.cpu.values()) * 1000 / self.tasks

    def as_line(self) -> str:
        """A line of JSON."""
        rounded = {name: _rounded(value) for name, value in asdict(self).items()}
        rounded["cpu_ms_a_task"] = round(self.cpu_a_task, 2)
        rounded["events_a_task"] = round(self.events / self.tasks, 2)
        rounded["bytes_a_task"] = round(self.size / self.tasks)
        return json.dumps(rounded)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return value


def latency_of(chains: Iterable[Sequence[datetime]]) -> float | None:
    """The median of seconds between two starts that follow each other in a chain."""
    gaps = [(after - before).total_seconds() for starts in chains for before, after in pairwise(sorted(starts))]
    return statistics.median(gaps) if gaps else None


def load() -> float:
    """Of the machine, in the last minute."""
    return os.getloadavg()[0]


def circumstances() -> dict[str, Any]:
    """Versions and machine."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "cores": os.cpu_count(),
        "cpu_model": _cpu_model(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": round(load(), 2),
        **{name: version(name) for name in ("apache-airflow", "temporalio", "temporal-airflow")},
    }


def _cpu_model() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
