"""``temporal-airflow logs``: the log of one try of one task instance."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer
from airflow.utils.state import State

from temporal_airflow.cli import options
from temporal_airflow.cli.console import connected, execute, stdout
from temporal_airflow.cli.xcom import check_task
from temporal_airflow.client import DagRunClient
from temporal_airflow.exceptions import ExitCode, InputError
from temporal_airflow.models import DagRunRecord
from temporal_airflow.tasks import logs as task_logs

FOLLOW_INTERVAL = 0.5
"""Seconds between two looks at a log that grows."""


def logs(
    run: options.Run,
    task: options.Task,
    map_index: options.MapIndex = -1,
    try_number: Annotated[int | None, typer.Option("--try", help="Which try; the last otherwise.", min=1)] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the try ends.")] = False,
) -> None:
    """Print the log of a task instance's try, from this machine's log folder."""
    execute(_logs(run, task, map_index, try_number, follow=follow))


async def _logs(run: str, task: str, map_index: int, try_number: int | None, *, follow: bool) -> ExitCode:
    async with connected() as (_, client):
        workflow_id = await client.find(run)
        record = await client.record(workflow_id)
        check_task(record, task, map_index)
        number = _which_try(record, task, map_index, try_number)
        relative = task_logs.log_path(record.run, task, map_index, number)
        path = task_logs.log_folder() / relative
        if follow:
            await _follow(path, lambda: _has_ended(client, workflow_id, task, map_index, number))
            return ExitCode.SUCCESS
    if not path.exists():
        raise InputError(f"There is no log at {path}: the task ran on another machine, or hasn't started.")
    for line in task_logs.read(path):
        stdout.print(line, markup=False, soft_wrap=True)
    return ExitCode.SUCCESS


def _which_try(record: DagRunRecord, task: str, map_index: int, try_number: int | None) -> int:
    ti = next(ti for ti in record.task_instances if (ti.task_id, ti.map_index) == (task, map_index))
    if try_number is not None and try_number > ti.try_number:
        had = f"{ti.try_number} {'try' if ti.try_number == 1 else 'tries'}"
        raise InputError(f"Task {task!r} has had {had}; there is no try {try_number}.")
    if not ti.try_number:
        raise InputError(f"Task {task!r} hasn't started: it has no log.")
    return try_number or ti.try_number


async def _follow(path: Path, has_ended: Callable[[], Awaitable[bool]]) -> None:
    """Print a log that grows, up to what is there when its try has ended."""
    position, ended = 0, False
    while not ended:
        ended = await has_ended()
        position = _print_from(path, position)
        if not ended:
            await asyncio.sleep(FOLLOW_INTERVAL)


def _print_from(path: Path, position: int) -> int:
    """Print the complete lines after a position; gives the position after them."""
    if not path.exists():
        return position
    with path.open("rb") as log:
        log.seek(position)
        complete, newline, _ = log.read().rpartition(b"\n")
    for line in complete.decode(errors="replace").splitlines():
        for rendered in task_logs.render(line):
            stdout.print(rendered, markup=False, soft_wrap=True)
    return position + len(complete) + len(newline)


async def _has_ended(client: DagRunClient, workflow_id: str, task: str, map_index: int, try_number: int) -> bool:
    record = await client.record(workflow_id)
    ti = next((ti for ti in record.task_instances if (ti.task_id, ti.map_index) == (task, map_index)), None)
    return ti is None or ti.try_number > try_number or ti.state in State.finished
