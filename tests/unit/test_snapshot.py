"""A run that goes on from a snapshot of itself is the same run: nothing of it is forgotten, whatever it was doing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task
from airflow.sdk.definitions.deadline import DeadlineReference
from airflow.serialization.encoders import encode_deadline_reference
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunType
from sqlalchemy import inspect
from sqlalchemy.orm import Session

from engine_play import SECOND, START, Play
from temporal_airflow.engine.attempts import key_of
from temporal_airflow.engine.dag_run_engine import DagRunEngine
from temporal_airflow.engine.events import (
    AssetsRegistered,
    AttemptLost,
    InputGiven,
    PastRunsKnown,
    StartTask,
    StartTrigger,
    TaskKey,
    WatchPastRuns,
)
from temporal_airflow.models import (
    AssetEvents,
    AssetRecord,
    DeadlineAlert,
    Deferral,
    FileAssets,
    InputRequest,
    InputResponse,
    InputWait,
    MutatedTaskInstances,
    PastRun,
    PastRuns,
    PastTaskInstance,
    RunSnapshot,
    TaskStateValue,
    TaskStateWrite,
    TriggeredRun,
    TriggerWrite,
    Writer,
    XComRecord,
    XComValue,
)

HOUR = timedelta(hours=1)
OURS = "temporal_airflow.engine"
ASKED = InputRequest(subject="Which?", options=("left", "right"))
OF_FILE = FileAssets(file="dags-folder:dag.py", assets=(AssetRecord(name="orders", uri="s3://orders"),))
PUT_OUT = AssetEvents(task_outlets=({"type": "Asset", "name": "orders", "uri": "s3://orders"},))


def many_things() -> DAG:
    with DAG("many", schedule=None, start_date=START - 9 * 24 * HOUR, dagrun_timeout=9 * HOUR) as dag:
        numbers = task(task_id="numbers")(lambda: None)()
        task(task_id="mapped")(lambda x: None).expand(x=numbers)
        for name in ("lost", "asks", "asked", "waits", "pokes", "writes", "publishes"):
            task(task_id=name)(lambda: None)()
        tried = task(task_id="retries", retries=3)(lambda: None)()
        failed = task(task_id="fails")(lambda: None)()
        [tried, failed] >> task(task_id="joins", trigger_rule="all_done")(lambda: None)()
        task(task_id="depends", depends_on_past=True)(lambda: None)()
    return dag


GIVEN = {
    "deadlines": (
        DeadlineAlert(
            reference=encode_deadline_reference(DeadlineReference.DAGRUN_QUEUED_AT),
            interval=60.0,
            callback_path="no_such_module.called",
            callback_kwargs="sealed",
        ),
    ),
    "queued_at": START - SECOND,
    "mutated": (
        MutatedTaskInstances(
            task_id="mapped", first=-1, last=9, queue="fast", pool_slots=1, priority_weight=3, max_tries=1
        ),
    ),
}


def in_the_middle(play: Callable[..., Play]) -> Play:
    """A run that has been through everything a run can be in, and is in most of it still."""
    run = play(many_things(), given=GIVEN, assets=OF_FILE, max_lost_attempts=9)
    past = PastRun(
        run_id="earlier",
        run_type=DagRunType.MANUAL,
        logical_date=START - HOUR,
        state=DagRunState.RUNNING,
        task_instances=(PastTaskInstance(task_id="depends", state=TaskInstanceState.RUNNING),),
    )
    run.step(AssetsRegistered(), PastRunsKnown(PastRuns(runs=(past,))))
    writer = Writer(task_id="writes", try_number=1)
    value = TaskStateValue(value="sealed")
    triggered = TriggeredRun(dag_id="other", run_id="drawn")
    run.engine.write(TaskStateWrite(kind="task_state", writer=writer, key="k", content=value), run.now)
    run.engine.write(TriggerWrite(kind="trigger", writer=writer, triggered=triggered), run.now)
    wait = InputWait(next_method="execute_complete", next_kwargs="sealed", timeout=HOUR.total_seconds())
    deferral = Deferral(classpath="a.Trigger", trigger_kwargs="sealed", next_method="resume", next_kwargs="sealed")
    list_of_two = XComRecord(task_id="numbers", key="return_value", content=XComValue(value="[1, 2]"))
    run.step(
        run.ended("numbers", xcoms=(list_of_two,), mapped_length=2),
        run.ended("asks", "awaiting_input", input_request=ASKED, input_wait=wait),
        run.ended("asked", "awaiting_input", input_request=ASKED, input_wait=wait),
        run.ended("waits", "deferred", deferral=deferral),
        run.ended("pokes", "up_for_reschedule", reschedule_date=run.now + HOUR),
        run.ended("retries", "up_for_retry", error="ValueError: no"),
        run.ended("fails", "failed", error="ValueError: never"),
        run.ended("publishes", asset_events=PUT_OUT),
        AttemptLost(TaskKey("lost", -1), 1, "gone"),
    )
    run.step(InputGiven(InputResponse(task_id="asked", chosen_options=("left",), user="ann")))
    run.step(after=timedelta(minutes=2))  # the deadline is missed
    return run


def anew(run: Play) -> DagRunEngine:
    snapshot = RunSnapshot.decompressed(run.engine.snapshot().compressed())
    return DagRunEngine.restore(run.engine._run.execution, snapshot, run.now)


def values(thing: Any, seen: tuple[int, ...] = ()) -> Any:  # noqa: PLR0911  # a table: a case for each kind
    """Everything an object of the engine consists of, as plain values."""
    if id(thing) in seen:
        return "itself"
    seen = (*seen, id(thing))
    match thing:
        case Session():
            return "a session"
        case _ if hasattr(thing, "__table__"):
            return {each.key: getattr(thing, each.key) for each in inspect(type(thing)).column_attrs}
        case Mapping():
            return {str(key): values(each, seen) for key, each in thing.items() if each or each is None}
        case set() | frozenset():
            return sorted(map(str, thing))
        case list() | tuple():
            return [values(each, seen) for each in thing]
    if type(thing).__module__.startswith(OURS) and hasattr(thing, "__dict__"):
        return {name: values(each, seen) for name, each in vars(thing).items() if name not in PASSING}
    return thing if isinstance(thing, str | int | float | bytes | None.__class__) else type(thing).__name__


def differences(one: Any, other: Any, path: str = "engine") -> Iterator[tuple[str, tuple[Any, Any]]]:
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for name in one:
            yield from differences(one[name], other[name], f"{path}.{name}")
    elif one != other:
        yield path, (one, other)


ASKED_AGAIN = {"engine._run.in_flight", "engine._run.waiting_triggers", "engine._run.past_runs._asked"}
"""What is out and can be asked for again isn't out any more."""

