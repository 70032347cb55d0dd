"""Lets task instances run again: which of them, and what becomes of each, is Airflow's to say.

What Airflow's API does (``post_clear_task_instances``), with Airflow's own selection (``find_relevant_relatives``,
``SerializedDAG.clear``) and its own change of rows (``clear_task_instances``). What a run knows besides its rows has to
follow here. It must not know who wants it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal

from airflow.models.taskinstance import TaskInstance, clear_task_instances, find_relevant_relatives
from airflow.utils.state import TaskInstanceState

from temporal_airflow.engine.attempts import key_of
from temporal_airflow.engine.database import PatientSession
from temporal_airflow.engine.open_run import OpenRun
from temporal_airflow.models import ClearTasks

Markers = list[str | tuple[str, int]]


def selected(run: OpenRun, action: ClearTasks) -> list[TaskInstance]:
    """The task instances that would be cleared, by task id and map index."""
    found: Iterable[TaskInstance] = run.dag.clear(
        dry_run=True,
        task_ids=_markers(run, action) if action.task_ids else None,
        run_id=run.dag_run.run_id,
        only_failed=action.only_failed,
        session=run.session,
    )
    return sorted(found, key=key_of)


def clear(run: OpenRun, chosen: Sequence[TaskInstance]) -> None:
    """Clear task instances; those that run are to be stopped first, and the run goes on if it had ended."""
    if not chosen:
        return
    patient: Any = PatientSession(run.session)
    clear_task_instances(list(chosen), patient)
    run.session.flush()
    follow(run, chosen)


def follow(run: OpenRun, cleared: Iterable[TaskInstance]) -> None:
    """Let everything that is known of cleared task instances besides their rows be as if they hadn't run."""
    for ti in cleared:
        run.history_of(key_of(ti)).error = None
    run.deadlines.requeued()
    run.reopen()
    run.stop_decided_tasks()


def restart(run: OpenRun, ti: TaskInstance) -> None:
    """A task instance was cleared while it ran, and has stopped: it starts anew (``process_executor_events``)."""
    run.run_task_callbacks(ti, TaskInstanceState.FAILED, "cleared while it ran")
    task: Any = ti.task
    ti.max_tries = ti.try_number + task.retries
    ti.state = None
    run.instances.changed[key_of(ti)] = None


def _markers(run: OpenRun, action: ClearTasks) -> Markers:
    """The tasks as Airflow's API takes them, with the relatives that are wanted."""
    plain = set() if action.map_indexes else set(action.task_ids)
    mapped = {(task_id, index) for task_id in action.task_ids for index in action.map_indexes}
    if action.upstream:
        _add_relatives(run, plain, mapped, "upstream")
    if action.downstream:
        _add_relatives(run, plain, mapped, "downstream")
    return [*sorted(plain), *sorted(marker for marker in mapped if marker[0] not in plain)]


def _add_relatives(
    run: OpenRun, plain: set[str], mapped: set[tuple[str, int]], direction: Literal["upstream", "downstream"]
) -> None:
    relatives: Collection[str | tuple[str, int]] = find_relevant_relatives(
        sorted(plain),
        sorted(mapped),
        dag=run.dag,
        run_id=run.dag_run.run_id,
        direction=direction,
        session=run.session,
    )
    plain.update(each for each in relatives if isinstance(each, str))
    mapped.update(each for each in relatives if not isinstance(each, str))
