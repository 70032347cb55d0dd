"""What a run tells those who keep limits that runs share: at most one message to each is on its way.

So messages arrive in order, and what comes up meanwhile goes along with the next one. Whoever can't be told, because
there is no such pool any more, is told everything once there is. It must not know what slots are for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

from temporal_airflow import identifiers
from temporal_airflow.engine.events import AskForSlots
from temporal_airflow.models import SlotHolder, SlotMessage

PAUSE = timedelta(seconds=5)
"""Between two tries to tell a pool that isn't there."""


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
        self._untold: dict[str, list[AskForSlots]] = {}
        self._pausing: set[str] = set()

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
            if not await self._sent(keeper, self._message(commands)):
                self._pausing.add(keeper)
                await workflow.sleep(PAUSE, summary=f"no {keeper}")
                self._pausing.discard(keeper)
                everything = self._statement(keeper)
                self._untold[keeper] = [everything] if everything.requests or everything.holds else []
        del self._untold[keeper]

    async def _sent(self, keeper: str, message: SlotMessage) -> bool:
        try:
            await workflow.get_external_workflow_handle(keeper).signal(identifiers.SLOTS_SIGNAL, message)
        except FailureError as error:
            workflow.logger.warning("%s can't be asked for slots: %s", keeper, error)
            return False
        return True

    def _message(self, commands: list[AskForSlots]) -> SlotMessage:
        """All in one; what was asked for and is withdrawn now isn't told at all."""
        requests = {request.ticket: request for command in commands for request in command.requests}
        holds = {held.ticket: held for command in commands for held in command.holds}
        returns = [ticket for command in commands for ticket in command.returns]
        unasked = {ticket for ticket in returns if requests.pop(ticket, None) is not None}
        return SlotMessage(
            holder=self._holder,
            requests=tuple(requests.values()),
            holds=tuple(held for ticket, held in holds.items() if ticket not in returns),
            returns=tuple(ticket for ticket in returns if ticket not in unasked),
            size=commands[-1].size,
            everything=commands[0].everything,
        )
