"""What people do to a run, by the engine alone: clear, mark, pause, write notes; on a live run and on an ended one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, setup, task, teardown
from airflow.utils.state import DagRunState

from engine_play import START, Play
from temporal_airflow.engine.dag_run_engine import DagRunEngine
from temporal_airflow.engine.events import (
    ActionTaken,
    AnswerAction,
    AwaitTurn,
    NotifyListeners,
    StartTask,
    StepAgain,
    StopTask,
    TaskKey,
    TaskStopped,
    TurnCome,
    WakeAt,
)
from temporal_airflow.models import (
    ActionAnswer,
    ClearTasks,
    Deferral,
    MarkRun,
    MarkTask,
    RunAction,
    SetPaused,
    UserAction,
    WriteNote,
    XComRecord,
    XComValue,
)

HOUR = timedelta(hours=1)


def clear(*task_ids: str, **how: Any) -> ClearTasks:
    return ClearTasks(kind="clear", task_ids=task_ids, **how)


def mark(task_id: str, state: str, **how: Any) -> MarkTask:
    return MarkTask(kind="mark_task", task_id=task_id, state=state, **how)


def mark_run(state: str) -> MarkRun:
    return MarkRun(kind="mark_run", state=state)


PAUSE, UNPAUSE = SetPaused(kind="pause", paused=True), SetPaused(kind="pause", paused=False)


def chain(*task_ids: str, **arguments: Any) -> DAG:
    with DAG("chain", schedule=None, start_date=START, **arguments) as dag:
        previous = None
        for task_id in task_ids:
            current = task(task_id=task_id, retries=0)(lambda: None)()
            if previous is not None:
                previous >> current
            previous = current
    return dag


def mapped() -> DAG:
    with DAG("mapped", schedule=None, start_date=START) as dag:
        numbers = task(task_id="numbers", retries=0)(lambda: [1, 2])()
        double = task(task_id="double", retries=0)(lambda number: number).expand(number=numbers)
        task(task_id="total", retries=0)(lambda values: [*values])(double)
    return dag


def ended_mapped(length: int = 2) -> Play:
    play = Play(mapped())
    play.step(play.ended("numbers", mapped_length=length, xcoms=[numbers_of(length)]))
    play.step(*(play.ended("double", map_index=index) for index in range(length)))
    play.step(play.ended("total"))
    return play


def numbers_of(length: int) -> XComRecord:
    return XComRecord(task_id="numbers", key="return_value", content=XComValue(value=str(list(range(length)))))


def cleared(answer: ActionAnswer | str) -> list[str]:
    assert isinstance(answer, ActionAnswer), answer
    return [f"{ti.task_id}{'' if ti.map_index < 0 else ti.map_index}" for ti in answer.task_instances]


def failed_chain() -> Play:
    play = Play(chain("a", "b", "c"))
    play.step(play.ended("a"))
    play.step(play.ended("b", "failed"))
    assert play.states == {"a": "success", "b": "failed", "c": "upstream_failed"}
    assert play.engine.finished
    return play


def begin_anew(play: Play) -> None:
    """A cleared run that had ended waits for its turn, as in Airflow."""
    assert AwaitTurn() in play.commands
    play.step(TurnCome())


def restored(play: Play) -> None:
    """Go on from a snapshot, as another execution would."""
    play.engine = DagRunEngine.restore(play.engine._run.execution, play.engine.snapshot(), play.now)


def test_a_failed_run_that_is_cleared_goes_on_where_it_failed() -> None:
    play = failed_chain()
    assert cleared(play.act(clear("b", downstream=True))) == ["b", "c"]
    assert play.engine.record.state == "queued"
    begin_anew(play)
    assert (play.started, play.engine.record.state, play.engine.record.reason) == (["b"], "running", None)
    play.step(play.ended("b", try_number=2))
    assert play.started == ["c"]
    play.step(play.ended("c"))
    assert play.engine.finished
    assert play.engine.record.state == "success"


def test_an_ended_run_goes_on_from_its_snapshot() -> None:
    play = failed_chain()
    restored(play)
    answer = play.act(clear("b", "c"))
    assert isinstance(answer, ActionAnswer)
    assert isinstance(answer.state, DagRunState)
    begin_anew(play)
    assert play.started == ["b"]
    play.step(play.ended("b", try_number=2))
    play.step(play.ended("c"))
    assert play.engine.record.state == "success"


def test_only_failed_leaves_the_others_as_they_are() -> None:
    play = failed_chain()
    assert cleared(play.act(clear(only_failed=True))) == ["b", "c"]
    assert play.states == {"a": "success", "b": None, "c": None}


def test_a_whole_run_is_cleared_with_upstream_and_without() -> None:
    play = failed_chain()
    assert cleared(play.act(clear())) == ["a", "b", "c"]
    play = failed_chain()
    assert cleared(play.act(clear("b", upstream=True))) == ["a", "b"]


def test_a_cleared_task_may_be_retried_as_often_as_anew() -> None:
    with DAG("one", schedule=None, start_date=START) as dag:
        task(task_id="a", retries=1, retry_delay=timedelta(seconds=10))(lambda: None)()
    play = Play(dag)
    play.step(play.ended("a", "up_for_retry"))
    play.step(after=timedelta(seconds=20))
    play.step(play.ended("a", "failed", try_number=2))
    play.act(clear("a"))
    begin_anew(play)
    [started] = [command for command in play.commands if isinstance(command, StartTask)]
    assert (started.attempt.try_number, started.attempt.max_tries, started.attempt.should_retry) == (3, 3, True)


def test_a_running_task_is_stopped_before_it_starts_anew() -> None:
    play = Play(chain("a", "b"))
    assert cleared(play.act(clear("a"))) == ["a"]
    assert play.started == []
    assert StopTask(TaskKey("a", -1), 1) in play.commands
    assert play.states["a"] == "restarting"
    play.step(TaskStopped(TaskKey("a", -1), 1))
    assert (play.started, play.states["a"]) == (["a"], "running")
    play.step(play.ended("a", try_number=2))
    assert play.started == ["b"]


def test_a_result_that_comes_before_the_stop_is_ignored() -> None:
    play = Play(chain("a", "b"))
    play.act(clear("a"))
    play.step(play.ended("a"))
    assert (play.started, play.states["a"]) == (["a"], "running")


def test_a_deferred_task_is_cleared_with_its_trigger() -> None:
    play = Play(chain("a"))
    wait = Deferral(classpath="some.Trigger", trigger_kwargs="{}", next_method="go_on")
    play.step(play.ended("a", "deferred", deferral=wait))
    play.act(clear("a"))
    assert StopTask(TaskKey("a", -1), 1) in play.commands
    assert play.states["a"] == "scheduled"
    play.step(TaskStopped(TaskKey("a", -1), 1))
    [started] = [command for command in play.commands if isinstance(command, StartTask)]
    assert (started.attempt.try_number, started.attempt.next_method) == (2, None)


def test_a_task_that_waits_for_its_retry_starts_at_once() -> None:
    with DAG("one", schedule=None, start_date=START) as dag:
        task(task_id="a", retries=1, retry_delay=HOUR)(lambda: None)()
    play = Play(dag)
    play.step(play.ended("a", "up_for_retry"))
    play.act(clear("a"))
    assert (play.started, play.states["a"]) == (["a"], "running")


def test_one_index_of_a_mapped_task_is_cleared_with_what_depends_on_it() -> None:
    play = ended_mapped()
    assert cleared(play.act(clear("double", map_indexes=(1,), downstream=True))) == ["double1", "total"]
    begin_anew(play)
    play.step(play.ended("double", try_number=2, map_index=1))
    assert play.started == ["total"]


def test_a_mapped_task_follows_the_new_length_of_what_it_maps_over() -> None:
    play = ended_mapped()
    play.act(clear("numbers", downstream=True))
    begin_anew(play)
    play.step(play.ended("numbers", try_number=2, mapped_length=3, xcoms=[numbers_of(3)]))
    assert len(play.started) == 3
    play = ended_mapped()
    play.act(clear("numbers", downstream=True))
    begin_anew(play)
    play.step(play.ended("numbers", try_number=2, mapped_length=1, xcoms=[numbers_of(1)]))
    assert play.states["double1"] == "removed"
    refusal = play.act(clear("double", map_indexes=(1,)))
    assert isinstance(refusal, str)
    assert refusal.startswith("Task 'double[1]' was removed: what it maps over has become shorter.")


def test_many_tasks_are_cleared_in_portions_before_anything_else_is_looked_at() -> None:
    play = Play(mapped(), step_work=10)
    play.step(play.ended("numbers", mapped_length=40, xcoms=[numbers_of(40)]))
    play.until_settled()
    play.step(*(play.ended("double", "failed", map_index=index) for index in range(8)))
    play.until_settled()
    running = [name for name, state in play.states.items() if state == "running"]
    wanted = ActionTaken(1, RunAction(action=clear("double"), user="ann"))
    assert play.step(wanted, play.ended("double", map_index=9)) == [StepAgain()]
    assert play.engine.most_events == 0
    answers = [each for each in play.until_settled() if isinstance(each, AnswerAction)]
    assert [answer.number for answer in answers] == [1]
    assert play.states["double9"] != "success"
    assert play.engine._run.dag_run.clear_number == 1
    assert {play.states[name] for name in running if name != "double9"} == {"restarting"}


def set_up() -> DAG:
    with DAG("set_up", schedule=None, start_date=START) as dag:

        @setup
        @task(retries=0)
        def begins() -> None: ...

        @task(retries=0)
        def works() -> None: ...

        @teardown
        @task(retries=0)
        def ends() -> None: ...

        first, last = begins(), ends()
        first >> works() >> last
        first >> last
    return dag


def test_a_cleared_task_brings_its_setup_and_teardown_along() -> None:
    play = Play(set_up())
    play.step(play.ended("begins"))
    play.step(play.ended("works", "failed"))
    play.step(play.ended("ends"))
    assert cleared(play.act(clear("works"))) == ["begins", "ends", "works"]


def test_a_marked_task_is_stopped_and_its_result_ignored() -> None:
    play = Play(chain("a", "b"))
    assert cleared(play.act(mark("a", "success"))) == ["a"]
    assert StopTask(TaskKey("a", -1), 1) in play.commands
    assert play.started == ["b"]
    play.step(play.ended("a", "failed"))
    assert play.states == {"a": "success", "b": "running"}


def test_what_failed_below_a_task_that_is_marked_runs_again() -> None:
    play = failed_chain()
    assert cleared(play.act(mark("b", "success"))) == ["b"]
    assert play.states == {"a": "success", "b": "success", "c": None}
    begin_anew(play)
    assert play.started == ["c"]
    play.step(play.ended("c"))
    assert play.engine.record.state == "success"


def test_a_task_is_marked_with_what_depends_on_it() -> None:
    play = Play(chain("a", "b", "c"))
    assert cleared(play.act(mark("b", "skipped", downstream=True))) == ["b", "c"]
    assert play.states == {"a": "running", "b": "skipped", "c": "skipped"}
    play.step(play.ended("a"))
    assert play.engine.record.state == "success"


def test_a_mark_that_changes_nothing_below_leaves_an_ended_run_ended() -> None:
    play = Play(chain("a", "b"))
    play.step(play.ended("a"))
    play.step(play.ended("b", "failed"))
    play.act(mark("b", "success"))
    assert (play.states["b"], play.engine.record.state, play.engine.finished) == ("success", "failed", True)


@pytest.mark.parametrize("state", ["success", "failed"])
def test_a_run_is_marked(state: str) -> None:
    play = Play(chain("a", "b"), given={"listened_states": (state,)})
    assert cleared(play.act(mark_run(state))) == ["a", "b"]
    assert play.states == {"a": state, "b": "skipped"}
    [notice] = [command.notice for command in play.commands if isinstance(command, NotifyListeners)]
    assert notice.msg == f"Dag Run's state was manually set to `{state}`."
    play.step(TaskStopped(TaskKey("a", -1), 1))
    assert (play.engine.record.state, play.engine.finished) == (state, True)
    assert play.engine.record.reason == f"marked {state} by ann"


def test_a_marked_run_tears_down_first() -> None:
    play = Play(set_up())
    play.step(play.ended("begins"))
    play.act(mark_run("failed"))
    assert play.states == {"begins": "success", "works": "failed", "ends": "running"}
    play.step(TaskStopped(TaskKey("works", -1), 1), play.ended("ends"))
    assert (play.engine.record.state, play.engine.record.reason) == ("failed", "marked failed by ann")


def test_a_cancelled_run_that_is_cleared_may_succeed() -> None:
    play = Play(chain("a"))
    play.act(mark_run("failed"))
    play.step(TaskStopped(TaskKey("a", -1), 1))
    play.act(clear())
    begin_anew(play)
    play.step(play.ended("a", try_number=2))
    assert (play.engine.record.state, play.engine.record.reason) == ("success", None)


def test_a_paused_run_starts_nothing_until_it_is_not_paused_any_more() -> None:
    play = Play(chain("a", "b"))
    play.act(PAUSE)
    play.step(play.ended("a"))
    assert (play.started, play.states, play.engine.record.paused) == ([], {"a": "success", "b": None}, True)
    restored(play)
    play.step()
    assert play.started == []
    play.act(UNPAUSE)
    assert (play.started, play.engine.record.paused) == (["b"], False)


def test_a_paused_run_whose_last_task_ends_is_over() -> None:
    play = Play(chain("a"))
    play.act(PAUSE)
    play.step(play.ended("a"))
    assert (play.engine.finished, play.engine.record.state) == (True, "success")


def test_a_retry_that_is_due_waits_quietly_while_the_run_is_paused() -> None:
    with DAG("one", schedule=None, start_date=START) as dag:
        task(task_id="a", retries=1, retry_delay=timedelta(seconds=10))(lambda: None)()
    play = Play(dag)
    play.step(play.ended("a", "up_for_retry"))
    play.act(PAUSE)
    play.step(after=HOUR)
    assert not [command for command in play.commands if isinstance(command, WakeAt)]
    play.act(UNPAUSE)
    assert play.started == ["a"]


def test_a_queued_run_of_a_paused_dag_waits() -> None:
    play = Play(chain("a"), given={"queued": True})
    assert AwaitTurn() in play.commands
    play.act(PAUSE)
    play.step(TurnCome())
    assert play.engine.record.state == "queued"
    play.act(UNPAUSE)
    begin_anew(play)
    assert play.started == ["a"]


def test_notes_are_kept() -> None:
    play = Play(chain("a"))
    play.act(WriteNote(kind="note", text="look at this"))
    play.act(WriteNote(kind="note", text="and this", task_id="a"))
    restored(play)
    play.step()
    record = play.engine.record
    assert (record.note, record.task_instances[0].note) == ("look at this", "and this")
    play.act(WriteNote(kind="note", text=""))
    play.act(WriteNote(kind="note", text="", task_id="a"))
    assert (play.engine.record.note, play.engine.record.task_instances[0].note) == (None, None)


@pytest.mark.parametrize(
    ("action", "refusal"),
    [
        (clear("aa"), "Run 'run' has no task 'aa' (did you mean 'a'?); it has: a, b."),
        (clear("a", map_indexes=(1,)), "Task 'a' is not mapped; there is no map index 1 (--map-index)."),
        (
            clear(only_failed=True),
            "There is nothing to clear: no such task instance of run 'run' has failed.",
        ),
        (mark("a", "running"), "Nothing can be marked 'running'; states are: failed, skipped, success."),
        (mark_run("queued"), "Nothing can be marked 'queued'; states are: failed, success."),
        (mark("c", "failed"), "Run 'run' has no task 'c'; it has: a, b."),
        (WriteNote(kind="note", text="x" * 1001), "A note has at most 1,000 characters, not 1,001."),
        (
            WriteNote(kind="note", text="x", task_id="b", map_index=3),
            "Task 'b' is not mapped; there is no map index 3 (--map-index).",
        ),
    ],
)  # fmt: skip
def test_what_can_not_be_done_says_why(action: UserAction, refusal: str) -> None:
    play = Play(chain("a", "b"))
    assert play.engine.problem_with(action, play.now) == refusal
    assert play.act(action) == refusal
    assert play.states == {"a": "running", "b": None}


def test_the_second_of_two_equal_marks_is_refused() -> None:
    play = failed_chain()
    play.act(mark("b", "success"))
    assert play.act(mark("b", "success")) == "Task 'b' is already in state 'success'."


def test_a_look_at_what_would_be_done_changes_nothing() -> None:
    play = failed_chain()
    before = play.engine.snapshot()
    for action in (clear("b", downstream=True), mark("b", "success"), mark_run("success")):
        assert play.engine.problem_with(action, play.now) is None
        play.engine.preview(action, play.now)
    assert play.engine.snapshot() == before


def test_an_empty_task_may_be_cleared() -> None:
    with DAG("empty", schedule=None, start_date=START) as dag:
        EmptyOperator(task_id="a") >> task(task_id="b", retries=0)(lambda: None)()
    play = Play(dag)
    play.step(play.ended("b", "failed"))
    play.act(clear("a", downstream=True))
    begin_anew(play)
    assert (play.states["a"], play.started) == ("success", ["b"])
