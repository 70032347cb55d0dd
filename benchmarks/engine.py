"""What the decisions of a whole run cost, by its shape and size: the engine alone, no server, no worker, no task.

    uv run python benchmarks/engine.py [--sizes 10 100 1000 5000 10000] [--shapes chain fan layered mapped] [--ends 1]

A run is played from its opening to its end; ``--ends`` tasks end between two steps (1 is the worst case: a step for
each task). A line of JSON for each run, then a table. Times are CPU time; ``unit_ms`` is what a fixed piece of Python
took at the same moment on the same machine, so that a busy machine can be told from a slow engine.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import tempfile
import time
import tracemalloc
import zlib
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

os.environ |= {
    "AIRFLOW_HOME": tempfile.mkdtemp(prefix="temporal-airflow-benchmark-"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "_AIRFLOW__AS_LIBRARY": "1",
}

START = datetime(2026, 5, 1, tzinfo=UTC)
WIDTH = 100
"""Tasks of one layer."""

RUNS_IN_MEMORY = 10


def chain(size: int) -> Any:
    """One after the other."""
    from airflow.sdk import task

    with _dag("chain") as dag:
        tasks = [task(task_id=f"t{number}")(_nothing)() for number in range(size)]
        for before, after in pairwise(tasks):
            before >> after
    return dag


def fan(size: int) -> Any:
    """One, then all but two at once, then one."""
    from airflow.sdk import task

    with _dag("fan") as dag:
        first, last = (task(task_id=name)(_nothing)() for name in ("first", "last"))
        first >> [task(task_id=f"t{number}")(_nothing)() for number in range(size - 2)] >> last
    return dag


def layered(size: int) -> Any:
    """Layers of a hundred, each task after three of the layer before."""
    from airflow.sdk import task

    with _dag("layered") as dag:
        tasks = [task(task_id=f"t{number}")(_nothing)() for number in range(size)]
        for number in range(WIDTH, size):
            before = number - number % WIDTH - WIDTH
            [tasks[before + (number + shift) % WIDTH] for shift in (0, 1, 7)] >> tasks[number]
    return dag


def mapped(_: int) -> Any:
    """One task, one mapped over its result, and one after it."""
    from airflow.sdk import task

    with _dag("mapped") as dag:
        first = task(task_id="first")(_nothing)()
        task(task_id="t")(_nothing).expand(x=first) >> task(task_id="last")(_nothing)()
    return dag


def group(_: int) -> Any:
    """One task, a group of two mapped over its result, and one after it."""
    from airflow.sdk import task, task_group

    with _dag("group") as dag:

        @task_group
        def pair(x: Any) -> None:
            task(task_id="one")(_nothing)(x) >> task(task_id="two")(_nothing)()

        pair.expand(x=task(task_id="first")(_nothing)()) >> task(task_id="last")(_nothing)()
    return dag


SHAPES: dict[str, Callable[[int], Any]] = {
    "chain": chain,
    "fan": fan,
    "layered": layered,
    "mapped": mapped,
    "group": group,
}
BY_DEFAULT = ["chain", "fan", "layered", "mapped"]


def _dag(name: str) -> Any:
    from airflow.sdk import DAG

    return DAG(name, schedule=None, start_date=START, max_active_tasks=100_000)


def _nothing(x: Any = None) -> Any:
    return x


def unit() -> float:
    """Seconds that a fixed piece of Python takes now."""
    begin = time.process_time()
    total = 0
    for number in range(1_000_000):
        total += number
    return time.process_time() - begin


def measure(shape: str, size: int, ends: int) -> dict[str, Any]:
    """Play a run to its end."""
    from temporal_airflow.engine.dag_run_engine import DagRunEngine

    execution = _execution(SHAPES[shape](size))
    expanded = size - 2 if shape == "mapped" else (size - 2) // 2
    before = unit()
    gc.collect()
    begin = time.process_time()
    engine = DagRunEngine.open(execution, START)
    opened = time.process_time() - begin
    steps = _play(engine, ends, expanded)
    assert engine.record.state == "success", engine.record.state
    count = len(engine.record.task_instances)
    engine.dispose()
    return {
        "shape": shape,
        "tasks": count,
        "steps": len(steps),
        "ms_per_task": round((opened + sum(steps)) * 1000 / count, 2),
        "open_ms": round(opened * 1000, 1),
        "longest_step_ms": round(max(steps) * 1000, 1),
        "last_step_ms": round(steps[-1] * 1000, 1),
        "unit_ms": round((before + unit()) * 500, 1),
    }


def _play(engine: Any, ends: int, expanded: int) -> list[float]:
    """The CPU seconds of each step until the run has ended."""
    from airflow.utils.state import TaskInstanceState

    from temporal_airflow.engine.events import StartTask, StepAgain, TaskEnded
    from temporal_airflow.models import TaskExecutionResult

    now, steps, out, events = START, [], deque[Any](), list[Any]()
    while True:
        now += timedelta(seconds=1)
        begin = time.process_time()
        commands = engine.step(now, events)
        steps.append(time.process_time() - begin)
        out.extend(command for command in commands if isinstance(command, StartTask))
        events = []
        if commands[-1:] == [StepAgain()]:
            continue
        if engine.finished:
            return steps
        for ended in [out.popleft() for _ in range(min(ends, len(out)))]:
            length = expanded if ended.key.task_id == "first" else None
            result = TaskExecutionResult(
                state=TaskInstanceState.SUCCESS, start_date=now, end_date=now, hostname="here", mapped_length=length
            )
            events.append(TaskEnded(ended.key, ended.attempt.try_number, result))


def memory(size: int) -> float:
    """Megabytes that an open, idle run takes; its first task is running."""
    from temporal_airflow.engine.dag_run_engine import DagRunEngine

    execution = _execution(chain(size))

    def opened() -> Any:
        engine = DagRunEngine.open(execution, START)
        engine.step(START, [])
        return engine

    kept = [opened()]
    gc.collect()
    tracemalloc.start()
    kept += [opened() for _ in range(RUNS_IN_MEMORY)]
    gc.collect()
    traced, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    for engine in kept:
        engine.dispose()
    return traced / RUNS_IN_MEMORY / 1e6


def _execution(dag: Any) -> Any:
    from airflow.serialization.serialized_objects import DagSerialization
    from airflow.utils.types import DagRunType

    from temporal_airflow.models import (
        ENGINE_EPOCH,
        BundleReference,
        DagDefinition,
        DagExecutionInput,
        DagRunIdentity,
        RunLimits,
    )
    from temporal_airflow.tasks.slim_dag import reduce_to_structure

    serialized = DagSerialization.to_dict(dag)
    slim = reduce_to_structure(serialized, DagSerialization.from_dict(serialized))
    return DagExecutionInput(
        engine_epoch=ENGINE_EPOCH,
        airflow_version="3.3.2",
        definition=DagDefinition(
            dag_id=dag.dag_id,
            bundle=BundleReference(name="dags-folder", relative_fileloc="dag.py"),
            compressed_dag=zlib.compress(json.dumps(slim).encode()),
            task_count=len(dag.tasks),
        ),
        run=DagRunIdentity(
            dag_id=dag.dag_id, run_id="run", run_type=DagRunType.MANUAL, logical_date=START, run_after=START
        ),
        task_queue="queue",
        limits=RunLimits(),
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1000, 5000, 10000])
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=BY_DEFAULT)
    parser.add_argument("--ends", type=int, default=1)
    arguments = parser.parse_args()
    from temporal_airflow.engine.airflow_library import import_scheduling_code

    import_scheduling_code()
    for shape in SHAPES:  # what only the first run of a process pays
        measure(shape, 10, 1)
    results = []
    for shape in arguments.shapes:
        for size in arguments.sizes:
            results.append(measure(shape, size, arguments.ends))
            print(json.dumps(results[-1]), flush=True)
    print(json.dumps({"memory_of_an_idle_run_of_100_mb": round(memory(100), 2)}))
    print()
    print(" ".join(f"{name:>15}" for name in results[0]))
    for result in results:
        print(" ".join(f"{value!s:>15}" for value in result.values()))


if __name__ == "__main__":
    main()
