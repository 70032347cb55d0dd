"""Attempts that are ready together run one after the other in one activity, and nobody but the server notices."""

from __future__ import annotations

from collections import Counter

import psutil
import pytest
from temporalio.api.enums.v1 import EventType

from run_bench import RunBench
from temporal_airflow import identifiers
from waiting import until

FILE, MAPS = "in_series.py", "maps_in_series"
IN_SERIES = {"series_size": 10, "series_share": 1}
IN_BATCHES = {**IN_SERIES, "batches_from": 1, "batch_size": 10}

in_runs_of_both_sizes = pytest.mark.parametrize("limits", [IN_SERIES, IN_BATCHES], ids=["by the run", "by batches"])


async def activities(bench: RunBench, workflow_id: str) -> list[str]:
    """The types of the activities in which a run's tasks ran, in the order in which they were started."""
    histories = [await bench.history(workflow_id), *await bench.batch_histories(workflow_id)]
    types = [
        event.activity_task_scheduled_event_attributes.activity_type.name
        for history in histories
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]
    return [name for name in types if name in (identifiers.TASK_ACTIVITY, identifiers.SERIES_ACTIVITY)]


async def start(bench: RunBench, width: int, waits: list[int] | None = None, limits: dict[str, int] = IN_SERIES) -> str:
    return await bench.start(FILE, MAPS, conf={"width": width, "waits": waits or []}, limits=limits)


def begun(bench: RunBench) -> list[int]:
    return [int(line.split()[0]) for line in bench.notes("ones")]


async def states(bench: RunBench, workflow_id: str) -> Counter[str]:
    """Of the mapped task's instances."""
    record = await bench.client.record(workflow_id)
    return Counter(str(ti.state and ti.state.value) for ti in record.task_instances if ti.task_id == "one")


@in_runs_of_both_sizes
async def test_short_tasks_that_are_ready_together_share_activities(bench: RunBench, limits: dict[str, int]) -> None:
    async with bench.worker():
        ended = await bench.end(await start(bench, 40, limits=limits))
    assert ended.state == "success"
    assert ended.xcom("total") == sum(range(40))
    assert sorted(begun(bench)) == list(range(40))
    assert set(ended.tries.values()) == {1}
    started = await activities(bench, ended.workflow_id)
    assert started[:5] == [identifiers.TASK_ACTIVITY, *[identifiers.SERIES_ACTIVITY] * 4]


async def test_few_tasks_have_an_activity_each(bench: RunBench) -> None:
    async with bench.worker():
        run = await bench.start(FILE, MAPS, conf={"width": 5})
        ended = await bench.end(run)
    assert ended.state == "success"
    assert await activities(bench, run) == [identifiers.TASK_ACTIVITY] * 7


@in_runs_of_both_sizes
async def test_a_long_task_gives_back_those_behind_it(bench: RunBench, limits: dict[str, int]) -> None:
    async with bench.worker():
        run = await start(bench, 10, waits=[0], limits=limits)
        await until("the others end while the first one runs", lambda: sorted(set(begun(bench))) == list(range(10)))
        (bench.scratch / "go").touch()
        ended = await bench.end(run)
    assert ended.state == "success"
    assert len(begun(bench)) == 10
    assert not [ti for ti in ended.result.snapshot.task_instances if ti.lost_attempts]


@in_runs_of_both_sizes
async def test_tasks_that_have_not_begun_are_queued(bench: RunBench, limits: dict[str, int]) -> None:
    async with bench.worker(concurrency=2):
        run = await start(bench, 10, waits=list(range(10)), limits=limits)

        async def two_run() -> bool:
            return await states(bench, run) == {"running": 2, "queued": 8}

        await until("as many run as the worker takes, and the others are queued", two_run)
        (bench.scratch / "go").touch()
        assert (await bench.end(run)).state == "success"


@in_runs_of_both_sizes
async def test_a_cancelled_run_stops_what_runs_and_begins_nothing(bench: RunBench, limits: dict[str, int]) -> None:
    async with bench.worker():
        run = await start(bench, 10, waits=list(range(10)), limits=limits)
        await until("the first one runs", lambda: begun(bench))
        await bench.client.cancel(run)
        ended = await bench.end(run)
    assert ended.state == "failed"
    assert ended.states["one[0]"] == "failed"
    assert not {"running", "queued", "scheduled"} & set(ended.states.values())
    pids = [int(line.split()[1]) for line in bench.notes("ones")]
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


async def test_a_long_task_of_a_series_is_stopped_with_its_run(bench: RunBench) -> None:
    async with bench.worker():
        run = await start(bench, 4, waits=[0])
        await until("the others have ended elsewhere", lambda: len(begun(bench)) == 4)
        await bench.client.cancel(run)
        ended = await bench.end(run)
    assert ended.state == "failed"
    assert ended.states["one[0]"] == "failed"


async def test_a_series_that_nobody_takes_ends_with_its_run(bench: RunBench) -> None:
    async with bench.worker():
        loaded = await bench.load(FILE, "maps_where_nobody_works", conf={"width": 10})
        loaded = loaded.model_copy(update={"limits": loaded.limits.model_copy(update=IN_SERIES)})
        run = await bench.client.start(loaded, task_queue=bench.task_queue, route_queues=True)
        bench.started.append(run)

        async def all_queued() -> bool:
            return await states(bench, run) == {"queued": 10}

        await until("all wait for a worker of their queue", all_queued)
        await bench.client.cancel(run)
        ended = await bench.end(run)
    assert ended.state == "failed"
    assert begun(bench) == []


async def test_a_lost_process_costs_one_attempt(bench: RunBench) -> None:
    async with bench.worker():
        run = await start(bench, 10, waits=[0])
        await until("the first one runs", lambda: begun(bench))
        task = psutil.Process(int(bench.notes("ones")[0].split()[1]))
        task.parents()[1].kill()  # its slot; between them is the process it was forked from
        await until("it runs again", lambda: begun(bench).count(0) == 2)
        (bench.scratch / "go").touch()
        ended = await bench.end(run)
    assert ended.state == "success"
    lost = {ti.map_index: len(ti.lost_attempts) for ti in ended.result.snapshot.task_instances if ti.lost_attempts}
    assert lost == {0: 1}
    assert set(ended.tries.values()) == {1}


@in_runs_of_both_sizes
async def test_a_worker_that_stops_loses_only_what_runs(bench: RunBench, limits: dict[str, int]) -> None:
    async with bench.worker():
        run = await start(bench, 10, waits=[0], limits=limits)
        await until("the first one runs", lambda: begun(bench))
    async with bench.worker():
        await until("it runs again", lambda: begun(bench).count(0) == 2)
        (bench.scratch / "go").touch()
        ended = await bench.end(run)
    assert ended.state == "success"
    lost = {ti.map_index: ti.lost_attempts for ti in ended.result.snapshot.task_instances if ti.lost_attempts}
    assert [(index, [each.reason for each in losses]) for index, losses in lost.items()] == [
        (0, ["the worker was shut down"])
    ]
