"""Names that other systems see: workflow ids, task queues, activity ids. Only here.

It must not know Airflow, Temporal or the file system: strings in, strings out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from temporal_airflow.exceptions import InputError

DEFAULT_TASK_QUEUE = "airflow-tasks"
DEFAULT_AIRFLOW_QUEUE = "default"

WORKFLOW_TYPE = "execute_airflow_dag"
BATCH_WORKFLOW_TYPE = "run_airflow_tasks"
LOAD_WORKFLOW_TYPE = "load_airflow_dag"
STATE_WORKFLOW_TYPE = "keep_airflow_state"
ASSETS_WORKFLOW_TYPE = "keep_airflow_assets"
POOL_WORKFLOW_TYPE = "keep_airflow_pool"
HOLD_WORKFLOW_TYPE = "hold_airflow_dag"
TASK_ACTIVITY = "run_airflow_task"
SERIES_ACTIVITY = "run_airflow_task_series"
TRIGGER_ACTIVITY = "run_airflow_trigger"
TURN_ACTIVITY = "await_airflow_turn"
CALLBACK_ACTIVITY = "run_airflow_callbacks"
DEADLINE_ACTIVITY = "run_airflow_deadline_callback"
AWAITED_DEADLINE_ACTIVITY = "await_airflow_deadline_callback"
LISTENERS_ACTIVITY = "run_airflow_run_listeners"
LOAD_ACTIVITY = "load_airflow_dag"
PAST_RUNS_ACTIVITY = "watch_past_airflow_runs"
REGISTER_ACTIVITY = "register_airflow_assets"
PUBLISH_ACTIVITY = "publish_airflow_asset_events"
WATCH_ACTIVITY = "watch_airflow_workflow"
HOLDERS_ACTIVITY = "look_at_airflow_runs"
GATHER_ACTIVITY = "let_airflow_slot_messages_gather"
TELL_ACTIVITY = "tell_airflow_runs_of_pause"
UNPAUSE_ACTIVITY = "await_airflow_unpause"
RESPOND_UPDATE = "respond"
ACT_UPDATE = "act"
PREVIEW_QUERY = "preview"

DAG_ID_ATTRIBUTE = "AirflowDagId"
RUN_TYPE_ATTRIBUTE = "AirflowRunType"
LOGICAL_DATE_ATTRIBUTE = "AirflowLogicalDate"
RUN_STATE_ATTRIBUTE = "AirflowRunState"

SEARCH_ATTRIBUTES = {
    DAG_ID_ATTRIBUTE: "Keyword",
    RUN_TYPE_ATTRIBUTE: "Keyword",
    LOGICAL_DATE_ATTRIBUTE: "Datetime",
    RUN_STATE_ATTRIBUTE: "Keyword",
}
"""By which Temporal's lists find runs, with their types as Temporal calls them."""

ATTEMPTS_ENDED_SIGNAL = "attempts_ended"
STOP_SIGNAL = "stop"
SLOTS_SIGNAL = "slots"
SLOT_POST = "temporal_airflow_slot_post"
SLOTS_GRANTED_SIGNAL = "slots_granted"
DEFINE_POOL_UPDATE = "define"
DELETE_POOL_UPDATE = "delete"

POOLS_TASK_QUEUE = "airflow-pools"
"""Where the workflows of pools are: every worker of the namespace serves it besides its own."""

DEFAULT_POOL = "default_pool"
POOL_PREFIX = "airflow-pool-"
PARALLELISM_WORKFLOW_ID = "airflow-parallelism"
SERIES_SIGNAL = "series_reported"
STOPPING_QUERY = "stopping"
SERIES_QUERY = "series"

REFUSED_RESPONSE = "RefusedResponse"
"""Type of the failure with which a run refuses a person's answer."""

LONGEST_FAIRNESS_KEY = 64
"""Bytes."""
REFUSED_ACTION = "RefusedAction"
"""Type of the failure with which a run refuses what somebody wants to do to it."""

MOST_READABLE = 100
"""Characters of a name that an id repeats for people."""


def workflow_id(dag_id: str, run_id: str) -> str:
    """The id of the workflow that is the DAG run."""
    return f"dag-{dag_id}-{run_id}"


def starter_memo(workflow_id: str, task_instance_id: str) -> dict[str, str]:
    """What the memo of a run says that a task has started.

    Args:
        workflow_id: of the task's own run.
        task_instance_id: Airflow's id of the try.
    """
    return {"starting_run": workflow_id, "starting_try": task_instance_id}


def starting_try(memo: Mapping[str, Any]) -> str:
    """Which try has started a run; empty if it wasn't a task."""
    return str(memo.get("starting_try") or "")


def starting_run(memo: Mapping[str, Any]) -> str:
    """The workflow id of the run that has started a run; empty if it wasn't a task."""
    return str(memo.get("starting_run") or "")


def batch_workflow_id(run_workflow_id: str, number: int) -> str:
    """The id of a workflow in which attempts of a run run."""
    return f"tasks-{number}-of-{run_workflow_id}"


