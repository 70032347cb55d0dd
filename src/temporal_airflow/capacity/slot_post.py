"""Takes what a run says about slots to the pool, out of the run's own workflow task. It must not know what it says."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from temporal_airflow import identifiers
from temporal_airflow.models import SlotLetter

CALL_TIMEOUT = timedelta(seconds=4)
"""So that nothing arrives once the run's workflow task is given up."""


class SlotPost:
    """The local activity of workers that serve runs."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @activity.defn(name=identifiers.SLOTS_ACTIVITY)
    async def tell_airflow_pool(self, letter: SlotLetter) -> None:
        """Tell a pool.

        Raises:
            ApplicationError: if there is no such pool, or the server doesn't answer.
        """
        pool = self._client.get_workflow_handle(letter.keeper)
        try:
            await pool.signal(identifiers.SLOTS_SIGNAL, letter.message, rpc_timeout=CALL_TIMEOUT)
        except RPCError as error:
            raise ApplicationError(f"{letter.keeper}: {error.message}", non_retryable=True) from error
