"""How a wait ended, in the words in which Airflow tells a task: ``next_method`` and ``next_kwargs``.

Follows ``airflow/models/trigger.py`` (``handle_event_submit``, ``submit_failure``) and the scheduler's
``check_trigger_timeouts``. It must not know how triggers run.
"""

from __future__ import annotations

import traceback
from typing import Any

import msgspec
from airflow.jobs.triggerer_job_runner import TriggerEventEntry, TriggerRunnerSupervisor, messages
from airflow.models.trigger import _decode_next_kwargs
from airflow.sdk._shared.secrets_masker import redact
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
from airflow.sdk.execution_time.comms import _RequestFrame
from airflow.sdk.serde import serialize
from airflow.triggers.base import BaseTaskEndEvent, TriggerEvent

from temporal_airflow.models import TriggerInput, TriggerResult
from temporal_airflow.tasks.execution_api.xcoms import XComCalls
from temporal_airflow.tasks.sealing import seal

FRAME_HEADER = 4
"""Bytes before each of Airflow's messages."""


def fired(event: TriggerEvent, wait: TriggerInput, next_kwargs: Any, xcoms: XComCalls) -> TriggerResult:
    """The trigger fired: the task goes on, unless the event ends it.

    Args:
        event: the first one.
        wait: what was waited for.
        next_kwargs: serialized arguments of the method that is called next.
        xcoms: where the event's XComs go.
    """
    try:
        event = _through_airflows_messages(event)
    except Exception as error:  # noqa: BLE001  # the event is the user's
        return failed(error)
    if isinstance(event, BaseTaskEndEvent):
        for key, value in (event.xcoms or {}).items():
            xcoms.set(wait.run.dag_id, wait.run.run_id, wait.task_id, key, serialize(value), wait.map_index)
        return TriggerResult(end_state=event.task_instance_state)
    try:
        arguments = {**_decode_next_kwargs(next_kwargs), "event": event.payload}
    except Exception as error:  # noqa: BLE001  # serialized by user code's classes
        return _unresumable("its stored next_kwargs could not be decoded", error)
    try:
        serialized = serialize(arguments)
    except Exception as error:  # noqa: BLE001  # the payload is the user's
        return _unresumable("the event payload could not be serialized", error)
    return TriggerResult(next_method=wait.deferral.next_method, next_kwargs=seal(serialized))


def failed(error: BaseException | None) -> TriggerResult:
    """The trigger raised, or ended without an event."""
    return _failure(TriggerFailureReason.TRIGGER_FAILURE.value, error)


def timed_out() -> TriggerResult:
    """The trigger fired nothing in time."""
    next_kwargs = seal({"error": TriggerFailureReason.TRIGGER_TIMEOUT.value})
    return TriggerResult(next_method=TRIGGER_FAIL_REPR, next_kwargs=next_kwargs)


def _unresumable(problem: str, error: Exception) -> TriggerResult:
    return _failure(f"Could not resume the task: {problem} ({type(error).__name__}: {error})", error)


def _failure(reason: str, error: BaseException | None) -> TriggerResult:
    lines = traceback.format_exception(error) if error is not None else None
    next_kwargs = redact({"error": reason, "traceback": lines})
    return TriggerResult(next_method=TRIGGER_FAIL_REPR, next_kwargs=seal(next_kwargs))


def _through_airflows_messages(event: TriggerEvent) -> TriggerEvent:
    """What arrives of an event after it travelled from the process of a triggerer's triggers to its supervisor."""
    changes = messages.TriggerStateChanges(events=[TriggerEventEntry(0, event, None)])
    sent = _RequestFrame(id=0, body=changes.model_dump()).as_bytes()[FRAME_HEADER:]
    body = msgspec.msgpack.decode(sent, type=_RequestFrame).body
    received = TriggerRunnerSupervisor.decoder.validate_python(body)
    assert isinstance(received, messages.TriggerStateChanges)
    assert received.events
    arrived: TriggerEvent = received.events[0].event
    return arrived
