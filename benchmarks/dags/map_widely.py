"""An empty task mapped over as many numbers as the conf says, one of which takes as many seconds as it says."""

import time
from datetime import datetime

from airflow.sdk import dag, task


@dag(schedule=None, start_date=datetime(2024, 1, 1), max_active_tasks=10000, max_active_runs=1000)
def map_widely():
    @task
    def numbers(dag_run=None):
        return list(range(dag_run.conf["width"]))

    @task
    def nothing(number, dag_run=None):
        if number == 0:
            time.sleep(dag_run.conf["long"])

    nothing.expand(number=numbers())


map_widely()
