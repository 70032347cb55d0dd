"""Which attempts of a run no worker has taken yet, and what they wait for.

A run counts an attempt as running from the moment it asks for it; only the server knows whether a worker has it. It
must not know why an attempt is wanted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from airflow.utils.state import TaskInstanceState
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client, WorkflowExecutionDescription

from temporal_airflow import identifiers, worker_presence
from temporal_airflow.models import DagExecutionInput, DagRunRecord, TaskInstanceRecord
from temporal_airflow.run_reader import RunReader

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
    where = (workflow_id, *record.batches)
    looks = (client.get_workflow_handle(each).describe() for each in where)
    descriptions = await asyncio.gather(*looks, return_exceptions=True)
    since = _queued_since((each for each in descriptions if isinstance(each, WorkflowExecutionDescription)), record)
    queued = [ti for ti in record.task_instances if ti.state == TaskInstanceState.RUNNING and _label(ti) in since]
    late = [ti for ti in queued if datetime.now(UTC) - since[_label(ti)] > AT_ONCE]
    waits = await _waits(client, await reader.execution(workflow_id), late, since) if late else {}
    changed = {_label(ti): _as_queued(ti, waits.get(_label(ti))) for ti in queued}
    task_instances = tuple(changed.get(_label(ti), ti) for ti in record.task_instances)
    return record.model_copy(update={"task_instances": task_instances})


def _queued_since(descriptions: Iterable[WorkflowExecutionDescription], record: DagRunRecord) -> dict[str, datetime]:
    """When attempts were asked for that no worker has, by label of the task instance.

    Of a series that a worker has, all but the first wait for the one before them.
    """
    series = {each.activity_id: each.labels for each in record.series}
    since: dict[str, datetime] = {}
    for description in descriptions:
        for pending in description.raw_description.pending_activities:
            taken = pending.state != PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
            labels = series.get(pending.activity_id, (pending.activity_id.partition("/")[0],))
            since |= dict.fromkeys(labels[1:] if taken else labels, pending.scheduled_time.ToDatetime(UTC))
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
