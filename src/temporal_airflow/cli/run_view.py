"""A run for people and for programs: the live table, lines where there is no terminal, the summary, the JSON object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from airflow.utils.state import DagRunState, TaskInstanceState
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from temporal_airflow.cli.questions import PROGRAM, question, questions
from temporal_airflow.exceptions import TemporalAirflowError
from temporal_airflow.identifiers import task_label, workflow_id
from temporal_airflow.models import DagRunRecord, TaskInstanceRecord, XComRecord
from temporal_airflow.tasks.xcom_values import read_value

COLOURS = {
    "success": "green",
    "running": "cyan",
    "failed": "bold red",
    "upstream_failed": "red",
    "skipped": "magenta",
    "up_for_retry": "yellow",
    "up_for_reschedule": "yellow",
    "queued": "blue",
    "awaiting_input": "dark_orange",
}
LOG_LINES = 20
"""Lines of a failed task's log in the summary."""

SHOWN_FAILURES = 5
"""Failed task instances whose log the summary shows."""


class RunView:
    """Shows a run while it goes on: a live table on a terminal, a line per change elsewhere."""

    def __init__(self, console: Console, program: str = PROGRAM) -> None:
        """Begin with nothing shown.

        Args:
            console: where to.
            program: how the command line is called from another terminal.
        """
        self._console = console
        self._program = program
        self._shown: dict[str, tuple[str, int, int]] = {}
        self._live = Live(console=console, refresh_per_second=8, transient=False) if console.is_terminal else None

    def __enter__(self) -> RunView:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, record: DagRunRecord) -> None:
        """Show the run as it is now."""
        if self._live:
            self._live.update(run_table(record, self._program))
            return
        for ti in record.task_instances:
            self._show_change(record, ti)

    def _show_change(self, record: DagRunRecord, ti: TaskInstanceRecord) -> None:
        label = task_label(ti.task_id, ti.map_index)
        seen = (_state(ti), ti.try_number, len(ti.lost_attempts))
        if ti.state is None or self._shown.get(label) == seen:
            return
        self._shown[label] = seen
        parts = [f"{label}: {_state(ti)} (try {ti.try_number}"]
        if ti.state == TaskInstanceState.SUCCESS:
            parts.append(_duration(ti))
        self._console.print(", ".join(part for part in parts if part) + ")", markup=False)
        if ti.input_request:
            self._console.print(*question(record, ti, self._program), sep="\n")


def run_table(record: DagRunRecord, program: str = PROGRAM) -> Group:
    """A run as a table under a heading, and below it what its tasks ask of people.

    Args:
        record: of the run.
        program: how the command line is called from another terminal.
    """
    heading = Text.assemble(
        (record.run.dag_id, "bold"), " ", (record.run.run_id, "dim"), " ", _coloured(record.state.value)
    )
    if record.reason and record.state == DagRunState.FAILED:
        heading.append(f" ({record.reason})")
    if record.paused:
        heading.append(" paused", "yellow")
    if record.note:
        heading.append(f"\nNote: {record.note}")
    for line in _missed(record):
        heading.append(f"\n{line}", "yellow")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("task", "state", "try", "duration", "note"):
        table.add_column(column, overflow="fold")
    for ti in record.task_instances:
        label = task_label(ti.task_id, ti.map_index)
        table.add_row(label, _coloured(_state(ti)), str(ti.try_number or ""), _duration(ti), Text(_note(ti)))
    return Group(heading, table, *questions(record, program))


def print_summary(console: Console, record: DagRunRecord) -> None:
    """Say how a run ended: its failed tasks with the end of their logs, and how many of each state."""
    failed = [ti for ti in record.task_instances if ti.state == TaskInstanceState.FAILED]
    for ti in failed[:SHOWN_FAILURES]:
        _print_failure(console, record, ti)
    if len(failed) > SHOWN_FAILURES:
        console.print(f"... and {len(failed) - SHOWN_FAILURES} more failed; `temporal-airflow logs` shows their logs.")
    for line in _missed(record):
        console.print(line, style="yellow", markup=False)
    counted = ", ".join(f"{count} {state}" for state, count in _count_states(record.task_instances))
    took = (record.end_date or datetime.now(UTC)) - (record.start_date or datetime.now(UTC))
    console.print(
        Text.assemble(
            "Run ", _coloured(record.state.value), f" after {took.total_seconds():.1f} s: {counted or 'no tasks'}"
        )
    )


