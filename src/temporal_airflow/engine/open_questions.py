"""Whether a task of a run asks people, by the run's record: for the run itself, and for who wants to answer.

It must not know Airflow, nor whether an answer fits.
"""

from __future__ import annotations

from temporal_airflow import near_names
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
    known = [(ti.task_id, ti.map_index) for ti in record.task_instances]
    task_ids = {task_id for task_id, _ in known}
    if response.task_id in task_ids:
        return near_names.absent_task_instance(record.run.run_id, known, response.task_id, response.map_index) or ""
    waiting = sorted({ti.task_id for ti in record.task_instances if ti.input_request})
    return (
        f"Run {record.run.run_id!r} has no task {response.task_id!r}"
        f"{near_names.did_you_mean(response.task_id, task_ids)}; "
        f"{'waiting for an answer: ' + ', '.join(waiting) if waiting else 'no task waits for an answer'}."
    )
