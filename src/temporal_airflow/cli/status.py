"""``temporal-airflow status``: a run and its task instances, open or closed."""

from __future__ import annotations

from temporal_airflow.cli import options
from temporal_airflow.cli.console import connected, execute, print_json, stdout
from temporal_airflow.cli.run_view import run_json, run_table
from temporal_airflow.exceptions import ExitCode


def status(run: options.Run, output: options.OutputOption = options.Output.TABLE) -> None:
    """Show a run: the state of each task instance, lost attempts included."""
    execute(_status(run, output))


async def _status(run: str, output: options.Output) -> ExitCode:
    async with connected() as (_, client):
        record = await client.record(await client.find(run))
    if output == options.Output.JSON:
        print_json(run_json(record))
    else:
        stdout.print(run_table(record))
    return ExitCode.SUCCESS
