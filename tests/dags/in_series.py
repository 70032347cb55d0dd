"""Mapped tasks that are ready together; those that the conf names wait for a file ``go``."""

from __future__ import annotations

import os
import time
from datetime import datetime
from pathlib import Path

from airflow.sdk import dag, task


def a_dag(function):
    return dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False, max_active_tasks=100)(function)


@task
def numbers(dag_run=None):
    return list(range(dag_run.conf["width"]))


@task
def one(number, **context):
    scratch = Path(context["dag_run"].conf["scratch"])
    with (scratch / "ones").open("a") as notes:
        notes.write(f"{number} {os.getpid()}\n")
    while number in context["dag_run"].conf.get("waits", ()) and not (scratch / "go").exists():
        time.sleep(0.05)
    return number


@task
def total(values):
    return sum(values)


@a_dag
def maps_in_series():
    total(one.expand(number=numbers()))


@a_dag
def maps_in_batches():
    total(one.expand(number=numbers()))


@a_dag
def maps_where_nobody_works():
    one.override(queue="nobodys").expand(number=numbers())


maps_in_series()
maps_in_batches()
maps_where_nobody_works()
