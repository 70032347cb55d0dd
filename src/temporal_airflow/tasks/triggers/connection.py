"""The worker's end of one trigger host: starts and stops triggers in it, and ends their waits when it dies.

It must not know when a host is needed, nor what answers come from.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self, assert_never

from temporal_airflow.exceptions import ProcessLostError, TemporalAirflowError
from temporal_airflow.models import DeadlineCallbackInput, TriggerInput, TriggerResult
from temporal_airflow.tasks.messages import Answer, Ask, Heartbeat, HostTriggers
from temporal_airflow.tasks.slot_connection import Slot
from temporal_airflow.tasks.triggers.messages import (
    CallbackDone,
    CancelTrigger,
    Ending,
    FromHost,
    StartCallback,
    StartTrigger,
    TriggerAsk,
    TriggerBroken,
    TriggerCancelled,
    TriggerDone,
    from_host,
)

LONGEST_SILENCE = 45.0
"""Seconds without a heartbeat after which a host counts as blocked for good and is killed."""

CANCEL_PATIENCE = 40.0
"""Seconds that a cancelled trigger gets to tidy up; its ``on_kill`` has 30 by default."""

LONGEST_IDLE = 60.0
"""Seconds without a wait after which a host is killed: the next one has the triggers' code as it is then."""

logger = logging.getLogger(__name__)


class TriggerBrokenError(TemporalAirflowError):
    """A trigger can't be run on this worker, and that isn't the trigger's fault."""


@dataclass(frozen=True)
class Wait:
    """What a wait needs of whoever waits; see :meth:`TriggerPool.run`."""

    heartbeat: Callable[[], None]
    answer: Callable[[Ask], Awaitable[Answer]]
    by_user: Callable[[], bool]
    ending: asyncio.Future[Ending] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class WaitingHost:
    """A trigger host and the waits in it."""

    def __init__(self, process: Slot) -> None:
        """Wrap a process that is a trigger host; see :meth:`start`."""
        self._process = process
        self._ids = itertools.count(1)
        self._waits: dict[int, Wait] = {}
        self._answers: set[asyncio.Task[None]] = set()
        self._retirement: asyncio.TimerHandle | None = None
        self._reading = asyncio.create_task(self._read(), name=f"trigger host {process.pid}")

    @classmethod
    async def start(cls, slot: Slot) -> Self:
        """Turn a slot into a trigger host.

        Raises:
            ProcessLostError: if it can't become one.
        """
        try:
            await slot.send(HostTriggers())
            async with asyncio.timeout(LONGEST_SILENCE):  # `wait_for` would ignore a stop that comes with the message
                await slot.receive_line()  # the first heartbeat: it is ready
        except BaseException as error:
            slot.kill()
            if isinstance(error, TimeoutError):
                raise ProcessLostError(f"The trigger host {slot.pid} didn't start in time.") from error
            raise
        return cls(slot)

    @property
    def alive(self) -> bool:
        """Whether triggers can be started in it, as far as the worker knows."""
        return self._process.alive and not self._reading.done()

    async def run(self, trigger: TriggerInput, wait: Wait) -> TriggerResult:
        """Run a trigger until its wait is over."""
        ending = await self._until_ended(StartTrigger(id=next(self._ids), input=trigger), wait)
        assert isinstance(ending, TriggerDone), f"{type(ending).__name__} of a trigger"
        return ending.result

    async def call(self, callback: DeadlineCallbackInput, wait: Wait) -> str | None:
        """Await a callback; returns why it failed."""
        ending = await self._until_ended(StartCallback(id=next(self._ids), input=callback), wait)
        assert isinstance(ending, CallbackDone), f"{type(ending).__name__} of a callback"
        return ending.error

    async def _until_ended(self, start: StartTrigger | StartCallback, wait: Wait) -> TriggerDone | CallbackDone:
        self._waits[start.id] = wait
        self._reconsider_retirement()
        try:
            await self._process.send(start)
            ending = await asyncio.shield(wait.ending)
        except asyncio.CancelledError:
            await self._stop(start.id, wait)
            raise
        finally:
            del self._waits[start.id]
            self._reconsider_retirement()
        match ending:
            case TriggerDone() | CallbackDone():
                return ending
            case TriggerBroken(error=error):
                raise TriggerBrokenError(error)
            case TriggerCancelled():
                raise AssertionError("A trigger was cancelled that nobody cancelled")
            case _:
                assert_never(ending)

    async def close(self) -> None:
        """Kill the process, with everything below it."""
        self._retire()
        self._lose_all("was stopped")
        await self._process.wait_closed()

    def _reconsider_retirement(self) -> None:
        if self._retirement is not None:
            self._retirement.cancel()
            self._retirement = None
        if not self._waits and self.alive:
            self._retirement = asyncio.get_running_loop().call_later(LONGEST_IDLE, self._retire)

    def _retire(self) -> None:
        self._reading.cancel()
        self._process.kill()

    async def _stop(self, number: int, wait: Wait) -> None:
        try:
            await self._process.send(CancelTrigger(id=number, by_user=wait.by_user()))
            async with asyncio.timeout(CANCEL_PATIENCE):
                await asyncio.shield(wait.ending)
        except TimeoutError:
            logger.warning("Trigger %s of host %s didn't stop in %s s", number, self._process.pid, CANCEL_PATIENCE)
        except ProcessLostError as error:
            logger.debug("Nothing left to stop: %s", error)

    async def _read(self) -> None:
        try:
            while True:
                async with asyncio.timeout(LONGEST_SILENCE):
                    line = await self._process.receive_line()
                self._take(from_host.validate_json(line))
        except TimeoutError:
            self._lose_all(f"was killed: a trigger blocked its event loop for {LONGEST_SILENCE:.0f} s")
        except ProcessLostError:
            self._lose_all("is gone")
        except Exception:
            logger.exception("Trigger host %s can't be understood", self._process.pid)
            self._lose_all("was killed: it can't be understood")
        finally:
            self._process.kill()

    def _take(self, message: FromHost) -> None:
        match message:
            case Heartbeat():
                for wait in self._waits.values():
                    wait.heartbeat()
            case TriggerAsk():
                answering = asyncio.create_task(self._answer(message))
                self._answers.add(answering)
                answering.add_done_callback(self._answers.discard)
            case TriggerDone() | CallbackDone() | TriggerCancelled() | TriggerBroken():
                ended = self._waits.get(message.id)
                if ended and not ended.ending.done():
                    ended.ending.set_result(message)
            case _:
                assert_never(message)

    async def _answer(self, ask: TriggerAsk) -> None:
        wait = self._waits.get(ask.trigger)
        try:
            answer = await wait.answer(ask) if wait else Answer(id=ask.id, error="The wait is over")
        except Exception as error:  # noqa: BLE001  # the trigger raises it where it asked
            answer = Answer(id=ask.id, error=f"{type(error).__name__}: {error}")
        try:
            await self._process.send(answer)
        except ProcessLostError as error:
            logger.debug("Nobody left to answer: %s", error)

    def _lose_all(self, what_happened: str) -> None:
        for wait in self._waits.values():
            if not wait.ending.done():
                reason = f"The process {self._process.pid} that hosted triggers {what_happened}."
                wait.ending.set_exception(ProcessLostError(reason))
                wait.ending.exception()  # whoever waits is told; nobody has to wait any more
