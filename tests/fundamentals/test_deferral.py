"""Tasks that wait without a process: deferred to triggers, resumed with their events."""

from __future__ import annotations

import json
import os
from typing import Any

from airflow.utils.state import TaskInstanceState
from cryptography.fernet import Fernet
from temporalio.client import WorkflowHistory

from run_bench import DAGS_FOLDER, RunBench
from temporal_airflow.models import DagExecutionInput
from temporal_airflow.tasks.bundles import bundle_environment
from temporal_airflow.tasks.slots import ProcessTemplate
from waiting import until

WAITS = "waits.py"


async def test_a_task_is_deferred_again_and_again_and_keeps_its_xcoms(bench: RunBench) -> None:
    run = await bench.run(WAITS, "waits_twice")
    assert (run.state, run.tries["waits"]) == ("success", 1)
    assert run.xcom("waits") == [1, 2]
    assert [run.xcom("waits", f"started-{step}") for step in (1, 2, 3)] == [1, 1, 1]


async def test_a_task_may_start_in_its_trigger_whose_arguments_travel_encrypted(bench: RunBench) -> None:
    key = {"AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode()}
    async with ProcessTemplate.start({**os.environ, **bundle_environment(DAGS_FOLDER), **key}) as template:
        bench.template = template
        run = await bench.run(WAITS, "starts_waiting")
    assert (run.state, run.tries) == ("success", {"starts": 2, "then": 1, "mapped[0]": 1, "mapped[1]": 1})
    assert run.xcom("starts") == [len("PLANTED-IN-NEXT"), run.result.snapshot.run.run_id]  # rendered in the trigger
    history = await bench.history(run.workflow_id)
    assert b"PLANTED" not in b"".join(event.SerializeToString() for event in history.events)
    [definition] = [DagExecutionInput.model_validate_json(payload.data) for payload in _input(history)]
    assert "PLANTED" not in json.dumps(definition.definition.serialized_dag())


async def test_a_failed_trigger_and_a_timeout_fail_the_task_which_may_retry(bench: RunBench) -> None:
    run = await bench.run(WAITS, "waits_in_vain")
    assert run.states == {"fails": "failed", "times_out": "failed"}
    assert run.tries == {"fails": 2, "times_out": 1}
    assert "TaskDeferralTimeout" in (run.task("times_out").error or "")


async def test_a_trigger_may_end_its_task(bench: RunBench) -> None:
    run = await bench.run(WAITS, "ends_in_trigger")
    assert run.states == {"succeeds": "success", "then": "success", "gives_up": "failed", "skips": "skipped"}


async def test_a_deferrable_sensor_waits_in_a_trigger(bench: RunBench) -> None:
    run = await bench.run(WAITS, "waits_in_a_sensor")
    assert run.state == "success"


async def test_a_deferred_task_takes_no_slot(bench: RunBench) -> None:
    async with bench.worker(concurrency=1):
        workflow_id = await bench.start(WAITS, "many_wait")
        await until("all are deferred at once", lambda: _deferred(bench, workflow_id, 20))
        (bench.scratch / "go").touch()
        run = await bench.end(workflow_id)
    assert run.state == "success"


async def test_a_deferred_task_outlives_its_worker(bench: RunBench) -> None:
    async with bench.worker():
        workflow_id = await bench.start(WAITS, "waits_for_file")
        await until("the task is deferred", lambda: _deferred(bench, workflow_id, 1))
    (bench.scratch / "go").touch()
    async with bench.worker():
        run = await bench.end(workflow_id)
    assert (run.state, run.xcom("waits")) == ("success", "there")
    assert run.task("waits").lost_attempts == ()


async def test_a_cancelled_run_does_not_wait_for_its_triggers(bench: RunBench) -> None:
    async with bench.worker():
        workflow_id = await bench.start(WAITS, "waits_for_file")
        await until("the task is deferred", lambda: _deferred(bench, workflow_id, 1))
        await bench.client.cancel(workflow_id)
        run = await bench.end(workflow_id)
    assert run.states == {"waits": "failed", "then": "skipped"}


async def _deferred(bench: RunBench, workflow_id: str, number: int) -> bool:
    record = await bench.client.record(workflow_id)
    return [ti.state for ti in record.task_instances].count(TaskInstanceState.DEFERRED) == number


def _input(history: WorkflowHistory) -> Any:
    return history.events[0].workflow_execution_started_event_attributes.input.payloads


async def test_every_wait_gives_a_sign_of_life(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start("outlasting.py", "waits_twice", limits={"heartbeat_timeout": 30.0})

        async def alive() -> bool:
            description = await bench.temporal.get_workflow_handle(run).describe()
            pending = description.raw_description.pending_activities
            waiting = [each for each in pending if "deferred" in each.activity_id]
            return len(waiting) == 2 and all(each.HasField("last_heartbeat_time") for each in waiting)

        await until("both waits have given a sign of life", alive, patience=25)
        (bench.scratch / "go").touch()
        assert (await bench.end(run)).state == "success"
