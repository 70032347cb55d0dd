"""A task in Airflow's default queue and one in a queue of its own."""

from __future__ import annotations

from airflow.sdk import DAG, task

with DAG("queues"):

    @task
    def usual():
        pass

    @task(queue="special")
    def special():
        pass

    usual()
    special()
