"""DAGs whose tasks share pools, and leave in a file when they began and ended."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from pathlib import Path

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Param, get_current_context, task

START = datetime(2026, 1, 1)
NAP = timedelta(seconds=0.2)


def note(what: str) -> None:
    context = get_current_context()
    ti = context["ti"]
    line = f"{time.time():.4f} {what} {ti.dag_id} {ti.run_id} {ti.task_id} {os.getpid()}\n"
    folder = Path(context["params"]["scratch"])
    with (folder / "uses").open("a") as file:
        file.write(line)


def works() -> None:
    note("begins")
    time.sleep(float(get_current_context()["params"].get("nap", NAP.total_seconds())))
    note("ends")


def works_until_told() -> None:
    note("begins")
    folder = Path(get_current_context()["params"]["scratch"])
    while not (folder / "go").exists():
        time.sleep(0.05)
    note("ends")


def dag_of(dag_id: str, **arguments: object) -> DAG:
    params = {"scratch": Param("", type="string"), "nap": NAP.total_seconds()}
    return DAG(dag_id, schedule=None, start_date=START, params=params, **arguments)


with dag_of("in_a_pool") as in_a_pool:
    for number in range(4):
        task(task_id=f"works{number}", pool="narrow", priority_weight=number)(works)()

with dag_of("grows_in_a_pool", max_active_tasks=100) as grows_in_a_pool:
    first = task(task_id="first", pool="wide", pool_slots=8)(works)()
    first >> task(task_id="between")(works)() >> [task(task_id=f"works{n}", pool="wide")(works)() for n in range(20)]

for letter in "abc":
    with dag_of(f"crowd_{letter}", max_active_runs=100) as dag:
        first = task(task_id="first", pool="seven", priority_weight=3)(works)()
        last = task(task_id="last", pool="seven", priority_weight=3)(works)()
        first >> [task(task_id=f"middle{number}", pool="seven")(works)() for number in range(2)] >> last
    globals()[dag.dag_id] = dag

with dag_of("in_an_unknown_pool") as in_an_unknown_pool:
    EmptyOperator(task_id="empty", pool="narow")

with dag_of("in_too_small_a_pool") as in_too_small_a_pool:
    EmptyOperator(task_id="empty", pool="tiny", pool_slots=3)

with dag_of("one_of_a_task", max_active_runs=100) as one_of_a_task:
    task(task_id="alone", max_active_tis_per_dag=1)(works)()

with dag_of("busy", max_active_tasks=100) as busy:
    for number in range(20):
        task(task_id=f"works{number}")(works)()

with dag_of("quiet") as quiet:
    task(task_id="works")(works)()

with dag_of("in_bands", max_active_tasks=100) as in_bands:
    for number in range(4):
        for weight in (1, 10, 100, 1000):
            task(task_id=f"weighs{weight}_{number}", priority_weight=weight)(works)()

with dag_of("on_queues") as on_queues:
    for queue in ("left", "right"):
        task(task_id=queue, queue=queue)(works)()

with dag_of("on_a_queue_of_nobody") as on_a_queue_of_nobody:
    task(task_id="stuck", queue="nobody", retries=3)(works)()

with dag_of("fills_a_pool", max_active_tasks=100) as fills_a_pool:
    for number in range(16):
        task(task_id=f"works{number}", pool="resized")(works_until_told)()

with dag_of("by_default") as by_default:
    for number in range(3):
        task(task_id=f"works{number}")(works)()