def run_json(record: DagRunRecord, xcoms: Iterable[XComRecord] | None = None) -> dict[str, Any]:
    """The JSON object of ``run`` and ``status``.

    Args:
        record: the run.
        xcoms: added to their task instances; None leaves the field out.
    """
    run = record.run
    deadlines = [deadline.model_dump(mode="json") for deadline in record.deadlines]
    return {
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "workflow_id": workflow_id(run.dag_id, run.run_id),
        "state": record.state.value,
        "logical_date": _iso(run.logical_date),
        "start_date": _iso(record.start_date),
        "end_date": _iso(record.end_date),
        **({"deadlines": deadlines} if deadlines else {}),
        **({"paused": True} if record.paused else {}),
        **({"note": record.note} if record.note else {}),
        "task_instances": list(_task_instances_json(record, None if xcoms is None else tuple(xcoms))),
    }


def _missed(record: DagRunRecord) -> Iterator[str]:
    for deadline in record.deadlines:
        if deadline.missed:
            yield f"Missed deadline{f' {deadline.name}' if deadline.name else ''}: {_iso(deadline.deadline_time)}"


def _task_instances_json(record: DagRunRecord, xcoms: tuple[XComRecord, ...] | None) -> Iterator[dict[str, Any]]:
    for ti in record.task_instances:
        entry: dict[str, Any] = {
            "task_id": ti.task_id,
            "map_index": ti.map_index,
            "state": ti.state.value if ti.state else None,
            "try_number": ti.try_number,
            "start_date": _iso(ti.start_date),
            "end_date": _iso(ti.end_date),
        }
        if ti.input_request:
            entry["input_request"] = ti.input_request.model_dump(mode="json", exclude={"sealed_params"})
        if ti.waits_for:
            entry["waits_for"] = ti.waits_for
        if ti.note:
            entry["note"] = ti.note
        if ti.lost_attempts:
            entry["lost_attempts"] = [lost.model_dump(mode="json") for lost in ti.lost_attempts]
        if xcoms is not None:
            own = (x for x in xcoms if (x.task_id, x.map_index) == (ti.task_id, ti.map_index))
            entry["xcom"] = {xcom.key: read_value(xcom) for xcom in own}
        yield entry


def _print_failure(console: Console, record: DagRunRecord, ti: TaskInstanceRecord) -> None:
    from temporal_airflow.tasks import logs

    label = task_label(ti.task_id, ti.map_index)
    console.print(Text.assemble((label, "bold"), f" failed (try {ti.try_number})", f": {ti.error}" if ti.error else ""))
    try:
        path = logs.log_folder() / logs.log_path(record.run, ti.task_id, ti.map_index, ti.try_number)
        lines = list(logs.read(path))
    except (OSError, TemporalAirflowError) as error:
        console.print(f"  its log can't be read here: {error}", style="dim", markup=False)
        return
    console.print(f"  last lines of {path}:", style="dim", markup=False)
    for line in lines[-LOG_LINES:]:
        console.print(f"  {line}", markup=False)


def _count_states(task_instances: Iterable[TaskInstanceRecord]) -> list[tuple[str, int]]:
    states = [_state(ti) for ti in task_instances]
    return [(state, states.count(state)) for state in dict.fromkeys(states)]


def _state(ti: TaskInstanceRecord) -> str:
    return ti.state.value if ti.state else "waiting"


def _coloured(state: str) -> Text:
    return Text(state, COLOURS.get(state, ""))


def _duration(ti: TaskInstanceRecord) -> str:
    if ti.start_date is None:
        return ""
    running = ti.state == TaskInstanceState.RUNNING
    if ti.end_date is None and not running:
        return ""
    end = datetime.now(UTC) if running else ti.end_date
    assert end is not None
    return f"{max(0.0, (end - ti.start_date).total_seconds()):.2f} s"


def _note(ti: TaskInstanceRecord) -> str:
    notes = [f"attempt {lost.attempt} of try {lost.try_number} lost: {lost.reason}" for lost in ti.lost_attempts]
    if ti.error and ti.state != TaskInstanceState.SUCCESS:
        notes.append(ti.error)
    if ti.input_request:
        notes.append("waits for an answer")
    elif ti.wakes_at:
        notes.append(f"goes on at {ti.wakes_at.astimezone():%H:%M:%S}")
    if ti.waits_for:
        notes.append(f"waits: {ti.waits_for}")
    if ti.note:
        notes.append(ti.note)
    return "; ".join(notes)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
