"""A bench for whole runs: real server, real worker, real task processes, and a check that no workflow task failed."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError

from temporal_airflow.client import DagRunClient, now
from temporal_airflow.dag_loader import load_dag
from temporal_airflow.identifiers import batch_workflow_id
from temporal_airflow.models import DagExecutionResult, LoadDagInput, LoadedDag, TaskInstanceRecord
from temporal_airflow.settings import Settings
from temporal_airflow.tasks.slots import ProcessTemplate
from temporal_airflow.tasks.xcom_values import read_value
from temporal_airflow.worker import RunningWorker, run_worker

CAME_BETWEEN = {
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND,
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND,
}
"""Something happened while a workflow task was under way: an event, or the end of the whole run from outside."""

DAGS_FOLDER = Path(__file__).parent / "dags"


@dataclass(frozen=True)
class EndedRun:
    """A run that has ended."""

    workflow_id: str
    result: DagExecutionResult

    @property
    def state(self) -> str:
        return self.result.state.value

    @property
    def states(self) -> dict[str, str | None]:
        """State by task id, ``task_id[map_index]`` for mapped ones."""
        return {label(ti): ti.state.value if ti.state else None for ti in self.result.snapshot.task_instances}

    @property
    def tries(self) -> dict[str, int]:
        return {label(ti): ti.try_number for ti in self.result.snapshot.task_instances}

    @property
    def errors(self) -> dict[str, str]:
        """What failed tasks said."""
        return {label(ti): ti.error for ti in self.result.snapshot.task_instances if ti.error}

    def task(self, name: str) -> TaskInstanceRecord:
        return next(ti for ti in self.result.snapshot.task_instances if label(ti) == name)

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        [record] = [x for x in self.result.xcoms if (x.task_id, x.key, x.map_index) == (task_id, key, map_index)]
        return read_value(record)


@dataclass
class RunBench:
    """Runs DAGs of ``tests/dags`` on a task queue that only this test uses."""

    temporal: Client
    template: ProcessTemplate
    settings: Settings
    scratch: Path
    task_queue: str = field(default_factory=lambda: f"test-{uuid.uuid4().hex}")
    started: list[str] = field(default_factory=list)
    route_queues: bool = False

    @property
    def client(self) -> DagRunClient:
        return DagRunClient(self.temporal)

    @asynccontextmanager
    async def worker(self, concurrency: int = 4, queues: Sequence[str] = ()) -> AsyncIterator[RunningWorker]:
        settings = self.settings.model_copy(update={"concurrency": concurrency, "drain_timeout": 0})
        async with run_worker(self.temporal, self.template, settings, self.task_queue, queues) as running:
            yield running

    async def load(self, file: str, dag_id: str | None = None, **request: Any) -> LoadedDag:
        request["conf"] = {"scratch": str(self.scratch), **request.get("conf", {})}
        request.setdefault("run_id", f"run-{uuid.uuid4().hex[:8]}")
        path = str(DAGS_FOLDER / file)
        return await load_dag(self.template, LoadDagInput(path=path, dag_id=dag_id, now=now(), **request))

    async def start(
        self, file: str, dag_id: str | None = None, limits: dict[str, Any] | None = None, **request: Any
    ) -> str:
        loaded = await self.load(file, dag_id, **request)
        if limits:
            loaded = loaded.model_copy(update={"limits": loaded.limits.model_copy(update=limits)})
        workflow_id = await self.client.start(loaded, task_queue=self.task_queue, route_queues=self.route_queues)
        self.started.append(workflow_id)
        return workflow_id

    async def end(self, workflow_id: str) -> EndedRun:
        return EndedRun(workflow_id, await self.client.result(workflow_id))

    async def run_here(self, file: str, dag_id: str | None = None, **request: Any) -> EndedRun:
        """A run to its end by a worker that is there."""
        return await self.end(await self.start(file, dag_id, **request))

    async def run(self, file: str, dag_id: str | None = None, **request: Any) -> EndedRun:
        async with self.worker():
            return await self.run_here(file, dag_id, **request)

    async def history(self, workflow_id: str) -> WorkflowHistory:
        return await self.temporal.get_workflow_handle(workflow_id).fetch_history()

    async def histories(self, workflow_id: str) -> list[WorkflowHistory]:
        """Of all executions that the run went through, the latest first."""
        found = [await self.history(workflow_id)]
        while earlier := found[-1].events[0].workflow_execution_started_event_attributes.continued_execution_run_id:
            handle = self.temporal.get_workflow_handle(workflow_id, run_id=earlier)
            found.append(await handle.fetch_history())
        return found

    async def batch_histories(self, workflow_id: str) -> list[WorkflowHistory]:
        """Of all batches of attempts of a run."""
        found: list[WorkflowHistory] = []
        with contextlib.suppress(RPCError):  # there was no such batch
            while True:
                found.append(await self.history(batch_workflow_id(workflow_id, len(found) + 1)))
        return found

    async def failed_workflow_tasks(self) -> list[str]:
        """What went wrong in workflow tasks of the runs started here; must be empty."""
        return [
            f"{workflow_id}: {failure}"
            for workflow_id in self.started
            for history in [*await self.histories(workflow_id), *await self.batch_histories(workflow_id)]
            for failure in failures_in(history)
        ]

    def notes(self, name: str) -> list[str]:
        """Lines that tasks left in a file of the scratch folder."""
        path = self.scratch / name
        return path.read_text().splitlines() if path.exists() else []


def failures_in(history: WorkflowHistory) -> list[str]:
    """What went wrong in workflow tasks."""
    return [
        str(event.workflow_task_failed_event_attributes.failure)
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
        and event.workflow_task_failed_event_attributes.cause not in CAME_BETWEEN
    ]


def label(ti: TaskInstanceRecord) -> str:
    return ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"
