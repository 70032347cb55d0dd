"""Runs one shape on one side, ours or the hand-written workflow's, and measures it.

Loading the DAG comes before the clock starts, as Airflow too has parsed it before a run is triggered. The process that
starts the runs and waits for them is not counted.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus

from benchmarks.installation import HANDWRITTEN_QUEUE, Installation, Process
from benchmarks.measured import Measured, Side, latency_of, load
from benchmarks.shapes import Isolation, Shape
from temporal_airflow.client import DagRunClient, now
from temporal_airflow.models import LoadDagInput, LoadedDag

LOAD_PATIENCE = timedelta(seconds=120)
AFTERMATH = 0.2
"""Seconds for the processes to be done with a run that has ended: their last work counts too."""

MEMORY_LOOK = 0.3
"""Seconds between two looks at memory."""

LISTING_PATIENCE = 10.0
"""Seconds for the server to list a run that has ended as such."""


class FailedRunError(Exception):
    """A run of a benchmark did not succeed: its figures mean nothing."""


@dataclass
class Ours:
    """DAG runs on our worker."""

    installation: Installation
    worker: Process
    isolation: Isolation
    side: Side = "ours"
    _loaded: dict[str, LoadedDag] = field(default_factory=dict)

    @property
    def _client(self) -> DagRunClient:
        return DagRunClient(self.installation.client)

    async def prepare(self, shape: Shape) -> None:
        """Have the DAG loaded by the worker.

        Raises:
            InputError: if this version can't run it.
        """
        if shape.dag_id not in self._loaded:
            request = LoadDagInput(dag_id=shape.dag_id, now=now())
            queue = self.installation.settings.task_queue
            self._loaded[shape.dag_id] = await self._client.load(request, task_queue=queue, within=LOAD_PATIENCE)

    async def start(self, shape: Shape) -> str:
        """Trigger one run."""
        loaded = self._loaded[shape.dag_id]
        run = loaded.run.model_copy(update={"run_id": uuid.uuid4().hex})
        queue = self.installation.settings.task_queue
        return await self._client.start(loaded.model_copy(update={"run": run}), task_queue=queue, route_queues=True)

    async def starts(self, workflow_id: str) -> list[datetime]:
        """When the tasks of a run started, by their own word."""
        result = await self._client.result(workflow_id)
        if result.state.value != "success":
            raise FailedRunError(f"{workflow_id} ended as {result.state.value}")
        return [ti.start_date for ti in result.snapshot.task_instances if ti.start_date]


@dataclass
class HandWritten:
    """The same by hand.

    Attributes:
        isolation: of ours, which it takes turns with: under the same load.
    """

    installation: Installation
    worker: Process
    isolation: Isolation
    side: Side = "handwritten"

    async def prepare(self, shape: Shape) -> None:
        """Nothing to prepare."""

    async def start(self, shape: Shape) -> str:
        """Start one workflow."""
        name, count = shape.handwritten
        started = await self.installation.client.start_workflow(
            name, count, id=f"handwritten-{uuid.uuid4().hex}", task_queue=HANDWRITTEN_QUEUE
        )
        return started.id

    async def starts(self, workflow_id: str) -> list[datetime]:
        """When the activities of a workflow started."""
        history = await self.installation.client.get_workflow_handle(workflow_id).fetch_history()
        return [
            event.event_time.ToDatetime(UTC)
            for event in history.events
            if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED
        ]


async def measure(side: Ours | HandWritten, shape: Shape, repetition: int) -> Measured:
    """Run a shape once.

    Raises:
        FailedRunError: if a run doesn't succeed.
    """
    await side.prepare(shape)
    parts = {"workers": side.worker.tree, "server": side.installation.server}
    before = {name: tree.cpu() for name, tree in parts.items()}
    loaded, begin = load(), datetime.now(UTC)
    workflow_ids = await asyncio.gather(*(side.start(shape) for _ in range(shape.runs)))
    client = side.installation.client
    await asyncio.gather(*(client.get_workflow_handle(workflow_id).result() for workflow_id in workflow_ids))
    await asyncio.sleep(AFTERMATH)
    cpu = {name: tree.cpu() - before[name] for name, tree in parts.items()}
    memory = sum(tree.pss() for tree in parts.values())
    histories = await asyncio.gather(*(_histories(client, workflow_id) for workflow_id in workflow_ids))
    is_chain = shape.handwritten[0] == "Chain"
    starts = [await side.starts(workflow_id) for workflow_id in workflow_ids]
    return Measured(
        shape=shape.name,
        side=side.side,
        isolation=side.isolation,
        repetition=repetition,
        tasks=shape.all_tasks,
        wall=max(each.ended - begin for each in histories).total_seconds(),
        latency=latency_of(starts) if is_chain else None,
        cpu=cpu,
        pss=memory,
        events=sum(each.events for each in histories),
        size=sum(each.size for each in histories),
        longest=max(each.longest for each in histories),
        load=loaded,
    )


@dataclass(frozen=True)
class _Histories:
    """Of one run: of all workflows that it consists of."""

    ended: datetime
    events: int
    size: int
    longest: int


async def _histories(client: Client, workflow_id: str) -> _Histories:
    """What the server keeps of a run: of all workflows under it and of each that it continued as."""
    async with asyncio.timeout(LISTING_PATIENCE):
        while True:
            listed = [each async for each in client.list_workflows(f"RootWorkflowId = '{workflow_id}'")]
            if listed and all(each.status != WorkflowExecutionStatus.RUNNING for each in listed):
                break
            await asyncio.sleep(0.05)
    closed = [each.close_time for each in listed if each.id == workflow_id and each.close_time is not None]
    return _Histories(
        ended=max(closed),
        events=sum(each.history_length for each in listed),
        size=sum(each.raw_info.history_size_bytes for each in listed),
        longest=max(each.history_length for each in listed),
    )


async def peak_memory(side: Ours, shape: Shape) -> float:
    """The most megabytes (PSS) that the workers and the server took together while a shape ran."""
    await side.prepare(shape)
    workflow_id = await side.start(shape)
    ending = asyncio.create_task(side.starts(workflow_id))
    highest = 0.0
    while not ending.done():
        highest = max(highest, side.worker.tree.pss() + side.installation.server.pss())
        await asyncio.wait({ending}, timeout=MEMORY_LOOK)
    await ending
    return highest
