"""Lets task instances run again: which of them, and what becomes of each, is Airflow's to say.

What Airflow's API does (``post_clear_task_instances``), with Airflow's own selection (``find_relevant_relatives``,
``SerializedDAG.clear``) and its own change of rows (``clear_task_instances``). What a run knows besides its rows has to
follow here. It must not know who wants it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal

from airflow.models.taskinstance import TaskInstance, clear_task_instances, find_relevant_relatives
from airflow.utils.state import DagRunState, TaskInstanceState

from temporal_airflow.engine.allowance import Allowance
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


class Clearing:
    """Task instances that are being cleared, a portion in each step; until the last is, nobody looks at any of them.

    Those that run are stopped then, and the run goes on if it had ended.
    """

    def __init__(self, run: OpenRun, chosen: Sequence[TaskInstance]) -> None:
        self._run = run
        self._chosen = chosen
        self._done = 0

    def advance(self, allowance: Allowance) -> bool:
        """Clear some.

        Returns:
            Whether all are.
        """
        patient: Any = PatientSession(self._run.session)
        while self._done < len(self._chosen):
            if allowance.used_up:
                return False
            portion = self._chosen[self._done : self._done + allowance.work]
            self._done += len(portion)
            is_last = self._done == len(self._chosen)
            clear_task_instances(list(portion), patient, dag_run_state=DagRunState.QUEUED if is_last else False)
            allowance.spend(len(portion))
        self._finish()
        return True

    def _finish(self) -> None:
        """Let everything that is known of cleared task instances besides their rows be as if they hadn't run."""
        run = self._run
        run.session.flush()
        for ti in self._chosen:
            run.history_of(key_of(ti)).error = None
        if self._chosen:
            run.deadlines.requeued()
            run.reopen()
        run.instances.settle()
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
