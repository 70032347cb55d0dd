"""Reads the log of a try back: from this machine's log folder, and from Airflow's remote logging if that is configured.

Like Airflow's own reader (``FileTaskHandler``) it takes the try's file and those of its triggers together, in the order
of time; a try that went on elsewhere has parts on several machines, and all of them in the remote storage. It must not
know how logs are written. It loads the user's logging configuration, so no worker may use it.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from temporal_airflow.exceptions import TemporalAirflowError
from temporal_airflow.tasks import logs

TIMESTAMP_LENGTH = 32
"""Characters at most of the timestamps that lines are sorted by."""


class RemoteLogError(TemporalAirflowError):
    """The storage of Airflow's remote logging can't be read."""


@dataclass(frozen=True)
class LoggedTry:
    """The try whose log is read, as handlers of remote logging see a task instance.

    Attributes:
        path: of the log, relative to Airflow's log folder.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
    path: Path
    start_date: datetime | None = None
    end_date: datetime | None = None


@dataclass
class LogReader:
    """Reads one log, once or as it grows: what was given once isn't given again."""

    of: LoggedTry
    _positions: dict[Path, int] = field(default_factory=dict)
    _given: Counter[str] = field(default_factory=Counter)

    @property
    def path(self) -> Path:
        """Of the try's own file."""
        return logs.log_folder() / self.of.path

    @property
    def has_given(self) -> bool:
        """Whether there was anything."""
        return bool(self._given)

    def new_local_lines(self) -> list[str]:
        """Complete lines that this machine's files have got since the last look."""
        return self._take(self._grown(path) for path in self._files())

    def remote_lines(self) -> list[str]:
        """Lines of the remote storage that no file here had.

        Raises:
            RemoteLogError: if the storage can't be read.
        """
        given = self._given.copy()
        fresh = []
        for line in _in_order_of_time(_read_remote(self.of)):
            if given[line]:
                given[line] -= 1
            else:
                fresh.append(line)
        self._given.update(fresh)
        return fresh

    def lines(self) -> list[str]:
        """Everything there is, in the order of time."""
        return _in_order_of_time([self.new_local_lines(), self.remote_lines()])

    def _take(self, sources: Iterable[list[str]]) -> list[str]:
        lines = _in_order_of_time(sources)
        self._given.update(lines)
        return lines

    def _files(self) -> list[Path]:
        return [path for path in (self.path, *logs.trigger_log_files(self.path)) if path.exists()]

    def _grown(self, path: Path) -> list[str]:
        position = self._positions.get(path, 0)
        with path.open("rb") as log:
            log.seek(position)
            complete, newline, _ = log.read().rpartition(b"\n")
        self._positions[path] = position + len(complete) + len(newline)
        return complete.decode(errors="replace").splitlines() if newline else []


def _read_remote(of: LoggedTry) -> list[list[str]]:
    from airflow.sdk._shared.secrets_masker import redact
    from airflow.sdk.log import load_remote_log_handler

    try:
        storage: Any = load_remote_log_handler()
        if storage is None:
            return []
        _, texts = storage.read(of.path.as_posix(), of)
    except Exception as error:
        raise RemoteLogError(
            f"Airflow's remote logging can't be read: {redact(f'{type(error).__name__}: {error}')}. "
            "This machine needs the settings and connections that workers have."
        ) from error
    return [text.splitlines() for text in texts or ()]


def _in_order_of_time(sources: Iterable[list[str]]) -> list[str]:
    """Merge sources that are in order by themselves; a line without a time stays behind the one before it."""
    return [line for _, line in heapq.merge(*map(_timed, sources), key=lambda each: each[0])]


def _timed(lines: list[str]) -> Iterator[tuple[str, str]]:
    latest = ""
    for line in lines:
        latest = max(latest, _timestamp(line))
        yield latest, line


def _timestamp(line: str) -> str:
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return ""
    timestamp = event.get("timestamp") if isinstance(event, dict) else None
    return timestamp[:TIMESTAMP_LENGTH] if isinstance(timestamp, str) else ""
