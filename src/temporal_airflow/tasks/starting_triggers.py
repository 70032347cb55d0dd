"""Takes from a parsed DAG the triggers in which tasks start (``start_from_trigger``), sealed for the way.

Airflow's scheduler keeps such a trigger with its arguments in the database, and its triggerer reads the task's DAG from
there to render the arguments' templates. Both travel sealed instead: they may hold secrets. What becomes of them is
decided by Airflow's ``TaskInstance.defer_task`` in the engine; this runs where the file was parsed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from temporal_airflow.models import Deferral, StartingTrigger
from temporal_airflow.tasks.sealing import seal

if TYPE_CHECKING:
    from airflow.sdk import DAG
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.triggers.base import StartTriggerArgs


def starting_triggers(dag: DAG, serialized: SerializedDAG) -> dict[str, StartingTrigger]:
    """The triggers of tasks that start in them, by task.

    Args:
        dag: as its file defines it.
        serialized: the same, as Airflow's scheduler reads it.
    """
    return {
        task.task_id: StartingTrigger(
            deferral=_deferral(task.start_trigger_args), sealed_dag=_sealed_dag(dag, task.task_id)
        )
        for task in serialized.tasks
        if task.start_from_trigger is True and task.start_trigger_args  # as ``TaskInstance.start_trigger_args``
    }


def _deferral(arguments: StartTriggerArgs) -> Deferral:
    from airflow.models.trigger import Trigger
    from airflow.serialization.enums import stringify_encoding_keys

    return Deferral(
        classpath=arguments.trigger_cls,
        trigger_kwargs=Trigger.encrypt_kwargs(arguments.trigger_kwargs or {}),
        next_method=arguments.next_method,
        next_kwargs=seal(stringify_encoding_keys(arguments.next_kwargs or {})),
    )


def _sealed_dag(dag: DAG, task_id: str) -> str:
    """As much of the DAG as rendering a task's templates takes; mapped tasks refer to their direct upstream."""
    from airflow.serialization.serialized_objects import DagSerialization

    part = dag.partial_subset([task_id], include_upstream=False, include_direct_upstream=True)
    return seal(DagSerialization.to_dict(part))
