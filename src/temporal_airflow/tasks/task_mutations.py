"""Asks a user's ``task_instance_mutation_hook`` about every task instance that a run may come to have.

Airflow calls the hook when it creates task instances; that happens in a workflow here, where no user code runs. So it
is asked when the run is submitted, on the same objects and as often, and its answers travel. How long a mapped task
will be may not be known yet: then it is asked about as many map indexes as a run may have. This module runs user code:
it is called only in parse processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from temporal_airflow.exceptions import UnsupportedFeatureError
from temporal_airflow.models import DagRunIdentity, MutatedTaskInstances, RunLimits

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.serialization.definitions.dag import SerializedDAG

NOT_MAPPED = -1


def mutated_task_instances(
    dag: SerializedDAG, run: DagRunIdentity, limits: RunLimits
) -> tuple[MutatedTaskInstances, ...]:
    """What the hook makes of a run's task instances; nothing if there is no hook.

    Args:
        dag: as Airflow's scheduler reads it.
        run: the run that is submitted.
        limits: how many task instances it may have.

    Raises:
        UnsupportedFeatureError: if the hook changes what this version can't follow.
    """
    from airflow import settings

    if getattr(settings.task_instance_mutation_hook, "is_noop", False):
        return ()
    asking = _Asking(_dag_run(run))
    return tuple(mutated for task in dag.tasks for mutated in _joined(asking.about(task, limits)))


class _Asking:
    """Asks about one run's task instances."""

    def __init__(self, dag_run: DagRun) -> None:
        self._dag_run = dag_run

    def about(self, task: Any, limits: RunLimits) -> Iterator[MutatedTaskInstances]:
        """The hook's answer for each task instance that a task may have."""
        from airflow.exceptions import NotMapped
        from airflow.models.expandinput import NotFullyPopulated

        try:
            length = task.get_parse_time_mapped_ti_count()
        except NotMapped:
            yield self._created(task, NOT_MAPPED)
        except NotFullyPopulated:
            yield self._created(task, NOT_MAPPED)
            for map_index in range(limits.max_map_length):
                yield self._expanded(task, map_index)
        else:
            for map_index in range(length) if length else (NOT_MAPPED,):
                yield self._created(task, map_index)

    def _created(self, task: Any, map_index: int) -> MutatedTaskInstances:
        """As ``DagRun.verify_integrity`` creates it."""
        return _checked(self._new(task, map_index), map_index)

    def _expanded(self, task: Any, map_index: int) -> MutatedTaskInstances:
        """As ``TaskMap.expand_mapped_task`` creates it: the first is the one that wasn't mapped yet."""
        from airflow.settings import task_instance_mutation_hook

        ti = self._new(task, NOT_MAPPED if map_index == 0 else map_index)
        if map_index == 0:
            ti.map_index = 0
            task_instance_mutation_hook(ti, dag_run=self._dag_run)
        else:
            ti.refresh_from_task(task, dag_run=self._dag_run)
        return _checked(ti, map_index)

    def _new(self, task: Any, map_index: int) -> TaskInstance:
        from airflow.models.taskinstance import TaskInstance
        from airflow.settings import task_instance_mutation_hook

        ti = TaskInstance(task, dag_version_id=None, run_id=self._dag_run.run_id, map_index=map_index)
        task_instance_mutation_hook(ti, dag_run=self._dag_run)
        return ti


def _dag_run(run: DagRunIdentity) -> DagRun:
    """The run as the hook sees it under Airflow: created, not yet started."""
    from airflow.models.dagrun import DagRun
    from airflow.timetables.base import DataInterval
    from airflow.utils.state import DagRunState
    from pendulum import instance

    interval = None
    if run.data_interval_start is not None and run.data_interval_end is not None:
        interval = DataInterval(start=instance(run.data_interval_start), end=instance(run.data_interval_end))
    return DagRun(
        dag_id=run.dag_id,
        run_id=run.run_id,
        logical_date=run.logical_date,
        data_interval=interval,
        run_after=run.run_after,
        conf=run.conf,
        state=DagRunState.QUEUED,
        run_type=run.run_type,
        triggered_by=run.triggered_by,
        triggering_user_name=run.triggering_user_name,
        partition_key=run.partition_key,
        note=run.note,
    )


def _checked(ti: TaskInstance, map_index: int) -> MutatedTaskInstances:
    assert ti.task is not None, "made of it"
    expected = {
        "pool": ti.task.pool,
        "executor": ti.task.executor,
        "run_as_user": ti.task.run_as_user,
        "state": None,
        "try_number": 0,
        "map_index": map_index,
    }
    changed = [name for name, value in expected.items() if getattr(ti, name) != value]
    if changed:
        raise UnsupportedFeatureError(
            f"task_instance_mutation_hook changes {', '.join(changed)} of task {ti.task_id!r} of DAG {ti.dag_id!r}: "
            "this version follows it in queue, pool_slots, priority_weight and max_tries alone."
        )
    return MutatedTaskInstances(
        task_id=ti.task_id,
        first=map_index,
        last=map_index,
        queue=ti.queue,
        pool_slots=ti.pool_slots,
        priority_weight=ti.priority_weight,
        max_tries=ti.max_tries,
    )


def _joined(answers: Iterable[MutatedTaskInstances]) -> list[MutatedTaskInstances]:
    """The same answers, neighbours that are equal written once: most hooks say the same of a whole task."""
    joined: list[MutatedTaskInstances] = []
    for each in answers:
        if joined and joined[-1].model_copy(update={"first": each.first, "last": each.last}) == each:
            joined[-1] = joined[-1].model_copy(update={"last": each.last})
        else:
            joined.append(each)
    return joined
