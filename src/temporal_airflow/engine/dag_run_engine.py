"""Decides what a DAG run does next: Airflow's own ``DagRun.update_state`` on a database that only this run has.

``open`` creates the run, ``step`` takes events and returns commands, ``finished`` says when nothing more will come.
Rules that Airflow keeps outside ``update_state`` (scheduler loop, Execution API) are called from here; each is listed
in ``docs/reference/rules.md`` with its home. It must not know Temporal, real time, the network or the file system.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import assert_never

from airflow.api.common.mark_tasks import set_dag_run_state_to_failed
from airflow.callbacks.callback_requests import DagCallbackRequest
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.ti_deps.dependencies_states import SCHEDULEABLE_STATES
from airflow.utils.state import DagRunState, State, TaskInstanceState
from sqlalchemy import func, select

from temporal_airflow.engine import capacity, lost_tasks, outcomes, records
from temporal_airflow.engine.attempts import AttemptInputs, InFlight, TaskHistory, key_of
from temporal_airflow.engine.database import RunDatabase
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
from temporal_airflow.engine.run_creation import create_dag_run
from temporal_airflow.engine.time_provider import IdSequence, engine_scope
from temporal_airflow.engine.xcom_store import XComStore
from temporal_airflow.models import (
    CallbackInput,
    DagExecutionInput,
    DagExecutionResult,
    DagRunRecord,
    Deferral,
    LostAttempt,
    TaskExecutionResult,
    TaskInstanceRecord,
    TriggerResult,
    XComRecord,
)

NOT_STARTED = {*SCHEDULEABLE_STATES, TaskInstanceState.SCHEDULED}
STOPPED = "stopped because the run ended"


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
        self._inputs = AttemptInputs(execution, dag_run, self._xcoms, self._session)
        self._histories: dict[TaskKey, TaskHistory] = {}
        self._in_flight: dict[TaskKey, InFlight] = {}
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
            case TaskStopped(key, try_number):
                self._task_stopped(key, try_number, now)
            case TriggerEnded(key, try_number, result):
                self._trigger_ended(key, try_number, result, now)
            case CancelRequested(reason):
                self._cancel(reason)
            case TimePassed():
                pass
            case _:
                assert_never(event)

    def _task_ended(self, key: TaskKey, try_number: int, result: TaskExecutionResult, now: datetime) -> None:
        history = self._history_of(key)
        history.error = result.error
        ti = self._awaited(key, try_number, TaskInstanceState.RUNNING)
        if ti is None:
            return
        self._xcoms.write(result.xcoms)
        if result.mapped_length is not None:
            self._xcoms.record_mapped_length(key.task_id, key.map_index, result.mapped_length)
        outcomes.skip(self._dag_run, result.skipped_tasks, now, self._session)
        outcomes.finish(ti, result, self._dag, self._session)
        if result.deferral is not None:
            history.next_kwargs = result.deferral.next_kwargs
            self._defer(ti, result.deferral, now)
        self._session.flush()
        self._stop_decided_tasks()

    def _defer(self, ti: TaskInstance, deferral: Deferral, now: datetime) -> None:
        key = key_of(ti)
        outcomes.defer(ti, deferral, now)
        self._history_of(key).deferrals += 1
        self._in_flight[key] = InFlight(ti.try_number, TaskInstanceState.DEFERRED)
        self._commands.append(StartTrigger(key, self._inputs.of_trigger(ti, deferral)))

    def _trigger_ended(self, key: TaskKey, try_number: int, result: TriggerResult, now: datetime) -> None:
        ti = self._awaited(key, try_number, TaskInstanceState.DEFERRED)
        if ti is None:
            return
        if result.end_state is None:
            self._xcoms.write(result.xcoms)
            self._history_of(key).next_kwargs = result.next_kwargs
            outcomes.resume(ti, result.next_method, now)
        else:
            if result.end_state != TaskInstanceState.FAILED or not outcomes.should_retry(ti):
                self._xcoms.write(result.xcoms)
            self._run_task_callbacks(ti, result.end_state, "ended by its trigger")
            outcomes.end_from_trigger(ti, result.end_state, now, self._dag, self._session)
        self._session.flush()
        self._stop_decided_tasks()

    def _awaited(self, key: TaskKey, try_number: int, state: TaskInstanceState) -> TaskInstance | None:
        """The task instance that something came back for; None if the run has decided over it meanwhile.

        Airflow ignores what comes back then, too.
        """
        self._in_flight.pop(key, None)
        ti = self._task_instance(key)
        return ti if (ti.try_number, ti.state) == (try_number, state) else None

    def _task_stopped(self, key: TaskKey, try_number: int, now: datetime) -> None:
        flight = self._in_flight.get(key)
        if flight is not None and not flight.stopping:
            self._attempt_lost(key, try_number, "cancelled, but not by the run", now)
            return
        self._in_flight.pop(key, None)
        self._history_of(key).error = STOPPED

    def _attempt_lost(self, key: TaskKey, try_number: int, reason: str, now: datetime) -> None:
        history = self._history_of(key)
        history.lost.append(LostAttempt(try_number=try_number, attempt=history.attempt, reason=reason, at=now))
        flight = self._in_flight.get(key)
        ti = self._awaited(key, try_number, flight.state) if flight else None
        if ti is None:
            return
        lost_of_this_try = sum(lost.try_number == try_number for lost in history.lost)
        may_repeat = lost_of_this_try < self._execution.limits.max_lost_attempts
        if may_repeat and ti.state == TaskInstanceState.RUNNING:
            history.attempt += 1
            self._start(ti, now)
            return
        history.error = f"{lost_of_this_try} attempts were lost to infrastructure, the last one: {reason}"
        self._run_task_callbacks(ti, TaskInstanceState.FAILED, history.error)
        lost_tasks.give_up(ti, self._dag, now, self._session)
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
            if ti.next_method is None:
                self._history_of(key_of(ti)).new_try()
            self._start(ti, now)

    def _start(self, ti: TaskInstance, now: datetime) -> None:
        key = key_of(ti)
        outcomes.begin(ti, now)
        self._in_flight[key] = InFlight(ti.try_number, TaskInstanceState.RUNNING)
        attempt = self._inputs.of_task(ti, self._history_of(key), len(self._in_flight))
        self._commands.append(StartTask(key, ti.queue, attempt))

    def _stop_decided_tasks(self) -> None:
        """Stop everything whose task instance has been given another state meanwhile."""
        for key, flight in self._in_flight.items():
            if not flight.stopping and self._task_instance(key).state != flight.state:
                flight.stopping = True
                self._commands.append(StopTask(key, flight.try_number))

    def _run_task_callbacks(self, ti: TaskInstance, state: TaskInstanceState, message: str) -> None:
        request = lost_tasks.callback_request(ti, state, self._dag_run, self._execution.definition.bundle, message)
        if request is not None:
            self._run_callbacks(f"callbacks of {ti.task_id}", request)

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
        """What another pass could see changed: that a task instance was merely scheduled can ready no other."""
        columns = (TaskInstance.task_id, TaskInstance.map_index, TaskInstance.state)
        rows = self._session.execute(select(*columns).order_by(*columns[:2]))
        states = ((task_id, index, None if state in NOT_STARTED else state) for task_id, index, state in rows)
        return (self._dag_run.state, *states)

    def _task_instances(self) -> list[TaskInstance]:
        task_instances = self._dag_run.get_task_instances(session=self._session)
        for ti in task_instances:
            ti.task = self._dag.get_task(ti.task_id)
        return sorted(task_instances, key=key_of)

    def _task_instance(self, key: TaskKey) -> TaskInstance:
        ti = self._dag_run.get_task_instance(key.task_id, session=self._session, map_index=key.map_index)
        assert ti is not None, f"no task instance {key}"
        ti.task = self._dag.get_task(key.task_id)
        return ti

    def _history_of(self, key: TaskKey) -> TaskHistory:
        return self._histories.setdefault(key, TaskHistory())

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
        history = self._history_of(key_of(ti))
        return records.task_instance(ti, history.error, history.lost, self._session)
