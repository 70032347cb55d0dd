"""The commands by name, with the help that is common to them."""

from __future__ import annotations

import typer

from temporal_airflow.cli import (
    cancel,
    clear,
    dev,
    doctor,
    list_runs,
    logs,
    mark,
    note,
    pause,
    pools,
    rerun,
    respond,
    run,
    status,
    trigger,
    worker,
    xcom,
)

EPILOG = (
    "Exit codes: 0 success, 1 the run failed, 2 wrong usage or input, 3 no server, 130 interrupted. "
    "RUN is a workflow id, or dag_id/run_id. "
    "Example: temporal-airflow run examples/simple_dag.py"
)

app = typer.Typer(
    name="temporal-airflow",
    help="Run unchanged Apache Airflow DAGs as durable Temporal workflows.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:  # as Typer calls it
    """Print the version and end."""
    if wanted:
        from importlib.metadata import version

        typer.echo(f"temporal-airflow {version('temporal-airflow')}")
        raise typer.Exit


@app.callback()
def program(
    version: bool = typer.Option(  # its callback has taken it
        False, "--version", help="Show the version and exit.", is_eager=True, callback=show_version
    ),
) -> None:
    """Run unchanged Apache Airflow DAGs as durable Temporal workflows."""


for name, command in (
    ("run", run.run),
    ("worker", worker.worker),
    ("trigger", trigger.trigger),
    ("status", status.status),
    ("list", list_runs.list_runs),
    ("logs", logs.logs),
    ("xcom", xcom.xcom),
    ("respond", respond.respond),
    ("clear", clear.clear),
    ("rerun", rerun.rerun),
    ("mark", mark.mark),
    ("note", note.note),
    ("cancel", cancel.cancel),
    ("pause", pause.pause),
    ("unpause", pause.unpause),
    ("dev", dev.dev),
    ("doctor", doctor.doctor),
):
    app.command(name)(command)

app.add_typer(pools.app, name="pools")
