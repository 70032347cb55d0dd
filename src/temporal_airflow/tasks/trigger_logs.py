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
from airflow.sdk import log as airflow_logging


class TriggerLogs:
    """A file-like object that distributes what is written to it."""

    def __init__(self) -> None:
        self._files: dict[int, Path] = {}

    def configure(self) -> None:
        """Make this the output of all logging in this process."""
        output: Any = self
        airflow_logging.reset_logging()
        airflow_logging.configure_logging(json_output=True, output=output)

    def open(self, trigger: int, path: Path) -> None:
        """Sort the lines of a trigger into a file.

        Args:
            trigger: its id.
            path: relative to Airflow's log folder; appended to, if an earlier trigger of the try wrote there.
        """
        self._files[trigger] = airflow_logging.init_log_file(str(path))

    def close(self, trigger: int) -> None:
        """Forget a trigger's file; what it logs later belongs to no trigger."""
        self._files.pop(trigger, None)

    def write(self, line: bytes) -> int:
        """Take one line; called by logging, from any thread."""
        event = msgspec.json.decode(line)
        file = self._files.get(event.pop("trigger_id", None))
        if file is None:
            sys.stderr.write(line.decode())
        else:
            if "exception" in event:
                event["error_detail"] = event.pop("exception")
            with file.open("ab") as log_file:  # not kept open: there may be more triggers than file descriptors
                log_file.write(msgspec.json.encode(event) + b"\n")
        return len(line)

    def flush(self) -> None:
        """Every line is written at once."""
        sys.stderr.flush()
