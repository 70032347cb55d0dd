"""``temporal-airflow respond``: answer a task that waits for a person."""

from __future__ import annotations

from typing import Annotated

import typer

from temporal_airflow.cli import options
from temporal_airflow.cli.console import connected, execute, report
from temporal_airflow.exceptions import ExitCode
from temporal_airflow.identifiers import task_label


def respond(  # noqa: PLR0917  # Typer reads the command's options from here
    run: options.Run,
    task: options.Task,
    choose: Annotated[
        list[str] | None, typer.Option("--choose", metavar="OPTION", help="What is chosen; may be given several times.")
    ] = None,
    params: Annotated[
        str | None, typer.Option("--params", metavar="JSON|@FILE", help="Values for the fields that are asked for.")
    ] = None,
    map_index: options.MapIndex = -1,
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who answers, by id or name; the user of this command otherwise.")
    ] = None,
) -> None:
    """Answer what a task asks (HITL operators); `status` shows what is asked and what can be chosen.

    Example: temporal-airflow respond my_dag/manual__1 approve --choose Approve
    """
    execute(_respond(run, task, choose=tuple(choose or ()), params=params, map_index=map_index, user=user))


async def _respond(
    run: str, task: str, *, choose: tuple[str, ...], params: str | None, map_index: int, user: str | None
) -> ExitCode:
    given = options.read_conf(params, "--params")
    async with connected() as (_, client):
        workflow_id = await client.find(run)
        await client.respond(
            workflow_id, task, chosen_options=choose, params_input=given, map_index=map_index, user=user
        )
    report(f"Task {task_label(task, map_index)} of {run} goes on with this answer.")
    return ExitCode.SUCCESS
