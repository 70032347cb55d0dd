"""What the engine knows of attempts besides Airflow's rows: which are out, which were lost, and what each is given.

It must not decide whether or when anything runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskreschedule import TaskReschedule
from airflow.utils.state import TaskInstanceState
from sqlalchemy import select

from temporal_airflow.engine import outcomes, records
from temporal_airflow.engine.assets import RunAssets
from temporal_airflow.engine.events import TaskKey
from temporal_airflow.engine.task_instances import TaskInstances
from temporal_airflow.engine.xcom_pages import content_size
from temporal_airflow.engine.xcom_store import XComStore
from temporal_airflow.models import (
    DagExecutionInput,
    Deferral,
    InputRequest,
    KeptHistory,
    LostAttempt,
    SealedKwargs,
    TaskExecutionInput,
    TriggerInput,
)

USUAL_SIZE = 1024
"""Bytes of an attempt's input besides the run and what other tasks have said; ids, names and dates."""


@dataclass
class TaskHistory:
    """What is known of a task instance besides its row.

    Attributes:
        attempt: number of the current try's current attempt.
        deferrals: how often the current try has waited for a trigger or a person.
        next_kwargs: what it goes on with after the last wait.
        input_request: what it asks of people, for as long as it waits.
        answered: whether it runs because somebody answered, or nobody in time.
        default_params: sealed values of the form's fields, once they count as given.
        error: of the last attempt that ended.
        trigger: classpath of the trigger that it waits for, or has waited for last.
        waits_since: when it began to wait for a trigger or a person.
        note: that somebody has written on it.
        requeues: how often it waited in vain for a worker since it last ran.
    """

    attempt: int = 1
    deferrals: int = 0
    next_kwargs: SealedKwargs | None = None
    input_request: InputRequest | None = None
    answered: bool = False
    default_params: SealedKwargs | None = None
    error: str | None = None
    note: str | None = None
    lost: list[LostAttempt] = field(default_factory=list)
    trigger: str | None = None
    waits_since: datetime | None = None
    requeues: int = 0

    def new_try(self) -> None:
        """Forget what belonged to the last try."""
        self.attempt, self.deferrals, self.next_kwargs = 1, 0, None
        self.input_request = self.default_params = None
        self.answered = False

    def kept(self, key: TaskKey) -> KeptHistory:
        """As a part of a snapshot."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        return KeptHistory(task_id=key.task_id, map_index=key.map_index, **own)

    @classmethod
    def resume(cls, kept: KeptHistory) -> TaskHistory:
        """Out of a snapshot."""
        own = {each.name: getattr(kept, each.name) for each in fields(cls)}
        return cls(**{**own, "lost": list(kept.lost)})


@dataclass
class InFlight:
    """Something that runs elsewhere for a task instance: an attempt, or a trigger that waits for it.

    Attributes:
        state: the state its task instance has for as long as the run wants it to go on.
        stopping: whether it has been told to stop.
        deferral: what a trigger waits for.
    """

    try_number: int
    state: TaskInstanceState
    stopping: bool = False
    deferral: Deferral | None = None


class AttemptInputs:
    """Writes down what an attempt or a trigger is given."""

    def __init__(
        self,
        execution: DagExecutionInput,
        dag_run: DagRun,
        xcoms: XComStore,
        assets: RunAssets,
        instances: TaskInstances,
    ) -> None:
        self._execution = execution
        self._dag_run = dag_run
        self._xcoms = xcoms
        self._assets = assets
        self._instances = instances
        self._session = instances.session
        self._usual_size = USUAL_SIZE + len(execution.run.model_dump_json())

    def size_of(self, attempt: TaskExecutionInput) -> int:
        """About how many bytes an input takes: what may be large in it, and a guess at the rest."""
        kwargs = len(attempt.next_kwargs or "") + len(attempt.default_params or "")
        return self._usual_size + kwargs + sum(content_size(xcom.content) for xcom in attempt.upstream_results)

    def of_task(self, ti: TaskInstance, history: TaskHistory, in_flight: int) -> TaskExecutionInput:
        """What the next attempt of a task instance is given.

        Args:
            ti: about to start.
            history: of it.
            in_flight: how many attempts of the run share the room that is left for XComs, this one included.
        """
        limits = self._execution.limits
        task = self._dag_run.get_dag().get_task(ti.task_id)
        left = max(0, limits.inline_xcom_run - self._xcoms.inline_bytes)
        first_poke = self._first_poke(ti)
        return TaskExecutionInput(
            **self._identity(ti),
            attempt=history.attempt,
            max_tries=ti.max_tries,
            should_retry=outcomes.should_retry(ti),
            queue=ti.queue,
            start_date=ti.start_date if ti.next_method else None,
            task_reschedule_count=records.reschedule_count(ti, self._session) if first_poke else 0,
            first_reschedule_date=first_poke.start_date if first_poke else None,
            deferral_count=history.deferrals,
            next_method=ti.next_method,
            next_kwargs=history.next_kwargs if ti.next_method else None,
            input_kwargs=ti.next_kwargs if ti.next_method else None,
            default_params=history.default_params if ti.next_method else None,
            xcom_keys_to_clear=() if ti.next_method else self._xcoms.keys_of(ti.task_id, ti.map_index),
            upstream_results=self._xcoms.small_results(sorted(task.upstream_task_ids), limits.input_xcom_value),
            xcom_changes=self._xcoms.changes,
            inline_xcom_budget=min(limits.inline_xcom_value, left // max(in_flight, 1)),
            max_map_length=limits.max_map_length,
            declared_assets=self._assets.declared_by(task),
        )

    def of_trigger(self, ti: TaskInstance, deferral: Deferral) -> TriggerInput:
        """What a trigger is given that waits for a deferred task instance."""
        starting = self._execution.definition.starting_triggers.get(ti.task_id)
        return TriggerInput(
            **self._identity(ti),
            deferral=deferral,
            timeout_after=ti.trigger_timeout,
            sealed_dag=starting.sealed_dag if starting else None,
        )

    def _identity(self, ti: TaskInstance) -> dict[str, Any]:
        """Which try it is: the fields of :class:`~temporal_airflow.models.attempts.TryInput`."""
        return {
            "task_instance_id": ti.id,
            "dag_version_id": ti.dag_version_id,
            "run": self._execution.run,
            "run_start_date": self._dag_run.start_date,
            "bundle": self._execution.definition.bundle,
            "task_id": ti.task_id,
            "map_index": ti.map_index,
            "try_number": ti.try_number,
            "task_queue": self._execution.task_queue,
        }

    def _first_poke(self, ti: TaskInstance) -> TaskReschedule | None:
        if not self._instances.ever_rescheduled:
            return None
        pokes = select(TaskReschedule).where(TaskReschedule.ti_id == ti.id).order_by(TaskReschedule.id)
        return self._session.scalars(pokes.limit(1)).first()


def key_of(ti: TaskInstance) -> TaskKey:
    """A task instance's key within its run."""
    return TaskKey(ti.task_id, ti.map_index)
