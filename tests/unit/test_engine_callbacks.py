"""Which callbacks the engine asks for, and when: those that no task process could call itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, task

from engine_play import SECOND, START, Play
from temporal_airflow.engine.events import (
    AttemptLost,
    CancelRequested,
    NotifyListeners,
    RunCallbacks,
    TaskKey,
    TimePassed,
    TurnCome,
)

HOUR = timedelta(hours=1)


def requests(run: Play) -> list[dict[str, Any]]:
    """What the last step wants called."""
    return [json.loads(each.callback.request) for each in run.commands if isinstance(each, RunCallbacks)]


def kinds(run: Play) -> list[str]:
    return [request.get("task_callback_type") or request["email_type"] for request in requests(run)]


def one_task(dagrun_timeout: timedelta | None = None, **arguments: Any) -> DAG:
    with DAG("one", schedule=None, start_date=START, dagrun_timeout=dagrun_timeout) as dag:
        task(task_id="a", **arguments)(lambda: None)()
    return dag


CALLBACKS: dict[str, Any] = {"on_retry_callback": print, "on_failure_callback": print}


def test_a_process_that_ended_without_a_word_has_its_callbacks_called(play: Callable[..., Play]) -> None:
    run = play(one_task(retries=1, retry_delay=0, email="a@example.org", **CALLBACKS))
    run.step(run.ended("a", "up_for_retry", unreported=True, error="Process was killed by SIGKILL"))
    assert kinds(run) == ["up_for_retry", "retry"]
    [callback, email] = requests(run)
    assert (callback["ti"]["try_number"], callback["context_from_server"]["max_tries"]) == (1, 1)
    assert email["msg"] == "Process was killed by SIGKILL"
    run.step(run.ended("a", "failed", try_number=2, unreported=True))
    assert kinds(run) == ["failed", "failure"]


def test_a_failure_that_was_reported_called_its_callbacks_itself(play: Callable[..., Play]) -> None:
    run = play(one_task(email="a@example.org", **CALLBACKS))
    run.step(run.ended("a", "failed"))
    assert kinds(run) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"on_success_callback": print, "on_retry_callback": print}, []),
        ({"email": "a@example.org"}, ["failure"]),
        ({"email": "a@example.org", "email_on_failure": False}, []),
    ],
)
def test_only_what_the_task_has_is_called(
    play: Callable[..., Play], arguments: dict[str, Any], expected: list[str]
) -> None:
    run = play(one_task(**arguments))
    run.step(run.ended("a", "failed", unreported=True))
    assert kinds(run) == expected


def test_a_try_that_was_lost_too_often_has_its_callbacks_called_once(play: Callable[..., Play]) -> None:
    run = play(one_task(email="a@example.org", **CALLBACKS), max_lost_attempts=2)
    run.step(AttemptLost(TaskKey("a", -1), 1, "machine gone"))
    assert kinds(run) == []
    run.step(AttemptLost(TaskKey("a", -1), 1, "machine gone"))
    assert kinds(run) == ["failed", "failure"]


EVERY_STATE = {"listened_states": ("running", "success", "failed")}


def told(run: Play) -> list[tuple[str, str]]:
    notices = [command.notice for command in run.commands if isinstance(command, NotifyListeners)]
    return [(notice.state.value, notice.msg) for notice in notices]


def test_listeners_are_told_of_each_state_once(play: Callable[..., Play]) -> None:
    run = play(one_task(), EVERY_STATE)
    assert told(run) == [("running", "started")]
    run.step(run.ended("a"))
    assert told(run) == [("success", "success")]


@pytest.mark.parametrize(
    ("event", "after", "expected"),
    [
        (lambda run: run.ended("a", "failed"), SECOND, "task_failure"),
        (lambda _: TimePassed(), HOUR, "timed_out"),
        (lambda _: CancelRequested("enough"), SECOND, "Dag Run's state was manually set to `failed`."),
    ],
)
def test_listeners_are_told_why_a_run_failed(
    play: Callable[..., Play], event: Callable[[Play], Any], after: timedelta, expected: str
) -> None:
    run = play(one_task(dagrun_timeout=HOUR), EVERY_STATE)
    run.step(event(run), after=after)
    assert told(run) == [("failed", expected)]


def test_nobody_is_told_what_nobody_listens_to(play: Callable[..., Play]) -> None:
    run = play(one_task(), {"listened_states": ("failed",)})
    assert told(run) == []
    run.step(run.ended("a"))
    assert told(run) == []


def test_listeners_are_told_of_a_queued_run_when_it_starts_or_is_cancelled(play: Callable[..., Play]) -> None:
    run = play(one_task(), {**EVERY_STATE, "queued": True})
    assert told(run) == []
    run.step(TurnCome())
    assert told(run) == [("running", "started")]
    run = play(one_task(), {**EVERY_STATE, "queued": True})
    run.step(CancelRequested("enough"))
    assert told(run) == [("failed", "Dag Run's state was manually set to `failed`.")]
