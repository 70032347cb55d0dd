"""The wire contract: what travels between client, workflow and activities, and is kept in histories.

JSON written by Pydantic. Fields are added with a default, never renamed, retyped or removed: a history of an older
release must still be readable. Of Airflow it may import only enums. Connections, variables and other secrets have no
place here.

A *serialized XCom* is the text ``json.dumps`` gives for what the Task SDK put on its wire: ASCII only, opaque to all
but the task process, so that no number, key or lone surrogate is changed on the way.
"""

from __future__ import annotations

import json
import zlib
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from pydantic import BaseModel, ConfigDict, Field

ENGINE_EPOCH = 1
"""Raised whenever the same history could lead to other decisions: open runs don't cross it silently."""

RETURN_KEY = "return_value"
"""Airflow's key of a task's return value (``airflow.models.xcom.XCOM_RETURN_KEY``)."""

DEFAULT_HEARTBEAT_TIMEOUT = 60.0
"""Seconds without a heartbeat after which an attempt counts as lost."""

DEFAULT_MAX_LOST_ATTEMPTS = 3
"""How many attempts at one try may be lost to infrastructure before the try fails."""

SealedKwargs = Annotated[str, Field(description="JSON text of Airflow-serialized arguments, Fernet-encrypted")]
"""Arguments that may hold secrets: encrypted with Airflow's Fernet key as in its database; opaque to all but tasks."""

SerializedXCom = Annotated[str, Field(description="ASCII JSON text of the Task SDK's wire value")]


class WireModel(BaseModel):
    """Base of all wire models: immutable, unknown fields of newer releases ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_bytes="base64", val_json_bytes="base64")


class BundleReference(WireModel):
    """Where a worker finds the DAG file: Airflow's bundle, its version and the path inside it."""

    name: str
    version: str | None = None
    relative_fileloc: str


class DagDefinition(WireModel):
    """A DAG as a parse process saw it: everything the engine may know of it.

    Attributes:
        compressed_dag: zlib-compressed JSON of Airflow's ``DagSerialization.to_dict``, with what only user code could
            compute (custom weight rules, custom timetables) already replaced by its result.
        task_count: task instances known before the run starts.
        warnings: what the user should know, though it stops nothing.
    """

    dag_id: str
    bundle: BundleReference
    compressed_dag: bytes
    task_count: int
    max_active_runs: int = 16
    warnings: tuple[str, ...] = ()

    def serialized_dag(self) -> dict[str, Any]:
        """The dictionary that ``DagSerialization.from_dict`` takes."""
        serialized: dict[str, Any] = json.loads(zlib.decompress(self.compressed_dag))
        return serialized


class DagRunIdentity(WireModel):
    """A DAG run as Airflow creates it; all times in UTC."""

    dag_id: str
    run_id: str
    run_type: DagRunType
    triggered_by: DagRunTriggeredByType = DagRunTriggeredByType.CLI
    logical_date: datetime | None = None
    data_interval_start: datetime | None = None
    data_interval_end: datetime | None = None
    run_after: datetime
    conf: dict[str, Any] = {}
    partition_key: str | None = None
    note: str | None = None
    triggering_user_name: str | None = None


class RunLimits(WireModel):
    """Configuration that influences decisions, read once at submit so that every worker decides alike.

    Attributes:
        heartbeat_timeout: seconds.
        max_task_instances: more than this is refused.
        max_map_length: Airflow's ``[core] max_map_length``.
        inline_xcom_value: bytes; a larger value goes to object storage.
        inline_xcom_run: bytes of values that a run may hold in all.
        input_xcom_value: bytes; a larger value isn't sent along in a task's input.
    """

    heartbeat_timeout: float = DEFAULT_HEARTBEAT_TIMEOUT
    max_lost_attempts: int = DEFAULT_MAX_LOST_ATTEMPTS
    max_task_instances: int = 500
    max_map_length: int = 1024
    inline_xcom_value: int = 64 * 1024
    inline_xcom_run: int = 1024 * 1024
    input_xcom_value: int = 4 * 1024


class DagExecutionInput(WireModel):
    """Input of the workflow ``execute_airflow_dag``.

    Attributes:
        route_queues: whether a task's Airflow queue picks a task queue of its own; False sends everything to
            ``task_queue``.
    """

    schema_version: int = 1
    engine_epoch: int
    airflow_version: str
    definition: DagDefinition
    run: DagRunIdentity
    task_queue: str
    route_queues: bool = True
    limits: RunLimits = RunLimits()


class XComValue(WireModel):
    """A value, or where it is: exactly one of the two is set.

    Attributes:
        value: the serialized XCom.
        reference: path in object storage that holds the serialized XCom.
    """

    value: SerializedXCom | None = None
    reference: str | None = None


class XComRecord(WireModel):
    """One XCom of a run. As part of a result, ``content=None`` deletes it."""

    task_id: str
    map_index: int = -1
    key: str
    content: XComValue | None = None


class AssetEvents(WireModel):
    """What a successful task says of its assets, in the Execution API's own form."""

    task_outlets: tuple[dict[str, Any], ...] = ()
    outlet_events: tuple[dict[str, Any], ...] = ()


class Deferral(WireModel):
    """How a task wants to wait: a trigger, and what to call when it has fired (``DeferTask``).

    Attributes:
        classpath: of the trigger.
        timeout: seconds after which the wait fails.
    """

    classpath: str
    trigger_kwargs: SealedKwargs
    next_method: str
    next_kwargs: SealedKwargs | None = None
    timeout: float | None = None
    queue: str | None = None


