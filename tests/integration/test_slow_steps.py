"""Steps of a run that take long because the machine has no core to spare."""

from __future__ import annotations

import asyncio
import time

import pytest
from temporalio.client import Client
from temporalio.worker import Worker

from run_bench import DAGS_FOLDER, RunBench
from temporal_airflow import TemporalAirflowPlugin
from temporal_airflow.connection import Connection
from temporal_airflow.models import DagRunRecord
from temporal_airflow.workflows import dag_run
from temporal_airflow.workflows.details import state_table
from waiting import PATIENCE

TOO_LONG_FOR_THE_SDK = 3.0


@pytest.fixture
def slow_steps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the next steps take; those that have been taken are no longer there."""
    waits = [TOO_LONG_FOR_THE_SDK]

    def slowly(record: DagRunRecord, size: int) -> str:
        time.sleep(waits.pop() if waits else 0)
        return state_table(record, size)

    monkeypatch.setattr(dag_run, "state_table", slowly)
    return waits


async def test_a_slow_step_is_no_failure(bench: RunBench, slow_steps: list[float]) -> None:
    ended = await bench.run("flow.py", "branches")
    assert (ended.state, slow_steps) == ("success", [])
    assert await bench.failed_workflow_tasks() == []


async def test_a_slow_step_is_no_failure_in_a_teams_own_worker(
    bench: RunBench, connection: Connection, slow_steps: list[float]
) -> None:
    client = await Client.connect(connection.address, plugins=[TemporalAirflowPlugin(dags_folder=DAGS_FOLDER)])
    async with Worker(client, task_queue=bench.task_queue), asyncio.timeout(PATIENCE):
        ended = await bench.run_here("flow.py", "branches")
    assert (ended.state, slow_steps) == ("success", [])
    assert await bench.failed_workflow_tasks() == []
