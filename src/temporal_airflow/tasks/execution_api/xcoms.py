"""Namespace ``xcoms``: Airflow's calls and their exact answers, on top of :class:`~temporal_airflow.tasks.xcom.XComs`.

The answers follow ``airflow/api_fastapi/execution_api/routes/xcoms.py`` and what Airflow's client makes of them.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from airflow.sdk.api.datamodels._generated import XComResponse, XComSequenceIndexResponse, XComSequenceSliceResponse
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse, OKResponse, XComCountResponse

from temporal_airflow.models import XComRecord
from temporal_airflow.tasks.execution_api.errors import server_error
from temporal_airflow.tasks.xcom import UNMAPPED, Place, RunKey, XComs


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
        value = None
        for run in self._runs(dag_id, run_id, include_prior_dates=include_prior_dates):
            found, value = self._xcoms.get(run, Place(task_id, _index(map_index), key))
            if found:
                break
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
        """Write one value, of this run or of another that is open."""
        if not key:
            raise server_error(HTTPStatus.BAD_REQUEST, "invalid_key", "XCom key must be a non-empty string.")
        if mapped_length is not None and mapped_length >= 0:
            self._check_mapped_length(mapped_length)
        run, place = RunKey(dag_id, run_id), Place(task_id, _index(map_index), key)
        if run == self._xcoms.own_run:
            self.mapped_length = mapped_length if mapped_length is not None else self.mapped_length
            self._xcoms.set(place, value)
        else:
            self._xcoms.set_elsewhere(run, place, value, mapped_length)
        return OKResponse(ok=True)

    def delete(self, dag_id: str, run_id: str, task_id: str, key: str, map_index: int | None = None) -> OKResponse:
        """Delete one value, of this run or of another that is open."""
        run, place = RunKey(dag_id, run_id), Place(task_id, _index(map_index), key)
        if run == self._xcoms.own_run:
            self._xcoms.delete(place)
        else:
            self._xcoms.delete_elsewhere(run, place)
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
        """The values of a slice, by map index; with prior dates those of all runs, older runs first."""
        runs = self._runs(dag_id, run_id, include_prior_dates=include_prior_dates)
        found = [self._xcoms.by_map_index(run, task_id, key) for run in reversed(runs)]
        indexes = sorted({index for values in found for index in values})
        contents = [values[index] for index in indexes for values in found if index in values]
        return XComSequenceSliceResponse([self._xcoms.value(content) for content in contents[start:stop:step]])

    def _runs(self, dag_id: str, run_id: str, *, include_prior_dates: bool) -> list[RunKey]:
        run = RunKey(dag_id, run_id)
        return self._xcoms.until(run) if include_prior_dates else [run]

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
