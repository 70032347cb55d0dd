"""10 empty tasks, one after the other, in a pool."""

from datetime import datetime
from itertools import pairwise

from airflow.sdk import dag, task


@dag(schedule=None, start_date=datetime(2024, 1, 1), max_active_tasks=1000, max_active_runs=1000)
def pooled_chain_10():
    @task(pool="benchmark")
    def nothing():
        pass

    steps = [nothing.override(task_id=f"t{number}")() for number in range(10)]
    for before, after in pairwise(steps):
        before >> after


pooled_chain_10()
