"""Reads and changes state that outlives runs: the worker's way to the workflows that keep it.

A change returns once it is durable, and waits for a server that is away as long as it takes. At most one change of a
place is on its way from here: a workflow takes ten at once. It must not know what is kept, nor who asks.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from temporalio.client import (
    Client,
    RPCTimeoutOrCancelledError,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from temporal_airflow import identifiers
from temporal_airflow.exceptions import StateRefusedError
from temporal_airflow.models import (
    AssetEventRecord,
    EventQuestion,
    KeptState,
    StateChange,
    ValueAnswer,
    ValueQuestion,
    WireModel,
)

PASSING = {
    RPCStatusCode.ABORTED,
    RPCStatusCode.CANCELLED,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.FAILED_PRECONDITION,
    RPCStatusCode.RESOURCE_EXHAUSTED,
    RPCStatusCode.UNAVAILABLE,
}
"""How a call fails that may succeed when it is made again."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
"""Seconds between two tries."""

NOTHING = KeptState()

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Where state is kept: a workflow on a run's task queue, so that whoever runs the tasks keeps it, too.

    Attributes:
        kind: what is kept there.
        names: tell places of a kind apart.
        workflow_type: of the workflow.
        empty: its input when there is nothing yet.
    """

    task_queue: str
    kind: str
    names: tuple[str, ...] = ()
    workflow_type: str = identifiers.STATE_WORKFLOW_TYPE
    empty: WireModel = field(default=NOTHING, compare=False)

    @property
    def workflow_id(self) -> str:
        """The workflow's id."""
        return identifiers.state_workflow_id(self.task_queue, self.kind, *self.names)


class StateClient:
    """Reads and changes what is kept."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._changing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def change(self, place: Place, change: StateChange) -> None:
        """Change what is kept at a place.

        Raises:
            StateRefusedError: if there is no room for it.
        """
        await self.update(place, "change", change)

    async def values(self, place: Place, question: ValueQuestion) -> ValueAnswer:
        """One value of a place, or its keys."""
        return await self.query(place, "values", question, ValueAnswer) or ValueAnswer()

    async def events(self, place: Place, question: EventQuestion) -> tuple[AssetEventRecord, ...]:
        """Events of a place."""
        return await self.query(place, "events", question, tuple[AssetEventRecord, ...]) or ()

    async def update(self, place: Place, name: str, argument: WireModel, answer: Any = None) -> Any:
        """Carry out an update, surely and once, by a workflow that is started if there is none.

        Args:
            place: of the workflow.
            name: of the update.
            argument: of the update.
            answer: type of its result.

        Raises:
            StateRefusedError: if the workflow refuses it.
        """
        update_id = uuid.uuid4().hex

        async def once() -> Any:
            start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
                place.workflow_type,
                place.empty,
                id=place.workflow_id,
                task_queue=place.task_queue,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                static_summary=" ".join((place.kind, *place.names)),
            )
            return await self._client.execute_update_with_start_workflow(
                name, argument, start_workflow_operation=start, id=update_id, result_type=answer
            )

        async with self._changing[place.workflow_id]:
            try:
                return await _until_answered(once)
            except WorkflowUpdateFailedError as error:
                raise StateRefusedError(str(error.cause)) from error

    async def query(self, place: Place, name: str, question: WireModel, answer: type[T]) -> T | None:
        """What a workflow answers; None if nothing was ever kept there."""
        handle = self._client.get_workflow_handle(place.workflow_id)

        async def once() -> T:
            found: T = await handle.query(name, question, result_type=answer)
            return found

        try:
            return await _until_answered(once)
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return None
            raise


async def _until_answered(call: Callable[[], Awaitable[T]]) -> T:
    pause = FIRST_PAUSE
    while True:
        try:
            return await call()
        except RPCTimeoutOrCancelledError as error:
            if isinstance(error.__cause__, asyncio.CancelledError):
                raise error.__cause__ from error
        except RPCError as error:
            if error.status not in PASSING:
                raise
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
