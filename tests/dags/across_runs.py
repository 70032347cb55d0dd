"""A DAG that is watched, and one that watches it and reaches into its runs."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.sensors.external_task import ExternalTaskMarker, ExternalTaskSensor
from airflow.sdk import DAG, TaskGroup, task
from airflow.sdk.execution_time.xcom import XCom

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)

with DAG("watched", schedule=None, start_date=START, catchup=False):

    @task
    def gives(**context):
        return context["run_id"]

    @task
    def given(index):
        return index * 10

    @task
    def fails():
        raise RuntimeError("as it should")

    with TaskGroup("group"):
        EmptyOperator(task_id="one")
        given.expand(index=[1, 2])
    ExternalTaskMarker(task_id="marker", external_dag_id="watches", external_task_id="by_task")
    gives() >> fails()

with DAG("is_open", schedule=None, start_date=START, catchup=False):

    @task
    def waits(**context):
        while not Path(context["dag_run"].conf["scratch"], "go").exists():
            time.sleep(0.05)

    waits() >> EmptyOperator(task_id="end")


def sensor(task_id, **arguments):
    return ExternalTaskSensor(
        task_id=task_id,
        external_dag_id=arguments.pop("external_dag_id", "watched"),
        poke_interval=0.1,
        timeout=60,
        check_existence=True,
        **arguments,
    )


with DAG("watches", schedule=None, start_date=START, catchup=False):
    sensor("by_task", external_task_id="marker")
    sensor("by_tasks", external_task_ids=["gives", "marker"], mode="reschedule")
    sensor("by_group", external_task_group_id="group")
    sensor("by_group_deferred", external_task_group_id="group", deferrable=True)
    sensor("by_run", allowed_states=["failed"], deferrable=True)
    sensor("by_delta", external_task_id="gives", execution_delta=-DAY)
    sensor("by_function", external_task_id="gives", execution_date_fn=lambda date: [date, date + DAY])
    sensor("meets_failure", external_task_id="fails", failed_states=["failed"])
    sensor("meets_failure_deferred", external_task_id="fails", failed_states=["failed"], deferrable=True)
    sensor("skips", external_task_id="fails", skipped_states=["failed"])
    sensor("fails_softly", external_task_id="fails", failed_states=["failed"], soft_fail=True)
    sensor("no_such_group", external_task_group_id="grup")

    @task
    def asks(ti=None):
        return {
            "runs": ti.get_dr_count("watched"),
            "failed": ti.get_dr_count("watched", states=["failed"]),
            "running": ti.get_dr_count("is_open", states=["running"]),
            "task instances": ti.get_ti_count("watched", task_ids=["group.given"]),
        }

    asks()

with DAG("reaches", schedule=None, start_date=START, catchup=False):

    @task
    def keeps(**context):
        return context["run_id"]

    @task
    def pulls(ti=None):
        return {
            "one": XCom.get_one(key="return_value", dag_id="reaches", task_id="keeps", run_id="third", map_index=-1),
            "all": ti.xcom_pull(task_ids="keeps", include_prior_dates=True),
            "before": ti.xcom_pull(task_ids="keeps", run_id="second", include_prior_dates=True),
            "unwritten": ti.xcom_pull(task_ids="pulls", key="nothing", include_prior_dates=True),
            "unmapped": ti.xcom_pull(task_ids="only_first", key="only", map_indexes=-1, include_prior_dates=True),
            "of another dag": ti.xcom_pull(dag_id="watched", task_ids="gives", include_prior_dates=True),
        }

    @task
    def only_first(**context):
        if context["run_id"] == "first":
            context["ti"].xcom_push("only", "the first's")

    @task
    def writes(**context):
        into = {"dag_id": "is_open", "task_id": "end", "run_id": context["dag_run"].conf["open_run"], "map_index": -1}
        XCom.set(key="small", value={"from": "another run"}, **into)
        XCom.set(key="large", value="x" * 10_000, **into)
        XCom.set(key="deleted", value=1, **into)
        XCom.delete(key="deleted", **into)
        return len(XCom.get_one(key="large", **into))

    @task
    def writes_into_the_past():
        XCom.set(key="late", value=1, dag_id="reaches", task_id="keeps", run_id="first", map_index=-1)

    [keeps(), only_first()] >> pulls()
    writes()
    writes_into_the_past()
