"""A DAG whose own code is asked for everything Airflow lets a user decide; each leaves the pid that asked."""

from __future__ import annotations

import os
from datetime import datetime

from airflow.sdk import dag, task

NOTES = os.environ.get("USER_CODE_NOTES")
if NOTES:
    with open(NOTES, "a") as notes:
        notes.write(f"dag_file {os.getpid()}\n")

from user_plugins import EveryFullMoon, HeaviestFirst  # noqa: E402  # the plugins folder is on sys.path


@dag(schedule=EveryFullMoon(), start_date=datetime(2026, 1, 1), catchup=False, max_active_tasks=1)
def asks_the_user():
    @task(weight_rule=HeaviestFirst())
    def weighted(weight):
        return weight

    for weight in (1, 30, 20):
        weighted.override(task_id=f"weighs_{weight}", priority_weight=weight)(weight)


asks_the_user()
