"""An empty task mapped over 1000 numbers that another task returns."""

from datetime import datetime

from airflow.sdk import dag, task


@dag(schedule=None, start_date=datetime(2024, 1, 1), max_active_tasks=1000, max_active_runs=1000)
def map_1000():
    @task
    def numbers():
        return list(range(1000))

    @task
    def nothing(number):
        pass

    nothing.expand(number=numbers())


map_1000()
