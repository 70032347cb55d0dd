# mypy: ignore-errors
"""A trigger of the corpus: Airflow's triggerer can import it, as it knows no DAG bundle."""

from __future__ import annotations

import asyncio

from airflow.providers.standard.triggers.external_task import WorkflowTrigger

TIME_TO_END = 15
"""Seconds; a task whose trigger fires before its process has ended is taken for lost by Airflow's scheduler."""


class StatesTrigger(WorkflowTrigger):
    """Waits for states of other tasks, and first for the end of the process that deferred to it."""

    def serialize(self):
        return f"{__name__}.{type(self).__name__}", super().serialize()[1]

    async def run(self):
        await asyncio.sleep(TIME_TO_END)
        async for event in super().run():
            yield event