PASSING = {
    *(
        "commands",
        "changed",
        "_changed",
        "_unwritten",
        "_record",
        "_xcoms",
        "_known",
        "_waits_for",
        "_seen",
        "database",
    ),
    *("_coming", "_lengths"),
}
"""Of one step only, made again when somebody asks, by address in memory, or of what is no more."""


def test_everything_the_engine_consists_of_is_kept_or_rebuilt(play: Callable[..., Play]) -> None:
    run = in_the_middle(play)
    other = anew(run)
    different = {path for path, _ in differences(values(other), values(run.engine))}
    assert {re.sub(r"engine\.\w+\._run", "engine._run", path) for path in different} == ASKED_AGAIN  # all hold one run
    keys = [key_of(ti) for ti in run.engine._run.instances]
    assert other._run.mutations.unseen(keys) == run.engine._run.mutations.unseen(keys) == []
    assert {record.state for record in other.record.task_instances} >= {
        TaskInstanceState.RUNNING,
        TaskInstanceState.UP_FOR_RETRY,
        TaskInstanceState.UP_FOR_RESCHEDULE,
        TaskInstanceState.DEFERRED,
        TaskInstanceState.AWAITING_INPUT,
        TaskInstanceState.FAILED,
        TaskInstanceState.SUCCESS,
    }
    other.dispose()


def test_a_run_goes_on_as_if_nothing_had_happened(play: Callable[..., Play]) -> None:
    run = in_the_middle(play)
    other = anew(run)
    later = run.now + 2 * HOUR
    events = [run.ended("mapped", map_index=0), run.ended("writes"), run.ended("asked"), run.ended("lost")]
    mine, theirs = run.engine.step(later, events), other.step(later, events)
    asked_again = [command for command in theirs if isinstance(command, StartTrigger | WatchPastRuns)]
    assert [command for command in theirs if command not in asked_again] == mine
    assert (len(mine), len(asked_again)) == (4, 2)
    assert (other.record, other.xcoms, other.result(later)) == (
        run.engine.record,
        run.engine.xcoms,
        run.engine.result(later),
    )
    other.dispose()


def test_ids_of_task_instances_survive_and_later_ones_are_new(play: Callable[..., Play]) -> None:
    run = in_the_middle(play)
    other = anew(run)
    assert [ti.id for ti in other._run.instances] == [ti.id for ti in run.engine._run.instances]
    later = run.now + 2 * HOUR
    started = [command for command in other.step(later, []) if isinstance(command, StartTask)]
    assert started == [command for command in run.engine.step(later, []) if isinstance(command, StartTask)]
    assert "retries" in {command.key.task_id for command in started}
    other.dispose()


def test_a_snapshot_of_many_task_instances_takes_little_room(play: Callable[..., Play]) -> None:
    with DAG("d", schedule=None, start_date=START) as dag:
        for number in range(300):
            task(task_id=f"t{number}")(lambda: None)()
    run = play(dag, step_work=10_000)
    assert len(run.engine.snapshot().compressed()) < 300 * 60
