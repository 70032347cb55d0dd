"""The logs of triggers, one file for each, beside the log of the try that waits for it.

Airflow's logging in the trigger host writes to one place, each line tagged with its trigger; here the lines are sorted
into files, as Airflow's triggerer sorts them: masked, as JSON. What belongs to no trigger goes to stderr. It must not
know triggers, only their ids.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import structlog
from airflow.sdk import log as airflow_logging
from airflow.sdk._shared.secrets_masker import redact

log = structlog.get_logger(__name__)


class TriggerLogs:
    """A file-like object that distributes what is written to it."""

    def __init__(self) -> None:
        self._files: dict[int, tuple[Path, Path]] = {}

    def configure(self) -> None:
        """Make this the output of all logging in this process."""
        output: Any = self
        airflow_logging.reset_logging()
        airflow_logging.configure_logging(json_output=True, output=output, sending_to_supervisor=True)

    def open(self, trigger: int, path: Path) -> None:
        """Sort the lines of a trigger into a file.

        Args:
            trigger: its id.
            path: relative to Airflow's log folder; appended to, if an earlier trigger of the try wrote there.
        """
        self._files[trigger] = path, airflow_logging.init_log_file(str(path))

    def close(self, trigger: int, task_instance: Any) -> None:
        """Send a trigger's file to the remote log storage, if there is one; what it logs later belongs to no trigger.

        Args:
            trigger: its id.
            task_instance: the one that waited, for the storage.
        """
        file = self._files.pop(trigger, None)
        storage = airflow_logging.load_remote_log_handler()
        if file and storage:
            try:
                storage.upload(str(file[0]), task_instance)
            except Exception:
                log.exception("Failed to upload trigger logs to remote", path=str(file[0]))

    def write(self, line: bytes) -> int:
        """Take one line; called by logging, from any thread."""
        event: Any = redact(msgspec.json.decode(line))  # only now: objects became text when the line was made
        _, file = self._files.get(event.pop("trigger_id", None), (None, None))
        if "exception" in event:
            event["error_detail"] = event.pop("exception")
        masked = msgspec.json.encode(event) + b"\n"
        if file is None:
            sys.stderr.write(masked.decode())
        else:
            with file.open("ab") as log_file:  # not kept open: there may be more triggers than file descriptors
                log_file.write(masked)
        return len(line)

    def flush(self) -> None:
        """Every line is written at once."""
        sys.stderr.flush()
