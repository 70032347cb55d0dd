"""A DAG whose callback doesn't end by itself."""

from __future__ import annotations

import os
import time
from pathlib import Path

from airflow.sdk import DAG, task

SCRATCH = Path(os.environ.get("TASK_TEST_SCRATCH", "/nonexistent"))


def hang(context):
    (SCRATCH / "slow_callback").write_text(str(os.getpid()))
    time.sleep(600)


with DAG("slow_callbacks", schedule=None, on_success_callback=hang):

    @task
    def only():
        pass

    only()
