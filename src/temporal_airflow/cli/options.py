"""Arguments and options that several commands share, and how their text is read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from temporal_airflow.exceptions import InputError


class Output(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"


Run = Annotated[str, typer.Argument(metavar="RUN", help="Workflow id, or dag_id/run_id.")]
Task = Annotated[str, typer.Argument(metavar="TASK", help="Task id.")]
MapIndex = Annotated[int, typer.Option(help="Which instance of a mapped task.")]
MapIndexes = Annotated[
    list[int] | None,
    typer.Option("--map-index", help="Only this instance of a mapped task; may be given several times."),
]
Upstream = Annotated[bool, typer.Option("--upstream", help="Also what the tasks depend on.")]
Downstream = Annotated[bool, typer.Option("--downstream", help="Also what depends on the tasks.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
User = Annotated[str | None, typer.Option(metavar="NAME", help="Who does it; the user of this command otherwise.")]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Print a table or JSON.")]
DagId = Annotated[str | None, typer.Option(help="Which DAG, if the file holds several.")]
RunId = Annotated[str | None, typer.Option(help="The run's id; Airflow makes one otherwise.")]
LogicalDate = Annotated[str | None, typer.Option(metavar="T", help="Logical date in ISO 8601; now otherwise.")]
Conf = Annotated[
    str | None, typer.Option(metavar="JSON|@FILE", help="Configuration of the run (params, dag_run.conf).")
]


def checked_map_indexes(map_index: list[int] | None, tasks: list[str] | None) -> tuple[int, ...]:
    """Map indexes, which are of tasks that are named."""
    if map_index and not tasks:
        raise typer.BadParameter("--map-index is about a task: name one.")
    return tuple(map_index or ())


def read_conf(text: str | None, option: str = "--conf") -> dict[str, Any]:
    """Read ``--conf``, or another option that takes a JSON object.

    Raises:
        InputError: if it isn't a JSON object, or its file can't be read.
    """
    if text is None:
        return {}
    source = option
    if text.startswith("@"):
        source = text[1:]
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"The file {source!r} of {option} can't be read: {error}.") from error
    try:
        conf = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} is not JSON: {error}.") from error
    if not isinstance(conf, dict):
        raise InputError(f'{source} must be a JSON object such as {{"key": 1}}, not {type(conf).__name__}.')
    return conf


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is a word of JavaScript's")


def read_logical_date(text: str | None) -> datetime | None:
    """Read ``--logical-date``, as UTC; without a zone it is in UTC already.

    Raises:
        InputError: if it isn't a date.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InputError(f"--logical-date {text!r} is not a date; write it like 2026-01-31T06:00:00+00:00.") from error


def check_dag_file(path: Path) -> Path:
    """Refuse what can't be a DAG file before anything starts.

    Raises:
        InputError: saying what is wrong with it.
    """
    from temporal_airflow.tasks.dag_loading import checked_file

    return checked_file(path)
