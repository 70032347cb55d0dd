"""Tasks whose process ends without a word: their callbacks are called by others."""

from __future__ import annotations

import os
import signal
from datetime import datetime, timedelta
from pathlib import Path

from airflow.sdk import dag, task


def called(name: str):
    def callback(context):
        with (Path(context["dag_run"].conf["scratch"]) / "callbacks").open("a") as notes:
            notes.write(f"{name} {context['ti'].task_id} {context['ti'].try_number}\n")

    return callback


CALLBACKS = {"on_retry_callback": called("retry"), "on_failure_callback": called("failure")}


@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False)
def leaves():
    @task(retries=1, retry_delay=timedelta(0), email="nobody@example.org", **CALLBACKS)
    def leaves_well():
        os._exit(0)

    @task(retries=1, retry_delay=timedelta(0), **CALLBACKS)
    def is_killed(ti=None):
        if ti.try_number == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    leaves_well()
    is_killed()


leaves()
