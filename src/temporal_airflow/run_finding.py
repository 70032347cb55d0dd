"""Finds the workflow of a run that a user names, or says that there is none. It must not know how a run stands."""

from __future__ import annotations

from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from temporal_airflow import identifiers, near_names, run_list
from temporal_airflow.exceptions import DagRunNotFoundError


class RunFinder:
    """Looks runs up."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def find(self, reference: str) -> str:
        """The workflow id of a run as a user names it.

        Raises:
            DagRunNotFoundError: if the server doesn't know it.
        """
        pair = identifiers.split_run_reference(reference)
        workflow_id = identifiers.workflow_id(*pair) if pair else reference
        description = await self._described(workflow_id)
        if description is None:
            raise DagRunNotFoundError(_unknown(reference, await self._names_like(reference)))
        memo = await description.memo()
        if pair and (memo.get("dag_id"), memo.get("run_id")) != pair:
            raise DagRunNotFoundError(
                f"No run {reference!r}: its workflow id {workflow_id!r} belongs to run {memo.get('run_id')!r} of DAG "
                f"{memo.get('dag_id')!r}."
            )
        return workflow_id

    async def open_run_of(self, dag_id: str, run_id: str) -> str | None:
        """The workflow id of this run if it is open; None if there is none or it has ended."""
        workflow_id = identifiers.workflow_id(dag_id, run_id)
        description = await self._described(workflow_id)
        if description is None or description.status != WorkflowExecutionStatus.RUNNING:
            return None
        memo = await description.memo()
        return workflow_id if (memo.get("dag_id"), memo.get("run_id")) == (dag_id, run_id) else None

    async def describe(self, workflow_id: str) -> WorkflowExecutionDescription:
        """The latest execution of a run.

        Raises:
            DagRunNotFoundError: if the server doesn't know it.
        """
        description = await self._described(workflow_id)
        if description is None:
            raise DagRunNotFoundError(_unknown(workflow_id))
        return description

    async def known(self) -> list[tuple[str, str]]:
        """DAG id and run id of some runs there are, open ones first."""
        return await run_list.known_runs(self._client)

    async def _names_like(self, reference: str) -> set[str]:
        known = await self.known()
        return {"/".join(pair) if "/" in reference else identifiers.workflow_id(*pair) for pair in known}

    async def _described(self, workflow_id: str) -> WorkflowExecutionDescription | None:
        try:
            return await self._client.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return None
            raise


def _unknown(reference: str, names: set[str] | None = None) -> str:
    return (
        f"No run {reference!r} is known to the server{near_names.did_you_mean(reference, names or ())}. "
        "`temporal-airflow list` shows the runs there are."
    )
