"""Starts runs of other DAGs for the tasks of a worker: each once, however often the attempt that asks is lost.

The task's own run remembers first which run it is going to be, so that a repeated attempt asks for the same one; and
the memo of a started run says which try has started it.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.utils.types import DagRunType
from temporalio.client import Client
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from temporal_airflow import identifiers, run_listing
from temporal_airflow.models import LoadDagInput, LoadedDag, Routing
from temporal_airflow.run_starting import start_run
from temporal_airflow.run_writer import RunWriter
from temporal_airflow.tasks import run_turns
from temporal_airflow.tasks.dag_catalog import DagCatalog
from temporal_airflow.tasks.messages import AskTrigger


class RunTriggering:
    """Starts runs for tasks."""

    def __init__(self, client: Client, writer: RunWriter, catalog: DagCatalog) -> None:
        """Start nothing yet.

        Args:
            client: connected to the server.
            writer: into the runs of the tasks that ask.
            catalog: of the DAGs that can be started.
        """
        self._client = client
        self._writer = writer
        self._catalog = catalog

    async def trigger(self, ask: AskTrigger) -> bool:
        """Start a run.

        Returns:
            Whether there is such a run now that the asking try has started; else another one is in the way.

        Raises:
            WriteRefusedError: if the asking attempt was given up.
            InputError: if there is no such DAG, or it can't be run so.
        """
        own_run = identifiers.workflow_id(ask.dag_id, ask.run_id)
        routing = (await self._writer.write(own_run, ask.intent)).routing
        assert routing is not None, "a run tells where its workers are"
        wanted = ask.intent.triggered
        workflow_id = identifiers.workflow_id(wanted.dag_id, wanted.run_id)
        token = str(ask.task_instance_id)
        starter = await self._starter_of(workflow_id)
        if starter is not None:
            return starter == token
        if wanted.logical_date and await self._has_run_at(wanted.dag_id, wanted.logical_date):
            return False
        return await self._start(await self._load(ask), routing, identifiers.starter_memo(own_run, token))

    async def _starter_of(self, workflow_id: str) -> str | None:
        """Which try has started a run, as its memo says; empty if it wasn't a task, None if there is no such run."""
        try:
            description = await self._client.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return None
            raise
        return identifiers.starting_try(await description.memo())

    async def _has_run_at(self, dag_id: str, logical_date: datetime) -> bool:
        """Whether a DAG has a run of this logical date, which Airflow allows once."""
        return bool([listed async for listed in run_listing.runs_at(self._client, dag_id, [logical_date])])

    async def _load(self, ask: AskTrigger) -> LoadedDag:
        wanted = ask.intent.triggered
        request = LoadDagInput(
            dag_id=wanted.dag_id,
            run_id=wanted.run_id,
            logical_date=wanted.logical_date,
            conf=ask.conf,
            now=datetime.now(UTC),
            run_type=DagRunType.OPERATOR_TRIGGERED,
            run_after=wanted.run_after,
            note=ask.note,
            triggering_user_name=ask.triggering_user_name,
        )
        return await self._catalog.load(request)

    async def _must_wait(self, loaded: LoadedDag) -> bool:
        if loaded.run.run_after > datetime.now(UTC):
            return True
        active = await run_turns.active_runs(self._client, loaded.run.dag_id)
        return len(active) + run_turns.NEAR >= loaded.definition.max_active_runs

    async def _start(self, loaded: LoadedDag, routing: Routing, starter: dict[str, str]) -> bool:
        try:
            await start_run(self._client, loaded, routing, starter, queued=await self._must_wait(loaded))
        except WorkflowAlreadyStartedError:
            workflow_id = identifiers.workflow_id(loaded.run.dag_id, loaded.run.run_id)
            return await self._starter_of(workflow_id) == identifiers.starting_try(starter)
        return True
