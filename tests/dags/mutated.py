"""A DAG for a mutation hook of the installation."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG, task

with DAG("is_mutated", schedule=None, start_date=datetime(2026, 1, 1), catchup=False, max_active_tasks=1):

    @task
    def numbers():
        return [1, 2, 3]

    @task
    def known(number):
        return number

    @task
    def unknown(number):
        return number

    known.expand(number=[1, 2])
    unknown.expand(number=numbers())
