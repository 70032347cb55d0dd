"""What worker and slot say to each other: one JSON object a line on a Unix socket.

The worker sends a request (:class:`RunTask`, :class:`RunCallbacks`, :class:`LoadDag`) and waits for its reply. In
between the slot reports heartbeats and may ask the worker about runs, one question at a time; the worker may send a
:class:`Cancel` at any moment. Never kept or sent elsewhere, so it may change freely with the code.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from temporal_airflow.models import (
    CallbackInput,
    DagRunRecord,
    LoadDagInput,
    LoadedDag,
    LoadFailure,
    TaskExecutionInput,
    TaskExecutionResult,
    XComPage,
    XComRequest,
)

MAX_LINE = 64 * 1024 * 1024
"""Bytes of the largest message."""


class Message(BaseModel):
    """Base of all messages."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")


class RunTask(Message):
    """Run one attempt at one try.

    Attributes:
        large_xcom_path: object storage path for values too large to travel.
    """

    kind: Literal["run_task"] = "run_task"
    input: TaskExecutionInput
    large_xcom_path: str


class RunCallbacks(Message):
    """Run one of Airflow's callback requests."""

    kind: Literal["run_callbacks"] = "run_callbacks"
    input: CallbackInput
    large_xcom_path: str


class LoadDag(Message):
    """Load a DAG file and prepare a run of it."""

    kind: Literal["load_dag"] = "load_dag"
    input: LoadDagInput


class HostTriggers(Message):
    """Become a trigger host, for good: from then on :mod:`~temporal_airflow.tasks.triggers.messages` are spoken."""

    kind: Literal["host_triggers"] = "host_triggers"


class Cancel(Message):
    """Stop what is running: ``on_kill``, then SIGKILL. The reply still comes."""

    kind: Literal["cancel"] = "cancel"


class Answer(Message):
    """Answer to a question: ``error``, or what was asked for (``run=None`` is a run that doesn't exist)."""

    kind: Literal["answer"] = "answer"
    id: int
    error: str | None = None
    page: XComPage | None = None
    run: DagRunRecord | None = None


class AskXCom(Message):
    """One page of a run's XComs; answered by ``page``, empty if the run is unknown."""

    kind: Literal["ask_xcom"] = "ask_xcom"
    dag_id: str
    run_id: str
    request: XComRequest
    offset: int = 0


class AskRun(Message):
    """A run with its task instances; answered by ``run``."""

    kind: Literal["ask_run"] = "ask_run"
    dag_id: str
    run_id: str


class AskPreviousRun(Message):
    """The latest run of a DAG before a logical date, in a given state if there is one; answered by ``run``."""

    kind: Literal["ask_previous_run"] = "ask_previous_run"
    dag_id: str
    logical_date: datetime
    state: str | None = None


Question = Annotated[AskXCom | AskRun | AskPreviousRun, Field(discriminator="kind")]


class Heartbeat(Message):
    """The task's process is alive and watched."""

    kind: Literal["heartbeat"] = "heartbeat"


class Ask(Message):
    """A question; the slot reads nothing but its answer, or a cancellation, until it comes."""

    kind: Literal["ask"] = "ask"
    id: int
    question: Question


class Reply(Message):
    """Base of what ends a request.

    Attributes:
        reusable: whether the slot can take another request.
    """

    reusable: bool = True


class TaskDone(Reply):
    """How a try ended; a cancelled one that wasn't finished before has a failed result."""

    kind: Literal["task_done"] = "task_done"
    result: TaskExecutionResult
    cancelled: bool = False


class CallbacksDone(Reply):
    """The callbacks ran: what they raise is in their log and no error here."""

    kind: Literal["callbacks_done"] = "callbacks_done"
    exit_code: int
    error: str | None = None


class Loaded(Reply):
    """The DAG, or why there is none."""

    kind: Literal["loaded"] = "loaded"
    outcome: LoadedDag | LoadFailure


class Failed(Reply):
    """Our own code failed: a defect, or a machine that is full."""

    kind: Literal["failed"] = "failed"
    error: str
    traceback: str


Request = RunTask | RunCallbacks | LoadDag
AnyReply = TaskDone | CallbacksDone | Loaded | Failed
ToSlot = Annotated[Request | HostTriggers | Cancel | Answer, Field(discriminator="kind")]
FromSlot = Annotated[AnyReply | Heartbeat | Ask, Field(discriminator="kind")]

to_slot: TypeAdapter[Request | HostTriggers | Cancel | Answer] = TypeAdapter(ToSlot)
from_slot: TypeAdapter[AnyReply | Heartbeat | Ask] = TypeAdapter(FromSlot)


def encode(message: Message) -> bytes:
    """A message as it goes over the socket."""
    return message.model_dump_json().encode() + b"\n"
