"""Pools and limits across runs: what is shared is never used by more than there is room for, and never lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle
from temporalio.service import RPCError

from run_bench import RunBench
from temporal_airflow import identifiers
from temporal_airflow.capacity import pool_client
from temporal_airflow.capacity.pool_client import PoolClient
from temporal_airflow.capacity.pool_worker import serving_pools
from temporal_airflow.capacity.slot_post import SlotPost
from temporal_airflow.connection import connect
from temporal_airflow.dev_server import launch
from temporal_airflow.exceptions import InputError, PoolNotFoundError
from temporal_airflow.models import HeldSlots, PoolDefinition, PoolState, SlotHolder, SlotMessage, SlotRequest
from temporal_airflow.settings import load_settings
from temporal_airflow.workflows import slot_messages
from waiting import until


@pytest_asyncio.fixture
async def pools(bench: RunBench) -> AsyncIterator[PoolClient]:
    async with serving_pools(bench.temporal) as pools:
        yield pools


def most_at_once(bench: RunBench) -> int:
    """How many tasks of all runs ran at the same moment."""
    events = sorted((float(line.split()[0]), line.split()[1]) for line in bench.notes("uses"))
    running = most = 0
    for _, what in events:
        running += 1 if what == "begins" else -1
        most = max(most, running)
    return most


def order(bench: RunBench) -> list[str]:
    return [line.split()[4] for line in bench.notes("uses") if line.split()[1] == "begins"]


async def test_no_more_tasks_of_all_runs_run_than_their_pool_has_slots(bench: RunBench, pools: PoolClient) -> None:
    await pools.set(PoolDefinition(name="resized", slots=2))
    async with bench.worker(concurrency=8):
        runs = [await bench.start("pools.py", "fills_a_pool") for _ in range(2)]
        await until("two run", lambda: len(bench.notes("uses")) == 2)
        stats = await pools.stats("resized")
        assert stats is not None
        assert (stats.running, stats.open) == (2, 0)
        (bench.scratch / "go").touch()
        ends = [await bench.end(run) for run in runs]
    assert {end.state for end in ends} == {"success"}
    assert most_at_once(bench) == 2
    stats = await pools.stats("resized")
    assert stats is not None
    assert (stats.running, stats.open) == (0, 2)


async def test_the_most_important_task_gets_the_next_slot(bench: RunBench, pools: PoolClient) -> None:
    await pools.set(PoolDefinition(name="narrow", slots=1))
    ended = await bench.run("pools.py", "in_a_pool")
    assert ended.state == "success"
    assert order(bench) == ["works3", "works2", "works1", "works0"]


async def kinds_of_events(bench: RunBench, workflow_id: str) -> Counter[EventType.ValueType]:
    return Counter(event.event_type for event in (await bench.history(workflow_id)).events)


async def test_a_run_with_few_tasks_tells_its_pool_everything_beside_its_history(
    bench: RunBench, pools: PoolClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot_messages, "DOUBT", timedelta(seconds=0.5))
    await pools.set(PoolDefinition(name="narrow", slots=1))
    ended = await bench.run("pools.py", "in_a_pool", conf={"nap": 1.0})
    kinds = await kinds_of_events(bench, ended.workflow_id)
    assert kinds[EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED] == 0, "grants show that it has come"
    assert kinds[EventType.EVENT_TYPE_MARKER_RECORDED] == 0
    assert kinds[EventType.EVENT_TYPE_TIMER_FIRED] == 1, "for the first one"
    assert kinds[EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED] <= 1 + 2 * 4 + 1


async def test_what_the_post_loses_is_said_once_more(
    bench: RunBench, pools: PoolClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a worker were killed after each decision; the last letter is not missed, for the run has ended."""
    monkeypatch.setattr(slot_messages, "DOUBT", timedelta(seconds=0.5))
    monkeypatch.setattr(pool_client, "PoolState", partial(PoolState, lease=0.5))
    monkeypatch.setattr(SlotPost, "take", lambda *_: None)
    await pools.set(PoolDefinition(name="narrow", slots=1))
    ended = await bench.run("pools.py", "in_a_pool")
    assert ended.state == "success"
    assert order(bench) == ["works3", "works2", "works1", "works0"]
    kinds = await kinds_of_events(bench, ended.workflow_id)
    assert kinds[EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED] >= 2


