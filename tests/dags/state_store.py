"""Tasks that keep something in their state store."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

from airflow.sdk import BaseOperator, ResumableJobMixin, dag, task
from airflow.triggers.testing import SuccessTrigger

LARGE = "x" * 50_000


def note(context, value):
    with Path(context["dag_run"].conf["scratch"], context["ti"].task_id).open("a") as notes:
        notes.write(json.dumps(value) + "\n")


class SubmitsOnce(ResumableJobMixin, BaseOperator):
    external_id_key = "job"

    def execute(self, context):
        return self.execute_resumable(context)

    def submit_job(self, context):
        note(context, "submitted")
        return "job-1"

    def get_job_status(self, external_id, context):
        return "running"

    def is_job_active(self, status):
        return status == "running"

    def is_job_succeeded(self, status):
        return False

    def poll_until_complete(self, external_id, context):
        if context["ti"].try_number == 1:
            raise RuntimeError("the connection broke")
        return external_id

    def get_job_result(self, external_id, context):
        return external_id


class KeepsWhileDeferred(BaseOperator):
    def execute(self, context):
        context["task_state_store"].set("before", "deferral")
        self.defer(trigger=SuccessTrigger(), method_name="resume")

    def resume(self, context, event):
        return context["task_state_store"].get("before")


@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False)
def keeps_state():
    @task(retries=1, retry_delay=timedelta(0))
    def over_tries(**context):
        store = context["task_state_store"]
        values = {key: store.get(key, "nothing") for key in ("secret", "large", "gone", "expired")}
        if context["ti"].try_number == 1:
            note(context, values)
            store.set("secret", {"password": "squeamish ossifrage"})
            store.set("large", LARGE)
            store.set("gone", 1)
            store.delete("gone")
            store.set("expired", 1, retention=timedelta(seconds=-1))
            raise RuntimeError("once more")
        note(context, values | {"large": len(values["large"])})
        store.clear()
        store.set("left", [1, 2.5, None, {"a": True}])
        return store.get("secret", "cleared")

    @task
    def of_one_map_index(index, **context):
        context["task_state_store"].set("index", index)
        return context["task_state_store"].get("index")

    @task(trigger_rule="all_done")
    def of_another_task(**context):
        return context["task_state_store"].get("left", "not mine")

    over_tries() >> of_another_task()
    of_one_map_index.expand(index=[3, 4])
    SubmitsOnce(task_id="submits_once", retries=1, retry_delay=timedelta(0))
    KeepsWhileDeferred(task_id="keeps_while_deferred")


keeps_state()
