"""A task that fails twice and then succeeds."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

with DAG("flaky"):

    @task(retries=2, retry_delay=timedelta(seconds=1))
    def flaky(ti=None):
        print(f"this is try {ti.try_number}")
        if ti.try_number < 3:
            raise RuntimeError("not yet")
        ti.xcom_push(key="extra", value=[1, 2])
        return {"answer": 42}

    @task
    def double(value):
        return value["answer"] * 2

    double(flaky())
