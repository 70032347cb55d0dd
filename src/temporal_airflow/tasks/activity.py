"""The activities: between Temporal and the processes that run user code.

``run_airflow_task`` is one attempt at one try. It hands the attempt to a slot, passes heartbeats up and cancellation
down, answers the task's questions about runs, and delivers the result. It must not import Airflow nor run user code.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from temporal_airflow import identifiers
from temporal_airflow.exceptions import DagRunNotFoundError, ProcessLostError
from temporal_airflow.models import (
    CallbackInput,
    LoadDagInput,
    LoadedDag,
    LoadFailure,
    TaskExecutionInput,
    TaskExecutionResult,
    TriggerInput,
    TriggerResult,
    XComQuestion,
)
from temporal_airflow.run_reader import RunReader, previous_run
from temporal_airflow.tasks.delivery import ResultDelivery
from temporal_airflow.tasks.messages import (
    Answer,
    Ask,
    AskPreviousRun,
    AskRun,
    AskXCom,
    CallbacksDone,
    Cancel,
    Failed,
    Heartbeat,
    LoadDag,
    Loaded,
    Reply,
    Request,
    RunCallbacks,
    RunTask,
    TaskDone,
)
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
        self._reader = RunReader(client)
        self._watch = ServerWatch(client)
        self.delivery = ResultDelivery(client)

    @property
    def functions(self) -> list[Callable[..., Awaitable[object]]]:
        """What to register with a worker."""
        return [self.run_airflow_task, self.run_airflow_callbacks, self.load_airflow_dag]

    @property
    def waiting_functions(self) -> list[Callable[..., Awaitable[object]]]:
        """What to register with a worker of triggers: they take no slot, so many more may be open at once."""
        return [self.run_airflow_trigger]

    @asynccontextmanager
    async def on(self, template: ProcessTemplate, concurrency: int) -> AsyncIterator[SlotPool]:
        """Serve in processes of a template for as long as the block runs; at its end the last results are delivered.

        Args:
            template: what task processes are forked from.
            concurrency: how many tasks run at once.
        """
        self._pool = SlotPool(template, maximum=concurrency)
        self._triggers = TriggerPool(template)
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

    @activity.defn(name=identifiers.CALLBACK_ACTIVITY)
    async def run_airflow_callbacks(self, callback: CallbackInput) -> None:
        """Run a DAG's callbacks, or those of a task whose process was lost."""
        request = RunCallbacks(input=callback, large_xcom_path=self._large_xcom_path)
        reply = await self._serve(request, CallbacksDone)
        if reply.error is not None:
            raise ApplicationError(reply.error, type="CallbacksFailed", non_retryable=True)

    @activity.defn(name=identifiers.LOAD_ACTIVITY)
    async def load_airflow_dag(self, request: LoadDagInput) -> LoadedDag | LoadFailure:
        """Load a DAG from this worker's DAG bundles."""
        reply = await self._serve(LoadDag(input=request), Loaded)
        return reply.outcome

    @activity.defn(name=identifiers.TRIGGER_ACTIVITY)
    async def run_airflow_trigger(self, trigger: TriggerInput) -> TriggerResult:
        """Wait for a deferred task; may be started anew any time."""
        assert self._triggers is not None, "activities run inside `on`"
        try:
            return await self._triggers.run(trigger, activity.heartbeat, self._answer_to, by_user=_was_cancelled)
        except ProcessLostError as error:
            raise ApplicationError(str(error), type="ProcessLost") from error
        except TriggerBrokenError as error:
            raise ApplicationError(str(error), type="TriggerBroken") from error

    async def _serve(self, request: Request, reply_type: type[ReplyType]) -> ReplyType:
        """Let a slot serve a request.

        Raises:
            ApplicationError: if the slot died: an infrastructure loss, not the task's failure.
        """
        try:
            async with self._slot() as slot:
                await slot.send(request)
                reply = await self._reply(slot)
        except ProcessLostError as error:
            raise ApplicationError(str(error), type="ProcessLost", non_retryable=True) from error
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
                type="Fenced",
                non_retryable=True,
            )

    async def _answer(self, slot: Slot, ask: Ask) -> None:
        await slot.send(await self._answer_to(ask))

    async def _answer_to(self, ask: Ask) -> Answer:
        try:
            return await self._look_up(ask)
        except DagRunNotFoundError:
            return Answer(id=ask.id)
        except Exception as error:  # noqa: BLE001  # the task raises it where it asked
            return Answer(id=ask.id, error=f"{type(error).__name__}: {error}")

    async def _look_up(self, ask: Ask) -> Answer:
        match ask.question:
            case AskXCom(dag_id=dag_id, run_id=run_id, request=request, offset=offset):
                question = XComQuestion(request=request, offset=offset)
                page = await self._reader.page(identifiers.workflow_id(dag_id, run_id), question)
                return Answer(id=ask.id, page=page)
            case AskRun(dag_id=dag_id, run_id=run_id):
                return Answer(id=ask.id, run=await self._reader.record(identifiers.workflow_id(dag_id, run_id)))
            case AskPreviousRun(dag_id=dag_id, logical_date=logical_date, state=state):
                run = await previous_run(self._client, self._reader, dag_id, logical_date, state)
                return Answer(id=ask.id, run=run)


def _was_cancelled() -> bool:
    """Whether somebody wants the wait to end, rather than the worker: only then a trigger's ``on_kill`` runs."""
    details = activity.cancellation_details()
    return details is not None and details.cancel_requested


def _may_stop_gently() -> bool:
    """Whether the attempt is still ours: asked to stop, rather than given up by the server."""
    details = activity.cancellation_details()
    return details is not None and not (details.timed_out or details.not_found)


async def _heartbeating(waiting: Awaitable[T]) -> T:
    """Wait for something while the server is told that this attempt is alive."""
    task = asyncio.ensure_future(waiting)
    try:
        while not task.done():
            activity.heartbeat()
            await asyncio.wait({task}, timeout=QUEUE_HEARTBEAT)
    except asyncio.CancelledError:
        task.cancel()
        raise
    return task.result()
