"""Tasks that depend on earlier runs, by the engine alone: Airflow's own dependency decides, on rows it is given."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, task
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunType

from engine_play import START, Play
from temporal_airflow.engine.events import CancelRequested, PastRunsKnown, TimePassed, WatchPastRuns
from temporal_airflow.models import PastRun, PastRuns, PastRunsQuestion, PastTaskInstance

DAY = timedelta(days=1)


def a_dag(**arguments: Any) -> DAG:
    """first >> second >> after, free; only second depends on the past."""
    dag_arguments = {name: arguments.pop(name) for name in ("catchup", "dagrun_timeout") if name in arguments}
    with DAG("depends", schedule=None, start_date=START - 9 * DAY, **dag_arguments) as dag:
        first = task(task_id="first")(lambda: None)()
        second = task(task_id="second", **{"depends_on_past": True, **arguments})(lambda: None)()
        first >> second >> EmptyOperator(task_id="after")
        task(task_id="free")(lambda: None)()
    return dag


def earlier(days: int = 1, run_type: DagRunType = DagRunType.MANUAL, **states: str | None) -> PastRun:
    return PastRun(
        run_id=f"run-{days}-before",
        run_type=run_type,
        logical_date=START - days * DAY,
        state=DagRunState.RUNNING,
        task_instances=tuple(
            PastTaskInstance(task_id=name, state=TaskInstanceState(state) if state else None)
            for name, state in states.items()
        ),
    )


def known(*runs: PastRun) -> PastRunsKnown:
    return PastRunsKnown(PastRuns(runs=runs))


def question(run: Play) -> PastRunsQuestion | None:
    [*found] = (command.question for command in run.commands if isinstance(command, WatchPastRuns))
    return found[0] if found else None


def waits_for(run: Play, task_id: str) -> str:
    return next(ti.waits_for or "" for ti in run.engine.record.task_instances if ti.task_id == task_id)


def test_nothing_starts_before_the_past_runs_are_known(play: Callable[..., Play]) -> None:
    run = play(a_dag())
    asked = question(run)
    assert asked == PastRunsQuestion(dag_id="depends", run_id="run", logical_date=START, task_ids=("second",))
    assert run.started == []
    assert run.step(TimePassed()) == []
    run.step(known())
    assert (run.started, question(run)) == (["first", "free"], None)
    run.step(run.ended("first"))
    assert run.started == ["second"]


def test_a_task_waits_until_its_predecessor_has_succeeded(play: Callable[..., Play]) -> None:
    run = play(a_dag())
    before = earlier(second="running")
    run.step(known(before))
    assert run.started == ["first", "free"]
    asked = question(run)
    assert asked is not None
    assert asked.known == PastRuns(runs=(before,))
    assert "1 previous task instance(s) are not in a successful state" in waits_for(run, "second")
    run.step(run.ended("first"), run.ended("free"))
    run.step(known(earlier(second="failed")))  # somebody may still make a success of it
    assert (run.started, run.engine.finished) == ([], False)
    assert question(run) is not None
    run.step(known(earlier(second="success")))
    assert (run.started, question(run), waits_for(run, "second")) == (["second"], None, "")
    run.step(run.ended("second"))
    assert run.engine.finished
    assert run.states == {"first": "success", "second": "success", "after": "success", "free": "success"}


def test_a_skipped_predecessor_is_good_enough(play: Callable[..., Play]) -> None:
    run = play(a_dag())
    run.step(known(earlier(second="skipped")))
    run.step(run.ended("first"))
    assert run.started == ["second"]


def test_a_task_may_wait_for_what_follows_its_predecessor_too(play: Callable[..., Play]) -> None:
    run = play(a_dag(wait_for_downstream=True))
    asked = question(run)
    assert asked is not None
    assert asked.task_ids == ("after", "second")
    run.step(known(earlier(second="success", after=None)))
    run.step(run.ended("first"))
    assert run.started == []
    assert "wait_for_downstream is True" in waits_for(run, "second")
    run.step(known(earlier(second="success", after="success")))
    assert run.started == ["second"]


def test_a_new_task_may_start_if_it_is_allowed_to_and_never_ran(play: Callable[..., Play]) -> None:
    run = play(a_dag(ignore_first_depends_on_past=True))
    asked = question(run)
    assert asked is not None
    assert asked.maybe_new_task_ids == ("second",)
    run.step(known(earlier()))
    run.step(run.ended("first"))
    assert run.started == ["second"]
    gone = play(a_dag(ignore_first_depends_on_past=True))
    gone.step(known(earlier(), earlier(days=2, second="success")))  # it was there, and gone in between
    gone.step(gone.ended("first"))
    assert gone.started == []
    strict = play(a_dag())
    strict.step(known(earlier()))
    strict.step(strict.ended("first"))
    assert strict.started == []
    assert "the previous task instance has not run yet" in waits_for(strict, "second")


@pytest.mark.parametrize(("catchup", "starts"), [(False, []), (True, ["second"])])
def test_airflow_decides_which_run_is_the_previous_one(
    play: Callable[..., Play], catchup: bool, starts: list[str]
) -> None:
    run = play(a_dag(catchup=catchup))
    run.step(known(earlier(second="failed"), earlier(2, DagRunType.SCHEDULED, second="success")))
    run.step(run.ended("first"))
    assert run.started == starts


def test_a_question_without_an_answer_is_asked_again(play: Callable[..., Play]) -> None:
    run = play(a_dag())
    asked = question(run)
    run.step(PastRunsKnown(None))
    assert question(run) == asked
    assert run.started == []


def test_a_waiting_run_can_time_out_or_be_cancelled(play: Callable[..., Play]) -> None:
    run = play(a_dag(dagrun_timeout=timedelta(minutes=1)))
    run.step(known(earlier(second="failed")))
    run.step(run.ended("first"), run.ended("free"))
    run.step(TimePassed(), after=timedelta(minutes=2))
    assert (run.engine.finished, run.states["second"]) == (True, "skipped")
    cancelled = play(a_dag())
    cancelled.step(CancelRequested("enough"))
    assert (cancelled.engine.finished, cancelled.engine.record.state.value) == (True, "failed")


def test_a_run_without_a_logical_date_has_none_before_it(play: Callable[..., Play]) -> None:
    run = play(a_dag(), logical_date=None)
    assert (question(run), run.started) == (None, ["first", "free"])
