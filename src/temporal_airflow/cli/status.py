"""``temporal-airflow status``: a run and its task instances, open or closed."""

from __future__ import annotations

from typing import Annotated

import typer

from temporal_airflow.cli import options
from temporal_airflow.cli.console import connected, execute, print_json, stdout
from temporal_airflow.cli.run_view import run_json, run_table
from temporal_airflow.cli.why_view import why_lines, with_why
from temporal_airflow.exceptions import ExitCode, InputError
from temporal_airflow.models import DagRunRecord
from temporal_airflow.near_names import absent_task


def status(
    run: options.Run,
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="Only this task.")] = None,
    why: Annotated[
        bool,
        typer.Option("--why", help="Say of each task that doesn't run why, in the words of Airflow's dependencies."),
    ] = False,
    output: options.OutputOption = options.Output.TABLE,
) -> None:
    """Show a run: the state of each task instance, lost attempts included.

    Example: temporal-airflow status my_dag/manual__1 --why
    """
    execute(_status(run, task, output, why=why))


async def _status(run: str, task: str | None, output: options.Output, *, why: bool) -> ExitCode:
    async with connected() as (_, client):
        workflow_id = await client.find(run)
        whole = await client.record(workflow_id)
        record = _only(whole, task)
        explanations = await client.explain(workflow_id, whole, task) if why else None
    if output == options.Output.JSON:
        shown = run_json(record)
        print_json(with_why(shown, explanations) if explanations else shown)
        return ExitCode.SUCCESS
    stdout.print(run_table(record))
    for line in why_lines(explanations) if explanations else ():
        stdout.print(line, markup=False, soft_wrap=True)
    return ExitCode.SUCCESS


def _only(record: DagRunRecord, task: str | None) -> DagRunRecord:
    if task is None:
        return record
    if absence := absent_task(record.run.run_id, {ti.task_id for ti in record.task_instances}, task):
        raise InputError(absence)
    wanted = tuple(ti for ti in record.task_instances if ti.task_id == task)
    return record.model_copy(update={"task_instances": wanted})
