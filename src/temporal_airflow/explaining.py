"""Says of each task instance that doesn't run why: what the run's record knows, and what Airflow's dependencies say.

Nothing is asked of the run for it but its record: the rest is found out here, on a copy (``engine.explanations``).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from airflow.utils.state import DagRunState, State, TaskInstanceState

from temporal_airflow.engine.events import TaskKey
from temporal_airflow.engine.explanations import CopiedRun
from temporal_airflow.models import DagExecutionInput, DagRunRecord, TaskInstanceRecord, XComRecord
from temporal_airflow.reasons import Explanation, Explanations, Reason

MOST_EXPLAINED = 300
"""Task instances that are explained at once."""

HAVE_RUN = (TaskInstanceState.SUCCESS, TaskInstanceState.FAILED)
DECIDED = (TaskInstanceState.SKIPPED, TaskInstanceState.UPSTREAM_FAILED, TaskInstanceState.REMOVED)
WAITING = (None, TaskInstanceState.SCHEDULED, TaskInstanceState.UP_FOR_RETRY, TaskInstanceState.UP_FOR_RESCHEDULE)


def explain(
    execution: DagExecutionInput,
    record: DagRunRecord,
    skips: Iterable[XComRecord],
    task_id: str | None,
    now: datetime,
) -> Explanations:
    """Explain a run.

    Args:
        execution: the input of its workflow.
        record: how it stands.
        skips: XComs in which its branches say what is skipped.
        task_id: only this task, whatever its state is; None explains all that wait, or once the run has ended, all
            that haven't run.
        now: when the question is asked.
    """
    ended = record.state in State.finished_dr_states
    wanted = [ti for ti in record.task_instances if _is_wanted(ti, task_id, ended=ended)]
    copy = CopiedRun(execution, record, skips, now)
    try:
        found = [Explanation(ti, tuple(_reasons(ti, copy))) for ti in wanted[:MOST_EXPLAINED]]
    finally:
        copy.dispose()
    return Explanations(tuple(_of_run(record)), tuple(found), len(wanted) - len(found))


def _is_wanted(ti: TaskInstanceRecord, task_id: str | None, *, ended: bool) -> bool:
    if task_id is not None:
        return ti.task_id == task_id
    has_run = ti.state in HAVE_RUN or ti.state == TaskInstanceState.RUNNING
    return not has_run and (ended or ti.state not in DECIDED)


def _of_run(record: DagRunRecord) -> Iterable[str]:
    if record.state == DagRunState.QUEUED:
        yield f"The run is queued. {record.waits_for or ''}".strip()
    if record.paused:
        yield "Its DAG is paused: no more tasks start."


def _reasons(ti: TaskInstanceRecord, copy: CopiedRun) -> Iterable[Reason]:
    if known := _known(ti):
        return [_plain(known)]
    if ti.state in DECIDED:
        return copy.unmet(_key(ti)) or [_plain("The run doesn't tell: it was decided from outside.")]
    return _what_it_waits_for(ti, copy)


def _known(ti: TaskInstanceRecord) -> str | None:
    """What the record alone tells; None if Airflow has to be asked."""
    told: str | None = None
    match ti.state:
        case TaskInstanceState.RUNNING:
            told = f"It runs{_since(ti.start_date)}{f' on {ti.hostname}' if ti.hostname else ''}."
        case TaskInstanceState.SUCCESS | TaskInstanceState.FAILED:
            told = f"It has run: {ti.state.value}{f', {ti.error}' if ti.error else ''}."
        case TaskInstanceState.DEFERRED:
            told = f"It waits for trigger {ti.trigger or '(not known)'}{_since(ti.waits_since)}."
        case TaskInstanceState.AWAITING_INPUT:
            told = _question(ti)
        case TaskInstanceState.QUEUED:
            told = f"It waits for {ti.waits_for}." if ti.waits_for else "A worker is about to take it."
        case TaskInstanceState.REMOVED:
            told = "It is no part of the run any more: what it is mapped over has become shorter."
        case TaskInstanceState.SKIPPED if ti.try_number:
            told = f"It has skipped itself (try {ti.try_number})."
    return told


def _what_it_waits_for(ti: TaskInstanceRecord, copy: CopiedRun) -> Iterable[Reason]:
    unmet = copy.unmet(_key(ti))
    told = {reason.reason.rstrip(".") for reason in unmet}
    known = [_plain(ti.waits_for)] if ti.waits_for and ti.waits_for.rstrip(".") not in told else []
    reasons = [*known, *unmet]
    if not reasons and ti.wakes_at:
        return [_plain(f"It goes on at {ti.wakes_at.isoformat()}.")]
    return reasons or [_plain("Nothing holds it up: it is about to start.")]


def _question(ti: TaskInstanceRecord) -> str:
    asks = f"It asks {ti.input_request.subject!r}" if ti.input_request else "It waits for an answer"
    until = f", at the latest until {ti.wakes_at.isoformat()}" if ti.wakes_at else ""
    return f"{asks}{_since(ti.waits_since)}{until}: answer with `temporal-airflow respond`."


def _since(moment: datetime | None) -> str:
    return f" since {moment.isoformat(timespec='seconds')}" if moment else ""


def _plain(reason: str) -> Reason:
    return Reason(None, reason)


def _key(ti: TaskInstanceRecord) -> TaskKey:
    return TaskKey(ti.task_id, ti.map_index)
