"""Runs that outlast the history of one workflow execution: they go on in a new one, and nobody notices."""

from __future__ import annotations

import asyncio

import pytest
from airflow.utils.state import DagRunState
from temporalio import workflow

from run_bench import RunBench, label
from temporal_airflow import identifiers, search_attributes
from temporal_airflow.models import AttemptReports
from temporal_airflow.workflows.continuation import Continuation
from waiting import PATIENCE, until

OUTLASTING = "outlasting.py"
SHORT = {"continue_from_events": 25}
"""Some two pokes of a sensor."""


async def executions(bench: RunBench, workflow_id: str) -> int:
    return len(await bench.histories(workflow_id))


async def test_a_run_goes_on_over_many_executions_and_nobody_notices(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OUTLASTING, "outlasts", limits=SHORT)
        first = await bench.temporal.get_workflow_handle(run).describe()

        async def answered() -> bool:
            record = await bench.client.record(run)
            return any(label(ti) == "asks" and ti.input_request for ti in record.task_instances)

        await until("the task asks", answered)

        async def continued() -> bool:
            return await executions(bench, run) >= 2

        await until("the run goes on in a new execution while it waits", continued)
        assert (await bench.client.open_run_of("outlasts", run.split("-", 2)[2])) == run
        [listed] = [each for each in (await bench.client.list_runs(dag_id="outlasts")).runs if each.workflow_id == run]
        assert (listed.state.value, listed.start_date, listed.end_date) == ("running", first.start_time, None)
        await bench.client.respond(run, "asks", chosen_options=["yes"], user="ann")
        (bench.scratch / "go").touch()
        ended = await bench.end(run)
        [listed] = [each for each in (await bench.client.list_runs(dag_id="outlasts")).runs if each.workflow_id == run]
    assert ended.state == "success"
    assert ended.tries == {
        "pokes": 1,
        "retries": 4,
        "numbers": 1,
        "double[0]": 1,
        "double[1]": 1,
        "double[2]": 1,
        "asks": 1,
        "waits": 1,
        "total": 1,
    }
    assert ended.xcom("total") == [12, "there"]
    assert len(bench.notes("pokes")) == 12
    lengths = [len(history.events) for history in await bench.histories(run)]
    assert len(lengths) >= 3
    assert max(lengths[1:]) < 200
    assert (listed.state.value, listed.start_date) == ("success", first.start_time)
    last = await bench.temporal.get_workflow_handle(run).describe()
    assert search_attributes.state_of(last) == DagRunState.SUCCESS


async def test_a_cancelled_run_that_has_gone_on_ends(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OUTLASTING, "outlasts", limits=SHORT)

        async def continued() -> bool:
            return await executions(bench, run) >= 2

        await until("the run goes on in a new execution", continued)
        await bench.client.cancel(run)
        ended = await bench.end(run)
    assert ended.state == "failed"
    assert "running" not in ended.states.values()


IN_BATCHES = {"batches_from": 10, "batch_size": 10, "continue_from_events": 30}


async def test_a_long_task_of_a_big_run_holds_nobody_up(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OUTLASTING, "maps_widely", conf={"width": 60}, limits=IN_BATCHES)

        async def others_ended() -> bool:
            record = await bench.client.record(run)
            return sum(ti.state == "success" for ti in record.task_instances) == 60

        await until("all but one of the mapped tasks end", others_ended, patience=150)
        assert await executions(bench, run) >= 3
        assert (await bench.client.record(run)).batches
    async with bench.worker():  # the first one's task is lost with it
        await until("the long task runs again", lambda: bench.notes("ones").count("3") == 2)
        (bench.scratch / "go").touch()
        ended = await bench.end(run)
    assert ended.state == "success"
    assert ended.xcom("total") == sum(range(60))
    assert len(ended.task("one[3]").lost_attempts) == 1
    assert max(len(history.events) for history in await bench.histories(run)) < 400


async def test_a_stopped_run_stops_what_runs_in_batches(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OUTLASTING, "maps_widely", conf={"width": 12}, limits=IN_BATCHES)
        await until("the long task runs", lambda: "3" in bench.notes("ones"))
        await bench.client.cancel(run)
        ended = await bench.end(run)
    assert ended.state == "failed"
    assert ended.states["one[3]"] == "failed"


async def test_a_cancellation_that_comes_with_what_lets_a_run_go_on_is_not_lost(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OUTLASTING, "maps_widely", conf={"width": 12}, limits=IN_BATCHES)
        await until("the long task runs", lambda: "3" in bench.notes("ones"))
    for _ in range(IN_BATCHES["continue_from_events"]):
        await bench.temporal.get_workflow_handle(run).signal(identifiers.ATTEMPTS_ENDED_SIGNAL, AttemptReports.of(()))
    await bench.client.cancel(run)
    async with bench.worker():
        ended = await bench.end(run)
    assert ended.state == "failed"


async def test_a_stop_that_is_due_when_a_run_goes_on_is_not_lost(
    bench: RunBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_wanted = property(lambda run: workflow.cancellation_reason() is not None and run._continued == 0)
    monkeypatch.setattr(Continuation, "is_wanted", is_wanted)  # from the moment on in which the run is cancelled
    async with bench.worker():
        run = await bench.start(OUTLASTING, "maps_widely", conf={"width": 12}, limits=IN_BATCHES)
        await until("the long task runs", lambda: "3" in bench.notes("ones"))
        await bench.client.cancel(run)
        async with asyncio.timeout(PATIENCE):
            ended = await bench.end(run)
    assert (ended.state, ended.states["one[3]"]) == ("failed", "failed")


async def test_a_batch_that_is_ended_from_outside_is_run_again(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OUTLASTING, "maps_widely", conf={"width": 12}, limits=IN_BATCHES)

        async def only_the_long_task_runs() -> bool:
            record = await bench.client.record(run)
            return sum(ti.state == "success" for ti in record.task_instances) == 12 and len(record.batches) == 1

        await until("only the long task runs", only_the_long_task_runs)
        [batch] = (await bench.client.record(run)).batches
        await bench.temporal.get_workflow_handle(batch).terminate("by a person")
        await until("the long task runs again", lambda: bench.notes("ones").count("3") == 2)
        (bench.scratch / "go").touch()
        ended = await bench.end(run)
    assert ended.state == "success"
    assert [lost.reason for lost in ended.task("one[3]").lost_attempts] == ["the workflow in which it ran has ended"]


async def test_batches_end_with_a_run_that_is_terminated(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(OUTLASTING, "maps_widely", conf={"width": 12}, limits=IN_BATCHES)
        await until("the long task runs", lambda: "3" in bench.notes("ones"))
        batches = (await bench.client.record(run)).batches
        await bench.temporal.get_workflow_handle(run).terminate("by a person")
        for batch in batches:
            await bench.temporal.get_workflow_handle(batch).result()
