"""``temporal-airflow list``: the runs a server knows, latest first."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from temporal_airflow.cli import options
from temporal_airflow.cli.console import connected, execute, print_json, stdout
from temporal_airflow.exceptions import ExitCode
from temporal_airflow.run_listing import ListedRun


def list_runs(
    dag_id: Annotated[str | None, typer.Option(help="Only runs of this DAG.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 20,
    output: options.OutputOption = options.Output.TABLE,
) -> None:
    """List runs, open and closed, latest start first."""
    execute(_list_runs(dag_id, limit, output))


async def _list_runs(dag_id: str | None, limit: int, output: options.Output) -> ExitCode:
    async with connected() as (_, client):
        runs = [run async for run in client.list_runs(dag_id=dag_id, limit=limit)]
    if output == options.Output.JSON:
        print_json([asdict(run) for run in runs])
    else:
        stdout.print(_table(runs) if runs else "No runs.")
    return ExitCode.SUCCESS


def _table(runs: list[ListedRun]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("dag_id", "run_id", "state", "start", "duration"):
        table.add_column(column, overflow="fold")
    for run in runs:
        took = f"{(run.end_date - run.start_date).total_seconds():.1f} s" if run.end_date else ""
        state = f"{run.state.value} ({run.reason})" if run.reason else run.state.value
        table.add_row(run.dag_id, run.run_id, state, f"{run.start_date.astimezone():%Y-%m-%d %H:%M:%S}", took)
    return table
