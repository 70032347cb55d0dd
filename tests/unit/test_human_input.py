"""The engine and people: which answers it takes, what they do, and when it waits no longer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, task

from engine_play import SECOND, START, Play
from temporal_airflow.engine.events import (
    CancelRequested,
    InputGiven,
    StartTask,
    StopTask,
    TaskEnded,
    TaskKey,
    TaskStopped,
    TimePassed,
    WakeAt,
)
from temporal_airflow.engine.human_input import SHOWN_CHARACTERS
from temporal_airflow.models import (
    Deferral,
    InputRequest,
    InputResponse,
    InputUser,
    InputWait,
    TaskExecutionInput,
)

ASKED = InputRequest(subject="Which?", options=("left", "right"))
FORM = ASKED.model_copy(
    update={
        "options": ("OK",),
        "params": {
            "number": {"value": 1, "description": None, "schema": {"type": "integer", "minimum": 1}},
            "remote": {"value": 1, "description": None, "schema": {"$ref": "https://example.org/schema.json"}},
        },
    }
)


def asks(run: Play, task_id: str = "a", request: InputRequest = ASKED, timeout: float | None = None) -> TaskEnded:
    """The task's process has asked and ended."""
    wait = InputWait(next_method="execute_complete", next_kwargs="sealed", timeout=timeout)
    return run.ended(task_id, "awaiting_input", input_request=request, input_wait=wait)


def one_task(**arguments: Any) -> DAG:
    with DAG("one", schedule=None, start_date=START, **arguments.pop("dag", {})) as dag:
        task(task_id="a", **arguments)(lambda: None)()
    return dag


def answer(*options: str, task_id: str = "a", **fields: Any) -> InputResponse:
    return InputResponse(**{"task_id": task_id, "chosen_options": options, "user": "ann", **fields})


def resumed(run: Play) -> TaskExecutionInput:
    [command] = [each for each in run.commands if isinstance(each, StartTask)]
    return command.attempt


def event_of(run: Play) -> dict[str, Any]:
    kwargs = resumed(run).input_kwargs
    assert kwargs is not None
    event: dict[str, Any] = kwargs["event"]
    return event


def test_an_answer_resumes_the_same_try(play: Callable[..., Play]) -> None:
    run = play(one_task())
    assert run.step(asks(run)) == []
    assert run.states == {"a": "awaiting_input"}
    assert run.engine.record.task_instances[0].input_request == ASKED
    run.step(InputGiven(answer("left", user="ann")))
    attempt = resumed(run)
    assert (attempt.try_number, attempt.next_method, attempt.next_kwargs) == (1, "execute_complete", "sealed")
    event = event_of(run)
    assert (event["chosen_options"], event["params_input"], event["timedout"]) == (["left"], {}, False)
    assert event["responded_by_user"] == {"id": "ann", "name": "ann"}
    assert run.engine.record.task_instances[0].input_request is None


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (answer("left"), None),
        (answer("lfet"), "'lfet' is not an option (did you mean 'left'?); the options are: 'left', 'right'."),
        (answer(), "Choose one of the options: 'left', 'right'."),
        (answer("left", "right"), "Only one option may be chosen of: 'left', 'right'."),
        (answer("left", task_id="b"), "no task 'b'; waiting for an answer: a."),
        (answer("left", map_index=0), "Task 'a' is not mapped; there is no map index 0 (--map-index)."),
        (answer("left", params_input={"x": 1}), "all or none; unknown: 'x'."),
    ],
)
def test_only_an_answer_that_the_task_can_use_is_taken(
    play: Callable[..., Play], response: InputResponse, problem: str | None
) -> None:
    run = play(one_task())
    run.step(asks(run))
    said = run.engine.absence_of_question(response) or " ".join(run.engine.problems_with(response))
    assert problem in said if problem else not said


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, None),
        ({"number": 3, "remote": "anything"}, None),
        ({"number": 0, "remote": 1}, "Param 'number' can't be 0: 0 is less than the minimum of 1."),
        ({"number": 3}, "missing: 'remote'."),
    ],
)
def test_values_are_held_against_the_form(
    play: Callable[..., Play], given: dict[str, Any], problem: str | None
) -> None:
    run = play(one_task())
    run.step(asks(run, request=FORM))
    said = " ".join(run.engine.problems_with(answer(params_input=given)))
    assert problem in said if problem else not said


def test_only_assigned_users_may_answer(play: Callable[..., Play]) -> None:
    run = play(one_task())
    run.step(asks(run, request=ASKED.model_copy(update={"assigned_users": (InputUser(id="7", name="ann"),)})))
    [problem] = run.engine.problems_with(answer("left", user="bob"))
    assert problem == "User 'bob' may not answer task 'a'; assigned: ann (id 7)."
    assert not run.engine.problems_with(answer("left", user="7"))
    run.step(InputGiven(answer("left", user="ann")))
    assert event_of(run)["responded_by_user"] == {"id": "7", "name": "ann"}


