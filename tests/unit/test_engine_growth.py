"""Rows that are made in portions are those that Airflow would make at once, column for column."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskmap import TaskMap
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, task, task_group
from sqlalchemy import select

from engine_play import START, Play
from temporal_airflow.engine.events import CancelRequested, StepAgain, TaskKey
from temporal_airflow.engine.growth import Growth
from temporal_airflow.models import XComRecord, XComValue

NO_TIME = timedelta()
DRAWN = {"id", "updated_at", "context_carrier"}
"""What is drawn, or is by the real clock."""


def every_kind() -> DAG:
    """Tasks whose rows differ in every column that a DAG decides."""
    with DAG("kinds", schedule=None, start_date=START, max_active_tasks=1000) as dag:
        first = task(task_id="first", queue="far", priority_weight=7, retries=2, pool_slots=2)(lambda: [1])()
        named = task(task_id="named", task_display_name="A name")(lambda: None)
        task(task_id="literal", weight_rule="upstream")(lambda x: x).expand(x=[1, 2, 3])
        task(task_id="none_yet")(lambda x: x).expand(x=[])
        over_result = task(task_id="over_result", retries=3)(lambda x: x).expand(x=first)
        over_result >> named() >> EmptyOperator(task_id="empty", weight_rule="absolute", priority_weight=3)

        @task_group
        def group(x: int) -> None:
            task(task_id="inside")(lambda x: x)(x) >> task(task_id="after")(lambda: None)()

        group.expand(x=first)
    return dag


def rows(run: Play) -> list[dict[str, Any]]:
    query = select(*TaskInstance.__table__.columns).order_by(TaskInstance.task_id, TaskInstance.map_index)
    found = run.engine._session.execute(query).mappings().all()
    return [{name: value for name, value in row.items() if name not in DRAWN} for row in found]


@contextmanager
def airflows_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All rows are made by Airflow."""

    def begin(self: Growth) -> None:
        version: Any = self._dag_run.created_dag_version_id
        self._dag_run.verify_integrity(session=self._session, dag_version_id=version)
        self._instances.reload()

    def expand(self: Growth, ti: TaskInstance) -> list[TaskKey]:
        mapped_task: Any = ti.task
        expanded, _ = TaskMap.expand_mapped_task(mapped_task, ti.run_id, session=self._session)
        return [TaskKey(each.task_id, each.map_index) for each in expanded]

    with monkeypatch.context() as patch:
        patch.setattr(Growth, "begin", begin)
        patch.setattr(Growth, "expand", expand)
        yield


def to_the_end(run: Play) -> None:
    while run.commands[-1:] == [StepAgain()]:
        run.step(after=NO_TIME)


@pytest.mark.parametrize("length", [0, 1, 5])
def test_rows_are_those_that_airflow_makes(
    play: Callable[..., Play], monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    def played(**limits: Any) -> list[list[dict[str, Any]]]:
        run = play(every_kind(), **limits)
        to_the_end(run)
        found = [rows(run)]
        result = XComRecord(task_id="first", key="return_value", content=XComValue(value="[]"))
        run.step(run.ended("first", xcoms=(result,), mapped_length=length))
        to_the_end(run)
        return [*found, rows(run)]

    with airflows_own(monkeypatch):
        theirs = played()
    assert played(step_work=2) == theirs
    assert played() == theirs


def mapped() -> DAG:
    with DAG("mapped", schedule=None, start_date=START, max_active_tasks=1000) as dag:
        result = task(task_id="first")(lambda: None)()
        task(task_id="over")(lambda x: x).expand(x=result) >> task(task_id="last")(lambda: None)()
        result >> task(task_id="beside")(lambda: None)()
    return dag


def test_nobody_sees_a_task_that_is_half_expanded(play: Callable[..., Play]) -> None:
    run = play(mapped(), step_work=6)
    run.step(run.ended("first", mapped_length=20))
    while sum(name.startswith("over") for name in run.states) < 20:
        assert run.engine.most_events == 0, "what happens meanwhile waits"
        assert run.started == [], "nothing starts either"
        assert run.commands == [StepAgain()]
        run.step(after=NO_TIME)
    started: list[str] = run.started
    while run.commands[-1:] == [StepAgain()]:
        run.step(after=NO_TIME)
        started += run.started
    assert sorted(started) == ["beside", *["over"] * 20]
    run.step(*(run.ended("over", map_index=number) for number in range(19)))
    assert run.states["last"] is None
    run.step(run.ended("over", map_index=19))
    assert run.started == ["last"]


def test_a_run_is_cancelled_when_its_tasks_are_expanded(play: Callable[..., Play]) -> None:
    run = play(mapped(), step_work=6)
    run.step(run.ended("first", mapped_length=20))
    assert run.engine.most_events == 0
    while run.engine.most_events == 0:
        run.step(after=NO_TIME)
    run.step(CancelRequested("by a test"))
    assert run.engine.record.state == "failed"
    assert {state for name, state in run.states.items() if name.startswith("over")} <= {"skipped", "failed"}
    assert sum(name.startswith("over") for name in run.states) == 20
