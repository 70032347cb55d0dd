"""``temporal-airflow worker``: serve runs and tasks until told to stop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from temporal_airflow import dag_loader
from temporal_airflow.cli.console import execute, fail, report
from temporal_airflow.cli.worker_processes import (
    DRAINING,
    STOP_SIGNALS,
    STOPPING,
    UnderCommand,
    WorkerMain,
    WorkerProcesses,
)
from temporal_airflow.connection import connect
from temporal_airflow.engine.airflow_library import airflow_version, import_scheduling_code
from temporal_airflow.exceptions import ExitCode, InputError, SettingsError, TemporalAirflowError
from temporal_airflow.settings import Settings, load_settings
from temporal_airflow.tasks.bundles import bundle_environment
from temporal_airflow.tasks.slots import ProcessTemplate
from temporal_airflow.worker import RunningWorker, run_worker, workflow_classes

DagsFolder = Annotated[
    Path | None, typer.Option(help="Folder of DAG files; Airflow's own configuration (bundles) otherwise.")
]


def worker(
    dags_folder: DagsFolder = None,
    queue: Annotated[list[str] | None, typer.Option(help="Airflow queue to serve too; may be repeated.")] = None,
    concurrency: Annotated[int | None, typer.Option(help="Most tasks at once.", min=1)] = None,
    processes: Annotated[
        int | None, typer.Option(help="Worker processes that share the tasks; more of them use more cores.", min=1)
    ] = None,
    drain_timeout: Annotated[
        float | None, typer.Option(help="Seconds to wait for running tasks after SIGTERM.", min=0)
    ] = None,
) -> None:
    """Serve runs and tasks. SIGTERM or Ctrl-C drains: running tasks may end. A second one stops them at once.

    Neither eats a try: a stopped task runs again on another worker.
    """
    settings = load_settings(concurrency=concurrency, processes=processes, drain_timeout=drain_timeout)
    queues = tuple(queue or ())
    if settings.processes == 1:
        execute(serve(dags_folder, queues, settings))
    _serve_in_processes(dags_folder, queues, settings)


def _serve_in_processes(dags_folder: Path | None, queues: tuple[str, ...], settings: Settings) -> NoReturn:
    try:
        shares = _shares(settings)
        worker_environment(dags_folder)
        airflow_version()
    except TemporalAirflowError as error:
        fail(str(error), error.exit_code)
    workflow_classes()  # imports everything that the workers share
    mains: list[WorkerMain] = [partial(_serve_share, dags_folder, queues, share) for share in shares]
    raise typer.Exit(WorkerProcesses(mains).run())


def _serve_share(
    dags_folder: Path | None, queues: tuple[str, ...], settings: Settings, command: UnderCommand
) -> NoReturn:
    execute(serve(dags_folder, queues, settings, command))


def _shares(settings: Settings) -> Sequence[Settings]:
    """The settings of each process, with its share of the tasks that may run at once.

    Raises:
        SettingsError: if there are fewer tasks than processes.
    """
    least, more = divmod(settings.concurrency, settings.processes)
    if not least:
        raise SettingsError(
            f"{settings.processes} worker processes can't share {settings.concurrency} tasks at once. "
            "Raise concurrency, or lower processes."
        )
    shares = [least + (number < more) for number in range(settings.processes)]
    return [settings.model_copy(update={"concurrency": share}) for share in shares]


class Alone:
    """A worker that is the whole command: signals and the terminal are its own."""

    def ready(self, served: str) -> None:
        """Say it."""
        report(served)

    def say(self, text: str) -> None:
        """Say what happens."""
        report(text)

    @asynccontextmanager
    async def stop_signals(self) -> AsyncIterator[asyncio.Queue[int]]:
        """Each SIGTERM and each Ctrl-C."""
        loop = asyncio.get_running_loop()
        signals: asyncio.Queue[int] = asyncio.Queue()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, signals.put_nowait, number)
        try:
            yield signals
        finally:
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)


async def serve(
    dags_folder: Path | None, queues: tuple[str, ...], settings: Settings, command: Alone | UnderCommand | None = None
) -> ExitCode:
    """Run a worker until it is told to stop.

    Args:
        dags_folder: root of the DAG files; None leaves it to Airflow's configuration.
        queues: Airflow queues besides the default one.
        settings: server, task queue, concurrency, drain timeout.
        command: who says when to stop; None for a worker that is the whole command.
    """
    command = command or Alone()
    airflow_version()
    async with (
        ProcessTemplate.start(worker_environment(dags_folder)) as template,
        connect(settings, report=report) as connection,
    ):
        await asyncio.to_thread(import_scheduling_code)
        await dag_loader.started(template)
        async with run_worker(connection.client, template, settings, settings.task_queue, queues) as running:
            served = ", ".join(("default", *queues))
            interface = f"\nTemporal UI: {connection.ui_url}" if connection.ui_url else ""
            where = f"{connection.address}, task queue {settings.task_queue}"
            command.ready(f"Worker ready on {where}, Airflow queues: {served}.{interface}")
            await until_told_to_stop(running, command)
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


async def until_told_to_stop(running: RunningWorker, command: Alone | UnderCommand) -> None:
    """Serve until SIGTERM or Ctrl-C, then drain; stop tasks at once on a second signal."""
    async with command.stop_signals() as signals:
        await signals.get()
        command.say(DRAINING)
        draining = asyncio.create_task(running.drain())
        again = asyncio.create_task(signals.get())
        await asyncio.wait({draining, again}, return_when=asyncio.FIRST_COMPLETED)
        if not draining.done():
            command.say(STOPPING)
            await running.kill_tasks()
        again.cancel()
        await draining
