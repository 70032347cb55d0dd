"""A paused DAG on the wire: the input of the workflow ``hold_airflow_dag``, open while the DAG is paused."""

from __future__ import annotations

from temporal_airflow.models.base import WireModel


class PausedDag(WireModel):
    """A DAG whose runs on a task queue start no tasks.

    Attributes:
        user: who has paused it.
        told: workflow ids of its open runs that know.
        passes: how often all open runs were looked for.
    """

    dag_id: str
    task_queue: str
    user: str
    told: tuple[str, ...] = ()
    passes: int = 0
