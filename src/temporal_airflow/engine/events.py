"""What goes into the engine and what comes out: two closed unions of immutable values.

A workflow turns everything that happens to it into events and carries out commands; nothing else passes between the
two. It must not know Airflow's models or Temporal.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from temporal_airflow.models import CallbackInput, TaskExecutionInput, TaskExecutionResult, TriggerInput, TriggerResult


class TaskKey(NamedTuple):
    """A task instance within its run."""

    task_id: str
    map_index: int


@dataclass(frozen=True)
class TaskEnded:
    """An attempt ended by itself: its result is the task's own doing."""

    key: TaskKey
    try_number: int
    result: TaskExecutionResult


@dataclass(frozen=True)
class AttemptLost:
    """Infrastructure took an attempt away (worker or slot died, worker shut down)."""

    key: TaskKey
    try_number: int
    reason: str


@dataclass(frozen=True)
class TaskStopped:
    """An attempt ended because a :class:`StopTask` asked for it."""

    key: TaskKey
    try_number: int


@dataclass(frozen=True)
class TimePassed:
    """A moment asked for by :class:`WakeAt` has come; the engine looks at the clock."""


@dataclass(frozen=True)
class CancelRequested:
    """Somebody wants the run to end."""

    reason: str


@dataclass(frozen=True)
class TriggerEnded:
    """The wait of a deferred task is over."""

    key: TaskKey
    try_number: int
    result: TriggerResult


Event = TaskEnded | TriggerEnded | AttemptLost | TaskStopped | TimePassed | CancelRequested


@dataclass(frozen=True)
class StartTask:
    """Run one attempt; the answer is one of the task events."""

    key: TaskKey
    queue: str | None
    attempt: TaskExecutionInput


@dataclass(frozen=True)
class StopTask:
    """End a running attempt or trigger: ``on_kill``, then kill; the answer is :class:`TaskStopped`."""

    key: TaskKey
    try_number: int


@dataclass(frozen=True)
class RunCallbacks:
    """Run a DAG's or a lost task's callbacks; nothing waits for the outcome but the end of the workflow."""

    callback: CallbackInput


@dataclass(frozen=True)
class WakeAt:
    """Send :class:`TimePassed` at this moment."""

    moment: datetime


@dataclass(frozen=True)
class StartTrigger:
    """Wait for a deferred task; the answer is :class:`TriggerEnded`."""

    key: TaskKey
    trigger: TriggerInput


Command = StartTask | StartTrigger | StopTask | RunCallbacks | WakeAt
