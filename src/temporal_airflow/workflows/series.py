"""Attempts that became ready together, in series: one activity runs some of them, one after the other.

While they are short, each costs the server a part of an activity; a series gives back what it can't begin soon. How its
attempts ended it tells by signal, and by its result. It must not know when a task is to run, nor what its end means.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

from temporalio import workflow
from temporalio.exceptions import ActivityError, CancelledError

from temporal_airflow import identifiers
from temporal_airflow.engine.events import AttemptLost, StartTask, StopTask, TaskKey, TaskStopped
from temporal_airflow.models import AttemptSeries, OpenSeries, RunLimits, SeriesReport
from temporal_airflow.workflows.activities import ONE_ATTEMPT, Activities, activity_id, not_ended, priority_of, stop
from temporal_airflow.workflows.inbox import Inbox
from temporal_airflow.workflows.lengths import Lengths
from temporal_airflow.workflows.reports import event_of

MOST_BYTES = 500_000
"""Of the inputs of a series."""

UNTOLD = "the activity that it ran in has ended without a word of it"

Handle = workflow.ActivityHandle[SeriesReport]


@dataclass
class _Open:
    """A series that has not ended.

    Attributes:
        attempts: whose end isn't known, by activity id.
        stopping: those of them that are to stop.
        told_to_look: whether the activity knows that there may be such.
    """

    handle: Handle | None = None
    attempts: dict[str, StartTask] = field(default_factory=dict)
    stopping: set[str] = field(default_factory=set)
    told_to_look: bool = False


class Series:
    """The series of one run, or of one batch of its attempts."""

    def __init__(
        self,
        activities: Activities,
        inbox: Inbox,
        limits: RunLimits,
        lengths: Lengths,
        alone: Callable[[StartTask], None],
    ) -> None:
        """Begin without any.

        Args:
            activities: starts activities.
            inbox: what happens goes there.
            limits: of the run.
            lengths: of tasks.
            alone: starts an attempt in an activity of its own.
        """
        self._activities = activities
        self._inbox = inbox
        self._limits = limits
        self._lengths = lengths
        self._alone = alone
        self._gathered: list[StartTask] = []
        self._open: dict[str, _Open] = {}
        self._series_of: dict[TaskKey, str] = {}
        self._begun = 0

    @property
    def gathered(self) -> bool:
        """Whether attempts are to begin."""
        return bool(self._gathered)

    @property
    def busy(self) -> bool:
        """Whether something is to begin, or has not ended."""
        return bool(self._gathered or self._open)

    @property
    def open(self) -> tuple[OpenSeries, ...]:
        """What runs in series."""
        return tuple(
            OpenSeries(activity_id=name, labels=tuple(_label(each) for each in series.attempts.values()))
            for name, series in self._open.items()
        )

    def start(self, command: StartTask) -> bool:
        """Start an attempt with others, when all that are ready together are known.

        Returns:
            Whether that is allowed: one that was lost before may take the others along, and a long one holds them up.
        """
        if (
            self._limits.series_size is None
            or command.attempt.attempt > 1
            or self._lengths.is_long(command.key.task_id)
        ):
            return False
        self._gathered.append(command)
        return True

    def begin(self) -> None:
        """Begin what was gathered: in series if there is enough of it for many."""
        gathered, self._gathered = self._gathered, []
        alike: dict[tuple[str | None, int], list[StartTask]] = {}
        for command in gathered:
            alike.setdefault((command.queue, command.weight), []).append(command)
        for commands in alike.values():
            for portion in self._portions(commands):
                if len(portion) > 1:
                    self._begin(portion)
                else:
                    self._alone(portion[0])

    def stop(self, command: StopTask) -> bool:
        """Stop an attempt.

        Returns:
            Whether it runs, or is to run, in a series.
        """
        waiting = [each for each in self._gathered if each.key != command.key]
        if len(waiting) < len(self._gathered):
            self._gathered = waiting
            self._inbox.put(TaskStopped(command.key, command.try_number))
            return True
        name = self._series_of.get(command.key)
        if name is None:
            return False
        series = self._open[name]
        series.stopping.update(each for each, begun in series.attempts.items() if begun.key == command.key)
        if series.handle is not None and not series.told_to_look:
            series.told_to_look = True
            stop(series.handle)  # an activity hears this once: from then on it asks which of them it is
        return True

    def stopping(self, name: str) -> list[str]:
        """Which attempts of a series are to stop."""
        series = self._open.get(name)
        return sorted(series.stopping & series.attempts.keys()) if series else []

    def reported(self, report: SeriesReport) -> None:
        """Take note of what a series says; what was told before counts once."""
        series = self._open.get(report.series)
        if series is None:
            return
        for end in report.ends:
            if end.activity_id in series.attempts:
                self._forget(series, end.activity_id)
                self._lengths.ended(end.task_id, end.activity_id, end.result)
                self._inbox.put(event_of(end))
        if report.long in series.attempts:
            self._lengths.takes_long(series.attempts[report.long].key.task_id, report.long)
        for returned in report.returned:
            if returned in series.attempts:
                self._begin_again(series, returned)

    def _portions(self, commands: list[StartTask]) -> Iterator[list[StartTask]]:
        limits = self._limits
        assert limits.series_size is not None
        most = max(1, min(limits.series_size, len(commands) // limits.series_share))
        portion: list[StartTask] = []
        size = 0
        for command in commands:
            more = len(command.attempt.model_dump_json())
            if portion and (len(portion) == most or size + more > MOST_BYTES):
                yield portion
                portion, size = [], 0
            portion.append(command)
            size += more
        if portion:
            yield portion

    def _begin(self, commands: list[StartTask]) -> None:
        first = commands[0]
        self._begun += 1
        name = identifiers.series_activity_id(self._begun)
        series = self._open[name] = _Open(attempts={activity_id(each.attempt): each for each in commands})
        self._series_of |= dict.fromkeys((each.key for each in commands), name)
        series.handle = self._activities.start(
            identifiers.SERIES_ACTIVITY,
            AttemptSeries.of((each.attempt for each in commands), series.attempts),
            result_type=SeriesReport,
            task_queue=self._activities.queue_of(first.queue),
            activity_id=name,
            retry_policy=ONE_ATTEMPT,
            schedule_to_start_timeout=self._activities.queued_timeout,
            priority=priority_of(first.weight, first.attempt.run.dag_id),
            summary=_summary(commands),
        )
        series.handle.add_done_callback(partial(self._ended, name))

    def _ended(self, name: str, handle: Handle) -> None:
        if handle.cancelled():
            return  # eviction ends every asyncio task of this run
        series = self._open[name]
        try:
            self.reported(handle.result())
        except ActivityError as error:
            self._end_all(series, error)
        for each, command in list(series.attempts.items()):
            self._forget(series, each)
            self._inbox.put(AttemptLost(command.key, command.attempt.try_number, UNTOLD))
        del self._open[name]

    def _end_all(self, series: _Open, error: ActivityError) -> None:
        """A series has ended without a result; one that was cancelled had not been taken by any worker."""
        for each, command in list(series.attempts.items()):
            if isinstance(error.cause, CancelledError):
                self._begin_again(series, each)
            else:
                self._forget(series, each)
                self._inbox.put(not_ended(command.key, command.attempt.try_number, error))

    def _begin_again(self, series: _Open, attempt: str) -> None:
        """An attempt has not begun, and won't in its series."""
        command = series.attempts[attempt]
        stopped = attempt in series.stopping
        self._forget(series, attempt)
        if stopped:
            self._inbox.put(TaskStopped(command.key, command.attempt.try_number))
        elif not self.start(command):
            self._alone(command)

    def _forget(self, series: _Open, attempt: str) -> None:
        command = series.attempts.pop(attempt)
        series.stopping.discard(attempt)
        del self._series_of[command.key]


def _label(command: StartTask) -> str:
    return identifiers.task_label(command.key.task_id, command.key.map_index)


def _summary(commands: list[StartTask]) -> str:
    """What people see: the task instances, those of a task together."""
    together = [(task, len(list(some))) for task, some in groupby(commands, lambda command: command.key.task_id)]
    first = _label(commands[0])
    if len(together) == 1:
        return f"{first} and {len(commands) - 1} more of it, one after the other"
    return f"{first} and {len(commands) - 1} others, one after the other"
