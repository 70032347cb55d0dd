"""Attempts that run in a workflow of their own, beside the run: what it is given, and what it says."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Self

from pydantic import TypeAdapter

from temporal_airflow.models.attempts import TaskExecutionInput, TaskExecutionResult
from temporal_airflow.models.base import CompactModel, WireModel
from temporal_airflow.models.packed import pack, unpack
from temporal_airflow.models.runs import RunLimits
from temporal_airflow.models.writes import Routing


class BatchedAttempt(CompactModel):
    """One attempt.

    Attributes:
        queue: Airflow's queue.
        weight: its priority weight.
    """

    queue: str | None = None
    attempt: TaskExecutionInput
    weight: int = 1


_attempts = TypeAdapter(tuple[BatchedAttempt, ...])


class AttemptBatch(WireModel):
    """Input of the workflow ``run_airflow_tasks``.

    Attributes:
        run_workflow_id: whom to tell how the attempts ended.
        limits: of the run.
        long: tasks whose attempts take long.
        compressed_attempts: zlib-compressed JSON of the list of attempts.
    """

    run_workflow_id: str
    routing: Routing
    limits: RunLimits
    long: tuple[str, ...] = ()
    compressed_attempts: bytes

    @staticmethod
    def compressed(attempts: Iterable[BatchedAttempt]) -> bytes:
        """What :attr:`attempts` are made of."""
        return pack(_attempts, tuple(attempts))

    @property
    def attempts(self) -> tuple[BatchedAttempt, ...]:
        """In the order in which they are to start."""
        return unpack(_attempts, self.compressed_attempts)


class OpenAttempt(CompactModel):
    """An attempt that a batch has not told the end of.

    Attributes:
        activity_id: the same for no other attempt of the run.
    """

    task_id: str
    map_index: int = -1
    try_number: int
    activity_id: str


class AttemptReport(OpenAttempt):
    """How an attempt ended: with a result, lost, or stopped.

    Attributes:
        loss: why there is no result.
        stuck: whether no worker took it in time.
    """

    result: TaskExecutionResult | None = None
    loss: str | None = None
    stuck: bool = False


attempt_reports = TypeAdapter(tuple[AttemptReport, ...])


class AttemptReports(WireModel):
    """Signal of a batch to its run; may come twice.

    Attributes:
        compressed_reports: zlib-compressed JSON of how attempts ended.
    """

    compressed_reports: bytes

    @classmethod
    def of(cls, reports: Iterable[AttemptReport]) -> Self:
        """Of what is to be told."""
        return cls(compressed_reports=pack(attempt_reports, tuple(reports)))

    @cached_property
    def reports(self) -> tuple[AttemptReport, ...]:
        """How attempts ended."""
        return unpack(attempt_reports, self.compressed_reports)


class OpenBatch(WireModel):
    """A batch that has not ended, as its run knows it."""

    workflow_id: str
    attempts: tuple[OpenAttempt, ...]