def pool_workflow_id(name: str) -> str:
    """The id of the workflow that is a pool of the namespace."""
    return f"{POOL_PREFIX}{name}"


def task_limit_workflow_id(dag_id: str, task_id: str) -> str:
    """The id of the workflow that keeps ``max_active_tis_per_dag`` of a task."""
    digest = hashlib.sha256(f"{dag_id}\0{task_id}".encode()).hexdigest()[:12]
    return f"airflow-limit-{dag_id}-{task_id}-{digest}"


def fairness_key(dag_id: str) -> str:
    """Temporal's key of those who share workers fairly; it has room for 64 bytes."""
    if len(dag_id.encode()) <= LONGEST_FAIRNESS_KEY:
        return dag_id
    return hashlib.sha256(dag_id.encode()).hexdigest()[:LONGEST_FAIRNESS_KEY]


def load_workflow_id(dag_id: str, nonce: str) -> str:
    """The id of the short workflow that asks a worker for its copy of a DAG."""
    return f"load-{dag_id}-{nonce}"


def state_workflow_id(task_queue: str, kind: str, *names: str) -> str:
    """The id of a workflow that keeps state which outlives runs.

    Args:
        task_queue: of the runs that share the state.
        kind: what is kept.
        names: tell states of a kind apart; the digest does so whatever characters they hold.
    """
    digest = _digest(task_queue, kind, *names)
    return "-".join(filter(None, ("state", kind, _readable("-".join(names[:1])), digest)))


def hold_workflow_id(task_queue: str, dag_id: str) -> str:
    """The id of the workflow that is open for as long as a DAG is paused on a task queue."""
    return f"paused-{_readable(dag_id)}-{_digest(task_queue, dag_id)}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def _readable(name: str) -> str:
    return "".join(char if char.isascii() and char.isprintable() else "_" for char in name)[:MOST_READABLE]


def split_run_reference(reference: str) -> tuple[str, str] | None:
    """Read ``RUN`` as a user writes it.

    Args:
        reference: a workflow id, or ``dag_id/run_id``.

    Returns:
        ``(dag_id, run_id)`` for the second form, None for a workflow id.

    Raises:
        InputError: if it is empty or half of a pair.
    """
    if not reference.strip():
        raise InputError("A run is named by its workflow id or by dag_id/run_id; got an empty name.")
    dag_id, slash, run_id = reference.partition("/")
    if not slash:
        return None
    if not dag_id or not run_id:
        raise InputError(f"{reference!r} is not a run: write dag_id/run_id, or the workflow id.")
    return dag_id, run_id


def task_queue(base: str, airflow_queue: str | None, configured: Mapping[str, str] | None = None) -> str:
    """The Temporal task queue that serves an Airflow queue: the base for the default one, ``base-queue`` otherwise.

    Args:
        base: of the run's workers.
        airflow_queue: a task's.
        configured: task queues of Airflow queues for which a user wants others.
    """
    if configured and airflow_queue is not None and airflow_queue in configured:
        return configured[airflow_queue]
    if airflow_queue in (None, "", DEFAULT_AIRFLOW_QUEUE):
        return base
    return f"{base}-{airflow_queue}"


def trigger_queue(base: str) -> str:
    """The Temporal task queue of triggers: any worker of the base queue hosts them, whatever the task's queue."""
    return f"{base}--triggers"


def private_task_queue(*parts: str) -> str:
    """A task queue that only commands of the same folder and environment share.

    Args:
        parts: what must be equal for two commands to serve each other (folder, interpreter, Airflow home).
    """
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
    return f"{DEFAULT_TASK_QUEUE}-{digest}"


def task_label(task_id: str, map_index: int) -> str:
    """How a task instance is written for people: ``task_id`` or ``task_id[map_index]``."""
    return task_id if map_index < 0 else f"{task_id}[{map_index}]"


def activity_id(
    task_id: str, map_index: int, try_number: int, *, attempt: int = 1, reschedules: int = 0, deferrals: int = 0
) -> str:
    """The id of one attempt at one task try: unique among a run's activities and readable in Temporal's UI.

    Args:
        task_id: of the task.
        map_index: of the task instance.
        try_number: of the try.
        attempt: number of the attempt.
        reschedules: how often the try was rescheduled before.
        deferrals: how often the try was deferred before.
    """
    label = f"{task_label(task_id, map_index)}/{try_number}"
    if reschedules:
        label += f"/poke-{reschedules + 1}"
    if deferrals:
        label += f"/resumed-{deferrals}"
    return label if attempt == 1 else f"{label}/attempt-{attempt}"


def series_activity_id(number: int) -> str:
    """The id of a series of attempts: which one of its run it is."""
    return f"series/{number}"


def past_runs_activity_id(number: int) -> str:
    """The id of a run's look at the runs before it: which one it is."""
    return f"past-runs/{number}"


def trigger_activity_id(task_id: str, map_index: int, try_number: int, deferrals: int) -> str:
    """The id of one wait of a deferred task."""
    return f"{task_label(task_id, map_index)}/{try_number}/deferred-{deferrals}"
