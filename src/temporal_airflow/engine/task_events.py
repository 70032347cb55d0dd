"""Applies what came back for a task instance: an attempt's result, a trigger's, a loss, a stop.

It must not decide what runs next.
"""

from __future__ import annotations

from datetime import datetime

from airflow.models.taskinstance import TaskInstance
from airflow.utils.state import State, TaskInstanceState
from sqlalchemy import select

from temporal_airflow.engine import clearing, human_input, lost_tasks, outcomes
from temporal_airflow.engine.attempts import key_of
from temporal_airflow.engine.events import (
    AttemptLost,
    InputGiven,
    TaskEnded,
    TaskKey,
    TaskStopped,
    TaskStuck,
    TriggerEnded,
)
from temporal_airflow.engine.open_run import OpenRun
from temporal_airflow.models import InputWait, LostAttempt

UNREPORTED = "the task's process ended without reporting a state"
STOPPED = "stopped because the run ended"


def task_ended(run: OpenRun, event: TaskEnded, now: datetime) -> None:
    """An attempt ended by itself."""
    key, result = event.key, event.result
    history = run.history_of(key)
    history.error, history.requeues = result.error, 0
    ti = run.awaited(key, event.try_number, TaskInstanceState.RUNNING)
    if ti is None:
        _restart_if_cleared(run, key)
        return
    run.xcoms.write(result.xcoms)
    if result.mapped_length is not None:
        run.xcoms.record_mapped_length(key.task_id, key.map_index, result.mapped_length)
    if result.unreported:
        run.run_callbacks_of_failure(ti, result.error or UNREPORTED)
    skipped = [TaskKey(task_id, -1 if index is None else index) for task_id, index in result.skipped_tasks]
    outcomes.skip(run.to_change(skipped), now)
    outcomes.finish(ti, result, run.dag, run.session)
    if result.state == TaskInstanceState.SUCCESS:
        run.assets.succeeded(ti, result.asset_events, now)
    if result.state == TaskInstanceState.SUCCESS and run.execution.limits.clear_state_on_success:
        run.memory.clear_states(key)
    history.input_request, history.default_params = result.input_request, None
    history.answered = False
    if result.deferral is not None:
        outcomes.defer(ti, result.deferral, now)
        run.wait_for_trigger(ti, result.deferral)
    if result.input_wait is not None:
        history.next_kwargs, history.waits_since = result.input_wait.next_kwargs, now
        _await_input(run, ti, result.input_wait, now)
    run.stop_decided_tasks()


def trigger_ended(run: OpenRun, event: TriggerEnded, now: datetime) -> None:
    """The wait of a deferred task is over: it goes on, or its trigger has ended it."""
    key, result = event.key, event.result
    ti = run.awaited(key, event.try_number, TaskInstanceState.DEFERRED)
    if ti is None:
        return
    run.history_of(key).input_request = None
    if result.end_state is None:
        run.xcoms.write(result.xcoms)
        run.history_of(key).next_kwargs = result.next_kwargs
        outcomes.resume(ti, result.next_method, now)
    else:
        if result.end_state != TaskInstanceState.FAILED or not outcomes.should_retry(ti):
            run.xcoms.write(result.xcoms)
        run.run_task_callbacks(ti, result.end_state, "ended by its trigger")
        outcomes.end_from_trigger(ti, result.end_state, now, run.session)
    run.stop_decided_tasks()


def input_given(run: OpenRun, event: InputGiven, now: datetime) -> None:
    """Somebody answered: the same try goes on, as it does in Airflow whichever way it waited."""
    key = TaskKey(event.response.task_id, event.response.map_index)
    history = run.history_of(key)
    ti = run.instances[key]
    if history.input_request is None or ti.state not in human_input.ANSWERABLE:
        return
    human_input.answer(ti, history.input_request, event.response, now, run.session)
    history.input_request, history.answered = None, True
    run.stop_decided_tasks()


def input_overdue(run: OpenRun, now: datetime) -> None:
    """Nobody answered in time."""
    if not run.asks_people:
        return
    late = select(TaskInstance).where(
        TaskInstance.state == TaskInstanceState.AWAITING_INPUT, TaskInstance.trigger_timeout < now
    )
    for ti in run.session.scalars(late.order_by(TaskInstance.task_id, TaskInstance.map_index)).all():
        history = run.history_of(key_of(ti))
        request, history.input_request = history.input_request, None
        history.answered = True
        if request is None:
            human_input.give_up(ti, run.session)
        elif human_input.time_out(ti, request, now, run.session):
            history.default_params = request.sealed_params


def task_stopped(run: OpenRun, event: TaskStopped, now: datetime) -> None:
    """An attempt or a wait ended because somebody wanted it to."""
    flight = run.in_flight.get(event.key)
    if flight is not None and not flight.stopping:
        attempt_lost(run, AttemptLost(event.key, event.try_number, "cancelled, but not by the run"), now)
        return
    run.in_flight.pop(event.key, None)
    run.instances.changed[event.key] = None
    _restart_if_cleared(run, event.key)
    if run.instances[event.key].state in State.finished:
        run.history_of(event.key).error = STOPPED


def task_stuck(run: OpenRun, event: TaskStuck, now: datetime) -> None:
    """No worker took an attempt in time: it waits anew, or too often (``_maybe_requeue_stuck_ti``)."""
    key, limits = event.key, run.execution.limits
    history = run.history_of(key)
    ti = run.awaited(key, event.try_number, TaskInstanceState.RUNNING)
    if ti is None:
        return
    if history.requeues < limits.num_stuck_in_queued_retries:
        history.requeues += 1
        outcomes.requeue(ti, now)
        return
    history.error = f"Task was requeued more than {limits.num_stuck_in_queued_retries} times and will be failed."
    run.run_stuck_callbacks(ti, history.error)
    outcomes.fail_stuck(ti, run.session)
    run.stop_decided_tasks()


def attempt_lost(run: OpenRun, event: AttemptLost, now: datetime) -> None:
    """Infrastructure took an attempt away: the same try again, or too often."""
    key, try_number, reason = event.key, event.try_number, event.reason
    history = run.history_of(key)
    history.requeues = 0
    history.lost.append(LostAttempt(try_number=try_number, attempt=history.attempt, reason=reason, at=now))
    flight = run.in_flight.get(key)
    ti = run.awaited(key, try_number, flight.state) if flight else None
    if ti is None:
        _restart_if_cleared(run, key)
        return
    lost_of_this_try = sum(lost.try_number == try_number for lost in history.lost)
    may_repeat = lost_of_this_try < run.execution.limits.max_lost_attempts
    if may_repeat and ti.state == TaskInstanceState.RUNNING:
        history.attempt += 1
        run.start(ti, now)
        return
    history.error = f"{lost_of_this_try} attempts were lost to infrastructure, the last one: {reason}"
    run.run_callbacks_of_failure(ti, history.error)
    lost_tasks.give_up(ti, run.dag, now, run.session)
    run.stop_decided_tasks()


def _restart_if_cleared(run: OpenRun, key: TaskKey) -> None:
    """Whatever became of a task that was cleared while it ran, it starts anew."""
    ti = run.instances.get(key)
    if ti is not None and ti.state == TaskInstanceState.RESTARTING:
        run.history_of(key).error = None
        clearing.restart(run, ti)


def _await_input(run: OpenRun, ti: TaskInstance, wait: InputWait, now: datetime) -> None:
    run.asks_people = True
    outcomes.await_input(ti, wait, now)
    run.history_of(key_of(ti)).deferrals += 1
