"""DAGs whose tasks depend on earlier runs."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from airflow.sdk import DAG, get_current_context, task


def a_dag(dag_id, **arguments):
    return DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1), catchup=False, **arguments)


with a_dag("one_after_the_other"):

    @task
    def looks_back():
        context = get_current_context()
        ti = context["ti"]
        before, succeeded = ti.get_previous_dagrun(), ti.get_previous_dagrun(state="success")
        task_before = ti.get_previous_ti()
        return {
            "run": before and before.run_id,
            "succeeded": succeeded and succeeded.run_id,
            "interval": str(context["prev_data_interval_start_success"]),
            "task": task_before and task_before.state,
        }

    @task(depends_on_past=True)
    def waits_for_file():
        conf = get_current_context()["dag_run"].conf
        path = Path(conf["scratch"], conf["file"])
        while not path.exists():
            time.sleep(0.05)
        if path.read_text() == "fail":
            raise ValueError("as told")

    waits_for_file() >> looks_back()

with a_dag("changes"):

    @task
    def stays():
        pass

    @task(depends_on_past=True, ignore_first_depends_on_past=True)
    def comes_and_goes():
        pass

    stays()
    comes_and_goes()
