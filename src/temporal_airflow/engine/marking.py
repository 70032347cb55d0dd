"""Gives tasks, or the run, the state that somebody wants them to end in.

What Airflow's API does (``patch_task_instance``, ``patch_dag_run``), by Airflow's own code. It must not know who wants
it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow.api.common.mark_tasks import set_dag_run_state_to_failed, set_dag_run_state_to_success, set_state
from airflow.models.taskinstance import TaskInstance
from airflow.utils.state import DagRunState, State, TaskInstanceState

from temporal_airflow.engine.attempts import key_of
from temporal_airflow.engine.database import PatientSession
from temporal_airflow.engine.open_run import OpenRun
from temporal_airflow.models import MarkTask

PENDING = (None, TaskInstanceState.SCHEDULED, TaskInstanceState.UP_FOR_RETRY)
"""States in which a task instance waits, and nothing of it is out."""

SET_STATES = {DagRunState.SUCCESS: set_dag_run_state_to_success, DagRunState.FAILED: set_dag_run_state_to_failed}


def selected(run: OpenRun, action: MarkTask) -> list[TaskInstance]:
    """The task instances that would get the state, by task id and map index; not those that have it."""
    return _set_state(run, action, commit=False)


def mark(run: OpenRun, action: MarkTask) -> list[TaskInstance]:
    """Set the state (``SerializedDAG.set_task_instance_state``).

    Returns:
        What is to be cleared, because it failed below: the run goes on with it, even if it had ended.
    """
    altered = _set_state(run, action, commit=True)
    run.session.flush()
    for ti in altered:
        history = run.history_of(key_of(ti))
        history.error, history.input_request = None, None
        if action.state == TaskInstanceState.SUCCESS and run.execution.limits.clear_state_on_success:
            run.memory.clear_states(key_of(ti))
    run.instances.settle()
    run.stop_decided_tasks()
    below = run.dag.partial_subset(task_ids={action.task_id}, include_downstream=True, include_upstream=False)
    failed: Iterable[TaskInstance] = below.clear(
        dry_run=True,
        run_id=run.dag_run.run_id,
        only_failed=True,
        exclude_task_ids=frozenset((action.task_id,)),
        session=run.session,
    )
    return sorted(failed, key=key_of)


def end(run: OpenRun, state: DagRunState, reason: str) -> None:
    """End the run: what runs is stopped, what waits is skipped; teardowns still run, and the run ends after them."""
    run.cancelled = state == DagRunState.FAILED
    run.reason = reason
    run.instances.settle()
    patient: Any = PatientSession(run.session)
    for ti in list(run.instances.in_state(*PENDING)):  # Airflow does the same to what it reads row by row
        if not run.dag.task_dict[ti.task_id].is_teardown:
            ti.set_state(TaskInstanceState.SKIPPED, session=patient)
    SET_STATES[state](dag=run.dag, run_id=run.dag_run.run_id, commit=True, session=patient)
    run.session.flush()
    run.instances.reload()
    if run.ended:
        run.notify(f"Dag Run's state was manually set to `{state.value}`.")
    run.stop_decided_tasks()


def cancel(run: OpenRun, reason: str) -> None:
    """End the run because somebody wants that, as Airflow does when a user marks it as failed."""
    if not (run.cancelled or run.ended):
        end(run, DagRunState.FAILED, reason)


def unfinished(run: OpenRun) -> list[TaskInstance]:
    """The task instances that are decided over when the run is ended."""
    return [
        ti for ti in run.instances if ti.state not in State.finished and not run.dag.task_dict[ti.task_id].is_teardown
    ]


def _set_state(run: OpenRun, action: MarkTask, *, commit: bool) -> list[TaskInstance]:
    task: Any = run.dag.get_task(action.task_id)
    patient: Any = PatientSession(run.session)
    altered: Iterable[TaskInstance] = set_state(
        tasks=[(task, index) for index in action.map_indexes] or [task],
        run_id=run.dag_run.run_id,
        upstream=action.upstream,
        downstream=action.downstream,
        state=action.state,
        commit=commit,
        session=patient,
    )
    return sorted(altered, key=key_of)
