"""The other side: stock Airflow on a database of its own, fed by its own methods and handlers only.

The DAG is stored as the DAG processor stores it, the run is created as the API creates it, tasks are started, reported
and skipped by the Execution API's functions, triggers by the triggerer's, and the scheduler's own methods decide. Two
things are replaced: the clock, and the order in which a task's dependencies are asked, which Airflow leaves to
addresses in memory (``stock_order.py``). It must not know our package.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import Mock

from airflow import settings
from airflow._shared.timezones import timezone
from airflow.api_fastapi.execution_api.datamodels.taskinstance import (
    TIDeferredStatePayload,
    TIEnterRunningPayload,
    TIRescheduleStatePayload,
    TIRetryStatePayload,
    TIRunContext,
    TISkippedDownstreamTasksStatePayload,
    TISuccessStatePayload,
    TITerminalStatePayload,
)
from airflow.api_fastapi.execution_api.datamodels.token import TIToken
from airflow.api_fastapi.execution_api.routes.task_instances import ti_run, ti_skip_downstream, ti_update_state
from airflow.api_fastapi.execution_api.routes.xcoms import delete_xcom, set_xcom
from airflow.executors.base_executor import BaseExecutor
from airflow.executors.executor_utils import ExecutorName
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dagbag import DBDagBag
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.pool import Pool
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskreschedule import TaskReschedule
from airflow.models.trigger import Trigger
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.triggers.base import TaskFailedEvent, TaskSkippedEvent, TaskSuccessEvent, TriggerEvent
from airflow.utils.db import synchronize_log_template
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState, TerminalTIState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from fastapi import Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from .messages import AttemptEnded, Key, Report, Row, Standing, Started, WaitEnded, WorkerLost

BUNDLE = "dags-folder"
PLENTY = 10_000
"""Room in the pool and in the executor: what the two sides don't share must not limit."""

KEPT_TABLES = ("slot_pool", "job", "dag_bundle", "log_template")
FORGET = "".join(
    f"delete from {table.name};" for table in reversed(Base.metadata.sorted_tables) if table.name not in KEPT_TABLES
)
END_EVENTS = {
    TaskInstanceState.SUCCESS: TaskSuccessEvent,
    TaskInstanceState.FAILED: TaskFailedEvent,
    TaskInstanceState.SKIPPED: TaskSkippedEvent,
}


class Clock:
    """The time of the other side."""

    def __init__(self) -> None:
        self.now: datetime | None = None
        real = timezone.utcnow
        timezone.utcnow = lambda: self.now or real()


