"""``temporal-airflow trigger``: start a run that workers elsewhere carry out."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from airflow.utils.state import DagRunState

from temporal_airflow import in_place
from temporal_airflow.cli import options
from temporal_airflow.cli.console import connected, execute, report, stderr, warn
from temporal_airflow.cli.run_view import RunView, print_summary
from temporal_airflow.client import DagRunClient, now
from temporal_airflow.dag_loader import load_dag
from temporal_airflow.engine.airflow_library import airflow_version
from temporal_airflow.exceptions import ExitCode
from temporal_airflow.models import LoadDagInput, LoadedDag
from temporal_airflow.settings import Settings, load_settings

LOAD_TIMEOUT = timedelta(seconds=60)


def trigger(  # noqa: PLR0917  # Typer reads the command's options from here
    file_or_dag_id: Annotated[str, typer.Argument(metavar="FILE_OR_DAG_ID", help="DAG file, or the id of a DAG.")],
    dag_id: options.DagId = None,
    run_id: options.RunId = None,
    logical_date: options.LogicalDate = None,
    conf: options.Conf = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the run; exit code 1 if it fails.")] = False,
) -> None:
    """Start a run for workers to carry out and print its workflow id.

    A FILE is loaded here and must be at the same place in the workers' DAGs folder; a DAG id is loaded by a worker.
    """
    execute(_trigger(file_or_dag_id, dag_id, run_id, logical_date, conf, wait=wait))


async def _trigger(
    file_or_dag_id: str,
    dag_id: str | None,
    run_id: str | None,
    logical_date: str | None,
    conf: str | None,
    *,
    wait: bool,
) -> ExitCode:
    airflow_version()
    is_file = file_or_dag_id.endswith((".py", ".zip")) or os.sep in file_or_dag_id
    request = LoadDagInput(
        path=str(options.check_dag_file(Path(file_or_dag_id))) if is_file else None,
        dag_id=dag_id if is_file else file_or_dag_id,
        run_id=run_id,
        logical_date=options.read_logical_date(logical_date),
        conf=options.read_conf(conf),
        now=now(),
    )
    settings = load_settings()
    loaded_here = await _load_here(request) if is_file else None
    async with connected(settings) as (connection, client):
        loaded = loaded_here or await _load_on_worker(client, request, settings)
        for warning in loaded.definition.warnings:
            warn(warning)
        workflow_id = await client.start(
            loaded, task_queue=settings.task_queue, route_queues=True, task_queues=settings.queue_map
        )
        typer.echo(workflow_id)
        if url := connection.workflow_url(workflow_id):
            report(f"Temporal UI: {url}")
        if not wait:
            return ExitCode.SUCCESS
        with RunView(stderr) as view:
            async for record in client.watch(workflow_id):
                view.show(record)
        print_summary(stderr, record)
    return ExitCode.SUCCESS if record.state == DagRunState.SUCCESS else ExitCode.RUN_FAILED


async def _load_here(request: LoadDagInput) -> LoadedDag:
    assert request.path is not None
    folder = in_place.dags_folder_of(Path(request.path))
    async with in_place.task_processes(folder) as template:
        return await load_dag(template, request)


async def _load_on_worker(client: DagRunClient, request: LoadDagInput, settings: Settings) -> LoadedDag:
    report(f"Loading DAG {request.dag_id} on a worker of task queue {settings.task_queue}.")
    return await client.load(request, task_queue=settings.task_queue, within=LOAD_TIMEOUT)
