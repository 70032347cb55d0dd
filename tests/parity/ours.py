"""The same DAGs under us: a real server, a real worker, real task processes.

What the run's result doesn't tell (reschedules, asset events) is read from its history. It must not know how Airflow
runs a DAG.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from airflow.utils.state import TaskInstanceState
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHistory

from temporal_airflow import identifiers
from temporal_airflow.capacity.pool_client import PoolClient
from temporal_airflow.client import DagRunClient, now
from temporal_airflow.dag_loader import load_dag
from temporal_airflow.engine.airflow_library import import_scheduling_code
from temporal_airflow.models import (
    AssetEventRecord,
    AttemptSeries,
    DagExecutionResult,
    LoadDagInput,
    LoadedDag,
    PoolDefinition,
    PublishedAssetEvents,
    SeriesReport,
    TaskExecutionInput,
    TaskExecutionResult,
    TaskInstanceRecord,
    TriggerInput,
)
from temporal_airflow.settings import Settings
from temporal_airflow.tasks.slots import ProcessTemplate
from temporal_airflow.tasks.xcom_values import read_value
from temporal_airflow.worker import run_worker

from . import outcome
from .answers import ANSWERS, USER, answer_to
from .ends import Ends, read_ends
from .environment import LOGICAL_DATE, POOLS, RUN_ID, run_conf, shared_environment
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
        task_queue: which assets are known is kept for each.
        errors: what failed tasks said, by DAG and task: not compared, but it explains a difference.
        ends: how everything ended, by DAG: to be played in other orders.
    """

    temporal: Client
    template: ProcessTemplate
    scratch: Path
    task_queue: str = TASK_QUEUE
    errors: dict[str, dict[str, str]] = field(default_factory=dict)
    ends: dict[str, Ends] = field(default_factory=dict)

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
        workflow_id = await client.start(loaded, task_queue=self.task_queue, route_queues=False)
        answering = asyncio.create_task(_answer_people(client, workflow_id, dag_id))
        result = await client.result(workflow_id)
        answering.cancel()
        self.errors[dag_id] = {
            outcome.label(ti.task_id, ti.map_index): ti.error for ti in result.snapshot.task_instances if ti.error
        }
        history = await self.temporal.get_workflow_handle(workflow_id).fetch_history()
        failures = list(_failed_workflow_tasks(history))
        assert not failures, f"workflow tasks of {dag_id} failed: {failures}"
        self.ends[dag_id] = await read_ends(self.temporal.data_converter, history)
        attempts = [attempt async for attempt in _attempts(self.temporal, history)]
        waits = [wait async for wait in _waits(self.temporal, history)]
        of_run = _outcome(loaded, result, attempts, waits, self.scratch / dag_id)
        published = await _published(self.temporal, history)
        return replace(of_run, asset_events=[_asset_event(event) for event in published])


@asynccontextmanager
async def open_ours(
    client: Client,
    home: Path,
    scratch: Path,
    isolation: str = "fork",
    settings: Mapping[str, str] = MappingProxyType({}),
    *,
    task_queue: str = TASK_QUEUE,
) -> AsyncIterator[Ours]:
    """Bring up a worker and its task processes.

    Args:
        client: connected to a server.
        home: the AIRFLOW_HOME of task processes.
        scratch: where DAGs leave notes.
        isolation: the setting of that name.
        settings: environment variables in the place of the corpus's.
        task_queue: for its runs and tasks.
    """
    of_worker = Settings(data_folder=home / "data", concurrency=CONCURRENCY, drain_timeout=0)
    environment = shared_environment(home) | {"AIRFLOW__TEMPORAL__ISOLATION": isolation, **settings}
    async with ProcessTemplate.start(environment) as template:
        import_scheduling_code()
        await template.ready()
        async with run_worker(client, template, of_worker, task_queue):
            for name, slots in POOLS.items():
                await PoolClient(client).set(PoolDefinition(name=name, slots=slots))
            yield Ours(client, template, scratch, task_queue)


async def _answer_people(client: DagRunClient, workflow_id: str, dag_id: str) -> None:
    """Answer what the tasks of a run ask, until it ends."""
    if dag_id not in ANSWERS:
        return
    async for record in client.watch(workflow_id):
        for ti in record.task_instances:
            label = outcome.label(ti.task_id, ti.map_index)
            given = answer_to(dag_id, label, ti.try_number) if ti.input_request else None
            if given is not None:
                await client.respond(
                    workflow_id,
                    ti.task_id,
                    chosen_options=given.options,
                    params_input=given.params,
                    map_index=ti.map_index,
                    user=USER,
                )


