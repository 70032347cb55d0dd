"""Decides what a DAG run does next, by Airflow's own code on a database that only this run has.

``open`` creates the run, ``step`` takes events and returns commands, ``finished`` says when nothing more will come.
Rules that Airflow keeps outside ``update_state`` (scheduler loop, Execution API) are called from here; each is listed
in ``docs/reference/rules.md`` with its home. It must not know Temporal, real time, the network or the file system.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

from airflow.utils.state import DagRunState, State, TaskInstanceState

from temporal_airflow.engine import (
    human_input,
    marking,
    open_questions,
    step_check,
    task_events,
    user_actions,
)
from temporal_airflow.engine import snapshot as snapshots
from temporal_airflow.engine.acting import Acting
from temporal_airflow.engine.allowance import Allowance
from temporal_airflow.engine.database import RunDatabase
from temporal_airflow.engine.events import (
    ActionTaken,
    AskForSlots,
    AssetEventsPublished,
    AssetsRegistered,
    AttemptLost,
    CancelRequested,
    Command,
    Event,
    InputGiven,
    PastRunsKnown,
    SlotsGranted,
    StepAgain,
    TaskEnded,
    TaskKey,
    TaskStopped,
    TaskStuck,
    TimePassed,
    TriggerEnded,
    TurnCome,
    Unpaused,
)
from temporal_airflow.engine.open_run import OpenRun
from temporal_airflow.engine.run_creation import create_dag_run
from temporal_airflow.engine.run_waits import RunWaits
from temporal_airflow.engine.scheduling import Scheduling
from temporal_airflow.engine.time_provider import IdSequence, engine_scope
from temporal_airflow.engine.xcom_pages import content_size
from temporal_airflow.models import (
    ActionAnswer,
    DagExecutionInput,
    DagExecutionResult,
    DagRunRecord,
    InputResponse,
    RunSnapshot,
    RunWrite,
    TaskStateQuestion,
    TaskStateValue,
    TaskStateWrite,
    TriggerWrite,
    UserAction,
    WriteAnswer,
    XComRecord,
    XComWrite,
)

NOT_RUNNING = "The run doesn't wait for this attempt any more: it was stopped or given up"


class DagRunEngine:
    """One DAG run: its decisions, and its state as immutable records."""

    def __init__(self, run: OpenRun, ids: IdSequence) -> None:
        self._run = run
        self._session = run.session
        self._ids = ids
        self._announced = False
        self._scheduling = Scheduling(run)
        self._record: DagRunRecord | None = None
        self._xcoms: tuple[XComRecord, ...] | None = None
        self._waits = RunWaits(run)
        self._acting = Acting(run)
        self._untaken: deque[Event] = deque()

    @classmethod
    def open(cls, execution: DagExecutionInput, now: datetime) -> DagRunEngine:
        """Create the run.

        Args:
            execution: the workflow's input.
            now: workflow time; the run's start date.
        """
        database = RunDatabase()
        ids = _ids(execution)
        with engine_scope(now, ids):
            start = None if execution.queued else now
            dag_run = create_dag_run(execution.definition, execution.run, start, database.session, execution.queued_at)
            run = OpenRun(execution, dag_run, database)
            run.deadlines.set()
            run.growth.begin()
            return cls(run, ids)

    @classmethod
    def restore(cls, execution: DagExecutionInput, snapshot: RunSnapshot, now: datetime) -> DagRunEngine:
        """Go on with a run where a snapshot was taken of it.

        Args:
            execution: the workflow's input.
            snapshot: of the same run.
            now: workflow time.
        """
        ids = _ids(execution, snapshot.drawn_ids)
        with engine_scope(now, ids):
            engine = cls(snapshots.resume(execution, snapshot), ids)
            snapshots.resume_frontier(engine._scheduling.frontier, snapshot)
            engine._announced = snapshot.announced
            return engine

    def snapshot(self) -> RunSnapshot:
        """The run as of the last step, which has left nothing for another one; for :meth:`restore`."""
        assert self._is_settled, "the last step has left something"
        kept = snapshots.take(self._run, self._scheduling.frontier, self._ids.drawn)
        return kept.model_copy(update={"announced": self._announced})

    def hold(self, *, holding: bool) -> None:
        """Start nothing more for now, so that what runs comes to an end; or go on starting."""
        self._run.holding = holding

    @property
    def state(self) -> DagRunState:
        """The run's state by now."""
        return DagRunState(self._run.dag_run.state)  # a restored row has its text

    @property
    def size(self) -> int:
        """How many task instances there are by now."""
        return len(self._run.instances)

    @property
    def finished(self) -> bool:
        """Whether the run has its final state and nothing of it is still running."""
        return self._run.ended and not self._run.in_flight and not self._run.assets.on_the_way

    @property
    def most_events(self) -> int:
        """How many events the next step takes: none while it has to go on with what the last one has begun."""
        return self._run.execution.limits.step_events if self._is_settled else 0

    @property
    def _is_settled(self) -> bool:
        return not (self._acting.busy or self._scheduling.amid_round)

    def step(self, now: datetime, events: Sequence[Event]) -> list[Command]:
        """Apply what happened and decide what happens next, or a part of that: then the last command is StepAgain.

        Args:
            now: workflow time.
            events: in the order in which they happened; at most :attr:`most_events`.

        Returns:
            Commands in the order in which they are to be carried out.
        """
        assert len(events) <= self.most_events, "a round of evaluations is about what was known when it began"
        with engine_scope(now, self._ids):
            run, allowance = self._run, Allowance(self._run.execution.limits)
            run.commands = []
            self._announce()
            self._untaken += events
            if self._take_events(now, allowance) and self._decide(now, allowance):
                self._conclude(now)
                if run.execution.limits.check_steps:
                    step_check.check(run)
            else:
                run.commands.append(StepAgain())
            self._scheduling.take_changes()
            run.commands += run.claims.commands(run.instances)
            run.write_rows()
            self._record = self._xcoms = None
            return run.commands

    def _decide(self, now: datetime, allowance: Allowance) -> bool:
        if not self._scheduling.amid_round:
            self._waits.check_timeout(now)
            task_events.input_overdue(self._run, now)
        self._run.commands += self._run.assets.commands()
        return self._scheduling.advance(now, allowance)

    @property
    def record(self) -> DagRunRecord:
        """The run and its task instances as of the last step; made when somebody asks."""
        if self._record is None:
            self._record = self._run.record().model_copy(update={"waits_for": self._waits.why_queued()})
        return self._record

    def excerpt(self, most: int) -> DagRunRecord:
        """The run and its first task instances: what all of them wait for takes long to find out."""
        return self._run.record(most)

    @property
    def xcoms(self) -> tuple[XComRecord, ...]:
        """The run's XComs as of the last step; made when somebody asks."""
        if self._xcoms is None:
            self._xcoms = self._run.xcoms.records()
        return self._xcoms

    def slots_statement(self, keeper: str) -> AskForSlots:
        """Everything that the workflow which keeps a shared limit would have to know if it knew nothing."""
        return self._run.claims.statement(keeper, self._run.instances)

    def keepers(self) -> list[str]:
        """Ids of workflows that keep slots of shared limits for this run, or are asked for some."""
        return self._run.claims.keepers()

    def write(self, write: RunWrite, now: datetime) -> WriteAnswer:
        """Take what a running task, of this or another run, writes before it goes on.

        It readies nothing, so no step follows.

        Args:
            write: what to remember.
            now: workflow time.
        """
        match write:
            case XComWrite():
                return self._write_xcom(write, now)
            case TaskStateWrite() | TriggerWrite() if self._run.is_running(write.writer):
                return self._run.memory.write(write)
            case TaskStateWrite() | TriggerWrite():
                return WriteAnswer(refusal=NOT_RUNNING)
            case _:
                assert_never(write)

    def task_state(self, question: TaskStateQuestion) -> TaskStateValue | None:
        """A value of a task's state store."""
        return self._run.memory.state(question)

    def problem_with(self, action: UserAction, now: datetime) -> str | None:
        """Why somebody can't do this to the run now; None if they can.

        Args:
            action: what they want.
            now: workflow time.
        """
        with engine_scope(now, self._ids):
            return user_actions.problem(self._run, action)

    def preview(self, action: UserAction, now: datetime) -> ActionAnswer:
        """What an action that can be taken would do.

        Args:
            action: what somebody wants.
            now: workflow time.
        """
        with engine_scope(now, self._ids):
            return user_actions.preview(self._run, action)

    def absence_of_question(self, response: InputResponse) -> str | None:
        """Why no task waits for this answer now; None if one does."""
        return open_questions.absence(self.record, response)

    def may_begin_to_ask(self, response: InputResponse) -> bool:
        """Whether the task that is answered runs, so that it may ask once the run has taken note of what it said."""
        return self._run.may_begin_to_ask(TaskKey(response.task_id, response.map_index))

    def problems_with(self, response: InputResponse) -> list[str]:
        """Why an answer that is waited for can't be taken; empty if it can."""
        return list(human_input.problems(self.record, response))

    def result(self, now: datetime) -> DagExecutionResult:
        """The final result of a finished run.

        Args:
            now: workflow time.
        """
        states = [ti.state for ti in self.record.task_instances]
        execution = self._run.execution
        return DagExecutionResult(
            airflow_version=execution.airflow_version,
            engine_epoch=execution.engine_epoch,
            state=self.record.state,
            tasks_succeeded=states.count(TaskInstanceState.SUCCESS),
            tasks_failed=sum(state in State.failed_states for state in states),
            tasks_skipped=states.count(TaskInstanceState.SKIPPED),
            tasks_total=len(states),
            snapshot=self.record,
            xcoms=self.xcoms,
            task_states=self._run.memory.states(now),
            triggered_runs=self._run.memory.all_triggered(),
        )

    def dispose(self) -> None:
        """Free the database; records stay readable."""
        self._run.database.dispose()

    def _apply(self, event: Event, now: datetime) -> None:  # noqa: C901, PLR0912  # a table: a case for each event
        match event:
            case TaskEnded():
                task_events.task_ended(self._run, event, now)
            case AttemptLost():
                task_events.attempt_lost(self._run, event, now)
            case TaskStopped():
                task_events.task_stopped(self._run, event, now)
            case TaskStuck():
                task_events.task_stuck(self._run, event, now)
            case TriggerEnded():
                task_events.trigger_ended(self._run, event, now)
            case InputGiven():
                task_events.input_given(self._run, event, now)
            case AssetsRegistered(error) | AssetEventsPublished(error):
                self._run.assets.done(event)
                self._give_up_on(error)
            case CancelRequested(reason):
                marking.cancel(self._run, reason)
            case ActionTaken():
                self._acting.begin(event)
            case TurnCome():
                self._waits.turn_come()
                self._announce()
            case Unpaused():
                self._waits.unpaused()
            case TimePassed():
                pass
            case SlotsGranted(tickets, keeper):
                self._run.queue.granted(keeper, tickets)
            case PastRunsKnown(answer):
                self._run.past_runs.take(answer)
                self._run.instances.touch_all()
            case _:
                assert_never(event)

    def _write_xcom(self, write: XComWrite, now: datetime) -> WriteAnswer:
        xcoms, most = self._run.xcoms, self._run.execution.limits.inline_xcom_run
        if self.finished:
            return WriteAnswer(refusal="The run has ended: its XComs are final")
        if xcoms.inline_bytes + content_size(write.xcom.content) > most:
            return WriteAnswer(refusal=f"The run holds {most:,} bytes of XComs, which is all it can")
        with engine_scope(now, self._ids):
            xcoms.write([write.xcom])
            if write.mapped_length is not None:
                xcoms.record_mapped_length(write.xcom.task_id, write.xcom.map_index, write.mapped_length)
                self._run.to_change([TaskKey(write.xcom.task_id, write.xcom.map_index)])
            self._session.commit()
            self._xcoms = None
        return WriteAnswer()

    def _announce(self) -> None:
        """Tell listeners once that the run has started."""
        if not self._announced and self._run.dag_run.state == DagRunState.RUNNING:
            self._announced = True
            self._run.notify("started")

    def _give_up_on(self, error: str | None) -> None:
        """End a run whose assets can't be recorded: whatever it did would have an effect that nobody sees."""
        if error is None:
            return
        reason = f"asset events can't be recorded: {error}"
        if self._run.ended:
            self._run.reason = reason
        marking.cancel(self._run, reason)

    def _take_events(self, now: datetime, allowance: Allowance) -> bool:
        """Apply what happened, one after the other, as far as the step goes.

        Returns:
            Whether nothing is left for another step.
        """
        while self._acting.busy or self._untaken:
            if not self._acting.busy:
                self._apply(self._untaken.popleft(), now)
                allowance.spend()
            elif not self._acting.advance(allowance):
                return False
            else:
                self._look_afresh()
        return True

    def _look_afresh(self) -> None:
        """Somebody has done something to the run, which may have begun anew with it."""
        self._scheduling.frontier.look_afresh()
        if self._acting.queued_again:
            self._announced = False
            self._waits.queue_again()

    def _conclude(self, now: datetime) -> None:
        """Say what the run waits for, once there is nothing left to decide."""
        self._run.commands += self._run.deadlines.check(now)
        self._waits.await_turn(now)
        self._waits.await_unpause()
        self._scheduling.take_changes()
        self._waits.ask_for_wake(now)
        self._waits.ask_for_past_runs()


def _ids(execution: DagExecutionInput, drawn: int = 0) -> IdSequence:
    """The run's ids, those drawn before left out."""
    return IdSequence(f"{execution.run.dag_id}\0{execution.run.run_id}", drawn)
