"""Attempts that run one after the other in one activity: what it is given, and what it says.

Inputs and ends travel compressed: most of one is what the others say, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from functools import cached_property
from typing import Self

from pydantic import TypeAdapter

from temporal_airflow.models.attempts import TaskExecutionInput
from temporal_airflow.models.base import WireModel
from temporal_airflow.models.batches import AttemptReport, attempt_reports
from temporal_airflow.models.packed import pack, unpack

LONG = timedelta(seconds=1)
"""After which an attempt counts as long: no other is to wait behind it."""

_inputs = TypeAdapter(tuple[TaskExecutionInput, ...])


class AttemptSeries(WireModel):
    """Input of the activity ``run_airflow_task_series``.

    Attributes:
        compressed_attempts: zlib-compressed JSON of the list of attempts, in the order in which they are to run.
        activity_ids: of the attempts, as if each ran in an activity of its own.
    """

    compressed_attempts: bytes
    activity_ids: tuple[str, ...]

    @classmethod
    def of(cls, attempts: Iterable[TaskExecutionInput], activity_ids: Iterable[str]) -> Self:
        """Of attempts and their ids."""
        return cls(compressed_attempts=pack(_inputs, tuple(attempts)), activity_ids=tuple(activity_ids))

    @property
    def attempts(self) -> tuple[TaskExecutionInput, ...]:
        """In the order in which they are to run."""
        return unpack(_inputs, self.compressed_attempts)


class SeriesReport(WireModel):
    """Result of the activity, and signal to its run in between; each attempt is reported once, or twice alike.

    Attributes:
        series: id of the activity.
        compressed_ends: zlib-compressed JSON of how attempts ended.
        returned: ids of attempts that have not begun and won't in this series.
        long: id of an attempt that takes long, so that others of its task are better off elsewhere.
    """

    series: str
    compressed_ends: bytes = b""
    returned: tuple[str, ...] = ()
    long: str | None = None

    @classmethod
    def of(
        cls, series: str, ends: Iterable[AttemptReport], returned: Iterable[str] = (), long: str | None = None
    ) -> Self:
        """Of what is to be told."""
        compressed = pack(attempt_reports, tuple(ends))
        return cls(series=series, compressed_ends=compressed, returned=tuple(returned), long=long)

    @cached_property
    def ends(self) -> tuple[AttemptReport, ...]:
        """How attempts ended."""
        return unpack(attempt_reports, self.compressed_ends) if self.compressed_ends else ()
