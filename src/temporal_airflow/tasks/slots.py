"""The pool of slots: so many tasks at once and no more, each in a slot that is known to be well.

Some slots wait for tasks, forked before they are needed; idle ones beyond those are given up after a while. As many as
there are cores are forked at once when they are needed. Beyond that one more is forked only after somebody has waited,
or in advance where the machine has cores to spare: short tasks are done sooner by few processes that are warm than by
many that are not, and in less memory. The pool must not know what a slot is used for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable

from temporal_airflow.exceptions import ProcessLostError
from temporal_airflow.tasks.idle_cores import IdleCores
from temporal_airflow.tasks.memory import MEGABYTE, children_of, in_words, proportional_memory
from temporal_airflow.tasks.process_template import ProcessTemplate
from temporal_airflow.tasks.slot_connection import Slot

__all__ = ["ProcessTemplate", "Slot", "SlotPool"]

MAX_USES = 200
"""Requests after which a slot is replaced, so that what user code leaves in it can't grow for ever."""

IDLE_PATIENCE = 60.0
"""Seconds that a slot stays idle before it is given up, unless it is one of those that are to wait."""

HESITATION = 0.1
"""Seconds that somebody waits for a slot to become free before there is one more, and from one more to the next."""

HESITATION_WHEN_BUSY = 1.0
"""Seconds without any slot becoming free, the same for a machine that has no core to spare: as long as tasks end, more
processes would only get in each other's way."""

SPARE = 0.15
"""Share of the machine's time, unused, from which on there are cores to spare."""

logger = logging.getLogger(__name__)


