"""Tasks that wait, each for something else."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import DAG, task

FAR = datetime(2999, 1, 1, tzinfo=UTC)


def at_the_gate(dag_run):
    gate = Path(dag_run.conf["scratch"], "gate")
    while not gate.exists():
        time.sleep(0.05)


with DAG("waits_for_all", schedule=None, max_active_tasks=3):

    @task(priority_weight=9)
    def holds(dag_run=None):
        at_the_gate(dag_run)

    @task
    def after():
        pass

    @task(priority_weight=9, max_active_tis_per_dagrun=1)
    def one_by_one(number, dag_run=None):
        at_the_gate(dag_run)

    @task(priority_weight=9, retries=1, retry_delay=timedelta(hours=1))
    def retries():
        raise ValueError("not today")

    @task.sensor(priority_weight=9, mode="reschedule", poke_interval=3600)
    def pokes():
        return False

    @task(priority_weight=9, queue="nobody")
    def is_elsewhere():
        pass

    @task
    def comes_late():
        pass

    holds() >> after()
    one_by_one.expand(number=[1, 2])
    retries()
    pokes()
    is_elsewhere()
    comes_late()
    DateTimeSensorAsync(task_id="defers", target_time=FAR, priority_weight=9)
    ApprovalOperator(task_id="asks", subject="Go on?", priority_weight=9)
