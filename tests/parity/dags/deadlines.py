# mypy: ignore-errors
"""Deadlines: what is called when they are missed, and when they aren't missed any more."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from airflow.sdk import AsyncCallback, BaseNotifier, DeadlineAlert, DeadlineReference, SyncCallback, task
from leave_notes import a_dag
from parity_calls import awaited, broken, called, leave

SOON = timedelta(seconds=5)
LATE = timedelta(hours=1)
QUEUED = DeadlineReference.DAGRUN_QUEUED_AT
LONG_AGO = DeadlineReference.FIXED_DATETIME(datetime(2024, 1, 1, tzinfo=UTC))


def from_dag_file(context):
    leave(context, "from the DAG file")


class Notifier(BaseNotifier):
    template_fields = ("text",)

    def __init__(self, text):
        super().__init__()
        self.text = text

    def notify(self, context):
        leave(context, f"notifier {self.text}")


def alert(reference, interval, callback, name=None):
    return DeadlineAlert(reference=reference, interval=interval, callback=callback, name=name)


@a_dag(
    deadline=[
        alert(QUEUED, SOON, SyncCallback(called, kwargs={"text": "queued", "more": 1}), "queued"),
        alert(DeadlineReference.DAGRUN_LOGICAL_DATE, LATE, SyncCallback(called, kwargs={"text": "logical"})),
        alert(LONG_AGO, LATE, AsyncCallback(awaited, kwargs={"text": "fixed"})),
        alert(DeadlineReference.AVERAGE_RUNTIME(), SOON, SyncCallback(called, kwargs={"text": "average"})),
        alert(QUEUED, SOON, SyncCallback(from_dag_file)),
        alert(QUEUED, SOON, SyncCallback(Notifier, kwargs={"text": "text"})),
        alert(QUEUED, SOON, SyncCallback(broken)),
        alert(QUEUED, SOON, SyncCallback("parity_calls.no_such_function")),
        alert(QUEUED, LATE, SyncCallback(called, kwargs={"text": "never"})),
    ]
)
def misses_deadlines():
    @task
    def slow():
        time.sleep(40)

    slow()


@a_dag(deadline=alert(QUEUED, LATE, SyncCallback(called, kwargs={"text": "never"})))
def succeeds_before_its_deadline():
    @task
    def quick():
        return 1

    quick()


misses_deadlines()
succeeds_before_its_deadline()
