"""Turns rows of the run's database into the immutable records that queries and results show. It only reads.

A record is made anew only when its task instance has changed: a run of thousands must not pay for all of them at each
step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from airflow.models.taskinstance import TaskInstance
from airflow.models.taskreschedule import TaskReschedule
from airflow.utils.state import TaskInstanceState
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from temporal_airflow.engine.events import TaskKey
from temporal_airflow.identifiers import DEFAULT_AIRFLOW_QUEUE
from temporal_airflow.models import TaskInstanceRecord

if TYPE_CHECKING:
    from temporal_airflow.engine.attempts import TaskHistory


class TaskInstanceRecords:
    """The records of a run's task instances, made when somebody asks for them."""

    def __init__(self) -> None:
        self._records: dict[TaskKey, TaskInstanceRecord] = {}
        self._order: list[TaskKey] | None = []
        self._changed: dict[TaskKey, None] = {}

    def put(self, key: TaskKey) -> None:
        """Take note of a task instance that has changed, or is no more."""
        self._changed[key] = None

    def first(
        self, most: int | None, make: Callable[[TaskKey], TaskInstanceRecord | None]
    ) -> Iterator[TaskInstanceRecord]:
        """The records, by task id and map index.

        Args:
            most: how many; None is all.
            make: makes the record of a task instance; None if there is none any more.
        """
        for key in self._changed:
            record = make(key)
            if (record is None) == (key in self._records):
                self._order = None
            if record is not None:
                self._records[key] = record
            else:
                self._records.pop(key, None)
        self._changed = {}
        if self._order is None:
            self._order = sorted(self._records)
        return (self._records[key] for key in self._order[:most])


class Waiting:
    """When task instances go on that wait for a moment."""

    def __init__(self) -> None:
        self._moments: dict[TaskKey, datetime] = {}
        self._coming: list[tuple[datetime, TaskKey]] = []
        self._due: dict[TaskKey, None] = {}

    def put(self, key: TaskKey, moment: datetime | None) -> None:
        """Take note of how long a task instance waits; None if it doesn't."""
        if moment == self._moments.get(key):
            return
        self._due.pop(key, None)
        if moment is None:
            del self._moments[key]
        else:
            self._moments[key] = moment
            heappush(self._coming, (moment, key))

    def moment_of(self, key: TaskKey) -> datetime | None:
        """When a task instance goes on; None if it waits for no moment."""
        return self._moments.get(key)

    def due(self, now: datetime) -> list[TaskKey]:
        """Those whose moment has come, for as long as they wait; Airflow decides whether exactly now is late enough."""
        while self._coming and self._coming[0][0] <= now:
            moment, key = heappop(self._coming)
            if self._moments.get(key) == moment:
                self._due[key] = None
        return list(self._due)

    def coming(self) -> datetime | None:
        """The earliest moment that somebody waits for and that hasn't come."""
        while self._coming and self._moments.get(self._coming[0][1]) != self._coming[0][0]:
            heappop(self._coming)
        return self._coming[0][0] if self._coming else None

    def next(self) -> datetime | None:
        """The earliest moment that somebody waits for; it may have come."""
        if self._due:
            return min(self._moments[key] for key in self._due)
        return self.coming()


def task_instance(ti: TaskInstance, history: TaskHistory, wakes_at: datetime | None) -> TaskInstanceRecord:
    """The record of a task instance.

    Args:
        ti: the row.
        history: what is known of it besides.
        wakes_at: when it goes on, if it waits for a moment.
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
        queue=None if ti.queue == DEFAULT_AIRFLOW_QUEUE else ti.queue,
        error=history.error,
        wakes_at=wakes_at,
        lost_attempts=tuple(history.lost),
        note=history.note,
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
        case TaskInstanceState.AWAITING_INPUT:
            return ti.trigger_timeout
        case _:
            return None


def reschedule_count(ti: TaskInstance, session: Session) -> int:
    """How often the current try was rescheduled."""
    return session.scalar(select(func.count(TaskReschedule.id)).where(TaskReschedule.ti_id == ti.id)) or 0
