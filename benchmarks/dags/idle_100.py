"""A task that waits for hours without a process, then 99 empty ones: a run that only takes memory."""

from datetime import datetime

from airflow.sdk import dag, task


@dag(schedule=None, start_date=datetime(2024, 1, 1), max_active_tasks=1000, max_active_runs=1000)
def idle_100():
    @task.sensor(mode="reschedule", poke_interval=36000, timeout=360000)
    def never():
        return False

    @task
    def nothing():
        pass

    never() >> [nothing.override(task_id=f"t{number}")() for number in range(99)]


idle_100()
