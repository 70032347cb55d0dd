"""What a task said of itself while it ran: collected from its API calls, turned into the result of the attempt.

It must not know the process the task runs in, nor where XComs are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow.utils.state import TaskInstanceState

from temporal_airflow.models import AssetEvents, Deferral, InputRequest, InputWait
from temporal_airflow.tasks.masking import masked

MAX_ERROR_LENGTH = 500
"""Characters of the error line that people see."""


@dataclass
class TryRecord:
    """One attempt, as its task reported it.

    Attributes:
        state: the outcome, None until there is one. The first one counts, as with Airflow's server, which refuses a
            transition of a task that isn't running any more.
        cancelled: set when the task was told to stop; what it reports from then on doesn't count.
        unreported: set when the task's process ended before there was an outcome.
        refusal: the message of the last call that was refused.
        input_request: what the task asked of people last.
        last_exception: the last exception in the task's log, one masked line.
        error: why it failed, one masked line.
        runner: pid of the process that its task's was forked from, if it wasn't the slot; it stays.
    """

    state: TaskInstanceState | None = None
    end_date: datetime | None = None
    cancelled: bool = False
    unreported: bool = False
    refusal: str | None = None
    last_exception: str | None = None
    error: str | None = None
    rendered_map_index: str | None = None
    retry_delay_seconds: float | None = None
    retry_reason: str | None = None
    reschedule_date: datetime | None = None
    deferral: Deferral | None = None
    input_request: InputRequest | None = None
    input_wait: InputWait | None = None
    skipped_tasks: list[tuple[str, int | None]] = field(default_factory=list)
    asset_events: AssetEvents = field(default_factory=AssetEvents)
    runner: int | None = None

    def end(self, state: TaskInstanceState, when: datetime | None = None, **details: Any) -> None:
        """Take an outcome, unless there is one or the task was cancelled.

        Args:
            state: Airflow's word for it.
            when: the end; now by default.
            details: further attributes that go with it.
        """
        if self.cancelled or self.state is not None:
            return
        self.state = state
        self.end_date = when or datetime.now(UTC)
        for name, value in details.items():
            setattr(self, name, value)

    def fail(self, error: str) -> None:
        """Take a failure that is never retried."""
        self.end(TaskInstanceState.FAILED, error=error)


def one_line(text: str) -> str:
    """A text for people, masked, on one line of bounded length."""
    line = " ".join(masked(text).split())
    return line if len(line) <= MAX_ERROR_LENGTH else line[: MAX_ERROR_LENGTH - 1] + "…"
