"""The engine by itself: no server, no worker, no process; time is what the test says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, task
from airflow.serialization.serialized_objects import DagSerialization
from airflow.utils.state import TaskInstanceState
from airflow.utils.types import DagRunType

from temporal_airflow.engine.airflow_library import import_scheduling_code
from temporal_airflow.engine.dag_run_engine import DagRunEngine
from temporal_airflow.engine.events import (
    AttemptLost,
    CancelRequested,
    Command,
    Event,
    StartTask,
    StopTask,
    TaskEnded,
    TaskKey,
    TaskStopped,
    TimePassed,
    WakeAt,
)
from temporal_airflow.models import (
    BundleReference,
    DagDefinition,
    DagExecutionInput,
    DagRunIdentity,
    RunLimits,
    TaskExecutionResult,
    XComRecord,
    XComValue,
)

import_scheduling_code()
START = datetime(2026, 5, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Play:
    """Plays the workflow's part: keeps the clock, sends events, remembers what was commanded."""

    def __init__(self, dag: DAG, **limits: Any) -> None:
        self.now = START
        definition = DagDefinition(
            dag_id=dag.dag_id,
            bundle=BundleReference(name="dags-folder", relative_fileloc="dag.py"),
            compressed_dag=zlib.compress(json.dumps(DagSerialization.to_dict(dag)).encode()),
            task_count=len(dag.tasks),
        )
        run = DagRunIdentity(
            dag_id=dag.dag_id,
            run_id="run",
            run_type=DagRunType.MANUAL,
            logical_date=START,
            data_interval_start=START,
            data_interval_end=START,
            run_after=START,
        )
        execution = DagExecutionInput(
            engine_epoch=1,
            airflow_version="3.3.2",
            definition=definition,
            run=run,
            task_queue="queue",
            limits=RunLimits(**limits),
        )
        self.engine = DagRunEngine.open(execution, self.now)
        self.commands: list[Command] = []
        self.step()

    def step(self, *events: Any, after: timedelta = SECOND) -> list[Command]:
        self.now += after
        self.commands = self.engine.step(self.now, events)
        return self.commands

    @property
    def started(self) -> list[str]:
        return [command.key.task_id for command in self.commands if isinstance(command, StartTask)]

    @property
    def states(self) -> dict[str, str | None]:
        return {
            f"{ti.task_id}{'' if ti.map_index < 0 else ti.map_index}": ti.state.value if ti.state else None
            for ti in self.engine.record.task_instances
        }

    def ended(self, task_id: str, state: str = "success", try_number: int = 1, **fields: Any) -> TaskEnded:
        result = TaskExecutionResult(state=TaskInstanceState(state), start_date=self.now, end_date=self.now, **fields)
        return TaskEnded(TaskKey(task_id, -1), try_number, result)


@pytest.fixture
def play() -> Iterator[Callable[..., Play]]:
    plays: list[Play] = []

    def start(dag: DAG, **limits: Any) -> Play:
        plays.append(Play(dag, **limits))
        return plays[-1]

    yield start
    for each in plays:
        each.engine.dispose()


def chain(*task_ids: str, **arguments: Any) -> DAG:
    with DAG("chain", schedule=None, start_date=START, **arguments) as dag:
        previous = None
        for task_id in task_ids:
            current = task(task_id=task_id, retries=0)(lambda: None)()
            if previous is not None:
                previous >> current
            previous = current
    return dag


def test_tasks_start_when_what_they_depend_on_has_ended(play: Callable[..., Play]) -> None:
    run = play(chain("a", "b", "c"))
    assert run.started == ["a"]
    run.step(run.ended("a"))
    assert run.started == ["b"]
    run.step(run.ended("b"))
    run.step(run.ended("c"))
    assert run.engine.finished
    assert run.engine.result().tasks_succeeded == 3


def test_several_events_of_one_step_are_applied_together(play: Callable[..., Play]) -> None:
    with DAG("fan", schedule=None, start_date=START) as dag:
        [task(task_id=f"t{n}")(lambda: None)() for n in range(3)] >> EmptyOperator(task_id="join")
    run = play(dag)
    assert run.started == ["t0", "t1", "t2"]
    run.step(*(run.ended(f"t{n}") for n in range(3)))
    assert run.engine.finished  # the empty join needs no process
    assert run.states["join"] == "success"


def test_a_result_of_a_task_that_was_decided_over_is_ignored(play: Callable[..., Play]) -> None:
    run = play(chain("a", "b"))
    run.step(CancelRequested("enough"))
    assert run.commands == [StopTask(TaskKey("a", -1), 1)]
    assert not run.engine.finished
    run.step(run.ended("a"))
    assert run.engine.finished
    assert run.states == {"a": "failed", "b": "skipped"}
    assert run.engine.record.reason == "enough"


def test_a_cancelled_run_waits_until_its_tasks_are_stopped(play: Callable[..., Play]) -> None:
    run = play(chain("a", "b"))
    run.step(CancelRequested("enough"))
    assert not run.engine.finished
    run.step(TaskStopped(TaskKey("a", -1), 1))
    assert run.engine.finished
    assert run.engine.record.state.value == "failed"


