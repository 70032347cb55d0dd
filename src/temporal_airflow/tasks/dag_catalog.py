"""The DAGs of a worker's bundles, as its tasks may ask for them: to start a run of one, or to know what it is.

They are read in processes of their own, never in slots, which may all be taken by tasks that wait for what they asked
for. It must not know who asks.
"""

from __future__ import annotations

import asyncio
import time

from temporal_airflow.dag_loader import describe_dag, load_dag
from temporal_airflow.models import DagDescription, LoadDagInput, LoadedDag
from temporal_airflow.tasks.slots import ProcessTemplate

LOADS_AT_ONCE = 2
"""Processes that read DAGs at once."""

FRESH = 60.0
"""Seconds that a description is good for: sensors ask at every poke."""


class DagCatalog:
    """Finds DAGs."""

    def __init__(self, template: ProcessTemplate) -> None:
        """Read nothing yet.

        Args:
            template: what the processes are forked from.
        """
        self._template = template
        self._free = asyncio.Semaphore(LOADS_AT_ONCE)
        self._described: dict[str, tuple[float, DagDescription]] = {}

    async def load(self, request: LoadDagInput) -> LoadedDag:
        """Load a DAG as a run of it is submitted.

        Raises:
            InputError: whatever is wrong with the DAG or the run asked for.
        """
        async with self._free:
            return await load_dag(self._template, request)

    async def describe(self, dag_id: str) -> DagDescription:
        """What a DAG is, or was a moment ago.

        Raises:
            InputError: if there is none, or it can't be read.
        """
        read_at, description = self._described.get(dag_id, (0.0, None))
        if description is None or time.monotonic() - read_at > FRESH:
            async with self._free:
                description = await describe_dag(self._template, dag_id)
            self._described[dag_id] = time.monotonic(), description
        return description
