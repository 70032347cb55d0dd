"""Which attempts of a run no worker has taken yet, and what they wait for.

A run counts an attempt as running from the moment it asks for it; only the server knows whether a worker has it. It
must not know why an attempt is wanted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from airflow.utils.state import TaskInstanceState
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowHandle

from temporal_airflow import identifiers, worker_presence
from temporal_airflow.models import DagExecutionInput, DagRunRecord, OpenSeries, TaskInstanceRecord
from temporal_airflow.run_reader import RunReader

T = TypeVar("T")

AT_ONCE = timedelta(seconds=2)
"""Within which a worker usually takes an attempt: until then nobody asks whether there is one."""


async def found(client: Client, reader: RunReader, workflow_id: str, record: DagRunRecord) -> DagRunRecord:
    """A record in which those task instances are queued whose attempts no worker has, with what they wait for.

    Args:
        client: connected to the server.
        reader: of the same server.
        workflow_id: of the run.
        record: as the run tells it.
    """
    described, series = await asyncio.gather(
        _of_each(client, (workflow_id, *record.batches), lambda handle: handle.describe()),
        _of_each(client, record.batches, _series),
    )
    series[workflow_id] = list(record.series)
    since = {
        label: moment
        for where, description in described.items()
        for label, moment in _queued_since(description, series.get(where, ())).items()
    }
    queued = [ti for ti in record.task_instances if ti.state == TaskInstanceState.RUNNING and _label(ti) in since]
    late = [ti for ti in queued if datetime.now(UTC) - since[_label(ti)] > AT_ONCE]
    waits = await _waits(client, await reader.execution(workflow_id), late, since) if late else {}
    changed = {_label(ti): _as_queued(ti, waits.get(_label(ti))) for ti in queued}
    task_instances = tuple(changed.get(_label(ti), ti) for ti in record.task_instances)
    return record.model_copy(update={"task_instances": task_instances})


async def _of_each(
    client: Client, workflow_ids: Iterable[str], ask: Callable[[WorkflowHandle[Any, Any]], Awaitable[T]]
) -> dict[str, T]:
    """What is answered of workflows, without those of which nothing is: they may have ended by now."""
    handles = [client.get_workflow_handle(each) for each in workflow_ids]
    answers = await asyncio.gather(*map(ask, handles), return_exceptions=True)
    pairs = zip(handles, answers, strict=True)
    return {handle.id: answer for handle, answer in pairs if not isinstance(answer, BaseException)}


async def _series(batch: WorkflowHandle[Any, Any]) -> list[OpenSeries]:
    """What runs in series in a batch."""
    series: list[OpenSeries] = await batch.query(identifiers.SERIES_QUERY, result_type=list[OpenSeries])
    return series


def _queued_since(description: WorkflowExecutionDescription, series: Iterable[OpenSeries]) -> dict[str, datetime]:
    """When attempts were asked for that no worker has, by label of the task instance.

    Of attempts that run one after the other, the first one runs once a worker has the activity.
    """
    labels = {each.activity_id: each.labels for each in series}
    since: dict[str, datetime] = {}
    for pending in description.raw_description.pending_activities:
        together = labels.get(pending.activity_id) or (pending.activity_id.partition("/")[0],)
        queued = pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
        since |= dict.fromkeys(together if queued else together[1:], pending.scheduled_time.ToDatetime(UTC))
    return since


def _as_queued(ti: TaskInstanceRecord, waits_for: str | None) -> TaskInstanceRecord:
    update = {"state": TaskInstanceState.QUEUED, "start_date": None}
    return ti.model_copy(update=update | ({"waits_for": waits_for} if waits_for else {}))


async def _waits(
    client: Client, execution: DagExecutionInput, late: Iterable[TaskInstanceRecord], since: Mapping[str, datetime]
) -> dict[str, str]:
    """What attempts wait for that should have been taken by now, by label of the task instance."""
    queues = {_label(ti): _queue_of(execution, ti) for ti in late}
    served = {queue: await worker_presence.serves_tasks(client, queue) for queue in sorted(set(queues.values()))}
    return {
        label: f"{'a free slot of ' if served[queue] else ''}a worker of task queue {queue!r}, "
        f"since {since[label].astimezone():%Y-%m-%d %H:%M:%S}"
        for label, queue in queues.items()
    }


def _label(ti: TaskInstanceRecord) -> str:
    return identifiers.task_label(ti.task_id, ti.map_index)


def _queue_of(execution: DagExecutionInput, ti: TaskInstanceRecord) -> str:
    if not execution.route_queues:
        return execution.task_queue
    return identifiers.task_queue(execution.task_queue, ti.queue, execution.task_queues)
