"""What may have become ready: only that is shown to Airflow's evaluator, not every task instance at every step.

Airflow's scheduler evaluates all unfinished task instances of a run in each pass. What its evaluator says depends on
the states of a task's relatives, so here a task instance is looked at again when one of those has ended, when it is
new, or when the moment it waited for has come. The evaluator itself is Airflow's (``DagRun._get_ready_tis``), on
Airflow's own objects. When nothing is in progress any more, Airflow's full pass settles the run. It must not decide
anything itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.task.trigger_rule import TriggerRule
from airflow.ti_deps.dep_context import DepContext
from airflow.ti_deps.dependencies_states import SCHEDULEABLE_STATES
from airflow.utils.state import State, TaskInstanceState
from sqlalchemy.orm import Session

from temporal_airflow.engine.allowance import Allowance
from temporal_airflow.engine.attempts import key_of
from temporal_airflow.engine.events import TaskKey
from temporal_airflow.engine.growth import Growth
from temporal_airflow.engine.mapped_sources import look_in_memory
from temporal_airflow.engine.relatives import dependents, distant_relatives, innermost_groups, mapped_over
from temporal_airflow.engine.revised_lengths import RememberingRun
from temporal_airflow.engine.task_instances import TaskInstances

PATIENT_RULES = {
    TriggerRule.ALL_SUCCESS,
    TriggerRule.ALL_DONE,
    TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
    TriggerRule.ALL_DONE_SETUP_SUCCESS,
    TriggerRule.NONE_FAILED,
    TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
    TriggerRule.NONE_SKIPPED,
}
"""Rules that a success says nothing to while another upstream task is unfinished (``TriggerRuleDep``).

