"""An empty task mapped over 100 numbers that another task returns."""

from datetime import datetime

from airflow.sdk import dag, task


@dag(schedule=None, start_date=datetime(2024, 1, 1), max_active_tasks=1000, max_active_runs=1000)
def map_100():
    @task
    def numbers():
        return list(range(100))

    @task
    def nothing(number):
        pass

    nothing.expand(number=numbers())


map_100()
