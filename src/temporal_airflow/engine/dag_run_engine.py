"""Decides what a DAG run does next: Airflow's own ``DagRun.update_state`` on a database that only this run has.

``open`` creates the run, ``step`` takes events and returns commands, ``finished`` says when nothing more will come.
Rules that Airflow keeps outside ``update_state`` (scheduler loop, Execution API) are called from here; each is listed
in ``docs/reference/rules.md`` with its home. It must not know Temporal, real time, the network or the file system.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import assert_never

from airflow.api.common.mark_tasks import set_dag_run_state_to_failed
from airflow.callbacks.callback_requests import DagCallbackRequest
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskreschedule import TaskReschedule
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.utils.state import DagRunState, State, TaskInstanceState
from sqlalchemy import func, select

from temporal_airflow.engine import capacity, lost_tasks, outcomes, records
from temporal_airflow.engine.database import RunDatabase
from temporal_airflow.engine.events import (
    AttemptLost,
    CancelRequested,
    Command,
    Event,
    RunCallbacks,
    StartTask,
    StopTask,
    TaskEnded,
    TaskKey,
    TaskStopped,
    TimePassed,
    WakeAt,
)
from temporal_airflow.engine.run_creation import create_dag_run
from temporal_airflow.engine.time_provider import IdSequence, engine_scope
from temporal_airflow.engine.xcom_store import XComStore
from temporal_airflow.models import (
    CallbackInput,
    DagExecutionInput,
    DagExecutionResult,
    DagRunRecord,
    LostAttempt,
    TaskExecutionInput,
    TaskExecutionResult,
    TaskInstanceRecord,
    XComRecord,
)

STOPPED = "stopped because the run ended"


@dataclass
class _Attempts:
    """What is known of a task instance besides its row.

    Attributes:
        number: of the current try's current attempt.
        error: of the last attempt that ended.
    """

    number: int = 1
    error: str | None = None
    lost: list[LostAttempt] = field(default_factory=list)


class DagRunEngine:
    """One DAG run: its database, its decisions, and its state as immutable records."""

    def __init__(self, execution: DagExecutionInput, dag_run: DagRun, database: RunDatabase, ids: IdSequence) -> None:
        self._execution = execution
        self._dag_run = dag_run
        self._database = database
        self._session = database.session
        self._ids = ids
        self._dag: SerializedDAG = dag_run.get_dag()
        self._xcoms = XComStore(self._session, dag_run)
        self._attempts: dict[TaskKey, _Attempts] = {}
        self._in_flight: dict[TaskKey, int] = {}
        self._commands: list[Command] = []
        self._reason: str | None = None
        self._cancelled = False
        self.record: DagRunRecord = self._take_record()
        self.xcoms: tuple[XComRecord, ...] = ()

    @classmethod
    def open(cls, execution: DagExecutionInput, now: datetime) -> DagRunEngine:
        """Create the run.

        Args:
            execution: the workflow's input.
            now: workflow time; the run's start date.
        """
        database = RunDatabase()
        ids = IdSequence(f"{execution.run.dag_id}\0{execution.run.run_id}")
        with engine_scope(now, ids):
            dag_run = create_dag_run(execution.definition, execution.run, now, database.session)
            return cls(execution, dag_run, database, ids)

    @property
    def finished(self) -> bool:
        """Whether the run has its final state and nothing of it is still running."""
        return self._dag_run.state in State.finished_dr_states and not self._in_flight

    def step(self, now: datetime, events: Sequence[Event]) -> list[Command]:
        """Apply what happened and decide what happens next.

        Args:
            now: workflow time.
            events: in the order in which they happened.

        Returns:
            Commands in the order in which they are to be carried out.
        """
        with engine_scope(now, self._ids):
            self._commands = []
            for event in events:
                self._apply(event, now)
            self._check_timeout(now)
            self._schedule()
            self._start_ready(now)
            self._ask_for_wake(now)
            self._session.commit()
            self.record = self._take_record()
            self.xcoms = self._xcoms.records()
            return self._commands

    def result(self) -> DagExecutionResult:
        """The final result of a finished run."""
        states = [ti.state for ti in self.record.task_instances]
        return DagExecutionResult(
            airflow_version=self._execution.airflow_version,
            engine_epoch=self._execution.engine_epoch,
            state=self.record.state,
            tasks_succeeded=states.count(TaskInstanceState.SUCCESS),
            tasks_failed=sum(state in State.failed_states for state in states),
            tasks_skipped=states.count(TaskInstanceState.SKIPPED),
            tasks_total=len(states),
            snapshot=self.record,
            xcoms=self.xcoms,
        )

    def dispose(self) -> None:
        """Free the database; records stay readable."""
        self._database.dispose()

    def _apply(self, event: Event, now: datetime) -> None:
        match event:
            case TaskEnded(key, try_number, result):
                self._task_ended(key, try_number, result, now)
            case AttemptLost(key, try_number, reason):
                self._attempt_lost(key, try_number, reason, now)
            case TaskStopped(key):
                self._in_flight.pop(key, None)
                self._attempts_of(key).error = STOPPED
            case CancelRequested(reason):
                self._cancel(reason)
            case TimePassed():
                pass
            case _:
                assert_never(event)

    def _task_ended(self, key: TaskKey, try_number: int, result: TaskExecutionResult, now: datetime) -> None:
        self._in_flight.pop(key, None)
        self._attempts_of(key).error = result.error
        ti = self._task_instance(key)
        if ti.try_number != try_number or ti.state != TaskInstanceState.RUNNING:
            return  # the run has decided over the task meanwhile: Airflow ignores such a result too
        self._xcoms.write(result.xcoms)
        if result.mapped_length is not None:
            self._xcoms.record_mapped_length(key.task_id, key.map_index, result.mapped_length)
        outcomes.skip(self._dag_run, result.skipped_tasks, now, self._session)
        outcomes.finish(ti, result, self._dag, self._session)
        self._session.flush()
        self._stop_decided_tasks()

    def _attempt_lost(self, key: TaskKey, try_number: int, reason: str, now: datetime) -> None:
        self._in_flight.pop(key, None)
        attempts = self._attempts_of(key)
        attempts.lost.append(LostAttempt(try_number=try_number, attempt=attempts.number, reason=reason, at=now))
        ti = self._task_instance(key)
        if ti.try_number != try_number or ti.state != TaskInstanceState.RUNNING:
            return
        lost_of_this_try = sum(lost.try_number == try_number for lost in attempts.lost)
        if lost_of_this_try < self._execution.limits.max_lost_attempts:
            attempts.number += 1
            self._start(ti, now)
            return
        attempts.error = f"{lost_of_this_try} attempts were lost to infrastructure, the last one: {reason}"
        request = lost_tasks.callback_request(ti, self._dag_run, self._execution.definition.bundle, attempts.error)
        lost_tasks.give_up(ti, self._dag, now, self._session)
        if request is not None:
            self._run_callbacks(f"callbacks of {key.task_id}", request)
        self._stop_decided_tasks()

    def _cancel(self, reason: str) -> None:
        if self._cancelled or self._dag_run.state in State.finished_dr_states:
            return
        self._cancelled = True
        self._reason = reason
        set_dag_run_state_to_failed(dag=self._dag, run_id=self._dag_run.run_id, commit=True, session=self._session)
        self._session.expire_all()
        self._stop_decided_tasks()

    def _check_timeout(self, now: datetime) -> None:
        deadline = self._timeout_at()
        if deadline is None or now <= deadline or self._dag_run.state in State.finished_dr_states:
            return
        callback = lost_tasks.time_out(self._dag_run, self._dag, self._session)
        self._reason = "timed_out"
        if callback is not None:
            self._run_callbacks("DAG callback (timed_out)", callback)
        self._stop_decided_tasks()

    def _schedule(self) -> None:
        """Airflow's scheduling pass, until it changes nothing: one pass does not carry a skip all the way."""
        before = None
        while self._dag_run.state not in State.finished_dr_states:
            if before == (before := self._fingerprint()):
                break
            ready, callback = self._dag_run.update_state(session=self._session, execute_callbacks=False)
            self._finish_run(callback)
            if ready:
                self._dag_run.schedule_tis(ready, session=self._session)
            self._session.flush()
            self._session.expire_all()
            self._check_size()

    def _check_size(self) -> None:
        """End a run that has grown beyond what one run may be: mapping over a result can't be foreseen at submit."""
        count = self._session.scalar(select(func.count()).select_from(TaskInstance)) or 0
        most = self._execution.limits.max_task_instances
        if count > most:
            self._cancel(f"the run grew to {count} task instances by mapping; this version runs at most {most}")

    def _finish_run(self, callback: DagCallbackRequest | None) -> None:
        if self._cancelled and self._dag_run.state == DagRunState.SUCCESS:
            self._dag_run.set_state(DagRunState.FAILED)  # a cancelled run whose teardowns succeeded is still cancelled
        if self._cancelled:
            return
        if self._dag_run.state == DagRunState.FAILED:
            stuck = any(ti.state is None or ti.state in State.unfinished for ti in self._task_instances())
            self._reason = "all_tasks_deadlocked" if stuck else "task_failure"
        if callback is not None:
            self._run_callbacks(f"DAG callback ({callback.msg})", callback)

    def _start_ready(self, now: datetime) -> None:
        if self._dag_run.state in State.finished_dr_states:
            return
        task_instances = self._task_instances()
        for ti in capacity.startable(task_instances, self._dag):
            self._attempts_of(_key(ti)).number = 1
            self._start(ti, now)

    def _start(self, ti: TaskInstance, now: datetime) -> None:
        key = _key(ti)
        first_poke = self._session.scalars(
            select(TaskReschedule).where(TaskReschedule.ti_id == ti.id).order_by(TaskReschedule.id).limit(1)
        ).first()
        outcomes.begin(ti, now)
        self._in_flight[key] = ti.try_number
        self._commands.append(StartTask(key, ti.queue, self._attempt_input(ti, first_poke)))

    def _attempt_input(self, ti: TaskInstance, first_poke: TaskReschedule | None) -> TaskExecutionInput:
        limits = self._execution.limits
        left = max(0, limits.inline_xcom_run - self._xcoms.inline_bytes)
        return TaskExecutionInput(
            task_instance_id=ti.id,
            dag_version_id=ti.dag_version_id,
            run=self._execution.run,
            run_start_date=self._dag_run.start_date,
            bundle=self._execution.definition.bundle,
            task_id=ti.task_id,
            map_index=ti.map_index,
            try_number=ti.try_number,
            attempt=self._attempts_of(_key(ti)).number,
            max_tries=ti.max_tries,
            should_retry=outcomes.should_retry(ti),
            queue=ti.queue,
            task_reschedule_count=records.reschedule_count(ti, self._session) if first_poke else 0,
            first_reschedule_date=first_poke.start_date if first_poke else None,
            xcom_keys_to_clear=self._xcoms.keys_of(ti.task_id, ti.map_index),
            upstream_results=self._xcoms.small_results(
                sorted(self._dag.get_task(ti.task_id).upstream_task_ids), limits.input_xcom_value
            ),
            inline_xcom_budget=min(limits.inline_xcom_value, left // (len(self._in_flight) or 1)),
            max_map_length=min(limits.max_map_length, limits.max_task_instances),
        )

    def _stop_decided_tasks(self) -> None:
        """Stop every attempt whose task instance has been given another state meanwhile."""
        for key, try_number in self._in_flight.items():
            stop = StopTask(key, try_number)
            if self._task_instance(key).state != TaskInstanceState.RUNNING and stop not in self._commands:
                self._commands.append(stop)

    def _run_callbacks(self, label: str, request: lost_tasks.CallbackRequest) -> None:
        self._commands.append(
            RunCallbacks(
                CallbackInput(
                    run=self._execution.run,
                    bundle=self._execution.definition.bundle,
                    label=label,
                    request=request.to_json(),
                )
            )
        )

    def _ask_for_wake(self, now: datetime) -> None:
        if self._dag_run.state in State.finished_dr_states:
            return
        waiting = (records.wakes_at(ti, self._session) for ti in self._task_instances())
        moments = [moment for moment in (*waiting, self._timeout_at()) if moment is not None]
        if moments:
            # Airflow compares with "later than": a moment that is exactly now is not yet due
            self._commands.append(WakeAt(max(min(moments), now) + timedelta(milliseconds=1)))

    def _timeout_at(self) -> datetime | None:
        start, timeout = self._dag_run.start_date, self._dag.dagrun_timeout
        return start + timeout if start and timeout else None

    def _fingerprint(self) -> tuple[object, ...]:
        columns = (TaskInstance.task_id, TaskInstance.map_index, TaskInstance.state, TaskInstance.try_number)
        rows = self._session.execute(select(*columns).order_by(*columns[:2]))
        return (self._dag_run.state, *map(tuple, rows))

    def _task_instances(self) -> list[TaskInstance]:
        task_instances = self._dag_run.get_task_instances(session=self._session)
        for ti in task_instances:
            ti.task = self._dag.get_task(ti.task_id)
        return sorted(task_instances, key=_key)

    def _task_instance(self, key: TaskKey) -> TaskInstance:
        ti = self._dag_run.get_task_instance(key.task_id, session=self._session, map_index=key.map_index)
        assert ti is not None, f"no task instance {key}"
        ti.task = self._dag.get_task(key.task_id)
        return ti

    def _attempts_of(self, key: TaskKey) -> _Attempts:
        return self._attempts.setdefault(key, _Attempts())

    def _take_record(self) -> DagRunRecord:
        return DagRunRecord(
            run=self._execution.run,
            state=self._dag_run.state,
            start_date=self._dag_run.start_date,
            end_date=self._dag_run.end_date,
            reason=self._reason,
            task_instances=tuple(self._record_of(ti) for ti in self._task_instances()),
        )

    def _record_of(self, ti: TaskInstance) -> TaskInstanceRecord:
        attempts = self._attempts_of(_key(ti))
        return records.task_instance(ti, attempts.error, attempts.lost, self._session)


def _key(ti: TaskInstance) -> TaskKey:
    return TaskKey(ti.task_id, ti.map_index)
