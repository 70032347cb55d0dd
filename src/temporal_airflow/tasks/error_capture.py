"""Finds the one error line of a try among everything its task logs.

It is one more target of the task's log events, beside the log file, and masks what it keeps. It must not know the file.
"""

from __future__ import annotations

from typing import Any

import structlog
from structlog.typing import EventDict

from temporal_airflow.tasks.try_record import TryRecord, one_line

DECISIVE = ("Task failed with exception", "Top level error")
"""The task runner's events that end a task; later errors come from callbacks and listeners."""

NOT_FOUND = ("Dag not found during start up", "Task not found in Dag during start up")
"""The task runner's events about a DAG file that isn't there or can't be imported, which was logged before."""

EXITED = "Task exited"
"""The task runner's event of ``sys.exit``."""


class ErrorCapture:
    """A structlog processor that fills in the record's error, and the last exception besides."""

    def __init__(self, record: TryRecord) -> None:
        self._record = record

    def logger(self) -> Any:
        """A logger that feeds this capture and writes nothing."""
        return structlog.wrap_logger(None, processors=[self])

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> EventDict:
        """Look at one event, and drop it."""
        text = str(event.get("event", ""))
        exception = _exception(event)
        if text in DECISIVE:
            self._record.error = one_line(exception or text)
        elif text in NOT_FOUND:
            reason = self._record.last_exception
            self._record.error = f"{text}: {reason}" if reason else text
        elif text == EXITED:
            self._record.error = f"{text} with code {event.get('exit_code')}"
        elif exception:
            self._record.last_exception = one_line(exception)
        raise structlog.DropEvent


def _exception(event: EventDict) -> str | None:
    details = event.get("error_detail")
    if not isinstance(details, list) or not details:
        return None
    return f"{details[0].get('exc_type')}: {details[0].get('exc_value')}"
