# mypy: ignore-errors
# ruff: noqa: DTZ001
"""What own DAGs share. Lines go to files in the folder that the run's conf names; they are compared as sets.

Whatever a run's outcome depends on must not be left to chance: tasks wait for what has to come first.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path

from airflow.sdk import dag


def a_dag(**arguments):
    arguments.setdefault("schedule", None)
    return dag(start_date=datetime(2024, 1, 1), catchup=False, **arguments)


def scratch(context) -> Path:
    return Path(context["dag_run"].conf["scratch"])


def note(context, name: str, line: str) -> None:
    with (scratch(context) / name).open("a") as notes:
        notes.write(f"{line}\n")


def await_line(context, name: str, line: str) -> None:
    """Wait until another task has left a line."""
    path = scratch(context) / name
    while not path.exists() or line not in path.read_text().splitlines():
        time.sleep(0.2)


def task_called(name: str):
    """A callback of a task: leaves where it was called and with what."""

    def callback(context):
        ti = context["ti"]
        exception = context.get("exception")
        note(
            context,
            "callbacks",
            f"{name} {ti.task_id}[{ti.map_index}] try {ti.try_number} of {ti.max_tries + 1} state {ti.state} "
            f"exception {type(exception).__name__}: {exception} reason {context.get('reason')}",
        )

    return callback


def dag_called(name: str, *, last: bool = False):
    """A callback of a DAG.

    Args:
        name: what to call it.
        last: leave the last task, too: for runs in which it isn't chance which one is.
    """

    def callback(context):
        ti = context.get("ti")
        note(
            context,
            "callbacks",
            f"{name} {context['dag_run'].dag_id} state {context['dag_run'].state} reason {context['reason']} "
            f"last {(ti.task_id if ti else None) if last else 'not asked'}",
        )

    return callback


SHORT = timedelta(seconds=3)
"""Longer than the scheduler takes to hear of a process's end: else it takes the next try for a lost one."""

ALL_CALLBACKS = {
    "on_execute_callback": task_called("execute"),
    "on_success_callback": task_called("success"),
    "on_failure_callback": task_called("failure"),
    "on_retry_callback": task_called("retry"),
    "on_skipped_callback": task_called("skipped"),
}
ON_RUN = {"on_success_callback": dag_called("dag success"), "on_failure_callback": dag_called("dag failure")}
RETRIED = {"retries": 1, "retry_delay": SHORT, **ALL_CALLBACKS}
