"""The pool of slots: so many tasks at once and no more, each in a slot that is known to be well.

It must not know what a slot is used for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from temporal_airflow.tasks.process_template import ProcessTemplate
from temporal_airflow.tasks.slot_connection import Slot

__all__ = ["ProcessTemplate", "Slot", "SlotPool"]

MAX_USES = 200
"""Requests after which a slot is replaced, so that what user code leaves in it can't grow for ever."""


class SlotPool:
    """Idle slots, and the right to fork more."""

    def __init__(self, template: ProcessTemplate, maximum: int, max_uses: int = MAX_USES) -> None:
        """Start without any slot.

        Args:
            template: what slots are forked from.
            maximum: how many are in use at once.
            max_uses: requests after which a slot is replaced.
        """
        self._template = template
        self._max_uses = max_uses
        self._free = asyncio.Semaphore(maximum)
        self._idle: list[Slot] = []
        self._slots: set[Slot] = set()

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """A slot for one request; it is killed, with everything below it, if its use ends by an exception.

        Raises:
            ProcessLostError: if none can be forked.
        """
        async with self._free:
            await asyncio.sleep(0)  # lets the loop notice slots that died while idle
            slot = self._take_idle() or await self._fork()
            slot.uses += 1
            try:
                yield slot
            except BaseException:
                await self._discard(slot)
                raise
            await self._give_back(slot)

    async def close(self) -> None:
        """Kill all slots, in use or not."""
        self._idle.clear()
        await asyncio.gather(*(self._discard(slot) for slot in tuple(self._slots)))

    def _take_idle(self) -> Slot | None:
        while self._idle:
            slot = self._idle.pop()
            if slot.alive:
                return slot
            slot.kill()  # it died while idle: nothing to wait for, but strays to sweep
            self._slots.discard(slot)
        return None

    async def _fork(self) -> Slot:
        slot = await self._template.fork_slot()
        self._slots.add(slot)
        return slot

    async def _give_back(self, slot: Slot) -> None:
        worn = slot.uses >= self._max_uses and not slot.has_children()
        if slot.alive and slot.reusable and not worn:
            self._idle.append(slot)
        else:
            await self._discard(slot)

    async def _discard(self, slot: Slot) -> None:
        slot.kill()
        self._slots.discard(slot)
        await asyncio.shield(slot.wait_closed())
