"""Questions about open runs: those of tasks wait for a run that nobody serves at the moment."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio.client import Client, Interceptor, OutboundInterceptor, QueryWorkflowInput
from temporalio.service import RPCError

import waiting
from run_bench import RunBench
from temporal_airflow.client import now
from temporal_airflow.models import TaskStateQuestion, XComQuestion, XComRequest
from temporal_airflow.run_reader import RunReader


class FailedQueries(Interceptor):
    """Waits for the answer to a query for a second instead of half a minute; counts those that don't come."""

    def __init__(self) -> None:
        self.count = 0

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002  # the SDK's name
        failed = self

        class Counting(OutboundInterceptor):
            async def query_workflow(self, input: QueryWorkflowInput) -> Any:  # noqa: A002
                input.rpc_timeout = timedelta(seconds=1)
                try:
                    return await super().query_workflow(input)
                except RPCError:
                    failed.count += 1
                    raise

        return Counting(next)


async def test_questions_of_tasks_wait_for_a_worker(bench: RunBench) -> None:
    failed = FailedQueries()
    client = Client(**bench.temporal.config() | {"interceptors": [failed]})
    workflow_id = await bench.start("many.py", "echoes", conf={"number": 1})
    reader = RunReader(client, patient=True)
    state = TaskStateQuestion(task_id="number", map_index=-1, key="any", now=now())
    xcom = XComQuestion(request=XComRequest(task_id="number", key="any"))
    asking = asyncio.gather(
        reader.task_state(workflow_id, state), reader.page(workflow_id, xcom), reader.record(workflow_id)
    )
    await waiting.until("nobody has answered any of the three", lambda: failed.count >= 3 or asking.done())
    async with bench.worker():
        _, page, record = await asking
        await bench.end(workflow_id)
    assert page.records == ()
    assert record.run.dag_id == "echoes"
