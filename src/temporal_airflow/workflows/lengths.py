"""Which tasks take so long that no other attempt should wait behind one of theirs: judged by those that have run.

One in many that takes long holds up the few behind it for a moment; that is no reason to run all others alone. It must
not know where attempts run.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from temporal_airflow.models import TASKS_IN_SERIES, TaskExecutionResult
from temporal_airflow.models.series import LONG

MOST_LONG = 1 / TASKS_IN_SERIES
"""Of the attempts that have ended, the share that may take long before all of their task count as long: about one in
each series."""


class Lengths:
    """What is known of the tasks of one run."""

    def __init__(self, long: Iterable[str] = ()) -> None:
        """Begin with what somebody else knows.

        Args:
            long: tasks that take long in any case.
        """
        self._always_long = frozenset(long)
        self._ended: Counter[str] = Counter()
        self._long: defaultdict[str, set[str]] = defaultdict(set)

    def ended(self, task_id: str, attempt: str, result: TaskExecutionResult | None) -> None:
        """An attempt has ended; one without a result says nothing about how long its task takes."""
        if result is None:
            return
        self._ended[task_id] += 1
        if result.end_date - result.start_date > LONG:
            self._long[task_id].add(attempt)

    def takes_long(self, task_id: str, attempt: str) -> None:
        """An attempt that still runs takes long already."""
        self._long[task_id].add(attempt)

    def is_long(self, task_id: str) -> bool:
        """Whether the next attempt is likely to take long."""
        return task_id in self._always_long or len(self._long[task_id]) > MOST_LONG * self._ended[task_id]
