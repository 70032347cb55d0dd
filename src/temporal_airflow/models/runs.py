"""A DAG run on the wire: what it is started with, how it stands, how it ended."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from datetime import datetime
from typing import Any

from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from pydantic import Field, SerializerFunctionWrapHandler, field_serializer, field_validator

from temporal_airflow.models.assets import FileAssets
from temporal_airflow.models.base import BundleReference, CompactModel, WireModel
from temporal_airflow.models.capacity import SharedLimits
from temporal_airflow.models.deadlines import DeadlineAlert, DeadlineRecord, EarlierRun
from temporal_airflow.models.deferrals import StartingTrigger
from temporal_airflow.models.human_input import InputRequest
from temporal_airflow.models.mutations import MutatedTaskInstances
from temporal_airflow.models.writes import Routing, TaskStateRecord, TriggeredRun
from temporal_airflow.models.xcoms import XComRecord

ENGINE_EPOCH = 1
"""Raised whenever the same history could lead to other decisions: open runs don't cross it silently."""


PACKED_FROM = 500
"""Records of task instances that travel compressed."""


DEFAULT_HEARTBEAT_TIMEOUT = 60.0
"""Seconds without a heartbeat after which an attempt counts as lost."""


CONTINUE_FROM_EVENTS = 10_000
"""Length of a history from which a run goes on in a new one as soon as it can; the server may suggest it earlier."""


TASKS_IN_BATCHES_FROM = 2_000
"""Task instances from which the history of one workflow might get too long before the longest task has ended."""

TASKS_IN_BATCH = 256
"""Enough for as many series as a run has that begins them itself."""

TASKS_IN_SERIES = 16
"""As long as they are short, a series of them takes a second; each shares the cost of one activity."""


DEFAULT_MAX_LOST_ATTEMPTS = 3
"""How many attempts at one try may be lost to infrastructure before the try fails."""


class DagDefinition(WireModel):
    """A DAG as a parse process saw it: everything the engine may know of it.

    Attributes:
        compressed_dag: zlib-compressed JSON of Airflow's ``DagSerialization.to_dict``, with what only user code could
            compute (custom weight rules, custom timetables) already replaced by its result.
        task_count: task instances known before the run starts.
        warnings: what the user should know, though it stops nothing.
        starting_triggers: by task, for those that Airflow defers without running them first.
        pools: that its tasks name, each with the most ``pool_slots`` that one of them needs.
        tasks_limited: ``max_active_tis_per_dag`` by task.
        assets: of all DAGs of the file; None if it was loaded by a release that knew of none.
    """

    dag_id: str
    bundle: BundleReference
    compressed_dag: bytes
    task_count: int
    max_active_runs: int = 16
    warnings: tuple[str, ...] = ()
    starting_triggers: dict[str, StartingTrigger] = Field(default_factory=dict)
    assets: FileAssets | None = None
    pools: dict[str, int] = Field(default_factory=dict)
    tasks_limited: dict[str, int] = Field(default_factory=dict)

    def serialized_dag(self) -> dict[str, Any]:
        """The dictionary that ``DagSerialization.from_dict`` takes."""
        serialized: dict[str, Any] = json.loads(zlib.decompress(self.compressed_dag))
        return serialized


class DagRunIdentity(CompactModel):
    """A DAG run as Airflow creates it; all times in UTC."""

    dag_id: str
    run_id: str
    run_type: DagRunType
    triggered_by: DagRunTriggeredByType = DagRunTriggeredByType.CLI
    logical_date: datetime | None = None
    data_interval_start: datetime | None = None
    data_interval_end: datetime | None = None
    run_after: datetime
    conf: dict[str, Any] = Field(default_factory=dict)
    partition_key: str | None = None
    note: str | None = None
    triggering_user_name: str | None = None


