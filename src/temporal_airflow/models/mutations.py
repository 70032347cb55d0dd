"""What a user's ``task_instance_mutation_hook`` makes of task instances."""

from __future__ import annotations

from temporal_airflow.models.base import WireModel


class MutatedTaskInstances(WireModel):
    """Neighbouring task instances of one task that the hook made equal, but other than their task says.

    Attributes:
        first: map index; -1 is the task instance of a task that isn't mapped, or not yet.
        last: map index, included.
    """

    task_id: str
    first: int
    last: int
    queue: str | None
    pool_slots: int
    priority_weight: int
    max_tries: int
