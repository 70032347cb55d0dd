"""What goes into the engine and what comes out: two closed unions of immutable values.

A workflow turns everything that happens to it into events and carries out commands; nothing else passes between the
two. It must not know Airflow's models or Temporal.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from temporal_airflow.models import (
    ActionAnswer,
    CallbackInput,
    DeadlineCallbackInput,
    HeldSlots,
    InputResponse,
    PastRuns,
    PastRunsQuestion,
    PublishAssetEventsInput,
    RegisterAssetsInput,
    RunAction,
    RunListenersInput,
    SlotRequest,
    TaskExecutionInput,
    TaskExecutionResult,
    TriggerInput,
    TriggerResult,
)


class TaskKey(NamedTuple):
    """A task instance within its run."""

    task_id: str
    map_index: int


@dataclass(frozen=True)
class TaskEnded:
    """An attempt ended by itself: its result is the task's own doing."""

    key: TaskKey
    try_number: int
    result: TaskExecutionResult


@dataclass(frozen=True)
class AttemptLost:
    """Infrastructure took an attempt away (worker or slot died, worker shut down)."""

    key: TaskKey
    try_number: int
    reason: str


@dataclass(frozen=True)
class TaskStopped:
    """An attempt ended because a :class:`StopTask` asked for it."""

    key: TaskKey
    try_number: int


@dataclass(frozen=True)
class TaskStuck:
    """No worker took an attempt for as long as it may wait for one."""

    key: TaskKey
    try_number: int


@dataclass(frozen=True)
class TimePassed:
    """A moment asked for by :class:`WakeAt` has come; the engine looks at the clock."""


@dataclass(frozen=True)
class Unpaused:
    """The answer to :class:`AwaitUnpause`."""


@dataclass(frozen=True)
class TurnCome:
    """A queued run may start."""


@dataclass(frozen=True)
class SlotsGranted:
    """The answer to requests of :class:`AskForSlots`, by their tickets.

    Attributes:
        keeper: id of the workflow that keeps the limit.
    """

    tickets: tuple[int, ...]
    keeper: str


@dataclass(frozen=True)
class CancelRequested:
    """Somebody wants the run to end."""

    reason: str


@dataclass(frozen=True)
class TriggerEnded:
    """The wait of a deferred task is over."""

    key: TaskKey
    try_number: int
    result: TriggerResult


@dataclass(frozen=True)
class InputGiven:
    """Somebody answered what a task asked; the answer was looked at before it was taken."""

    response: InputResponse


@dataclass(frozen=True)
class ActionTaken:
    """Somebody does something to the run; the answer is :class:`AnswerAction`.

    Attributes:
        number: which action it is, of those that wait for an answer.
    """

    number: int
    wanted: RunAction


@dataclass(frozen=True)
class PastRunsKnown:
    """The answer to :class:`WatchPastRuns`; None if there is none, and never will be."""

    answer: PastRuns | None


@dataclass(frozen=True)
class AssetsRegistered:
    """The answer to :class:`RegisterAssets`.

    Attributes:
        error: why it couldn't be done, if it couldn't.
    """

    error: str | None = None


@dataclass(frozen=True)
class AssetEventsPublished:
    """The answer to :class:`PublishAssetEvents`.

    Attributes:
        error: why it couldn't be done, if it couldn't.
    """

    error: str | None = None


Event = (
    ActionTaken
    | AssetsRegistered
    | AssetEventsPublished
    | TaskEnded
    | TriggerEnded
    | InputGiven
    | AttemptLost
    | TaskStopped
    | TaskStuck
    | TimePassed
    | CancelRequested
    | PastRunsKnown
    | SlotsGranted
    | TurnCome
    | Unpaused
)


@dataclass(frozen=True)
class StartTask:
    """Run one attempt; the answer is one of the task events.

    Attributes:
        weight: its priority weight.
    """

    key: TaskKey
    queue: str | None
    attempt: TaskExecutionInput
    weight: int = 1


@dataclass(frozen=True)
class StopTask:
    """End a running attempt or trigger: ``on_kill``, then kill; the answer is :class:`TaskStopped`."""

    key: TaskKey
    try_number: int


@dataclass(frozen=True)
class RunCallbacks:
    """Run a DAG's or a lost task's callbacks; nothing waits for the outcome but the end of the workflow."""

    callback: CallbackInput


@dataclass(frozen=True)
class RunDeadlineCallback:
    """Call what a missed deadline names; nothing waits for the outcome but the end of the workflow.

    Attributes:
        label: what it is, for people.
        awaited: whether it is asynchronous and belongs where triggers run.
    """

    label: str
    callback: DeadlineCallbackInput
    awaited: bool


@dataclass(frozen=True)
class NotifyListeners:
    """Call the listeners of DAG runs, after those told before; only the end of the workflow waits for them."""

    notice: RunListenersInput


@dataclass(frozen=True)
class AwaitUnpause:
    """Tell when the run's DAG isn't paused any more; the answer is :class:`Unpaused`."""


@dataclass(frozen=True)
class AwaitTurn:
    """Wait until the DAG has room for another active run; the answer is :class:`TurnCome`."""


@dataclass(frozen=True)
class AskForSlots:
    """Tell who keeps a limit that runs share what is asked of it and given back; the answer is :class:`SlotsGranted`.

    Attributes:
        keeper: id of the workflow that keeps the limit.
        requests: of task instances that wait.
        holds: slots that count in another way from now on.
        returns: tickets of requests that are withdrawn, and of slots that are free again.
        size: of a limit that no user has set.
        everything: whether the run has and wants nothing else there.
        anew: whether the run may never hear of what it was granted by now.
        withdraws: whether it gives back what no task has begun with yet, or what may be granted at this moment.
    """

    keeper: str
    requests: tuple[SlotRequest, ...] = ()
    holds: tuple[HeldSlots, ...] = ()
    returns: tuple[int, ...] = ()
    size: int | None = None
    everything: bool = False
    anew: bool = False
    withdraws: bool = False


@dataclass(frozen=True)
class WakeAt:
    """Send :class:`TimePassed` at this moment."""

    moment: datetime


@dataclass(frozen=True)
class StepAgain:
    """Take another step soon, in another activation: there is more to do than one step may; always the last command."""


@dataclass(frozen=True)
class StartTrigger:
    """Wait for a deferred task; the answer is :class:`TriggerEnded`."""

    key: TaskKey
    trigger: TriggerInput


@dataclass(frozen=True)
class WatchPastRuns:
    """Find out about earlier runs, or wait for news of them; the answer is :class:`PastRunsKnown`."""

    question: PastRunsQuestion


@dataclass(frozen=True)
class RegisterAssets:
    """Make the assets of the run's DAG file known; the answer is :class:`AssetsRegistered`."""

    given: RegisterAssetsInput


@dataclass(frozen=True)
class PublishAssetEvents:
    """Record what tasks have put out; the answer is :class:`AssetEventsPublished`."""

    given: PublishAssetEventsInput


@dataclass(frozen=True)
class AnswerAction:
    """Tell who has acted what was done, or why nothing was."""

    number: int
    answer: ActionAnswer | str


Command = (
    AnswerAction
    | RegisterAssets
    | PublishAssetEvents
    | StartTask
    | StartTrigger
    | StopTask
    | RunCallbacks
    | RunDeadlineCallback
    | NotifyListeners
    | WakeAt
    | StepAgain
    | WatchPastRuns
    | AwaitTurn
    | AskForSlots
    | AwaitUnpause
)
