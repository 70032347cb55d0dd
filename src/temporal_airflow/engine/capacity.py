"""Which scheduled task instances of a run may start now.

These are the run's own limits of Airflow's scheduler loop (``_executable_task_instances_to_queued``): order by
priority weight, ``max_active_tasks`` and ``max_active_tis_per_dagrun``. Limits across runs are not decided here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from airflow.models.taskinstance import TaskInstance
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.ti_deps.dependencies_states import EXECUTION_STATES
from airflow.utils.state import TaskInstanceState


def startable(task_instances: Sequence[TaskInstance], dag: SerializedDAG) -> list[TaskInstance]:
    """Scheduled task instances within the run's limits, most important first.

    Args:
        task_instances: all of the run.
        dag: their DAG.
    """
    active = Counter(ti.task_id for ti in task_instances if ti.state in EXECUTION_STATES)
    free = dag.max_active_tasks - active.total()
    chosen: list[TaskInstance] = []
    scheduled = (ti for ti in task_instances if ti.state == TaskInstanceState.SCHEDULED)
    for ti in sorted(scheduled, key=lambda ti: (-(ti.priority_weight or 1), ti.task_id, ti.map_index)):
        if len(chosen) >= free:
            break
        limit = dag.get_task(ti.task_id).max_active_tis_per_dagrun
        if limit is None or active[ti.task_id] < limit:
            active[ti.task_id] += 1
            chosen.append(ti)
    return chosen
