"""Everything there is to know of an open run, so that another workflow execution can go on with it."""

from __future__ import annotations

import zlib
from datetime import datetime
from typing import Any

from airflow.utils.state import TaskInstanceState
from pydantic import Field

from temporal_airflow.models.assets import AssetChanges
from temporal_airflow.models.base import CompactModel, SealedKwargs
from temporal_airflow.models.deferrals import Deferral
from temporal_airflow.models.human_input import InputRequest
from temporal_airflow.models.past_runs import PastRuns
from temporal_airflow.models.runs import LostAttempt
from temporal_airflow.models.writes import TaskStateRecord, TriggeredRun
from temporal_airflow.models.xcoms import XComRecord


class TableRows(CompactModel):
    """The rows of a table of the run's database, column by column, as SQLite gives them; bytes are a list of one text.

    Attributes:
        count: of rows.
        same: columns that have the same value in all rows.
        columns: all others.
    """

    count: int
    same: dict[str, Any] = Field(default_factory=dict)
    columns: dict[str, list[Any]] = Field(default_factory=dict)


class KeptTask(CompactModel):
    """A task instance of the run."""

    task_id: str
    map_index: int = -1


class KeptHistory(KeptTask):
    """What is known of a task instance besides its row."""

    attempt: int = 1
    deferrals: int = 0
    next_kwargs: SealedKwargs | None = None
    input_request: InputRequest | None = None
    answered: bool = False
    default_params: SealedKwargs | None = None
    error: str | None = None
    note: str | None = None
    lost: tuple[LostAttempt, ...] = ()
    trigger: str | None = None
    waits_since: datetime | None = None
    requeues: int = 0


class KeptFlight(KeptTask):
    """An attempt or a trigger that is out.

    Attributes:
        state: of its task instance, for as long as it is wanted.
        stopping: whether it has been told to stop.
    """

    try_number: int
    state: TaskInstanceState
    stopping: bool = False


class KeptDeferral(KeptTask):
    """A task instance whose trigger is to be started."""

    deferral: Deferral


class KeptTriggeredRun(KeptTask):
    """A run that a try has started or was about to start."""

    try_number: int
    triggered: TriggeredRun


class KeptClaim(KeptTask):
    """Slots of shared limits that a task instance has, or asks for.

    Attributes:
        held: tickets by the workflow that keeps the limit.
        asks: the workflow of which it asks for slots, and the ticket.
        started: whether it has begun with what it holds.
        deferred: whether it waits for a trigger.
    """

    held: dict[str, int] = Field(default_factory=dict)
    asks: tuple[str, int] | None = None
    started: bool = False
    deferred: bool = False


class KeptAssets(CompactModel):
    """What of the run's assets is on its way.

    Attributes:
        unregistered: whether the assets of the run's file are still to be registered.
        registering: whether that is on its way.
        publishing: how many portions of events are.
        changes: what is to be published besides.
    """

    unregistered: bool = False
    registering: bool = False
    publishing: int = 0
    changes: tuple[AssetChanges, ...] = ()


class KeptPast(CompactModel):
    """What is known of earlier runs.

    Attributes:
        holding_up: why an earlier run lets a task not start, by task id.
    """

    known: PastRuns | None = None
    holding_up: dict[str, str] = Field(default_factory=dict)


class RunSnapshot(CompactModel):
    """An open run between two steps.

    What it waits for elsewhere, and can ask for again without loss, isn't on its way any more: triggers, its turn, news
    of earlier runs.

    Attributes:
        tables: of the run's database, by name; empty ones are left out.
        drawn_ids: how many ids the run has drawn.
        announced: whether listeners were told that it has started.
        cancelled: whether somebody wants it to end.
        paused: whether its DAG is.
        reason: why it ended.
        asks_people: whether a task has ever waited for a person.
        histories: of task instances.
        in_flight: what is out.
        waiting_triggers: that are to be started.
        unmutated: task instances for which a user's mutation hook hasn't been answered yet.
        alarmed: tasks with a relative that ended otherwise than in success.
        candidates: task instances that are to be evaluated.
        xcoms: all of the run.
        xcom_changes: how often one was replaced or deleted.
        task_states: all entries of state stores, expired or not.
        triggered_runs: by try.
        claims: on slots of shared limits.
        tickets: how many requests for slots there have been.
        deadlines: which of the run's deadline alerts each row stands for, by the row's id.
    """

    schema_version: int
    tables: dict[str, TableRows]
    drawn_ids: int
    announced: bool = False
    cancelled: bool = False
    paused: bool = False
    reason: str | None = None
    asks_people: bool = False
    histories: tuple[KeptHistory, ...] = ()
    in_flight: tuple[KeptFlight, ...] = ()
    waiting_triggers: tuple[KeptDeferral, ...] = ()
    unmutated: tuple[KeptTask, ...] = ()
    alarmed: tuple[str, ...] = ()
    candidates: tuple[KeptTask, ...] = ()
    xcoms: tuple[XComRecord, ...] = ()
    xcom_changes: int = 0
    task_states: tuple[TaskStateRecord, ...] = ()
    triggered_runs: tuple[KeptTriggeredRun, ...] = ()
    deadlines: dict[str, int] = Field(default_factory=dict)
    assets: KeptAssets = KeptAssets()
    past_runs: KeptPast = KeptPast()
    claims: tuple[KeptClaim, ...] = ()
    tickets: int = 0

    def compressed(self) -> bytes:
        """As it travels."""
        return zlib.compress(self.model_dump_json().encode())

    @classmethod
    def decompressed(cls, compressed: bytes) -> RunSnapshot:
        """As it was before it travelled."""
        return cls.model_validate_json(zlib.decompress(compressed))
