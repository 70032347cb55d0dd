"""Empty tasks in shapes that cost differently: one after the other, and many at once."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import chain, dag, task


def a_dag(function):
    return dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False, max_active_tasks=1000)(function)


@task
def empty():
    pass


@a_dag
def chain_of_ten():
    chain(*[empty.override(task_id=f"task_{number}")() for number in range(10)])


@a_dag
def fan_of_hundred():
    middle = [empty.override(task_id=f"task_{number:02}")() for number in range(98)]
    empty.override(task_id="first")() >> middle >> empty.override(task_id="last")()


chain_of_ten()
fan_of_hundred()
