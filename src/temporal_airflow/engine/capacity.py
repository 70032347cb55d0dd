"""Which scheduled task instances of a run may start now.

These are the limits of Airflow's scheduler loop (``_executable_task_instances_to_queued``): order by priority weight
and map index, ``max_active_tasks`` (waiting for a trigger takes no place) and ``max_active_tis_per_dagrun`` (it does).
What is shared with other runs is asked for: for as many of the first as the run's own limits leave room for, so that
whoever keeps a pool always chooses among those that Airflow would look at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import partial

from airflow.models.taskinstance import TaskInstance
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.ti_deps.dependencies_states import EXECUTION_STATES
from airflow.utils.state import TaskInstanceState

from temporal_airflow.engine.claims import Claims
from temporal_airflow.engine.events import TaskKey
from temporal_airflow.engine.needs import why_waiting
from temporal_airflow.engine.places import Place, Places
from temporal_airflow.engine.task_instances import TaskInstances


class StartQueue:
    """Scheduled task instances of a run, in the order in which they may start."""

    def __init__(self, instances: TaskInstances, dag: SerializedDAG, claims: Claims) -> None:
        self._instances = instances
        self._dag = dag
        self._claims = claims
        self._limits = {
            task_id: task.max_active_tis_per_dagrun
            for task_id, task in dag.task_dict.items()
            if task.max_active_tis_per_dagrun is not None
        }
        self._startable = Places(self._limits, self._is_startable)
        self._needing: dict[str, Places] = {}
        self._asked: dict[str, dict[TaskKey, Place]] = {}

    def take(self, most: int) -> list[TaskInstance]:
        """Those within the run's limits that need nothing more, most important first; unstarted ones must be put back.

        Args:
            most: how many at most.
        """
        new, self._instances.scheduled = self._instances.scheduled, []
        self.put_back(new)
        free = min(most, self.room)
        taken: Counter[str] = Counter()
        chosen: dict[TaskKey, TaskInstance] = {}
        while len(chosen) < free and self._startable.first(lambda task_id: self._has_room(task_id, taken)):
            key = self._startable.pop(lambda task_id: self._has_room(task_id, taken)).key
            if key not in chosen:
                taken[key.task_id] += 1
                chosen[key] = self._instances[key]
        return list(chosen.values())

    def put_back(self, task_instances: Iterable[TaskInstance]) -> None:
        """Let task instances wait for their start (again)."""
        for ti in task_instances:
            key = TaskKey(ti.task_id, ti.map_index)
            need = self._claims.missing(key, ti) if ti.state == TaskInstanceState.SCHEDULED else None
            if need is None:
                self._startable.put(ti)
            elif self._claims.is_asking(key):
                self._asked.setdefault(need.keeper, {})[key] = Place.of(ti)
            else:
                self._places_of(need.keeper).put(ti)

    @property
    def room(self) -> int:
        """How many more task instances ``max_active_tasks`` lets start."""
        return int(self._dag.max_active_tasks - self._instances.count(EXECUTION_STATES))

    def why_not(self, ti: TaskInstance) -> str | None:
        """Why a scheduled task instance doesn't start, in the words of Airflow's dependencies; None if it does soon."""
        need = self._claims.missing(TaskKey(ti.task_id, ti.map_index), ti)
        if self.room <= 0:
            return (
                f"The maximum number of running tasks ({self._dag.max_active_tasks}) for this task's DAG "
                f"'{ti.dag_id}' has been reached."
            )
        if ti.task_id in self._limits and not self._has_room(ti.task_id, Counter()):
            return "The max task concurrency per run has been reached."
        return None if need is None else why_waiting(need, ti)

    def awaited_pool(self, ti: TaskInstance) -> tuple[str, int] | None:
        """The pool that a scheduled task instance waits for, and how many of its slots; None if it waits for none."""
        need = self._claims.missing(TaskKey(ti.task_id, ti.map_index), ti)
        if need is None or need.size is not None or self.room <= 0:
            return None
        return ti.pool, need.slots

    def granted(self, keeper: str, tickets: Iterable[int]) -> None:
        """Let those go on that got what they asked for."""
        for key in self._claims.take(keeper, tickets):
            self.put_back([self._instances[key]])

    def rest(self) -> None:
        """Give back whatever is held or asked for by those that haven't started: they may not for now."""
        for key in self._claims.waiting_to_start():
            if self._is_scheduled(key):
                self._begin_anew(key)
        for asked in self._asked.values():
            for key in list(asked):
                self._withdraw(key, asked, Counter())

    def ask(self) -> None:
        """Ask for what the first that wait for it need, and give back what can't be used now."""
        self._give_back_surplus()
        for keeper, places in self._needing.items():
            self._ask_one(keeper, places)

    def _ask_one(self, keeper: str, places: Places) -> None:
        """Have as many requests out as could start, the most important ones."""
        asked = self._asked[keeper] = {
            key: place for key, place in self._asked.get(keeper, {}).items() if self._claims.asks_of(key, keeper)
        }
        taken = Counter(key.task_id for key in asked)
        most = self.room - sum(self._is_scheduled(key) for key in self._claims.waiting_to_start())
        while (first := places.first(lambda task_id: self._has_room(task_id, taken))) is not None:
            if len(asked) >= max(most, 0):
                last = max(asked.items(), key=lambda item: item[1], default=None)
                if last is None or last[1] <= first or most <= 0:
                    break
                self._withdraw(last[0], asked, taken)
            places.pop(lambda task_id: self._has_room(task_id, taken))
            ti = self._instances[first.key]
            need = self._claims.missing(first.key, ti)
            assert need is not None, "it waits here because it needs something"
            self._claims.ask(first.key, ti, need)
            asked[first.key] = first
            taken[first.task_id] += 1

    def _withdraw(self, key: TaskKey, asked: dict[TaskKey, Place], taken: Counter[str]) -> None:
        del asked[key]
        taken[key.task_id] -= 1
        self._claims.withdraw(key)
        self.put_back([self._instances[key]])

    def _give_back_surplus(self) -> None:
        """What was granted for more task instances than may start now, because others have started meanwhile."""
        for key in self._claims.waiting_to_start():
            full = self.room <= 0 or (key.task_id in self._limits and not self._has_room(key.task_id, Counter()))
            if full and self._is_scheduled(key):
                self._begin_anew(key)

    def _begin_anew(self, key: TaskKey) -> None:
        self._claims.release(key)
        self.put_back([self._instances[key]])

    def _is_scheduled(self, key: TaskKey) -> bool:
        ti = self._instances.get(key)
        return ti is not None and ti.state == TaskInstanceState.SCHEDULED

    def _is_startable(self, key: TaskKey) -> bool:
        return self._is_scheduled(key) and self._claims.missing(key, self._instances[key]) is None

    def _is_needing(self, keeper: str, key: TaskKey) -> bool:
        if not self._is_scheduled(key) or self._claims.is_asking(key):
            return False
        need = self._claims.missing(key, self._instances[key])
        return need is not None and need.keeper == keeper

    def _places_of(self, keeper: str) -> Places:
        if keeper not in self._needing:
            self._needing[keeper] = Places(self._limits, partial(self._is_needing, keeper))
        return self._needing[keeper]

    def _has_room(self, task_id: str, taken: Counter[str]) -> bool:
        """Whether another task instance of a task may be active; its own count includes those that wait."""
        return self._instances.active(task_id) + taken[task_id] < self._limits[task_id]