def _outcome(
    loaded: LoadedDag,
    result: DagExecutionResult,
    attempts: list[Attempt],
    waits: list[TriggerInput],
    notes: Path,
) -> Outcome:
    return Outcome(
        dag_id=loaded.run.dag_id,
        state=result.state.value,
        tasks=_tasks(loaded, result, attempts, waits),
        xcoms=_xcoms(result),
        notes=outcome.read_notes(notes),
    )


def _tasks(
    loaded: LoadedDag, result: DagExecutionResult, attempts: list[Attempt], waits: list[TriggerInput]
) -> dict[str, TaskOutcome]:
    upstream = outcome.upstream_of(loaded.definition.serialized_dag())
    ended = Counter((each.input.task_id, each.input.map_index, each.result.state) for each in attempts)
    deferrals = Counter((each.task_id, each.map_index) for each in waits)
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
            deferrals=deferrals[_key(ti)],
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


def _asset_event(event: AssetEventRecord) -> dict[str, Any]:
    return {
        "name": event.asset.name,
        "uri": event.asset.uri,
        "extra": event.extra,
        "partition_key": event.partition_key,
        "source": outcome.label(event.source_task_id, event.source_map_index),
        "aliases": list(event.aliases),
    }


async def _published(temporal: Client, history: WorkflowHistory) -> list[AssetEventRecord]:
    """The asset events that were recorded for the run."""
    results = [result async for _, result in _completed(temporal, history, identifiers.PUBLISH_ACTIVITY)]
    found = [await temporal.data_converter.decode(result, [PublishedAssetEvents]) for result in results]
    return [event for [published] in found for event in published.events]


async def _attempts(temporal: Client, history: WorkflowHistory) -> AsyncIterator[Attempt]:
    """Every attempt at a task that ended by itself."""
    async for argument, answer in _completed(temporal, history, identifiers.TASK_ACTIVITY):
        [given] = await temporal.data_converter.decode(argument, [TaskExecutionInput])
        [result] = await temporal.data_converter.decode(answer, [TaskExecutionResult])
        yield Attempt(given, result)
    async for argument, answer in _completed(temporal, history, identifiers.SERIES_ACTIVITY):
        [series] = await temporal.data_converter.decode(argument, [AttemptSeries])
        given_by_id = dict(zip(series.activity_ids, series.attempts, strict=True))
        reports = [*await temporal.data_converter.decode(answer, [SeriesReport]), *await _told(temporal, history)]
        results = {end.activity_id: end.result for report in reports for end in report.ends if end.result}
        for activity_id in given_by_id.keys() & results.keys():
            yield Attempt(given_by_id[activity_id], results[activity_id])


async def _told(temporal: Client, history: WorkflowHistory) -> list[SeriesReport]:
    """What series have told before their end."""
    signals = [
        event.workflow_execution_signaled_event_attributes
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
    ]
    told = [signal for signal in signals if signal.signal_name == identifiers.SERIES_SIGNAL]
    decode = temporal.data_converter.decode
    return [report for signal in told for report in await decode(signal.input.payloads, [SeriesReport])]


async def _completed(
    temporal: Client, history: WorkflowHistory, activity_type: str
) -> AsyncIterator[tuple[Sequence[Payload], Sequence[Payload]]]:
    """What each completed activity of a type was given, and its result."""
    scheduled = {}
    for event in history.events:
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            scheduled[event.event_id] = event.activity_task_scheduled_event_attributes
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
            completed = event.activity_task_completed_event_attributes
            activity = scheduled[completed.scheduled_event_id]
            if activity.activity_type.name == activity_type:
                yield activity.input.payloads, completed.result.payloads


async def _waits(temporal: Client, history: WorkflowHistory) -> AsyncIterator[TriggerInput]:
    """Every wait for a trigger."""
    for event in history.events:
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            activity = event.activity_task_scheduled_event_attributes
            if activity.activity_type.name == identifiers.TRIGGER_ACTIVITY:
                [wait] = await temporal.data_converter.decode(activity.input.payloads, [TriggerInput])
                yield wait


def _failed_workflow_tasks(history: WorkflowHistory) -> Iterator[str]:
    for event in history.events:
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
            yield str(event.workflow_task_failed_event_attributes.failure)
