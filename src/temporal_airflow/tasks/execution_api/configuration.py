"""Connections and variables: what is left to answer when the task's own lookup found nothing.

Airflow looks in the configured secrets backends and the environment first, in the task's process. Only then it asks
here, where Airflow's server would look into its own secrets backend, and then into its metadata database: there are no
connections, and the variables are those that tasks have set. They leave this process sealed. It must not know where
they are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow.sdk.api.datamodels._generated import ConnectionResponse, VariableKeysResponse, VariableResponse
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse, OKResponse

from temporal_airflow.models import ValueQuestion
from temporal_airflow.tasks import sealing
from temporal_airflow.tasks.execution_api import server_secrets
from temporal_airflow.tasks.execution_api.kept_state import RunScope
from temporal_airflow.tasks.state_questions import FindVariables, WriteVariable


class Connections:
    """Namespace ``connections``."""

    def get(self, conn_id: str) -> ConnectionResponse | ErrorResponse:
        """A connection of the server's own backend."""
        found = server_secrets.connection(conn_id)
        return found or ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND, detail={"conn_id": conn_id})


@dataclass(frozen=True)
class Variables:
    """Namespace ``variables``."""

    scope: RunScope

    def get(self, key: str) -> VariableResponse | ErrorResponse:
        """A variable of the server's own backend, or one that a task has set."""
        found = server_secrets.variable(key)
        if found is not None:
            return VariableResponse(key=key, value=found)
        sealed = self.scope.ask(FindVariables(question=ValueQuestion(key=key))).values.value
        if sealed is None:
            return ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND, detail={"key": key})
        return VariableResponse(key=key, value=sealing.unseal(sealed)["value"])

    def keys(self, prefix: str | None = None, limit: int = 1000, offset: int = 0) -> VariableKeysResponse:
        """A page of the keys of such variables."""
        question = ValueQuestion(prefix=prefix or "", limit=limit, offset=offset)
        page = self.scope.ask(FindVariables(question=question)).values
        return VariableKeysResponse(keys=list(page.keys), total_entries=page.total)

    def set(self, key: str, value: str | None, description: str | None = None) -> OKResponse:
        """Set a variable; Airflow's server makes a text of None, too."""
        sealed = sealing.seal({"value": str(value), "description": description})
        self.scope.ask(WriteVariable(key=key, sealed=sealed))
        return OKResponse(ok=True)

    def delete(self, key: str) -> OKResponse:
        """Delete a variable, if there is one."""
        self.scope.ask(WriteVariable(key=key, sealed=None))
        return OKResponse(ok=True)