class StockAirflow:
    """A scheduler and a database without anything else; runs one run after the other."""

    def __init__(self) -> None:
        self._clock = Clock()
        import_all_models()
        Base.metadata.create_all(settings.engine)
        synchronize_log_template()
        self._executor = BaseExecutor(parallelism=PLENTY)
        self._executor.name = ExecutorName(module_path="tests.NoExecutor", alias="none")
        self._executor.callback_sink = Mock()
        with _session() as session:
            session.add(Pool(pool=Pool.DEFAULT_POOL_NAME, slots=PLENTY, include_deferred=False))
            session.add(DagBundleModel(name=BUNDLE))
            job = Job()
            self._scheduler = SchedulerJobRunner(job=job, executors=[self._executor])
            session.add(job)
            session.commit()
            self._job_id = job.id

    def open(self, serialized: dict[str, Any], start: datetime) -> None:
        """Forget the last run; store a DAG and create a run of it."""
        self._clock.now = start
        dag = LazyDeserializedDAG(data=serialized)
        with _session() as session:
            _forget(session)
            SerializedDAG.bulk_write_to_db(BUNDLE, None, [dag], session=session)
            SerializedDagModel.write_dag(dag, bundle_name=BUNDLE, session=session)
            session.commit()
            run = _stored_dag(dag.dag_id, session).create_dagrun(
                run_id="run",
                logical_date=start,
                data_interval=(start, start),
                run_after=start,
                run_type=DagRunType.MANUAL,
                triggered_by=DagRunTriggeredByType.CLI,
                state=DagRunState.RUNNING,
                start_date=start,
                session=session,
            )
            session.commit()
            self._run_id = run.id

    def step(self, now: datetime, reports: Iterable[Report]) -> Standing:
        """Take reports, decide until nothing changes any more, start what may start."""
        self._clock.now = now
        for report in reports:
            assert isinstance(report, AttemptEnded | WaitEnded | WorkerLost), f"not of this module: {report}"
            self._take(report)
        self._decide()
        started, priorities = self._start(now)
        with _session() as session:
            rows = _rows(session)
            return Standing(
                state=session.get_one(DagRun, self._run_id).state,
                rows={key: Row(ti.state, ti.try_number, ti.max_tries) for key, ti in rows.items()},
                started=started,
                wakes_at=_wakes_at(rows.values(), session),
                priorities=priorities,
            )

    def _take(self, report: Report) -> None:
        with _session() as session:
            ti = session.scalars(
                select(TaskInstance).where(
                    TaskInstance.task_id == report.key.task_id, TaskInstance.map_index == report.key.map_index
                )
            ).one()
            if ti.try_number != report.try_number:
                return  # the process of an earlier try would name a task instance that is no more
            match report:
                case AttemptEnded() if ti.state == TaskInstanceState.RUNNING:
                    _report_attempt(ti, report, session)
                case WaitEnded(timed_out=True):
                    self._scheduler.check_trigger_timeouts(session=session)
                case WaitEnded():
                    _report_wait(ti, report, session)
                case WorkerLost(for_good=True) if ti.state == TaskInstanceState.RUNNING:
                    self._give_up(ti, session)
            session.commit()

    def _give_up(self, ti: TaskInstance, session: Session) -> None:
        self._scheduler._purge_task_instances_without_heartbeats([ti], session=session)
        session.commit()
        self._scheduler._process_executor_events(self._executor, session)

    def _decide(self) -> None:
        before = None
        while True:
            with _session() as session:
                run = session.get_one(DagRun, self._run_id)
                after = (run.state, _rows_as_values(session))
                if after == before or run.state != DagRunState.RUNNING:
                    return
                before = after
                self._scheduler._schedule_dag_run(run, session)
                session.commit()

    def _start(self, now: datetime) -> tuple[tuple[Started, ...], dict[Key, int]]:
        with _session() as session:
            waiting = session.scalars(select(TaskInstance).where(TaskInstance.state == TaskInstanceState.SCHEDULED))
            priorities = {Key(ti.task_id, ti.map_index): ti.priority_weight or 0 for ti in waiting}
        started: list[Started] = []
        while len(started) < len(priorities):
            with _session() as session:
                chosen = self._scheduler._executable_task_instances_to_queued(PLENTY, session)
                session.commit()
            if not chosen:
                break
            for ti in chosen:
                with _session() as session:
                    started.append(_run(ti, now, session))
                    session.commit()
        return tuple(started), priorities


def _session() -> AbstractContextManager[Session]:
    """Airflow's own kind of session; commits at its end."""
    return create_session(scoped=False)


def _stored_dag(dag_id: str, session: Session) -> SerializedDAG:
    dag = SerializedDagModel.get_dag(dag_id, session=session)
    assert dag is not None, "no run without its DAG"
    return dag


def _forget(session: Session) -> None:
    """Empty the tables of runs, in SQLite's own words: through SQLAlchemy it would cost as much as creating a run."""
    connection = session.connection().connection.dbapi_connection
    assert isinstance(connection, sqlite3.Connection), "the database is of this process alone"
    connection.executescript(FORGET)
    session.commit()


