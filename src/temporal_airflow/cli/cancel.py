"""``temporal-airflow cancel``: end a run; its running tasks get ``on_kill``."""

from __future__ import annotations

from typing import Annotated

import typer

from temporal_airflow.cli import options
from temporal_airflow.cli.console import connected, execute, report
from temporal_airflow.exceptions import ExitCode, InputError


def cancel(
    run: options.Run,
    wait: Annotated[bool, typer.Option("--wait", help="Return when the run has ended.")] = False,
) -> None:
    """Cancel a run: running tasks are stopped (on_kill, then killed), waiting ones skipped; the run ends failed."""
    execute(_cancel(run, wait=wait))


async def _cancel(run: str, *, wait: bool) -> ExitCode:
    async with connected() as (_, client):
        workflow_id = await client.find(run)
        if not await client.is_open(workflow_id):
            raise InputError(f"Run {run!r} has ended already: {(await client.record(workflow_id)).state.value}.")
        await client.cancel(workflow_id)
        report(f"Cancellation of {workflow_id} requested.")
        if wait:
            result = await client.result(workflow_id)
            report(f"Run {result.state.value}.")
    return ExitCode.SUCCESS
