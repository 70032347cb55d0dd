"""How the end of an attempt changes a task instance's row.

These are the rules of Airflow's Execution API (``execution_api/routes/task_instances.py``: ``ti_run``,
``ti_update_state``, ``ti_skip_downstream``) and of the scheduler's heartbeat check, on Airflow's own model methods.
It must not decide what runs next.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from airflow.models.taskinstance import TaskInstance, _stop_remaining_tasks
from airflow.models.taskreschedule import TaskReschedule
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.utils.state import TaskInstanceState
from sqlalchemy.orm import Session

from temporal_airflow.engine.database import PatientSession
from temporal_airflow.models import Deferral, InputWait, TaskExecutionResult

UNSKIPPABLE = (TaskInstanceState.RUNNING, TaskInstanceState.SUCCESS, TaskInstanceState.FAILED)


def should_retry(ti: TaskInstance) -> bool:
    """Whether a failure of this try leads to another (``_is_eligible_to_retry``)."""
    if ti.state == TaskInstanceState.RESTARTING:
        return True
    return bool(ti.max_tries != 0 and ti.try_number <= ti.max_tries)


def schedule(ti: TaskInstance, now: datetime, session: Session) -> None:
    """A task instance is ready (``DagRun.schedule_tis``, which does it by a statement for many rows).

    Airflow's own would leave the objects behind the rows, and reading them again costs more than all the rest.
    """
    if not ti.is_schedulable:  # an empty task: there is nothing to run
        ti.try_number += 1
        ti.state = TaskInstanceState.SUCCESS
        ti.start_date = ti.end_date = now
        ti.duration = 0
    elif not ti.defer_task(session=session):
        if ti.state != TaskInstanceState.UP_FOR_RESCHEDULE:
            ti.try_number += 1
        ti.state = TaskInstanceState.SCHEDULED
        ti.scheduled_dttm = now


def begin(ti: TaskInstance, now: datetime) -> None:
    """A try starts (``ti_run``)."""
    ti.state = TaskInstanceState.RUNNING
    ti.queued_dttm = now
    if ti.next_method is None:
        ti.start_date = now
    ti.end_date = None
    ti.retry_delay_override = None
    ti.retry_reason = None


def requeue(ti: TaskInstance, now: datetime) -> None:
    """Nobody began with a try in time, so it waits for its start again (``_reschedule_stuck_task``)."""
    ti.state = TaskInstanceState.SCHEDULED
    ti.queued_dttm = None
    ti.scheduled_dttm = now


def fail_stuck(ti: TaskInstance, session: Session) -> None:
    """Nobody ever began with a try: it fails, whatever its retries (``_maybe_requeue_stuck_ti``)."""
    patient: Any = PatientSession(session)
    ti.set_state(TaskInstanceState.FAILED, session=patient)
    session.flush()


def finish(ti: TaskInstance, result: TaskExecutionResult, dag: SerializedDAG, session: Session) -> None:
    """A try ended by itself (``ti_update_state``).

    Raises:
        ValueError: for a state that a task can't end in.
    """
    ti.start_date = result.start_date
    ti.hostname = result.hostname
    ti.pid = result.pid
    if result.rendered_map_index is not None:
        ti._rendered_map_index = result.rendered_map_index  # the column's name in Airflow's model
    match result.state:
        case TaskInstanceState.SUCCESS | TaskInstanceState.SKIPPED | TaskInstanceState.REMOVED:
            _end(ti, result.state, result.end_date)
        case TaskInstanceState.FAILED:
            fail(ti, result.end_date, dag, session)
        case TaskInstanceState.UP_FOR_RETRY:
            ti.retry_delay_override = result.retry_delay_seconds
            ti.retry_reason = result.retry_reason[:500] if result.retry_reason else None
            retry(ti, result.end_date, session)
        case TaskInstanceState.UP_FOR_RESCHEDULE:
            assert result.reschedule_date is not None, "a rescheduled task says when it goes on"
            session.add(TaskReschedule(ti.id, result.start_date, result.end_date, result.reschedule_date))
            _end(ti, result.state, result.end_date)
        case TaskInstanceState.DEFERRED | TaskInstanceState.AWAITING_INPUT:
            pass  # `defer` and `await_input` say until when
        case other:
            raise ValueError(f"A task can't end as {other}")


def fail(ti: TaskInstance, end_date: datetime, dag: SerializedDAG, session: Session) -> None:
    """A try failed for good; with ``fail_fast`` the rest of the run is stopped."""
    _end(ti, TaskInstanceState.FAILED, end_date)
    if dag.fail_fast:
        teardowns = {task_id: task.is_teardown for task_id, task in dag.task_dict.items()}
        patient: Any = PatientSession(session)
        _stop_remaining_tasks(task_instance=ti, task_teardown_map=teardowns, session=patient)
        session.flush()


def retry(ti: TaskInstance, end_date: datetime, session: Session) -> None:
    """A try failed and another follows; Airflow's ``next_retry_datetime`` says when."""
    ti.end_date = end_date
    ti.set_duration()
    ti.prepare_db_for_next_try(session=session)
    _end(ti, TaskInstanceState.UP_FOR_RETRY, end_date)


def defer(ti: TaskInstance, deferral: Deferral, now: datetime) -> None:
    """A task waits for a trigger (``TIDeferredStatePayload``)."""
    _wait(ti, TaskInstanceState.DEFERRED, deferral, now)


def await_input(ti: TaskInstance, wait: InputWait, now: datetime) -> None:
    """A task waits for a person (``TIAwaitingInputStatePayload``)."""
    _wait(ti, TaskInstanceState.AWAITING_INPUT, wait, now)


def resume(ti: TaskInstance, next_method: str | None, now: datetime) -> None:
    """A trigger has fired or failed: the same try goes on (``models/trigger.py``: ``handle_event_submit``)."""
    ti.state = TaskInstanceState.SCHEDULED
    ti.next_method = next_method or ti.next_method
    ti.next_kwargs = None  # they are sealed, and kept beside the row
    ti.trigger_timeout = None
    ti.scheduled_dttm = now


def end_from_trigger(ti: TaskInstance, state: TaskInstanceState, now: datetime, session: Session) -> None:
    """A trigger ended its task without running it again (``BaseTaskEndEvent``): Airflow stops no others then."""
    if state == TaskInstanceState.FAILED and should_retry(ti):
        retry(ti, now, session)
    else:
        _end(ti, state, now)


def skip(skipped: Iterable[TaskInstance], now: datetime) -> None:
    """A task skipped others, unless they run or ended already (``ti_skip_downstream``)."""
    for ti in skipped:
        if ti.state not in UNSKIPPABLE:
            ti.state = TaskInstanceState.SKIPPED
            ti.start_date = ti.end_date = now


def _wait(ti: TaskInstance, state: TaskInstanceState, wait: Deferral | InputWait, now: datetime) -> None:
    ti.state = state
    ti.next_method = wait.next_method
    ti.next_kwargs = None  # they are sealed, and kept beside the row
    ti.trigger_timeout = now + timedelta(seconds=wait.timeout) if wait.timeout is not None else None


def _end(ti: TaskInstance, state: TaskInstanceState, end_date: datetime) -> None:
    ti.state = state
    ti.end_date = end_date
    ti.next_method = None
    ti.next_kwargs = None
    ti.set_duration()
