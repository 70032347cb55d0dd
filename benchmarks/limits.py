"""What else a worker must keep to: how soon it is ready, replaces a slot, replays; what an idle run and worker take.

    uv run python -m benchmarks.limits [--isolation fork|reuse] [--repeat 3]

A line of JSON for each figure, then a table in Markdown; the best of the repetitions, since other programs can only
make them worse.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psutil
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from benchmarks.installation import Installation, Process, open_installation, our_worker
from benchmarks.measured import circumstances
from benchmarks.processes import Tree
from benchmarks.shapes import DAGS, IDLE, PSS_GOAL, SHAPES, Isolation
from benchmarks.sides import Ours, peak_memory
from temporal_airflow.client import DagRunClient
from temporal_airflow.data_converter import DATA_CONVERTER
from temporal_airflow.exceptions import InputError
from temporal_airflow.tasks.bundles import bundle_environment
from temporal_airflow.tasks.slots import ProcessTemplate, SlotPool

CHAIN, THOUSAND = SHAPES["chain-10"], SHAPES["fan-1000"]
IDLE_RUNS = 20
IDLE_SECONDS = 5.0
LEFT_ALONE = 3.0
"""Seconds after which a worker that has nothing to do has settled."""


@dataclass(frozen=True)
class Limit:
    """A figure and what it must not exceed."""

    name: str
    value: float
    unit: str
    goal: float | None

    @property
    def verdict(self) -> str:
        """Whether it keeps to it."""
        if self.goal is None:
            return ""
        return "yes" if self.value <= self.goal else f"no: {self.value / self.goal:.1f} times"


def _best(name: str, values: Sequence[float], unit: str, goal: float | None) -> Limit:
    found = Limit(name, min(values), unit, goal)
    rounded = [round(value, 3) for value in values]
    print(json.dumps({"limit": name, "unit": unit, "all": rounded, "goal": goal, "met": found.verdict}), flush=True)
    return found


async def measure_limits(isolation: Isolation, repeat: int) -> list[Limit]:
    """All of them."""
    async with open_installation() as installation:
        print(json.dumps({**circumstances(), "isolation": isolation}), flush=True)
        found = [
            _best(
                "first task starts after the worker does",
                [await _first_task(installation, isolation) for _ in range(repeat)],
                "s",
                4,
            ),
            _best("a killed slot is replaced", await _replacements(repeat), "s", 0.2),
        ]
        async with our_worker(isolation) as worker:
            found += await _memory(Ours(installation, worker, isolation), worker)
            found += await _replay(Ours(installation, worker, isolation), repeat)
        async with our_worker(isolation) as worker:
            peak = await peak_memory(Ours(installation, worker, isolation), SHAPES["fan-100"])
            found.append(_best("PSS of everything, DAG of 100 tasks", [peak], "MB", PSS_GOAL[isolation]))
    return found


async def _first_task(installation: Installation, isolation: Isolation) -> float:
    """Seconds from the start of a worker to the start of the first task of a run that waits for it."""
    async with our_worker(isolation) as worker:
        first = Ours(installation, worker, isolation)
        await first.prepare(CHAIN)
    workflow_id = await first.start(CHAIN)
    async with our_worker(isolation) as worker:
        started = datetime.fromtimestamp(psutil.Process(worker.tree.pid).create_time(), UTC)
        starts = await Ours(installation, worker, isolation).starts(workflow_id)
    return (min(starts) - started).total_seconds()


async def _replacements(repeat: int) -> list[float]:
    """Seconds from the death of an idle slot to another one that can be given a task."""
    environment = {**os.environ, **bundle_environment(DAGS)}
    found = []
    async with ProcessTemplate.start(environment) as template:
        await template.ready()
        pool = SlotPool(template, maximum=1)
        for _ in range(repeat):
            async with pool.slot() as slot:
                pass
            os.kill(slot.pid, signal.SIGKILL)
            begin = time.monotonic()
            while slot.alive:  # until the loop has read the end of its socket
                await asyncio.sleep(0)
            async with pool.slot() as other:
                assert other.pid != slot.pid
            found.append(time.monotonic() - begin)
        await pool.close()
    return found


async def _memory(side: Ours, worker: Process) -> list[Limit]:
    """Of runs that wait in the worker's cache; and CPU of a worker and a server that have nothing else to do."""
    await side.prepare(IDLE)
    await _wait(side, [await side.start(IDLE)])  # what only the first one takes
    await asyncio.sleep(LEFT_ALONE)
    before = _own_memory(worker.tree)
    await _wait(side, [await side.start(IDLE) for _ in range(IDLE_RUNS)])
    await asyncio.sleep(LEFT_ALONE)
    each = (_own_memory(worker.tree) - before) / IDLE_RUNS
    cpu = [tree.cpu() for tree in (worker.tree, side.installation.server)]
    await asyncio.sleep(IDLE_SECONDS)
    used = [tree.cpu() - earlier for tree, earlier in zip((worker.tree, side.installation.server), cpu, strict=True)]
    return [
        _best("memory of an idle run of 100 tasks in the cache", [each], "MB", 2),
        _best("CPU of an idle worker", [used[0] / IDLE_SECONDS * 100], "% of a core", None),
        _best("CPU of an idle server", [used[1] / IDLE_SECONDS * 100], "% of a core", None),
    ]