class RunLimits(WireModel):
    """Configuration that influences decisions, read once at submit so that every worker decides alike.

    Attributes:
        heartbeat_timeout: seconds.
        max_map_length: Airflow's ``[core] max_map_length``.
        inline_xcom_value: bytes; a larger value goes to object storage.
        inline_xcom_run: bytes of values that a run may hold in all.
        input_xcom_value: bytes; a larger value isn't sent along in a task's input.
        clear_state_on_success: Airflow's ``[state_store] clear_on_success``.
        max_in_flight: attempts and triggers that are out at once; the server refuses a workflow 2,000 activities.
        step_events: events that one step of the engine takes; the others wait.
        step_work: events, evaluations, new rows and starts in one step; the rest is for another.
        step_bytes: of inputs that one step sends out.
        check_steps: whether each step is held against a full pass of Airflow's; slow.
        continue_from_events: length of a history from which the run goes on in a new one as soon as it can; None for
            runs of a release that knew of no other than the server's suggestion, which they didn't follow either.
        batches_from: task instances from which attempts run in batches, in workflows of their own; None for runs of a
            release that knew of none.
        batch_size: attempts in a batch, at most.
        series_size: attempts that run one after the other in one activity, at most; None for runs of a release that
            knew of none.
        series_share: so many series at least are made of attempts that are ready together.
        hold_from_events: length of a history from which nothing more is started until the run can go on in a new one.
        hold_from_bytes: the same by the size of the history.
        parallelism: most tasks that run at once in the namespace; None if that isn't limited.
        task_queued_timeout: seconds that an attempt may wait for a worker; None is without limit.
        num_stuck_in_queued_retries: how often it waits anew after that, before the task fails.
    """

    heartbeat_timeout: float = DEFAULT_HEARTBEAT_TIMEOUT
    max_lost_attempts: int = DEFAULT_MAX_LOST_ATTEMPTS
    max_map_length: int = 1024
    inline_xcom_value: int = 64 * 1024
    inline_xcom_run: int = 1024 * 1024
    input_xcom_value: int = 4 * 1024
    clear_state_on_success: bool = False
    max_in_flight: int = 1000
    step_events: int = 250
    step_work: int = 250
    step_bytes: int = 1_500_000
    check_steps: bool = False
    continue_from_events: int | None = None
    batches_from: int | None = None
    batch_size: int = 100
    series_size: int | None = None
    series_share: int = 16
    hold_from_events: int = 30_000
    hold_from_bytes: int = 20_000_000
    parallelism: int | None = None
    task_queued_timeout: float | None = None
    num_stuck_in_queued_retries: int = 2


class RunProgress(WireModel):
    """How far a run has got in earlier executions of its workflow.

    Attributes:
        compressed_snapshot: see :class:`~temporal_airflow.models.snapshots.RunSnapshot`.
        continued: how often the run has gone on in a new execution.
        started_at: when its first execution was started.
        compressed_batches: zlib-compressed JSON of the list of its :class:`~temporal_airflow.models.batches.OpenBatch`.
        batches_begun: how many batches of attempts it has begun.
        reopened: whether it had ended.
    """

    compressed_snapshot: bytes
    continued: int
    started_at: datetime
    compressed_batches: bytes = b""
    batches_begun: int = 0
    reopened: bool = False


class DagExecutionInput(WireModel):
    """Input of the workflow ``execute_airflow_dag``.

    Attributes:
        route_queues: whether a task's Airflow queue picks a task queue of its own; False sends everything to
            ``task_queue``.
        task_queues: see :class:`Routing`.
        queued_at: when the run was submitted.
        mutated: what a ``task_instance_mutation_hook`` made of the run's task instances.
        earlier_runs: for deadlines that are measured by them.
        listened_states: states of runs that plugins listen to.
        queued: whether it waits in the state queued: for its ``run_after``, and for room under ``max_active_runs``.
        paused: whether its DAG is when it starts.
        progress: where it goes on, if it has begun in another execution.
        shared_limits: across runs; None if there are none for this run.
    """

    schema_version: int = 1
    engine_epoch: int
    airflow_version: str
    definition: DagDefinition
    run: DagRunIdentity
    task_queue: str
    route_queues: bool = True
    task_queues: dict[str, str] = Field(default_factory=dict)
    limits: RunLimits = RunLimits()
    queued: bool = False
    queued_at: datetime | None = None
    paused: bool = False
    deadlines: tuple[DeadlineAlert, ...] = ()
    mutated: tuple[MutatedTaskInstances, ...] = ()
    earlier_runs: tuple[EarlierRun, ...] = ()
    listened_states: tuple[str, ...] = ()
    progress: RunProgress | None = None
    shared_limits: SharedLimits | None = None

    @property
    def routing(self) -> Routing:
        """Where its workers are."""
        return Routing(task_queue=self.task_queue, route_queues=self.route_queues, task_queues=self.task_queues)


