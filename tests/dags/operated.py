"""Runs that somebody operates: tasks fail until a file ``go`` is there, or hold until then and tell when stopped."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from pathlib import Path

from airflow.sdk import BaseOperator, dag, setup, task, teardown
from file_trigger import FileAppears


def scratch_of(context) -> Path:
    return Path(context["dag_run"].conf["scratch"])


def note(context, name: str, text: object) -> None:
    with (scratch_of(context) / name).open("a") as notes:
        notes.write(f"{text}\n")


class Holds(BaseOperator):
    """Runs until ``go`` is there; notes its process, and whether it was asked to stop."""

    def execute(self, context):
        self.context = context
        note(context, "holds", os.getpid())
        while not (scratch_of(context) / "go").exists():
            time.sleep(0.05)
        return context["ti"].try_number

    def on_kill(self):
        note(self.context, "killed", self.context["ti"].try_number)


class WaitsForGo(BaseOperator):
    def execute(self, context):
        self.defer(trigger=FileAppears(str(scratch_of(context) / "go")), method_name="resume")

    def resume(self, context, event):
        return context["ti"].try_number


@task(retries=0)
def ends(**context):
    note(context, "ran", f"{context['ti'].task_id} {context['ti'].try_number}")


@task(retries=0)
def needs_go(**context):
    note(context, "ran", f"{context['ti'].task_id} {context['ti'].try_number}")
    if not (scratch_of(context) / "go").exists():
        raise ValueError("not yet")


def a_dag(function):
    return dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False)(function)()


@a_dag
def fails_in_the_middle():
    ends.override(task_id="first")() >> needs_go.override(task_id="second")() >> ends.override(task_id="third")()


@a_dag
def holds():
    Holds(task_id="holds", retries=0) >> ends.override(task_id="then")()


@a_dag
def is_deferred():
    WaitsForGo(task_id="waits", retries=0) >> ends.override(task_id="then")()


@a_dag
def waits_to_retry():
    needs_go.override(task_id="retries", retries=2, retry_delay=timedelta(hours=1))()


@a_dag
def tears_down():
    begins = setup(ends.override(task_id="begins"))()
    cleans = teardown(ends.override(task_id="cleans"))()
    begins >> Holds(task_id="holds", retries=0) >> cleans
    begins >> cleans


@a_dag
def maps_numbers():
    @task(retries=0)
    def numbers(**context):
        return list(range(2 + (scratch_of(context) / "go").exists()))

    @task(retries=0)
    def double(number):
        return 2 * number

    @task(retries=0)
    def total(values):
        return sum(values)

    total(double.expand(number=numbers()))
