"""Paused DAGs, by the engine alone: a run that knows of a pause asks when it ends, and only then goes on."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from engine_play import START, Play
from temporal_airflow.engine.dag_run_engine import DagRunEngine
from temporal_airflow.engine.events import AwaitUnpause, Unpaused
from temporal_airflow.models import SetPaused

PAUSE = SetPaused(kind="pause", paused=True)


def two_tasks() -> DAG:
    with DAG("paused", schedule=None, start_date=START) as dag:
        task(task_id="a", retries=0)(lambda: None)() >> task(task_id="b", retries=0)(lambda: None)()
    return dag


def asks(play: Play) -> int:
    return sum(isinstance(command, AwaitUnpause) for command in play.commands)


def played(**given: Any) -> Play:
    return Play(two_tasks(), given=given)


def test_a_run_that_begins_while_its_dag_is_paused_waits_for_the_end_of_that() -> None:
    play = played(paused=True)
    assert (play.started, asks(play), play.engine.record.paused) == ([], 1, True)
    play.step()
    assert (play.started, asks(play)) == ([], 0)
    play.step(Unpaused())
    assert (play.started, play.engine.record.paused) == (["a"], False)


def test_a_run_that_is_told_of_a_second_pause_before_it_hears_of_the_end_of_the_first_stays_paused() -> None:
    play = played()
    play.act(PAUSE)
    play.act(PAUSE)
    assert asks(play) == 1
    play.step(play.ended("a"), Unpaused())
    assert (play.started, play.engine.record.paused) == ([], True)
    play.step(Unpaused())
    assert (play.started, play.engine.record.paused) == (["b"], False)


def test_a_paused_run_that_goes_on_in_another_execution_asks_again() -> None:
    play = played(paused=True)
    play.engine = DagRunEngine.restore(play.engine._run.execution, play.engine.snapshot(), play.now)
    play.step()
    assert (play.started, asks(play)) == ([], 1)
    play.step(Unpaused())
    assert play.started == ["a"]


def test_a_run_that_was_paused_when_it_began_and_is_not_any_more_goes_on_so() -> None:
    play = played(paused=True)
    play.step(Unpaused())
    play.step(play.ended("a"))
    play.step(play.ended("b"))
    play.engine = DagRunEngine.restore(play.engine._run.execution, play.engine.snapshot(), play.now)
    play.step()
    assert (asks(play), play.engine.record.paused, play.engine.finished) == (0, False, True)
