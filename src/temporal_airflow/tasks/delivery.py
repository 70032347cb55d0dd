"""Delivers a task's result to the server surely: again and again until the server has answered.

The SDK gives up on a result after some 15 seconds without a server, and the task would run a second time. So the
activity ends as "completed asynchronously", and the result is sent from here. A server that no longer knows the
attempt has given it up already: then somebody else runs it, and this result must not count.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from airflow.utils.state import TaskInstanceState
from temporalio.client import AsyncActivityHandle, Client
from temporalio.service import RPCError, RPCStatusCode

from temporal_airflow.models import AssetEvents, SeriesReport, TaskExecutionResult

Delivered = TaskExecutionResult | SeriesReport

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
"""Seconds between two tries."""

CALL_TIMEOUT = timedelta(seconds=10)

log = logging.getLogger(__name__)


class ResultDelivery:
    """Results on their way to the server."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._on_the_way: set[asyncio.Task[None]] = set()

    def send(self, task_token: bytes, label: str, result: Delivered) -> None:
        """Deliver in the background.

        Args:
            task_token: of the activity.
            label: the attempt or the series, for the log.
            result: what to deliver.
        """
        handle = self._client.get_async_activity_handle(task_token=task_token)
        delivery = asyncio.create_task(_deliver(handle, label, result), name=f"deliver {label}")
        self._on_the_way.add(delivery)
        delivery.add_done_callback(self._on_the_way.discard)

    async def finish(self, patience: float) -> None:
        """Wait until everything has arrived, at most ``patience`` seconds."""
        if self._on_the_way:
            _, late = await asyncio.wait(self._on_the_way, timeout=patience)
            for delivery in late:
                log.error("The server didn't take a result in time; the attempt will count as lost: %s", delivery)
                delivery.cancel()


def _without_values(result: TaskExecutionResult, refusal: str) -> TaskExecutionResult:
    """What to deliver instead of a result that the server refuses (it is too large): a failure that says so.

    Raises:
        AssertionError: if that is refused, too; the attempt then counts as lost.
    """
    assert result.xcoms, f"the server refused a result without values: {refusal}"
    return result.model_copy(
        update={
            "state": TaskInstanceState.FAILED,
            "error": f"The server refused the task's result: {refusal}",
            "xcoms": (),
            "asset_events": AssetEvents(),
        }
    )


def _smaller(result: Delivered, refusal: str) -> Delivered:
    """The same without the values of one attempt: of the one that has most of them."""
    if isinstance(result, TaskExecutionResult):
        return _without_values(result, refusal)
    ends = list(result.ends)
    place, largest = max(enumerate(ends), key=lambda each: len(each[1].model_dump_json()))
    assert largest.result is not None, f"the server refused reports without results: {refusal}"
    ends[place] = largest.model_copy(update={"result": _without_values(largest.result, refusal)})
    return SeriesReport.of(result.series, ends, result.returned, result.long)


async def _deliver(handle: AsyncActivityHandle, label: str, result: Delivered) -> None:
    pause = FIRST_PAUSE
    while True:
        try:
            await handle.complete(result, rpc_timeout=CALL_TIMEOUT)
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                log.warning("The run no longer waits for %s: its result is dropped", label)
                return
            if error.status == RPCStatusCode.INVALID_ARGUMENT:
                result = _smaller(result, error.message)
                continue
            log.warning("The result of %s is not delivered yet (%s); trying again", label, error.message)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        else:
            return
