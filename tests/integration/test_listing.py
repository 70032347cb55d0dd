"""What lists of runs say, in namespaces that have our search attributes and in those that haven't: the same."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from airflow.utils.state import DagRunState
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import EventType, IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from run_bench import RunBench
from temporal_airflow import identifiers, run_list, search_attributes
from temporal_airflow.client import now
from temporal_airflow.connection import Connection
from temporal_airflow.models import Routing
from temporal_airflow.run_list import ListedRun, RunList
from temporal_airflow.run_starting import start_run
from temporal_airflow.settings import load_settings
from temporal_airflow.tasks.slots import ProcessTemplate
from waiting import until

TYPES = {
    name: IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{kind.upper()}")
    for name, kind in identifiers.SEARCH_ATTRIBUTES.items()
}


@pytest_asyncio.fixture
async def bare(connection: Connection, template: ProcessTemplate, tmp_path: Path) -> AsyncIterator[RunBench]:
    """A bench in a namespace of its own, which nobody has given search attributes."""
    namespace = f"bare-{uuid.uuid4().hex[:8]}"
    await connection.client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=namespace, workflow_execution_retention_period=Duration(seconds=86400))
    )
    client = Client(**connection.client.config() | {"namespace": namespace})

    async def answers() -> bool:
        try:
            await client.count_workflows()
        except RPCError:
            return False
        return True

    await until(f"namespace {namespace} is there", answers)
    bench = RunBench(client, template, load_settings(), tmp_path)
    yield bench
    assert await bench.failed_workflow_tasks() == []


@pytest_asyncio.fixture(params=["with search attributes", "without"])
async def place(request: pytest.FixtureRequest, bare: RunBench) -> RunBench:
    """A bench in a namespace of its own, of each kind."""
    if request.param != "without":
        await give_search_attributes(bare)
    return bare


async def give_search_attributes(bench: RunBench) -> None:
    await bench.temporal.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace=bench.temporal.namespace, search_attributes=TYPES)
    )
    bench.temporal = Client(**bench.temporal.config())  # one that hasn't looked yet


async def start_queued(bench: RunBench, file: str, dag_id: str) -> str:
    """Start a run that waits for its turn."""
    loaded = await bench.load(file, dag_id)
    await start_run(bench.temporal, loaded, Routing(task_queue=bench.task_queue, route_queues=False), queued=True)
    bench.started.append(identifiers.workflow_id(dag_id, loaded.run.run_id))
    return bench.started[-1]


async def listed(bench: RunBench, dag_id: str, *states: DagRunState) -> list[ListedRun]:
    return list((await bench.client.list_runs(dag_id=dag_id, states=states)).runs)


async def all_listed(bench: RunBench, dag_id: str, number: int) -> None:
    """Wait until the server lists so many runs: it does so a moment after their start."""

    async def are_listed() -> bool:
        return len(await listed(bench, dag_id)) >= number

    await until(f"{number} runs of {dag_id} are listed", are_listed)


async def test_runs_are_told_apart_by_state(place: RunBench) -> None:
    async with place.worker():
        failed = await place.start("flow.py", "always_fails")
        await place.end(failed)
        held = await place.start("flow.py", "runs_alone", conf={"held": True})
        queued = await start_queued(place, "flow.py", "runs_alone")

        async def both_are_told_apart() -> bool:
            states = [run.state for run in await listed(place, "runs_alone")]
            return states == [DagRunState.QUEUED, DagRunState.RUNNING]

        await until("one run is active and the other queued", both_are_told_apart)
        assert [run.workflow_id for run in await listed(place, "runs_alone", DagRunState.QUEUED)] == [queued]
        assert [run.workflow_id for run in await listed(place, "runs_alone", DagRunState.RUNNING)] == [held]
        assert await listed(place, "runs_alone", DagRunState.SUCCESS, DagRunState.FAILED) == []
        (place.scratch / "gate").touch()
        await place.end(queued)

        async def both_have_succeeded() -> bool:
            return len(await listed(place, "runs_alone", DagRunState.SUCCESS)) == 2

        await until("both are listed as successful", both_have_succeeded)
    [line] = await listed(place, "always_fails", DagRunState.FAILED)
    assert (line.workflow_id, line.state.value, line.reason) == (failed, "failed", "task_failure")
    assert line.run_type == "manual"
    assert await listed(place, "always_fails", DagRunState.SUCCESS) == []


async def test_a_run_that_was_ended_from_outside_has_failed(place: RunBench) -> None:
    run = await place.start("many.py", "echoes", conf={"number": 1})
    await all_listed(place, "echoes", 1)
    await place.temporal.get_workflow_handle(run).terminate()

    async def has_failed() -> bool:
        return any(line.workflow_id == run for line in await listed(place, "echoes", DagRunState.FAILED))

    await until("the run is listed as failed", has_failed)
    [line] = [line for line in await listed(place, "echoes") if line.workflow_id == run]
    assert (line.state.value, line.reason) == ("failed", "workflow terminated")
    assert run not in [line.workflow_id for line in await listed(place, "echoes", DagRunState.RUNNING)]


async def test_runs_since_a_moment_latest_first(place: RunBench) -> None:
    dag_id = "maps_over_number"
    first = await place.start("many.py", dag_id, conf={"number": 1})
    await all_listed(place, dag_id, 1)
    between = now()
    second = await place.start("many.py", dag_id, conf={"number": 1})
    await all_listed(place, dag_id, 2)
    client = place.client
    everything = await client.list_runs(dag_id=dag_id)
    assert [run.workflow_id for run in everything.runs] == [second, first]
    assert not everything.more
    assert [run.workflow_id for run in (await client.list_runs(dag_id=dag_id, since=between)).runs] == [second]
    assert (await client.list_runs(dag_id=dag_id, since=between + timedelta(hours=1))).runs == ()
    latest = await client.list_runs(dag_id=dag_id, limit=1)
    assert [run.workflow_id for run in latest.runs] == [second]
    assert latest.more


async def test_a_list_says_that_not_all_runs_were_considered(place: RunBench, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        await place.start("many.py", "fails_on_odd", conf={"number": 1})
    await all_listed(place, "fails_on_odd", 3)
    assert not (await place.client.list_runs(dag_id="fails_on_odd")).overlooked
    monkeypatch.setattr(run_list, "MOST_CONSIDERED", 2)
    cut: RunList = await place.client.list_runs(dag_id="fails_on_odd")
    assert (len(cut.runs), cut.overlooked) == (2, True)


async def test_a_run_says_in_its_search_attributes_what_it_is(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start("flow.py", "branches", logical_date=now())
        await bench.end(run)
    description = await bench.temporal.get_workflow_handle(run).describe()
    values = {pair.key.name: pair.value for pair in description.typed_search_attributes}
    said = {name: value for name, value in values.items() if name.startswith("Airflow")}
    memo = await description.memo()
    assert said == {
        "AirflowDagId": "branches",
        "AirflowRunType": "manual",
        "AirflowRunState": "success",
        "AirflowLogicalDate": datetime.fromisoformat(memo["logical_date"]),
    }


async def test_that_costs_a_run_one_event(bench: RunBench, bare: RunBench) -> None:
    counts = []
    for place in (bench, bare):
        async with place.worker():
            run = await place.start("many.py", "echoes", conf={"number": 1})
            await place.end(run)
        events = [event.event_type for event in (await place.history(run)).events]
        counts.append(events.count(EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES))
    assert counts == [1, 0]


async def test_runs_from_before_there_were_search_attributes_are_listed_with_the_others(bare: RunBench) -> None:
    async with bare.worker():
        before = await bare.start("many.py", "echoes", conf={"number": 1})
        await bare.end(before)
        assert await search_attributes.missing(bare.temporal) == identifiers.SEARCH_ATTRIBUTES
        await give_search_attributes(bare)
        after = await bare.start("many.py", "echoes", conf={"number": 1})
        await bare.end(after)

        async def both() -> bool:
            runs = await listed(bare, "echoes", DagRunState.SUCCESS)
            return [run.workflow_id for run in runs] == [after, before]

        await until("both runs are listed as successful", both)
    assert await search_attributes.exist(bare.temporal)
    assert await listed(bare, "echoes", DagRunState.FAILED) == []
