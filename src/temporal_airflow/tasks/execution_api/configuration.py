"""Connections and variables: what is left to answer when the task's own lookup found nothing.

Airflow looks in the configured secrets backends and the environment first, in the task's process. Only then it asks
here, where Airflow's server would look into its metadata database; there is none.
"""

from __future__ import annotations

from typing import NoReturn

from airflow.sdk.api.datamodels._generated import VariableKeysResponse
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from temporal_airflow.exceptions import UnsupportedFeatureError


class Connections:
    """Namespace ``connections``."""

    def get(self, conn_id: str) -> ErrorResponse:
        """No metadata database, no connection."""
        return ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND, detail={"conn_id": conn_id})


class Variables:
    """Namespace ``variables``."""

    def get(self, key: str) -> ErrorResponse:
        """No metadata database, no variable."""
        return ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND, detail={"key": key})

    def keys(self, prefix: str | None = None, limit: int = 1000, offset: int = 0) -> VariableKeysResponse:  # noqa: ARG002
        """The keys of the metadata database: none."""
        return VariableKeysResponse(keys=[], total_entries=0)

    def set(self, key: str, value: str | None, description: str | None = None) -> NoReturn:  # noqa: ARG002
        """Refused: there is nowhere to write to."""
        raise UnsupportedFeatureError(_needs_database("Variable.set", key))

    def delete(self, key: str) -> NoReturn:
        """Refused: there is nothing to delete from."""
        raise UnsupportedFeatureError(_needs_database("Variable.delete", key))


def _needs_database(call: str, key: str) -> str:
    return (
        f"{call}({key!r}) needs Airflow's metadata database, and tasks run without one here: "
        "keep changing values in XComs or in a store of your own."
    )
