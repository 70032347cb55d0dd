"""Why tasks don't run: what is said of them in each state, in Airflow's words where it has some."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import BranchPythonOperator
from airflow.sdk import DAG, BaseSensorOperator, task, task_group
from airflow.utils.state import TaskInstanceState
from sqlalchemy import text

from engine_play import SECOND, START, Play
from temporal_airflow.engine.events import ActionTaken, PastRunsKnown, TaskKey
from temporal_airflow.engine.explanations import CopiedRun
from temporal_airflow.explaining import explain
from temporal_airflow.models import (
    Deferral,
    InputRequest,
    InputWait,
    PastRun,
    PastRuns,
    PastTaskInstance,
    RunAction,
    SetPaused,
    XComRecord,
    XComValue,
)
from temporal_airflow.reasons import Explanations, Reason

ROWS = "SELECT id, task_id, map_index, state, try_number, start_date, end_date FROM task_instance ORDER BY 2, 3"
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def a_dag(**arguments: Any) -> DAG:
    return DAG("d", schedule=None, start_date=START - HOUR, **arguments)


def a_task(task_id: str, **arguments: Any) -> Any:
    return task(task_id=task_id, **arguments)(lambda: None)()


def asked(run: Play, task_id: str | None = None) -> Explanations:
    skips = [xcom for xcom in run.engine.xcoms if xcom.key == "skipmixin_key"]
    return explain(run.execution, run.engine.record, skips, task_id, run.now)


def why(run: Play, task_id: str, map_index: int = -1) -> list[Reason]:
    [found] = [each.reasons for each in asked(run, task_id).task_instances if each.task_instance.map_index == map_index]
    return list(found)


def test_a_task_whose_upstream_is_not_done() -> None:
    with a_dag() as dag:
        [a_task("first"), a_task("second")] >> a_task("then")
    run = Play(dag)
    run.step(run.ended("first"))
    assert why(run, "then") == [
        Reason(
            "Trigger Rule",
            "Task's trigger rule 'all_success' requires all upstream tasks to have succeeded, but found 1 "
            "non-success(es).",
            ("second (running)",),
        )
    ]


def test_only_the_own_map_index_is_waited_for_in_a_mapped_group() -> None:
    with a_dag() as dag:

        @task_group
        def group(x: int) -> None:
            a_task("one") >> a_task("two")

        group.expand(x=[1, 2, 3])
    run = Play(dag)
    run.step(run.ended("group.one", map_index=0))
    [reason] = why(run, "group.two", map_index=1)
    assert reason.tasks == ("group.one[1] (running)",)


def test_max_active_tasks() -> None:
    with a_dag(max_active_tasks=1) as dag:
        a_task("a"), a_task("b")
    run = Play(dag)
    [reason] = why(run, "b")
    assert "The maximum number of running tasks (1) for this task's DAG 'd' has been reached" in reason.reason


def test_max_active_tis_per_dagrun() -> None:
    with a_dag() as dag:
        task(task_id="m", max_active_tis_per_dagrun=2)(lambda x: x).expand(x=[1, 2, 3])
    run = Play(dag)
    [reason] = why(run, "m", map_index=2)
    assert "The max task concurrency per run has been reached" in reason.reason


def test_a_retry_delay() -> None:
    with a_dag() as dag:
        a_task("a", retries=1, retry_delay=5 * MINUTE)
    run = Play(dag)
    run.step(run.ended("a", "up_for_retry"))
    due = (run.now - SECOND + 5 * MINUTE).isoformat()
    [reason] = why(run, "a")
    assert reason.dependency == "Not In Retry Period"
    assert reason.reason.startswith("Task is not ready for retry yet but will be retried automatically.")
    assert reason.reason.endswith(f"task will be retried at {due}.")


def test_a_reschedule() -> None:
    with a_dag() as dag:
        BaseSensorOperator(task_id="a", mode="reschedule")
    run = Play(dag)
    due = run.now + 5 * MINUTE
    run.step(run.ended("a", "up_for_reschedule", reschedule_date=due))
    [reason] = why(run, "a")
    assert reason.dependency == "Ready To Reschedule"
    assert reason.reason.endswith(f"task will be rescheduled at {due.isoformat()}.")


def test_a_trigger() -> None:
    with a_dag() as dag:
        a_task("a")
    run = Play(dag)
    deferral = Deferral(classpath="my.Trigger", trigger_kwargs="sealed", next_method="resume")
    run.step(run.ended("a", "deferred", deferral=deferral))
    since = run.now.isoformat(timespec="seconds")
    assert why(run, "a") == [Reason(None, f"It waits for trigger my.Trigger since {since}.")]


def test_a_question_to_people() -> None:
    with a_dag() as dag:
        a_task("a")
    run = Play(dag)
    request = InputRequest(subject="Ship it?", options=("yes", "no"))
    run.step(run.ended("a", "awaiting_input", input_request=request, input_wait=InputWait(next_method="resume")))
    [reason] = why(run, "a")
    assert reason.reason.startswith("It asks 'Ship it?' since 2026-05-01T00:00:02+00:00: answer with")


def test_an_earlier_run() -> None:
    with a_dag() as dag:
        a_task("a", depends_on_past=True)
    run = Play(dag)
    past = PastRun(
        run_id="before",
        logical_date=START - HOUR,
        run_type="manual",
        state="running",
        task_instances=(PastTaskInstance(task_id="a", state=TaskInstanceState.RUNNING),),
    )
    run.step(PastRunsKnown(PastRuns(runs=(past,))))
    [reason] = why(run, "a")
    assert "depends_on_past" in reason.reason


def test_a_queued_run() -> None:
    with a_dag(max_active_runs=3) as dag:
        a_task("a")
    waiting = asked(Play(dag, given={"queued": True}))
    assert waiting.run == ("The run is queued. DAG d is at (or above) max_active_runs (16).",)
    [explanation] = waiting.task_instances
    assert [reason.dependency for reason in explanation.reasons] == ["Dagrun Running"]
    later = START + HOUR
    assert asked(Play(dag, given={"queued": True}, run_after=later)).run == (
        f"The run is queued. It starts at {later.isoformat()}.",
    )


def test_a_paused_dag() -> None:
    with a_dag(max_active_tasks=1) as dag:
        a_task("a"), a_task("b")
    run = Play(dag)
    run.step(ActionTaken(1, RunAction(action=SetPaused(kind="pause", paused=True), user="ann")))
    assert asked(run).run == ("Its DAG is paused: no more tasks start.",)
    assert Reason("Dag Not Paused", "Task's DAG 'd' is paused.") in why(run, "b")


def test_a_task_that_is_not_expanded_yet() -> None:
    with a_dag() as dag:
        task(task_id="m")(lambda x: x).expand(x=a_task("numbers"))
    reasons = why(Play(dag), "m")
    assert ("Trigger Rule", ("numbers (running)",)) in [(reason.dependency, reason.tasks) for reason in reasons]


def test_a_failure_upstream_is_named_however_far_it_is() -> None:
    with a_dag() as dag:
        a_task("a") >> a_task("b") >> a_task("c")
    run = Play(dag)
    run.step(run.ended("a", "failed"))
    assert run.engine.record.state == "failed"
    explained = {each.task_instance.task_id: each.reasons for each in asked(run).task_instances}
    assert set(explained) == {"b", "c"}
    assert explained["c"][0].tasks == ("a (failed)",)


def test_what_a_branch_did_not_choose() -> None:
    with a_dag() as dag:
        branch = BranchPythonOperator(task_id="branch", python_callable=lambda: "left")
        branch >> [EmptyOperator(task_id="left"), EmptyOperator(task_id="right")]
    run = Play(dag)
    skips = XComRecord(task_id="branch", key="skipmixin_key", content=XComValue(value='{"followed": ["left"]}'))
    run.step(run.ended("branch", xcoms=(skips,)))
    assert why(run, "right") == [
        Reason("Not Previously Skipped", "Skipping because of previous XCom result from parent task branch.")
    ]


def test_a_task_that_skipped_itself_and_those_that_run_or_have_run() -> None:
    with a_dag() as dag:
        a_task("skips"), a_task("fails"), a_task("runs")
    run = Play(dag)
    run.step(run.ended("skips", "skipped"), run.ended("fails", "failed", error="ValueError: no"))
    assert asked(run).task_instances == ()
    assert why(run, "skips") == [Reason(None, "It has skipped itself (try 1).")]
    assert why(run, "fails") == [Reason(None, "It has run: failed, ValueError: no.")]
    assert why(run, "runs")[0].reason.startswith("It runs since 2026-05-01")


def test_a_question_changes_nothing() -> None:
    with a_dag(max_active_tasks=1) as dag:
        numbers = a_task("numbers")
        task(task_id="m")(lambda x: x).expand(x=numbers) >> a_task("then")
        a_task("retries", retries=1)
    asking, silent = Play(dag), Play(dag)
    for event in ("numbers", "retries"):
        for run in (asking, silent):
            state = "up_for_retry" if event == "retries" else "success"
            run.step(run.ended(event, state, mapped_length=2 if event == "numbers" else None))
        before = rows(asking)
        assert asked(asking).task_instances
        assert rows(asking) == before
        assert asking.step() == silent.step()
        assert rows(asking) == rows(silent)


def rows(run: Play) -> list[Any]:
    """All of a run's task instances as its database has them; nothing pending is written for it."""
    with run.engine._session.no_autoflush:
        return list(run.engine._session.execute(text(ROWS)))


def test_keys_that_the_run_does_not_have_are_no_business_of_a_copy() -> None:
    with a_dag() as dag:
        a_task("a")
    run = Play(dag)
    copy = CopiedRun(run.execution, run.engine.record, (), run.now)
    assert copy.unmet(TaskKey("b", -1)) == []
    copy.dispose()
