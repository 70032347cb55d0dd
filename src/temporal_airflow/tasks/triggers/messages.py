"""What worker and trigger host say to each other, on the socket of a slot that was told to become one.

After :class:`~temporal_airflow.tasks.messages.HostTriggers` the host beats once it is ready, and from then on as long
as its event loop turns. Each :class:`StartTrigger` and :class:`StartCallback` is answered by one of :data:`Ending`,
in any order; meanwhile its trigger may ask, any number of questions at once. Never kept or sent elsewhere, so it may
change freely with the code.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from temporal_airflow.models import DeadlineCallbackInput, TriggerInput, TriggerResult
from temporal_airflow.tasks.messages import Answer, Ask, Heartbeat, Message


class StartTrigger(Message):
    """Run a trigger.

    Attributes:
        id: names it on this socket; never used twice.
    """

    kind: Literal["start_trigger"] = "start_trigger"
    id: int
    input: TriggerInput


class StartCallback(Message):
    """Await the callback of a missed deadline; for the host it is a trigger as well.

    Attributes:
        id: names it as it does triggers.
    """

    kind: Literal["start_callback"] = "start_callback"
    id: int
    input: DeadlineCallbackInput


class CancelTrigger(Message):
    """Stop a trigger; its ending still comes.

    Attributes:
        by_user: whether somebody gave its task up, so that ``on_kill`` is due; otherwise it will run elsewhere.
    """

    kind: Literal["cancel_trigger"] = "cancel_trigger"
    id: int
    by_user: bool


class TriggerDone(Message):
    """The wait is over; the trigger may still be tidying up."""

    kind: Literal["trigger_done"] = "trigger_done"
    id: int
    result: TriggerResult


class CallbackDone(Message):
    """A callback was called.

    Attributes:
        error: why it failed, one masked line.
    """

    kind: Literal["callback_done"] = "callback_done"
    id: int
    error: str | None = None


class TriggerCancelled(Message):
    """The trigger was stopped and has tidied up."""

    kind: Literal["trigger_cancelled"] = "trigger_cancelled"
    id: int


class TriggerBroken(Message):
    """Not the trigger but our own code, or a setting, failed."""

    kind: Literal["trigger_broken"] = "trigger_broken"
    id: int
    error: str


class TriggerAsk(Ask):
    """A question of one trigger; the id of the question is unique in the host."""

    trigger: int


Ending = TriggerDone | CallbackDone | TriggerCancelled | TriggerBroken
ToHost = StartTrigger | StartCallback | CancelTrigger | Answer
FromHost = Ending | Heartbeat | TriggerAsk

to_host: TypeAdapter[ToHost] = TypeAdapter(Annotated[ToHost, Field(discriminator="kind")])
from_host: TypeAdapter[FromHost] = TypeAdapter(Annotated[FromHost, Field(discriminator="kind")])
