"""The workflow that is a DAG run: turns what happens into events, and carries out what the engine commands.

Its main loop is all there is to it: step the engine, carry out, wait for the inbox. Whatever may run next is decided
in ``engine``; this module must not import Airflow. It runs outside the SDK's sandbox, which would import Airflow anew
for every run; determinism is the engine's duty and is tested by replay.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from functools import partial
from typing import Any, assert_never

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

from temporal_airflow import identifiers
from temporal_airflow.engine.airflow_library import airflow_version
from temporal_airflow.engine.dag_run_engine import DagRunEngine
from temporal_airflow.engine.events import (
    AttemptLost,
    CancelRequested,
    Command,
    Event,
    RunCallbacks,
    StartTask,
    StartTrigger,
    StopTask,
    TaskEnded,
    TaskKey,
    TaskStopped,
    TimePassed,
    TriggerEnded,
    WakeAt,
)
from temporal_airflow.engine.xcom_pages import answer_questions
from temporal_airflow.models import (
    ENGINE_EPOCH,
    DagExecutionInput,
    DagExecutionResult,
    DagRunRecord,
    TaskExecutionResult,
    TriggerResult,
    XComPage,
    XComQuestion,
)
from temporal_airflow.workflows.details import state_table

NO_LIMIT = timedelta(days=3650)
"""Temporal wants some limit on an activity; a task's length is Airflow's business (``execution_timeout``)."""

DETAILS_INTERVAL = timedelta(seconds=1)
ONE_ATTEMPT = RetryPolicy(maximum_attempts=1)
TRIGGER_ATTEMPTS = RetryPolicy(maximum_interval=timedelta(seconds=10))
"""A trigger can be started anew any time, so a lost host is no loss: without limit."""
CALLBACK_ATTEMPTS = RetryPolicy(maximum_attempts=3)


class ForeignRunError(Exception):
    """The run was started under another engine or Airflow; fails the workflow task, so that the run waits."""


@workflow.defn(name=identifiers.WORKFLOW_TYPE, sandboxed=False)
class ExecuteAirflowDagWorkflow:
    """Runs one DAG run from its first task to its final state."""

    @workflow.init
    def __init__(self, execution: DagExecutionInput) -> None:
        _check_origin(execution)
        self._execution = execution
        self._inbox: list[Event] = []
        self._running: dict[TaskKey, workflow.ActivityHandle[Any]] = {}
        self._open_callbacks = 0
        self._waits = 0
        self._next_wake: datetime | None = None
        self._details_at: datetime | None = None
        self._engine = DagRunEngine.open(execution, workflow.now())

    @workflow.run
    async def run(self, execution: DagExecutionInput) -> DagExecutionResult:  # noqa: ARG002  # __init__ has taken it
        """Run the DAG; ends normally whatever the run's state, because a failed DAG run is a result too."""
        engine = self._engine
        try:
            while True:
                events, self._inbox = self._inbox, []
                for command in engine.step(workflow.now(), events):
                    self._carry_out(command)
                self._show_details()
                if engine.finished and not self._open_callbacks:
                    return engine.result()
                await self._wait()
        finally:
            engine.dispose()

    @workflow.query(name="state")
    def state(self) -> DagRunRecord:
        """The run and its task instances as of the last step."""
        return self._engine.record

    @workflow.query(name="xcom")
    def xcom(self, questions: list[XComQuestion]) -> list[XComPage]:
        """Answers to the first of these questions: as many as there is room for in one answer."""
        return answer_questions(self._engine.xcoms, questions)

    async def _wait(self) -> None:
        try:
            await workflow.wait_condition(lambda: bool(self._inbox) or self._is_over())
        except asyncio.CancelledError:
            reason = workflow.cancellation_reason()
            if reason is None:
                raise  # not cancelled: the worker drops this run from its cache and must be let go
            self._inbox.append(CancelRequested(reason or "cancelled"))

    def _is_over(self) -> bool:
        return self._engine.finished and not self._open_callbacks

    def _carry_out(self, command: Command) -> None:
        match command:
            case StartTask():
                self._start_task(command)
            case StartTrigger():
                self._start_trigger(command)
            case StopTask(key):
                self._running[key].cancel()
            case RunCallbacks():
                self._run_callbacks(command)
            case WakeAt(moment):
                self._wake_at(moment)
            case _:
                assert_never(command)

    def _start_task(self, command: StartTask) -> None:
        attempt = command.attempt
        handle = workflow.start_activity(
            identifiers.TASK_ACTIVITY,
            attempt,
            result_type=TaskExecutionResult,
            task_queue=self._task_queue(command.queue),
            activity_id=identifiers.activity_id(
                attempt.task_id,
                attempt.map_index,
                attempt.try_number,
                attempt=attempt.attempt,
                reschedules=attempt.task_reschedule_count,
                deferrals=attempt.deferral_count,
            ),
            start_to_close_timeout=NO_LIMIT,
            heartbeat_timeout=timedelta(seconds=self._execution.limits.heartbeat_timeout),
            retry_policy=ONE_ATTEMPT,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=identifiers.task_label(attempt.task_id, attempt.map_index),
        )
        self._running[command.key] = handle
        handle.add_done_callback(partial(self._attempt_ended, command))

    def _attempt_ended(self, command: StartTask, handle: workflow.ActivityHandle[TaskExecutionResult]) -> None:
        if handle.cancelled():
            return  # eviction ends every asyncio task of this run
        key, try_number = command.key, command.attempt.try_number
        try:
            self._inbox.append(TaskEnded(key, try_number, handle.result()))
        except ActivityError as error:
            self._inbox.append(_not_ended(key, try_number, error))

    def _start_trigger(self, command: StartTrigger) -> None:
        trigger = command.trigger
        self._waits += 1
        handle = workflow.start_activity(
            identifiers.TRIGGER_ACTIVITY,
            trigger,
            result_type=TriggerResult,
            task_queue=identifiers.trigger_queue(self._execution.task_queue),
            activity_id=identifiers.trigger_activity_id(
                trigger.task_id, trigger.map_index, trigger.try_number, self._waits
            ),
            start_to_close_timeout=NO_LIMIT,
            heartbeat_timeout=timedelta(seconds=self._execution.limits.heartbeat_timeout),
            retry_policy=TRIGGER_ATTEMPTS,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=f"{identifiers.task_label(trigger.task_id, trigger.map_index)} waits",
        )
        self._running[command.key] = handle
        handle.add_done_callback(partial(self._trigger_ended, command))

    def _trigger_ended(self, command: StartTrigger, handle: workflow.ActivityHandle[TriggerResult]) -> None:
        if handle.cancelled():
            return
        key, try_number = command.key, command.trigger.try_number
        try:
            self._inbox.append(TriggerEnded(key, try_number, handle.result()))
        except ActivityError as error:
            self._inbox.append(_not_ended(key, try_number, error))

    def _run_callbacks(self, command: RunCallbacks) -> None:
        self._open_callbacks += 1
        handle = workflow.start_activity(
            identifiers.CALLBACK_ACTIVITY,
            command.callback,
            task_queue=self._execution.task_queue,
            start_to_close_timeout=NO_LIMIT,
            heartbeat_timeout=timedelta(seconds=self._execution.limits.heartbeat_timeout),
            retry_policy=CALLBACK_ATTEMPTS,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=command.callback.label,
        )
        handle.add_done_callback(self._callbacks_ended)

    def _callbacks_ended(self, handle: workflow.ActivityHandle[None]) -> None:
        if handle.cancelled():
            return
        self._open_callbacks -= 1
        error = handle.exception()
        if error is not None:  # as under Airflow, a callback that fails changes nothing else
            workflow.logger.warning("Callbacks of run %s failed: %s", self._execution.run.run_id, error)

    def _wake_at(self, moment: datetime) -> None:
        """Start a timer, unless an earlier one is already running: that one will ask again."""
        now = workflow.now()
        if self._next_wake is not None and now < self._next_wake <= moment:
            return
        self._next_wake = moment
        timer = asyncio.create_task(workflow.sleep(moment - now, summary="next retry, poke or timeout"))
        timer.add_done_callback(self._timer_fired)

    def _timer_fired(self, timer: asyncio.Task[None]) -> None:
        if not timer.cancelled():
            self._inbox.append(TimePassed())

    def _task_queue(self, airflow_queue: str | None) -> str:
        base = self._execution.task_queue
        return identifiers.task_queue(base, airflow_queue) if self._execution.route_queues else base

    def _show_details(self) -> None:
        now = workflow.now()
        if self._is_over() or self._details_at is None or now - self._details_at >= DETAILS_INTERVAL:
            self._details_at = now
            workflow.set_current_details(state_table(self._engine.record))


def _check_origin(execution: DagExecutionInput) -> None:
    here = (ENGINE_EPOCH, airflow_version())
    origin = (execution.engine_epoch, execution.airflow_version)
    if here != origin:
        raise ForeignRunError(
            f"This run was started with engine epoch {origin[0]} on Airflow {origin[1]}; this worker has epoch "
            f"{here[0]} on Airflow {here[1]}. Keep a worker of the run's versions until the run has ended."
        )


def _not_ended(key: TaskKey, try_number: int, error: ActivityError) -> TaskStopped | AttemptLost:
    """What became of something that has no result."""
    if isinstance(error.cause, CancelledError):
        return TaskStopped(key, try_number)
    return AttemptLost(key, try_number, _loss(error))


def _loss(error: ActivityError) -> str:
    """What to tell people of an attempt that infrastructure took away."""
    match error.cause:
        case TemporalTimeoutError():
            return "no heartbeat: the worker or its machine went away"
        case ApplicationError(type="WorkerShutdown"):
            return "the worker was shut down"
        case None:
            return str(error)
        case cause:
            return str(cause)
