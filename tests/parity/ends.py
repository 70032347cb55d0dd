"""How everything ended that a run has started, read from its history. It must not know what that is needed for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import ActivityTaskScheduledEventAttributes
from temporalio.client import WorkflowHistory
from temporalio.converter import DataConverter

from temporal_airflow import identifiers
from temporal_airflow.engine.events import TaskKey
from temporal_airflow.models import (
    DagExecutionInput,
    InputResponse,
    PastRuns,
    TaskExecutionResult,
    TriggerInput,
    TriggerResult,
)

Model = TypeVar("Model")


@dataclass
class Ends:
    """How everything ended that a run has started.

    Attributes:
        began: when the run did.
        attempts: results by activity id; None for what was lost.
        waits: of triggers, by task instance and try, one after the other.
        answers: of people, by task instance.
        past_runs: what the run was told of earlier runs.
    """

    execution: DagExecutionInput
    began: datetime
    attempts: dict[str, TaskExecutionResult | None] = field(default_factory=dict)
    waits: dict[tuple[TaskKey, int], list[TriggerResult]] = field(default_factory=dict)
    answers: dict[TaskKey, list[InputResponse]] = field(default_factory=dict)
    past_runs: list[PastRuns] = field(default_factory=list)


async def read_ends(converter: DataConverter, history: WorkflowHistory) -> Ends:
    """Read the history of a run that was one execution and ran no batches."""
    first = history.events[0]
    given = first.workflow_execution_started_event_attributes.input
    ends = Ends(await _one(converter, given, DagExecutionInput), first.event_time.ToDatetime(tzinfo=UTC))
    async for response in _answers(converter, history):
        ends.answers.setdefault(TaskKey(response.task_id, response.map_index), []).append(response)
    for activity, result in _closed(history):
        match activity.activity_type.name:
            case identifiers.TASK_ACTIVITY:
                ended = await _one(converter, result, TaskExecutionResult) if result else None
                ends.attempts[activity.activity_id] = ended
            case identifiers.TRIGGER_ACTIVITY if result:
                wait = await _one(converter, activity.input, TriggerInput)
                place = (TaskKey(wait.task_id, wait.map_index), wait.try_number)
                ends.waits.setdefault(place, []).append(await _one(converter, result, TriggerResult))
            case identifiers.PAST_RUNS_ACTIVITY if result:
                ends.past_runs.append(await _one(converter, result, PastRuns))
    return ends


Closed = tuple[ActivityTaskScheduledEventAttributes, Payloads | None]
"""An activity that ended by itself, with its result if it has one."""


def _closed(history: WorkflowHistory) -> list[Closed]:
    scheduled = {}
    closed: list[Closed] = []
    for event in history.events:
        match event.event_type:
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                scheduled[event.event_id] = event.activity_task_scheduled_event_attributes
            case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                completed = event.activity_task_completed_event_attributes
                closed.append((scheduled[completed.scheduled_event_id], completed.result))
            case EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED:
                closed.append((scheduled[event.activity_task_failed_event_attributes.scheduled_event_id], None))
    return closed


async def _answers(converter: DataConverter, history: WorkflowHistory) -> AsyncIterator[InputResponse]:
    for event in history.events:
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
            asked = event.workflow_execution_update_accepted_event_attributes.accepted_request.input
            if asked.name == identifiers.RESPOND_UPDATE:
                yield await _one(converter, asked.args, InputResponse)


async def _one(converter: DataConverter, payloads: Any, model: type[Model]) -> Model:
    [value] = await converter.decode(payloads.payloads, [model])
    return value  # type: ignore[no-any-return]
