"""Deadlines of a run: when they are, when they are missed, what is called then, and when they are no more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, task
from airflow.sdk.definitions.deadline import DeadlineReference
from airflow.serialization.encoders import encode_deadline_reference

from engine_play import SECOND, START, Play
from temporal_airflow.engine.events import (
    CancelRequested,
    RunDeadlineCallback,
    TaskKey,
    TaskStopped,
    TimePassed,
    WakeAt,
)
from temporal_airflow.models import DeadlineAlert, EarlierRun

HOUR = timedelta(hours=1)
QUEUED_AT = DeadlineReference.DAGRUN_QUEUED_AT


def alert(reference: Any = QUEUED_AT, interval: timedelta = HOUR, **fields: Any) -> DeadlineAlert:
    return DeadlineAlert(
        reference=encode_deadline_reference(reference),
        interval=interval.total_seconds(),
        callback_path="no_such_module.called",
        callback_kwargs="sealed",
        **fields,
    )


def one_task() -> DAG:
    with DAG("one", schedule=None, start_date=START) as dag:
        task(task_id="a")(lambda: None)()
    return dag


def given(*alerts: DeadlineAlert, **fields: Any) -> dict[str, Any]:
    return {"deadlines": alerts, "queued_at": START - SECOND, **fields}


def called(run: Play) -> list[RunDeadlineCallback]:
    return [command for command in run.commands if isinstance(command, RunDeadlineCallback)]


def earlier(days: int, minutes: int) -> EarlierRun:
    start = START - timedelta(days=days)
    return EarlierRun(logical_date=start, start_date=start, end_date=start + timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("reference", "moment"),
    [
        (DeadlineReference.DAGRUN_LOGICAL_DATE, START + HOUR),
        (QUEUED_AT, START - SECOND + HOUR),
        (DeadlineReference.FIXED_DATETIME(START + 3 * HOUR), START + 4 * HOUR),
        (DeadlineReference.AVERAGE_RUNTIME(max_runs=2), START + timedelta(minutes=15) + HOUR),
        (DeadlineReference.AVERAGE_RUNTIME(max_runs=5, min_runs=3), START + timedelta(minutes=30) + HOUR),
    ],
)
def test_a_deadline_is_measured_from_its_reference_point(
    play: Callable[..., Play], reference: Any, moment: datetime
) -> None:
    runs = (earlier(2, 20), earlier(1, 10), earlier(3, 60))
    run = play(one_task(), given(alert(reference, name="in time"), earlier_runs=runs))
    [deadline] = run.engine.record.deadlines
    assert (deadline.name, deadline.missed) == ("in time", False)
    assert abs(deadline.deadline_time - moment) < timedelta(milliseconds=1)  # SQLite's days are rounded
    [wake] = [command for command in run.commands if isinstance(command, WakeAt)]
    assert wake.moment == deadline.deadline_time + timedelta(milliseconds=1)


def test_an_average_of_too_few_runs_is_no_deadline(play: Callable[..., Play]) -> None:
    reference = DeadlineReference.AVERAGE_RUNTIME(max_runs=3)
    run = play(one_task(), given(alert(reference), earlier_runs=(earlier(1, 10), earlier(2, 10))))
    assert run.engine.record.deadlines == ()
    assert [type(command).__name__ for command in run.commands] == ["StartTask"]


def test_a_missed_deadline_calls_back_once_and_the_run_goes_on(play: Callable[..., Play]) -> None:
    run = play(one_task(), given(alert(name="late"), alert(interval=2 * HOUR, awaited=True)))
    run.step(TimePassed(), after=HOUR)
    [command] = called(run)
    assert (command.label, command.awaited) == ("missed deadline late", False)
    callback = command.callback
    assert (callback.callback_path, callback.callback_kwargs) == ("no_such_module.called", "sealed")
    assert callback.deadline_time == START - SECOND + HOUR
    assert (callback.dag_run["dag_run_id"], callback.dag_run["state"]) == ("run", "running")
    assert callback.dag_run["queued_at"] == "2026-04-30T23:59:59Z"
    assert run.step(TimePassed()) == [WakeAt(START - SECOND + 2 * HOUR + timedelta(milliseconds=1))]
    run.step(TimePassed(), after=HOUR)
    assert [command.awaited for command in called(run)] == [True]
    run.step(run.ended("a"))
    assert (run.engine.record.state.value, run.commands) == ("success", [])
    assert [deadline.missed for deadline in run.engine.record.deadlines] == [True, True]


def test_a_success_in_time_ends_the_deadline(play: Callable[..., Play]) -> None:
    run = play(one_task(), given(alert()))
    run.step(run.ended("a"))
    assert (run.engine.finished, run.commands, run.engine.record.deadlines) == (True, [], ())


def test_a_success_that_comes_too_late_still_misses_the_deadline(play: Callable[..., Play]) -> None:
    run = play(one_task(), given(alert()))
    run.step(run.ended("a"), after=2 * HOUR)
    [command] = called(run)
    assert command.callback.dag_run["state"] == "success"


def test_a_cancelled_run_may_miss_a_deadline_while_its_tasks_stop(play: Callable[..., Play]) -> None:
    run = play(one_task(), given(alert()))
    run.step(CancelRequested("enough"))
    run.step(TaskStopped(TaskKey("a", -1), 1), after=2 * HOUR)
    [command] = called(run)
    assert command.callback.dag_run["state"] == "failed"