class TriggerInput(WireModel):
    """Input of the activity ``run_airflow_trigger``: one wait of one task instance.

    Attributes:
        timeout_after: when the wait fails.
    """

    task_instance_id: UUID
    dag_version_id: UUID
    run: DagRunIdentity
    run_start_date: datetime
    bundle: BundleReference
    task_id: str
    map_index: int = -1
    try_number: int
    deferral: Deferral
    timeout_after: datetime | None = None


class TriggerResult(WireModel):
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


class TaskExecutionInput(WireModel):
    """Input of the activity ``run_airflow_task``: one attempt at one try of one task instance.

    Attributes:
        attempt: 1, and more only after an attempt was lost to infrastructure.
        should_retry: whether a failure of this try leads to another.
        start_date: the try's first start, when it goes on after a reschedule or deferral.
        first_reschedule_date: start of the try's first poke, in reschedule mode.
        upstream_results: small XComs of direct upstream tasks.
        inline_xcom_budget: bytes above which a value must go to object storage.
    """

    task_instance_id: UUID
    dag_version_id: UUID
    run: DagRunIdentity
    run_start_date: datetime
    bundle: BundleReference
    task_id: str
    map_index: int = -1
    try_number: int
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
    xcom_keys_to_clear: tuple[str, ...] = ()
    upstream_results: tuple[XComRecord, ...] = ()
    inline_xcom_budget: int = 64 * 1024
    max_map_length: int = 1024


class TaskExecutionResult(WireModel):
    """How an attempt ended, in Airflow's words.

    Attributes:
        xcoms: last write of each XCom the attempt touched, deletions included.
        mapped_lengths: length of a return value that downstream tasks map over.
        skipped_tasks: ``(task_id, map_index)`` to skip; map index None means every one (``SkipDownstreamTasks``).
        exit_code: of the task's process; None if there was none.
        error: masked, one line, for people.
    """

    state: TaskInstanceState
    start_date: datetime
    end_date: datetime
    hostname: str = ""
    pid: int | None = None
    exit_code: int | None = None
    error: str | None = None
    rendered_map_index: str | None = None
    retry_delay_seconds: float | None = None
    retry_reason: str | None = None
    reschedule_date: datetime | None = None
    deferral: Deferral | None = None
    xcoms: tuple[XComRecord, ...] = ()
    mapped_length: int | None = None
    skipped_tasks: tuple[tuple[str, int | None], ...] = ()
    asset_events: AssetEvents = AssetEvents()


class CallbackInput(WireModel):
    """Input of the activity ``run_airflow_callbacks``.

    Attributes:
        request: JSON of one of Airflow's callback requests (``DagCallbackRequest``, ``TaskCallbackRequest``).
        label: what it is, for people.
    """

    run: DagRunIdentity
    bundle: BundleReference
    label: str
    request: str


class LostAttempt(WireModel):
    """An attempt that infrastructure took away: it ate no retry."""

    try_number: int
    attempt: int
    reason: str
    at: datetime


class TaskInstanceRecord(WireModel):
    """A task instance as ``status`` shows it.

    Attributes:
        wakes_at: when a waiting task (retry, reschedule) goes on.
    """

    task_id: str
    map_index: int = -1
    state: TaskInstanceState | None = None
    try_number: int = 0
    max_tries: int = 0
    start_date: datetime | None = None
    end_date: datetime | None = None
    rendered_map_index: str | None = None
    hostname: str | None = None
    error: str | None = None
    wakes_at: datetime | None = None
    lost_attempts: tuple[LostAttempt, ...] = ()


class DagRunRecord(WireModel):
    """The state of a run at one moment: the answer of the query ``state``."""

    run: DagRunIdentity
    state: DagRunState
    start_date: datetime | None = None
    end_date: datetime | None = None
    reason: str | None = None
    task_instances: tuple[TaskInstanceRecord, ...] = ()


class XComRequest(WireModel):
    """One question to the query ``xcom``; None leaves a field open.

    Attributes:
        known_only: ask for keys and map indexes without their content.
    """

    task_id: str | None = None
    map_index: int | None = None
    key: str | None = None
    known_only: bool = False


class XComQuestion(WireModel):
    """A question to the query ``xcom``, from a page on.

    Attributes:
        offset: ``next_offset`` of the page before.
    """

    request: XComRequest
    offset: int = 0


class XComPage(WireModel):
    """Answer of the query ``xcom``: records in (task id, key, map index) order.

    Attributes:
        next_offset: where the next page starts; None at the end.
    """

    records: tuple[XComRecord, ...] = ()
    next_offset: int | None = None


class DagExecutionResult(WireModel):
    """Result of the workflow: how the run ended, and everything needed to read it later without a worker."""

    schema_version: int = 1
    engine_epoch: int
    airflow_version: str
    state: DagRunState
    tasks_succeeded: int
    tasks_failed: int
    tasks_skipped: int = 0
    tasks_total: int = 0
    snapshot: DagRunRecord
    xcoms: tuple[XComRecord, ...] = ()


class LoadDagInput(WireModel):
    """Ask for a DAG as a run of it would be submitted.

    Attributes:
        path: the DAG file; None looks through the DAG bundles of the process that is asked.
        logical_date: the run's logical date, None for Airflow's default of a manual run.
        now: the moment of the request, from which default dates and run ids come.
    """

    path: str | None = None
    dag_id: str | None = None
    run_id: str | None = None
    logical_date: datetime | None = None
    conf: dict[str, Any] = {}
    now: datetime


class LoadedDag(WireModel):
    """A DAG that can run, and the run that was asked for, validated."""

    definition: DagDefinition
    run: DagRunIdentity
    limits: RunLimits
    airflow_version: str


class LoadFailure(WireModel):
    """Why a DAG can't be run: ``kind`` names the class in ``exceptions``."""

    kind: str
    message: str
