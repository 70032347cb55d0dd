"""A step of the engine does a bounded part of what there is to do, and says whether there is more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, task
from airflow.ti_deps.dependencies_states import SCHEDULEABLE_STATES

from engine_play import START, Play
from temporal_airflow.engine import outcomes
from temporal_airflow.engine.events import StartTask, StartTrigger, StepAgain, TaskKey, TriggerEnded
from temporal_airflow.engine.time_provider import engine_scope
from temporal_airflow.models import Deferral, TriggerResult, XComRecord, XComValue

NO_TIME = timedelta()
SET_BY_SCHEDULING = ("state", "try_number", "scheduled_dttm", "start_date", "end_date", "duration")


def fan(size: int) -> DAG:
    with DAG("fan", schedule=None, start_date=START, max_active_tasks=1000) as dag:
        parallel = [task(task_id=f"t{number:03}")(lambda: None)() for number in range(size)]
        parallel >> task(task_id="last")(lambda: None)()
    return dag


def started_in_steps(run: Play) -> list[int]:
    """How many tasks each step starts, the step that has just been taken first."""
    counts = [len(run.started)]
    while run.commands[-1:] == [StepAgain()]:
        run.step(after=NO_TIME)
        counts.append(len(run.started))
    return counts


def test_what_one_step_may_not_do_is_left_for_others(play: Callable[..., Play]) -> None:
    run = play(fan(25), step_work=10)
    assert run.engine.most_events == 0, "rows are missing"
    assert started_in_steps(run) == [0, 0, 0, 0, 0, 9, 10, 6], "26 rows, 25 evaluations, 25 starts"
    assert run.engine.most_events == 250
    run.step(*(run.ended(f"t{number:03}") for number in range(25)))
    assert started_in_steps(run)[-1] == 1
    assert run.started == ["last"]


def test_the_inputs_that_one_step_sends_out_are_bounded(play: Callable[..., Play]) -> None:
    run = play(fan(6), step_bytes=4000)
    counts = started_in_steps(run)
    assert sum(counts) == 6
    assert max(counts) < 6
    with DAG("large", schedule=None, start_date=START, max_active_tasks=1000) as dag:
        task(task_id="first")(lambda: None)() >> [task(task_id=f"t{n}")(lambda: None)() for n in range(6)]
    run = play(dag, step_bytes=8000)
    large = XComRecord(task_id="first", key="return_value", content=XComValue(value="x" * 3000))
    run.step(run.ended("first", xcoms=(large,)))
    assert started_in_steps(run) == [2, 2, 2]


def test_a_run_never_has_more_out_than_a_workflow_may(play: Callable[..., Play]) -> None:
    run = play(fan(6), max_in_flight=4)
    assert run.started == ["t000", "t001", "t002", "t003"]
    deferral = Deferral(classpath="a.Trigger", trigger_kwargs="{}", next_method="resume")
    run.step(*(run.ended(name, state="deferred", deferral=deferral) for name in run.started))
    kinds = [type(command) for command in run.commands if isinstance(command, StartTask | StartTrigger)]
    assert kinds == [StartTrigger] * 4, "those that wait come first, and take all the room"
    run.step(TriggerEnded(TaskKey("t000", -1), 1, TriggerResult(next_method="resume")))
    assert run.started == ["t000"]
    run.step(run.ended("t000"), TriggerEnded(TaskKey("t001", -1), 1, TriggerResult(end_state="success")))
    assert run.started == ["t004", "t005"]


def test_a_trigger_waits_for_room_too(play: Callable[..., Play]) -> None:
    run = play(fan(3), max_in_flight=2)
    deferral = Deferral(classpath="a.Trigger", trigger_kwargs="{}", next_method="resume")
    run.engine._run.execution.limits.__dict__["max_in_flight"] = 1  # as if something else had taken the room
    run.step(run.ended("t000", state="deferred", deferral=deferral))
    assert not any(isinstance(command, StartTrigger) for command in run.commands)
    run.step(run.ended("t001"))
    [trigger] = [command for command in run.commands if isinstance(command, StartTrigger)]
    assert trigger.key == TaskKey("t000", -1)


def test_scheduling_is_airflows(play: Callable[..., Play]) -> None:
    """What is done to objects here, Airflow does to rows: in every state that can be scheduled."""
    with DAG("states", schedule=None, start_date=START) as dag:
        task(task_id="plain")(lambda: None)()
        EmptyOperator(task_id="empty")
    engine = play(dag).engine
    run = engine._run
    for state in sorted(SCHEDULEABLE_STATES, key=str):
        for ti in run.instances:
            ti.state, ti.try_number = state, 3
            with engine_scope(START, engine._ids):
                run.session.flush()
                run.dag_run.schedule_tis([ti], session=run.session)
                run.session.refresh(ti)
                theirs = {name: getattr(ti, name) for name in SET_BY_SCHEDULING}
                ti.state, ti.try_number = state, 3
                outcomes.schedule(ti, START, run.session)
            assert {name: getattr(ti, name) for name in SET_BY_SCHEDULING} == theirs
