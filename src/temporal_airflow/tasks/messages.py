"""What worker and slot say to each other: one JSON object a line on a Unix socket.

The worker sends a :data:`Request` and waits for its reply. In between the slot reports heartbeats and may ask the
worker about runs, one question at a time; the worker may send a :class:`Cancel` at any moment. Never kept or sent
elsewhere, so it may change freely with the code.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from temporal_airflow.models import (
    CallbackInput,
    DagDescription,
    DagRunRecord,
    DeadlineCallbackInput,
    LoadDagInput,
    LoadedDag,
    LoadFailure,
    RunListenersInput,
    RunWrite,
    TaskExecutionInput,
    TaskExecutionResult,
    TaskStateQuestion,
    TaskStateValue,
    TriggerWrite,
    XComPage,
    XComRequest,
)
from temporal_airflow.tasks.state_questions import StateAnswer, StateQuestion

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


class RunDeadlineCallback(Message):
    """Run the synchronous callback of a missed deadline."""

    kind: Literal["run_deadline_callback"] = "run_deadline_callback"
    input: DeadlineCallbackInput
    large_xcom_path: str


class RunListeners(Message):
    """Call the listeners of DAG runs."""

    kind: Literal["run_listeners"] = "run_listeners"
    input: RunListenersInput
    large_xcom_path: str


class LoadDag(Message):
    """Load a DAG file and prepare a run of it."""

    kind: Literal["load_dag"] = "load_dag"
    input: LoadDagInput


class DescribeDag(Message):
    """Find a DAG and say what it is."""

    kind: Literal["describe_dag"] = "describe_dag"
    dag_id: str


class HostTriggers(Message):
    """Become a trigger host, for good: from then on :mod:`~temporal_airflow.tasks.triggers.messages` are spoken."""

    kind: Literal["host_triggers"] = "host_triggers"


class Cancel(Message):
    """Stop what is running: ``on_kill``, then SIGKILL. The reply still comes."""

    kind: Literal["cancel"] = "cancel"


class Answer(Message):
    """Answer to a question: ``error``, or what was asked for (``run=None`` is a run that doesn't exist).

    A write that was acknowledged has nothing but the answer itself.
    """

    kind: Literal["answer"] = "answer"
    id: int
    error: str | None = None
    page: XComPage | None = None
    run: DagRunRecord | None = None
    task_state: TaskStateValue | None = None
    kept: StateAnswer | None = None
    conflict: bool = False
    runs: tuple[DagRunRecord, ...] = ()
    run_ids: tuple[str, ...] = ()
    dag: DagDescription | None = None


class AskXCom(Message):
    """One page of a run's XComs; answered by ``page``, empty if the run is unknown.

    Attributes:
        changes: how often an XCom of the run had been changed when the attempt that asks began; None if unknown.
    """

    kind: Literal["ask_xcom"] = "ask_xcom"
    dag_id: str
    run_id: str
    request: XComRequest
    offset: int = 0
    changes: int | None = None


class AskRun(Message):
    """A run with its task instances; answered by ``run``."""

    kind: Literal["ask_run"] = "ask_run"
    dag_id: str
    run_id: str


class AskRuns(Message):
    """The runs of a DAG, by logical date; answered by ``runs``.

    Attributes:
        logical_dates: only those at one of these; None takes all.
        with_tasks: whether their task instances are wanted.
    """

    kind: Literal["ask_runs"] = "ask_runs"
    dag_id: str
    logical_dates: tuple[datetime, ...] | None = None
    with_tasks: bool = True


class AskRunsUntil(Message):
    """A run and those of its DAG whose date isn't later; answered by ``run_ids``, latest date first."""

    kind: Literal["ask_runs_until"] = "ask_runs_until"
    dag_id: str
    run_id: str


class AskDag(Message):
    """What a DAG is; answered by ``dag``."""

    kind: Literal["ask_dag"] = "ask_dag"
    dag_id: str


class AskPreviousRun(Message):
    """The latest run of a DAG before a logical date, in a given state if there is one; answered by ``run``."""

    kind: Literal["ask_previous_run"] = "ask_previous_run"
    dag_id: str
    logical_date: datetime
    state: str | None = None


class AskWrite(Message):
    """Write into the task's own run, or XComs into another; answered once the run has acknowledged it."""

    kind: Literal["ask_write"] = "ask_write"
    dag_id: str
    run_id: str
    write: RunWrite


class AskTaskState(Message):
    """A value of the task's state store; answered by ``task_state``."""

    kind: Literal["ask_task_state"] = "ask_task_state"
    dag_id: str
    run_id: str
    question: TaskStateQuestion


class AskKeptState(Message):
    """Read or write what outlives runs, for a run of this task queue; answered by ``kept``."""

    kind: Literal["ask_kept_state"] = "ask_kept_state"
    task_queue: str
    question: StateQuestion


class AskTrigger(Message):
    """Start a run of another DAG; answered by ``conflict`` if there is such a run, and this try hasn't started it.

    Attributes:
        intent: what the task's own run is to remember first.
        task_instance_id: of the try that asks.
    """

    kind: Literal["ask_trigger"] = "ask_trigger"
    dag_id: str
    run_id: str
    task_instance_id: UUID
    intent: TriggerWrite
    conf: dict[str, Any]
    note: str | None = None
    triggering_user_name: str | None = None


Question = Annotated[
    AskXCom
    | AskRun
    | AskRuns
    | AskRunsUntil
    | AskPreviousRun
    | AskWrite
    | AskTaskState
    | AskTrigger
    | AskDag
    | AskKeptState,
    Field(discriminator="kind"),
]


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
    """How a try ended; a cancelled one that wasn't finished before has a failed result.

    Attributes:
        largest_task: kilobytes of the largest task process of this slot that has ended.
        runner: pid of what stays below the slot for the next task.
    """

    kind: Literal["task_done"] = "task_done"
    result: TaskExecutionResult
    cancelled: bool = False
    largest_task: int = 0
    runner: int | None = None


class CallbacksDone(Reply):
    """The callbacks ran: what they raise is in their log and no error here."""

    kind: Literal["callbacks_done"] = "callbacks_done"
    exit_code: int
    error: str | None = None


class Loaded(Reply):
    """The DAG, or why there is none."""

    kind: Literal["loaded"] = "loaded"
    outcome: LoadedDag | LoadFailure


class Described(Reply):
    """What a DAG is, or why that can't be said."""

    kind: Literal["described"] = "described"
    outcome: DagDescription | LoadFailure


class Failed(Reply):
    """Our own code failed: a defect, or a machine that is full."""

    kind: Literal["failed"] = "failed"
    error: str
    traceback: str


Request = RunTask | RunCallbacks | RunDeadlineCallback | RunListeners | LoadDag | DescribeDag
AnyReply = TaskDone | CallbacksDone | Loaded | Described | Failed
ToSlot = Annotated[Request | HostTriggers | Cancel | Answer, Field(discriminator="kind")]
FromSlot = Annotated[AnyReply | Heartbeat | Ask, Field(discriminator="kind")]

to_slot: TypeAdapter[Request | HostTriggers | Cancel | Answer] = TypeAdapter(ToSlot)
from_slot: TypeAdapter[AnyReply | Heartbeat | Ask] = TypeAdapter(FromSlot)


def encode(message: Message) -> bytes:
    """A message as it goes over the socket."""
    return message.model_dump_json().encode() + b"\n"
