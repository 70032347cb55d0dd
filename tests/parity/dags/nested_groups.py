# mypy: ignore-errors
"""Task groups within a mapped task group: each map index goes its own way through all of them."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import task, task_group
from leave_notes import a_dag


@task
def passes(value):
    return value


@task(retries=1, retry_delay=3)
def recovers(value, ti=None):
    if ti.try_number == 1:
        raise ValueError(value)
    return [value, ti.map_index]


@a_dag()
def maps_nested_groups():
    @task_group
    def outer(n):
        @task_group
        def inner(doubled):
            @task.branch
            def chooses(doubled):
                return "outer.inner.small" if doubled < 4 else "outer.inner.innermost.recovers"

            @task_group
            def innermost(doubled):
                recovers(doubled)

            chooses(doubled) >> [passes.override(task_id="small")(doubled), innermost(doubled)]

        @task
        def doubles(n):
            return 2 * n

        join = EmptyOperator(task_id="join", trigger_rule="none_failed_min_one_success")
        inner(doubles(n)) >> join
        return passes.override(task_id="last")(n)

    @task(trigger_rule="all_done")
    def collects(last, ti=None):
        of_groups = ("outer.inner.small", "outer.inner.innermost.recovers", "outer.doubles")
        return [list(last), *(list(ti.xcom_pull(task_id)) for task_id in of_groups)]

    grouped = outer.expand(n=[1, 2, 3])
    collected = collects(grouped)
    for task_id in ("outer.join", "outer.inner.innermost.recovers"):
        collected.operator.dag.get_task(task_id) >> collected


maps_nested_groups()
