"""The callbacks and listeners of a run: started when they are due; only the run's end waits for them.

It must not know when they are due.
"""

from __future__ import annotations

from collections import deque

from temporalio import workflow
from temporalio.common import RetryPolicy

from temporal_airflow import identifiers
from temporal_airflow.engine.events import RunCallbacks, RunDeadlineCallback
from temporal_airflow.models import DagExecutionInput, RunListenersInput
from temporal_airflow.workflows.activities import Activities

CALLBACK_ATTEMPTS = RetryPolicy(maximum_attempts=3)

Handle = workflow.ActivityHandle[None]


class Callbacks:
    """User code that is called when something has happened to a run.

    Attributes:
        open: how many calls have not ended.
    """

    def __init__(self, execution: DagExecutionInput, activities: Activities) -> None:
        self._execution = execution
        self._activities = activities
        self._notices: deque[RunListenersInput] = deque()
        self.open = 0

    def run(self, command: RunCallbacks) -> None:
        """Run callbacks of the DAG, or of a task that has no process."""
        callback = command.callback
        handle = self._call(identifiers.CALLBACK_ACTIVITY, callback, self._execution.task_queue, callback.label)
        handle.add_done_callback(self._ended)

    def run_for_deadline(self, command: RunDeadlineCallback) -> None:
        """Call what a missed deadline names."""
        if command.awaited:
            queue, name = self._activities.queue_of_triggers, identifiers.AWAITED_DEADLINE_ACTIVITY
        else:
            queue, name = self._execution.task_queue, identifiers.DEADLINE_ACTIVITY
        self._call(name, command.callback, queue, command.label).add_done_callback(self._ended)

    def notify(self, notice: RunListenersInput) -> None:
        """Tell listeners of one state after the other, as Airflow's scheduler would."""
        self._notices.append(notice)
        if len(self._notices) == 1:
            self._tell_listeners()

    def _tell_listeners(self) -> None:
        notice = self._notices[0]
        label = f"listeners: {notice.state.value}"
        handle = self._call(identifiers.LISTENERS_ACTIVITY, notice, self._execution.task_queue, label)
        handle.add_done_callback(self._listeners_told)

    def _listeners_told(self, handle: Handle) -> None:
        if self._ended(handle):
            self._notices.popleft()
            if self._notices:
                self._tell_listeners()

    def _call(self, name: str, argument: object, task_queue: str, label: str) -> Handle:
        self.open += 1
        return self._activities.start(
            name, argument, task_queue=task_queue, retry_policy=CALLBACK_ATTEMPTS, summary=label
        )

    def _ended(self, handle: Handle) -> bool:
        """Take note of the end of a call.

        Returns:
            Whether it has really ended: eviction ends every asyncio task of this run.
        """
        if handle.cancelled():
            return False
        self.open -= 1
        error = handle.exception()
        if error is not None:  # as under Airflow, a callback that fails changes nothing else
            workflow.logger.warning("Callbacks or listeners of run %s failed: %s", self._execution.run.run_id, error)
        return True
