"""The task instances of a run, kept in memory: Airflow's own objects, found without asking the database.

Whatever changes a row tells it here: the engine's own rules do so themselves, what Airflow changes is noticed when its
code flushes the session, or executes a statement that changes many rows at once. It must not decide anything.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVarTuple

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskreschedule import TaskReschedule
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.ti_deps.dependencies_states import ACTIVE_STATES
from airflow.utils.state import State, TaskInstanceState
from sqlalchemy import Select, event, exists, inspect, select
from sqlalchemy.orm import ORMExecuteState, Session

from temporal_airflow.engine.events import TaskKey

COMPARED = (
    TaskInstance.id,
    TaskInstance.task_id,
    TaskInstance.map_index,
    TaskInstance.state,
    TaskInstance.try_number,
    TaskInstance.end_date,
)
"""Columns that tell whether a statement has changed a row."""

Columns = TypeVarTuple("Columns")

READ_AT_ONCE = 500
"""Rows; SQLite takes some thousand parameters."""


class Known(NamedTuple):
    """A task instance as it was when it was last looked at."""

    ti: TaskInstance
    key: TaskKey
    state: str | None


class TaskInstances:
    """All task instances of a run.

    Attributes:
        changed: keys of those that changed since somebody emptied it, in the order of their changes. Who changes one
            without a flush says so here.
        scheduled: those that came to be scheduled since somebody emptied it.
        ever_rescheduled: whether a task instance of this run has ever been put off.
    """

    def __init__(self, dag_run: DagRun, dag: SerializedDAG, session: Session) -> None:
        self._dag_run = dag_run
        self._dag = dag
        self.session = session
        self._by_task: defaultdict[str, dict[int, TaskInstance]] = defaultdict(dict)
        self._in_state: defaultdict[str | None, dict[TaskKey, TaskInstance]] = defaultdict(dict)
        self._known: dict[int, Known] = {}  # by Python's id: Airflow's own hash changes with the map index
        self._unfinished: Counter[str] = Counter()
        self._active: Counter[str] = Counter()
        self._bulk_change = False
        self.changed: dict[TaskKey, None] = {}
        self.scheduled: list[TaskInstance] = []
        self.ever_rescheduled = session.scalar(select(exists(select(TaskReschedule.id)))) or False
        self.reload()
        dag_run.__dict__["get_task_instances"] = self._in_given_states  # Airflow's method reads all rows anew
        event.listen(session, "after_flush", self._after_flush)
        event.listen(session, "do_orm_execute", self._on_execute)

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[TaskInstance]:
        for task_id in sorted(self._by_task):
            for map_index in sorted(self._by_task[task_id]):
                yield self._by_task[task_id][map_index]

    def __getitem__(self, key: TaskKey) -> TaskInstance:
        return self._by_task[key.task_id][key.map_index]

    def __contains__(self, key: TaskKey) -> bool:
        return key.map_index in self._by_task.get(key.task_id, {})

    def get(self, key: TaskKey) -> TaskInstance | None:
        """One of them, if there is one."""
        return self._by_task[key.task_id].get(key.map_index)

    def of_task(self, task_id: str) -> Mapping[int, TaskInstance]:
        """Those of one task by map index, in the order in which they came to be."""
        return self._by_task[task_id]

    def in_state(self, *states: str | None) -> Iterator[TaskInstance]:
        """Those in some states."""
        for state in states:
            yield from self._in_state[state].values()

    def _in_given_states(
        self, state: str | Iterable[str | None] | None = None, *, session: Session
    ) -> list[TaskInstance]:
        """What ``DagRun.get_task_instances`` answers, which asks the database."""
        session.flush()
        wanted = {state} if isinstance(state, str) else set(state or ())
        return [ti for ti in self if not wanted or ti.state in wanted]

    def count(self, states: Iterable[str | None]) -> int:
        """How many are in some states."""
        return sum(len(self._in_state[state]) for state in states)

    def active(self, task_id: str) -> int:
        """How many of a task run, are about to, or wait for a trigger."""
        return self._active[task_id]

    def is_finished(self, task_id: str) -> bool:
        """Whether every task instance of a task is in a final state."""
        return not self._unfinished[task_id]

    @property
    def any_may_have_changed(self) -> bool:
        """Whether a statement has changed rows behind the objects' backs that nobody has looked at yet."""
        return self._bulk_change

    def touch_all(self) -> None:
        """Count all as changed: something outside the run has."""
        self.changed |= dict.fromkeys(known.key for known in self._known.values())

    def settle(self) -> None:
        """Take note of everything that was changed until now."""
        if self._bulk_change:
            self.reload()
        for key in list(self.changed):
            ti = self.get(key)
            if ti is not None:
                self._note(ti)

    def reload(self) -> None:
        """Read rows again that a statement changed behind the objects' backs."""
        self._bulk_change = False
        rows = self.session.execute(self._of_run(select(*COMPARED))).all()
        remaining, stale = set(), []
        for row in rows:
            key = TaskKey(row.task_id, row.map_index)
            remaining.add(key)
            ti = self.get(key)
            if ti is None or (ti.id, ti.state, ti.try_number, ti.end_date) != (row.id, *row[3:]):
                stale.append(row.id)
            else:
                self._note(ti)  # the statement may have changed the object, too
        for first in range(0, len(stale), READ_AT_ONCE):
            ids = stale[first : first + READ_AT_ONCE]
            query = self._of_run(select(TaskInstance)).where(TaskInstance.id.in_(ids))
            for ti in self.session.scalars(query.execution_options(populate_existing=True)):
                self._note(ti)
                self.changed[TaskKey(ti.task_id, ti.map_index)] = None
        for known in [known for known in self._known.values() if known.key not in remaining]:
            self._forget(known.ti)

    def _of_run(self, query: Select[*Columns]) -> Select[*Columns]:
        return query.where(TaskInstance.dag_id == self._dag_run.dag_id, TaskInstance.run_id == self._dag_run.run_id)

    def _after_flush(self, session: Session, _: object) -> None:
        for one in (*session.new, *session.dirty):
            if isinstance(one, TaskInstance) and one.run_id == self._dag_run.run_id:
                self._note(one)
        for one in session.deleted:
            if isinstance(one, TaskInstance):
                self._forget(one)

    def _on_execute(self, statement: ORMExecuteState) -> None:
        changes = statement.is_update or statement.is_delete or statement.is_insert
        if changes and statement.bind_mapper is inspect(TaskInstance):
            self._bulk_change = True

    def _note(self, ti: TaskInstance) -> None:
        """Put a task instance where it is found now; it has changed if that is somewhere else."""
        key, state = TaskKey(ti.task_id, ti.map_index), ti.state
        known = self._known.get(id(ti))
        if known is None:
            ti.task = self._dag.get_task(key.task_id)
        elif (known.key, known.state) == (key, state):
            return
        elif known.key != key:
            self._forget(ti)
        else:
            self._leave_state(known)
        self._known[id(ti)] = Known(ti, key, state)
        self._by_task[key.task_id][key.map_index] = ti
        self._in_state[state][key] = ti
        self._unfinished[key.task_id] += state not in State.finished
        self._active[key.task_id] += state in ACTIVE_STATES
        if state == TaskInstanceState.SCHEDULED:
            self.scheduled.append(ti)
        elif state == TaskInstanceState.UP_FOR_RESCHEDULE:
            self.ever_rescheduled = True
        self.changed[key] = None

    def _forget(self, ti: TaskInstance) -> None:
        if (known := self._known.pop(id(ti), None)) is None:
            return
        if self.get(known.key) is ti:
            del self._by_task[known.key.task_id][known.key.map_index]
        self._leave_state(known)
        self.changed[known.key] = None

    def _leave_state(self, known: Known) -> None:
        key, state = known.key, known.state
        if self._in_state[state].get(key) is known.ti:
            del self._in_state[state][key]
        self._unfinished[key.task_id] -= state not in State.finished
        self._active[key.task_id] -= state in ACTIVE_STATES
