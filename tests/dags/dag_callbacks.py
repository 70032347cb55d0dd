"""A DAG with callbacks, and one whose callback crashes its process."""

from __future__ import annotations

import os
from pathlib import Path

from airflow.sdk import DAG, task

SCRATCH = Path(os.environ.get("TASK_TEST_SCRATCH", "/nonexistent"))


def tell(context):
    (SCRATCH / "dag_callback").write_text(f"{context['run_id']} {context['reason']}")


def crash(context):
    os._exit(9)


with DAG("dag_callbacks", schedule=None, on_success_callback=tell, on_failure_callback=crash):

    @task
    def only():
        pass

    only()
