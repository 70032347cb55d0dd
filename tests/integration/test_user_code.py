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


HOOK = """
import os

def task_instance_mutation_hook(task_instance, dag_run=None):
    ti = task_instance
    with open(os.environ["USER_CODE_NOTES"], "a") as notes:
        notes.write(f"hook {os.getpid()}\\n")
    if dag_run is not None:
        ti.queue = dag_run.conf["lane"]
    ti.priority_weight = 100 + ti.map_index
    ti.max_tries = 5
    if ti.task_id == dag_run.conf["pooled"] if dag_run else False:
        ti.pool = "small"
"""


async def test_a_policy_may_change_task_instances_but_is_asked_in_parse_processes(
    bench: RunBench, tmp_path: Path
) -> None:
    (tmp_path / "airflow_local_settings.py").write_text(HOOK)
    notes = tmp_path / "user_code"
    environment = {
        **os.environ,
        **bundle_environment(DAGS_FOLDER),
        "PYTHONPATH": str(tmp_path),
        "USER_CODE_NOTES": str(notes),
    }
    async with ProcessTemplate.start(environment) as template:
        bench.template = template
        with pytest.raises(UnsupportedFeatureError, match="task_instance_mutation_hook changes pool of task 'numbers'"):
            await bench.load("mutated.py", conf={"lane": "fast", "pooled": "numbers"})
        run = await bench.run("mutated.py", conf={"lane": "fast", "pooled": "none"})
    assert run.state == "success"
    assert {ti.max_tries for ti in run.result.snapshot.task_instances} == {5}
    history = b"".join([event.SerializeToString() for event in (await bench.history(run.workflow_id)).events])
    assert history.count(b'"queue":"fast"') >= len(run.states)
    starts = {label: run.task(label).start_date for label in run.states}
    in_order = sorted(starts, key=lambda label: starts[label])  # type: ignore[arg-type,return-value]
    assert in_order == ["known[1]", "known[0]", "numbers", "unknown[2]", "unknown[1]", "unknown[0]"]
    pids = {int(line.split()[1]) for line in notes.read_text().splitlines()}
    assert os.getpid() not in pids


LISTENS = """
import os
import time
from concurrent.futures import ProcessPoolExecutor

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin


def leave(line):
    with open(os.environ["USER_CODE_NOTES"], "a") as notes:
        notes.write(line + os.linesep)


def leave_later(line):
    time.sleep(0.2)
    leave(line)


def describe(dag_run, msg):
    tasks = ",".join(sorted(f"{ti.task_id}={ti.state}" for ti in dag_run.get_task_instances()))
    assert type(dag_run).__name__ == "DagRun" and dag_run.dag.has_task("bad") and dag_run.dag_versions
    return f"{dag_run.dag_id} {dag_run.run_id} {dag_run.state} {msg} {dag_run.run_type} {os.getpid()} {tasks}"


class Listens:
    pool = None

    @hookimpl
    def on_dag_run_running(self, dag_run, msg):
        leave(describe(dag_run, msg).rpartition(" ")[0] + " any")
        raise ValueError("a listener that fails")

    @hookimpl
    def on_dag_run_failed(self, dag_run, msg):
        self.pool = ProcessPoolExecutor(1)
        self.pool.submit(leave_later, describe(dag_run, msg))

    def leave_task(self, event, ti):
        with open(os.environ["USER_CODE_NOTES"] + ".tasks", "a") as notes:
            notes.write(f"{event} {ti.task_id} {ti.try_number} {type(ti).__name__}" + os.linesep)

    @hookimpl
    def on_task_instance_running(self, previous_state, task_instance):
        self.leave_task("running", task_instance)

    @hookimpl
    def on_task_instance_success(self, previous_state, task_instance):
        self.leave_task("success", task_instance)

    @hookimpl
    def on_task_instance_failed(self, previous_state, task_instance, error):
        self.leave_task(f"failed by {type(error).__name__}", task_instance)

    @hookimpl
    def on_task_instance_skipped(self, previous_state, task_instance):
        self.leave_task("skipped", task_instance)

    @hookimpl
    def before_stopping(self, component):
        if self.pool:
            self.pool.shutdown()


class Plugin(AirflowPlugin):
    name = "listens"
    listeners = [Listens()]
"""


async def test_listeners_of_dag_runs_are_told_one_state_after_the_other(bench: RunBench, tmp_path: Path) -> None:
    plugins, notes = tmp_path / "plugins", tmp_path / "user_code"
    plugins.mkdir()
    (plugins / "listens.py").write_text(LISTENS)
    environment = {
        **os.environ,
        **bundle_environment(DAGS_FOLDER),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins),
        "USER_CODE_NOTES": str(notes),
    }
    async with ProcessTemplate.start(environment) as template:
        bench.template = template
        loaded = await bench.load("flow.py", "calls_back")
        assert loaded.listened_states == ("running", "failed")
        run = await bench.run("flow.py", "calls_back")
    run_id = run.result.snapshot.run.run_id
    running, failed = notes.read_text().splitlines()
    assert running.split()[:5] == ["calls_back", run_id, "running", "started", "manual"]
    *said, pid, tasks = failed.split()
    assert said == ["calls_back", run_id, "failed", "task_failure", "manual"]
    assert tasks == "bad=failed,good=success,skipped=skipped"
    assert pid != str(os.getpid())
    assert sorted(Path(f"{notes}.tasks").read_text().splitlines()) == [
        "failed by ValueError bad 1 RuntimeTaskInstance",
        "failed by ValueError bad 2 RuntimeTaskInstance",
        "running bad 1 RuntimeTaskInstance",
        "running bad 2 RuntimeTaskInstance",
        "running good 1 RuntimeTaskInstance",
        "running skipped 1 RuntimeTaskInstance",
        "skipped skipped 1 RuntimeTaskInstance",
        "success good 1 RuntimeTaskInstance",
    ]
    history = await bench.history(run.workflow_id)
    [failure] = [e for e in history.events if e.HasField("activity_task_failed_event_attributes")]
    assert failure.activity_task_failed_event_attributes.failure.message == "ValueError: a listener that fails"
