"""One typed facade to act on runs: start, look, cancel. For the command line, the Python API and later parts alike.

It must not know how a run is carried out, nor print anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.utils.state import DagRunState
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.exceptions import WorkflowAlreadyStartedError

from temporal_airflow import (
    answering,
    identifiers,
    near_names,
    pausing,
    run_list,
    worker_presence,
)
from temporal_airflow.dag_loader import checked
from temporal_airflow.engine import open_questions
from temporal_airflow.engine.airflow_library import import_scheduling_code
from temporal_airflow.exceptions import (
    DagFileError,
    DagRunAlreadyExistsError,
    DagRunNotFoundError,
    InputError,
    NoWorkerError,
    ServerError,
)
from temporal_airflow.models import (
    ActionAnswer,
    DagExecutionResult,
    DagRunRecord,
    InputResponse,
    LoadDagInput,
    LoadedDag,
    LoadFailure,
    PausedDag,
    Routing,
    RunAction,
    TriggeredRun,
    UserAction,
    XComRecord,
    XComRequest,
)
from temporal_airflow.pausing import PauseOutcome
from temporal_airflow.reasons import Explanations
from temporal_airflow.run_actions import RunActions
from temporal_airflow.run_filters import RunFilter
from temporal_airflow.run_finding import RunFinder
from temporal_airflow.run_list import RunList
from temporal_airflow.run_reader import RunReader
from temporal_airflow.run_starting import start_run
from temporal_airflow.run_watching import RunWatcher
from temporal_airflow.tasks import run_turns

SKIP_KEY = "skipmixin_key"
"""Of the XCom in which a branch says what is skipped (``airflow.models.skipmixin.XCOM_SKIPMIXIN_KEY``)."""

LOAD_PATIENCE = timedelta(seconds=30)
"""For a worker to look for a DAG."""

SETTLE_PATIENCE = 2.0
"""Seconds for a run to take note of what happened."""

SETTLE_LOOK = 0.05
"""Seconds between two looks whether it has."""


class DagRunClient:
    """Starts runs and acts on them."""

    def __init__(self, client: Client) -> None:
        self.temporal = client
        self._reader = RunReader(client)
        self._finder = RunFinder(client)
        self._watcher = RunWatcher(client, self._reader, self._finder)
        self._actions = RunActions(client, self._reader)

    async def start(
        self,
        loaded: LoadedDag,
        *,
        task_queue: str,
        route_queues: bool,
        task_queues: Mapping[str, str] | None = None,
    ) -> str:
        """Start a run; over the DAG's ``max_active_runs`` it is queued and waits for its turn.

        Args:
            loaded: the DAG and the run, validated.
            task_queue: where its workers are.
            route_queues: see :class:`DagExecutionInput`.
            task_queues: the same.

        Returns:
            The workflow id.

        Raises:
            DagRunAlreadyExistsError: if there is such a run, open or closed.
            InputError: if it would wait for ever for a pool.
        """
        run = loaded.run
        workflow_id = identifiers.workflow_id(run.dag_id, run.run_id)
        routing = Routing(task_queue=task_queue, route_queues=route_queues, task_queues=dict(task_queues or {}))
        queued = await run_turns.must_queue(self.temporal, run.dag_id, loaded.definition.max_active_runs)
        try:
            await start_run(self.temporal, loaded, routing, queued=queued)
        except WorkflowAlreadyStartedError as error:
            raise DagRunAlreadyExistsError(await self._explain_existing(workflow_id, run.dag_id, run.run_id)) from error
        return workflow_id

    async def load(self, request: LoadDagInput, *, task_queue: str, within: timedelta) -> LoadedDag:
        """Ask a worker for its copy of a DAG.

        Raises:
            ServerError: if no worker answers in time.
            InputError: whatever the worker found wrong.
        """
        await worker_presence.wait_for_worker(self.temporal, task_queue)
        handle = await self.temporal.start_workflow(
            identifiers.LOAD_WORKFLOW_TYPE,
            request,
            id=identifiers.load_workflow_id(request.dag_id or "", uuid.uuid4().hex),
            task_queue=task_queue,
            execution_timeout=within,
            result_type=LoadedDag | LoadFailure,  # type: ignore[arg-type]  # a union is a type hint, not a type
        )
        try:
            outcome: LoadedDag | LoadFailure = await handle.result()
        except Exception as error:
            raise ServerError(
                f"No worker on task queue {task_queue!r} loaded DAG {request.dag_id!r} within {within.seconds} s. "
                "Start one with `temporal-airflow worker --dags-folder FOLDER`."
            ) from error
        return checked(outcome)

    async def open_run_of(self, dag_id: str, run_id: str) -> str | None:
        """The workflow id of this run if it is open; None if there is none or it has ended."""
        return await self._finder.open_run_of(dag_id, run_id)

    async def find(self, reference: str) -> str:
        """The workflow id of a run as a user names it.

        Raises:
            DagRunNotFoundError: if the server doesn't know it.
        """
        return await self._finder.find(reference)

    async def record(self, workflow_id: str) -> DagRunRecord:
        """A run and its task instances as they are now: tasks that no worker has taken yet are queued."""
        return await self._watcher.record(workflow_id)

    async def explain(self, workflow_id: str, record: DagRunRecord, task_id: str | None = None) -> Explanations:
        """Why task instances of a run don't run; takes the import of Airflow's scheduling code.

        Args:
            workflow_id: of the run.
            record: how it stands.
            task_id: only of this task, whatever its state is; None explains all that wait, or once the run has ended,
                all that haven't run.

        Raises:
            InputError: if the run has no such task.
        """
        known = {ti.task_id for ti in record.task_instances}
        if task_id is not None and (absence := near_names.absent_task(record.run.run_id, known, task_id)):
            raise InputError(absence)
        execution, skips, _ = await asyncio.gather(
            self._reader.execution(workflow_id),
            self.xcoms(workflow_id, XComRequest(key=SKIP_KEY)),
            asyncio.to_thread(import_scheduling_code),
        )
        from temporal_airflow import explaining

        return explaining.explain(execution, record, skips, task_id, now())

    async def xcoms(self, workflow_id: str, request: XComRequest) -> tuple[XComRecord, ...]:
        """XComs of an open or closed run."""
        return await self._watcher.answered(workflow_id, self._reader.xcoms(workflow_id, request))

    async def result(self, workflow_id: str) -> DagExecutionResult:
        """Wait for the end of a run."""
        result: DagExecutionResult = await self._handle(workflow_id).result()
        return result

    async def end_of(self, run: TriggeredRun) -> str:
        """Wait for the end of a run that a task has started; its state, for people."""
        try:
            result = await self.result(identifiers.workflow_id(run.dag_id, run.run_id))
        except WorkflowFailureError:
            return "ended from outside"
        return result.state.value

    async def started_by(self, workflow_id: str) -> list[TriggeredRun]:
        """The runs that tasks of a run have started, once it has ended."""
        found: list[TriggeredRun] = []
        for triggered in (await self.result(workflow_id)).triggered_runs:
            started = identifiers.workflow_id(triggered.dag_id, triggered.run_id)
            with contextlib.suppress(DagRunNotFoundError):  # it was refused
                memo = await (await self._finder.describe(started)).memo()
                if identifiers.starting_run(memo) == workflow_id and triggered not in found:
                    found.append(triggered)
        return found

    async def watch(self, workflow_id: str, interval: float = 0.25) -> AsyncIterator[DagRunRecord]:
        """The run's record now and whenever it may have changed, the final one last.

        Args:
            workflow_id: of the run.
            interval: seconds between two looks, at least.
        """
        ending = asyncio.create_task(self.result(workflow_id))
        try:
            async for record in self._watcher.watch(workflow_id, interval, ending):
                yield record
            yield ending.result().snapshot
        finally:
            ending.cancel()

    async def is_open(self, workflow_id: str) -> bool:
        """Whether a run has not ended yet."""
        description = await self._finder.describe(workflow_id)
        return description.status == WorkflowExecutionStatus.RUNNING

    async def settle(self, workflow_id: str) -> bool:
        """Wait a moment until a run has taken note of what happened to its tasks.

        A worker that leaves before takes a step of the run with it, which another worker gets only after its timeout.

        Returns:
            Whether the run is still open.
        """
        for _ in range(round(SETTLE_PATIENCE / SETTLE_LOOK)):
            description = await self._finder.describe(workflow_id)
            raw = description.raw_description
            if description.status != WorkflowExecutionStatus.RUNNING:
                return False
            if not raw.HasField("pending_workflow_task") and not raw.pending_activities:
                break
            await asyncio.sleep(SETTLE_LOOK)
        return True

    async def cancel(self, workflow_id: str) -> None:
        """Ask a run to end: running tasks get ``on_kill``; returns before it has ended."""
        await self._handle(workflow_id).cancel()

    async def respond(
        self,
        workflow_id: str,
        task_id: str,
        *,
        chosen_options: Sequence[str] = (),
        params_input: Mapping[str, Any] | None = None,
        map_index: int = -1,
        user: str | None = None,
    ) -> None:
        """Answer what a task asks; the answer has been taken when this returns.

        Args:
            workflow_id: of the run.
            task_id: of the task that waits.
            chosen_options: of those it offers; needn't be given if there is only one.
            params_input: values for the fields of its form, for all of them or none.
            map_index: of the task instance.
            user: id or name of who answers, as it is to be remembered; this process's user by default.

        Raises:
            InputError: why the run doesn't take the answer.
            NoWorkerError: if no worker is there to take it.
        """
        response = InputResponse(
            task_id=task_id,
            map_index=map_index,
            chosen_options=tuple(chosen_options),
            params_input=dict(params_input or {}),
            user=user or answering.own_name(),
        )
        if not await self.is_open(workflow_id):
            raise InputError(f"Run {workflow_id!r} has ended: no task waits for an answer.")
        if absence := open_questions.absence(await self.record(workflow_id), response):
            raise InputError(absence)
        await answering.send(self._handle(workflow_id), response)

    async def act(self, workflow_id: str, action: UserAction, *, user: str | None = None) -> ActionAnswer:
        """Clear, mark, pause a run or write a note on it; open or ended, it has been done when this returns.

        Args:
            workflow_id: of the run.
            action: what to do.
            user: id or name of who does it; this process's user by default.

        Raises:
            InputError: why the run doesn't do it.
            NoWorkerError: if no worker is there to do it.
        """
        wanted = RunAction(action=action, user=user or answering.own_name())
        return await self._actions.act(workflow_id, wanted)

    async def preview(self, workflow_id: str, action: UserAction) -> ActionAnswer:
        """What an action would do; nothing is done.

        Raises:
            InputError: why it would be refused.
        """
        return await self._actions.preview(workflow_id, RunAction(action=action, user=answering.own_name()))

    async def pause(self, dag_id: str, *, task_queue: str, user: str | None = None) -> PauseOutcome:
        """Pause a DAG: no more tasks start in its runs on a task queue, those that run go on to their end.

        Args:
            dag_id: of the DAG.
            task_queue: of its runs.
            user: id or name of who pauses it; this process's user by default.

        Raises:
            InputError: if there is no such DAG.
            NoWorkerError: if it has no runs, and no worker is there to look for it.
        """
        await self._check_dag(dag_id, task_queue)
        paused = PausedDag(dag_id=dag_id, task_queue=task_queue, user=user or answering.own_name())
        return await pausing.pause(self.temporal, paused)

    async def unpause(self, dag_id: str, *, task_queue: str, user: str | None = None) -> None:
        """Let the runs of a paused DAG go on.

        Raises:
            InputError: if it isn't paused.
        """
        if not await pausing.unpause(self.temporal, task_queue, dag_id, user or answering.own_name()):
            there_are = await pausing.paused_dags(self.temporal, task_queue)
            absence = near_names.absence(f"On task queue {task_queue!r} no DAG is paused with id", dag_id, there_are)
            raise InputError(absence)

    async def _check_dag(self, dag_id: str, task_queue: str) -> None:
        """Refuse a DAG that has no runs, and that no worker knows."""
        if dag_id in {known for known, _ in await self.known_runs()}:
            return
        try:
            await self.load(LoadDagInput(dag_id=dag_id, now=now()), task_queue=task_queue, within=LOAD_PATIENCE)
        except (DagFileError, NoWorkerError):
            raise
        except InputError:  # it is there, though it can't be started just so
            return

    async def list_runs(
        self,
        *,
        dag_id: str | None = None,
        states: Iterable[DagRunState] = (),
        since: datetime | None = None,
        limit: int = 50,
    ) -> RunList:
        """Runs, latest start first.

        Args:
            dag_id: only of this DAG.
            states: only in one of these; none means in any.
            since: only those that were started then or later.
            limit: at most so many.
        """
        wanted = RunFilter(dag_id, states=frozenset(states), since=since)
        return await run_list.list_runs(self.temporal, self._reader, wanted, limit)

    async def known_runs(self) -> list[tuple[str, str]]:
        """DAG id and run id of some runs there are, open ones first."""
        return await self._finder.known()

    async def _explain_existing(self, workflow_id: str, dag_id: str, run_id: str) -> str:
        memo = await (await self._finder.describe(workflow_id)).memo()
        owner = (memo.get("dag_id"), memo.get("run_id"))
        if owner != (dag_id, run_id):
            return (
                f"Run {run_id!r} of DAG {dag_id!r} would have the workflow id {workflow_id!r}, which belongs to run "
                f"{owner[1]!r} of DAG {owner[0]!r}. Choose another run id."
            )
        try:
            state = (await self.record(workflow_id)).state.value
        except NoWorkerError:
            state = DagRunState.RUNNING.value
        except DagRunNotFoundError:
            state = "ended from outside"
        return f"Run {run_id!r} of DAG {dag_id!r} exists already: {state}. Choose another --run-id."

    def _handle(self, workflow_id: str) -> WorkflowHandle[object, DagExecutionResult]:
        return self.temporal.get_workflow_handle(workflow_id, result_type=DagExecutionResult)


def now() -> datetime:
    """The moment of a request, in whole microseconds of UTC."""
    return datetime.now(UTC)
