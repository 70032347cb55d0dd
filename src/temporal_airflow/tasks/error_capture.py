"""Finds the one error line of a try among everything its task logs.

It is one more target of the task's log events, beside the log file, and sees them masked. It must not know the file.
"""

from __future__ import annotations

import logging
from typing import Any

import structlog
from airflow.sdk.log import mask_logs
from structlog.typing import EventDict

from temporal_airflow.tasks.try_record import TryRecord, one_line

DECISIVE = ("Task failed with exception", "Top level error")
"""The task runner's events that end a task; later errors come from callbacks and listeners."""

NOT_FOUND = ("Dag not found during start up", "Task not found in Dag during start up")
"""The task runner's events about a DAG file that isn't there or can't be imported, which was logged before."""


class ErrorCapture:
    """A structlog processor that keeps the last decisive error, or else the last one that carries an exception."""

    def __init__(self, record: TryRecord) -> None:
        self._record = record
        self._decided = False

    def logger(self) -> Any:
        """A logger that feeds this capture and writes nothing."""
        return structlog.wrap_logger(None, processors=[mask_logs, self])

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> EventDict:
        """Look at one event, and drop it."""
        text = str(event.get("event", ""))
        if int(event.get("level_number", logging.ERROR)) >= logging.ERROR:
            self._look_at(text, event)
        raise structlog.DropEvent

    def _look_at(self, text: str, event: EventDict) -> None:
        decisive = text in DECISIVE
        if self._decided and not decisive:
            return
        line = _error_line(text, event)
        if text in NOT_FOUND:
            line = f"{text}: {self._record.error}" if self._record.error else text
        if line:
            self._record.error = one_line(line)
            self._decided = decisive


def _error_line(text: str, event: EventDict) -> str | None:
    details = event.get("error_detail")
    if isinstance(details, list) and details:
        return f"{details[0].get('exc_type')}: {details[0].get('exc_value')}"
    if text == "Task exited":
        return f"Task exited with code {event.get('exit_code')}"
    return None
