"""How a run is described in Temporal's UI: a small Markdown table. It only formats."""

from __future__ import annotations

from temporal_airflow.identifiers import task_label
from temporal_airflow.models import DagRunRecord, TaskInstanceRecord

MOST_ROWS = 100


def state_table(record: DagRunRecord, size: int) -> str:
    """The run's state and its task instances, the first hundred of them.

    Args:
        record: of the run, with so many task instances at least.
        size: how many task instances there are.
    """
    heading = f"**{record.run.dag_id}** `{record.run.run_id}`: **{record.state.value}**"
    if record.reason:
        heading += f" ({record.reason})"
    missed = sum(deadline.missed for deadline in record.deadlines)
    if missed:
        heading += f", {missed} deadline(s) missed"
    rows = [_row(ti) for ti in record.task_instances[:MOST_ROWS]]
    hidden = size - len(rows)
    table = "\n".join(["| task | state | try | note |", "|---|---|---|---|", *rows])
    return f"{heading}\n\n{table}" + (f"\n\n... and {hidden} more" if hidden else "")


def _row(ti: TaskInstanceRecord) -> str:
    note = (ti.error or ti.waits_for or "").replace("|", "\\|").replace("\n", " ")
    if ti.input_request:
        note = f"asks: {ti.input_request.subject}; {note}".replace("|", "\\|").replace("\n", " ")
    if ti.lost_attempts:
        note = f"{len(ti.lost_attempts)} attempt(s) lost; {note}"
    state = ti.state.value if ti.state else "no status"
    return f"| {task_label(ti.task_id, ti.map_index)} | {state} | {ti.try_number} | {note[:200]} |"
