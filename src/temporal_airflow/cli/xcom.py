"""``temporal-airflow xcom``: what a task instance pushed, as JSON."""

from __future__ import annotations

from typing import Annotated

import typer

from temporal_airflow.cli import options
from temporal_airflow.cli.console import connected, execute, print_json
from temporal_airflow.exceptions import ExitCode, InputError
from temporal_airflow.identifiers import task_label
from temporal_airflow.models import DagRunRecord, XComRequest
from temporal_airflow.near_names import absence, absent_task_instance
from temporal_airflow.tasks.xcom_values import read_value


def xcom(
    run: options.Run,
    task: options.Task,
    key: Annotated[str | None, typer.Option(help="Only this key's value; all keys otherwise.")] = None,
    map_index: options.MapIndex = -1,
) -> None:
    """Print XComs of a task instance as JSON: the value of --key, or an object of all keys."""
    execute(_xcom(run, task, key, map_index))


async def _xcom(run: str, task: str, key: str | None, map_index: int) -> ExitCode:
    async with connected() as (_, client):
        workflow_id = await client.find(run)
        check_task(await client.record(workflow_id), task, map_index)
        found = await client.xcoms(workflow_id, XComRequest(task_id=task, map_index=map_index))
    values = {record.key: read_value(record) for record in found if key in (None, record.key)}
    if key is None:
        print_json(values)
    elif key in values:
        print_json(values[key])
    else:
        subject = f"Task {task_label(task, map_index)!r} of {run!r} has no XCom"
        raise InputError(absence(subject, key, {record.key for record in found}, "it has"))
    return ExitCode.SUCCESS


def check_task(record: DagRunRecord, task: str, map_index: int) -> None:
    """Refuse a task instance that the run doesn't have.

    Raises:
        InputError: naming those it has.
    """
    known = [(ti.task_id, ti.map_index) for ti in record.task_instances]
    if missing := absent_task_instance(record.run.run_id, known, task, map_index):
        raise InputError(missing)
