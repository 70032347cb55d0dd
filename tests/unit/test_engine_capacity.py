"""What a run asks of pools and other limits that runs share, and in which order it starts what it gets."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from engine_play import SECOND, START, Play
from temporal_airflow import identifiers
from temporal_airflow.capacity.slot_book import SlotBook
from temporal_airflow.engine.dag_run_engine import DagRunEngine
from temporal_airflow.engine.events import (
    ActionTaken,
    AskForSlots,
    SlotsGranted,
    StartTrigger,
    StepAgain,
    TaskKey,
    TaskStuck,
    TriggerEnded,
)
from temporal_airflow.models import (
    Deferral,
    PoolDefinition,
    PoolState,
    RunAction,
    SetPaused,
    SharedLimits,
    SlotHolder,
    SlotMessage,
    TriggerResult,
)

POOL = identifiers.pool_workflow_id("small")
HOLDER = SlotHolder(workflow_id="run", first_run_id="run")


class SharingPlay(Play):
    """Plays the pools' part, too."""

    def __init__(self, dag: DAG, slots: int, *, include_deferred: bool = False, **given: Any) -> None:
        pool = PoolDefinition(name="small", slots=slots, include_deferred=include_deferred)
        self.pools = {POOL: SlotBook(PoolState(definition=pool))}
        self.order: list[str] = []
        limits = given.pop("limits", SharedLimits(pools=("small",)))
        super().__init__(dag, given={"shared_limits": limits}, **given)
        self.share()

    def share(self) -> None:
        """Tell the pools what the run asked for, and the run what it got, until nothing is new."""
        while True:
            self.order += self.started
            asked = [ask for ask in self.commands if isinstance(ask, AskForSlots)]
            grants = [SlotsGranted(tuple(tickets), ask.keeper) for ask in asked if (tickets := self.answer(ask))]
            if grants:
                self.step(*grants)
            elif any(isinstance(each, StepAgain) for each in self.commands):
                self.step()
            else:
                return

    def answer(self, ask: AskForSlots) -> list[int]:
        nothing = PoolState(definition=PoolDefinition(name="", slots=0))
        book = self.pools.setdefault(ask.keeper, SlotBook(nothing))
        said = {"requests": ask.requests, "holds": ask.holds, "returns": ask.returns, "size": ask.size}
        book.take(SlotMessage(holder=HOLDER, everything=ask.everything, anew=ask.anew, **said))
        return [ticket for granted in book.grant().values() for ticket in granted]

    def happens(self, *events: Any) -> None:
        self.step(*events)
        self.share()


def weighted(count: int, **arguments: Any) -> DAG:
    with DAG("weighted", schedule=None, start_date=START, **arguments) as dag:
        for number in range(count):
            weight = number * 7 % count
            task(task_id=f"t{number}", pool="small", priority_weight=weight)(lambda: None)()
    return dag


def by_weight(dag: DAG) -> list[str]:
    return [each.task_id for each in sorted(dag.tasks, key=lambda each: (-each.priority_weight, each.task_id))]


def test_a_run_starts_no_more_than_its_pool_gives_it_by_weight() -> None:
    dag = weighted(200)
    play = SharingPlay(dag, slots=2)
    for number in range(200):
        running = [name for name, state in play.states.items() if state == "running"]
        assert len(running) <= 2
        assert play.pools[POOL].stats().running == len(running)
        play.happens(play.ended(play.order[number]))
    assert play.order == by_weight(dag)
    assert play.engine.finished
    assert not play.pools[POOL].in_use


def test_max_active_tasks_starts_in_the_same_order_whether_or_not_there_is_a_pool() -> None:
    for limits in (SharedLimits(pools=("small",)), None):
        dag = weighted(200, max_active_tasks=2)
        play = SharingPlay(dag, slots=64, limits=limits)
        for number in range(200):
            play.happens(play.ended(play.order[number]))
        assert play.order == by_weight(dag)


def test_a_more_important_task_that_becomes_ready_later_comes_first() -> None:
    with DAG("late", schedule=None, start_date=START, max_active_tasks=3) as dag:
        first = task(task_id="first", pool="small", priority_weight=50, weight_rule="absolute")(lambda: None)()
        for number in range(5):
            task(task_id=f"minor{number}", pool="small", priority_weight=1)(lambda: None)()
        first >> task(task_id="major", pool="small", priority_weight=40)(lambda: None)()
    play = SharingPlay(dag, slots=1)
    assert play.order == ["first"]
    play.happens(play.ended("first"))
    assert play.order == ["first", "major"]


def test_a_full_pool_holds_up_nobody_who_needs_another() -> None:
    with DAG("two", schedule=None, start_date=START, max_active_tasks=2) as dag:
        for number in range(4):
            task(task_id=f"pooled{number}", pool="small", priority_weight=9)(lambda: None)()
        task(task_id="free", priority_weight=1)(lambda: None)()
    play = SharingPlay(dag, slots=1)
    assert play.order == ["free", "pooled0"]


