"""The workflow in which a batch of a big run's attempts runs, so that the run's own history stays short.

It starts the same activities as the run would, and tells the run how they ended, by signals to the run's workflow id,
whichever execution of it there is then. It outlives executions of the run, not the run. It must not know Airflow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import assert_never

from temporalio import workflow
from temporalio.exceptions import FailureError

from temporal_airflow import identifiers
from temporal_airflow.engine.events import (
    AttemptLost,
    Event,
    StartTask,
    StopTask,
    TaskEnded,
    TaskKey,
    TaskStopped,
    TaskStuck,
)
from temporal_airflow.models import AttemptBatch, AttemptReport, AttemptReports, OpenAttempt, OpenSeries, SeriesReport
from temporal_airflow.workflows.activities import WITHOUT_END, Activities, activity_id
from temporal_airflow.workflows.attempts import Attempts
from temporal_airflow.workflows.inbox import Inbox

MANY = 10
"""Attempts that are still open from which results are gathered for a moment before they are sent."""

GATHERING = timedelta(milliseconds=250)
PAUSE = timedelta(seconds=1)
"""Between two tries to tell a run that takes no signal at the moment."""

MOST_BYTES = 500_000
"""Of results in one signal."""

RUN_IS_GONE = "not found"
"""What the server says of a run that has ended."""


@workflow.defn(name=identifiers.BATCH_WORKFLOW_TYPE, sandboxed=False)
class RunAirflowTasksWorkflow:
    """Runs attempts of one run and tells how they ended."""

    @workflow.init
    def __init__(self, batch: AttemptBatch) -> None:
        self._batch = batch
        self._inbox = Inbox()
        self._activities = Activities(batch.routing, batch.limits.heartbeat_timeout, batch.limits.task_queued_timeout)
        self._attempts = Attempts(self._activities, self._inbox, batch.limits, batch.long)
        self._open: dict[TaskKey, str] = {}
        self._has_started = False
        self._run_is_over = False

    @workflow.run
    async def run(self, batch: AttemptBatch) -> None:
        """Run until the end of every attempt has been told, or nobody wants to know."""
        for each in batch.attempts:
            key = TaskKey(each.attempt.task_id, each.attempt.map_index)
            self._open[key] = activity_id(each.attempt)
            self._attempts.start(StartTask(key, each.queue, each.attempt, each.weight))
        self._attempts.begin()
        self._has_started = True
        self._watch_run()
        while self._open and not self._run_is_over:
            await workflow.wait_condition(self._has_something_to_do)
            self._attempts.begin()
            if len(self._open) > MANY:
                await workflow.sleep(GATHERING)
            await self._tell(self._inbox.take(len(self._open)))
        for key in self._open:
            self._attempts.stop(StopTask(key, 0))
        await workflow.wait_condition(lambda: not self._attempts.busy)

    @workflow.signal(name=identifiers.STOP_SIGNAL)
    async def stop(self, attempt: OpenAttempt) -> None:
        """Stop an attempt, unless it has ended."""
        await workflow.wait_condition(lambda: self._has_started)
        key = TaskKey(attempt.task_id, attempt.map_index)
        if self._open.get(key) == attempt.activity_id:
            self._attempts.stop(StopTask(key, 0))

    @workflow.signal(name=identifiers.SERIES_SIGNAL)
    def series_reported(self, report: SeriesReport) -> None:
        """Take note of attempts that run in a series."""
        self._attempts.reported(report)

    @workflow.query(name=identifiers.STOPPING_QUERY)
    def stopping(self, series: str) -> list[str]:
        """Which attempts of a series are to stop."""
        return self._attempts.stopping(series)

    @workflow.query(name=identifiers.SERIES_QUERY)
    def series(self) -> tuple[OpenSeries, ...]:
        """What runs in series."""
        return self._attempts.series

    def _has_something_to_do(self) -> bool:
        return bool(self._inbox) or self._attempts.gathered or self._run_is_over

    def _watch_run(self) -> None:
        watch = self._activities.start(
            identifiers.WATCH_ACTIVITY,
            self._batch.run_workflow_id,
            task_queue=self._activities.queue_of_triggers,
            retry_policy=WITHOUT_END,
            summary="whether there is the run still",
        )
        watch.add_done_callback(self._run_ended)

    def _run_ended(self, watch: workflow.ActivityHandle[None]) -> None:
        self._run_is_over = self._run_is_over or not watch.cancelled()

    async def _tell(self, events: list[Event]) -> None:
        for reports in _portions(map(self._report, events)):
            await self._send(AttemptReports.of(reports))
            for report in reports:
                self._open.pop(TaskKey(report.task_id, report.map_index), None)

    async def _send(self, reports: AttemptReports) -> None:
        """Tell the run, until it knows or is no more."""
        run = workflow.get_external_workflow_handle(self._batch.run_workflow_id)
        while not self._run_is_over:
            try:
                await run.signal(identifiers.ATTEMPTS_ENDED_SIGNAL, reports)
            except FailureError as error:
                if RUN_IS_GONE in str(error):
                    self._run_is_over = True
                else:  # an execution of the run takes so many signals, the next one takes more
                    await workflow.sleep(PAUSE)
            else:
                return

    def _report(self, event: Event) -> AttemptReport:
        match event:
            case TaskEnded() | AttemptLost() | TaskStopped() | TaskStuck():
                about = {**event.key._asdict(), "activity_id": self._open[event.key], "try_number": event.try_number}
            case _:
                raise AssertionError(f"{event} of an attempt")
        match event:
            case TaskEnded(result=result):
                return AttemptReport(**about, result=result)
            case AttemptLost(reason=reason):
                return AttemptReport(**about, loss=reason)
            case TaskStuck():
                return AttemptReport(**about, stuck=True)
            case TaskStopped():
                return AttemptReport(**about)
            case _:
                assert_never(event)


def _portions(reports: Iterable[AttemptReport]) -> Iterator[tuple[AttemptReport, ...]]:
    """Reports in portions that fit into a signal."""
    portion: list[AttemptReport] = []
    size = 0
    for report in reports:
        more = len(report.model_dump_json())
        if portion and size + more > MOST_BYTES:
            yield tuple(portion)
            portion, size = [], 0
        portion.append(report)
        size += more
    if portion:
        yield tuple(portion)
