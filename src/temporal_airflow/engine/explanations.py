"""Why task instances of a run don't run, in the words of Airflow's own dependencies (``airflow tasks failed-deps``).

Airflow is asked about a copy of the run: a database made for the question out of the run's input and its record, and
thrown away. So a question can't change a run, nor what its history replays to, and a run that has ended is explained
like an open one. It must not know where the input and the record come from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskreschedule import TaskReschedule
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.ti_deps.dep_context import DepContext
from airflow.ti_deps.deps.base_ti_dep import BaseTIDep
from airflow.ti_deps.deps.dag_ti_slots_available_dep import DagTISlotsAvailableDep
from airflow.ti_deps.deps.dag_unpaused_dep import DagUnpausedDep
from airflow.ti_deps.deps.dagrun_exists_dep import DagrunRunningDep
from airflow.ti_deps.deps.mapped_task_upstream_dep import MappedTaskUpstreamDep
from airflow.ti_deps.deps.not_previously_skipped_dep import NotPreviouslySkippedDep
from airflow.ti_deps.deps.prev_dagrun_dep import PrevDagrunDep
from airflow.ti_deps.deps.task_concurrency_dep import TaskConcurrencyDep
from airflow.ti_deps.deps.trigger_rule_dep import TriggerRuleDep
from airflow.utils.state import State, TaskInstanceState
from sqlalchemy import update
from sqlalchemy.orm.attributes import set_committed_value

from temporal_airflow.engine.attempts import key_of
from temporal_airflow.engine.database import RunDatabase
from temporal_airflow.engine.events import TaskKey
from temporal_airflow.engine.run_creation import create_dag_run
from temporal_airflow.engine.time_provider import IdSequence, engine_scope
from temporal_airflow.engine.xcom_store import XComStore
from temporal_airflow.identifiers import task_label
from temporal_airflow.models import DagExecutionInput, DagRunRecord, TaskInstanceRecord, XComRecord
from temporal_airflow.reasons import Reason

NOT_ASKED = (PrevDagrunDep, NotPreviouslySkippedDep)
"""The copy has no earlier runs: the record says what they hold up. What a branch has skipped doesn't wait."""

DECIDED = (NotPreviouslySkippedDep, MappedTaskUpstreamDep, TriggerRuleDep)
"""What can decide that a task is not to run at all, most telling first."""

INTERNALS = re.compile(r"\.? (?:upstream_states=|Relevant setups:).*", re.DOTALL)
"""What Airflow adds to its words for those who know its code."""

SENTENCE_ENDS = (".", "!", "?")

UNWANTED_STATES = {TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED, TaskInstanceState.SKIPPED}