class SlotPool:
    """Idle slots, and the right to fork more."""

    def __init__(
        self,
        template: ProcessTemplate,
        maximum: int,
        max_uses: int = MAX_USES,
        *,
        waiting: int = 0,
        idle_patience: float = IDLE_PATIENCE,
        spare: Callable[[], float] | None = None,
    ) -> None:
        """Start without any slot; :meth:`prepare` forks those that are to wait.

        Args:
            template: what slots are forked from.
            maximum: how many there are at most.
            max_uses: requests after which a slot is replaced.
            waiting: how many idle ones there are to be, as long as the maximum allows it.
            idle_patience: seconds after which further idle ones are given up.
            spare: tells which share of the machine's time was unused since it was asked before.
        """
        self._template = template
        self._max_uses = max_uses
        self._maximum = maximum
        self._waiting = waiting
        self._idle_patience = idle_patience
        self._free = asyncio.Semaphore(maximum)
        self._idle: list[Slot] = []
        self._slots: set[Slot] = set()
        self._timers: dict[Slot, asyncio.TimerHandle] = {}
        self._preparing: asyncio.Task[None] | None = None
        self._waiters: dict[asyncio.Future[Slot], float] = {}
        self._unhesitating = max(waiting, os.cpu_count() or 1)
        self._spare = spare or IdleCores().share
        self._grown = self._freed = 0.0
        self._forking = 0

    def prepare(self) -> None:
        """Fork, in the background, the slots that are to wait."""
        if self._lacking() and (self._preparing is None or self._preparing.done()):
            self._preparing = asyncio.create_task(self._prepare(), name="slots that wait")

    async def _prepare(self) -> None:
        try:
            while self._lacking():
                if self._count() >= self._unhesitating and self._spare() < SPARE:
                    await asyncio.sleep(HESITATION)
                    continue
                slot = await self._fork()
                if len(self._slots) > self._maximum:  # somebody couldn't wait for it
                    await self._discard(slot)
                else:
                    self._let_idle(slot)
        except ProcessLostError as error:
            logger.debug("No slot in advance: %s", error)  # whoever needs one is told

    def _lacking(self) -> bool:
        return not self._waiters and len(self._idle) < self._waiting and self._count() < self._maximum

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """A slot for one request; it is killed, with everything below it, if its use ends by an exception.

        Raises:
            ProcessLostError: if none can be forked.
        """
        async with self._free:
            await asyncio.sleep(0)  # lets the loop notice slots that died while idle
            slot = self._take_idle() or await self._next()
            slot.uses += 1
            self.prepare()
            try:
                yield slot
            except BaseException:
                await self._discard(slot)
                raise
            await self._give_back(slot)

    def note_progress(self) -> None:
        """Something has ended in a slot that stays in use: tasks are short, so further slots would be in their way."""
        self._freed = time.monotonic()

    def _report_memory(self) -> None:
        slots = [taken for slot in self._slots if (taken := proportional_memory(slot.pid))]
        below = [taken for slot in self._slots for pid in children_of(slot.pid) if (taken := proportional_memory(pid))]
        largest = max((slot.largest_task for slot in self._slots), default=0)
        if slots:
            logger.info(
                "Memory: %s slots with %s each%s%s.",
                len(slots),
                in_words(slots),
                f", processes below them {in_words(below)} each" if below else "",
                f", the largest task process {largest / MEGABYTE:.0f} MB with what it shared" if largest else "",
            )

    def idle_pids(self) -> list[int]:
        """The slots that have nothing to do."""
        return [slot.pid for slot in self._idle]

    async def close(self) -> None:
        """Kill all slots, in use or not, and say how much memory they took."""
        self._report_memory()
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.gather(self._preparing, return_exceptions=True)
        self._waiting = 0
        self._idle.clear()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        await asyncio.gather(*(self._discard(slot) for slot in tuple(self._slots)))

    def _take_idle(self) -> Slot | None:
        while self._idle:
            slot = self._idle.pop()
            self._timers.pop(slot).cancel()
            if slot.alive:
                return slot
            slot.kill()  # it died while idle: nothing to wait for, but strays to sweep
            self._slots.discard(slot)
        return None

    async def _next(self) -> Slot:
        """The next slot that becomes free, or one more."""
        waiter: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = time.monotonic()
        try:
            while not waiter.done():
                if self._count() < self._unhesitating or self._is_worth_it(waiter):
                    del self._waiters[waiter]
                    return await self._fork()
                await asyncio.wait({waiter}, timeout=HESITATION)
        except asyncio.CancelledError:
            if waiter.done():
                self._let_idle(waiter.result())
            raise
        finally:
            self._waiters.pop(waiter, None)
        return waiter.result()

    def _count(self) -> int:
        return len(self._slots) + self._forking

    def _is_worth_it(self, waiter: asyncio.Future[Slot]) -> bool:
        """Whether there is to be one more slot, for the one that has waited longest."""
        now = time.monotonic()
        since = max(self._waiters[waiter], self._grown)
        if waiter is not next(iter(self._waiters)) or now - since < HESITATION:
            return False
        if now - max(since, self._freed) < HESITATION_WHEN_BUSY and self._spare() < SPARE:
            return False
        self._grown = now
        return True

    async def _fork(self) -> Slot:
        self._forking += 1
        try:
            slot = await self._template.fork_slot()
        finally:
            self._forking -= 1
        self._slots.add(slot)
        return slot

    async def _give_back(self, slot: Slot) -> None:
        self._freed = time.monotonic()
        worn = slot.uses >= self._max_uses and not slot.has_children()
        if slot.alive and slot.reusable and not worn:
            self._let_idle(slot)
        else:
            await self._discard(slot)
            self.prepare()

    def _let_idle(self, slot: Slot) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(slot)
                return
        self._idle.append(slot)
        self._timers[slot] = asyncio.get_running_loop().call_later(self._idle_patience, self._give_up, slot)

    def _give_up(self, slot: Slot) -> None:
        if len(self._idle) <= self._waiting:  # then the next one that becomes idle will be looked at
            self._timers[slot] = asyncio.get_running_loop().call_later(self._idle_patience, self._give_up, slot)
            return
        del self._timers[slot]
        self._idle.remove(slot)
        self._slots.discard(slot)
        slot.kill()

    async def _discard(self, slot: Slot) -> None:
        slot.kill()
        self._slots.discard(slot)
        await asyncio.shield(slot.wait_closed())
