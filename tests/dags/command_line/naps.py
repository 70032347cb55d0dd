"""A task that waits in a trigger; it says something before and after."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import DAG, BaseOperator


class Naps(BaseOperator):
    def execute(self, context):
        print("good night")
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=0.1)), method_name="wakes")

    def wakes(self, context, event=None):
        print("good morning")


with DAG("naps"):
    Naps(task_id="naps") >> Naps(task_id="unreadable") >> EmptyOperator(task_id="empty")
