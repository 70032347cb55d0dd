"""The callback of a missed deadline: what it is called with, and the call of a synchronous one in a slot.

Asynchronous ones run in the trigger host instead (``triggers.hosted_callback``). It must not know when one is due.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk.serde import deserialize
from airflow.serialization.serialized_objects import BaseSerialization

from temporal_airflow.models import DeadlineCallbackInput
from temporal_airflow.tasks import callback_process, logs, sealing
from temporal_airflow.tasks.callback_process import Call
from temporal_airflow.tasks.channel import Channel
from temporal_airflow.tasks.execution_api import client as execution_api
from temporal_airflow.tasks.messages import CallbacksDone, RunDeadlineCallback


def run_callback(request: RunDeadlineCallback, channel: Channel) -> CallbacksDone:
    """Run a synchronous callback to its end."""
    callback = request.input
    call = Call(
        id=callback.callback_id,
        path=callback.callback_path,
        arguments=_as_from_database(arguments(callback)),
        bundle=callback.bundle,
        log_path=logs.deadline_callback_log_path(callback.run, callback.callback_id),
    )
    return callback_process.run(call, execution_api.for_callbacks(callback, request.large_xcom_path, channel), channel)


def arguments(callback: DeadlineCallbackInput) -> dict[str, Any]:
    """What a callback is called with: its own arguments and Airflow's simple context."""
    context = {
        "dag_run": callback.dag_run,
        "deadline": {"id": str(callback.deadline_id), "deadline_time": callback.deadline_time},
    }
    kwargs: Any = deserialize(sealing.unseal(callback.callback_kwargs))
    return {**kwargs, "context": context}


def _as_from_database(values: dict[str, Any]) -> dict[str, Any]:
    """The arguments after they were a column of Airflow's database, as executors get them: times are Pendulum's."""
    restored: dict[str, Any] = BaseSerialization.deserialize(BaseSerialization.serialize(values))
    return restored
