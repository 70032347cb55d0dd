"""The DAG of the page on operating runs: one file is bad on Monday, and on Wednesday nothing comes to an end."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from airflow.sdk import dag, get_current_context, task


@task
def fetch():
    while get_current_context()["run_id"] == "wednesday":
        time.sleep(0.1)
    return ["good", "bad", "good"]


@task
def load(file):
    if file == "bad" and get_current_context()["run_id"] == "monday":
        raise ValueError("the file is empty")


@task
def report():
    pass


@dag(schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC))
def orders():
    load.expand(file=fetch()) >> report()


orders()
