"""Runs that are watched: the worker that answers for them has their steps to take, and those of other runs."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from temporalio.client import Client, Interceptor, OutboundInterceptor, QueryWorkflowInput

from run_bench import RunBench
from temporal_airflow.client import DagRunClient
from temporal_airflow.models import DagRunRecord
from temporal_airflow.run_finding import RunFinder
from temporal_airflow.run_reader import RunReader
from temporal_airflow.run_watching import RunWatcher

STILL = 10
"""Looks without a question after which a run is taken for one whose task waits."""

MOST_LOOKS = 500


class CountedQueries(Interceptor):
    """Counts what runs are asked."""

    def __init__(self) -> None:
        self.count = 0

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002  # the SDK's name
        counted = self

        class Counting(OutboundInterceptor):
            async def query_workflow(self, input: QueryWorkflowInput) -> Any:  # noqa: A002
                counted.count += 1
                return await super().query_workflow(input)

        return Counting(next)


async def test_a_run_is_asked_again_only_once_something_has_happened_to_it(bench: RunBench) -> None:
    counted = CountedQueries()
    client = DagRunClient(Client(**bench.temporal.config() | {"interceptors": [counted]}))
    asked: list[int] = []
    stands_still = False
    async with bench.worker():
        run = await bench.start("in_series.py", "maps_in_series", conf={"width": 1, "waits": [0]})
        async for last in client.watch(run, interval=0.01):  # noqa: B007  # the last one is of interest
            asked.append(counted.count)
            stands_still = stands_still or (len(asked) > STILL and asked[-STILL] == asked[-1])
            if stands_still or len(asked) == MOST_LOOKS:
                (bench.scratch / "go").touch()
        ended = await bench.end(run)
    assert stands_still, f"{asked[-1]} questions in {len(asked)} looks"
    assert last == ended.result.snapshot


class LargeRuns(RunReader):
    """Sees each task instance a thousand times."""

    async def record(self, workflow_id: str) -> DagRunRecord:
        record = await super().record(workflow_id)
        return record.model_copy(update={"task_instances": record.task_instances * 1000})


async def test_a_large_run_is_looked_at_less_often(bench: RunBench) -> None:
    watcher = RunWatcher(bench.temporal, LargeRuns(bench.temporal), RunFinder(bench.temporal))
    async with bench.worker():
        run = await bench.start("in_series.py", "maps_in_series", conf={"width": 1, "waits": [0]})
        ending = asyncio.create_task(bench.client.result(run))
        begun, looks = time.monotonic(), 0
        async for record in watcher.watch(run, 0.01, ending):
            assert len(record.task_instances) >= 2000
            looks += 1
            if looks == 4:
                break
        assert time.monotonic() - begun > 3 * 0.4
        (bench.scratch / "go").touch()
        await ending
