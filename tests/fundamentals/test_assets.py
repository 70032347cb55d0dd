"""What outlives a run: asset events, which assets there are, and their state."""

from __future__ import annotations

import asyncio
from typing import Any

from temporalio.api.enums.v1 import EventType

from run_bench import EndedRun, RunBench
from temporal_airflow import identifiers
from temporal_airflow.asset_client import AssetClient, asset_place
from temporal_airflow.models import AssetKey, EventQuestion, PublishAssetEventsInput
from temporal_airflow.state_client import StateClient

ASSETS = "assets.py"
ORDERS = AssetKey(name="orders", uri="s3://warehouse/orders")


async def activities(bench: RunBench, run: EndedRun) -> list[str]:
    """Names of the run's activities, in the order in which they were scheduled."""
    history = await bench.history(run.workflow_id)
    return [
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]


async def extras_of(bench: RunBench, asset: AssetKey) -> list[dict[str, Any]]:
    events = await StateClient(bench.temporal).events(asset_place(bench.task_queue, asset), EventQuestion())
    return [event.extra for event in events]


async def test_a_later_run_reads_the_events_of_an_earlier_one(bench: RunBench) -> None:
    emitted = await bench.run(ASSETS, "emits")
    assert emitted.errors == {}
    assert emitted.xcom("counts") == 4
    run = await bench.run(ASSETS, "reads")
    read = run.xcom("takes")
    assert run.state == "success"
    rows, by_alias, *mapped = [(event["extra"], event["source"][1:]) for event in read["all"]]
    assert (rows, by_alias) == (({"rows": 3}, ["rows", -1]), ({}, ["by_alias", -1]))
    assert sorted(mapped, key=str) == [({"n": n}, ["mapped", n - 1]) for n in (1, 2)]
    assert read["all"][0]["asset"] == ["orders", "s3://warehouse/orders", "asset", {"owner": "team"}]
    assert [event["value"] for event in read["all"]] == ["from rows", "none", "none", "none"]
    assert sorted(read["alias"]) == ["orders", "s3://warehouse/found"]
    assert read["by name"] == [1, 4]
    assert (read["ascending"], read["latest"], read["since"], read["until"]) == (True, mapped[-1][0], 3, 2)
    assert read["triggering"] == {}


async def test_events_are_recorded_once_and_before_the_run_ends(bench: RunBench) -> None:
    run = await bench.run(ASSETS, "emits")
    assert run.errors == {}
    names = await activities(bench, run)
    assert names[0] == identifiers.REGISTER_ACTIVITY
    assert names.count(identifiers.PUBLISH_ACTIVITY) >= 3
    place = asset_place(bench.task_queue, ORDERS)
    async with bench.worker():
        assert len(await extras_of(bench, ORDERS)) == 4
        await asyncio.gather(*(republish(bench, run) for _ in range(3)))
        assert len(await extras_of(bench, ORDERS)) == 4
    history = await bench.history(place.workflow_id)
    assert not [e for e in history.events if e.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED]


async def test_asset_decorators_make_dags_that_run(bench: RunBench) -> None:
    async with bench.worker():
        first = await bench.end(await bench.start(ASSETS, "report"))
        both = await bench.end(await bench.start(ASSETS, "both"))
        assert await extras_of(bench, AssetKey(name="second", uri="second")) == [{"from": "both"}]
    assert first.xcom("report") == ["s3://warehouse/report", {"kind": "report"}, "s3://warehouse/orders", 0]
    assert both.state == "success"


async def test_the_state_of_an_asset_outlives_tries_and_runs(bench: RunBench) -> None:
    first = await bench.run(ASSETS, "keeps_asset_state")
    assert (first.xcom("keeps"), first.xcom("reads_it")) == ([2, True, "none"], ["none", [2]])
    second = await bench.run(ASSETS, "keeps_asset_state")
    assert second.xcom("keeps")[0] == 4


async def test_only_one_asset_of_a_uri_is_active(bench: RunBench) -> None:
    run = await bench.run(ASSETS, "is_rivalled")
    assert run.state == "failed"
    assert "orders-too" in (run.task("emits_nothing").error or "")


async def test_what_is_unknown_emits_nothing_and_is_not_found(bench: RunBench) -> None:
    run = await bench.run(ASSETS, "returns_inactive")
    assert run.states == {"returns": "success", "takes": "failed"}
    assert "ASSET_NOT_FOUND" in (run.task("takes").error or "")
    place = asset_place(bench.task_queue, AssetKey(name="s3://warehouse/unknown", uri="s3://warehouse/unknown"))
    assert await StateClient(bench.temporal).events(place, EventQuestion()) == ()


async def republish(bench: RunBench, run: EndedRun) -> None:
    """Deliver once more what the run has published, as an activity does whose completion got lost."""
    assets = AssetClient(StateClient(bench.temporal))
    for event in (await bench.history(run.workflow_id)).events:
        scheduled = event.activity_task_scheduled_event_attributes
        if scheduled.activity_type.name == identifiers.PUBLISH_ACTIVITY:
            [given] = await bench.temporal.data_converter.decode(scheduled.input.payloads, [PublishAssetEventsInput])
            await assets.publish(given.task_queue, given.changes)
