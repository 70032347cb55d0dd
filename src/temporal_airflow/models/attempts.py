"""One attempt at a task, one wait of it, its callbacks: inputs and results of the activities."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from airflow.utils.state import DagRunState, TaskInstanceState

from temporal_airflow.models.assets import AssetEvents, AssetKey
from temporal_airflow.models.base import BundleReference, CompactModel, SealedKwargs, WireModel
from temporal_airflow.models.deferrals import Deferral
from temporal_airflow.models.human_input import InputRequest, InputWait
from temporal_airflow.models.runs import DagRunIdentity
from temporal_airflow.models.writes import TriggeredRun
from temporal_airflow.models.xcoms import XComRecord


class TryInput(CompactModel):
    """Which try of which task instance of which run: what every activity of a task is told.

    Attributes:
        task_queue: of the run, whatever the task's own queue: what outlives runs is kept there.
    """

    task_instance_id: UUID
    dag_version_id: UUID
    run: DagRunIdentity
    run_start_date: datetime
    bundle: BundleReference
    task_id: str
    map_index: int = -1
    try_number: int
    task_queue: str = ""


class TriggerInput(TryInput):
    """Input of the activity ``run_airflow_trigger``: one wait of one task instance.

    Attributes:
        timeout_after: when the wait fails.
        sealed_dag: for a task that starts in its trigger: see :class:`StartingTrigger`.
    """

    deferral: Deferral
    timeout_after: datetime | None = None
    sealed_dag: SealedKwargs | None = None


class TriggerResult(CompactModel):
    """How a wait ended: the task goes on with ``next_method``, or has ended without running again.

    Attributes:
        next_method: what to call; Airflow's ``__fail__`` if the trigger failed or timed out.
        end_state: set by a trigger that ends its task itself (``BaseTaskEndEvent``).
        xcoms: what such a trigger pushed.
    """

    next_method: str | None = None
    next_kwargs: SealedKwargs | None = None
    end_state: TaskInstanceState | None = None
    xcoms: tuple[XComRecord, ...] = ()


class TaskExecutionInput(TryInput):
    """Input of the activity ``run_airflow_task``: one attempt at one try of one task instance.

    Attributes:
        attempt: 1, and more only after an attempt was lost to infrastructure.
        should_retry: whether a failure of this try leads to another.
        start_date: the try's first start, when it goes on after a reschedule or deferral.
        first_reschedule_date: start of the try's first poke, in reschedule mode.
        deferral_count: how often the try has waited for a trigger or a person before.
        input_kwargs: Airflow-serialized arguments that a person's answer adds to ``next_kwargs``.
        default_params: sealed values of the form's fields, if they and not a person's count as given.
        upstream_results: small XComs of direct upstream tasks.
        xcom_changes: how often an XCom of the run has been replaced or deleted until now.
        inline_xcom_budget: bytes above which a value must go to object storage.
        declared_assets: inlets and outlets, without references and aliases.
        triggered_run: what a lost attempt at the same try has started, or was about to start.
    """

    attempt: int = 1
    max_tries: int = 0
    should_retry: bool = False
    queue: str | None = None
    start_date: datetime | None = None
    task_reschedule_count: int = 0
    first_reschedule_date: datetime | None = None
    deferral_count: int = 0
    next_method: str | None = None
    next_kwargs: SealedKwargs | None = None
    input_kwargs: dict[str, Any] | None = None
    default_params: SealedKwargs | None = None
    xcom_keys_to_clear: tuple[str, ...] = ()
    upstream_results: tuple[XComRecord, ...] = ()
    xcom_changes: int = 0
    inline_xcom_budget: int = 64 * 1024
    max_map_length: int = 1024
    declared_assets: tuple[AssetKey, ...] = ()
    triggered_run: TriggeredRun | None = None


class TaskExecutionResult(CompactModel):
    """How an attempt ended, in Airflow's words.

    Attributes:
        xcoms: last write of each XCom the attempt touched, deletions included.
        mapped_lengths: length of a return value that downstream tasks map over.
        input_request: what the task asked of people, however it waits for the answer.
        skipped_tasks: ``(task_id, map_index)`` to skip; map index None means every one (``SkipDownstreamTasks``).
        exit_code: of the task's process; None if there was none.
        unreported: whether nobody said how the try ended, neither the task nor Airflow's supervisor: callbacks are due.
        error: masked, one line, for people.
    """

    state: TaskInstanceState
    start_date: datetime
    end_date: datetime
    hostname: str = ""
    pid: int | None = None
    exit_code: int | None = None
    unreported: bool = False
    error: str | None = None
    rendered_map_index: str | None = None
    retry_delay_seconds: float | None = None
    retry_reason: str | None = None
    reschedule_date: datetime | None = None
    deferral: Deferral | None = None
    input_request: InputRequest | None = None
    input_wait: InputWait | None = None
    xcoms: tuple[XComRecord, ...] = ()
    mapped_length: int | None = None
    skipped_tasks: tuple[tuple[str, int | None], ...] = ()
    asset_events: AssetEvents = AssetEvents()


class CallbackInput(WireModel):
    """Input of the activity ``run_airflow_callbacks``.

    Attributes:
        request: JSON of one of Airflow's callback requests (``DagCallbackRequest``, ``TaskCallbackRequest``).
        label: what it is, for people.
        task_queue: of the run.
    """

    run: DagRunIdentity
    bundle: BundleReference
    label: str
    request: str
    task_queue: str = ""


class DeadlineCallbackInput(WireModel):
    """Input of the activities that call what a missed deadline names.

    Attributes:
        callback_path: where the callback is imported from.
        dag_run: the run at that moment, as Airflow's API shows it; a part of the callback's context.
    """

    run: DagRunIdentity
    bundle: BundleReference
    callback_id: UUID
    callback_path: str
    callback_kwargs: SealedKwargs
    deadline_id: UUID
    deadline_time: datetime
    dag_run: dict[str, Any]
    task_queue: str = ""


class RunListenersInput(WireModel):
    """Input of the activity ``run_airflow_run_listeners``: a run has reached a state.

    Attributes:
        msg: what Airflow tells listeners besides.
    """

    run: DagRunIdentity
    bundle: BundleReference
    state: DagRunState
    msg: str
    queued_at: datetime | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    task_queue: str = ""
