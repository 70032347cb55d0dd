"""What a running task writes into its run before it goes on: acknowledged by the run, so no lost attempt loses it.

Each write is part of the workflow update ``write``; the run answers each by itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from temporal_airflow.models.base import WireModel
from temporal_airflow.models.xcoms import XComRecord

SealedState = Annotated[str, Field(description="JSON text of a state value, Fernet-encrypted")]
"""A value of a task's state store, which may be a secret: opaque to all but the task's process."""


class Writer(WireModel):
    """Who writes: the attempt that runs. A run takes nothing from an attempt that it has given up."""

    task_id: str
    map_index: int = -1
    try_number: int
    attempt: int = 1


class TaskStateValue(WireModel):
    """A value of a task's state store, or where it is: exactly one of the first two is set.

    Attributes:
        reference: path in object storage that holds the sealed value.
        expires_at: from when on it counts as deleted.
    """

    value: SealedState | None = None
    reference: str | None = None
    expires_at: datetime | None = None


class TaskStateWrite(WireModel):
    """A change of the writer's state store.

    Attributes:
        key: None stands for every key.
        content: None deletes.
    """

    kind: Literal["task_state"]
    writer: Writer
    key: str | None = None
    content: TaskStateValue | None = None


class TriggeredRun(WireModel):
    """A run of another DAG that a task has started or is about to start."""

    dag_id: str
    run_id: str
    logical_date: datetime | None = None
    run_after: datetime | None = None


class TriggerWrite(WireModel):
    """The writer is about to start a run: should it be lost, the same try goes on with that run."""

    kind: Literal["trigger"]
    writer: Writer
    triggered: TriggeredRun


class XComWrite(WireModel):
    """An XCom that a task of another run writes, or deletes by ``content=None``.

    Attributes:
        mapped_length: length of a return value that downstream tasks map over.
    """

    kind: Literal["xcom"]
    xcom: XComRecord
    mapped_length: int | None = None


RunWrite = Annotated[TaskStateWrite | TriggerWrite | XComWrite, Field(discriminator="kind")]
"""``kind`` has no default: what was never set doesn't travel."""


class Routing(WireModel):
    """Where the workers of a run are.

    Attributes:
        route_queues: whether a task's Airflow queue picks a task queue of its own; False sends everything to
            ``task_queue``.
        task_queues: task queues by Airflow queue, where a user wants others than the usual ones.
    """

    task_queue: str
    route_queues: bool = True
    task_queues: dict[str, str] = Field(default_factory=dict)


class WriteAnswer(WireModel):
    """What a run says to one write.

    Attributes:
        refusal: why it wasn't taken.
        routing: of the run itself, which goes for runs that it triggers, too.
    """

    refusal: str | None = None
    routing: Routing | None = None


class TaskStateQuestion(WireModel):
    """A question to the query ``task_state``.

    Attributes:
        now: values that expired before aren't there.
    """

    task_id: str
    map_index: int = -1
    key: str
    now: datetime


class TaskStateRecord(WireModel):
    """One entry of a task's state store, as a run's result keeps it."""

    task_id: str
    map_index: int = -1
    key: str
    content: TaskStateValue
