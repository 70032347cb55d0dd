"""Runs that somebody operates while they live and after they have ended: real server, worker and task processes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from airflow.utils.state import DagRunState, TaskInstanceState
from temporalio.worker import Worker

from run_bench import RunBench, label
from temporal_airflow.client import now
from temporal_airflow.exceptions import InputError
from temporal_airflow.models import ClearTasks, DagExecutionResult, MarkRun, MarkTask, TaskExecutionResult
from temporal_airflow.run_reader import RunReader
from temporal_airflow.worker import workflow_classes
from waiting import PATIENCE, until

OPERATED = "operated.py"


def clear(*task_ids: str, **how: Any) -> ClearTasks:
    return ClearTasks(kind="clear", task_ids=task_ids, **how)


def mark(task_id: str, state: str, **how: Any) -> MarkTask:
    return MarkTask(kind="mark_task", task_id=task_id, state=state, **how)


async def is_in(bench: RunBench, run: str, name: str, state: str) -> None:
    async def there() -> bool:
        record = await bench.client.record(run)
        return any(label(ti) == name and ti.state == state for ti in record.task_instances)

    await until(f"{name} is {state}", there)


async def has_begun(bench: RunBench, tries: int = 1) -> None:
    await until("the task holds", lambda: len(bench.notes("holds")) == tries)


def is_alive(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_a_running_task_that_is_cleared_is_stopped_and_runs_again(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OPERATED, "holds")
        await has_begun(bench)
        answer = await bench.client.act(run, clear("holds"))
        assert [(ti.task_id, ti.state) for ti in answer.task_instances] == [("holds", "running")]
        await has_begun(bench, 2)
        assert bench.notes("killed") == ["1"]
        assert not is_alive(bench.notes("holds")[0])
        (bench.scratch / "go").touch()
        ended = await bench.end(run)
    assert (ended.state, ended.tries) == ("success", {"holds": 2, "then": 1})


async def test_a_running_task_that_is_marked_is_stopped_and_the_run_goes_on(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OPERATED, "holds")
        await has_begun(bench)
        await bench.client.act(run, mark("holds", "success"))
        ended = await bench.end(run)
    assert (ended.state, ended.states) == ("success", {"holds": "success", "then": "success"})
    assert bench.notes("killed") == ["1"]


async def test_an_ended_run_goes_on_under_its_id(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OPERATED, "fails_in_the_middle")
        failed = await bench.end(run)
        first = await bench.temporal.get_workflow_handle(run).describe()
        assert (failed.state, failed.states["third"]) == ("failed", "upstream_failed")
        (bench.scratch / "go").touch()
        answer = await bench.client.act(run, clear(only_failed=True))
        assert [ti.task_id for ti in answer.task_instances] == ["second", "third"]
        ended = await bench.end(run)
        [listed] = (await bench.client.list_runs(dag_id="fails_in_the_middle")).runs
        still_failed = await bench.client.list_runs(dag_id="fails_in_the_middle", states=[DagRunState.FAILED])
    assert (ended.state, ended.tries) == ("success", {"first": 1, "second": 2, "third": 1})
    assert bench.notes("ran") == ["first 1", "second 1", "second 2", "third 1"]
    assert (listed.workflow_id, listed.state, listed.start_date) == (run, "success", first.start_time)
    assert still_failed.runs == ()


async def test_an_ended_run_needs_none_of_its_old_history(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OPERATED, "fails_in_the_middle")
        await bench.end(run)
    (bench.scratch / "go").touch()
    async with bench.worker():  # it has never seen the run
        await bench.client.act(run, clear("second", downstream=True))
        ended = await bench.end(run)
    assert ended.state == "success"
    length = len((await bench.history(run)).events)
    assert length < 40


async def test_what_would_be_cleared_of_an_ended_run_is_told_without_a_worker(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OPERATED, "fails_in_the_middle")
        await bench.end(run)
    before = await bench.temporal.get_workflow_handle(run).describe()
    answer = await bench.client.preview(run, clear("second", downstream=True))
    assert [(ti.task_id, ti.state) for ti in answer.task_instances] == [
        ("second", "failed"),
        ("third", "upstream_failed"),
    ]
    with pytest.raises(InputError, match=r"has no task 'secnd' \(did you mean 'second'"):
        await bench.client.act(run, clear("secnd"))
    after = await bench.temporal.get_workflow_handle(run).describe()
    assert (after.run_id, after.history_length) == (before.run_id, before.history_length)


async def test_what_would_be_done_is_told_of_a_run_that_ends_just_then(
    bench: RunBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = RunReader.result_if_closed
    looks: list[str] = []

    async def seems_open_at_first(reader: RunReader, workflow_id: str) -> DagExecutionResult | None:
        looks.append(workflow_id)
        return await read(reader, workflow_id) if len(looks) > 1 else None

    async with bench.worker():
        run = await bench.start(OPERATED, "fails_in_the_middle")
        await bench.end(run)
        monkeypatch.setattr(RunReader, "result_if_closed", seems_open_at_first)
        answer = await bench.client.preview(run, clear("second"))
    assert [(ti.task_id, ti.state) for ti in answer.task_instances] == [("second", "failed")]


async def test_a_run_ended_from_outside_can_not_go_on(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OPERATED, "holds")
        await has_begun(bench)
        await bench.temporal.get_workflow_handle(run).terminate()
        with pytest.raises(InputError, match=r"was ended from outside .* start a new run instead"):
            await bench.client.act(run, clear())


async def test_two_who_act_at_once_both_get_an_answer(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OPERATED, "fails_in_the_middle")
        await bench.end(run)
        (bench.scratch / "go").touch()
        answers = await asyncio.gather(
            bench.client.act(run, mark("second", "success"), user="ann"),
            bench.client.act(run, mark("second", "success"), user="bob"),
            return_exceptions=True,
        )
        ended = await bench.end(run)
    refusals = [answer for answer in answers if isinstance(answer, InputError)]
    assert [str(refusal) for refusal in refusals] == ["Task 'second' is already in state 'success'."]
    assert (ended.state, ended.states) == ("success", dict.fromkeys(("first", "second", "third"), "success"))


async def test_a_deferred_task_is_cleared(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OPERATED, "is_deferred")
        await is_in(bench, run, "waits", "deferred")
        await bench.client.act(run, clear("waits"))
        await is_in(bench, run, "waits", "deferred")
        (bench.scratch / "go").touch()
        ended = await bench.end(run)
    assert (ended.state, ended.xcom("waits")) == ("success", 2)


async def test_a_task_that_waits_for_its_retry_is_cleared(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OPERATED, "waits_to_retry")
        await is_in(bench, run, "retries", "up_for_retry")
        (bench.scratch / "go").touch()
        await bench.client.act(run, clear("retries"))
        ended = await bench.end(run)
    assert (ended.state, ended.tries) == ("success", {"retries": 2})


async def test_a_cancelled_run_tears_down(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OPERATED, "tears_down")
        await has_begun(bench)
        await bench.client.cancel(run)
        ended = await bench.end(run)
    assert (ended.state, ended.states) == ("failed", {"begins": "success", "holds": "failed", "cleans": "success"})
    assert bench.notes("killed") == ["1"]


async def test_a_marked_run_ends(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OPERATED, "holds")
        await has_begun(bench)
        await bench.client.act(run, MarkRun(kind="mark_run", state="success"), user="ann")
        ended = await bench.end(run)
    assert (ended.state, ended.result.snapshot.reason) == ("success", "marked success by ann")
    assert ended.states == {"holds": "success", "then": "skipped"}


async def test_a_mapped_task_follows_the_new_length(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OPERATED, "maps_numbers")
        assert (await bench.end(run)).xcom("total") == 2
        (bench.scratch / "go").touch()
        await bench.client.act(run, clear("numbers", downstream=True))
        ended = await bench.end(run)
    assert (ended.state, ended.xcom("total")) == ("success", 6)
    assert ended.tries == {"numbers": 2, "double[0]": 2, "double[1]": 2, "double[2]": 1, "total": 2}


SHORT = {"continue_from_events": 5}
"""Events from which a run goes on in a new execution as soon as it can."""


async def executions(bench: RunBench, run: str) -> int:
    return len(await bench.histories(run))


async def test_a_run_that_has_gone_on_in_a_new_execution_is_cleared(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OPERATED, "is_deferred", limits=SHORT)
        await is_in(bench, run, "waits", "deferred")

        async def continued() -> bool:
            return await executions(bench, run) >= 2

        await until("the run goes on in a new execution", continued)
        await bench.client.act(run, clear("waits"))
        await is_in(bench, run, "waits", "deferred")
        (bench.scratch / "go").touch()
        ended = await bench.end(run)
    assert (ended.state, ended.xcom("waits")) == ("success", 2)


async def test_actions_come_through_while_a_run_goes_on_in_new_executions(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OPERATED, "holds", limits=SHORT)
        await has_begun(bench)
        for tries in range(2, 5):
            answer = await bench.client.act(run, clear("holds"))
            assert [ti.task_id for ti in answer.task_instances] == ["holds"]
            await has_begun(bench, tries)
        await bench.client.act(run, mark("holds", "success"))
        ended = await bench.end(run)
    assert bench.notes("killed") == ["1", "2", "3", "4"]
    assert (ended.state, ended.tries) == ("success", {"holds": 4, "then": 1})


async def test_an_ended_run_of_batches_goes_on_in_further_batches(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OPERATED, "maps_numbers", limits={"batches_from": 2, "batch_size": 1, **SHORT})
        assert (await bench.end(run)).xcom("total") == 2
        batches = len(await bench.batch_histories(run))
        await bench.client.act(run, clear())
        ended = await bench.end(run)
        assert len(await bench.batch_histories(run)) > batches > 0
    assert (ended.state, ended.xcom("total"), ended.tries["double[1]"]) == ("success", 2, 2)


async def test_what_is_wanted_while_no_worker_is_there_waits_for_one(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OPERATED, "is_deferred")
        await is_in(bench, run, "waits", "deferred")
    acting = asyncio.create_task(bench.client.act(run, mark("waits", "failed")))
    async with bench.worker():
        answer = await acting
        ended = await bench.end(run)
    assert [(ti.task_id, ti.state) for ti in answer.task_instances] == [("waits", "deferred")]
    assert (ended.state, ended.states) == ("failed", {"waits": "failed", "then": "upstream_failed"})


@pytest.mark.parametrize(("dag_id", "task", "state"), [
    ("is_deferred", "waits", "deferred"),
    ("waits_to_retry", "retries", "up_for_retry"),
])  # fmt: skip
async def test_a_run_is_cancelled_while_a_task_waits(bench: RunBench, dag_id: str, task: str, state: str) -> None:
    async with bench.worker():
        run = await bench.start(OPERATED, dag_id)
        await is_in(bench, run, task, state)
        await bench.client.cancel(run)
        ended = await bench.end(run)
    assert (ended.state, ended.states[task]) == ("failed", "failed" if state == "deferred" else "skipped")


async def test_a_run_that_is_cancelled_as_an_attempt_ends_hears_of_both(bench: RunBench) -> None:
    async with Worker(bench.temporal, task_queue=bench.task_queue, workflows=workflow_classes()):
        run = await bench.start(OPERATED, "holds")

        async def is_scheduled() -> bool:
            described = await bench.temporal.get_workflow_handle(run).describe()
            return len(described.raw_description.pending_activities) == 1

        await until("the attempt waits for a worker", is_scheduled)
    await bench.client.cancel(run)
    attempt = bench.temporal.get_async_activity_handle(workflow_id=run, run_id=None, activity_id="holds/1")
    await attempt.complete(TaskExecutionResult(state=TaskInstanceState.SUCCESS, start_date=now(), end_date=now()))
    async with bench.worker(), asyncio.timeout(PATIENCE):
        ended = await bench.end(run)
    assert (ended.state, ended.states) == ("failed", {"holds": "failed", "then": "skipped"})


async def test_a_terminated_run_leaves_no_process_beyond_the_heartbeat_timeout(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OPERATED, "holds", limits={"heartbeat_timeout": 5.0})
        await has_begun(bench)
        [pid] = bench.notes("holds")
        await bench.temporal.get_workflow_handle(run).terminate()
        await until("the task's process is gone", lambda: not is_alive(pid), patience=15)
