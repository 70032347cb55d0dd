"""``temporal-airflow rerun``: let a run, or what has failed of it, run again."""

from __future__ import annotations

from typing import Annotated

import typer

from temporal_airflow.cli import options
from temporal_airflow.cli.acting import act
from temporal_airflow.cli.console import execute
from temporal_airflow.models import ClearTasks


def rerun(
    run: options.Run,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only what has failed, or an upstream task of which has.")
    ] = False,
    dry_run: options.DryRun = False,
    user: options.User = None,
    output: options.OutputOption = options.Output.TABLE,
) -> None:
    """Run a run again under its id: all its tasks, or with --failed what has failed. Running tasks are stopped first.

    Example: temporal-airflow rerun my_dag/manual__1 --failed
    """
    action = ClearTasks(kind="clear", only_failed=failed)
    execute(act(run, action, "Cleared", user=user, dry_run=dry_run, output=output))
