"""Why task instances don't run: what is told to people and programs. It must not know how it is found out."""

from __future__ import annotations

from dataclasses import dataclass

from temporal_airflow.models import TaskInstanceRecord


@dataclass(frozen=True)
class Reason:
    """A reason.

    Attributes:
        dependency: the name in Airflow of what isn't met; None if it is nothing that Airflow knows.
        tasks: the task instances that it is about, each with its state.
    """

    dependency: str | None
    reason: str
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """Why a task instance doesn't run."""

    task_instance: TaskInstanceRecord
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Explanations:
    """Why task instances of a run don't run.

    Attributes:
        run: why the run itself doesn't go on.
        left_out: how many more there are that weren't looked at.
    """

    run: tuple[str, ...]
    task_instances: tuple[Explanation, ...]
    left_out: int = 0
