"""Deadlines on the wire: what a DAG asks for, what it is measured by, and what became of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from temporal_airflow.models.base import SealedKwargs, WireModel


class DeadlineAlert(WireModel):
    """One of a DAG's deadlines (Airflow's ``DeadlineAlert``), as the parse process settled it.

    Attributes:
        reference: Airflow's serialized reference point.
        interval: seconds from the reference point to the deadline.
        callback_path: where the callback is imported from.
        awaited: whether it is an ``AsyncCallback``, which runs where triggers run.
    """

    name: str | None = None
    reference: dict[str, Any]
    interval: float
    callback_path: str
    callback_kwargs: SealedKwargs
    awaited: bool = False


class EarlierRun(WireModel):
    """How long an earlier successful run of the DAG took: what an average is made of."""

    logical_date: datetime | None = None
    start_date: datetime
    end_date: datetime


class DeadlineRecord(WireModel):
    """A deadline of a run: those of a run that succeeded in time are gone, as in Airflow."""

    name: str | None = None
    deadline_time: datetime
    missed: bool = False