async def test_a_run_that_has_more_to_say_than_goes_by_post_makes_up_for_what_the_post_has_lost(
    bench: RunBench, pools: PoolClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first task's slots, all of the pool, are given back by a letter that is lost, and nobody looks for them."""
    take, lost = SlotPost.take, []

    def lose_returns(post: SlotPost, keeper: str, message: SlotMessage, pause: float) -> None:
        if message.requests or message.holds:
            take(post, keeper, message, pause)
        else:
            lost.append(message)

    monkeypatch.setattr(SlotPost, "take", lose_returns)
    monkeypatch.setattr(pool_client, "PoolState", partial(PoolState, lease=3600))
    await pools.set(PoolDefinition(name="wide", slots=8))
    async with asyncio.timeout(120):
        ended = await bench.run("pools.py", "grows_in_a_pool", conf={"nap": 0.0})
    assert ended.state == "success"
    assert [message.returns for message in lost][:1] == [(1,)], "the first task's ticket"
    kinds = await kinds_of_events(bench, ended.workflow_id)
    assert kinds[EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED] >= 1


async def test_a_pool_can_be_read_without_a_worker_and_is_gone_once_it_is_deleted(
    bench: RunBench, pools: PoolClient
) -> None:
    pool = PoolDefinition(name="read", slots=3, description="to be read", include_deferred=True)
    await pools.set(pool)
    assert await pools.get("read") == pool
    await until("the pool is listed", lambda: listed(pools, "read"))
    await pools.delete("read")
    with pytest.raises(PoolNotFoundError, match="Pool read does not exist"):
        await pools.get("read")
    with pytest.raises(PoolNotFoundError, match="Pool read does not exist"):
        await pools.delete("read")
    with pytest.raises(InputError, match="default_pool cannot be deleted"):
        await pools.delete("default_pool")


async def listed(pools: PoolClient, name: str) -> bool:
    return name in [pool.name for pool in await pools.all()]


async def test_a_run_is_refused_that_would_wait_for_ever(bench: RunBench, pools: PoolClient) -> None:
    await pools.set(PoolDefinition(name="narrow", slots=2))
    await pools.set(PoolDefinition(name="tiny", slots=2))
    await until("the pool is listed", lambda: listed(pools, "narrow"))
    with pytest.raises(InputError, match=r"does not exist: 'narow' \(did you mean 'narrow'\?\)"):
        await bench.start("pools.py", "in_an_unknown_pool")
    with pytest.raises(InputError, match="needs pool_slots=3, and pool 'tiny' has 2 slots"):
        await bench.start("pools.py", "in_too_small_a_pool")


async def test_a_task_with_a_limit_per_dag_runs_once_at_a_time_in_all_runs(bench: RunBench) -> None:
    async with bench.worker(concurrency=8):
        runs = [await bench.start("pools.py", "one_of_a_task") for _ in range(3)]
        ends = [await bench.end(run) for run in runs]
    assert {end.state for end in ends} == {"success"}
    assert most_at_once(bench) == 1


async def test_a_run_that_can_not_be_told_of_its_slots_keeps_those_that_it_uses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(launch.DYNAMIC_CONFIG, "history.maximumSignalsPerExecution", "1")
    async with connect(load_settings(), ephemeral=True, report=lambda _: None) as connection:
        run = await connection.client.start_workflow("any", id="run", task_queue="that nobody serves")
        await run.signal("the last one")
        with pytest.raises(RPCError, match="limit for signal events"):
            await run.signal("one too many")
        assert run.first_execution_run_id is not None
        async with serving_pools(connection.client) as pools:
            await pools.set(PoolDefinition(name="narrow", slots=2))
            pool = connection.client.get_workflow_handle(identifiers.pool_workflow_id("narrow"))
            uses = SlotMessage(
                holder=SlotHolder(workflow_id=run.id, first_run_id=run.first_execution_run_id),
                holds=(HeldSlots(ticket=1),),
                requests=(SlotRequest(ticket=2, task_id="waits"),),
            )
            await pool.signal(identifiers.SLOTS_SIGNAL, [uses])
            await until("the server refuses to tell the run", lambda: refuses_and_goes_on(pool))
            stats = await pools.stats("narrow")
    assert stats is not None
    assert (stats.running, stats.open) == (2, 0)


async def refuses_and_goes_on(pool: WorkflowHandle[Any, Any]) -> bool:
    kinds = [event.event_type for event in (await pool.fetch_history()).events]
    refused = EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED
    return refused in kinds and kinds[-1] == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
