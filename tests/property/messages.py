"""What the two sides are told and what they answer: neutral between our engine and stock Airflow."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from airflow.utils.state import TaskInstanceState


class Key(NamedTuple):
    """A task instance."""

    task_id: str
    map_index: int


@dataclass(frozen=True)
class AttemptEnded:
    """What a task's process says at its end, in the order in which it says it.

    Attributes:
        ended: when.
        cleared: XCom keys it was told to clear when it started.
        pushed: XComs by key.
        mapped_length: of its return value, if a mapped task depends on it.
        skipped: what ``SkipDownstreamTasks`` names.
        timeout: seconds until its wait times out.
    """

    key: Key
    try_number: int
    state: TaskInstanceState
    ended: datetime
    cleared: tuple[str, ...] = ()
    pushed: dict[str, Any] = field(default_factory=dict)
    mapped_length: int | None = None
    skipped: tuple[str | tuple[str, int], ...] = ()
    reschedule_date: datetime | None = None
    timeout: float | None = None


@dataclass(frozen=True)
class WaitEnded:
    """What a trigger says: ``state`` if it ends its task itself; ``failed`` and ``timed_out`` resume it to fail."""

    key: Key
    try_number: int
    state: TaskInstanceState | None = None
    failed: bool = False
    timed_out: bool = False


@dataclass(frozen=True)
class WorkerLost:
    """An attempt's worker is gone; ``for_good`` when it will not be tried again elsewhere."""

    key: Key
    try_number: int
    for_good: bool


Report = AttemptEnded | WaitEnded | WorkerLost


class Started(NamedTuple):
    """What a starting attempt is told."""

    key: Key
    try_number: int
    max_tries: int
    should_retry: bool
    reschedules: int
    next_method: str | None
    xcom_keys_to_clear: tuple[str, ...]


class Row(NamedTuple):
    """A task instance's row."""

    state: str | None
    try_number: int
    max_tries: int


@dataclass(frozen=True)
class Standing:
    """How a run stands after a step.

    Attributes:
        rows: of all task instances.
        started: in this step.
        wakes_at: the earliest moment at which a retry or a poke is due.
        priorities: of what was started or waits to be: where two are alike, the database decides who is first.
    """

    state: str
    rows: dict[Key, Row]
    started: tuple[Started, ...]
    wakes_at: datetime | None
    priorities: dict[Key, int] = field(default_factory=dict)
