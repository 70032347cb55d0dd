"""``temporal-airflow logs``: the log of one try of one task instance, or of a run's callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import typer
from airflow.utils.net import get_hostname
from airflow.utils.state import DagRunState, State, TaskInstanceState

from temporal_airflow.cli import options
from temporal_airflow.cli.console import connected, execute, stdout
from temporal_airflow.cli.xcom import check_task
from temporal_airflow.client import DagRunClient
from temporal_airflow.exceptions import ExitCode, InputError
from temporal_airflow.identifiers import task_label
from temporal_airflow.models import DagRunRecord, TaskInstanceRecord
from temporal_airflow.tasks import logs as task_logs
from temporal_airflow.tasks.log_reader import LoggedTry, LogReader

FOLLOW_INTERVAL = 0.5
"""Seconds between two looks at a log that grows."""


@dataclass(frozen=True)
class Wanted:
    """Whose log is asked for; the last try if no number is given."""

    task: str
    map_index: int
    try_number: int | None


def logs(  # noqa: PLR0917  # Typer reads the command's options from here
    run: options.Run,
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="Task id; not with --callbacks.")] = None,
    map_index: options.MapIndex = -1,
    try_number: Annotated[int | None, typer.Option("--try", help="Which try; the last otherwise.", min=1)] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Begin with the try, and go on until it ends.")
    ] = False,
    callbacks: Annotated[
        bool, typer.Option("--callbacks", help="The callbacks of the DAG and of lost tasks instead of a task.")
    ] = False,
) -> None:
    """Print the log of a task instance's try, its triggers included.

    It is read from this machine's log folder, and from the storage of Airflow's remote logging if that is configured.
    """
    if callbacks == (task is not None):
        raise typer.BadParameter("give a TASK, or --callbacks", param_hint="TASK")
    execute(_logs(run, Wanted(task, map_index, try_number), follow=follow) if task else _callbacks(run))


async def _logs(run: str, wanted: Wanted, *, follow: bool) -> ExitCode:
    async with connected() as (_, client):
        workflow_id = await client.find(run)
        if follow:
            await _follow(client, workflow_id, wanted)
            return ExitCode.SUCCESS
        record = await client.record(workflow_id)
    ti = _instance(record, wanted)
    number = _which_try(ti, wanted)
    reader = _reader(record, ti, number)
    lines = reader.lines()
    if not lines and not reader.path.exists():
        raise InputError(_why_there_is_none(ti, number, reader))
    _print(lines)
    return ExitCode.SUCCESS


async def _callbacks(run: str) -> ExitCode:
    async with connected() as (_, client):
        record = await client.record(await client.find(run))
    path = task_logs.log_folder() / task_logs.callback_log_path(record.run)
    if not path.exists():
        raise InputError(f"There is no log at {path}: no callbacks were called, or not on this machine.")
    _print(path.read_text(encoding="utf-8", errors="replace").splitlines())
    return ExitCode.SUCCESS


async def _follow(client: DagRunClient, workflow_id: str, wanted: Wanted) -> None:
    """Print a log that grows, up to what there is when its try has ended."""
    record = await client.record(workflow_id)
    while not _instance(record, wanted).try_number and record.state == DagRunState.RUNNING:
        await asyncio.sleep(FOLLOW_INTERVAL)
        record = await client.record(workflow_id)
    ti = _instance(record, wanted)
    number = _which_try(ti, wanted)
    reader = _reader(record, ti, number)
    while not _has_ended(ti, number):
        _print(reader.new_local_lines())
        await asyncio.sleep(FOLLOW_INTERVAL)
        ti = _instance(await client.record(workflow_id), wanted)
    _print(reader.lines())
    if not reader.has_given:
        raise InputError(_why_there_is_none(ti, number, reader))


def _instance(record: DagRunRecord, wanted: Wanted) -> TaskInstanceRecord:
    check_task(record, wanted.task, wanted.map_index)
    key = (wanted.task, wanted.map_index)
    return next(ti for ti in record.task_instances if (ti.task_id, ti.map_index) == key)


def _which_try(ti: TaskInstanceRecord, wanted: Wanted) -> int:
    if not ti.try_number:
        raise InputError(f"Task {wanted.task!r} hasn't started: it has no log.")
    if wanted.try_number is not None and wanted.try_number > ti.try_number:
        had = f"{ti.try_number} {'try' if ti.try_number == 1 else 'tries'}"
        raise InputError(f"Task {wanted.task!r} has had {had}; there is no try {wanted.try_number}.")
    return wanted.try_number or ti.try_number


def _has_ended(ti: TaskInstanceRecord, try_number: int) -> bool:
    return ti.try_number > try_number or ti.state in {*State.finished, TaskInstanceState.UP_FOR_RETRY}


def _reader(record: DagRunRecord, ti: TaskInstanceRecord, number: int) -> LogReader:
    run = record.run
    path = task_logs.log_path(run, ti.task_id, ti.map_index, number)
    is_last = number == ti.try_number
    return LogReader(
        LoggedTry(
            run.dag_id,
            run.run_id,
            ti.task_id,
            ti.map_index,
            number,
            path,
            start_date=ti.start_date if is_last else None,
            end_date=ti.end_date if is_last else None,
        )
    )


def _why_there_is_none(ti: TaskInstanceRecord, number: int, reader: LogReader) -> str:
    here = get_hostname()
    is_last = number == ti.try_number
    if is_last and ti.hostname and ti.hostname != here:
        return (
            f"There is no log at {reader.path}: the task ran on host {ti.hostname!r}, and this is {here!r}. Read it "
            "there, or let Airflow's remote logging keep logs for all ([logging] remote_logging)."
        )
    if is_last and ti.state in State.finished and not ti.hostname and not ti.lost_attempts:
        label = task_label(ti.task_id, ti.map_index)
        return f"Task {label!r} had no process of its own, as empty operators have none: it has no log."
    return f"There is no log at {reader.path}: the task ran on another machine, or hasn't started."


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        for rendered in task_logs.render(line):
            stdout.print(rendered, markup=False, soft_wrap=True)
