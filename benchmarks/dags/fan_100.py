"""One empty task, then 98 at once, then one."""

from datetime import datetime

from airflow.sdk import dag, task


@dag(schedule=None, start_date=datetime(2024, 1, 1), max_active_tasks=1000, max_active_runs=1000)
def fan_100():
    @task
    def nothing():
        pass

    middle = [nothing.override(task_id=f"t{number}")() for number in range(100 - 2)]
    nothing.override(task_id="first")() >> middle >> nothing.override(task_id="last")()


fan_100()
