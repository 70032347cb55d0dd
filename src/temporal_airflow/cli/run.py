"""``temporal-airflow run``: one DAG file, run to its end with everything in place."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer
from airflow.utils.state import DagRunState

from temporal_airflow import client, identifiers, in_place
from temporal_airflow.cli import options
from temporal_airflow.cli.console import execute, print_json, report, stderr, stdout, warn
from temporal_airflow.cli.questions import PROGRAM
from temporal_airflow.cli.run_view import RunView, print_summary, run_json, run_table
from temporal_airflow.dag_loader import load_dag
from temporal_airflow.engine.airflow_library import airflow_version
from temporal_airflow.exceptions import ExitCode, InputError, LeftAtOnceError
from temporal_airflow.in_place import InPlace, open_in_place
from temporal_airflow.models import DagRunIdentity, DagRunRecord, LoadDagInput, LoadedDag, XComRequest
from temporal_airflow.settings import load_settings
from temporal_airflow.worker import RunningWorker


def run(  # noqa: PLR0917  # Typer reads the command's options from here
    file: Annotated[Path, typer.Argument(metavar="FILE", help="DAG file.")],
    dag_id: options.DagId = None,
    run_id: options.RunId = None,
    logical_date: options.LogicalDate = None,
    conf: options.Conf = None,
    output: options.OutputOption = options.Output.TABLE,
    xcom: Annotated[bool, typer.Option("--xcom", help="Add XComs to the JSON output.")] = False,
    ephemeral: Annotated[
        bool, typer.Option("--ephemeral", help="Use a private server that leaves nothing behind.")
    ] = False,
) -> None:
    """Run a DAG file to its end: finds or starts a server, runs the tasks here, shows them live.

    Ctrl-C cancels the run and waits for it; a second Ctrl-C leaves at once. With the --run-id of a run that is still
    open, it goes on with that run. It ends when the runs that tasks have started have ended, too.
    Example: temporal-airflow run examples/simple_dag.py --output json
    """
    execute(_run(file, dag_id, run_id, logical_date, conf, output, with_xcom=xcom, ephemeral=ephemeral))


async def _run(  # noqa: PLR0917  # one for one the command's options
    file: Path,
    dag_id: str | None,
    run_id: str | None,
    logical_date: str | None,
    conf: str | None,
    output: options.Output,
    *,
    with_xcom: bool,
    ephemeral: bool,
) -> ExitCode:
    airflow_version()
    if with_xcom and output != options.Output.JSON:
        raise InputError("--xcom adds to the JSON output: use it with --output json.")
    path = options.check_dag_file(file)
    request = LoadDagInput(
        path=str(path),
        dag_id=dag_id,
        run_id=run_id,
        logical_date=options.read_logical_date(logical_date),
        conf=options.read_conf(conf),
        now=client.now(),
    )
    settings = load_settings()
    folder = in_place.dags_folder_of(path)
    async with in_place.task_processes(folder) as template:
        loaded = await load_dag(template, request)
        for warning in loaded.definition.warnings:
            warn(warning)
        async with open_in_place(template, folder, settings, ephemeral=ephemeral, report=report) as place:
            url = place.connection.workflow_url(identifiers.workflow_id(loaded.run.dag_id, loaded.run.run_id))
            if url:
                report(f"Temporal UI: {url}")
            record = await _run_to_end(place, loaded, output, with_xcom=with_xcom, ephemeral=ephemeral)
    if output == options.Output.TABLE and not stderr.is_terminal:
        stdout.print(run_table(record))
    print_summary(stderr, record)
    if not ephemeral and place.connection.embedded:
        report("`temporal-airflow dev` brings the server and its UI up again to look at this run.")
    return ExitCode.SUCCESS if record.state == DagRunState.SUCCESS else ExitCode.RUN_FAILED


async def _run_to_end(
    place: InPlace, loaded: LoadedDag, output: options.Output, *, with_xcom: bool, ephemeral: bool
) -> DagRunRecord:
    logging.getLogger("temporalio.activity").setLevel(logging.ERROR)  # a lost attempt is shown by the view
    async with place.worker() as worker:
        workflow_id = await _start_or_join(place, loaded)
        async with _interrupts_cancel(place, worker, loaded.run) as interrupts:
            record = await _follow(place, workflow_id, ephemeral=ephemeral)
            if output == options.Output.JSON:
                xcoms = await place.client.xcoms(workflow_id, XComRequest()) if with_xcom else None
                print_json(run_json(record, xcoms))
            await _serve_started_runs(place, workflow_id, interrupts)
    return record


async def _serve_started_runs(place: InPlace, workflow_id: str, interrupts: Interrupts) -> None:
    """Go on until the runs that tasks have started have ended, too: nobody else serves them."""
    async for started in place.open_started_runs(workflow_id):
        report(f"Going on until run {started.run_id!r} of DAG {started.dag_id!r} has ended, which a task started.")
        await interrupts.aim_at(started.dag_id, started.run_id)
        report(f"Run {started.run_id!r} of DAG {started.dag_id!r}: {await place.client.end_of(started)}.")


async def _start_or_join(place: InPlace, loaded: LoadedDag) -> str:
    open_run = await place.client.open_run_of(loaded.run.dag_id, loaded.run.run_id)
    if open_run is not None:
        report(f"Run {loaded.run.run_id} is still open: going on with it.")
        return open_run
    return await place.start(loaded)


async def _follow(place: InPlace, workflow_id: str, *, ephemeral: bool) -> DagRunRecord:
    """Show the run; other commands find its server by themselves, unless it is one that only this command knows."""
    program = f"TEMPORAL_ADDRESS={place.connection.address} {PROGRAM}" if ephemeral else PROGRAM
    with RunView(stderr, program) as view:
        async for record in place.client.watch(workflow_id):
            view.show(record)
    return record


class Interrupts:
    """First Ctrl-C: cancel the run that is waited for, and each that follows; second: leave."""

    def __init__(self, place: InPlace, run: DagRunIdentity, leave: Callable[[], object]) -> None:
        """Aim at a run.

        Args:
            place: where it runs.
            run: to be cancelled.
            leave: what to do the second time.
        """
        self._place = place
        self._dag_id, self._run_id = run.dag_id, run.run_id
        self._leave = leave
        self._cancelling: set[asyncio.Task[None]] = set()

    def interrupted(self) -> None:
        """Act on a signal."""
        if self._cancelling:
            self._leave()
            return
        report("Cancelling the run; press Ctrl-C again to leave at once.")
        self._cancelling.add(asyncio.create_task(self._place.client.cancel(self._workflow_id)))

    async def aim_at(self, dag_id: str, run_id: str) -> None:
        """Another run is waited for from now on; cancel it, too, if there was an interruption before."""
        self._dag_id, self._run_id = dag_id, run_id
        if self._cancelling:
            await self._place.client.cancel(self._workflow_id)

    async def what_is_left(self) -> str:
        """What to tell the user who leaves."""
        run = f"The run {self._run_id!r} of DAG {self._dag_id!r}"
        if not await self._place.client.settle(self._workflow_id):
            return f"Left at once. {run} has ended, cancelled."
        return (
            f"Left at once. {run} is being cancelled; its tasks here are stopped, and it ends when a worker serves it "
            f"again: `temporal-airflow run FILE --run-id {self._run_id}`."
        )

    @property
    def _workflow_id(self) -> str:
        return identifiers.workflow_id(self._dag_id, self._run_id)


@asynccontextmanager
async def _interrupts_cancel(place: InPlace, worker: RunningWorker, run: DagRunIdentity) -> AsyncIterator[Interrupts]:
    loop = asyncio.get_running_loop()
    main_task = asyncio.current_task()
    assert main_task is not None
    interrupts = Interrupts(place, run, main_task.cancel)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupts.interrupted)
    try:
        yield interrupts
    except asyncio.CancelledError as error:
        await worker.kill_tasks()
        raise LeftAtOnceError(await interrupts.what_is_left()) from error
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
