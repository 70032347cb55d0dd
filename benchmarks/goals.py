"""The table of goals: what was measured beside what it must cost, in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence

from benchmarks.measured import Measured, Side
from benchmarks.shapes import CPU_GOAL, PSS_GOAL, SHAPES, Isolation, Shape

HEADER = (
    "work",
    "tuned Airflow",
    "by hand",
    "ours",
    "goal",
    "met",
    "ours / by hand",
    "Airflow / ours",
    "start to start",
    "CPU a task",
    "events a task",
    "bytes a task",
)
CPU_SHAPE = "map-1000"


def table(measured: Sequence[Measured], isolation: Isolation, memory: float | None) -> str:
    """The whole table, medians of all repetitions.

    Args:
        measured: of all sides.
        isolation: of the rows that are ours.
        memory: megabytes of everything while a DAG of 100 tasks runs; None if that was not measured.
    """
    ours = [each for each in measured if each.side == "ours" and each.isolation == isolation]
    names = [name for name in SHAPES if any(each.shape == name for each in ours)]
    rows = [_row(SHAPES[name], _of(measured, name), isolation) for name in names]
    rows += _cpu_row([each for each in ours if each.shape == CPU_SHAPE], isolation)
    rows += _memory_row(memory, isolation)
    return "\n".join(_line(cells) for cells in (HEADER, ["---"] * len(HEADER), *rows))


def _of(measured: Iterable[Measured], name: str) -> list[Measured]:
    return [each for each in measured if each.shape == name]


def _row(shape: Shape, measured: Sequence[Measured], isolation: Isolation) -> list[str]:
    ours = [each for each in measured if each.side == "ours" and each.isolation == isolation]
    wall = _median(ours, lambda each: each.wall)
    by_hand = _wall([each for each in measured if each.isolation == isolation], "handwritten")
    airflow = _wall(measured, "airflow")
    goal = shape.goals[isolation] if shape.goals else None
    latencies = [each for each in ours if each.latency is not None]
    return [
        f"{shape.runs} x {shape.dag_id}" if shape.runs > 1 else shape.dag_id,
        _seconds(airflow) if airflow or not shape.airflow else f"({_seconds(shape.airflow)})",
        _seconds(by_hand),
        f"**{_seconds(wall)}**",
        f"<= {goal:g} s" if goal else "",
        _met(wall, goal),
        f"{wall / by_hand:.1f}" if by_hand else "",
        f"{(airflow or shape.airflow or 0) / wall:.1f}" if airflow or shape.airflow else "",
        f"{_median(latencies, lambda each: each.latency or 0) * 1000:.0f} ms" if latencies else "",
        f"{_median(ours, lambda each: each.cpu_a_task):.1f} ms",
        f"{_median(ours, lambda each: each.events / each.tasks):.1f}",
        f"{_median(ours, lambda each: each.size / each.tasks):.0f}",
    ]


def _cpu_row(ours: Sequence[Measured], isolation: Isolation) -> list[list[str]]:
    if not ours:
        return []
    cpu, goal = _median(ours, lambda each: each.cpu_a_task), CPU_GOAL[isolation]
    return [_short_row("CPU a task, map_1000", "(183-470 ms)", f"{cpu:.1f} ms", f"<= {goal:g} ms", _met(cpu, goal))]


def _memory_row(memory: float | None, isolation: Isolation) -> list[list[str]]:
    if memory is None:
        return []
    goal = PSS_GOAL[isolation]
    return [_short_row("PSS of everything", "(1.8 GB+)", f"{memory:.0f} MB", f"<= {goal:g} MB", _met(memory, goal))]


def _short_row(work: str, airflow: str, ours: str, goal: str, met: str) -> list[str]:
    return [work, airflow, "", f"**{ours}**", goal, met, *[""] * (len(HEADER) - 6)]


def _wall(measured: Sequence[Measured], side: Side) -> float | None:
    found = [each for each in measured if each.side == side]
    return _median(found, lambda each: each.wall) if found else None


def _median(measured: Sequence[Measured], value: Callable[[Measured], float]) -> float:
    return statistics.median(value(each) for each in measured)


def _met(value: float, goal: float | None) -> str:
    if goal is None:
        return ""
    return "yes" if value <= goal else f"no: {value / goal:.1f} times"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g} s"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
