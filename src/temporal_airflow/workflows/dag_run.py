"""The workflow that is a DAG run: turns what happens into events, and carries out what the engine commands.

Its main loop is all there is to it: step the engine, carry out, wait for the inbox. Whatever may run next is decided
in ``engine``; this module must not import Airflow. It runs outside the SDK's sandbox, which would import Airflow anew
for every run; determinism is the engine's duty and is tested by replay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import assert_never

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from temporal_airflow import identifiers
from temporal_airflow.engine.airflow_library import airflow_version
from temporal_airflow.engine.dag_run_engine import DagRunEngine
from temporal_airflow.engine.events import (
    AnswerAction,
    AskForSlots,
    AwaitTurn,
    AwaitUnpause,
    CancelRequested,
    Command,
    InputGiven,
    NotifyListeners,
    PublishAssetEvents,
    RegisterAssets,
    RunCallbacks,
    RunDeadlineCallback,
    SlotsGranted,
    StartTask,
    StartTrigger,
    StepAgain,
    StopTask,
    WakeAt,
    WatchPastRuns,
)
from temporal_airflow.engine.xcom_pages import answer_questions
from temporal_airflow.models import (
    ENGINE_EPOCH,
    ActionAnswer,
    AttemptReports,
    DagExecutionInput,
    DagExecutionResult,
    DagRunRecord,
    InputResponse,
    RunAction,
    RunSnapshot,
    RunWrite,
    SeriesReport,
    SlotGrant,
    TaskStateQuestion,
    TaskStateValue,
    WriteAnswer,
    XComPage,
    XComQuestion,
)
from temporal_airflow.workflows import listed_state
from temporal_airflow.workflows.activities import Activities
from temporal_airflow.workflows.alarm import Alarm
from temporal_airflow.workflows.attempts import Attempts
from temporal_airflow.workflows.batches import Batches
from temporal_airflow.workflows.beyond_run import BeyondRun
from temporal_airflow.workflows.callbacks import Callbacks
from temporal_airflow.workflows.continuation import Continuation
from temporal_airflow.workflows.details import MOST_ROWS, state_table
from temporal_airflow.workflows.inbox import Inbox
from temporal_airflow.workflows.slot_messages import SlotMessages
from temporal_airflow.workflows.user_actions import UserActions, refused

DETAILS_INTERVAL = timedelta(seconds=1)
REOPENED_PATIENCE = timedelta(seconds=10)
"""How long a run that was opened again waits for what it was opened for: that comes along with it."""

BREATH = timedelta(milliseconds=1)
"""A pause that ends an activation; an ``await`` that is done at once doesn't."""


class ForeignRunError(Exception):
    """The run was started under another engine or Airflow; fails the workflow task, so that the run waits."""


