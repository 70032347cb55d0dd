"""Where the CPU time of a task goes, by process and in the worker by thread, in one run of 1,000 tasks.

    uv run python -m benchmarks.profile_run [SHAPE] [--isolation fork|reuse] [--functions]

A table in Markdown, milliseconds of CPU a task. The worker's workflow code is timed in the process; ``--functions``
also prints its most expensive Python functions (that run is slower: don't use its table).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.installation import HOME, NotReadyError, open_installation, our_worker
from benchmarks.measured import Measured, circumstances
from benchmarks.processes import Tree
from benchmarks.shapes import DAGS, SHAPES, Isolation, Shape
from benchmarks.sides import Ours, measure

REPOSITORY = Path(__file__).parent.parent
WRITING_PATIENCE = 10.0
"""Seconds."""

SLOT = 3
"""How deep below the worker slots are: under the template, which is under the guardian."""


@dataclass(frozen=True)
class Readings:
    """CPU seconds so far, by part of a worker.

    Attributes:
        main: the thread of the event loop: activities, messages to and from slots, Temporal's SDK.
        threads: all threads of the worker's process.
        helpers: guardian and template.
        slots: what slots did themselves: they supervise tasks.
        runners: what lives below slots, and what has ended below all these: forked tasks, runners that were replaced.
    """

    main: float
    threads: float
    helpers: float
    slots: float
    runners: float

    @classmethod
    def of(cls, worker: Tree) -> Readings:
        """Read now."""
        process = psutil.Process(worker.pid)
        [main] = [thread for thread in process.threads() if thread.id == worker.pid]
        own = process.cpu_times()
        parts = dict.fromkeys(("helpers", "slots", "runners"), 0.0)
        depth = {worker.pid: 0}
        for below in process.children(recursive=True):  # parents come before their children
            times = below.cpu_times()
            depth[below.pid] = depth.get(below.ppid(), SLOT) + 1
            part = "helpers" if depth[below.pid] < SLOT else "slots" if depth[below.pid] == SLOT else "runners"
            parts[part] += times.user + times.system
            parts["runners"] += times.children_user + times.children_system
        return cls(main.user_time + main.system_time, own.user + own.system, **parts)

    def since(self, before: Readings) -> Readings:
        """What came after other readings."""
        return Readings(*(after - earlier for after, earlier in zip(self._all(), before._all(), strict=True)))

    def _all(self) -> tuple[float, ...]:
        return (self.main, self.threads, self.helpers, self.slots, self.runners)


async def profile(shape: Shape, isolation: Isolation, *, functions: bool) -> None:
    """Run once to warm up, once to measure, and print."""
    output = HOME / "profile.json"
    environment = {"PROFILE_TO": str(output), "PYTHONPATH": str(REPOSITORY)}
    if functions:
        environment["PROFILE_FUNCTIONS"] = "1"
    async with (
        open_installation() as installation,
        our_worker(isolation, "benchmarks.profiled_worker", **environment) as worker,
    ):
        ours = Ours(installation, worker, isolation)
        await measure(ours, SHAPES["fan-100"], -1)
        _counted(worker.tree, output)
        before = Readings.of(worker.tree)
        measured = await measure(ours, shape, 0)
        used = Readings.of(worker.tree).since(before)
        counted = _counted(worker.tree, output)
    print(json.dumps({**circumstances(), "isolation": isolation}))
    print(measured.as_line())
    print(_table(measured, used, counted))
    print(counted["functions"])


def _counted(worker: Tree, output: Path) -> dict[str, Any]:
    """What the worker counted since the last time."""
    output.unlink(missing_ok=True)
    os.kill(worker.pid, signal.SIGUSR1)
    deadline = time.monotonic() + WRITING_PATIENCE
    while not output.exists():
        if time.monotonic() > deadline:
            raise NotReadyError("The worker does not write its profile.")
        time.sleep(0.01)
    return json.loads(output.read_text())  # type: ignore[no-any-return]


def _table(measured: Measured, used: Readings, counted: dict[str, Any]) -> str:
    seconds = counted["seconds"]
    engine = seconds.get("step", 0.0) + seconds.get("open", 0.0)
    workflow = seconds.get("activation", 0.0)
    rows = [
        ("server (all its processes)", measured.cpu["server"]),
        ("worker: Airflow's decisions (engine)", engine),
        ("worker: the rest of workflow code, with the SDK's", workflow - engine),
        ("worker: event loop (activities, messages to slots, SDK)", used.main),
        ("worker: other threads (the SDK's Rust core)", used.threads - used.main - workflow),
        ("guardian and template", used.helpers),
        ("slots: supervise tasks, answer them, keep their logs", used.slots),
        ("processes that run tasks: forked ones, or those that are reused", used.runners),
    ]
    total = sum(value for _, value in rows)
    lines = ["", "| where | ms a task | share |", "|---|---|---|"]
    for name, value in [*rows, ("all", total)]:
        lines.append(f"| {name} | {value * 1000 / measured.tasks:.2f} | {value / total:.0%} |")
    calls, longest = counted["calls"], counted["longest"]
    summary = (
        f"{measured.wall:.2f} s for {measured.tasks} tasks, {measured.tasks / measured.wall:.0f} a second. "
        f"{calls.get('activation', 0)} activations, the longest {longest.get('activation', 0) * 1000:.0f} ms of CPU. "
        f"Opening the run: {seconds.get('open', 0) * 1000:.0f} ms. Parsing the DAG file: {_parsing(measured):.1f} ms."
    )
    return "\n".join([*lines, "", summary])


def _parsing(measured: Measured) -> float:
    """Milliseconds to run the DAG file once more in a process that has run it: what each forked task does."""
    path = DAGS / f"{SHAPES[measured.shape].dag_id}.py"
    code = compile(path.read_text(), str(path), "exec")
    times = []
    for _ in range(4):
        begin = time.thread_time()
        exec(code, {"__name__": "dag"})  # our own file
        times.append(time.thread_time() - begin)
    return min(times) * 1000


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", nargs="?", default="map-1000", choices=SHAPES)
    parser.add_argument("--isolation", choices=("fork", "reuse"), default="fork")
    parser.add_argument("--functions", action="store_true")
    arguments = parser.parse_args()
    asyncio.run(profile(SHAPES[arguments.shape], arguments.isolation, functions=arguments.functions))


if __name__ == "__main__":
    main()
