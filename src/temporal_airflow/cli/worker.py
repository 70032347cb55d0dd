"""``temporal-airflow worker``: serve runs and tasks until told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer

from temporal_airflow import dag_loader
from temporal_airflow.cli.console import execute, report
from temporal_airflow.connection import connect
from temporal_airflow.engine.airflow_library import airflow_version, import_scheduling_code
from temporal_airflow.exceptions import ExitCode, InputError
from temporal_airflow.settings import Settings, load_settings
from temporal_airflow.tasks.bundles import bundle_environment
from temporal_airflow.tasks.slots import ProcessTemplate
from temporal_airflow.worker import RunningWorker, run_worker

DagsFolder = Annotated[
    Path | None, typer.Option(help="Folder of DAG files; Airflow's own configuration (bundles) otherwise.")
]


def worker(
    dags_folder: DagsFolder = None,
    queue: Annotated[list[str] | None, typer.Option(help="Airflow queue to serve too; may be repeated.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Most tasks at once.", min=1)] = None,
    drain_timeout: Annotated[
        float | None, typer.Option(help="Seconds to wait for running tasks after SIGTERM.", min=0)
    ] = None,
) -> None:
    """Serve runs and tasks. SIGTERM or Ctrl-C drains: running tasks may end. A second one stops them at once.

    Neither eats a try: a stopped task runs again on another worker.
    """
    settings = load_settings(concurrency=concurrency, drain_timeout=drain_timeout)
    execute(serve(dags_folder, tuple(queue or ()), settings))


async def serve(dags_folder: Path | None, queues: tuple[str, ...], settings: Settings) -> ExitCode:
    """Run a worker until it is told to stop.

    Args:
        dags_folder: root of the DAG files; None leaves it to Airflow's configuration.
        queues: Airflow queues besides the default one.
        settings: server, task queue, concurrency, drain timeout.
    """
    airflow_version()
    async with (
        ProcessTemplate.start(worker_environment(dags_folder)) as template,
        connect(settings, report=report) as connection,
    ):
        await asyncio.to_thread(import_scheduling_code)
        await dag_loader.started(template)
        async with run_worker(connection.client, template, settings, settings.task_queue, queues) as running:
            served = ", ".join(("default", *queues))
            report(f"Worker ready on {connection.address}, task queue {settings.task_queue}, Airflow queues: {served}.")
            if connection.ui_url:
                report(f"Temporal UI: {connection.ui_url}")
            await until_told_to_stop(running)
    return ExitCode.SUCCESS


def worker_environment(dags_folder: Path | None) -> dict[str, str]:
    """The environment of task processes.

    Raises:
        InputError: if the folder doesn't exist.
    """
    if dags_folder is None:
        return dict(os.environ)
    if not dags_folder.is_dir():
        raise InputError(f"The DAGs folder {dags_folder} doesn't exist or is not a folder.")
    return {**os.environ, **bundle_environment(dags_folder)}


async def until_told_to_stop(running: RunningWorker) -> None:
    """Serve until SIGTERM or Ctrl-C, then drain; stop tasks at once on a second signal."""
    async with _stop_signals() as signals:
        await signals.get()
        report("Draining: no new tasks are taken; send the signal again to stop the running ones.")
        draining = asyncio.create_task(running.drain())
        again = asyncio.create_task(signals.get())
        await asyncio.wait({draining, again}, return_when=asyncio.FIRST_COMPLETED)
        if not draining.done():
            report("Stopping the running tasks; they will run again on another worker.")
            await running.kill_tasks()
        again.cancel()
        await draining


@asynccontextmanager
async def _stop_signals() -> AsyncIterator[asyncio.Queue[int]]:
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[int] = asyncio.Queue()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, signals.put_nowait, number)
    try:
        yield signals
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
