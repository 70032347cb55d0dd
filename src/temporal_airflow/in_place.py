"""A run with everything it needs in this process: server, task processes, worker.

The command ``run``, the Python API and the pytest fixture stand on it. Whatever takes long starts at once: the process
template and this process import Airflow on two cores while the server comes up. It must not print.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from temporalio.client import WorkflowFailureError

from temporal_airflow import identifiers
from temporal_airflow.client import DagRunClient
from temporal_airflow.connection import Connection, connect
from temporal_airflow.engine.airflow_library import import_scheduling_code
from temporal_airflow.models import LoadedDag, TriggeredRun
from temporal_airflow.settings import Settings
from temporal_airflow.tasks.bundles import bundle_environment
from temporal_airflow.tasks.slots import ProcessTemplate
from temporal_airflow.worker import RunningWorker, run_worker

Report = Callable[[str], None]


@dataclass(frozen=True)
class InPlace:
    """What a run in place stands on.

    Attributes:
        task_queue: private to this folder and environment, so that projects never take each other's tasks.
    """

    connection: Connection
    client: DagRunClient
    template: ProcessTemplate
    task_queue: str
    settings: Settings

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[RunningWorker]:
        """Serve the private task queue for as long as the block runs.

        Another command of this folder may have lent its tasks: they may end, unless the block ends by an exception.
        """
        async with run_worker(self.connection.client, self.template, self.settings, self.task_queue) as running:
            try:
                yield running
            except BaseException:
                await running.kill_tasks()
                raise

    async def start(self, loaded: LoadedDag) -> str:
        """Start a run on the private task queue; all its Airflow queues are served by this worker."""
        return await self.client.start(loaded, task_queue=self.task_queue, route_queues=False)

    async def open_started_runs(self, workflow_id: str) -> AsyncIterator[TriggeredRun]:
        """Runs that the tasks of an ended run have started, and those started by these, as long as they are open.

        Whoever gets one waits for its end before going on: they have no other worker than that of this block.
        """
        candidates = await self.client.started_by(workflow_id)
        while candidates:
            run = candidates.pop(0)
            started = identifiers.workflow_id(run.dag_id, run.run_id)
            if await self.client.is_open(started):
                yield run
            with contextlib.suppress(WorkflowFailureError):  # ended from outside: it has left nothing
                candidates += await self.client.started_by(started)


@asynccontextmanager
async def task_processes(dags_folder: Path) -> AsyncIterator[ProcessTemplate]:
    """Task processes for a folder of DAG files, while this process imports what a worker needs.

    Args:
        dags_folder: root of the DAG files; on ``sys.path`` of tasks, as under Airflow.
    """
    async with ProcessTemplate.start({**os.environ, **bundle_environment(dags_folder)}) as template:
        importing = asyncio.create_task(asyncio.to_thread(import_scheduling_code))
        try:
            yield template
        finally:
            await importing


@asynccontextmanager
async def open_in_place(
    template: ProcessTemplate, dags_folder: Path, settings: Settings, *, ephemeral: bool = False, report: Report
) -> AsyncIterator[InPlace]:
    """Bring up a server for runs in place.

    Args:
        template: from :func:`task_processes`.
        dags_folder: the same.
        settings: of this command.
        ephemeral: use a private server, and leave no values behind.
        report: told what takes time.
    """
    async with AsyncExitStack() as stack:
        if ephemeral:
            folder = stack.enter_context(TemporaryDirectory(prefix="temporal-airflow-"))
            settings = settings.model_copy(update={"data_folder": Path(folder)})
        connection = await stack.enter_async_context(connect(settings, ephemeral=ephemeral, report=report))
        await asyncio.to_thread(import_scheduling_code)
        yield InPlace(connection, DagRunClient(connection.client), template, _task_queue(dags_folder), settings)


def dags_folder_of(path: Path) -> Path:
    """The root for a DAG file: Airflow's DAGs folder if the file is in it, else the file's own folder."""
    from airflow.configuration import conf

    configured = Path(conf.get("core", "dags_folder")).expanduser().resolve()
    resolved = path.resolve()
    return configured if resolved.is_relative_to(configured) else resolved.parent


def _task_queue(dags_folder: Path) -> str:
    airflow_home = os.environ.get("AIRFLOW_HOME", "~/airflow")
    return identifiers.private_task_queue(
        str(dags_folder.resolve()), sys.prefix, str(Path(airflow_home).expanduser().resolve())
    )
