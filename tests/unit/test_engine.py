"""The engine by itself: no server, no worker, no process; time is what the test says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import BranchPythonOperator
from airflow.sdk import DAG, task
from airflow.serialization.definitions.baseoperator import DEFAULT_OPERATOR_DEPS
from airflow.ti_deps.deps.ready_to_reschedule import ReadyToRescheduleDep

from engine_play import SECOND, START, Play
from temporal_airflow.engine.dependency_order import AS_WRITTEN, OrderedDependencies
from temporal_airflow.engine.events import (
    AttemptLost,
    AwaitTurn,
    CancelRequested,
    Event,
    StartTask,
    StopTask,
    TaskKey,
    TaskStopped,
    TimePassed,
    TurnCome,
    WakeAt,
)
from temporal_airflow.models import (
    Deferral,
    TaskStateValue,
    TaskStateWrite,
    TriggeredRun,
    TriggerWrite,
    Writer,
    XComRecord,
    XComValue,
    XComWrite,
)


def chain(*task_ids: str, **arguments: Any) -> DAG:
    with DAG("chain", schedule=None, start_date=START, **arguments) as dag:
        previous = None
        for task_id in task_ids:
            current = task(task_id=task_id, retries=0)(lambda: None)()
            if previous is not None:
                previous >> current
            previous = current
    return dag


def state_write(attempt: int = 1, key: str = "key", value: str = "sealed") -> TaskStateWrite:
    writer = Writer(task_id="a", try_number=1, attempt=attempt)
    return TaskStateWrite(kind="task_state", writer=writer, key=key, content=TaskStateValue(value=value))


def test_a_run_remembers_only_what_its_running_attempts_write(play: Callable[..., Play]) -> None:
    run = play(chain("a", "b"))
    triggered = TriggeredRun(dag_id="other", run_id="drawn")
    trigger = TriggerWrite(kind="trigger", writer=Writer(task_id="a", try_number=1), triggered=triggered)
    assert run.engine.write(state_write(), run.now).refusal is None
    assert run.engine.write(trigger, run.now).refusal is None
    assert run.engine.write(state_write(key="more", value="x" * 1_000_000), run.now).refusal is not None

    [again] = run.step(AttemptLost(TaskKey("a", -1), 1, "gone"))
    assert isinstance(again, StartTask)
    assert again.attempt.triggered_run == triggered
    assert run.engine.write(state_write(attempt=1), run.now).refusal is not None, "fenced"
    assert run.engine.write(state_write(attempt=2, key="second"), run.now).refusal is None

    run.step(run.ended("a"))
    assert run.engine.write(state_write(attempt=2), run.now).refusal is not None, "ended"
    run.step(run.ended("b"))
    assert [state.key for state in run.engine.result(run.now).task_states] == ["key", "second"]


def test_other_runs_write_xcoms_until_the_run_has_ended(play: Callable[..., Play]) -> None:
    run = play(chain("a"))
    xcom = XComRecord(task_id="a", key="from elsewhere", content=XComValue(value="1"))
    assert run.engine.write(XComWrite(kind="xcom", xcom=xcom), run.now).refusal is None
    assert list(run.engine.xcoms) == [xcom]
    deletion = xcom.model_copy(update={"content": None})
    assert run.engine.write(XComWrite(kind="xcom", xcom=deletion), run.now).refusal is None
    too_large = xcom.model_copy(update={"content": XComValue(value="x" * 2_000_000)})
    assert run.engine.write(XComWrite(kind="xcom", xcom=too_large), run.now).refusal is not None
    run.step(run.ended("a"))
    assert run.engine.write(XComWrite(kind="xcom", xcom=xcom), run.now).refusal is not None, "ended"
    assert list(run.engine.xcoms) == []


def test_a_queued_run_starts_after_its_time_when_its_turn_has_come(play: Callable[..., Play]) -> None:
    run = play(chain("a"), given={"queued": True}, run_after=START + 10 * SECOND)
    assert run.commands == [WakeAt(START + 10 * SECOND)]
    assert run.engine.record.state == "queued"
    assert run.step(TimePassed(), after=10 * SECOND) == [AwaitTurn()]
    assert run.step(TimePassed()) == []
    run.step(TurnCome())
    assert (run.started, run.engine.record.state, run.engine.record.start_date) == (["a"], "running", run.now)


def test_a_queued_run_can_be_cancelled(play: Callable[..., Play]) -> None:
    run = play(chain("a"), given={"queued": True})
    assert run.commands == [AwaitTurn()]
    run.step(CancelRequested("by a test"))
    assert run.engine.finished
    run.step(TurnCome())
    assert run.engine.record.state == "failed"


def test_state_is_cleared_on_success_where_airflow_is_set_so(play: Callable[..., Play]) -> None:
    run = play(chain("a"), clear_state_on_success=True)
    run.engine.write(state_write(), run.now)
    run.step(run.ended("a"))
    assert run.engine.result(run.now).task_states == ()


def test_tasks_start_when_what_they_depend_on_has_ended(play: Callable[..., Play]) -> None:
    run = play(chain("a", "b", "c"))
    assert run.started == ["a"]
    run.step(run.ended("a"))
    assert run.started == ["b"]
    run.step(run.ended("b"))
    run.step(run.ended("c"))
    assert run.engine.finished
    assert run.engine.result(run.now).tasks_succeeded == 3


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


def test_among_equally_important_tasks_unmapped_and_lower_map_indexes_start_first(play: Callable[..., Play]) -> None:
    with DAG("ranks", schedule=None, start_date=START, max_active_tasks=3) as dag:
        for name in ("a", "b"):
            task(task_id=name, priority_weight=5, weight_rule="absolute")(lambda x: x).expand(x=[1, 2])
        task(task_id="c", priority_weight=5, weight_rule="absolute")(lambda: None)()
        task(task_id="d", priority_weight=0, weight_rule="absolute")(lambda: None)()
        task(task_id="e", priority_weight=1, weight_rule="absolute")(lambda: None)()
    run = play(dag)
    assert [command.key for command in run.commands if isinstance(command, StartTask)] == [
        ("c", -1), ("a", 0), ("b", 0),
    ]  # fmt: skip
    run.step(run.ended("c"), run.ended("a", map_index=0), run.ended("b", map_index=0))
    assert [command.key for command in run.commands if isinstance(command, StartTask)] == [
        ("a", 1), ("b", 1), ("e", -1),
    ]  # fmt: skip


def test_a_waiting_task_counts_for_its_own_limit_but_takes_no_place_of_the_run(play: Callable[..., Play]) -> None:
    with DAG("limits", schedule=None, start_date=START, max_active_tasks=1) as dag:
        task(task_id="a", max_active_tis_per_dagrun=1, priority_weight=9)(lambda x: x).expand(x=[1, 2])
        task(task_id="b")(lambda: None)()
    run = play(dag)
    assert run.started == ["a"]
    deferral = Deferral(classpath="a.Trigger", trigger_kwargs="{}", next_method="resume")
    run.step(run.ended("a", "deferred", map_index=0, deferral=deferral))
    assert run.started == ["b"]


def test_a_teardown_waits_for_all_that_follows_its_setup(play: Callable[..., Play]) -> None:
    with DAG("scope", schedule=None, start_date=START) as dag:
        begins = EmptyOperator(task_id="begins").as_setup()
        slow = task(task_id="slow")(lambda: None)()
        ends = EmptyOperator(task_id="ends").as_teardown(setups=begins)
        begins >> slow >> EmptyOperator(task_id="goes_on", trigger_rule="always") >> ends
        task(task_id="other")(lambda: None)()
    run = play(dag)
    assert (run.states["goes_on"], run.states["ends"]) == ("success", None)
    run.step(run.ended("slow"))
    assert run.states["ends"] == "success"


def test_dependencies_are_asked_in_the_same_order_in_every_process(play: Callable[..., Play]) -> None:
    """Airflow's own order is that of addresses in memory; here the last one asked decides how the task ends."""
    with DAG("orders", schedule=None, start_date=START) as dag:
        lengths = task(task_id="lengths", retries=0)(lambda: [1])()
        task(task_id="mapped", trigger_rule="all_skipped")(lambda x: x).expand(x=lengths)
    run = play(dag)
    run.step(run.ended("lengths", "failed"))
    assert run.states["mapped"] == "upstream_failed"  # the trigger rule, asked before, says skipped
    asked = {ReadyToRescheduleDep()} | OrderedDependencies(DEFAULT_OPERATOR_DEPS)
    assert [type(dependency).__name__ for dependency in asked] == [*AS_WRITTEN, "ReadyToRescheduleDep"]


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
    first, *others = (commands_of_a_busy_run(PYTHONHASHSEED=seed) for seed in ("0", "1", "77"))
    assert "StartTask" in first
    assert others == [first, first]


