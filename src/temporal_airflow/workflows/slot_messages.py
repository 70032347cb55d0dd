"""What a run tells those who keep limits that runs share: at most one signal to each is on its way.

So signals arrive in order, and what comes up meanwhile goes along with the next one. Whoever can't be told, because
there is no such pool any more, is told everything once there is. A message that says everything goes by post instead,
which costs no workflow task but may be lost. It must not know what slots are for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

from temporal_airflow import identifiers
from temporal_airflow.engine.events import AskForSlots
from temporal_airflow.models import SlotGrant, SlotHolder, SlotMessage

PAUSE = timedelta(seconds=5)
"""Between two tries to tell a pool that isn't there."""

DOUBT = timedelta(seconds=20)
"""After which somebody is told for sure who may not know this run at all, because what went by post may be lost."""

MOST_MESSAGES = 1000
"""Of a run, in each millisecond: so those of its next execution have greater numbers."""


class SlotMessages:
    """The messages of one run."""

    def __init__(self, logical_date: datetime | None, statement: Callable[[str], AskForSlots]) -> None:
        """Tell nobody anything yet.

        Args:
            logical_date: of the run.
            statement: everything that one of the others would have to know.
        """
        info = workflow.info()
        self._holder = SlotHolder(
            workflow_id=info.workflow_id, first_run_id=info.first_execution_run_id, logical_date=logical_date
        )
        self._statement = statement
        self._number = int(info.workflow_start_time.timestamp() * 1000) * MOST_MESSAGES
        self._untold: dict[str, list[AskForSlots]] = {}
        self._pausing: set[str] = set()
        self._pauses: dict[str, float] = {}
        self._said: dict[str, int] = {}
        self._by_post: set[str] = set()
        self._known_to: set[str] = set()
        self._doubting: set[str] = set()

    @property
    def busy(self) -> bool:
        """Whether a message is about to go or on its way: an execution that has ended sends nothing."""
        return any(keeper not in self._pausing for keeper in self._untold)

    @property
    def open(self) -> bool:
        """Whether somebody isn't told everything yet."""
        return bool(self._untold)

    def tell(self, command: AskForSlots) -> None:
        """Tell somebody something."""
        busy = command.keeper in self._untold
        if not busy and command.everything and not (command.withdraws or command.anew):
            self._post(command)
            return
        self._untold.setdefault(command.keeper, []).append(command)
        if not busy:
            asyncio.create_task(self._tell(command.keeper), name=f"tells {command.keeper}")  # noqa: RUF006

    def repeat(self, keepers: Iterable[str]) -> None:
        """Tell these everything, in case that the last execution couldn't."""
        for keeper in keepers:
            self.tell(self._statement(keeper))

    async def _tell(self, keeper: str) -> None:
        while commands := self._untold[keeper]:
            self._untold[keeper] = []
            if not await self._arrives(keeper, commands):
                self._pausing.add(keeper)
                await workflow.sleep(PAUSE, summary=f"no {keeper}")
                self._pausing.discard(keeper)
                everything = self._statement(keeper)
                self._untold[keeper] = [everything] if everything.requests or everything.holds else []
        del self._untold[keeper]

    async def _arrives(self, keeper: str, commands: list[AskForSlots]) -> bool:
        if keeper in self._by_post and not any(command.everything for command in commands):
            commands = [*commands, self._statement(keeper)]  # what went by post may come after this, or never
        self._by_post.discard(keeper)
        message = self._message(commands)
        try:
            await workflow.get_external_workflow_handle(keeper).signal(identifiers.SLOTS_SIGNAL, [message])
        except FailureError as error:
            workflow.logger.warning("%s can't be asked for slots: %s", keeper, error)
            return False
        if message.requests or message.holds:
            self._known_to.add(keeper)
        elif message.everything:
            self._known_to.discard(keeper)
        return True

    def _post(self, command: AskForSlots) -> None:
        """Send something beside this workflow task, which saves another one for the news that it has arrived.

        If this workflow task is lost, it is sent although what it says has never been decided: so it must say
        everything, which the next one corrects, and give back nothing that may be used yet. If it gets lost, a pool
        that knows of the run asks what it has missed; one that may not is told for sure after a while.
        """
        message, keeper = self._message([command]), command.keeper
        if not workflow.unsafe.is_replaying():
            workflow.extern_functions()[identifiers.SLOT_POST](keeper, message, self._pauses.get(keeper, 0.0))
        self._by_post.add(keeper)
        if not (message.requests or message.holds):
            self._known_to.discard(keeper)
        elif keeper not in self._known_to | self._doubting:
            self._doubting.add(keeper)
            asyncio.create_task(self._make_sure(keeper), name=f"makes sure of {keeper}")  # noqa: RUF006

    async def _make_sure(self, keeper: str) -> None:
        await workflow.sleep(DOUBT, summary=f"for news of {keeper}")
        self._doubting.discard(keeper)
        everything = self._statement(keeper)
        if keeper not in self._known_to and (everything.requests or everything.holds):
            self.tell(everything)

    def heard(self, grant: SlotGrant) -> None:
        """Take note of what a pool has heard, and how long it bears to wait for more; say what it has missed."""
        self._pauses[grant.keeper] = grant.pause
        if grant.heard >= self._said.get(grant.keeper, 0):
            self._known_to.add(grant.keeper)
        elif not grant.tickets:
            self.tell(self._statement(grant.keeper))

    def _message(self, commands: list[AskForSlots]) -> SlotMessage:
        """All in one; what was asked for and is withdrawn now isn't told at all."""
        requests = {request.ticket: request for command in commands for request in command.requests}
        holds = {held.ticket: held for command in commands for held in command.holds}
        returns = [ticket for command in commands for ticket in command.returns]
        unasked = {ticket for ticket in returns if requests.pop(ticket, None) is not None}
        self._number += 1
        self._said[commands[0].keeper] = self._number
        return SlotMessage(
            holder=self._holder,
            number=self._number,
            length=workflow.info().get_current_history_length(),
            requests=tuple(requests.values()),
            holds=tuple(held for ticket, held in holds.items() if ticket not in returns),
            returns=tuple(ticket for ticket in returns if ticket not in unasked),
            size=commands[-1].size,
            everything=any(command.everything for command in commands),
            anew=any(command.anew for command in commands),
        )
