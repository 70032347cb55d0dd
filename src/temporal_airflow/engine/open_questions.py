"""Whether a task of a run asks people, by the run's record: for the run itself, and for who wants to answer.

It must not know Airflow, nor whether an answer fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from temporal_airflow.identifiers import task_label
from temporal_airflow.models import DagRunRecord, InputResponse, TaskInstanceRecord


def absence(record: DagRunRecord, response: InputResponse) -> str | None:
    """Why nobody waits for an answer; None if a task does.

    Args:
        record: the run as it is.
        response: the answer.
    """
    ti = asked(record, response)
    if ti is None:
        return _unknown_task(record, response)
    if ti.input_request is None:
        state = ti.state.value if ti.state else "none yet"
        return f"Task {task_label(ti.task_id, ti.map_index)!r} waits for no answer: its state is {state}."
    return None


def asked(record: DagRunRecord, response: InputResponse) -> TaskInstanceRecord | None:
    """The task instance that is answered; None if there is none."""
    key = (response.task_id, response.map_index)
    return next((ti for ti in record.task_instances if (ti.task_id, ti.map_index) == key), None)


def _unknown_task(record: DagRunRecord, response: InputResponse) -> str:
    indexes = [ti.map_index for ti in record.task_instances if ti.task_id == response.task_id]
    if indexes:
        known = "is not mapped" if indexes == [-1] else f"has map indexes {min(indexes)} to {max(indexes)}"
        return f"Task {response.task_id!r} {known}; there is no map index {response.map_index}."
    known_ids = sorted({ti.task_id for ti in record.task_instances})
    waiting = sorted({ti.task_id for ti in record.task_instances if ti.input_request})
    return (
        f"Run {record.run.run_id!r} has no task {response.task_id!r}{did_you_mean(response.task_id, known_ids)}; "
        f"{'waiting for an answer: ' + ', '.join(waiting) if waiting else 'no task waits for an answer'}."
    )


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """A hint at names that are nearly this one; empty if there is none."""
    near = get_close_matches(name, known, n=3)
    return f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
