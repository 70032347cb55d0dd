"""Namespace ``xcoms``: Airflow's calls and their exact answers, on top of :class:`~temporal_airflow.tasks.xcom.XComs`.

The answers follow ``airflow/api_fastapi/execution_api/routes/xcoms.py`` and what Airflow's client makes of them.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from airflow.sdk.api.datamodels._generated import XComResponse, XComSequenceIndexResponse, XComSequenceSliceResponse
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse, OKResponse, XComCountResponse

from temporal_airflow.exceptions import UnsupportedFeatureError
from temporal_airflow.models import XComRecord
from temporal_airflow.tasks.execution_api.errors import server_error
from temporal_airflow.tasks.execution_api.unsupported import unsupported
from temporal_airflow.tasks.xcom import UNMAPPED, Place, RunKey, XComs

PRIOR_DATES = unsupported("xcom_pull(include_prior_dates=True) of a value that this run doesn't have")


class XComCalls:
    """The namespace.

    Attributes:
        mapped_length: length of the return value that downstream tasks map over, once it is known.
    """

    def __init__(self, xcoms: XComs, max_map_length: int) -> None:
        self.mapped_length: int | None = None
        self._xcoms = xcoms
        self._max_map_length = max_map_length

    def written(self) -> tuple[XComRecord, ...]:
        """What the task wrote."""
        return self._xcoms.written()

    def get(  # noqa: PLR0917
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        key: str,
        map_index: int | None = None,
        include_prior_dates: bool = False,  # Airflow's signature
    ) -> XComResponse:
        """One value; None if there is none."""
        found, value = self._xcoms.get(RunKey(dag_id, run_id), Place(task_id, _index(map_index), key))
        if not found and include_prior_dates:
            raise UnsupportedFeatureError(PRIOR_DATES)
        return XComResponse(key=key, value=value)

    def set(  # noqa: PLR0917
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        key: str,
        value: Any,
        map_index: int | None = None,
        *,
        dag_result: bool = False,  # noqa: ARG002  # Airflow's signature
        mapped_length: int | None = None,
    ) -> OKResponse:
        """Write one value of this run."""
        self._check_own_run(dag_id, run_id)
        if not key:
            raise server_error(HTTPStatus.BAD_REQUEST, "invalid_key", "XCom key must be a non-empty string.")
        if mapped_length is not None and mapped_length >= 0:
            self._check_mapped_length(mapped_length)
            self.mapped_length = mapped_length
        self._xcoms.set(Place(task_id, _index(map_index), key), value)
        return OKResponse(ok=True)

    def delete(self, dag_id: str, run_id: str, task_id: str, key: str, map_index: int | None = None) -> OKResponse:
        """Delete one value of this run."""
        self._check_own_run(dag_id, run_id)
        self._xcoms.delete(Place(task_id, _index(map_index), key))
        return OKResponse(ok=True)

    def head(self, dag_id: str, run_id: str, task_id: str, key: str) -> XComCountResponse:
        """How many values a mapped task has."""
        return XComCountResponse(len=self._xcoms.count(RunKey(dag_id, run_id), task_id, key))

    def get_sequence_item(
        self, dag_id: str, run_id: str, task_id: str, key: str, offset: int
    ) -> XComSequenceIndexResponse | ErrorResponse:
        """The value at a position, counted by map index; from the end if negative."""
        contents = self._xcoms.sequence(RunKey(dag_id, run_id), task_id, key)
        if not -len(contents) <= offset < len(contents):
            detail = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "key": key, "offset": offset}
            return ErrorResponse(error=ErrorType.XCOM_NOT_FOUND, detail=detail)
        return XComSequenceIndexResponse(self._xcoms.value(contents[offset]))

    def get_sequence_slice(  # noqa: PLR0917
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        key: str,
        start: int | None,
        stop: int | None,
        step: int | None,
        include_prior_dates: bool = False,  # Airflow's signature
    ) -> XComSequenceSliceResponse:
        """The values of a slice, by map index."""
        contents = self._xcoms.sequence(RunKey(dag_id, run_id), task_id, key)
        if not contents and include_prior_dates:
            raise UnsupportedFeatureError(PRIOR_DATES)
        return XComSequenceSliceResponse([self._xcoms.value(content) for content in contents[start:stop:step]])

    def _check_own_run(self, dag_id: str, run_id: str) -> None:
        if RunKey(dag_id, run_id) != self._xcoms.own_run:
            raise UnsupportedFeatureError(f"An XCom of another run ({dag_id}/{run_id}) can't be written or deleted")

    def _check_mapped_length(self, length: int) -> None:
        if length > self._max_map_length:
            raise server_error(
                HTTPStatus.BAD_REQUEST,
                "unmappable_return_value_length",
                f"A return value of length {length} is too large to map: [core] max_map_length is "
                f"{self._max_map_length}",
            )


def _index(map_index: int | None) -> int:
    return map_index if map_index is not None and map_index >= 0 else UNMAPPED