def test_a_lost_attempt_is_run_again_in_the_same_try(play: Callable[..., Play]) -> None:
    run = play(chain("a"))
    [command] = run.step(AttemptLost(TaskKey("a", -1), 1, "machine gone"))
    assert isinstance(command, StartTask)
    assert (command.attempt.try_number, command.attempt.attempt) == (1, 2)
    run.step(run.ended("a"))
    [ti] = run.engine.record.task_instances
    assert (ti.try_number, len(ti.lost_attempts)) == (1, 1)


def test_too_many_lost_attempts_fail_the_try(play: Callable[..., Play]) -> None:
    run = play(chain("a", "b"), max_lost_attempts=2)
    for _ in range(2):
        run.step(AttemptLost(TaskKey("a", -1), 1, "machine gone"))
    assert run.engine.finished
    assert run.states == {"a": "failed", "b": "upstream_failed"}


def test_a_retry_waits_as_long_as_airflow_says(play: Callable[..., Play]) -> None:
    with DAG("retries", schedule=None, start_date=START) as dag:
        task(task_id="a", retries=1, retry_delay=timedelta(seconds=30))(lambda: None)()
    run = play(dag)
    [wake] = run.step(run.ended("a", "up_for_retry"))
    assert isinstance(wake, WakeAt)
    assert wake.moment - run.now >= timedelta(seconds=30) - SECOND
    assert run.step(TimePassed(), after=timedelta(seconds=10)) == [wake]
    run.step(TimePassed(), after=wake.moment - run.now)
    assert run.started == ["a"]


def test_what_a_policy_says_of_the_next_retry_counts(play: Callable[..., Play]) -> None:
    with DAG("retries", schedule=None, start_date=START) as dag:
        task(task_id="a", retries=1, retry_delay=timedelta(hours=1))(lambda: None)()
    run = play(dag)
    [wake] = run.step(run.ended("a", "up_for_retry", retry_delay_seconds=5.0, retry_reason="busy"))
    assert isinstance(wake, WakeAt)
    assert wake.moment - run.now < timedelta(seconds=6)


def test_important_tasks_start_first_within_the_limit(play: Callable[..., Play]) -> None:
    with DAG("weights", schedule=None, start_date=START, max_active_tasks=1) as dag:
        for name, weight in (("light", 1), ("heavy", 9), ("middle", 5)):
            task(task_id=name, priority_weight=weight)(lambda: None)()
    run = play(dag)
    order = []
    while run.started:
        [name] = run.started
        order.append(name)
        run.step(run.ended(name))
    assert order == ["heavy", "middle", "light"]


def test_a_task_may_be_limited_within_a_run(play: Callable[..., Play]) -> None:
    with DAG("limits", schedule=None, start_date=START) as dag:
        task(task_id="a", max_active_tis_per_dagrun=2)(lambda x: x).expand(x=[1, 2, 3])
    run = play(dag)
    assert run.started == ["a", "a"]


def test_small_results_travel_to_direct_successors_only(play: Callable[..., Play]) -> None:
    run = play(chain("a", "b", "c"))
    small = XComRecord(task_id="a", key="return_value", content=XComValue(value='"small"'))
    [command] = run.step(run.ended("a", xcoms=(small,)))
    assert isinstance(command, StartTask)
    assert command.attempt.upstream_results == (small,)
    [command] = run.step(run.ended("b"))
    assert isinstance(command, StartTask)
    assert command.attempt.upstream_results == ()


def test_a_new_try_clears_what_the_last_one_pushed(play: Callable[..., Play]) -> None:
    with DAG("retries", schedule=None, start_date=START) as dag:
        task(task_id="a", retries=1, retry_delay=timedelta(0))(lambda: None)()
    run = play(dag)
    pushed = XComRecord(task_id="a", key="progress", content=XComValue(value="1"))
    [command] = run.step(run.ended("a", "up_for_retry", xcoms=(pushed,)))
    assert isinstance(command, StartTask)
    assert command.attempt.xcom_keys_to_clear == ("progress",)
    run.step(run.ended("a", try_number=2, xcoms=(pushed.model_copy(update={"content": None}),)))
    assert run.engine.xcoms == ()


def test_commands_are_the_same_under_any_hash_seed() -> None:
    def commands(seed: str) -> str:
        script = "from test_engine import print_commands_of_a_busy_run; print_commands_of_a_busy_run()"
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path]),  # noqa: PTH120
        }
        outcome = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
        )
        assert outcome.returncode == 0, outcome.stderr
        return outcome.stdout

    first, *others = (commands(seed) for seed in ("0", "1", "77"))
    assert "StartTask" in first
    assert others == [first, first]


def print_commands_of_a_busy_run() -> None:
    """A run with many branches at once; prints every command with its ids and inputs."""
    with DAG("busy", schedule=None, start_date=START) as dag:
        layers = [[task(task_id=f"l{layer}_{n}", retries=1)(lambda: None)() for n in range(5)] for layer in range(3)]
        for upper, lower in pairwise(layers):
            for each in lower:
                upper >> each
    run = Play(dag)
    while not run.engine.finished:
        started = [command for command in run.commands if isinstance(command, StartTask)]
        sys.stdout.write("\n".join(map(repr, run.commands)) + "\n")
        events: list[Event] = []
        for command in started:
            first_of_one = command.attempt.try_number == 1 and command.key.task_id.endswith("3")
            state = "up_for_retry" if first_of_one else "success"
            events.append(run.ended(command.key.task_id, state, command.attempt.try_number))
        run.step(*(events or [TimePassed()]), after=timedelta(minutes=1))
    run.engine.dispose()
