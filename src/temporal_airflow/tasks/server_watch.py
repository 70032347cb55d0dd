"""Whether the server still hears from this worker: an attempt that it may have given to another worker must not go on.

The SDK reports heartbeats in the background and doesn't say whether they arrive, so the worker asks the server for a
sign of life of its own. It must not know what is done about silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import timedelta

from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError

INTERVAL = 1.0
"""Seconds between two questions."""

ANSWER_TIMEOUT = timedelta(seconds=2)


class ServerWatch:
    """Asks the server again and again, and remembers when it last answered."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._last_answered = time.monotonic()

    def silence(self) -> float:
        """Seconds since the last question that was answered was asked."""
        return time.monotonic() - self._last_answered

    async def run(self) -> None:
        """Ask until cancelled."""
        self._last_answered = time.monotonic()
        while True:
            asked = time.monotonic()
            with contextlib.suppress(RPCError):  # silence is what this is about
                await self._client.workflow_service.get_system_info(
                    GetSystemInfoRequest(), retry=False, timeout=ANSWER_TIMEOUT
                )
                self._last_answered = asked
            await asyncio.sleep(INTERVAL)
