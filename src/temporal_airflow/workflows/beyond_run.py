"""What a run asks of, or tells, what is beyond it: its turn among runs, earlier runs, assets.

It must not know why it is asked.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from temporalio import workflow

from temporal_airflow import identifiers
from temporal_airflow.engine.events import (
    AssetEventsPublished,
    AssetsRegistered,
    PastRunsKnown,
    PublishAssetEvents,
    RegisterAssets,
    TurnCome,
    Unpaused,
)
from temporal_airflow.models import DagExecutionInput, PastRuns, PastRunsQuestion, TurnInput
from temporal_airflow.workflows.activities import WITHOUT_END, Activities
from temporal_airflow.workflows.inbox import Inbox

RECORDING_TIMEOUT = timedelta(seconds=60)
"""Of one attempt to record something outside the run; there is always another."""

Recording = type[AssetsRegistered | AssetEventsPublished]


class BeyondRun:
    """A run's dealings with what is beyond it.

    Attributes:
        recording: how much is being recorded.
    """

    def __init__(self, execution: DagExecutionInput, activities: Activities, inbox: Inbox) -> None:
        self._execution = execution
        self._activities = activities
        self._inbox = inbox
        self._looks_back = 0
        self.recording = 0

    def await_turn(self) -> None:
        """Wait until the DAG has room for another active run."""
        run = self._execution.run
        limit = self._execution.definition.max_active_runs
        handle: workflow.ActivityHandle[None] = self._activities.start(
            identifiers.TURN_ACTIVITY,
            TurnInput(dag_id=run.dag_id, run_id=run.run_id, max_active_runs=limit),
            task_queue=self._activities.queue_of_triggers,
            retry_policy=WITHOUT_END,
            summary=f"at most {limit} active runs",
        )
        handle.add_done_callback(self._turn_came)

    def await_unpause(self) -> None:
        """Wait until the run's DAG isn't paused any more."""
        execution = self._execution
        handle: workflow.ActivityHandle[None] = self._activities.start(
            identifiers.UNPAUSE_ACTIVITY,
            identifiers.hold_workflow_id(execution.task_queue, execution.run.dag_id),
            task_queue=self._activities.queue_of_triggers,
            retry_policy=WITHOUT_END,
            summary="the DAG is paused",
        )
        handle.add_done_callback(self._unpaused)

    def watch_past_runs(self, question: PastRunsQuestion) -> None:
        """Find out about earlier runs, or wait for news of them."""
        self._looks_back += 1
        handle: workflow.ActivityHandle[PastRuns] = self._activities.start(
            identifiers.PAST_RUNS_ACTIVITY,
            question,
            result_type=PastRuns,
            task_queue=self._activities.queue_of_triggers,
            activity_id=identifiers.past_runs_activity_id(self._looks_back),
            retry_policy=WITHOUT_END,
            summary="looks up earlier runs" if question.known is None else "waits for an earlier run",
        )
        handle.add_done_callback(self._past_runs_known)

    def record(self, command: RegisterAssets | PublishAssetEvents) -> None:
        """Record something outside the run, surely; it takes no slot of a worker, so it waits for no task."""
        self.recording += 1
        registers = isinstance(command, RegisterAssets)
        answer = AssetsRegistered if registers else AssetEventsPublished
        handle: workflow.ActivityHandle[Any] = workflow.start_activity(
            identifiers.REGISTER_ACTIVITY if registers else identifiers.PUBLISH_ACTIVITY,
            command.given,
            task_queue=self._activities.queue_of_triggers,
            start_to_close_timeout=RECORDING_TIMEOUT,
            retry_policy=WITHOUT_END,
        )
        handle.add_done_callback(partial(self._recorded, answer))

    def _turn_came(self, handle: workflow.ActivityHandle[None]) -> None:
        if not handle.cancelled():
            self._inbox.put(TurnCome())

    def _unpaused(self, handle: workflow.ActivityHandle[None]) -> None:
        if not handle.cancelled():
            self._inbox.put(Unpaused())

    def _past_runs_known(self, handle: workflow.ActivityHandle[PastRuns]) -> None:
        if handle.cancelled():
            return
        error = handle.exception()
        if error is not None:  # somebody ended the activity by hand
            workflow.logger.warning("Earlier runs of %s not known: %s", self._execution.run.run_id, error)
        self._inbox.put(PastRunsKnown(None if error else handle.result()))

    def _recorded(self, answer: Recording, handle: workflow.ActivityHandle[Any]) -> None:
        if handle.cancelled():
            return
        self.recording -= 1
        error = handle.exception()
        self._inbox.put(answer(error=None if error is None else str(error.__cause__ or error)))
