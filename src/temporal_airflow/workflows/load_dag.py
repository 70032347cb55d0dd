"""The short workflow that asks a worker for its copy of a DAG, so that a DAG can be started by its id.

It must not know what loading means.
"""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

from temporal_airflow import identifiers
from temporal_airflow.models import LoadDagInput, LoadedDag, LoadFailure

LOAD_TIMEOUT = timedelta(minutes=10)
"""For a whole folder of DAG files; a file alone has Airflow's ``[core] dagbag_import_timeout``."""


@workflow.defn(name=identifiers.LOAD_WORKFLOW_TYPE, sandboxed=False)
class LoadAirflowDagWorkflow:
    """Loads a DAG on whichever worker serves this task queue."""

    @workflow.run
    async def run(self, request: LoadDagInput) -> LoadedDag | LoadFailure:
        """The DAG and the run asked for, or why it can't be run."""
        outcome: LoadedDag | LoadFailure = await workflow.execute_activity(
            identifiers.LOAD_ACTIVITY,
            request,
            result_type=LoadedDag | LoadFailure,  # type: ignore[arg-type]  # a union is a type hint, not a type
            start_to_close_timeout=LOAD_TIMEOUT,
            retry_policy=RetryPolicy(maximum_attempts=3),
            summary=request.dag_id,
        )
        return outcome
