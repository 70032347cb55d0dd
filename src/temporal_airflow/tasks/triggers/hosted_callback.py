"""The asynchronous callback of a missed deadline, awaited as Airflow's triggerer awaits it: by its own trigger.

It must not know sockets, nor other triggers.
"""

from __future__ import annotations

import ast
import os

import greenback
from airflow.triggers.callback import PAYLOAD_BODY_KEY, PAYLOAD_STATUS_KEY, CallbackTrigger
from airflow.utils.state import CallbackState

from temporal_airflow.models import DeadlineCallbackInput
from temporal_airflow.tasks.deadline_callback import arguments
from temporal_airflow.tasks.try_record import one_line

NO_END = "The callback's trigger ended without a result"


async def call(callback: DeadlineCallbackInput) -> str | None:
    """Await a callback to its end; returns why it failed."""
    if os.environ.get("AIRFLOW_DISABLE_GREENBACK_PORTAL", "").lower() != "true":
        await greenback.ensure_portal()
    error: str | None = NO_END
    async for event in CallbackTrigger(callback.callback_path, arguments(callback)).run():
        match event.payload[PAYLOAD_STATUS_KEY]:
            case CallbackState.SUCCESS:
                error = None
            case CallbackState.FAILED:
                error = _shorten(event.payload[PAYLOAD_BODY_KEY])
    return error


def _shorten(body: str) -> str:
    """What happened and its last line, of ``message: [lines of a stack trace]``."""
    message, _, lines = body.partition(": ")
    return one_line(f"{message}: {ast.literal_eval(lines)[-1]}")
