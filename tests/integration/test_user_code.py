"""Users' code runs in task and parse processes only: never in the worker's process, never in a workflow."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from run_bench import DAGS_FOLDER, RunBench
from temporal_airflow.exceptions import UnsupportedFeatureError
from temporal_airflow.tasks.bundles import bundle_environment
from temporal_airflow.tasks.slots import ProcessTemplate

PLUGINS = Path(__file__).parent.parent / "plugins"


async def test_weight_rules_timetables_and_listeners_never_run_in_the_worker(bench: RunBench, tmp_path: Path) -> None:
    notes = tmp_path / "user_code"
    environment = {
        **os.environ,
        **bundle_environment(DAGS_FOLDER),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PLUGINS),
        "USER_CODE_NOTES": str(notes),
    }
    async with ProcessTemplate.start(environment) as template:
        bench.template = template
        run = await bench.run("user_code.py", "asks_the_user")
    assert run.state == "success"
    ran = [line.split() for line in notes.read_text().splitlines()]
    assert {who for who, _ in ran} == {"dag_file", "weight_rule", "timetable", "listener"}
    assert os.getpid() not in {int(pid) for _, pid in ran}
    starts = {ti.task_id: ti.start_date for ti in run.result.snapshot.task_instances}
    assert sorted(starts, key=lambda task_id: starts[task_id]) == ["weighs_30", "weighs_20", "weighs_1"]  # type: ignore[arg-type,return-value]
    interval = run.result.snapshot.run
    assert interval.data_interval_start is not None
    assert interval.data_interval_end is not None
    assert interval.data_interval_end - interval.data_interval_start == timedelta(days=29)


async def test_a_policy_that_would_change_task_instances_is_refused(bench: RunBench, tmp_path: Path) -> None:
    hook = "def task_instance_mutation_hook(task_instance, dag_run=None): task_instance.queue = 'x'"
    (tmp_path / "airflow_local_settings.py").write_text(f"{hook}\n")
    environment = {**os.environ, **bundle_environment(DAGS_FOLDER), "PYTHONPATH": str(tmp_path)}
    async with ProcessTemplate.start(environment) as template:
        bench.template = template
        with pytest.raises(UnsupportedFeatureError, match="task_instance_mutation_hook"):
            await bench.load("flow.py", "passes_data")


async def test_a_listener_of_dag_runs_is_refused(bench: RunBench, tmp_path: Path) -> None:
    (tmp_path / "listens.py").write_text(
        "from airflow.listeners import hookimpl\n"
        "from airflow.plugins_manager import AirflowPlugin\n"
        "class Listens:\n"
        "    @hookimpl\n"
        "    def on_dag_run_success(self, dag_run, msg): print(msg)\n"
        "class Plugin(AirflowPlugin):\n"
        "    name = 'listens'\n"
        "    listeners = [Listens()]\n"
    )
    environment = {**os.environ, **bundle_environment(DAGS_FOLDER), "AIRFLOW__CORE__PLUGINS_FOLDER": str(tmp_path)}
    async with ProcessTemplate.start(environment) as template:
        bench.template = template
        with pytest.raises(UnsupportedFeatureError, match="listeners of DAG runs"):
            await bench.load("flow.py", "passes_data")
