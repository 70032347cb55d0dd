"""How triggers reach the Execution API: what the Task SDK takes for the connection to its supervisor.

Airflow's own triggerer supervisor handles each call, on our client, in a thread; so a call that asks the worker holds
up nobody else. Whose call it is, the context of the asyncio task says. It must not know sockets.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import greenback
import structlog
from airflow.jobs.triggerer_job_runner import TriggerRunnerSupervisor
from airflow.sdk.api.client import ServerResponseError
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse, MaskSecret

from temporal_airflow.tasks.execution_api.client import ExecutionApi

MAX_CALLS = 16
"""Calls that are served at once; more wait."""

own_api: ContextVar[ExecutionApi | None] = ContextVar("own_api", default=None)
"""The API of the trigger that is running."""

log = structlog.get_logger(__name__)


class TriggerComms:
    """``SUPERVISOR_COMMS`` of the trigger host."""

    def __init__(self, any_api: Callable[[], ExecutionApi]) -> None:
        """Serve the thread that calls this as the one that runs the triggers.

        Args:
            any_api: the API for a thread that a trigger started without its context: it reads the same everywhere.
        """
        self._any_api = any_api
        self._triggers_thread = threading.get_ident()
        self._threads = ThreadPoolExecutor(MAX_CALLS, "trigger-api")

    def send(self, msg: Any) -> Any:
        """A call by synchronous code: in a thread, or in the middle of a trigger."""
        if isinstance(msg, MaskSecret):
            return None  # masked by the caller already, and this is the process that writes the logs
        if threading.get_ident() != self._triggers_thread:
            return self._serve(msg)
        if not greenback.has_portal():
            raise RuntimeError(
                "A trigger can't call the Task SDK synchronously here: use the asynchronous call (e.g. "
                "aget_connection()), or don't set AIRFLOW_DISABLE_GREENBACK_PORTAL."
            )
        return greenback.await_(self.asend(msg))

    async def asend(self, msg: Any) -> Any:
        """A call by asynchronous code."""
        if isinstance(msg, MaskSecret):
            return None
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._threads, context.run, self._serve, msg)

    def _serve(self, msg: Any) -> Any:
        call: Any = _Call(own_api.get() or self._any_api())
        try:
            TriggerRunnerSupervisor._handle_request(call, msg, log, 0)
        except Exception as error:
            raise AirflowRuntimeError(_response_to(error)) from error
        return call.response


@dataclass
class _Call:
    """What Airflow's supervisor needs of itself to handle one call."""

    client: ExecutionApi
    response: Any = None
    _last_runner_comms: float = 0.0

    def send_msg(self, msg: Any, **_options: Any) -> None:
        self.response = msg


def _response_to(error: Exception) -> ErrorResponse:
    """What Airflow's supervisor makes of an error (``WatchedSubprocess.handle_requests``)."""
    detail: dict[str, Any] = {"status_code": None, "message": str(error), "exception_type": type(error).__name__}
    if isinstance(error, ServerResponseError):
        detail = {
            "status_code": error.response.status_code,
            "message": str(error),
            "detail": error.response.json(),
        }
    return ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail)
