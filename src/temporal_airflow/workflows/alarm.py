"""Wakes a run at the moment that its engine asked for. It must not know what for."""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import partial

from temporalio import workflow

from temporal_airflow.engine.events import TimePassed
from temporal_airflow.workflows.inbox import Inbox


class Alarm:
    """The durable timer of a run."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._next: datetime | None = None

    def set(self, moment: datetime) -> None:
        """Start a timer, unless an earlier one is already running: that one will ask again."""
        now = workflow.now()
        if self._next is not None and now < self._next <= moment:
            return
        self._next = moment
        timer = asyncio.create_task(workflow.sleep(moment - now, summary="next retry, poke, timeout or deadline"))
        timer.add_done_callback(partial(self._fired, moment))

    def _fired(self, moment: datetime, timer: asyncio.Task[None]) -> None:
        if timer.cancelled():
            return
        if self._next == moment:  # even if it is early yet: the hosts of a server have clocks of their own
            self._next = None
        self._inbox.put(TimePassed())
