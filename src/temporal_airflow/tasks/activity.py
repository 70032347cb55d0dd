"""The activities: between Temporal and the processes that run user code.

``run_airflow_task`` is one attempt at one try. It hands the attempt to a slot, passes heartbeats up and cancellation
down, has the task's questions answered, and delivers the result. It must not import Airflow nor run user code.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import copy_context
from functools import partial
from typing import TypeVar

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from temporal_airflow import identifiers, pausing
from temporal_airflow.asset_client import AssetClient
from temporal_airflow.exceptions import ProcessLostError
from temporal_airflow.models import (
    AttemptSeries,
    CallbackInput,
    DeadlineCallbackInput,
    LoadDagInput,
    LoadedDag,
    LoadFailure,
    PastRuns,
    PastRunsQuestion,
    PausedDag,
    PublishAssetEventsInput,
    PublishedAssetEvents,
    RegisterAssetsInput,
    RunListenersInput,
    SeriesReport,
    TaskExecutionInput,
    TaskExecutionResult,
    TriggerInput,
    TriggerResult,
    TurnInput,
)
from temporal_airflow.past_runs import PastRunsWatch
from temporal_airflow.run_reader import RunReader
from temporal_airflow.state_client import StateClient
from temporal_airflow.tasks import run_turns, workflow_watch
from temporal_airflow.tasks.answers import Answers
from temporal_airflow.tasks.dag_catalog import DagCatalog
from temporal_airflow.tasks.delivery import ResultDelivery
from temporal_airflow.tasks.messages import (
    Ask,
    CallbacksDone,
    Cancel,
    Failed,
    Heartbeat,
    LoadDag,
    Loaded,
    Reply,
    Request,
    RunCallbacks,
    RunDeadlineCallback,
    RunListeners,
    RunTask,
    TaskDone,
)
from temporal_airflow.tasks.series import FENCED, RunOfSeries, SeriesOnWorker
from temporal_airflow.tasks.server_watch import ServerWatch
from temporal_airflow.tasks.slots import ProcessTemplate, Slot, SlotPool
from temporal_airflow.tasks.triggers.connection import TriggerBrokenError
from temporal_airflow.tasks.triggers.pool import TriggerPool

QUEUE_HEARTBEAT = 1.0
"""Seconds between heartbeats of an attempt that waits for a slot."""

FENCE_SHARE = 0.9
"""Of the heartbeat timeout: an attempt must be gone before the server counts it as lost."""

DELIVERY_TIMEOUT = 60.0
"""Seconds that a stopping worker waits for the server to take the last results."""

ReplyType = TypeVar("ReplyType", bound=Reply)
T = TypeVar("T")


class TaskActivities:
    """The activities of one worker.

    Attributes:
        delivery: results on their way to the server.
    """

    def __init__(self, client: Client, large_xcom_path: str) -> None:
        self._client = client
        self._pool: SlotPool | None = None
        self._triggers: TriggerPool | None = None
        self._large_xcom_path = large_xcom_path
        states = StateClient(client)
        self._assets = AssetClient(states)
        self._answers = Answers(client, states)
        self._watch = ServerWatch(client)
        self.delivery = ResultDelivery(client)

    @property
    def functions(self) -> list[Callable[..., Awaitable[object]]]:
        """What to register with a worker."""
        return [
            self.run_airflow_task,
            self.run_airflow_task_series,
            self.run_airflow_callbacks,
            self.run_airflow_deadline_callback,
            self.run_airflow_run_listeners,
            self.load_airflow_dag,
        ]

    @property
    def waiting_functions(self) -> list[Callable[..., Awaitable[object]]]:
        """What to register with a worker of triggers: it takes no slot, so much more may be open at once."""
        return [
            self.run_airflow_trigger,
            self.register_airflow_assets,
            self.publish_airflow_asset_events,
            self.await_airflow_deadline_callback,
            self.watch_past_airflow_runs,
            self.await_airflow_turn,
            self.watch_airflow_workflow,
            self.tell_airflow_runs_of_pause,
            self.await_airflow_unpause,
        ]

    @asynccontextmanager
    async def on(self, template: ProcessTemplate, concurrency: int, waiting: int = 0) -> AsyncIterator[SlotPool]:
        """Serve in processes of a template for as long as the block runs; at its end the last results are delivered.

        Args:
            template: what task processes are forked from.
            concurrency: how many tasks run at once.
            waiting: how many slots wait for tasks.
        """
        self._pool = SlotPool(template, maximum=concurrency, waiting=waiting)
        self._pool.prepare()
        self._triggers = TriggerPool(template)
        self._answers.catalog = DagCatalog(template)
        watching = asyncio.create_task(self._watch.run(), name="sign of life of the server")
        try:
            yield self._pool
        finally:
            watching.cancel()
            await self.delivery.finish(DELIVERY_TIMEOUT)
            await self._triggers.close()
            await self._pool.close()

    @activity.defn(name=identifiers.TASK_ACTIVITY)
    async def run_airflow_task(self, attempt: TaskExecutionInput) -> TaskExecutionResult:
        """Run one attempt at one try of a task instance."""
        request = RunTask(input=attempt, large_xcom_path=self._large_xcom_path)
        reply = await self._serve(request, TaskDone)
        self.delivery.send(activity.info().task_token, activity.info().activity_id, reply.result)
        activity.raise_complete_async()

    @activity.defn(name=identifiers.SERIES_ACTIVITY)
    async def run_airflow_task_series(self, series: AttemptSeries) -> SeriesReport:
        """Run attempts one after the other."""
        info = activity.info()
        assert info.workflow_id is not None
        assert info.workflow_run_id is not None
        run = RunOfSeries(self._client, info.workflow_id, info.workflow_run_id, info.activity_id)
        on_worker = SeriesOnWorker(info.activity_id, series, run, _OfActivity(), self._serve_in_series)
        self.delivery.send(info.task_token, info.activity_id, await on_worker.run(self._slot))
        activity.raise_complete_async()

    @activity.defn(name=identifiers.CALLBACK_ACTIVITY)
    async def run_airflow_callbacks(self, callback: CallbackInput) -> None:
        """Run a DAG's callbacks, or those of a task whose process was lost."""
        request = RunCallbacks(input=callback, large_xcom_path=self._large_xcom_path)
        _check_called((await self._serve(request, CallbacksDone)).error)

    @activity.defn(name=identifiers.DEADLINE_ACTIVITY)
    async def run_airflow_deadline_callback(self, callback: DeadlineCallbackInput) -> None:
        """Call what a missed deadline names."""
        request = RunDeadlineCallback(input=callback, large_xcom_path=self._large_xcom_path)
        _check_called((await self._serve(request, CallbacksDone)).error)

    @activity.defn(name=identifiers.LISTENERS_ACTIVITY)
    async def run_airflow_run_listeners(self, notice: RunListenersInput) -> None:
        """Call the listeners of DAG runs."""
        request = RunListeners(input=notice, large_xcom_path=self._large_xcom_path)
        _check_called((await self._serve(request, CallbacksDone)).error)

    @activity.defn(name=identifiers.LOAD_ACTIVITY)
    async def load_airflow_dag(self, request: LoadDagInput) -> LoadedDag | LoadFailure:
        """Load a DAG from this worker's DAG bundles."""
        reply = await self._serve(LoadDag(input=request), Loaded)
        return reply.outcome

    @activity.defn(name=identifiers.TURN_ACTIVITY)
    async def await_airflow_turn(self, turn: TurnInput) -> None:
        """Wait until a queued run may start."""
        await run_turns.await_turn(self._client, turn, activity.heartbeat)

    @activity.defn(name=identifiers.TELL_ACTIVITY)
    async def tell_airflow_runs_of_pause(self, paused: PausedDag) -> tuple[str, ...]:
        """Tell the open runs of a DAG that it is paused; those that know now."""
        return await pausing.tell_open_runs(self._client, paused, activity.info().workflow_run_id or "")

    @activity.defn(name=identifiers.UNPAUSE_ACTIVITY)
    async def await_airflow_unpause(self, workflow_id: str) -> None:
        """Wait until a DAG isn't paused any more; may be started anew any time."""
        await _heartbeating(pausing.until_unpaused(self._client, workflow_id))

    @activity.defn(name=identifiers.WATCH_ACTIVITY)
    async def watch_airflow_workflow(self, workflow_id: str) -> None:
        """Wait for the end of a run, or of a batch of its attempts; may be started anew any time."""
        await _heartbeating(workflow_watch.until_ended(self._client, workflow_id))

    @activity.defn(name=identifiers.TRIGGER_ACTIVITY)
    async def run_airflow_trigger(self, trigger: TriggerInput) -> TriggerResult:
        """Wait for a deferred task; may be started anew any time."""
        assert self._triggers is not None, "activities run inside `on`"
        try:
            return await self._triggers.run(trigger, _own_heartbeat(), self._answers.to, by_user=_was_cancelled)
        except ProcessLostError as error:
            raise ApplicationError(str(error), type="ProcessLost") from error
        except TriggerBrokenError as error:
            raise ApplicationError(str(error), type="TriggerBroken") from error

    @activity.defn(name=identifiers.AWAITED_DEADLINE_ACTIVITY)
    async def await_airflow_deadline_callback(self, callback: DeadlineCallbackInput) -> None:
        """Await what a missed deadline names, where triggers run."""
        assert self._triggers is not None, "activities run inside `on`"
        try:
            _check_called(await self._triggers.call(callback, _own_heartbeat(), self._answers.to))
        except ProcessLostError as error:
            raise ApplicationError(str(error), type="ProcessLost") from error
        except TriggerBrokenError as error:
            raise ApplicationError(str(error), type="TriggerBroken") from error

    @activity.defn(name=identifiers.PAST_RUNS_ACTIVITY)
    async def watch_past_airflow_runs(self, question: PastRunsQuestion) -> PastRuns:
        """Answer a run's question about earlier runs, once there are news; may be started anew any time."""
        return await _heartbeating(PastRunsWatch(self._client, RunReader(self._client), question).news())

    @activity.defn(name=identifiers.REGISTER_ACTIVITY)
    async def register_airflow_assets(self, registration: RegisterAssetsInput) -> None:
        """Make the assets of a run's DAG file known to all runs of its task queue."""
        with _refusals():
            await self._assets.register(registration.task_queue, registration.file_assets)

    @activity.defn(name=identifiers.PUBLISH_ACTIVITY)
    async def publish_airflow_asset_events(self, publication: PublishAssetEventsInput) -> PublishedAssetEvents:
        """Record the asset events of tasks that succeeded."""
        with _refusals():
            events = await self._assets.publish(publication.task_queue, publication.changes)
        assets = (event.asset.model_copy(update={"extra": {}}) for event in events)
        shortened = zip(events, assets, strict=True)
        return PublishedAssetEvents(events=tuple(each.model_copy(update={"asset": asset}) for each, asset in shortened))

    async def _serve(self, request: Request, reply_type: type[ReplyType]) -> ReplyType:
        """Let a slot serve a request.

        Raises:
            ApplicationError: if the slot died: an infrastructure loss, not the task's failure.
        """
        try:
            async with self._slot() as slot:
                return await self._serve_in(slot, request, reply_type)
        except ProcessLostError as error:
            raise _lost(error) from error

    async def _serve_in_series(self, slot: Slot, attempt: TaskExecutionInput) -> TaskExecutionResult:
        try:
            reply = await self._serve_in(slot, RunTask(input=attempt, large_xcom_path=self._large_xcom_path), TaskDone)
        except ProcessLostError as error:
            raise _lost(error) from error
        self._note_progress()
        return reply.result

    def _note_progress(self) -> None:
        assert self._pool is not None, "activities run inside `on`"
        self._pool.note_progress()

    async def _serve_in(self, slot: Slot, request: Request, reply_type: type[ReplyType]) -> ReplyType:
        await slot.send(request)
        reply = await self._reply(slot)
        if isinstance(reply, Failed):
            raise ApplicationError(reply.error, reply.traceback, type="SlotFailed", non_retryable=True)
        assert isinstance(reply, reply_type), f"{type(reply).__name__} in answer to {type(request).__name__}"
        return reply

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[Slot]:
        assert self._pool is not None, "activities run inside `on`"
        lease = self._pool.slot()
        slot = await _heartbeating(lease.__aenter__())
        try:
            yield slot
        except BaseException as error:
            await lease.__aexit__(type(error), error, error.__traceback__)
            raise
        else:
            await lease.__aexit__(None, None, None)

    async def _reply(self, slot: Slot) -> Reply:
        """Pass messages until the reply comes; a cancellation stops the task first and is raised after."""
        answers: set[asyncio.Task[None]] = set()
        stopping = False
        while True:
            try:
                message = await slot.receive()
            except asyncio.CancelledError:
                if not _may_stop_gently():
                    raise  # fenced: another attempt may start any moment, so leaving the pool's lease kills the slot
                stopping = True
                await slot.send(Cancel())
                continue
            match message:
                case Heartbeat():
                    activity.heartbeat()
                    self._fence()
                case Ask():
                    answering = asyncio.create_task(self._answer(slot, message))
                    answers.add(answering)
                    answering.add_done_callback(answers.discard)
                case TaskDone(cancelled=False):
                    return message  # also when a stop came too late: what is done is done
                case _:
                    if stopping:
                        raise asyncio.CancelledError
                    return message

    def _fence(self) -> None:
        """End an attempt that the server is about to give to another worker, because it can't hear from this one.

        Raises:
            ApplicationError: so that leaving the pool's lease kills the slot.
        """
        timeout = activity.info().heartbeat_timeout
        if timeout is not None and self._watch.silence() > FENCE_SHARE * timeout.total_seconds():
            raise ApplicationError(
                f"The server was silent for nearly the heartbeat timeout of {timeout.total_seconds():g} s",
                type=FENCED,
                non_retryable=True,
            )

    async def _answer(self, slot: Slot, ask: Ask) -> None:
        await slot.send(await self._answers.to(ask))


