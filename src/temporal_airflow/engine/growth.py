"""The rows of task instances that a run begins with or gets by mapping: made in portions, a step's allowance at a time.

Which rows there have to be, Airflow says (``DagRun.verify_integrity``, ``TaskMap.expand_mapped_task``); it would make
them all at once, with queries for each, in seconds. Until the last one is there, nobody looks at any of them, and
nothing that happens to the run is taken note of. So nobody sees a task that is half expanded. It must not decide what
runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from airflow._shared.observability.traces import new_task_run_carrier
from airflow.models.dagrun import DagRun
from airflow.models.expandinput import NotFullyPopulated
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskmap import TaskMap
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.definitions.mappedoperator import get_mapped_ti_count, is_mapped
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from temporal_airflow.engine.allowance import Allowance
from temporal_airflow.engine.events import TaskKey
from temporal_airflow.engine.task_instances import TaskInstances


@dataclass
class MissingRows:
    """Rows of one task that are to be made.

    Attributes:
        first: the lowest map index.
        stop: above the highest.
        state: of each.
        of_run: whether the run begins with them; else the task has been expanded.
    """

    task_id: str
    first: int
    stop: int
    state: str | None = None
    of_run: bool = False


class Growth:
    """What is missing of a run's rows.

    Attributes:
        missing: in the order in which it is made; with it, a run can go on elsewhere.
    """

    def __init__(self, dag_run: DagRun, dag: SerializedDAG, instances: TaskInstances, session: Session) -> None:
        self._dag_run = dag_run
        self._dag = dag
        self._instances = instances
        self._session = session
        self._carrier = new_task_run_carrier(dag_run.context_carrier)
        self.missing: deque[MissingRows] = deque()

    def begin(self) -> None:
        """Note which rows the run begins with."""
        planned = _PlannedRun(self._dag_run)
        version_id = self._dag_run.created_dag_version_id
        DagRun.verify_integrity(planned, session=self._session, dag_version_id=version_id)  # type: ignore[arg-type]
        self.missing.extend(planned.rows)

    def expand(self, ti: TaskInstance) -> Iterable[TaskKey]:
        """Expand a mapped task that is ready for it (``TaskMap.expand_mapped_task``).

        Args:
            ti: the one that stands for all until now; it becomes the first, is skipped or fails.

        Returns:
            What the task consists of from now on, as far as it is new; rows may be missing yet.
        """
        task: Any = ti.task
        if is_mapped(task):
            ti.clear_db_references(session=self._session)
        count = self._count(task)
        if count < 1 or TaskKey(ti.task_id, 0) in self._instances:
            expanded, _ = TaskMap.expand_mapped_task(task, self._dag_run.run_id, session=self._session)
            return [TaskKey(each.task_id, each.map_index) for each in expanded]
        ti.map_index = 0
        self._session.flush()
        if count > 1:
            self.missing.append(MissingRows(ti.task_id, 1, count, ti.state))
        return [TaskKey(ti.task_id, map_index) for map_index in range(count)]

    def advance(self, allowance: Allowance) -> bool:
        """Make rows.

        Returns:
            Whether all are there.
        """
        if not self.missing:
            return True
        while self.missing and not allowance.used_up:
            rows = self.missing[0]
            stop = min(rows.stop, rows.first + allowance.work)
            for map_index in range(rows.first, stop):
                self._session.add(self._make(rows, map_index))
            allowance.spend(stop - rows.first)
            rows.first = stop
            if rows.first == rows.stop:
                self.missing.popleft()
        self._session.flush()
        return not self.missing

    def _count(self, task: Any) -> int:
        try:
            return get_mapped_ti_count(task, self._dag_run.run_id, session=self._session)
        except NotFullyPopulated:
            return 0

    def _make(self, rows: MissingRows, map_index: int) -> TaskInstance:
        task: Any = self._dag.get_task(rows.task_id)
        dag_run = self._dag_run
        ti = TaskInstance(task, dag_run.created_dag_version_id, dag_run.run_id, rows.state, map_index)
        ti.context_carrier = self._carrier
        if rows.of_run:
            ti._task_display_property_value = task.task_display_name  # the column's name in Airflow's model
        set_committed_value(ti, "dag_run", dag_run)  # else the database is asked for it
        return ti


class _PlannedRun:
    """Stands for a run whose rows aren't to be made now: remembers which Airflow would have made."""

    def __init__(self, dag_run: DagRun) -> None:
        self._dag_run = dag_run
        self.rows: list[MissingRows] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dag_run, name)

    def _check_for_removed_or_restored_tasks(self, *_: Any, **__: Any) -> set[str]:
        return set()  # a new run has no task instances

    def _get_task_creator(self, *_: Any) -> Callable[[Any, Iterable[int]], Iterator[MissingRows]]:
        def plan(task: Any, indexes: Iterable[int]) -> Iterator[MissingRows]:
            span = indexes if isinstance(indexes, range) else range(-1, 0)
            yield MissingRows(task.task_id, span.start, span.stop, of_run=True)

        return plan

    def _create_task_instances(self, _: str, rows: Iterable[MissingRows], *__: Any, **___: Any) -> None:
        self.rows = list(rows)
