"""The same DAGs under us: a real server, a real worker, real task processes.

What the run's result doesn't tell (reschedules, asset events) is read from its history. It must not know how Airflow
runs a DAG.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow.utils.state import TaskInstanceState
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHistory

from temporal_airflow import identifiers
from temporal_airflow.client import DagRunClient, now
from temporal_airflow.dag_loader import load_dag
from temporal_airflow.engine.airflow_library import import_scheduling_code
from temporal_airflow.models import (
    DagExecutionResult,
    LoadDagInput,
    LoadedDag,
    TaskExecutionInput,
    TaskExecutionResult,
    TaskInstanceRecord,
)
from temporal_airflow.settings import Settings
from temporal_airflow.tasks.slots import ProcessTemplate
from temporal_airflow.tasks.xcom_values import read_value
from temporal_airflow.worker import run_worker

from . import outcome
from .environment import LOGICAL_DATE, RUN_ID, run_conf, shared_environment
from .outcome import Outcome, Span, TaskOutcome

TASK_QUEUE = "parity"
CONCURRENCY = 4


@dataclass(frozen=True)
class Attempt:
    """One activity that ran a task."""

    input: TaskExecutionInput
    result: TaskExecutionResult


@dataclass(frozen=True)
class Ours:
    """A worker of ours at work.

    Attributes:
        scratch: where DAGs leave notes.
        errors: what failed tasks said, by DAG and task: not compared, but it explains a difference.
    """

    temporal: Client
    template: ProcessTemplate
    scratch: Path
    errors: dict[str, dict[str, str]] = field(default_factory=dict)

    async def load(self, dag_id: str, path: Path) -> LoadedDag:
        """Load a DAG as a run of it is submitted.

        Raises:
            InputError: if we refuse it.
        """
        conf = run_conf(dag_id, path, self.scratch)
        request = LoadDagInput(
            path=str(path), dag_id=dag_id, run_id=RUN_ID, logical_date=LOGICAL_DATE, conf=conf, now=now()
        )
        return await load_dag(self.template, request)

    async def run(self, loaded: LoadedDag) -> Outcome:
        """Run a DAG to its end."""
        dag_id = loaded.run.dag_id
        (self.scratch / dag_id).mkdir(parents=True, exist_ok=True)
        client = DagRunClient(self.temporal)
        workflow_id = await client.start(loaded, task_queue=TASK_QUEUE, route_queues=False)
        result = await client.result(workflow_id)
        self.errors[dag_id] = {
            outcome.label(ti.task_id, ti.map_index): ti.error for ti in result.snapshot.task_instances if ti.error
        }
        history = await self.temporal.get_workflow_handle(workflow_id).fetch_history()
        failures = list(_failed_workflow_tasks(history))
        assert not failures, f"workflow tasks of {dag_id} failed: {failures}"
        attempts = [attempt async for attempt in _attempts(self.temporal, history)]
        return _outcome(loaded, result, attempts, self.scratch / dag_id)


@asynccontextmanager
async def open_ours(client: Client, home: Path, scratch: Path) -> AsyncIterator[Ours]:
    """Bring up a worker and its task processes.

    Args:
        client: connected to a server.
        home: the AIRFLOW_HOME of task processes.
        scratch: where DAGs leave notes.
    """
    settings = Settings(data_folder=home / "data", concurrency=CONCURRENCY, drain_timeout=0)
    async with ProcessTemplate.start(shared_environment(home)) as template:
        import_scheduling_code()
        await template.ready()
        async with run_worker(client, template, settings, TASK_QUEUE):
            yield Ours(client, template, scratch)


def _outcome(loaded: LoadedDag, result: DagExecutionResult, attempts: list[Attempt], notes: Path) -> Outcome:
    return Outcome(
        dag_id=loaded.run.dag_id,
        state=result.state.value,
        tasks=_tasks(loaded, result, attempts),
        xcoms=_xcoms(result),
        notes=outcome.read_notes(notes),
        asset_events=[event for attempt in attempts for event in _asset_events(attempt)],
    )


def _tasks(loaded: LoadedDag, result: DagExecutionResult, attempts: list[Attempt]) -> dict[str, TaskOutcome]:
    upstream = outcome.upstream_of(loaded.definition.serialized_dag())
    ended = Counter((each.input.task_id, each.input.map_index, each.result.state) for each in attempts)
    executed = {(each.input.task_id, each.input.map_index) for each in attempts}
    task_instances = result.snapshot.task_instances
    spans = {
        _key(ti): Span(ti.task_id, ti.map_index, ti.start_date, ti.end_date, _key(ti) in executed)
        for ti in task_instances
    }
    return {
        outcome.label(ti.task_id, ti.map_index): TaskOutcome(
            state=ti.state.value if ti.state else None,
            try_number=ti.try_number,
            map_index=ti.map_index,
            rendered_map_index=ti.rendered_map_index,
            reschedules=ended[ti.task_id, ti.map_index, TaskInstanceState.UP_FOR_RESCHEDULE],
            deferrals=ended[ti.task_id, ti.map_index, TaskInstanceState.DEFERRED],
            started_before=outcome.started_before(spans[_key(ti)], spans.values(), upstream.get(ti.task_id, ())),
        )
        for ti in task_instances
    }


def _key(ti: TaskInstanceRecord) -> tuple[str, int]:
    return ti.task_id, ti.map_index


def _xcoms(result: DagExecutionResult) -> dict[str, dict[str, Any]]:
    xcoms: dict[str, dict[str, Any]] = {}
    for record in result.xcoms:
        xcoms.setdefault(outcome.label(record.task_id, record.map_index), {})[record.key] = read_value(record)
    return xcoms


def _asset_events(attempt: Attempt) -> Iterator[dict[str, Any]]:
    """The events that ``TaskInstance.register_asset_changes_in_db`` would make of what a task said."""
    if attempt.result.state != TaskInstanceState.SUCCESS:
        return
    said = attempt.result.asset_events
    source = outcome.label(attempt.input.task_id, attempt.input.map_index)
    for outlet in (outlet for outlet in said.task_outlets if outlet["type"] != "AssetAlias"):
        key = {"name": outlet.get("name"), "uri": outlet.get("uri")}
        own = [e for e in said.outlet_events if "source_alias_name" not in e and e["dest_asset_key"] == key]
        for event in own or [{}]:
            yield _asset_event(key, event, source)
    for event in said.outlet_events:
        if "source_alias_name" in event:
            yield _asset_event(event["dest_asset_key"], event, source)


def _asset_event(key: dict[str, Any], event: dict[str, Any], source: str) -> dict[str, Any]:
    return {
        **key,
        "extra": event.get("extra") or {},
        "partition_key": event.get("partition_key"),
        "source": source,
        "aliases": [event["source_alias_name"]] if "source_alias_name" in event else [],
    }


async def _attempts(temporal: Client, history: WorkflowHistory) -> AsyncIterator[Attempt]:
    """Every attempt at a task that ended by itself."""
    scheduled = {}
    for event in history.events:
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            scheduled[event.event_id] = event.activity_task_scheduled_event_attributes
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            completed = event.activity_task_completed_event_attributes
            activity = scheduled[completed.scheduled_event_id]
            if activity.activity_type.name != identifiers.TASK_ACTIVITY:
                continue
            [given] = await temporal.data_converter.decode(activity.input.payloads, [TaskExecutionInput])
            [result] = await temporal.data_converter.decode(completed.result.payloads, [TaskExecutionResult])
            yield Attempt(given, result)


def _failed_workflow_tasks(history: WorkflowHistory) -> Iterator[str]:
    for event in history.events:
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
            yield str(event.workflow_task_failed_event_attributes.failure)
