# mypy: ignore-errors
"""Tasks that push values and pull them again, each by itself: what is refused, what is found. It has no DAG."""

from __future__ import annotations

from airflow.sdk import task


def pushes_and_pulls(values, shown):
    """Adds them to the DAG at hand.

    Args:
        values: called for them, by key.
        shown: what to compare of a value that was pulled.
    """

    @task
    def push(ti=None):
        refused = {}
        for name, value in values().items():
            try:
                ti.xcom_push(key=name, value=value)
            except Exception as error:  # noqa: BLE001  # which one is compared
                refused[name] = f"{type(error).__name__}: {error}"
        return refused

    @task
    def pull(ti=None):
        found = {}
        for name in values():
            try:
                found[name] = shown(ti.xcom_pull(task_ids="push", key=name))
            except Exception as error:  # noqa: BLE001  # which one is compared
                found[name] = f"raises {type(error).__name__}: {error}"
        return found

    push() >> pull()
