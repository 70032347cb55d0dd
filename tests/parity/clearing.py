"""The same situations under us: a real server, worker and task processes. It must not know what Airflow does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from temporal_airflow.client import DagRunClient, now
from temporal_airflow.dag_loader import load_dag
from temporal_airflow.models import ActedOn, ClearTasks, DagRunRecord, LoadDagInput

from .ours import Ours
from .outcome import label
from .situations import DAG_FILE, WAITING_AT_ONCE, Seen, Situation, Stands

PATIENCE = 240.0
"""Seconds for a run to get where a situation wants it: runs of all situations share the cores."""

LOOK = 0.1


class Clearer:
    """Brings runs into situations, clears them, and sees what becomes of them."""

    def __init__(self, ours: Ours) -> None:
        self._ours = ours
        self._client = DagRunClient(ours.temporal)
        self._free = asyncio.Semaphore(WAITING_AT_ONCE)

    async def see(self, situation: Situation) -> Seen:
        """What becomes of a run that is cleared."""
        if not situation.until:
            return await self._see(situation)
        async with self._free:
            return await self._see(situation)

    async def _see(self, situation: Situation) -> Seen:
        scratch = self._ours.scratch / situation.name
        scratch.mkdir(parents=True)
        run = await self._start(situation, scratch)
        reached = _standing(situation.until) if situation.until else _has_ended
        before = await self._until(run, f"{situation.name} is to be cleared", reached)
        action = ClearTasks(kind="clear", **asdict(situation.clearing))
        would_be = await self._client.preview(run, action)
        cleared = await self._client.act(run, action)
        assert would_be.task_instances == cleared.task_instances, "the dry run says what is cleared"
        (scratch / "mended").touch()
        await self._until(run, f"{situation.name} is to be let go", _standing(situation.again))
        (scratch / "go").touch()
        end = await self._until(run, f"{situation.name} is to end", _has_ended)
        return Seen(end.state.value, _tasks(before), tuple(map(_label, cleared.task_instances)), _tasks(end))

    async def _start(self, situation: Situation, scratch: Path) -> str:
        request = LoadDagInput(
            path=str(DAG_FILE),
            dag_id=situation.dag_id,
            run_id=situation.name,
            conf={"scratch": str(scratch)},
            now=now(),
        )
        loaded = await load_dag(self._ours.template, request)
        return await self._client.start(loaded, task_queue=self._ours.task_queue, route_queues=False)

    async def _until(self, run: str, what: str, reached: Callable[[DagRunRecord], bool]) -> DagRunRecord:
        try:
            async with asyncio.timeout(PATIENCE):
                async for record in self._client.watch(run, LOOK):
                    if reached(record):
                        return record
        except TimeoutError as error:
            raise AssertionError(f"not within {PATIENCE:.0f} s: {what}; stands at {_tasks(record)}") from error
        raise AssertionError(f"the run has ended: {what}; stands at {_tasks(record)}")


def _standing(wanted: Mapping[str, Stands]) -> Callable[[DagRunRecord], bool]:
    return lambda record: wanted.items() <= _tasks(record).items()


def _has_ended(record: DagRunRecord) -> bool:
    return record.state.value in {"success", "failed"}


def _tasks(record: DagRunRecord) -> dict[str, Stands]:
    return {
        label(ti.task_id, ti.map_index): Stands(ti.state.value if ti.state else None, ti.try_number)
        for ti in record.task_instances
    }


def _label(acted_on: ActedOn) -> str:
    return label(acted_on.task_id, acted_on.map_index)
