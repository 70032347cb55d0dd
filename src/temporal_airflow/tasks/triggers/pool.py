"""The triggers of a worker, as the worker sees them: waits that end, in a host process that comes when it is needed.

It must not know what a trigger is, nor what the messages of the host are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from temporal_airflow.models import DeadlineCallbackInput, TriggerInput, TriggerResult
from temporal_airflow.tasks.messages import Answer, Ask
from temporal_airflow.tasks.process_template import ProcessTemplate
from temporal_airflow.tasks.triggers.connection import Wait, WaitingHost

__all__ = ["TriggerPool"]


class TriggerPool:
    """Runs triggers, all in one host process."""

    def __init__(self, template: ProcessTemplate) -> None:
        """Start without a host.

        Args:
            template: what the host is forked from.
        """
        self._template = template
        self._host: WaitingHost | None = None
        self._starting = asyncio.Lock()

    async def run(
        self,
        wait: TriggerInput,
        heartbeat: Callable[[], None],
        answer: Callable[[Ask], Awaitable[Answer]],
        by_user: Callable[[], bool] = lambda: True,
    ) -> TriggerResult:
        """Run a trigger until its wait is over.

        A cancellation stops the trigger and is raised once it has tidied up.

        Args:
            wait: what to wait for.
            heartbeat: called whenever the host shows that its event loop turns.
            answer: answers the trigger's questions.
            by_user: asked on cancellation: whether somebody gave the task up, so that the trigger's ``on_kill`` is
                due. It isn't if this worker stops, or lost the wait to another.

        Raises:
            ProcessLostError: if the host died, or was silent for so long that it was killed.
            TriggerBrokenError: if the trigger can't be run on this worker.
        """
        host = await self._living_host()
        return await host.run(wait, Wait(heartbeat, answer, by_user))

    async def call(
        self,
        callback: DeadlineCallbackInput,
        heartbeat: Callable[[], None],
        answer: Callable[[Ask], Awaitable[Answer]],
    ) -> str | None:
        """Await the callback of a missed deadline.

        Args:
            callback: what to call.
            heartbeat: called whenever the host shows that its event loop turns.
            answer: answers the callback's questions.

        Returns:
            Why it failed; None if it didn't.

        Raises:
            ProcessLostError: as for :meth:`run`.
            TriggerBrokenError: as for :meth:`run`.
        """
        host = await self._living_host()
        return await host.call(callback, Wait(heartbeat, answer, lambda: True))

    async def close(self) -> None:
        """Kill the host; waits that are still open are lost."""
        async with self._starting:
            if self._host is not None:
                await self._host.close()

    async def _living_host(self) -> WaitingHost:
        async with self._starting:
            if self._host is None or not self._host.alive:
                self._host = await WaitingHost.start(await self._template.fork_slot())
            return self._host
