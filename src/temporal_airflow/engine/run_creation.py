"""Puts a DAG run into its database: the rows that Airflow's trigger and DAG processor would have made.

It must not decide anything: ids, dates and parameters were settled when the run was submitted.
"""

from __future__ import annotations

from datetime import datetime

from airflow.models.dag import DagModel
from airflow.models.dag_version import DagVersion
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.base import DataInterval
from airflow.utils.state import DagRunState
from pendulum import DateTime, instance
from sqlalchemy import select
from sqlalchemy.orm import Session

from temporal_airflow.engine import given_once
from temporal_airflow.engine.dependency_order import fix_dependency_order
from temporal_airflow.models import DagDefinition, DagRunIdentity


def create_dag_run(
    definition: DagDefinition,
    run: DagRunIdentity,
    now: datetime | None,
    session: Session,
    queued_at: datetime | None = None,
) -> DagRun:
    """Create a DAG run; its task instances are made later.

    Args:
        definition: the DAG, as the parse process serialized it.
        run: identity and dates.
        now: the run's start date; None if it is queued.
        session: of an empty run database.
        queued_at: when the run was submitted.
    """
    dag = read_dag(definition)
    version = _create_dag_rows(definition, dag, session)
    dag_run = DagRun(
        dag_id=run.dag_id,
        run_id=run.run_id,
        logical_date=run.logical_date,
        data_interval=_data_interval(run),
        run_after=run.run_after,
        queued_at=queued_at,
        start_date=now,
        conf=run.conf,
        state=DagRunState.RUNNING if now else DagRunState.QUEUED,
        run_type=run.run_type,
        triggered_by=run.triggered_by,
        triggering_user_name=run.triggering_user_name,
        bundle_version=definition.bundle.version,
        partition_key=run.partition_key,
        note=run.note,
    )
    dag_run.created_dag_version = version
    dag_run.consumed_asset_events = []
    dag_run.dag = dag
    session.add(dag_run)
    session.flush()
    session.commit()
    return dag_run


def read_dag(definition: DagDefinition) -> SerializedDAG:
    """The DAG as Airflow's scheduling code takes it."""
    dag = DagSerialization.from_dict(definition.serialized_dag())
    fix_dependency_order(dag)
    given_once.give(dag)
    return dag


def load_dag_run(definition: DagDefinition, run: DagRunIdentity, session: Session) -> DagRun:
    """A DAG run that is in the database already."""
    named = (DagRun.dag_id == run.dag_id, DagRun.run_id == run.run_id)
    dag_run = session.scalars(select(DagRun).where(*named)).one()
    dag_run.dag = read_dag(definition)
    return dag_run


def _create_dag_rows(definition: DagDefinition, dag: SerializedDAG, session: Session) -> DagVersion:
    bundle = definition.bundle
    session.add(DagBundleModel(name=bundle.name))
    session.flush()
    session.add(
        DagModel(
            dag_id=dag.dag_id,
            bundle_name=bundle.name,
            bundle_version=bundle.version,
            relative_fileloc=bundle.relative_fileloc,
            is_paused=False,
            fail_fast=dag.fail_fast,
            max_active_tasks=dag.max_active_tasks,
        )
    )
    session.flush()
    version = DagVersion(dag_id=dag.dag_id, version_number=1, bundle_name=bundle.name, bundle_version=bundle.version)
    session.add(version)
    session.flush()
    return version


def _data_interval(run: DagRunIdentity) -> DataInterval | None:
    if run.data_interval_start is None or run.data_interval_end is None:
        return None
    return DataInterval(start=_pendulum(run.data_interval_start), end=_pendulum(run.data_interval_end))


def _pendulum(moment: datetime) -> DateTime:
    return instance(moment)
