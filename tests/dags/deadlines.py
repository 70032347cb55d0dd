"""Runs that take too long, and one that doesn't."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import DAG, AsyncCallback, DeadlineAlert, DeadlineReference, SyncCallback, dag, task
from airflow.sdk.definitions.deadline import BaseDeadlineReference, VariableInterval, deadline_reference
from deadline_calls import Notifier, awaited, called, fails, fails_when_awaited, leave, leaves

LONG_AGO = DeadlineReference.FIXED_DATETIME(datetime(2020, 1, 1, tzinfo=UTC))
QUEUED = DeadlineReference.DAGRUN_QUEUED_AT


def from_dag_file(context, **kwargs):
    leave(context, "from the DAG file")


def alert(callback, interval=timedelta(seconds=1), reference=QUEUED, name=None):
    return DeadlineAlert(reference=reference, interval=interval, callback=callback, name=name)


def a_dag(*alerts):
    return dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False, deadline=list(alerts))


@task
def waits(notes: int, dag_run=None):
    """Until so many callbacks were called."""
    missed = Path(dag_run.conf["scratch"]) / "missed"
    until = time.monotonic() + 100
    while not missed.exists() or len(missed.read_text().splitlines()) < notes:
        if time.monotonic() > until:
            raise TimeoutError(missed.read_text() if missed.exists() else "no callback was called")
        time.sleep(0.05)


@a_dag(
    alert(SyncCallback(called, kwargs={"who": "called", "secret": "s3cr3t-argument"}), name="soon"),
    alert(AsyncCallback(awaited, kwargs={"who": "awaited", "secret": "s3cr3t-argument"}), timedelta(seconds=2)),
    alert(SyncCallback(from_dag_file), timedelta(seconds=3)),
    alert(SyncCallback(Notifier, kwargs={"who": "called"})),
    alert(SyncCallback(called, kwargs={"who": "never"}), interval=timedelta(hours=1)),
)
def is_late():
    waits(4)


@a_dag(
    alert(SyncCallback(fails), reference=LONG_AGO),
    alert(AsyncCallback(fails_when_awaited), reference=LONG_AGO),
    alert(SyncCallback(leaves), reference=LONG_AGO),
    alert(AsyncCallback("no_such_module.called"), reference=LONG_AGO),
)
def calls_in_vain():
    @task
    def quick():
        return 1

    quick()


@a_dag(alert(SyncCallback(called, kwargs={"who": "never"}), interval=VariableInterval("patience")))
def is_patient():
    @task
    def quick():
        return 1

    quick()


@a_dag(alert(SyncCallback(called), reference=DeadlineReference.AVERAGE_RUNTIME(max_runs=2, min_runs=1), name="average"))
def is_measured():
    @task
    def quick():
        return 1

    quick()


@deadline_reference()
class OfOurOwn(BaseDeadlineReference):
    def _evaluate_with(self, *, session, **kwargs):
        return datetime(2026, 1, 1, tzinfo=UTC)


with DAG("has_own_reference", schedule=None, deadline=alert(SyncCallback(called), reference=OfOurOwn())):
    pass

with DAG("has_own_executor", schedule=None, deadline=alert(SyncCallback(called, executor="LocalExecutor"))):
    pass

is_late()
calls_in_vain()
is_patient()
is_measured()