class TurnInput(WireModel):
    """Input of the activity ``await_airflow_turn``: a queued run waits for room among the runs of its DAG."""

    dag_id: str
    run_id: str
    max_active_runs: int


class LostAttempt(WireModel):
    """An attempt that infrastructure took away: it ate no retry."""

    try_number: int
    attempt: int
    reason: str
    at: datetime


class TaskInstanceRecord(CompactModel):
    """A task instance as ``status`` shows it.

    Attributes:
        wakes_at: when a waiting task (retry, reschedule) goes on, or waits no longer for an answer.
        waits_for: what else a task waits for: something that isn't in its run, or that its run has too little of.
        awaited_pool: the pool that has too few open slots for it.
        awaited_slots: how many it needs of them.
        input_request: what the task asks of people now; a long body may be cut.
        queue: Airflow's queue of the task, unless it is the default one.
        trigger: classpath of the trigger that a deferred task waits for.
        waits_since: when a deferred task, or one that asks people, began to wait.
        note: that somebody has written on it.
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
    waits_for: str | None = None
    lost_attempts: tuple[LostAttempt, ...] = ()
    awaited_pool: str | None = None
    awaited_slots: int = 0
    input_request: InputRequest | None = None
    queue: str | None = None
    trigger: str | None = None
    waits_since: datetime | None = None
    note: str | None = None


class OpenSeries(WireModel):
    """Attempts that run one after the other in one activity.

    Attributes:
        labels: of the task instances whose end isn't known, in the order in which they run.
    """

    activity_id: str
    labels: tuple[str, ...]


class DagRunRecord(WireModel):
    """The state of a run at one moment: the answer of the query ``state``.

    Attributes:
        waits_for: why a queued run hasn't started.
        batches: ids of the workflows in which attempts run, if not in that of the run.
        note: that somebody has written on it.
        paused: whether its DAG is, so that no more tasks start.
        series: activities in which more than one attempt runs.
    """

    run: DagRunIdentity
    state: DagRunState
    start_date: datetime | None = None
    end_date: datetime | None = None
    reason: str | None = None
    task_instances: tuple[TaskInstanceRecord, ...] = ()
    deadlines: tuple[DeadlineRecord, ...] = ()
    batches: tuple[str, ...] = ()
    waits_for: str | None = None
    note: str | None = None
    paused: bool = False
    series: tuple[OpenSeries, ...] = ()

    @field_serializer("task_instances", mode="wrap", when_used="json")
    def _pack(self, records: object, write: SerializerFunctionWrapHandler) -> object:
        """Compressed where there are many: a payload has room for 2 MB."""
        plain = write(records)
        if len(plain) < PACKED_FROM:
            return plain
        return b64encode(zlib.compress(json.dumps(plain).encode())).decode()

    @field_validator("task_instances", mode="before")
    @classmethod
    def _unpack(cls, records: object) -> object:
        return json.loads(zlib.decompress(b64decode(records))) if isinstance(records, str) else records


class DagExecutionResult(WireModel):
    """Result of the workflow: how the run ended, and everything needed to read it later without a worker.

    Attributes:
        triggered_runs: runs that tasks have started, or tried to.
        progress: how the run can go on, if somebody clears it; its XComs and states of tasks are those of the result.
            None if there was no room for it, or the release before knew of no such thing.
    """

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
    task_states: tuple[TaskStateRecord, ...] = ()
    triggered_runs: tuple[TriggeredRun, ...] = ()
    progress: RunProgress | None = None