def test_what_is_granted_too_late_is_given_back_and_asked_for_again() -> None:
    with DAG("late", schedule=None, start_date=START, max_active_tasks=1) as dag:
        task(task_id="pooled", pool="small", priority_weight=1)(lambda: None)()
        task(task_id="free", priority_weight=9, retries=1, retry_delay=timedelta(seconds=10))(lambda: None)()
    play = SharingPlay(dag, slots=0)
    play.happens(play.ended("free", "up_for_retry"))  # now there is room for the other one, but no slot
    play.now += timedelta(seconds=20)
    play.happens()
    assert play.states == {"free": "running", "pooled": "scheduled"}
    play.pools[POOL].define(PoolDefinition(name="small", slots=1))
    [tickets] = play.pools[POOL].grant().values()
    play.happens(SlotsGranted(tickets, POOL))
    assert not play.pools[POOL].in_use
    play.happens(play.ended("free", try_number=2))
    assert play.order == ["free", "free", "pooled"]


def test_what_is_granted_without_being_asked_for_is_given_back() -> None:
    play = SharingPlay(weighted(1), slots=1)
    [held] = [held.ticket for held in play.engine.slots_statement(POOL).holds]
    play.step(SlotsGranted((held, 77), POOL))
    [said] = [command for command in play.commands if isinstance(command, AskForSlots)]
    assert (said.returns, [each.ticket for each in said.holds], said.withdraws) == ((77,), [held], True)


def test_a_run_says_all_it_has_and_wants_as_long_as_it_is_little() -> None:
    for count, everything in ((8, True), (80, False)):
        play = SharingPlay(weighted(count, max_active_tasks=count), slots=2)
        play.step(play.ended(play.order[0]))
        [said] = [command for command in play.commands if isinstance(command, AskForSlots)]
        assert (said.everything, said.withdraws, len(said.returns)) == (everything, False, 1)
        assert len(said.holds) == everything


def test_a_run_says_when_it_takes_back_what_it_could_be_using() -> None:
    from temporal_airflow.engine.events import CancelRequested, TaskStopped

    play = SharingPlay(weighted(5), slots=2)
    running = [TaskKey(name, -1) for name, state in play.states.items() if state == "running"]
    withdrawn = {}
    for event in (CancelRequested("no more"), *(TaskStopped(key, 1) for key in running)):
        play.step(event)
        [said] = [command for command in play.commands if isinstance(command, AskForSlots)]
        withdrawn[type(event)] = said.withdraws
    assert withdrawn == {CancelRequested: True, TaskStopped: False}


def deferring(*, include_deferred: bool) -> SharingPlay:
    with DAG("defers", schedule=None, start_date=START) as dag:
        for name in ("waits", "works"):
            task(task_id=name, pool="small", priority_weight=2 if name == "waits" else 1)(lambda: None)()
    play = SharingPlay(dag, slots=1, include_deferred=include_deferred)
    assert play.order == ["waits"]
    deferral = Deferral(classpath="some.Trigger", trigger_kwargs="sealed", next_method="resume", next_kwargs="sealed")
    play.step(play.ended("waits", "deferred", deferral=deferral))
    assert any(isinstance(command, StartTrigger) for command in play.commands)
    play.share()
    return play


def resumed() -> TriggerEnded:
    return TriggerEnded(TaskKey("waits", -1), 1, TriggerResult(next_method="resume", next_kwargs="sealed"))


def test_a_deferred_task_gives_its_slot_to_others_and_waits_for_one_to_go_on() -> None:
    play = deferring(include_deferred=False)
    assert play.order == ["waits", "works"]
    play.happens(resumed())
    assert play.states == {"waits": "scheduled", "works": "running"}
    play.happens(play.ended("works"))
    assert play.states == {"waits": "running", "works": "success"}


def test_a_deferred_task_keeps_its_slot_where_the_pool_includes_deferred_ones() -> None:
    play = deferring(include_deferred=True)
    assert play.order == ["waits"]
    play.happens(resumed())
    assert play.order == ["waits", "waits"]
    play.happens(play.ended("waits"))
    assert play.order == ["waits", "waits", "works"]


def test_a_retry_waits_for_its_slot_like_any_other() -> None:
    with DAG("retries", schedule=None, start_date=START) as dag:
        task(task_id="fails", pool="small", retries=1, retry_delay=timedelta(0), priority_weight=2)(lambda: None)()
        task(task_id="other", pool="small", priority_weight=3)(lambda: None)()
    play = SharingPlay(dag, slots=1)
    play.happens(play.ended("other"))
    play.happens(play.ended("fails", "up_for_retry"))
    play.happens()
    assert play.order == ["other", "fails", "fails"]
    assert play.pools[POOL].stats().running == 1
    play.happens(play.ended("fails", try_number=2))
    assert not play.pools[POOL].in_use


