"""The deadlines of one run: rows of Airflow's own table in the run's database, decided over by Airflow's own code.

What Airflow does at a run's creation (``SerializedDAG._process_dagrun_deadline_alerts``), in the scheduler's loop
(``Deadline.handle_miss``) and at a run's success (``Deadline.prune_deadlines``). Arguments of callbacks stay sealed: no
row holds them. It must not know how a callback is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from airflow.models.dagrun import DagRun
from airflow.models.deadline import Deadline
from airflow.sdk.definitions.callback import SyncCallback
from airflow.serialization.decoders import decode_deadline_reference
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunType
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from temporal_airflow.engine.database import RunDatabase
from temporal_airflow.engine.events import RunDeadlineCallback
from temporal_airflow.models import (
    DagExecutionInput,
    DeadlineAlert,
    DeadlineCallbackInput,
    DeadlineRecord,
    EarlierRun,
)

AVERAGE_RUNTIME = "AverageRuntimeDeadline"
"""Airflow's name of the one reference point that needs other runs."""

QUEUED_AT = "DagRunQueuedAtDeadline"
"""Airflow's name of the one reference point that clearing moves."""

_EPOCH = datetime.fromtimestamp(0, UTC)


class Deadlines:
    """What a run has to be done by, and what is called if it isn't."""

    def __init__(self, execution: DagExecutionInput, dag_run: DagRun, session: Session) -> None:
        self._execution = execution
        self._dag_run = dag_run
        self._session = session
        self._alerts: dict[UUID, DeadlineAlert] = {}

    def set(self) -> None:
        """Set the deadlines of a run that has just been created."""
        for alert in self._execution.deadlines:
            self._set(alert)

    def kept(self) -> dict[str, int]:
        """Which alert each row stands for: its place among those of the run."""
        alerts = self._execution.deadlines
        return {str(number): alerts.index(alert) for number, alert in self._alerts.items()}

    def resume(self, kept: Mapping[str, int]) -> None:
        """Know again which alert each restored row stands for."""
        self._alerts = {UUID(number): self._execution.deadlines[place] for number, place in kept.items()}

    def requeued(self) -> None:
        """Measure anew what is measured from when the run was queued (``_recalculate_dagrun_queued_at_deadlines``)."""
        queued_at = self._dag_run.queued_at
        for deadline in self._session.scalars(select(Deadline).where(~Deadline.missed)) if self._alerts else ():
            alert = self._alerts[deadline.id]
            if queued_at is not None and alert.reference["reference_type"] == QUEUED_AT:
                deadline.deadline_time = queued_at + timedelta(seconds=alert.interval)

    def next(self) -> datetime | None:
        """The earliest deadline that isn't missed yet."""
        if not self._alerts:
            return None
        return self._session.scalar(select(func.min(Deadline.deadline_time)).where(~Deadline.missed))

    def check(self, now: datetime) -> list[RunDeadlineCallback]:
        """What is to be called for deadlines that have passed; each is missed once. A success in time ends them all."""
        if not self._alerts:
            return []
        if self._dag_run.state == DagRunState.SUCCESS:
            Deadline.prune_deadlines(session=self._session, conditions={DagRun.id: self._dag_run.id})
        passed = self._session.scalars(
            select(Deadline)
            .where(Deadline.deadline_time < now, ~Deadline.missed)
            .order_by(Deadline.deadline_time, Deadline.id)
        )
        return [self._miss(deadline) for deadline in passed.all()]

    def records(self) -> tuple[DeadlineRecord, ...]:
        """The deadlines that are left, for people."""
        if not self._alerts:
            return ()
        deadlines = self._session.scalars(select(Deadline).order_by(Deadline.deadline_time, Deadline.id))
        return tuple(
            DeadlineRecord(name=self._alerts[each.id].name, deadline_time=each.deadline_time, missed=each.missed)
            for each in deadlines
        )

    def _set(self, alert: DeadlineAlert) -> None:
        moment = self._evaluate(alert)
        if moment is None:
            return  # as in Airflow: there is nothing to measure by, e.g. no logical date
        deadline = Deadline(
            deadline_time=moment,
            callback=SyncCallback.deserialize({"path": alert.callback_path}, 0),  # either kind: only its row is needed
            dagrun_id=self._dag_run.id,
            deadline_alert_id=None,
            dag_id=self._dag_run.dag_id,
        )
        self._session.add(deadline)
        self._session.flush()
        self._alerts[deadline.id] = alert

    def _evaluate(self, alert: DeadlineAlert) -> datetime | None:
        reference = decode_deadline_reference(alert.reference)
        if alert.reference["reference_type"] != AVERAGE_RUNTIME:
            return self._moment(reference, alert, self._session)
        earlier = RunDatabase()  # the run's own must not hold other runs
        try:
            runs = enumerate(self._execution.earlier_runs)
            earlier.session.add_all(self._row_of(number, run) for number, run in runs)
            earlier.session.flush()
            return self._moment(reference, alert, earlier.session)
        finally:
            earlier.dispose()

    def _moment(self, reference: object, alert: DeadlineAlert, session: Session) -> datetime | None:
        moment: datetime | None = reference.evaluate_with(  # type: ignore[attr-defined]
            session=session,
            interval=timedelta(seconds=alert.interval),
            dag_id=self._dag_run.dag_id,
            run_id=self._dag_run.run_id,
        )
        return moment

    def _row_of(self, number: int, run: EarlierRun) -> DagRun:
        row = DagRun(
            dag_id=self._dag_run.dag_id,
            run_id=DagRunType.MANUAL.generate_run_id(suffix=(_EPOCH + timedelta(seconds=number)).isoformat()),
            run_type=DagRunType.MANUAL,
            logical_date=run.logical_date,
            run_after=run.start_date,
            start_date=run.start_date,
            state=DagRunState.SUCCESS,
        )
        row.end_date = run.end_date
        return row

    def _miss(self, deadline: Deadline) -> RunDeadlineCallback:
        deadline.handle_miss(self._session)
        self._session.flush()
        alert = self._alerts[deadline.id]
        name = f" {alert.name}" if alert.name else ""
        callback = DeadlineCallbackInput(
            run=self._execution.run,
            bundle=self._execution.definition.bundle,
            callback_id=deadline.callback.id,
            callback_path=alert.callback_path,
            callback_kwargs=alert.callback_kwargs,
            deadline_id=deadline.id,
            deadline_time=deadline.deadline_time,
            task_queue=self._execution.task_queue,
            dag_run=deadline.callback.data["kwargs"]["context"]["dag_run"],
        )
        return RunDeadlineCallback(f"missed deadline{name}", callback, alert.awaited)
