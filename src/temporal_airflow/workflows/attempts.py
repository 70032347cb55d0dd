"""The attempts and triggers of a run's tasks: starts and stops them, and tells how they ended.

It must not know when a task is to run, nor what its end means.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError

from temporal_airflow import identifiers
from temporal_airflow.engine.events import (
    StartTask,
    StartTrigger,
    StopTask,
    TaskEnded,
    TaskKey,
    TriggerEnded,
)
from temporal_airflow.models import OpenSeries, RunLimits, SeriesReport, TaskExecutionResult, TriggerResult
from temporal_airflow.workflows.activities import (
    ONE_ATTEMPT,
    WITHOUT_END,
    Activities,
    activity_id,
    not_ended,
    priority_of,
    stop,
)
from temporal_airflow.workflows.inbox import Inbox
from temporal_airflow.workflows.lengths import Lengths
from temporal_airflow.workflows.series import Series

Handle = workflow.ActivityHandle[Any]


class Attempts:
    """What runs, or waits, for the task instances of a run."""

    def __init__(self, activities: Activities, inbox: Inbox, limits: RunLimits, long: Iterable[str] = ()) -> None:
        """Begin without any.

        Args:
            activities: starts activities.
            inbox: what happens goes there.
            limits: of the run.
            long: tasks whose attempts are known to take long.
        """
        self._activities = activities
        self._lengths = Lengths(long)
        self._series = Series(activities, inbox, limits, self._lengths, self._start_alone)
        self._inbox = inbox
        self._running: dict[TaskKey, Handle] = {}
        self._waiting: set[TaskKey] = set()
        self._waits = 0

    @property
    def busy(self) -> bool:
        """Whether the result of anything is awaited that can't just be started anew."""
        return len(self._running) > len(self._waiting) or self._series.busy

    @property
    def gathered(self) -> bool:
        """Whether there is something to begin."""
        return self._series.gathered

    @property
    def series(self) -> tuple[OpenSeries, ...]:
        """What runs in series."""
        return self._series.open

    def start(self, command: StartTask) -> None:
        """Start an attempt, or gather it for :meth:`begin`."""
        if not self._series.start(command):
            self._start_alone(command)

    def begin(self) -> None:
        """Begin what was gathered."""
        self._series.begin()

    def reported(self, report: SeriesReport) -> None:
        """Take note of what a series says."""
        self._series.reported(report)

    def stopping(self, series: str) -> list[str]:
        """Which attempts of a series are to stop."""
        return self._series.stopping(series)

    def _start_alone(self, command: StartTask) -> None:
        attempt = command.attempt
        handle: workflow.ActivityHandle[TaskExecutionResult] = self._activities.start(
            identifiers.TASK_ACTIVITY,
            attempt,
            result_type=TaskExecutionResult,
            task_queue=self._activities.queue_of(command.queue),
            activity_id=activity_id(attempt),
            retry_policy=ONE_ATTEMPT,
            schedule_to_start_timeout=self._activities.queued_timeout,
            priority=priority_of(command.weight, attempt.run.dag_id),
            summary=identifiers.task_label(attempt.task_id, attempt.map_index),
        )
        self._running[command.key] = handle
        handle.add_done_callback(partial(self._attempt_ended, command))

    def wait(self, command: StartTrigger) -> None:
        """Start the trigger that a deferred task waits for."""
        trigger = command.trigger
        self._waits += 1
        handle: workflow.ActivityHandle[TriggerResult] = self._activities.start(
            identifiers.TRIGGER_ACTIVITY,
            trigger,
            result_type=TriggerResult,
            task_queue=self._activities.queue_of_triggers,
            activity_id=identifiers.trigger_activity_id(
                trigger.task_id, trigger.map_index, trigger.try_number, self._waits
            ),
            retry_policy=WITHOUT_END,
            summary=f"{identifiers.task_label(trigger.task_id, trigger.map_index)} waits",
        )
        self._running[command.key] = handle
        self._waiting.add(command.key)
        handle.add_done_callback(partial(self._trigger_ended, command))

    def stop(self, command: StopTask) -> None:
        """Stop what runs for a task instance, if anything does."""
        if not self._series.stop(command) and (handle := self._running.get(command.key)):
            self._waiting.discard(command.key)
            stop(handle)

    def _attempt_ended(self, command: StartTask, handle: workflow.ActivityHandle[TaskExecutionResult]) -> None:
        if handle.cancelled():
            return  # eviction ends every asyncio task of this run
        key, try_number = command.key, command.attempt.try_number
        self._forget(key, handle)
        try:
            result = handle.result()
        except ActivityError as error:
            self._inbox.put(not_ended(key, try_number, error))
        else:
            self._lengths.ended(key.task_id, activity_id(command.attempt), result)
            self._inbox.put(TaskEnded(key, try_number, result))

    def _trigger_ended(self, command: StartTrigger, handle: workflow.ActivityHandle[TriggerResult]) -> None:
        if handle.cancelled():
            return
        key, try_number = command.key, command.trigger.try_number
        self._forget(key, handle)
        try:
            self._inbox.put(TriggerEnded(key, try_number, handle.result()))
        except ActivityError as error:
            self._inbox.put(not_ended(key, try_number, error))

    def _forget(self, key: TaskKey, handle: Handle) -> None:
        if self._running.get(key) is handle:
            del self._running[key]
            self._waiting.discard(key)
