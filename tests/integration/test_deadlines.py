"""Deadlines of whole runs: callbacks in processes of their own and in the trigger host."""

from __future__ import annotations

import os
from io import StringIO

import pytest
from cryptography.fernet import Fernet
from rich.console import Console
from temporalio.client import WorkflowHistory

from run_bench import DAGS_FOLDER, RunBench
from temporal_airflow.cli.run_view import print_summary, run_json
from temporal_airflow.exceptions import InputError, UnsupportedFeatureError
from temporal_airflow.tasks.bundles import bundle_environment
from temporal_airflow.tasks.logs import log_folder
from temporal_airflow.tasks.slots import ProcessTemplate
from temporal_airflow.workflows.details import state_table
from waiting import until

FILE = "deadlines.py"


def failures(history: WorkflowHistory) -> list[str]:
    """What activities of a run failed with."""
    return sorted(
        event.activity_task_failed_event_attributes.failure.message
        for event in history.events
        if event.HasField("activity_task_failed_event_attributes")
    )


async def test_each_missed_deadline_calls_back_while_the_run_goes_on(bench: RunBench) -> None:
    key = {"AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode()}
    async with ProcessTemplate.start({**os.environ, **bundle_environment(DAGS_FOLDER), **key}) as bench.template:
        run = await bench.run(FILE, "is_late")
    assert run.state == "success"
    run_id = run.result.snapshot.run.run_id
    assert sorted(bench.notes("missed")) == [
        f"awaited s3cr3t-argument s3cr3t-passw0rd {run_id} running datetime",
        f"called s3cr3t-argument s3cr3t-passw0rd {run_id} running DateTime",
        f"from the DAG file {run_id} running DateTime",
        f"notifier called {run_id} running DateTime",
    ]
    assert [deadline.name for deadline in run.result.snapshot.deadlines if deadline.missed].count("soon") == 1
    assert len(run.result.snapshot.deadlines) == 4  # the one that was kept is gone
    assert [deadline["name"] for deadline in run_json(run.result.snapshot)["deadlines"]].count("soon") == 1
    table = state_table(run.result.snapshot, len(run.result.snapshot.task_instances))
    assert table.splitlines()[0].endswith("**success**, 4 deadline(s) missed")
    shown = StringIO()
    print_summary(Console(file=shown), run.result.snapshot)
    assert shown.getvalue().count("Missed deadline soon: 20") == 1
    raw = b"".join(event.SerializeToString() for event in (await bench.history(run.workflow_id)).events)
    assert b"deadline_time" in raw  # so its values would be seen
    assert b"s3cr3t" not in raw
    logs = list((log_folder() / "executor_callbacks" / "is_late" / run_id).iterdir())
    assert sum("Callback executed successfully" in log.read_text() for log in logs) == 3


async def test_a_deadline_outlives_its_worker_and_is_missed_once(bench: RunBench) -> None:
    async with bench.worker():
        workflow_id = await bench.start(FILE, "is_late")
        await until("the first deadline was missed", lambda: bench.notes("missed"))
    async with bench.worker():
        run = await bench.end(workflow_id)
    assert run.state == "success"
    assert sum(deadline.missed for deadline in run.result.snapshot.deadlines) == 4
    callbacks = [
        event.activity_task_scheduled_event_attributes.input.payloads[0].data
        for event in (await bench.history(workflow_id)).events
        if "deadline" in event.activity_task_scheduled_event_attributes.activity_type.name
    ]
    assert len(callbacks) == len(set(callbacks)) == 4


async def test_a_callback_that_fails_changes_nothing_else(bench: RunBench) -> None:
    run = await bench.run(FILE, "calls_in_vain")
    assert run.state == "success"
    assert failures(await bench.history(run.workflow_id)) == [
        "An error occurred during execution of the callable: ValueError: a callback that fails when awaited",
        "Failed to import the callable on the triggerer: ModuleNotFoundError: No module named 'no_such_module'",
        "The process of the callback ended with exit code 7",
        "ValueError: a callback that fails",
    ]


async def test_an_average_is_taken_of_earlier_runs(bench: RunBench) -> None:
    async with bench.worker():
        first = await bench.end(await bench.start(FILE, "is_measured"))
        second = await bench.load(FILE, "is_measured")
        workflow_id = await bench.client.start(second, task_queue=bench.task_queue, route_queues=False)
        bench.started.append(workflow_id)
        await bench.end(workflow_id)
    [event] = (await bench.history(workflow_id)).events[:1]
    text = event.workflow_execution_started_event_attributes.input.payloads[0].data.decode()
    assert first.result.snapshot.deadlines == ()
    assert '"earlier_runs":[{"logical_date"' in text


@pytest.mark.parametrize(
    ("dag_id", "error", "words"),
    [
        ("has_own_reference", UnsupportedFeatureError, "a reference point of one's own"),
        ("has_own_executor", UnsupportedFeatureError, "an executor of their own"),
        ("is_patient", InputError, "the variable 'patience', which isn't there: set AIRFLOW_VAR_PATIENCE"),
    ],
)
async def test_what_cannot_be_kept_is_refused(bench: RunBench, dag_id: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        await bench.load(FILE, dag_id)
