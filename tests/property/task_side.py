"""What a task's process says when its attempt does what the case wants: the part of the Task SDK and the operators.

Whom a branch or a short circuit skips is asked of the standard provider's own ``SkipMixin``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from airflow.models.trigger import TRIGGER_FAIL_REPR
from airflow.providers.standard.utils.skipmixin import SkipMixin
from airflow.sdk.exceptions import DownstreamTasksSkipped
from airflow.utils.state import TaskInstanceState

from .case import End, Kind, Outcome, Task, Wait
from .messages import AttemptEnded, Started, WaitEnded

WAIT_TIMEOUT = 300.0
"""Seconds."""

ENDS = {
    End.SUCCESS: TaskInstanceState.SUCCESS,
    End.FAIL_FOR_GOOD: TaskInstanceState.FAILED,
    End.SKIP: TaskInstanceState.SKIPPED,
    End.REMOVE: TaskInstanceState.REMOVED,
    End.RESCHEDULE: TaskInstanceState.UP_FOR_RESCHEDULE,
    End.DEFER: TaskInstanceState.DEFERRED,
}


class _Skipper(SkipMixin):
    """A branch or short circuit, as far as skipping goes; collects what it pushes."""

    def __init__(self, operator: Any, map_index: int) -> None:
        self.task_id = operator.task_id
        self.pushed: dict[str, Any] = {}
        self._ti: Any = SimpleNamespace(task=operator, map_index=map_index, xcom_push=self._push)

    def _push(self, key: str, value: Any) -> None:
        self.pushed[key] = value

    def follow(self, task_ids: list[str]) -> tuple[str | tuple[str, int], ...]:
        """What a branch skips."""
        try:
            self.skip_all_except(self._ti, task_ids)
        except DownstreamTasksSkipped as skip:
            return tuple(skip.tasks)
        return ()

    def skip_all(self, operators: Iterator[Any]) -> tuple[str | tuple[str, int], ...]:
        """What a short circuit skips."""
        try:
            self.skip(self._ti, operators)
        except DownstreamTasksSkipped as skip:
            return tuple(skip.tasks)
        return ()


def attempt_ended(task: Task, operator: Any, started: Started, outcome: Outcome, now: datetime) -> AttemptEnded:
    """The report of an attempt.

    Args:
        task: of the case.
        operator: of the DAG file.
        started: what the attempt was told.
        outcome: what it does; resumed by a failed wait it fails.
        now: when it ends.
    """
    end = End.FAIL if started.next_method == TRIGGER_FAIL_REPR else outcome.end
    if end == End.FAIL:
        state = TaskInstanceState.UP_FOR_RETRY if started.should_retry else TaskInstanceState.FAILED
    else:
        state = ENDS[end]
    pushed: dict[str, Any] = {}
    skipped: tuple[str | tuple[str, int], ...] = ()
    mapped_length = None
    if end == End.SUCCESS:
        pushed, mapped_length = _returned(operator, outcome.number, started.key.map_index)
        skipping, skipped = _skipped(task, operator, started.key.map_index, outcome.number)
        pushed |= skipping
    return AttemptEnded(
        key=started.key,
        try_number=started.try_number,
        state=state,
        ended=now,
        cleared=started.xcom_keys_to_clear,
        pushed=pushed,
        mapped_length=mapped_length,
        skipped=skipped,
        reschedule_date=now + timedelta(minutes=outcome.number) if end == End.RESCHEDULE else None,
        timeout=WAIT_TIMEOUT if end == End.DEFER and outcome.number == Wait.TIMED_OUT else None,
    )


def wait_ended(started: Started, wait: Wait) -> WaitEnded:
    """What a trigger says of the task that waits for it."""
    state = {
        Wait.ENDED_SUCCESS: TaskInstanceState.SUCCESS,
        Wait.ENDED_FAILED: TaskInstanceState.FAILED,
        Wait.ENDED_SKIPPED: TaskInstanceState.SKIPPED,
    }.get(wait)
    failed, timed_out = wait == Wait.FAILED, wait == Wait.TIMED_OUT
    return WaitEnded(started.key, started.try_number, state, failed=failed, timed_out=timed_out)


def _returned(operator: Any, length: int, map_index: int) -> tuple[dict[str, Any], int | None]:
    """The return value of a task that others map over (``_push_xcom_if_needed``)."""
    if next(operator.iter_mapped_dependants(), None) is None:
        return {}, None
    return {"return_value": list(range(length))}, length if map_index < 0 else None


def _skipped(
    task: Task, operator: Any, map_index: int, number: int
) -> tuple[dict[str, Any], tuple[str | tuple[str, int], ...]]:
    skipper = _Skipper(operator, map_index)
    skipped: tuple[str | tuple[str, int], ...] = ()
    match task.kind:
        case Kind.BRANCH:
            downstream = sorted(operator.downstream_task_ids)
            skipped = skipper.follow([task_id for bit, task_id in enumerate(downstream) if number >> bit & 1])
        case Kind.SHORT_CIRCUIT if number == 0 and operator.downstream_task_ids:
            skipped = skipper.skip_all(_but_teardowns(operator.get_flat_relatives(upstream=False)))
        case Kind.SHORT_CIRCUIT_DIRECT if number == 0 and operator.downstream_task_ids:
            skipped = skipper.skip_all(_but_teardowns(operator.get_direct_relatives(upstream=False)))
    return skipper.pushed, skipped


def _but_teardowns(operators: Any) -> Iterator[Any]:
    return (operator for operator in operators if not operator.is_teardown)
