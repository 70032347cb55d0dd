"""How an attempt that did not run in an activity of its own ended, as an event. It must not know what it means."""

from __future__ import annotations

from temporal_airflow.engine.events import AttemptLost, Event, TaskEnded, TaskKey, TaskStopped, TaskStuck
from temporal_airflow.models import AttemptReport


def key_of(report: AttemptReport) -> TaskKey:
    """The task instance that is reported on."""
    return TaskKey(report.task_id, report.map_index)


def event_of(report: AttemptReport) -> Event:
    """What has happened."""
    key = key_of(report)
    if report.result is not None:
        return TaskEnded(key, report.try_number, report.result)
    if report.loss is not None:
        return AttemptLost(key, report.try_number, report.loss)
    if report.stuck:
        return TaskStuck(key, report.try_number)
    return TaskStopped(key, report.try_number)
