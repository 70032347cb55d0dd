"""Steps of a run that take long because the machine has no core to spare."""

from __future__ import annotations

import time

import pytest

from run_bench import RunBench
from temporal_airflow.models import DagRunRecord
from temporal_airflow.workflows import dag_run
from temporal_airflow.workflows.details import state_table

TOO_LONG_FOR_THE_SDK = 3.0


async def test_a_slow_step_is_no_failure(bench: RunBench, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = [TOO_LONG_FOR_THE_SDK]

    def slowly(record: DagRunRecord) -> str:
        time.sleep(waits.pop() if waits else 0)
        return state_table(record)

    monkeypatch.setattr(dag_run, "state_table", slowly)
    ended = await bench.run("flow.py", "branches")
    assert (ended.state, waits) == ("success", [])
    assert await bench.failed_workflow_tasks() == []