def _rows(session: Session) -> dict[Key, TaskInstance]:
    order = (TaskInstance.task_id, TaskInstance.map_index)
    return {Key(ti.task_id, ti.map_index): ti for ti in session.scalars(select(TaskInstance).order_by(*order))}


def _rows_as_values(session: Session) -> Sequence[Any]:
    columns = (TaskInstance.task_id, TaskInstance.map_index, TaskInstance.state, TaskInstance.try_number)
    return session.execute(select(*columns).order_by(*columns[:2])).all()


def _wakes_at(task_instances: Iterable[TaskInstance], session: Session) -> datetime | None:
    moments = []
    for ti in task_instances:
        if ti.state == TaskInstanceState.UP_FOR_RETRY:
            ti.task = _stored_dag(ti.dag_id, session).get_task(ti.task_id)
            moments.append(ti.next_retry_datetime())
        elif ti.state == TaskInstanceState.UP_FOR_RESCHEDULE:
            dates = select(func.max(TaskReschedule.reschedule_date)).where(TaskReschedule.ti_id == ti.id)
            moments.append(session.scalar(dates))
    return min(moments, default=None)


def _run(ti: TaskInstance, now: datetime, session: Session) -> Started:
    """Start a queued task instance, as its process does."""
    context: TIRunContext = ti_run(
        ti.id,
        TIEnterRunningPayload(state=TaskInstanceState.RUNNING, hostname="here", unixname="me", pid=1, start_date=now),
        Response(),
        session,
        DBDagBag(),
        None,
        Mock(spec=TIToken, claims=Mock(scope="execution")),
    )
    key = Key(ti.task_id, ti.map_index)
    for name in context.xcom_keys_to_clear:
        delete_xcom(session, ti.dag_id, ti.run_id, ti.task_id, name, ti.map_index)
    return Started(
        key,
        ti.try_number,
        context.max_tries,
        context.should_retry,
        context.task_reschedule_count,
        context.next_method,
        tuple(sorted(set(context.xcom_keys_to_clear))),
    )


def _report_attempt(ti: TaskInstance, report: AttemptEnded, session: Session) -> None:
    for name, value in report.pushed.items():
        length = report.mapped_length if name == "return_value" else None
        set_xcom(ti.dag_id, ti.run_id, ti.task_id, name, session, value, ti.map_index, mapped_length=length)
    if report.skipped:
        ti_skip_downstream(ti.id, TISkippedDownstreamTasksStatePayload(tasks=list(report.skipped)), session)
    ti_update_state(ti.id, _payload(report), session, DBDagBag())


def _payload(report: AttemptEnded) -> Any:
    ended = report.ended
    match report.state:
        case TaskInstanceState.SUCCESS:
            return TISuccessStatePayload(
                state=TerminalTIState.SUCCESS, end_date=ended, task_outlets=[], outlet_events=[]
            )
        case TaskInstanceState.UP_FOR_RETRY:
            return TIRetryStatePayload(state=report.state.value, end_date=ended)
        case TaskInstanceState.UP_FOR_RESCHEDULE:
            return TIRescheduleStatePayload(
                state=report.state.value, end_date=ended, reschedule_date=report.reschedule_date
            )
        case TaskInstanceState.DEFERRED:
            timeout = timedelta(seconds=report.timeout) if report.timeout is not None else None
            return TIDeferredStatePayload(
                state=report.state.value,
                classpath="a.Trigger",
                trigger_kwargs={},
                trigger_timeout=timeout,
                next_method="resume",
                next_kwargs={},
            )
        case _:
            return TITerminalStatePayload(state=report.state.value, end_date=ended)


def _report_wait(ti: TaskInstance, report: WaitEnded, session: Session) -> None:
    if report.failed:
        Trigger.submit_failure(ti.trigger_id, "failed", session=session)
    elif report.state is None:
        Trigger.submit_event(ti.trigger_id, TriggerEvent(None), session=session)
    else:
        Trigger.submit_event(ti.trigger_id, END_EVENTS[report.state](), session=session)
