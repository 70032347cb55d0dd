# mypy: ignore-errors
"""What tasks keep in their run, and what they do with other runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.providers.standard.sensors.external_task import ExternalTaskSensor
from airflow.sdk import DAG, TaskGroup, task

START = datetime(2024, 1, 1, tzinfo=UTC)

with DAG("keeps_task_state", schedule=None, start_date=START, catchup=False):

    @task(retries=1, retry_delay=timedelta(0))
    def over_tries(ti=None, task_state_store=None):
        seen = {key: task_state_store.get(key, "nothing") for key in ("kept", "deleted")}
        if ti.try_number == 1:
            task_state_store.set("kept", {"number": 1.5, "list": [None, True]})
            task_state_store.set("deleted", 1)
            task_state_store.delete("deleted")
            raise RuntimeError("once more")
        task_state_store.clear()
        return [seen, task_state_store.get("kept", "cleared")]

    @task
    def refuses_none(task_state_store=None):
        task_state_store.set("key", None)

    over_tries()
    refuses_none()

with DAG("is_triggered", schedule=None, start_date=START, catchup=False):

    @task
    def says(**context):
        return {"conf": context["dag_run"].conf, "type": context["dag_run"].run_type}

    with TaskGroup("group"):
        says()


def triggers(task_id, **arguments):
    return TriggerDagRunOperator(task_id=task_id, **{"trigger_dag_id": "is_triggered", "poke_interval": 1} | arguments)


with DAG("triggers_others", schedule=None, start_date=START, catchup=False):
    date = datetime(2024, 3, 1, tzinfo=UTC)
    named = {"trigger_run_id": "triggered", "logical_date": date}
    first = triggers("first", **named, conf={"a": 1}, wait_for_completion=True)
    again = triggers("again", **named)
    skips = triggers("skips", **named, skip_when_already_exists=True)
    same_date = triggers("same_date", trigger_run_id="other", logical_date=date)
    skips_same_date = triggers(
        "skips_same_date", trigger_run_id="other", logical_date=date, skip_when_already_exists=True
    )
    deferred = triggers(
        "deferred",
        trigger_run_id="deferred",
        logical_date=date + timedelta(days=1),
        wait_for_completion=True,
        deferrable=True,
    )
    wrong = triggers("wrong", trigger_dag_id="is_no_dag")

    @task(trigger_rule="all_done")
    def asks(ti=None):
        return {
            "runs": ti.get_dr_count("is_triggered", run_ids=["triggered", "deferred", "other"], states=["success"]),
            "by date": ti.get_dr_count("is_triggered", logical_dates=[date]),
            "states": ti.get_task_states("is_triggered", run_ids=["triggered"]),
            "group": ti.get_ti_count("is_triggered", run_ids=["triggered"], task_group_id="group"),
            "prior": ti.xcom_pull(task_ids="first", key="trigger_run_id", include_prior_dates=True),
            "nothing prior": ti.xcom_pull(task_ids="first", key="absent", include_prior_dates=True),
        }

    def sensor(task_id, **arguments):
        return ExternalTaskSensor(
            task_id=task_id,
            external_dag_id="is_triggered",
            execution_date_fn=lambda _: date,
            poke_interval=1,
            timeout=60,
            **arguments,
        )

    watching = [
        sensor("by_task", external_task_id="group.says"),
        sensor("by_group", external_task_group_id="group"),
        sensor("by_run", deferrable=True),
        sensor(
            "skips_on_success", external_task_id="group.says", skipped_states=["success"], allowed_states=["failed"]
        ),
        sensor("fails_on_success", external_task_id="group.says", failed_states=["success"], allowed_states=["failed"]),
    ]
    first >> [again, skips, same_date, skips_same_date, *watching]
    [again, skips, same_date, skips_same_date, deferred, wrong] >> asks()