@workflow.defn(name=identifiers.WORKFLOW_TYPE, sandboxed=False)
class ExecuteAirflowDagWorkflow:
    """Runs one DAG run from its first task to its final state."""

    @workflow.init
    def __init__(self, execution: DagExecutionInput) -> None:
        _check_origin(execution)
        self._continuation = Continuation(execution)
        self._inbox = Inbox()
        self._user_actions = UserActions(self._inbox)
        limits = execution.limits
        activities = Activities(execution.routing, limits.heartbeat_timeout, limits.task_queued_timeout)
        self._attempts = Attempts(activities, self._inbox, limits)
        self._batches = Batches(execution, activities, self._inbox)
        self._callbacks = Callbacks(execution, activities)
        self._beyond = BeyondRun(execution, activities, self._inbox)
        self._alarm = Alarm(self._inbox)
        self._details_at: datetime | None = None
        self._steps_again = False
        now = workflow.now()
        if execution.progress is None:
            self._engine = DagRunEngine.open(execution, now)
        else:
            self._engine = DagRunEngine.restore(
                execution, RunSnapshot.decompressed(execution.progress.compressed_snapshot), now
            )
        self._slots = SlotMessages(execution.run.logical_date, self._engine.slots_statement)

    @workflow.run
    async def run(self, execution: DagExecutionInput) -> DagExecutionResult:  # noqa: ARG002  # __init__ has taken it
        """Run the DAG; ends normally whatever the run's state, because a failed DAG run is a result too."""
        engine = self._engine
        self._batches.watch()
        self._slots.repeat(engine.keepers())
        try:
            if self._continuation.is_reopening:
                await self._await_action()
            while True:
                for command in engine.step(workflow.now(), self._inbox.take(engine.most_events)):
                    self._carry_out(command)
                self._batches.begin()
                self._attempts.begin()
                self._show_details()
                listed_state.show(engine.state.value)
                if self._is_over():
                    await workflow.wait_condition(self._may_end)
                    if self._user_actions.unread:
                        continue
                    return self._continuation.with_progress(engine.result(workflow.now()), engine, self._batches)
                self._continue_as_new_if_due()
                await self._wait()
        finally:
            engine.dispose()

    @workflow.query(name="state")
    def state(self) -> DagRunRecord:
        """The run and its task instances as of the last step."""
        return self._engine.record.model_copy(update={"batches": self._batches.open, "series": self._attempts.series})

    @workflow.query(name="xcom")
    def xcom(self, questions: list[XComQuestion]) -> list[XComPage]:
        """Answers to the first of these questions: as many as there is room for in one answer."""
        return answer_questions(self._engine.xcoms, questions)

    @workflow.query(name="task_state")
    def task_state(self, question: TaskStateQuestion) -> TaskStateValue | None:
        """A value of a task's state store."""
        return self._engine.task_state(question)

    @workflow.signal(name=identifiers.ATTEMPTS_ENDED_SIGNAL)
    def attempts_ended(self, reports: AttemptReports) -> None:
        """Take note of attempts that ran in a batch."""
        self._continuation.message_came()
        self._batches.ended(reports)

    @workflow.signal(name=identifiers.SLOTS_GRANTED_SIGNAL)
    def slots_granted(self, grant: SlotGrant) -> None:
        """Take note of slots that may be used, unless another run of this id is meant."""
        self._continuation.message_came()
        if grant.first_run_id == workflow.info().first_execution_run_id:
            self._slots.heard(grant)
            if grant.tickets:
                self._inbox.put(SlotsGranted(grant.tickets, grant.keeper))

    @workflow.signal(name=identifiers.SERIES_SIGNAL)
    def series_reported(self, report: SeriesReport) -> None:
        """Take note of attempts that run in a series."""
        self._continuation.message_came()
        self._attempts.reported(report)

    @workflow.query(name=identifiers.STOPPING_QUERY)
    def stopping(self, series: str) -> list[str]:
        """Which attempts of a series are to stop."""
        return self._attempts.stopping(series)

    @workflow.update(name="write")
    def write(self, writes: list[RunWrite]) -> list[WriteAnswer]:
        """Take what running tasks write; once this has answered, no lost attempt loses it."""
        self._continuation.message_came()
        return [self._engine.write(write, workflow.now()) for write in writes]

    @workflow.update(name=identifiers.RESPOND_UPDATE)
    async def respond(self, response: InputResponse) -> None:
        """Take a person's answer to what a task asks.

        A worker that comes to a run anew sees an answer before the events that came before it: before the end of the
        very attempt that asked, that is. So the answer to a task that still seems to run waits for what the task says.
        """
        self._continuation.message_came()
        if self._engine.may_begin_to_ask(response):
            await workflow.wait_condition(lambda: not self._engine.may_begin_to_ask(response))
            self._check_answer(response)
        self._inbox.put(InputGiven(response))

    @respond.validator
    def _check_response(self, response: InputResponse) -> None:
        if not self._engine.may_begin_to_ask(response):
            self._check_answer(response)

    def _check_answer(self, response: InputResponse) -> None:
        """Refuse an answer that no task waits for, or that the task can't use."""
        if any(isinstance(event, InputGiven) and _is_same_task(event.response, response) for event in self._inbox):
            raise ApplicationError("Somebody else has answered just now.", type=identifiers.REFUSED_RESPONSE)
        absence = self._engine.absence_of_question(response)
        problems = [absence] if absence else self._engine.problems_with(response)
        if problems:
            raise ApplicationError(" ".join(problems), type=identifiers.REFUSED_RESPONSE)

    @workflow.update(name=identifiers.ACT_UPDATE)
    async def act(self, wanted: RunAction) -> ActionAnswer:
        """Do what somebody wants: answers what was done, once it has been."""
        self._continuation.message_came()
        return await self._user_actions.take(wanted)

    @act.validator
    def _check_action(self, wanted: RunAction) -> None:
        if problem := self._engine.problem_with(wanted.action, workflow.now()):
            raise refused(problem)

    @workflow.query(name=identifiers.PREVIEW_QUERY)
    def preview(self, wanted: RunAction) -> ActionAnswer:
        """What an action would do now."""
        if problem := self._engine.problem_with(wanted.action, workflow.now()):
            raise refused(problem)
        return self._engine.preview(wanted.action, workflow.now())

    async def _await_action(self) -> None:
        """Wait for what an ended run has been opened again for; without it, it ends as before."""
        with suppress(TimeoutError):
            await self._patiently(workflow.wait_condition(lambda: bool(self._inbox), timeout=REOPENED_PATIENCE))

    async def _wait(self) -> None:
        if self._steps_again or self._inbox:  # more than one activation may do
            self._steps_again = False
            await self._patiently(self._breathe())
        else:
            await self._patiently(workflow.wait_condition(self._has_something_to_do))

    def _has_something_to_do(self) -> bool:
        return bool(self._inbox) or self._attempts.gathered or self._is_over() or self._may_continue()

    async def _breathe(self) -> None:
        await workflow.sleep(BREATH)
        self._continuation.all_heard()

    async def _patiently(self, waiting: Awaitable[None]) -> None:
        """Wait; a cancellation is one more thing that happens."""
        try:
            await waiting
        except asyncio.CancelledError:
            reason = workflow.cancellation_reason()
            if reason is None:
                raise  # not cancelled: the worker drops this run from its cache and must be let go
            self._inbox.put(CancelRequested(reason or "cancelled"))

    def _continue_as_new_if_due(self) -> None:
        self._engine.hold(holding=self._continuation.is_urgent)
        if not self._may_continue():
            return
        if self._continuation.may_be_cancelled:
            self._steps_again = True
            return
        execution = self._continuation.next_input(self._engine, self._batches)
        if execution is not None:
            workflow.continue_as_new(execution, memo=self._continuation.memo())
        self._engine.hold(holding=False)
        self._steps_again = True

    def _may_continue(self) -> bool:
        """Whether the run is to go on in a new execution, and nothing would be lost if it did now."""
        awaited = (
            self._attempts.busy,
            self._batches.busy,
            self._callbacks.open,
            self._beyond.recording,
            self._slots.busy,
        )
        unread = self._inbox or self._steps_again
        return self._continuation.is_wanted and not (unread or any(awaited)) and workflow.all_handlers_finished()

    def _may_end(self) -> bool:
        """Whether nobody waits for an answer of a run that is over, or somebody wants something of it yet."""
        return self._user_actions.unread or workflow.all_handlers_finished()

    def _is_over(self) -> bool:
        return self._engine.finished and not self._callbacks.open and not self._slots.open

    def _carry_out(self, command: Command) -> None:  # noqa: C901, PLR0912  # a table: a case for each command
        match command:
            case AnswerAction():
                self._user_actions.answer(command)
            case StartTask():
                self._start_task(command)
            case StartTrigger():
                self._attempts.wait(command)
            case StopTask():
                if not self._batches.stop(command):
                    self._attempts.stop(command)
            case RunCallbacks():
                self._callbacks.run(command)
            case RunDeadlineCallback():
                self._callbacks.run_for_deadline(command)
            case NotifyListeners(notice):
                self._callbacks.notify(notice)
            case WakeAt(moment):
                self._alarm.set(moment)
            case StepAgain():
                self._steps_again = True
            case AwaitTurn():
                self._beyond.await_turn()
            case AskForSlots():
                self._slots.tell(command)
            case AwaitUnpause():
                self._beyond.await_unpause()
            case WatchPastRuns(question):
                self._beyond.watch_past_runs(question)
            case RegisterAssets() | PublishAssetEvents():
                self._beyond.record(command)
            case _:
                assert_never(command)

    def _start_task(self, command: StartTask) -> None:
        if self._continuation.needs_batches(self._engine.size):
            self._batches.start(command)
        else:
            self._attempts.start(command)

    def _show_details(self) -> None:
        now = workflow.now()
        if self._is_over() or self._details_at is None or now - self._details_at >= DETAILS_INTERVAL:
            self._details_at = now
            workflow.set_current_details(state_table(self._engine.excerpt(MOST_ROWS), self._engine.size))


def _check_origin(execution: DagExecutionInput) -> None:
    here = (ENGINE_EPOCH, airflow_version())
    origin = (execution.engine_epoch, execution.airflow_version)
    if here != origin:
        raise ForeignRunError(
            f"This run was started with engine epoch {origin[0]} on Airflow {origin[1]}; this worker has epoch "
            f"{here[0]} on Airflow {here[1]}. Keep a worker of the run's versions until the run has ended."
        )


def _is_same_task(one: InputResponse, other: InputResponse) -> bool:
    return (one.task_id, one.map_index) == (other.task_id, other.map_index)