def test_a_task_that_does_not_wait_takes_no_answer(play: Callable[..., Play]) -> None:
    run = play(one_task())
    assert run.engine.absence_of_question(answer("left")) == "Task 'a' waits for no answer: its state is running."
    assert run.engine.may_begin_to_ask(answer("left"))
    assert not run.engine.may_begin_to_ask(answer("left", task_id="b"))
    run.step(InputGiven(answer("left")))
    assert (run.states, run.started) == ({"a": "running"}, [])


def test_a_task_that_was_answered_is_not_about_to_ask(play: Callable[..., Play]) -> None:
    run = play(one_task())
    run.step(asks(run))
    assert not run.engine.may_begin_to_ask(answer("left"))
    run.step(InputGiven(answer("left")))
    assert run.states == {"a": "running"}
    assert not run.engine.may_begin_to_ask(answer("left"))
    run.step(asks(run))
    assert run.engine.absence_of_question(answer("left")) is None


def test_when_time_is_up_the_defaults_count(play: Callable[..., Play]) -> None:
    run = play(one_task())
    request = FORM.model_copy(update={"defaults": ("OK",), "sealed_params": "sealed form", "params_changed": True})
    [wake] = run.step(asks(run, request=request, timeout=30))
    assert isinstance(wake, WakeAt)
    assert wake.moment - run.now > timedelta(seconds=30)
    assert run.step(TimePassed(), after=10 * SECOND) == [wake]
    run.step(TimePassed(), after=21 * SECOND)
    event = event_of(run)
    assert (event["chosen_options"], event["params_input"]) == (["OK"], {"number": 1, "remote": 1})
    assert (event["timedout"], event["responded_by_user"]) == (True, None)
    assert resumed(run).default_params == "sealed form"


def test_without_defaults_the_task_fails_itself_and_may_ask_again(play: Callable[..., Play]) -> None:
    run = play(one_task(retries=1, retry_delay=timedelta(0)))
    run.step(asks(run, timeout=30))
    run.step(TimePassed(), after=31 * SECOND)
    assert event_of(run)["error_type"] == "timeout"
    run.step(run.ended("a", "up_for_retry"))
    attempt = resumed(run)
    assert (attempt.try_number, attempt.next_method, attempt.input_kwargs) == (2, None, None)


def test_an_answer_that_comes_with_the_timeout_counts(play: Callable[..., Play]) -> None:
    run = play(one_task())
    run.step(asks(run, timeout=30, request=ASKED.model_copy(update={"defaults": ("right",)})))
    run.step(TimePassed(), InputGiven(answer("left")), after=60 * SECOND)
    assert (event_of(run)["chosen_options"], event_of(run)["timedout"]) == (["left"], False)


def test_a_cancelled_run_waits_for_nobody(play: Callable[..., Play]) -> None:
    run = play(one_task())
    run.step(asks(run))
    run.step(CancelRequested("enough"))
    assert run.engine.finished
    assert run.states == {"a": "failed"}
    assert run.engine.record.task_instances[0].input_request is None


def test_dagrun_timeout_ends_the_wait(play: Callable[..., Play]) -> None:
    run = play(one_task(dag={"dagrun_timeout": timedelta(minutes=1)}))
    run.step(asks(run))
    run.step(TimePassed(), after=timedelta(minutes=2))
    assert run.engine.finished
    assert run.states == {"a": "skipped"}


def test_a_waiting_task_takes_no_room_but_counts_among_its_own_kind(play: Callable[..., Play]) -> None:
    with DAG("limits", schedule=None, start_date=START, max_active_tasks=1) as dag:
        task(task_id="a", priority_weight=9)(lambda: None)()
        task(task_id="b", max_active_tis_per_dagrun=1)(lambda x: x).expand(x=[1, 2])
    run = play(dag)
    run.step(asks(run))
    assert run.started == ["b"]
    wait = InputWait(next_method="execute_complete")
    mapped = run.ended("b", "awaiting_input", input_request=ASKED, input_wait=wait)
    run.step(TaskEnded(TaskKey("b", 0), 1, mapped.result))
    assert run.started == []
    assert run.states == {"a": "awaiting_input", "b0": "awaiting_input", "b1": "scheduled"}


def test_an_answer_resumes_a_task_that_waits_in_a_trigger_once_that_has_stopped(play: Callable[..., Play]) -> None:
    run = play(one_task())
    deferral = Deferral(classpath="a.Trigger", trigger_kwargs="{}", next_method="resume", next_kwargs="sealed")
    run.step(run.ended("a", "deferred", input_request=ASKED, deferral=deferral))
    assert run.step(InputGiven(answer("left"))) == [StopTask(TaskKey("a", -1), 1)]
    run.step(TaskStopped(TaskKey("a", -1), 1))
    assert (resumed(run).next_method, event_of(run)["chosen_options"]) == ("resume", ["left"])
    assert run.engine.record.task_instances[0].error is None


def test_long_questions_share_the_room_there_is(play: Callable[..., Play]) -> None:
    run = play(one_task())
    run.step(asks(run, request=ASKED.model_copy(update={"body": "x" * (SHOWN_CHARACTERS + 9), "sealed_params": "s"})))
    [ti] = run.engine.record.task_instances
    assert ti.input_request is not None
    assert len(ti.input_request.body or "") == SHOWN_CHARACTERS
    assert ti.input_request.sealed_params is None
