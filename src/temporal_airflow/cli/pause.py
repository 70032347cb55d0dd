"""``temporal-airflow pause`` and ``unpause``: let a DAG's runs start no more tasks, and let them go on."""

from __future__ import annotations

from typing import Annotated

import typer

from temporal_airflow.cli import options
from temporal_airflow.cli.console import connected, execute, report, warn
from temporal_airflow.exceptions import ExitCode
from temporal_airflow.pausing import PauseOutcome
from temporal_airflow.settings import load_settings

DagIdArgument = Annotated[str, typer.Argument(metavar="DAG_ID", help="Id of the DAG.")]
TaskQueue = Annotated[str | None, typer.Option(help="Where its runs are; the setting task_queue otherwise.")]


def pause(dag_id: DagIdArgument, task_queue: TaskQueue = None, user: options.User = None) -> None:
    """Pause a DAG: no more tasks start in its runs, those that run go on to their end. New runs wait, too."""
    execute(_pause(dag_id, task_queue, user))


def unpause(dag_id: DagIdArgument, task_queue: TaskQueue = None, user: options.User = None) -> None:
    """Let the runs of a paused DAG go on."""
    execute(_unpause(dag_id, task_queue, user))


async def _pause(dag_id: str, task_queue: str | None, user: str | None) -> ExitCode:
    settings = load_settings()
    async with connected(settings) as (_, client):
        outcome = await client.pause(dag_id, task_queue=task_queue or settings.task_queue, user=user)
    report(_told(dag_id, outcome))
    for queue, count in outcome.elsewhere.items():
        warn(f"{count} open run(s) of it are on task queue {queue!r}, where it isn't paused: add --task-queue {queue}.")
    return ExitCode.SUCCESS


async def _unpause(dag_id: str, task_queue: str | None, user: str | None) -> ExitCode:
    settings = load_settings()
    async with connected(settings) as (_, client):
        await client.unpause(dag_id, task_queue=task_queue or settings.task_queue, user=user)
    report(f"DAG {dag_id} goes on.")
    return ExitCode.SUCCESS


def _told(dag_id: str, outcome: PauseOutcome) -> str:
    if outcome.before is not None:
        return f"DAG {dag_id} is paused already: by {outcome.before.user} at {outcome.before.since:%Y-%m-%d %H:%M:%S}."
    if outcome.told is None:
        return f"DAG {dag_id} is paused. Its open runs get to know as soon as there is a worker."
    return f"DAG {dag_id} is paused: no more tasks start in its {len(outcome.told)} open run(s)."
