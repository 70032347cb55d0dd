"""A run whose middle task waits for a file ``go``, so that a test can take something away meanwhile."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Asset, chain, dag, task

WAIT_IN_BASH = """
echo "third {{ ti.try_number }} $$" >> {{ dag_run.conf.scratch }}/ran
setsid sleep 600 >/dev/null 2>&1 &
echo $! >> {{ dag_run.conf.scratch }}/strays
while [ ! -e {{ dag_run.conf.scratch }}/go ]; do sleep 0.05; done
"""


JOBS = Asset("jobs")


def ran(context) -> Path:
    scratch = Path(context["dag_run"].conf["scratch"])
    ti = context["ti"]
    with (scratch / "ran").open("a") as notes:
        notes.write(f"{ti.task_id} {ti.try_number} {os.getpid()}\n")
    return scratch


@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False)
def six_tasks():
    @task
    def note(**context):
        ran(context)
        return context["ti"].task_id

    third = BashOperator(task_id="third", bash_command=WAIT_IN_BASH, retries=0)
    chain(*(note.override(task_id=name)() for name in ("first", "second")), third)
    chain(third, *(note.override(task_id=name)() for name in ("fourth", "fifth", "sixth")))


@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False)
def one_waits():
    @task(retries=0)
    def waits(**context):
        scratch = ran(context)
        while not (scratch / "go").exists():
            time.sleep(0.05)
        (scratch / "ended").touch()
        return "waited"

    @task
    def follows(**context):
        ran(context)

    waits() >> follows()


@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False)
def remembers():
    @task(inlets=[JOBS], retries=1, retry_delay=timedelta(0))
    def submits(task_state_store=None, asset_state_store=None, **context):
        scratch = ran(context)
        job, latest = task_state_store.get("job"), asset_state_store[JOBS].get("latest", default=None)
        with (scratch / "jobs").open("a") as jobs:
            jobs.write(f"{job} {latest}\n")
        if job is None:
            task_state_store.set("job", {"id": "the job's id"})
            asset_state_store[JOBS].set("latest", "of the asset")
            (scratch / "acknowledged").touch()
            time.sleep(600)
        if context["ti"].try_number == 1:
            raise RuntimeError("once more, in a try of its own")

    submits()


six_tasks()
one_waits()
remembers()