It may say something by what it leads to (``NotPreviouslySkippedDep``), or once another one was removed.
"""


class Frontier:
    """The part of a run that Airflow has to look at."""

    def __init__(
        self, dag_run: DagRun, dag: SerializedDAG, instances: TaskInstances, growth: Growth, session: Session
    ) -> None:
        self._mapped_over = mapped_over(dag)
        self._dag_run = RememberingRun(dag_run, instances, self._mapped_over)
        self._dag = dag
        self._instances = instances
        self._growth = growth
        self._session = session
        self._distant = distant_relatives(dag)
        self._dependents = dependents(dag, self._distant, self._mapped_over)
        self._waits_for: dict[str, list[str]] = {}
        self._groups = innermost_groups(dag)
        self._alarmed: set[str] = set()
        self._restless: set[str] = set()
        self._heard: set[str] = set()
        self._candidates: dict[TaskKey, None] = {}
        self._round: deque[TaskKey] = deque()
        self._ended_in_round: set[TaskKey] = set()
        look_in_memory(dag, instances)
        self.look_afresh()

    def look_afresh(self) -> None:
        """Forget what was concluded from tasks that had ended: they may run again."""
        self._waits_for = {task_id: sorted(task.upstream_task_ids) for task_id, task in self._dag.task_dict.items()}
        self._dag_run.forget_all_lengths()

    def kept(self) -> tuple[tuple[str, ...], tuple[TaskKey, ...]]:
        """Tasks with a relative whose end may decide over them at once, and what is to be evaluated."""
        return tuple(sorted(self._alarmed)), tuple(self._candidates)

    def resume(self, alarmed: Iterable[str], candidates: Iterable[TaskKey]) -> None:
        """Know it again."""
        self._alarmed, self._candidates = set(alarmed), dict.fromkeys(candidates)
        for ti in self._instances.in_state(TaskInstanceState.REMOVED):
            self._restless.update(self._dependents[ti.task_id])

    @property
    def has_candidates(self) -> bool:
        """Whether something has been noted."""
        return bool(self._candidates or self._round)

    @property
    def amid_round(self) -> bool:
        """Whether a round has begun that isn't over."""
        return bool(self._round)

    def take(self, changed: Iterable[TaskKey]) -> None:
        """Take note of changed task instances: those that depend on them are to be looked at."""
        for key in changed:
            if key not in self._instances:
                continue
            ti = self._instances[key]
            if ti.state in SCHEDULEABLE_STATES:
                self._candidates[key] = None
            elif ti.state in State.finished:
                self._dag_run.forget_lengths(ti.task_id)
                self._spread(ti)
                if self._round:
                    self._ended_in_round.add(key)

    def take_due(self, due: Iterable[TaskKey]) -> None:
        """Take note of task instances whose moment has come."""
        self._candidates.update(dict.fromkeys(due))

    def ready(self, allowance: Allowance) -> list[TaskInstance]:
        """Those of the noted task instances that Airflow finds ready; it may expand, skip or fail others on the way.

        What has been noted until now is a round, as a pass of Airflow's scheduler would be. It may take several calls:
        all of them see the same finished task instances, and what they change is for the next round.

        Args:
            allowance: of the step; not used up.
        """
        if not self._round:
            self._round, self._candidates = deque(sorted(self._candidates)), {}
            self._heard, self._alarmed = self._alarmed, set()
        ready: list[TaskInstance] = []
        candidates = deque(self._next(allowance))
        while candidates:
            if self._growth.missing:  # nobody looks at a task that is half expanded
                self._put_back(candidates)
                break
            evaluated = [candidates.popleft() for _ in range(self._alike(candidates))]
            ready += self._evaluate(evaluated)
            below = self._mapped_over_failed(evaluated)
            if below:
                self._put_back(candidates)
                self._insert(below)
                candidates = deque(self._next(allowance))
        if not self._round:
            self._ended_in_round.clear()
        return ready

    def _next(self, allowance: Allowance) -> Iterator[TaskInstance]:
        """The next of the round that are worth a look, as many as the step allows."""
        while self._round and not allowance.used_up:
            ti = self._instances.get(self._round.popleft())
            if ti is not None and ti.state in SCHEDULEABLE_STATES and self._may_change(ti):
                allowance.spend()
                yield ti

    def _alike(self, candidates: Sequence[TaskInstance]) -> int:
        """How many of the first can be evaluated in one go, without looking at the relatives of each for all others."""
        for number, ti in enumerate(candidates):
            if ti.task_id in self._groups or _is_unexpanded(ti):
                return max(number, 1)
        return len(candidates)

    def _evaluate(self, candidates: list[TaskInstance]) -> list[TaskInstance]:
        """Ask Airflow which of these may start."""
        finished = self._finished_relatives(candidates)
        [first, *_] = candidates
        ready: list[TaskInstance] = []
        if _is_unexpanded(first):
            self._expand(first, finished)
        else:
            ready, _, _ = DagRun._get_ready_tis(self._dag_run, candidates, finished, self._session)  # type: ignore[arg-type]
        self._ended_in_round.update(key_of(ti) for ti in candidates if ti.state in State.finished)
        return ready

    def _expand(self, unexpanded: TaskInstance, finished: list[TaskInstance]) -> None:
        context = DepContext(flag_upstream_failed=True, ignore_unmapped_tasks=True, finished_tis=finished)
        if unexpanded.are_dependencies_met(session=self._session, dep_context=context):
            self._round.extend(self._growth.expand(unexpanded))
            self._look_again_below(unexpanded.task_id)

    def _put_back(self, candidates: Sequence[TaskInstance]) -> None:
        self._round.extendleft(key_of(ti) for ti in reversed(candidates))

    def _mapped_over_failed(self, evaluated: Sequence[TaskInstance]) -> list[TaskKey]:
        """Tasks further on in the round that map over some of these, which have just failed or been skipped.

        Airflow's pass looks at them all, and asks the database instead of what it found when the pass began
        (``MappedTaskUpstreamDep``): it sees at once that there is nothing to map over.
        """
        ended = [ti for ti in evaluated if ti.state in State.finished]
        keys = {TaskKey(task_id, -1): ti for ti in ended for task_id in self._mapped_over.get(ti.task_id, ())}
        return sorted(key for key, ti in keys.items() if key in self._instances and key > key_of(ti))

    def _insert(self, keys: Iterable[TaskKey]) -> None:
        for key in keys:
            self._heard.add(key.task_id)
            if key not in self._round:
                place = next((place for place, other in enumerate(self._round) if other > key), len(self._round))
                self._round.insert(place, key)

    def _look_again_below(self, expanded: str) -> None:
        """Take note of what isn't expanded yet itself: in a group, one expansion can make the next one possible."""
        for task_id in self._dependents[expanded]:
            if -1 in self._instances.of_task(task_id):
                self._candidates[TaskKey(task_id, -1)] = None

    def _spread(self, ti: TaskInstance) -> None:
        decides = ti.state != TaskInstanceState.SUCCESS or self._dag.get_task(ti.task_id).inherits_from_skipmixin
        for task_id in self._dependents[ti.task_id]:
            if ti.state == TaskInstanceState.REMOVED:
                self._restless.add(task_id)  # each success counts: it must have more of them than its map index
            if decides:
                self._alarmed.add(task_id)
            elif self._is_patient(task_id) and self._waits(task_id):
                continue
            for dependent in self._affected(ti, task_id):
                if dependent.state in SCHEDULEABLE_STATES:
                    self._candidates[TaskKey(task_id, dependent.map_index)] = None

    def _affected(self, ti: TaskInstance, task_id: str) -> Iterable[TaskInstance]:
        """Task instances of a task that depend on another one: in the same mapped group, those of its map index."""
        of_task = self._instances.of_task(task_id)
        if ti.map_index < 0 or not self._by_index(ti.task_id, task_id):
            return of_task.values()
        return [of_task[index] for index in (-1, ti.map_index) if index in of_task]

    def _by_index(self, one: str, other: str) -> bool:
        group = self._groups.get(one)
        return group is not None and group is self._groups.get(other)

    def _may_change(self, ti: TaskInstance) -> bool:
        """Whether the evaluator could say anything but "not yet": spares a join of many a look at each of them."""
        if ti.state is not None or ti.task_id in self._heard or not self._is_patient(ti.task_id):
            return True
        return not self._waits(ti.task_id)

    def _is_patient(self, task_id: str) -> bool:
        task = self._dag.get_task(task_id)
        if task_id in self._restless or task.get_closest_mapped_task_group() is not None:
            return False
        return task.trigger_rule in PATIENT_RULES

    def _waits(self, task_id: str) -> bool:
        """Whether a direct upstream task isn't finished."""
        unfinished = self._waits_for[task_id]
        while unfinished and self._instances.is_finished(unfinished[-1]):
            unfinished.pop()
        return bool(unfinished)

    def _finished_relatives(self, candidates: Sequence[TaskInstance]) -> list[TaskInstance]:
        """All that the evaluator may ask about for these task instances."""
        [first, *others] = candidates
        relatives: set[str] = set()
        for task_id in {first.task_id, *(ti.task_id for ti in others)}:
            relatives |= self._dag.get_task(task_id).upstream_task_ids
            relatives |= self._distant.get(task_id, set())
        return [
            ti
            for task_id in sorted(relatives)
            for ti in self._relevant(first, task_id)
            if ti.state in State.finished and key_of(ti) not in self._ended_in_round
        ]

    def _relevant(self, ti: TaskInstance, upstream_id: str) -> Iterable[TaskInstance]:
        of_task = self._instances.of_task(upstream_id)
        if ti.map_index < 0 or not self._by_index(ti.task_id, upstream_id):
            return of_task.values()
        return [of_task[index] for index in (-1, ti.map_index) if index in of_task]


def _is_unexpanded(ti: TaskInstance) -> bool:
    task: Any = ti.task
    return bool(ti.map_index < 0 and task.get_needs_expansion())