def test_a_cancelled_run_gives_back_what_it_doesnt_use_at_once_and_the_rest_when_its_processes_are_gone() -> None:
    from temporal_airflow.engine.events import CancelRequested, TaskStopped

    play = SharingPlay(weighted(5), slots=2)
    running = [TaskKey(name, -1) for name, state in play.states.items() if state == "running"]
    play.happens(CancelRequested("no more"))
    assert play.pools[POOL].stats().waiting == 0
    assert play.pools[POOL].stats().running == 2
    play.happens(*(TaskStopped(key, 1) for key in running))
    assert play.engine.finished
    assert not play.pools[POOL].in_use


def test_a_task_that_needs_several_limits_gets_them_one_after_the_other() -> None:
    with DAG("several", schedule=None, start_date=START) as dag:
        task(task_id="mapped", pool="small")(lambda x: None).expand(x=[1, 2, 3])
    limits = SharedLimits(pools=("small",), tasks={"mapped": 2}, parallelism=1)
    play = SharingPlay(dag, slots=3, limits=limits)
    assert {name for name, state in play.states.items() if state == "running"} == {"mapped0"}
    reasons = {ti.map_index: ti.waits_for for ti in play.engine.record.task_instances}
    assert reasons == {
        0: None,
        1: "The parallelism of 1 in this namespace has been reached.",
        2: "The max task concurrency has been reached.",
    }
    for index in range(3):
        play.happens(play.ended("mapped", map_index=index))
    assert play.engine.finished
    assert not any(book.in_use for book in play.pools.values())


def test_a_task_that_no_worker_takes_is_queued_again_and_then_fails_whatever_its_retries() -> None:
    with DAG("stuck", schedule=None, start_date=START) as dag:
        task(task_id="stuck", pool="small", retries=5)(lambda: None)()
    play = SharingPlay(dag, slots=1)
    for _ in range(2):
        play.happens(TaskStuck(TaskKey("stuck", -1), 1))
        assert play.states == {"stuck": "running"}
        assert play.pools[POOL].stats().running == 1
    assert play.order == ["stuck"] * 3
    play.happens(TaskStuck(TaskKey("stuck", -1), 1))
    assert play.states == {"stuck": "failed"}
    assert play.engine.record.task_instances[0].error == "Task was requeued more than 2 times and will be failed."
    assert play.engine.finished
    assert not play.pools[POOL].in_use


def test_a_run_says_why_a_task_waits() -> None:
    play = SharingPlay(weighted(3), slots=1)
    reasons = [ti.waits_for for ti in play.engine.record.task_instances if ti.state == "scheduled"]
    assert (
        reasons == ["Not scheduling since there are not enough open slots in pool small and require 1 pool slots"] * 2
    )
    play = SharingPlay(weighted(3, max_active_tasks=1), slots=9)
    reasons = [ti.waits_for for ti in play.engine.record.task_instances if ti.state == "scheduled"]
    assert reasons == ["The maximum number of running tasks (1) for this task's DAG 'weighted' has been reached."] * 2


def test_a_run_that_goes_on_from_a_snapshot_keeps_its_slots_and_its_requests() -> None:
    play = SharingPlay(weighted(4), slots=1)
    execution = play.engine._run.execution
    play.engine = DagRunEngine.restore(execution, play.engine.snapshot(), play.now)
    assert play.engine.keepers() == [POOL]
    statement = play.engine.slots_statement(POOL)
    assert (len(statement.requests), len(statement.holds)) == (3, 1)
    play.step(after=SECOND)
    assert [command for command in play.commands if isinstance(command, AskForSlots)] == []
    for number in range(4):
        play.happens(play.ended(play.order[number]))
    assert play.engine.finished
    assert not play.pools[POOL].in_use


def test_a_paused_run_keeps_nothing_from_others() -> None:
    play = SharingPlay(weighted(4, max_active_tasks=2), slots=2)
    play.happens(ActionTaken(1, RunAction(action=SetPaused(kind="pause", paused=True), user="ann")))
    running = sorted(name for name, state in play.states.items() if state == "running")
    assert play.pools[POOL].open == 0
    play.happens(play.ended(running[0]))
    assert play.pools[POOL].open == 1
    play.happens(play.ended(running[1]))
    assert (play.pools[POOL].open, "running" in play.states.values()) == (2, False)
    play.happens(ActionTaken(2, RunAction(action=SetPaused(kind="pause", paused=False), user="ann")))
    assert [state for state in play.states.values() if state == "running"] == ["running"] * 2
