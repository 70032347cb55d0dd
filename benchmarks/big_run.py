"""One run of 10,000 mapped tasks, one of which takes ten minutes: whether the others wait, and how long histories get.

    uv run python -m benchmarks.big_run [--width 10000] [--long 600] [--isolation fork|reuse]

Two lines of JSON, then a table in Markdown. Ours only: a hand-written workflow can't have so many activities at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

from benchmarks.installation import open_installation, our_worker
from benchmarks.limits import Limit, table
from benchmarks.measured import Measured, circumstances
from benchmarks.shapes import WIDE_DAG, Isolation, Shape
from benchmarks.sides import Ours, measure
from temporal_airflow.client import DagRunClient
from temporal_airflow.models import DagExecutionResult

MOST_EVENTS = 30_000
"""Of each history."""


class OneRun(Ours):
    """Remembers the run that was started.

    Attributes:
        conf: of the run.
        workflow_id: of the run, once there is one.
    """

    conf: dict[str, Any]
    workflow_id: str

    async def start(self, shape: Shape) -> str:
        """Trigger the run."""
        loaded = self._loaded[shape.dag_id]
        run = loaded.run.model_copy(update={"conf": self.conf})
        self._loaded[shape.dag_id] = loaded.model_copy(update={"run": run})
        self.workflow_id = await super().start(shape)
        return self.workflow_id


async def run_once(width: int, long: float, isolation: Isolation) -> tuple[Measured, DagExecutionResult]:
    """Run it."""
    shape = Shape(f"map-{width}", WIDE_DAG, width + 1, ("Map", width))
    async with (
        open_installation() as installation,
        our_worker(isolation, AIRFLOW__CORE__MAX_MAP_LENGTH=str(width)) as worker,
    ):
        side = OneRun(installation, worker, isolation)
        side.conf = {"width": width, "long": long}
        measured = await measure(side, shape, 0)
        return measured, await DagRunClient(installation.client).result(side.workflow_id)


def limits(measured: Measured, result: DagExecutionResult, long: float) -> list[Limit]:
    """What must hold."""
    others = [ti for ti in result.snapshot.task_instances if ti.task_id == "nothing" and ti.map_index]
    [slow] = [ti for ti in result.snapshot.task_instances if ti.task_id == "nothing" and not ti.map_index]
    last = max(ti.end_date for ti in others if ti.end_date)
    assert slow.start_date is not None
    return [
        Limit("the others have ended, since the long one began", (last - slow.start_date).total_seconds(), "s", None),
        Limit("the run has ended", measured.wall, "s", None),
        Limit("CPU a task", sum(measured.cpu.values()) * 1000 / measured.tasks, "ms", None),
        Limit("tasks that did not succeed", sum(ti.state != "success" for ti in others), "", 0),
        Limit("the longest history", measured.longest, "events", MOST_EVENTS),
        Limit("all histories together", measured.size / 1e6, "MB", None),
        Limit("seconds that the long one took", long, "s", None),
    ]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=10_000)
    parser.add_argument("--long", type=float, default=600.0, help="seconds")
    parser.add_argument("--isolation", choices=("fork", "reuse"), default="fork")
    arguments: Any = parser.parse_args()
    print(json.dumps({**circumstances(), "isolation": arguments.isolation}), flush=True)
    measured, result = asyncio.run(run_once(arguments.width, arguments.long, arguments.isolation))
    print(measured.as_line(), flush=True)
    print(table(limits(measured, result, arguments.long)))


if __name__ == "__main__":
    main()
