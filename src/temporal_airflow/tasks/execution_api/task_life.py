"""The life of a task, half of the namespace ``task_instances``: each call fills the record of the try.

It must not know what becomes of the record.
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

from airflow.sdk.api.datamodels._generated import TIRunContext
from airflow.sdk.execution_time.comms import AwaitInputTask, DeferTask, OKResponse, RescheduleTask, SkipDownstreamTasks
from airflow.utils.state import TaskInstanceState

from temporal_airflow.models import AssetEvents, Deferral, InputWait, SealedKwargs
from temporal_airflow.tasks import sealing
from temporal_airflow.tasks.channel import Channel
from temporal_airflow.tasks.execution_api.errors import server_error
from temporal_airflow.tasks.try_record import TryRecord

MAX_ASSET_EVENTS = 128 * 1024
"""Bytes of JSON; so that several of one asset can be kept, and those of tasks that end together travel together."""


class TaskLife:
    """The transitions of the task: each fills the record."""

    def __init__(self, channel: Channel, record: TryRecord, context: TIRunContext | None) -> None:
        self._channel = channel
        self._record = record
        self._context = context

    def start(self, id: UUID, pid: int, when: datetime) -> TIRunContext:  # noqa: A002, ARG002
        """What the task needs to know of its run."""
        if self._context is None:
            raise AssertionError("Only a task can start")
        return self._context

    def heartbeat(self, id: UUID, pid: int) -> None:  # noqa: A002, ARG002
        """Raise the conflict with which Airflow's server tells that a task must stop, if it was cancelled."""
        if self._channel.cancelled:
            self._record.cancelled = True
            raise server_error(HTTPStatus.CONFLICT, "not_running", "The task was cancelled")

    def succeed(
        self,
        id: UUID,  # noqa: A002, ARG002
        when: datetime,
        task_outlets: list[Any] | None,
        outlet_events: list[dict[str, Any]] | None,
        rendered_map_index: str | None,
    ) -> None:
        """The task succeeded."""
        events = AssetEvents(
            task_outlets=tuple(outlet.model_dump(mode="json", exclude_unset=True) for outlet in task_outlets or ()),
            outlet_events=tuple(outlet_events or ()),
        )
        size = len(events.model_dump_json())
        if size > MAX_ASSET_EVENTS:
            self._record.fail(
                f"The task's asset events are too large: {size:,} bytes of JSON, the limit is {MAX_ASSET_EVENTS:,}. "
                "Keep large data elsewhere and name the place in the event's extra."
            )
            return
        self._record.end(TaskInstanceState.SUCCESS, when, asset_events=events, rendered_map_index=rendered_map_index)

    def finish(self, id: UUID, state: str, when: datetime, rendered_map_index: str | None) -> None:  # noqa: A002, ARG002
        """The task ended otherwise, or its process died."""
        self._record.end(TaskInstanceState(state), when, rendered_map_index=rendered_map_index)

    def retry(
        self,
        id: UUID,  # noqa: A002, ARG002
        end_date: datetime,
        rendered_map_index: str | None,
        retry_delay_seconds: float | None = None,
        retry_reason: str | None = None,
    ) -> None:
        """The task failed and is to be tried again."""
        self._record.end(
            TaskInstanceState.UP_FOR_RETRY,
            end_date,
            rendered_map_index=rendered_map_index,
            retry_delay_seconds=retry_delay_seconds,
            retry_reason=retry_reason,
        )

    def reschedule(self, id: UUID, msg: RescheduleTask) -> None:  # noqa: A002, ARG002
        """The task wants to be run again at a given time."""
        self._record.end(TaskInstanceState.UP_FOR_RESCHEDULE, msg.end_date, reschedule_date=msg.reschedule_date)

    def defer(self, id: UUID, msg: DeferTask) -> None:  # noqa: A002, ARG002
        """The task wants a trigger to wait for it."""
        deferral = Deferral(
            classpath=msg.classpath,
            trigger_kwargs=_sealed(msg.trigger_kwargs or {}),
            next_method=msg.next_method,
            next_kwargs=sealing.seal(msg.next_kwargs or {}),
            timeout=msg.trigger_timeout.total_seconds() if msg.trigger_timeout is not None else None,
            queue=msg.queue,
        )
        map_index = msg.rendered_map_index or self._record.rendered_map_index
        self._record.end(TaskInstanceState.DEFERRED, deferral=deferral, rendered_map_index=map_index)

    def await_input(self, id: UUID, msg: AwaitInputTask) -> None:  # noqa: A002, ARG002
        """The task waits for a person."""
        wait = InputWait(
            next_method=msg.next_method,
            next_kwargs=sealing.seal(msg.next_kwargs or {}),
            timeout=msg.timeout.total_seconds() if msg.timeout is not None else None,
        )
        map_index = msg.rendered_map_index or self._record.rendered_map_index
        self._record.end(TaskInstanceState.AWAITING_INPUT, input_wait=wait, rendered_map_index=map_index)

    def skip_downstream_tasks(self, id: UUID, msg: SkipDownstreamTasks) -> None:  # noqa: A002, ARG002
        """Remember which tasks the task wants skipped; a bare task id means the unmapped instance, as in Airflow."""
        for task in msg.tasks:
            self._record.skipped_tasks.append(task if isinstance(task, tuple) else (task, -1))

    def set_rtif(self, id: UUID, body: dict[str, Any]) -> OKResponse:  # noqa: A002, ARG002
        """Rendered fields are shown by no one yet."""
        return OKResponse(ok=True)

    def set_rendered_map_index(self, id: UUID, rendered_map_index: str) -> OKResponse:  # noqa: A002, ARG002
        """How people see the map index."""
        self._record.rendered_map_index = rendered_map_index
        return OKResponse(ok=True)


def _sealed(trigger_kwargs: dict[str, Any] | str) -> SealedKwargs:
    return trigger_kwargs if isinstance(trigger_kwargs, str) else sealing.seal(trigger_kwargs)  # a text is sealed
