"""Task logs: where the file of a try is, and its lines for people.

Paths follow Airflow's ``[logging] base_log_folder`` and ``log_filename_template``, so that Airflow's own readers find
the files. It must not know the processes that write them, and it imports no more of Airflow than its configuration.
"""

from __future__ import annotations

import functools
import glob
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from temporal_airflow.exceptions import InputError
from temporal_airflow.models import DagRunIdentity

if TYPE_CHECKING:
    import jinja2


@dataclass(frozen=True)
class TryName:
    """One try as the log file template sees it (``ti``)."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int


def log_folder() -> Path:
    """The folder that all log paths are relative to."""
    from airflow.configuration import conf

    return Path(conf.get("logging", "base_log_folder"))


def check_log_folder() -> None:
    """Refuse a log folder that can't be written, before a task loses its attempts to it.

    Raises:
        InputError: naming the folder and its setting.
    """
    folder = log_folder()
    problem = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = error.strerror
    if problem or not os.access(folder, os.W_OK):
        raise InputError(
            f"The folder of task logs {folder} can't be written{f': {problem}' if problem else ''}. "
            "Set [logging] base_log_folder or AIRFLOW_HOME."
        )


def log_path(run: DagRunIdentity, task_id: str, map_index: int, try_number: int) -> Path:
    """Where the log of a try is, relative to :func:`log_folder`."""
    from airflow.configuration import conf

    template = conf.get("logging", "log_filename_template")
    name = TryName(run.dag_id, run.run_id, task_id, map_index, try_number)
    return _inside_log_folder(_render_jinja(template, name, run) if "{{" in template else _format(template, name, run))


def trigger_log_path(task_log: Path, host: int) -> Path:
    """Where triggers of a try log, relative to :func:`log_folder`; Airflow's reader finds it by the try's log path.

    Args:
        task_log: log of the try.
        host: id of the process that the triggers run in.
    """
    return task_log.with_name(f"{task_log.name}.trigger.{host}.log")


def trigger_log_files(task_log: Path) -> list[Path]:
    """The logs of triggers beside that of a try.

    Args:
        task_log: log of the try, with its folder.
    """
    beside = task_log.parent
    names = f"{glob.escape(task_log.name)}.trigger.*.log"
    return sorted(beside.glob(names)) if beside.is_dir() else []


def callback_log_path(run: DagRunIdentity) -> Path:
    """Where the log of a run's callbacks is, beside those of its tasks."""
    return _inside_log_folder(f"dag_id={run.dag_id}/run_id={run.run_id}/callbacks.log")


def listener_log_path(run: DagRunIdentity) -> Path:
    """Where listeners of a run log, beside its tasks."""
    return _inside_log_folder(f"dag_id={run.dag_id}/run_id={run.run_id}/listeners.log")


def deadline_callback_log_path(run: DagRunIdentity, callback_id: UUID) -> Path:
    """Where the callback of a missed deadline logs, as under Airflow's executors."""
    return _inside_log_folder(f"executor_callbacks/{run.dag_id}/{run.run_id}/{callback_id}")


def read(path: Path) -> Iterator[str]:
    """The lines of a log file as people read them.

    Args:
        path: absolute, or relative to :func:`log_folder`.
    """
    with (log_folder() / path).open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            yield from render(line.rstrip("\n"))


def render(line: str) -> Iterator[str]:
    """One line of a log file: the message, then the traceback if it has one."""
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        event = None
    if not isinstance(event, dict):
        yield line
        return
    yield f"[{event.get('timestamp', '-')}] {str(event.get('level', 'info')).upper()} - {event.get('event', '')}"
    details = event.get("error_detail")
    for position, error in enumerate(reversed(details) if isinstance(details, list) else ()):
        yield from _render_error(error, first=position == 0)


def _render_error(error: dict[str, Any], *, first: bool) -> Iterator[str]:
    if not first:
        yield "The error above led to:"
    yield "Traceback (most recent call last):"
    for frame in error.get("frames") or ():
        yield f'  File "{frame.get("filename")}", line {frame.get("lineno")}, in {frame.get("name")}'
    yield f"{error.get('exc_type')}: {error.get('exc_value')}"
    for note in error.get("exc_notes") or ():
        yield str(note)


def _render_jinja(template: str, name: TryName, run: DagRunIdentity) -> str:
    date = _date(run).isoformat()
    return str(_compile(template).render(ti=name, ts=date, try_number=name.try_number))


@functools.cache
def _compile(template: str) -> jinja2.Template:
    import jinja2

    compiled: jinja2.Template = jinja2.Template(template)
    return compiled


def _format(template: str, name: TryName, run: DagRunIdentity) -> str:
    start, end = run.data_interval_start, run.data_interval_end
    return template.format(
        dag_id=name.dag_id,
        task_id=name.task_id,
        run_id=name.run_id,
        data_interval_start=start.isoformat() if start else "",
        data_interval_end=end.isoformat() if end else "",
        logical_date=_date(run).isoformat(),
        try_number=name.try_number,
    )


def _date(run: DagRunIdentity) -> datetime:
    return run.logical_date or run.run_after


def _inside_log_folder(rendered: str) -> Path:
    path = Path(rendered)
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"The log file {rendered!r} would lie outside [logging] base_log_folder: rename the run.")
    return path
