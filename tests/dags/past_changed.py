"""A DAG of ``past.py`` without one of its tasks, as it may have been for a while."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG, task

with DAG("changes", schedule=None, start_date=datetime(2026, 1, 1), catchup=False):

    @task
    def stays():
        pass

    stays()
