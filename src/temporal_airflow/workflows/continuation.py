"""When a run goes on in a new workflow execution: before its history gets too long, and with nothing lost.

A new execution knows nothing of the activities of the old one. So it begins at a moment when no result is awaited; what
merely waits (triggers, the run's turn, news of earlier runs, timers) is asked for again by the engine. It must not know
what the engine's snapshot says.
"""

from __future__ import annotations

from datetime import datetime

from temporalio import workflow

from temporal_airflow.engine.dag_run_engine import DagRunEngine
from temporal_airflow.models import DagExecutionInput, DagExecutionResult, RunProgress, RunSnapshot
from temporal_airflow.workflows.batches import Batches

MOST_BYTES = 1_900_000
"""Of the input of an execution: the server takes 2 MB."""

NEXT_LOOK = 1000
"""Events after which a run that was too large to go on in a new execution is measured again."""


class Continuation:
    """The chain of workflow executions that are one run.

    Attributes:
        is_reopening: whether the run had ended, and somebody wants something of it.
    """

    def __init__(self, execution: DagExecutionInput) -> None:
        progress = execution.progress
        self._limits = execution.limits
        self._execution = execution.model_copy(update={"progress": None})
        self._continued = progress.continued if progress else 0
        self._started_at = progress.started_at if progress else None
        self.is_reopening = bool(progress and progress.reopened)
        self._too_large_until = 0
        self._messages_at = self._all_heard_at = -1

    def message_came(self) -> None:
        """A signal or an update has come: it is told first of all that has happened, a cancellation last."""
        self._messages_at = workflow.info().get_current_history_length()

    def all_heard(self) -> None:
        """A timer has woken the run, so everything has been told that came with it."""
        self._all_heard_at = workflow.info().get_current_history_length()

    @property
    def may_be_cancelled(self) -> bool:
        """Whether a cancellation may have come that hasn't been told yet: a new execution would never hear of it."""
        now = workflow.info().get_current_history_length()
        return self._messages_at == now != self._all_heard_at

    @property
    def is_wanted(self) -> bool:
        """Whether the history is long enough to go on in a new one."""
        info, least = workflow.info(), self._limits.continue_from_events
        length = info.get_current_history_length()
        if least is None or length < self._too_large_until:
            return False
        return length >= least or info.is_continue_as_new_suggested()

    @property
    def is_urgent(self) -> bool:
        """Whether the history is so long that what runs must come to an end first."""
        info, limits = workflow.info(), self._limits
        return self.is_wanted and (
            info.get_current_history_length() >= limits.hold_from_events
            or info.get_current_history_size() >= limits.hold_from_bytes
        )

    def needs_batches(self, task_instances: int) -> bool:
        """Whether attempts are to run apart from the run's history: it might get too long before the longest ends.

        Args:
            task_instances: how many the run has.
        """
        least = self._limits.batches_from
        return least is not None and (task_instances > least or self._continued > 0)

    def next_input(self, engine: DagRunEngine, batches: Batches) -> DagExecutionInput | None:
        """The input of the new execution; None if it is more than the server takes: then the run stays."""
        progress = self._progress(engine.snapshot(), batches)
        execution = self._execution.model_copy(update={"progress": progress})
        size = len(execution.model_dump_json())
        if size <= MOST_BYTES:
            return execution
        self._too_large_until = workflow.info().get_current_history_length() + NEXT_LOOK
        workflow.logger.warning("The run stays in its history: with %s bytes it is too large to go on in a new", size)
        return None

    def with_progress(self, result: DagExecutionResult, engine: DagRunEngine, batches: Batches) -> DagExecutionResult:
        """A run's result with what lets the run go on, should somebody clear it; without, where there is no room."""
        kept_beside = {"xcoms": (), "task_states": ()}
        progress = self._progress(engine.snapshot().model_copy(update=kept_beside), batches)
        complete = result.model_copy(update={"progress": progress})
        return complete if len(complete.model_dump_json()) <= MOST_BYTES else result

    def _progress(self, snapshot: RunSnapshot, batches: Batches) -> RunProgress:
        return RunProgress(
            compressed_snapshot=snapshot.compressed(),
            continued=self._continued + 1,
            started_at=self._start(),
            compressed_batches=batches.compressed(),
            batches_begun=batches.begun,
        )

    def memo(self) -> dict[str, object]:
        """What lists are to say of the new execution: what they say of this one, and since when there is the run."""
        return {**workflow.memo(), "started_at": self._start().isoformat()}

    def _start(self) -> datetime:
        return self._started_at or workflow.info().workflow_start_time
