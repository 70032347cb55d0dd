"""A DAG file that starts a run whenever it is imported, without `if __name__ == "__main__"`."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import dag, task

import temporal_airflow


@dag(schedule=None, start_date=datetime(2026, 1, 1))
def runs_itself():
    @task
    def one():
        return 1

    one()


temporal_airflow.run_dag(runs_itself())