def _own_memory(tree: Tree) -> float:
    """Megabytes that only the worker's process has, tasks and slots aside."""
    return float(psutil.Process(tree.pid).memory_full_info().uss) / 1e6


async def _wait(side: Ours, workflow_ids: Sequence[str]) -> None:
    """Wait until the waiting task of each run has begun to wait."""
    client = DagRunClient(side.installation.client)
    for workflow_id in workflow_ids:
        while "up_for_reschedule" not in {ti.state for ti in (await client.record(workflow_id)).task_instances}:
            await asyncio.sleep(0.1)


async def _replay(side: Ours, repeat: int) -> list[Limit]:
    """Seconds to replay the longest run, in this process, which has imported everything."""
    shape = THOUSAND
    try:
        await side.prepare(shape)
    except InputError as error:
        print(json.dumps({"limit": "replay of 1,000 tasks", "not_measured": str(error)}), flush=True)
        return []
    workflow_id = await side.start(shape)
    await side.starts(workflow_id)
    histories = await _histories(side.installation, workflow_id)
    from temporal_airflow.worker import workflow_classes

    replayer = Replayer(workflows=workflow_classes(), data_converter=DATA_CONVERTER)
    times = []
    for _ in range(repeat):
        begin = time.monotonic()
        for history in histories:
            await replayer.replay_workflow(history)
        times.append(time.monotonic() - begin)
    return [_best(f"replay of a run of {shape.tasks} tasks", times, "s", 3)]


async def _histories(installation: Installation, workflow_id: str) -> list[WorkflowHistory]:
    """Of a run: more than one if it continued as new."""
    runs = [each async for each in installation.client.list_workflows(f"WorkflowId = '{workflow_id}'")]
    handles = [installation.client.get_workflow_handle(workflow_id, run_id=each.run_id) for each in runs]
    return [await handle.fetch_history() for handle in handles]


def table(found: Sequence[Limit]) -> str:
    """In Markdown."""
    lines = ["", "| what | measured | goal | met |", "|---|---|---|---|"]
    for limit in found:
        goal = "" if limit.goal is None else f"<= {limit.goal:g} {limit.unit}"
        lines.append(f"| {limit.name} | {limit.value:.3g} {limit.unit} | {goal} | {limit.verdict} |")
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isolation", choices=("fork", "reuse"), default="fork")
    parser.add_argument("--repeat", type=int, default=3)
    arguments: Any = parser.parse_args()
    print(table(asyncio.run(measure_limits(arguments.isolation, arguments.repeat))))


if __name__ == "__main__":
    main()
