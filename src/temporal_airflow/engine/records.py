"""Turns rows of the run's database into the immutable records that queries and results show. It only reads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from airflow.models.taskinstance import TaskInstance
from airflow.models.taskreschedule import TaskReschedule
from airflow.utils.state import TaskInstanceState
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from temporal_airflow.models import LostAttempt, TaskInstanceRecord


def task_instance(
    ti: TaskInstance, error: str | None, lost: Sequence[LostAttempt], session: Session
) -> TaskInstanceRecord:
    """The record of a task instance.

    Args:
        ti: with ``task`` set.
        error: of its last attempt.
        lost: its lost attempts, oldest first.
        session: of the run's database.
    """
    return TaskInstanceRecord(
        task_id=ti.task_id,
        map_index=ti.map_index,
        state=ti.state,
        try_number=ti.try_number,
        max_tries=ti.max_tries,
        start_date=ti.start_date,
        end_date=ti.end_date,
        rendered_map_index=ti._rendered_map_index,  # the column's name in Airflow's model
        hostname=ti.hostname or None,
        error=error,
        wakes_at=wakes_at(ti, session),
        lost_attempts=tuple(lost),
    )


def wakes_at(ti: TaskInstance, session: Session) -> datetime | None:
    """When a task instance that waits for a moment goes on; None if it doesn't wait for one."""
    match ti.state:
        case TaskInstanceState.UP_FOR_RETRY:
            moment: datetime = ti.next_retry_datetime()
            return moment
        case TaskInstanceState.UP_FOR_RESCHEDULE:
            latest = select(func.max(TaskReschedule.reschedule_date)).where(TaskReschedule.ti_id == ti.id)
            return session.scalar(latest)
        case _:
            return None


def reschedule_count(ti: TaskInstance, session: Session) -> int:
    """How often the current try was rescheduled."""
    return session.scalar(select(func.count(TaskReschedule.id)).where(TaskReschedule.ti_id == ti.id)) or 0
