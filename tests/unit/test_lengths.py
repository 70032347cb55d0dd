"""Whether a task's attempts are long: by how many of those that have ended were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.utils.state import TaskInstanceState

from temporal_airflow.models import TaskExecutionResult
from temporal_airflow.workflows.lengths import Lengths

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def result(seconds: float) -> TaskExecutionResult:
    end = BEGUN + timedelta(seconds=seconds)
    return TaskExecutionResult(state=TaskInstanceState.SUCCESS, start_date=BEGUN, end_date=end)


def test_a_task_that_nobody_has_seen_is_short() -> None:
    lengths = Lengths()
    assert not lengths.is_long("task")
    lengths.ended("task", "lost", None)
    assert not lengths.is_long("task")


def test_one_of_few_makes_a_task_long_and_one_of_many_does_not() -> None:
    lengths = Lengths()
    lengths.takes_long("task", "first")
    assert lengths.is_long("task")
    assert not lengths.is_long("other")
    for number in range(15):
        lengths.ended("task", str(number), result(0.1))
    assert lengths.is_long("task")
    lengths.ended("task", "last", result(0.1))
    assert not lengths.is_long("task")


def test_an_attempt_counts_as_long_once() -> None:
    lengths = Lengths()
    lengths.takes_long("task", "first")
    for number in range(15):
        lengths.ended("task", str(number), result(0.1))
    lengths.ended("task", "first", result(600))
    assert not lengths.is_long("task")
    lengths.ended("task", "second", result(2))
    assert lengths.is_long("task")


def test_what_is_known_from_elsewhere_stays() -> None:
    lengths = Lengths({"task"})
    for number in range(100):
        lengths.ended("task", str(number), result(0.1))
    assert lengths.is_long("task")
