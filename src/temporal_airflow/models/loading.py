"""Asking a worker for a DAG, and its answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.utils.types import DagRunType
from pydantic import Field

from temporal_airflow.models.base import BundleReference, WireModel
from temporal_airflow.models.deadlines import DeadlineAlert
from temporal_airflow.models.mutations import MutatedTaskInstances
from temporal_airflow.models.runs import DagDefinition, DagRunIdentity, RunLimits


class LoadDagInput(WireModel):
    """Ask for a DAG as a run of it would be submitted.

    Attributes:
        path: the DAG file; None looks through the DAG bundles of the process that is asked.
        logical_date: the run's logical date, None for Airflow's default of a manual run.
        now: the moment of the request, from which default dates and run ids come.
        run_type: who asks: a person or, by ``OPERATOR_TRIGGERED``, a task.
        run_after: when a run that a task asks for may start at the earliest; None is now.
    """

    path: str | None = None
    dag_id: str | None = None
    run_id: str | None = None
    logical_date: datetime | None = None
    conf: dict[str, Any] = Field(default_factory=dict)
    now: datetime
    run_type: DagRunType = DagRunType.MANUAL
    run_after: datetime | None = None
    note: str | None = None
    triggering_user_name: str | None = None


class LoadedDag(WireModel):
    """A DAG that can run, and the run that was asked for, validated."""

    definition: DagDefinition
    run: DagRunIdentity
    limits: RunLimits
    airflow_version: str
    deadlines: tuple[DeadlineAlert, ...] = ()
    listened_states: tuple[str, ...] = ()
    mutated: tuple[MutatedTaskInstances, ...] = ()


class DagDescription(WireModel):
    """What is known of a DAG without a run of it.

    Attributes:
        task_groups: ids of all tasks in each task group, nested ones included.
    """

    dag_id: str
    bundle: BundleReference
    owners: str = ""
    tags: tuple[str, ...] = ()
    task_groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)


class LoadFailure(WireModel):
    """Why a DAG can't be run: ``kind`` names the class in ``exceptions``."""

    kind: str
    message: str
