"""A task that fails at each of its tries."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

with DAG("failing"):

    @task(retries=1, retry_delay=timedelta(0))
    def always():
        print("looking for the file")
        raise FileNotFoundError("there is no file today")

    @task
    def after():
        pass

    always() >> after()
