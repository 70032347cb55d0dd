"""``temporal-airflow clear``: let tasks of a run run again."""

from __future__ import annotations

from typing import Annotated

import typer

from temporal_airflow.cli import options
from temporal_airflow.cli.acting import act
from temporal_airflow.cli.console import execute
from temporal_airflow.models import ClearTasks


def clear(  # noqa: PLR0917  # Typer reads the command's options from here
    run: options.Run,
    tasks: Annotated[
        list[str] | None, typer.Argument(metavar="TASK", help="Task ids; all tasks of the run otherwise.")
    ] = None,
    upstream: options.Upstream = False,
    downstream: options.Downstream = False,
    only_failed: Annotated[
        bool, typer.Option("--only-failed", help="Only those that have failed, or an upstream task of which has.")
    ] = False,
    map_index: options.MapIndexes = None,
    dry_run: options.DryRun = False,
    user: options.User = None,
    output: options.OutputOption = options.Output.TABLE,
) -> None:
    """Clear tasks of a run, open or ended: they run again, running ones are stopped first. An ended run goes on.

    Example: temporal-airflow clear my_dag/manual__1 load --downstream
    """
    action = ClearTasks(
        kind="clear",
        task_ids=tuple(tasks or ()),
        map_indexes=options.checked_map_indexes(map_index, tasks),
        upstream=upstream,
        downstream=downstream,
        only_failed=only_failed,
    )
    execute(act(run, action, "Cleared", user=user, dry_run=dry_run, output=output))