def test_a_run_does_not_import_users_plugins(tmp_path: Path) -> None:
    imported = tmp_path / "imported"
    (tmp_path / "plugin.py").write_text(f"open({str(imported)!r}, 'w').close()\n")
    assert "StartTask" in commands_of_a_busy_run(AIRFLOW__CORE__PLUGINS_FOLDER=str(tmp_path))
    assert not imported.exists()


def commands_of_a_busy_run(**environment: str) -> str:
    """What :func:`print_commands_of_a_busy_run` prints in a fresh interpreter."""
    script = "from test_engine import print_commands_of_a_busy_run; print_commands_of_a_busy_run()"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    outcome = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


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


def followed(task_id: str, *branches: str, map_index: int = -1) -> XComRecord:
    """What a branch pushes."""
    content = XComValue(value=json.dumps({"followed": branches}))
    return XComRecord(task_id=task_id, map_index=map_index, key="skipmixin_key", content=content)


def test_a_task_that_runs_already_is_not_skipped_by_a_branch(play: Callable[..., Play]) -> None:
    with DAG("branches", schedule=None, start_date=START) as dag:
        branch = task.branch(task_id="branch")(lambda: "left")()
        left = task(task_id="left")(lambda: None)()
        right = task(task_id="right", trigger_rule="always")(lambda: None)()
        branch >> [left, right]
    run = play(dag)
    run.step(run.ended("branch", xcoms=(followed("branch", "left"),), skipped_tasks=(("right", None),)))
    run.step(run.ended("left"))
    assert run.states["right"] == "running"
    run.step(run.ended("right"))
    assert run.states == {"branch": "success", "left": "success", "right": "success"}
    assert run.engine.finished


def test_a_map_index_runs_though_another_is_skipped_as_soon_as_it_comes_to_be(play: Callable[..., Play]) -> None:
    with DAG("expands", schedule=None, start_date=START) as dag:
        numbers = task(task_id="numbers")(lambda: [1, 2])()
        branch = BranchPythonOperator.partial(task_id="branch", python_callable=lambda: None).expand(op_args=[[]])
        mapped = task(task_id="mapped")(lambda n: n).expand(n=numbers)
        branch >> mapped
    run = play(dag)
    values = XComRecord(task_id="numbers", map_index=-1, key="return_value", content=XComValue(value="[1, 2]"))
    run.step(
        run.ended("numbers", xcoms=(values,), mapped_length=2),
        run.ended("branch", map_index=0, xcoms=(followed("branch", map_index=0),)),
    )
    assert run.started == ["mapped"]
    run.step(run.ended("mapped", map_index=1))
    assert (run.states["mapped0"], run.states["mapped1"]) == ("skipped", "success")
    assert run.engine.finished
