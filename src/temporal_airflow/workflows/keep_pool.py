"""The workflow that is a pool of the namespace, or keeps another limit across runs in the same way.

Runs tell it what they want and give back, it tells runs what they may use. One decision is taken for everything that
has come in, so that a burst costs as little as one request; while much comes in, messages gather for a moment. Slots of
runs that are no more are found by asking the server for those runs that have been silent for a lease, and so are runs
whose messages have been lost. It must not know Airflow.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

from temporal_airflow import identifiers
from temporal_airflow.capacity.pace import Pace
from temporal_airflow.capacity.pool_memo import memo_of
from temporal_airflow.capacity.slot_book import HolderKey, SlotBook, key_of
from temporal_airflow.models import (
    HoldersInput,
    PoolDefinition,
    PoolState,
    PoolStats,
    SlotGrant,
    SlotMessage,
)
from temporal_airflow.workflows.activities import WITHOUT_END

LOOK_TIMEOUT = timedelta(seconds=60)
"""Of one attempt to find out which runs are still open; there is always another."""

PAUSE_TIMEOUT = timedelta(seconds=10)
"""Of a pause, which takes a fraction of a second."""

RUN_IS_GONE = "not found"
"""What the server says of a run that has ended."""


@workflow.defn(name=identifiers.POOL_WORKFLOW_TYPE, sandboxed=False)
class KeepAirflowPoolWorkflow:
    """Keeps the slots of one pool."""

    @workflow.init
    def __init__(self, state: PoolState) -> None:
        self._state = state
        self._book = SlotBook(state)
        self._messages_left = state.messages_per_run
        self._telling = 0
        self._has_news = True
        self._woken = False
        self._pace = Pace()
        self._pause = timedelta()
        self._heard: set[HolderKey] = set()

    @workflow.run
    async def run(self, state: PoolState) -> None:  # noqa: ARG002  # __init__ has taken it
        """Give slots until nobody needs the pool any more, or it is time to continue in a new run."""
        asyncio.create_task(self._look_after_holders(), name="looks after holders")  # noqa: RUF006
        while not (self._is_over or self._worn_out):
            self._has_news = False
            for key, tickets in self._book.grant().items():
                asyncio.create_task(self._tell(key, tickets), name="grants slots")  # noqa: RUF006
            await self._wait()
        # an execution that has ended sends nothing, so everything must have been sent
        await workflow.wait_condition(lambda: not self._telling and workflow.all_handlers_finished())
        if not self._is_over:
            workflow.continue_as_new(self._next_state())

    @workflow.signal(name=identifiers.SLOTS_SIGNAL)
    def slots(self, messages: list[SlotMessage]) -> None:
        """Take note of what runs want and give back."""
        for message in messages:
            self._book.take(message)
            self._heard.add(key_of(message.holder))
            self._messages_left -= 1
            self._pace.message_came()
        self._has_news = True

    @workflow.update(name=identifiers.DEFINE_POOL_UPDATE)
    def define(self, definition: PoolDefinition) -> None:
        """Set the pool anew."""
        self._book.define(definition)
        self._remember()

    @workflow.update(name=identifiers.DELETE_POOL_UPDATE)
    def delete(self) -> None:
        """Give no slots any more; who has some goes on."""
        self._book.delete()
        self._remember()

    @delete.validator
    def _check_delete(self) -> None:
        if self._book.deleted:
            raise ApplicationError("deleted already")

    @workflow.query(name="stats")
    def stats(self) -> PoolStats:
        """How the pool is used."""
        return self._book.stats()

    @property
    def _is_over(self) -> bool:
        return self._book.deleted and not self._book.in_use

    @property
    def _worn_out(self) -> bool:
        return self._messages_left <= 0 or workflow.info().is_continue_as_new_suggested()

    async def _wait(self) -> None:
        """Wait until there is something to decide; in times when much comes in, also until more of it has.

        The server keeps back what comes while a workflow task is open, so that it costs no further workflow task.
        """
        self._woken = False
        await workflow.wait_condition(lambda: self._has_news or self._woken or self._worn_out)
        self._pause = self._pace.pause(workflow.now(), self._book.stats().running)
        if self._pause and not self._worn_out:
            await workflow.execute_local_activity(
                identifiers.GATHER_ACTIVITY,
                self._pause.total_seconds(),
                start_to_close_timeout=PAUSE_TIMEOUT,
                retry_policy=WITHOUT_END,
            )
        await workflow.wait_condition(lambda: self._has_news or self._worn_out)

    def _remember(self) -> None:
        """Let lists show what the pool is now."""
        workflow.upsert_memo(memo_of(self._book.definition, deleted=self._book.deleted))
        self._has_news = True

    def _next_state(self) -> PoolState:
        return self._state.model_copy(
            update={
                "definition": self._book.definition,
                "deleted": self._book.deleted,
                "holders": tuple(self._book.state()),
                "arrivals": self._book.arrivals,
            }
        )

    async def _tell(self, key: HolderKey, tickets: tuple[int, ...]) -> None:
        """Tell a run what it may use, and what has been heard of it; if it is no more, nobody has it."""
        grant = SlotGrant(
            keeper=workflow.info().workflow_id,
            first_run_id=key.first_run_id,
            tickets=tickets,
            heard=self._book.heard_of(key),
            pause=self._pause.total_seconds(),
        )
        run = workflow.get_external_workflow_handle(key.workflow_id)
        self._telling += 1
        try:
            await run.signal(identifiers.SLOTS_GRANTED_SIGNAL, grant)
        except FailureError as error:
            if RUN_IS_GONE in str(error):
                self._book.drop(key)
                self._has_news = True
            else:  # it uses what it has, and asks again once it goes on in a new execution
                workflow.logger.warning("Run %s can't be told of its slots: %s", key.workflow_id, error)
        finally:
            self._telling -= 1
            self._woken = True

    async def _look_after_holders(self) -> None:
        while True:
            await workflow.wait_condition(lambda: self._book.in_use)
            await workflow.sleep(self._state.lease, summary="lease")
            silent = tuple(holder for holder in self._book.holders() if key_of(holder) not in self._heard)
            self._heard.clear()
            if not silent:
                continue
            lengths: tuple[int | None, ...] = await workflow.execute_activity(
                identifiers.HOLDERS_ACTIVITY,
                HoldersInput(holders=silent),
                result_type=tuple[int | None, ...],
                start_to_close_timeout=LOOK_TIMEOUT,
                retry_policy=WITHOUT_END,
                summary=f"{len(silent)} silent runs",
            )
            for holder, length in zip(silent, lengths, strict=True):
                self._look_after(key_of(holder), length)

    def _look_after(self, key: HolderKey, length: int | None) -> None:
        """Take back what a run has that is no more; ask one that has moved in silence what it has said."""
        if length is None:
            self._book.drop(key)
            self._has_news = True
        elif key not in self._heard and self._book.has_moved(key, length):
            asyncio.create_task(self._tell(key, ()), name="asks what it has missed")  # noqa: RUF006