class _OfActivity:
    """What the activity that runs now is told from outside."""

    def is_ours(self) -> bool:
        """Whether whoever stops it waits for what it says; else the server, or this process, has done with it."""
        return _may_stop_gently()

    def is_worker_stopping(self) -> bool:
        """Whether the worker takes nothing new."""
        return activity.is_worker_shutdown()


def _lost(error: ProcessLostError) -> ApplicationError:
    return ApplicationError(str(error), type="ProcessLost", non_retryable=True)


def _check_called(error: str | None) -> None:
    """Fail the activity if a callback failed; trying again wouldn't help."""
    if error is not None:
        raise ApplicationError(error, type="CallbacksFailed", non_retryable=True)


@contextmanager
def _refusals() -> Iterator[None]:
    """End an activity for good whose work is refused or can't be done: what passes was waited for already."""
    try:
        yield
    except Exception as error:
        raise ApplicationError(str(error), type=type(error).__name__, non_retryable=True) from error


def _own_heartbeat() -> Callable[[], None]:
    """A sign of life of this very activity: who gives it, reads for all waits of a host and belongs to another one."""
    return partial(copy_context().run, activity.heartbeat)


def _was_cancelled() -> bool:
    """Whether somebody wants the wait to end, rather than the worker: only then a trigger's ``on_kill`` runs."""
    details = activity.cancellation_details()
    return details is not None and details.cancel_requested


def _may_stop_gently() -> bool:
    """Whether the attempt is still ours: asked to stop, rather than given up by the server."""
    details = activity.cancellation_details()
    return details is not None and not (details.timed_out or details.not_found)


def _is_forgotten() -> bool:
    """Whether the server knows this attempt no more: its workflow has ended, for example."""
    details = activity.cancellation_details()
    return details is not None and details.not_found


async def _heartbeating(waiting: Awaitable[T]) -> T:
    """Wait for something while the server is told that this attempt is alive."""
    task = asyncio.ensure_future(waiting)
    try:
        while not (await asyncio.wait({task}, timeout=QUEUE_HEARTBEAT))[0]:
            activity.heartbeat()
    except asyncio.CancelledError:
        task.cancel()
        if _is_forgotten():
            activity.raise_complete_async()  # whatever it answered, the server would not take it, and the SDK warn
        raise
    return task.result()