class CopiedRun:
    """A copy of a run, for questions."""

    def __init__(
        self, execution: DagExecutionInput, record: DagRunRecord, skips: Iterable[XComRecord], now: datetime
    ) -> None:
        """Copy a run.

        Args:
            execution: the input of its workflow.
            record: how it stands.
            skips: XComs in which its branches say what is skipped.
            now: when the question is asked.
        """
        self._now = now
        self._ids = IdSequence("explanation")
        self._database = RunDatabase()
        self._session = self._database.session
        with engine_scope(now, self._ids):
            start = record.start_date or now
            dag_run = create_dag_run(execution.definition, execution.run, start, self._session)
            dag_run._state = record.state.value  # the setter changes dates as well
            self._dag: SerializedDAG = dag_run.get_dag()
            self._session.execute(update(DagModel).values(is_paused=record.paused))
            known = (ti for ti in record.task_instances if self._dag.has_task(ti.task_id))
            self._rows = {TaskKey(ti.task_id, ti.map_index): self._row(dag_run, ti) for ti in known}
            self._session.flush()
            XComStore(self._session, dag_run).write(skips)
            self._session.commit()
        self._finished = [ti for ti in self._rows.values() if ti.state in State.finished]

    def unmet(self, key: TaskKey) -> list[Reason]:
        """What keeps a task instance from running now, or has decided that it doesn't run at all."""
        ti = self._rows.get(key)
        if ti is None:
            return []
        with engine_scope(self._now, self._ids):
            found = [self._about(ti, *each) for dep in self._dependencies(ti) for each in self._ask(dep, ti)]
            return found[:1] if ti.state in State.finished else found

    def dispose(self) -> None:
        """Free the database."""
        self._database.dispose()

    def _row(self, dag_run: DagRun, record: TaskInstanceRecord) -> TaskInstance:
        task: Any = self._dag.get_task(record.task_id)
        state = TaskInstanceState.RUNNING if record.state == TaskInstanceState.QUEUED else record.state
        ti = TaskInstance(task, dag_run.created_dag_version_id, dag_run.run_id, state, record.map_index)
        set_committed_value(ti, "dag_run", dag_run)
        ti.try_number, ti.max_tries = record.try_number, record.max_tries
        ti.start_date, ti.end_date = record.start_date, record.end_date
        if record.wakes_at and state == TaskInstanceState.UP_FOR_RETRY and ti.end_date:
            ti.retry_delay_override = (record.wakes_at - ti.end_date).total_seconds()
        self._session.add(ti)
        if record.wakes_at and state == TaskInstanceState.UP_FOR_RESCHEDULE:
            self._session.flush()
            began = record.start_date or self._now
            self._session.add(TaskReschedule(ti.id, began, record.end_date or began, record.wakes_at))
        return ti

    def _dependencies(self, ti: TaskInstance) -> Iterable[BaseTIDep]:
        own = self._dag.get_task(ti.task_id).deps
        if ti.state in State.finished:
            return [dep for kind in DECIDED for dep in own if type(dep) is kind]
        waits = [dep for dep in own if not isinstance(dep, NOT_ASKED)]
        if ti.state == TaskInstanceState.SCHEDULED:
            waits += [DagTISlotsAvailableDep(), TaskConcurrencyDep()]
        return [DagUnpausedDep(), DagrunRunningDep(), *waits]

    def _ask(self, dep: BaseTIDep, ti: TaskInstance) -> Iterator[tuple[BaseTIDep, str]]:
        context = DepContext(finished_tis=self._finished)
        for status in dep.get_dep_statuses(ti, context, session=self._session):
            if not status.passed:
                reason = INTERNALS.sub(".", status.reason)
                yield dep, reason if reason.endswith(SENTENCE_ENDS) else f"{reason}."

    def _about(self, ti: TaskInstance, dep: BaseTIDep, reason: str) -> Reason:
        tasks: Iterable[TaskInstance] = ()
        if isinstance(dep, TriggerRuleDep):
            tasks = self._causes(ti) if ti.state in State.finished else self._awaited(ti)
        labels = tuple(f"{task_label(each.task_id, each.map_index)} ({each.state or 'none'})" for each in tasks)
        return Reason(dep.name, reason, labels)

    def _awaited(self, ti: TaskInstance) -> list[TaskInstance]:
        """Task instances directly upstream that haven't ended."""
        return [each for each in self._upstream(ti) if each.state not in State.finished]

    def _causes(self, ti: TaskInstance) -> list[TaskInstance]:
        """Task instances upstream, however far, with which it began that a task doesn't run."""
        seen: dict[TaskKey, TaskInstance] = {}
        causes: dict[TaskKey, TaskInstance] = {}
        waiting = self._upstream(ti)
        while waiting:
            each = waiting.pop()
            key = key_of(each)
            if key in seen or each.state not in UNWANTED_STATES:
                continue
            seen[key] = each
            above = [upstream for upstream in self._upstream(each) if upstream.state in UNWANTED_STATES]
            if each.try_number or not above:
                causes[key] = each
            else:
                waiting += above
        return [causes[key] for key in sorted(causes)]

    def _upstream(self, ti: TaskInstance) -> list[TaskInstance]:
        task = self._dag.get_task(ti.task_id)
        same_group = task.get_closest_mapped_task_group()
        return [
            each
            for key, each in self._rows.items()
            if key.task_id in task.upstream_task_ids
            and (
                same_group is None
                or min(key.map_index, ti.map_index) < 0
                or self._dag.get_task(key.task_id).get_closest_mapped_task_group() is not same_group
                or key.map_index == ti.map_index
            )
        ]
