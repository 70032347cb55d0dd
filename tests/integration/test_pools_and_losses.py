"""A pool that many runs share, while workers are killed, runs are terminated and the pool is set anew."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import pytest_asyncio

from run_bench import DAGS_FOLDER, EndedRun, RunBench
from temporal_airflow.capacity.pool_client import PoolClient
from temporal_airflow.capacity.pool_worker import serving_pools
from temporal_airflow.connection import Connection
from temporal_airflow.models import PoolDefinition, PoolStats
from waiting import until

POOLS = "pools.py"
HEARTBEAT_TIMEOUT = 4.0
"""Seconds after which a killed worker's tasks run again."""

LEASE = 20.0
"""Seconds within which slots of a run that is no more return: two looks of the pool."""

SLOTS = 7


@dataclass
class Crowd:
    """Workers that are processes of their own, and what the pool says of itself meanwhile."""

    bench: RunBench
    address: str
    pools: PoolClient
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    samples: list[PoolStats] = field(default_factory=list)

    def start_worker(self) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "AIRFLOW__TEMPORAL__ADDRESS": self.address,
            "AIRFLOW__TEMPORAL__TASK_QUEUE": self.bench.task_queue,
            "AIRFLOW__TEMPORAL__CONCURRENCY": "8",
        }
        command = [sys.executable, "-m", "temporal_airflow", "worker", "--dags-folder", str(DAGS_FOLDER)]
        with (self.bench.scratch / f"worker-{len(self.workers)}.log").open("wb") as log:
            worker = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.workers.append(worker)
        return worker

    async def watch(self, name: str) -> None:
        while True:
            if (stats := await self.pools.stats(name)) is not None:
                self.samples.append(stats)
            await asyncio.sleep(0.2)  # between two samples

    def uses(self) -> Iterator[tuple[float, str, tuple[str, str, str], str]]:
        """When which task of which process began or ended."""
        for line in self.bench.notes("uses"):
            at, what, dag_id, run_id, task_id, pid = line.split()
            yield float(at), what, (dag_id, run_id, task_id), pid


@pytest_asyncio.fixture
async def crowd(bench: RunBench, connection: Connection) -> AsyncIterator[Crowd]:
    async with serving_pools(bench.temporal) as pools:
        crowd = Crowd(bench, connection.address, pools)
        yield crowd
        for worker in crowd.workers:
            worker.kill()
            worker.wait()


def most_at_once(crowd: Crowd, killed_at: float) -> int:
    """How many tasks ran at the same moment; those of a killed worker ended then."""
    ends = {(key, pid): at for at, what, key, pid in crowd.uses() if what == "ends"}
    events = []
    for at, what, key, pid in crowd.uses():
        if what == "begins":
            events += [(at, 1), (ends.get((key, pid), max(killed_at, at)), -1)]
    running = most = 0
    for _, change in sorted(events):
        running += change
        most = max(most, running)
    return most


async def test_a_pool_is_never_overdrawn_and_always_used_whatever_is_killed(crowd: Crowd) -> None:
    bench = crowd.bench
    await crowd.pools.set(PoolDefinition(name="seven", slots=SLOTS))
    limits = {"heartbeat_timeout": HEARTBEAT_TIMEOUT}
    crowd.start_worker(), crowd.start_worker()
    runs = [await bench.start(POOLS, f"crowd_{'abc'[number % 3]}", limits=limits) for number in range(50)]
    watching = asyncio.create_task(crowd.watch("seven"))
    await until("a third has run", lambda: len(bench.notes("uses")) > 130)
    killed_at = time.time()
    crowd.workers[0].kill()
    crowd.start_worker()
    await until("a half has run", lambda: len(bench.notes("uses")) > 200)
    terminated = runs.pop()
    await bench.temporal.get_workflow_handle(terminated).terminate("by a person")
    ended = await asyncio.gather(*map(bench.end, runs))
    async with asyncio.timeout(LEASE):
        await until("all slots have returned", lambda: all_free(crowd))
    watching.cancel()
    assert {run.state for run in ended} == {"success"}
    assert most_at_once(crowd, killed_at) <= SLOTS
    assert all(stats.running <= SLOTS for stats in crowd.samples)
    busy = [stats for stats in crowd.samples if stats.waiting]
    assert len(busy) > 20
    assert all(stats.open == 0 for stats in busy)
    assert_order_of_runs(crowd, ended)


async def all_free(crowd: Crowd) -> bool:
    stats = await crowd.pools.stats("seven")
    return stats is not None and (stats.running, stats.waiting) == (0, 0)


def assert_order_of_runs(crowd: Crowd, ended: list[EndedRun]) -> None:
    """Within each run, tasks began in the order of their dependencies."""
    begun = defaultdict(list)
    for at, what, (dag_id, run_id, task_id), _ in crowd.uses():
        if what == "begins":
            begun[f"dag-{dag_id}-{run_id}"].append((at, task_id))
    for run in ended:
        tasks = [task_id for _, task_id in sorted(begun[run.workflow_id])]
        assert (tasks[0], tasks[-1]) == ("first", "last")


async def test_slots_of_a_terminated_run_return_within_the_lease(crowd: Crowd) -> None:
    bench = crowd.bench
    await crowd.pools.set(PoolDefinition(name="narrow", slots=1))
    async with bench.worker():
        terminated = await bench.start(POOLS, "in_a_pool", conf={"nap": 60.0})
        await until("its task runs", lambda: bench.notes("uses"))
        after = await bench.start(POOLS, "in_a_pool")
        await bench.temporal.get_workflow_handle(terminated).terminate("by a person")
        at = time.time()
        assert (await bench.end(after)).state == "success"
    begun = [moment for moment, what, (_, run_id, _), _ in crowd.uses() if what == "begins" and run_id in after]
    assert min(begun) - at < LEASE + 2


async def test_a_pool_that_is_set_anew_counts_from_the_next_decision(crowd: Crowd) -> None:
    bench = crowd.bench
    await crowd.pools.set(PoolDefinition(name="resized", slots=2))
    async with bench.worker(concurrency=12):
        run = await bench.start(POOLS, "fills_a_pool")
        await until("two run", lambda: len(bench.notes("uses")) == 2)
        await crowd.pools.set(PoolDefinition(name="resized", slots=10))
        async with asyncio.timeout(1):
            await until("ten slots are given", lambda: gives(crowd, 10))
        await until("ten run", lambda: len(bench.notes("uses")) == 10)
        await crowd.pools.set(PoolDefinition(name="resized", slots=1))
        assert (await crowd.pools.stats("resized") or PoolStats()).open == -9
        (bench.scratch / "go").touch()
        ended = await bench.end(run)
    assert ended.state == "success"
    uses = sorted((at, what) for at, what, *_ in crowd.uses())
    drained = [what for _, what in uses][10:]
    assert drained == ["ends"] * 10 + ["begins", "ends"] * 6


async def gives(crowd: Crowd, slots: int) -> bool:
    stats = await crowd.pools.stats("resized")
    return stats is not None and stats.running == slots
