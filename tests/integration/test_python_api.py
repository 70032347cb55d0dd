"""The Python API, the plugin for a team's own worker, and the pytest fixture for users' own tests."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
import warnings
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio import activity, workflow
from temporalio.bridge.proto.activity_task import Cancel
from temporalio.client import Client
from temporalio.worker import Worker

import temporal_airflow
from run_bench import DAGS_FOLDER
from temporal_airflow import Answer, TemporalAirflowPlugin
from temporal_airflow.client import DagRunClient, now
from temporal_airflow.connection import Connection
from temporal_airflow.dag_loader import load_dag
from temporal_airflow.exceptions import DagFileError, InputError
from temporal_airflow.models import LoadDagInput
from temporal_airflow.tasks.slots import ProcessTemplate

RUN_FROM_A_PROGRAM = """
import asyncio
import temporal_airflow
from flow import passes_data

if __name__ == "__main__":
    by_path = temporal_airflow.run_dag({path!r}, dag_id="passes_data", conf={{"x": 1}}, ephemeral=True)
    print(by_path.state.value, by_path.xcom("mean"), by_path.task_state("numbers").value)
    by_dag = asyncio.run(temporal_airflow.run_dag_async(passes_data(), ephemeral=True, run_id="mine"))
    print(by_dag.state.value, by_dag.run_id, by_dag.workflow_id)
"""


def test_a_program_runs_a_dag_by_its_path_and_by_its_object(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(RUN_FROM_A_PROGRAM.format(path=str(DAGS_FOLDER / "flow.py")))
    environment = {name: value for name, value in os.environ.items() if name != "_AIRFLOW__AS_LIBRARY"}
    environment["PYTHONPATH"] = str(DAGS_FOLDER)
    outcome = subprocess.run(
        [sys.executable, str(program)], env=environment, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    printed = [line for line in outcome.stdout.splitlines() if line.startswith("success")]
    assert printed == ["success 2.0 success", "success mine dag-passes_data-mine"]


def test_a_missing_file_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(DagFileError, match="doesn't exist"):
        temporal_airflow.run_dag(tmp_path / "no.py")


async def test_run_dag_in_a_running_loop_names_its_async_twin() -> None:
    with pytest.raises(InputError, match="run_dag_async"):
        temporal_airflow.run_dag(DAGS_FOLDER / "flow.py")


async def test_a_dag_file_that_runs_itself_is_refused_instead_of_recursing(
    template: ProcessTemplate, tmp_path: Path
) -> None:
    file = DAGS_FOLDER / "runs_itself.py"
    with pytest.raises(DagFileError, match="would start itself again"):
        await load_dag(template, LoadDagInput(path=str(file), now=now()))


@activity.defn
async def greet(name: str) -> str:
    return f"hello {name}"


@workflow.defn(sandboxed=False)
class Greeting:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity(greet, name, start_to_close_timeout=timedelta(seconds=10))


async def test_a_teams_own_worker_runs_dags_beside_its_own_workflows(
    connection: Connection, template: ProcessTemplate
) -> None:
    queue = f"plugin-{uuid.uuid4().hex}"
    plugin = TemporalAirflowPlugin(dags_folder=DAGS_FOLDER)
    client = await Client.connect(connection.address, plugins=[plugin])
    async with Worker(client, task_queue=queue, workflows=[Greeting], activities=[greet]):
        greeting = await client.execute_workflow(Greeting.run, "Ada", id=queue, task_queue=queue)
        request = LoadDagInput(path=str(DAGS_FOLDER / "flow.py"), dag_id="maps", run_id=queue, now=now())
        loaded = await load_dag(template, request)
        runs = DagRunClient(client)
        result = await runs.result(await runs.start(loaded, task_queue=queue, route_queues=True))
    assert greeting == "hello Ada"
    assert result.state.value == "success"


def test_a_plugin_refuses_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="doesn't exist"):
        TemporalAirflowPlugin(dags_folder=tmp_path / "no")


def test_the_pytest_fixture_runs_dags_of_users_tests(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        f"""
def test_it_succeeds(run_airflow_dag):
    result = run_airflow_dag({str(DAGS_FOLDER / "flow.py")!r}, dag_id="passes_data")
    assert result.state == "success"
    assert result.xcom("mean") == 2.0

def test_it_fails(run_airflow_dag):
    result = run_airflow_dag({str(DAGS_FOLDER / "flow.py")!r}, dag_id="never_retries")
    assert result.task_state("final") == "failed"
"""
    )
    environment = {name: value for name, value in os.environ.items() if name != "_AIRFLOW__AS_LIBRARY"}
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(tmp_path)],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "2 passed" in outcome.stdout, outcome.stdout + outcome.stderr


async def test_a_worker_survives_a_cancellation_that_comes_too_late_where_warnings_are_errors(
    connection: Connection,
) -> None:
    """As in this suite, and in users' tests: the SDK warns inside the loop that serves the worker."""
    worker = Worker(connection.client, task_queue=f"late-{uuid.uuid4().hex}", activities=[greet])
    activity_worker = worker._activity_worker
    assert activity_worker is not None
    with pytest.raises(UserWarning, match="something else"):
        warnings.warn("something else", stacklevel=1)
    activity_worker._handle_cancel_activity_task(b"token of an activity that has just ended", Cancel())


async def test_an_ephemeral_run_keeps_large_values_in_its_result() -> None:
    result = await temporal_airflow.run_dag_async(
        DAGS_FOLDER / "data.py", dag_id="large_values", conf={"kilobytes": [100]}, ephemeral=True
    )
    assert len(result.xcom("pushes", "k100")) == 100 * 1024


async def test_a_program_has_answers_ready() -> None:
    file = DAGS_FOLDER / "command_line" / "approval.py"
    with pytest.raises(InputError, match="an answer for task 'aprove', and DAG 'approval' has: approve, count, ship"):
        await temporal_airflow.run_dag_async(file, ephemeral=True, answers={"aprove": "Approve"})
    form = Answer(params={"pieces": 3})
    with pytest.raises(InputError, match="'Aprove' is not an option"):
        await temporal_airflow.run_dag_async(file, ephemeral=True, answers={"count": form, "approve": "Aprove"})
    approval = Answer(["Approve"], user="ann")
    result = await temporal_airflow.run_dag_async(file, ephemeral=True, answers={"count": form, "approve": approval})
    assert result.xcom("count")["params_input"] == {"pieces": 3}
    assert result.xcom("approve")["responded_by_user"] == {"id": "7", "name": "ann"}
    assert result.task_state("ship") == "success"
