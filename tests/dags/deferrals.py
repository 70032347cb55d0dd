"""Tasks that wait by deferral: driven task by task, with custom triggers of this bundle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.providers.standard.triggers.external_task import DagStateTrigger
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import DAG, BaseOperator, task
from deferral_triggers import Scripted


class Waits(BaseOperator):
    """Defers to a scripted trigger, and returns what it was resumed with."""

    def __init__(self, script, payload=None, timeout=None, **kwargs):
        super().__init__(**kwargs)
        self.script, self.payload, self.timeout = script, payload, timeout

    def execute(self, context):
        context["ti"].xcom_push("before", "deferral")
        self.defer(
            trigger=Scripted(self.script, self.payload),
            method_name="resume",
            kwargs={"since": datetime(2026, 5, 1, tzinfo=UTC), "password": "next-s3cr3t"},
            timeout=self.timeout,
        )

    def resume(self, context, since, password, event):
        return [since.isoformat(), password, event]


class WaitsThrice(BaseOperator):
    def execute(self, context, event=None, seen=()):
        seen = [*seen, event]
        if len(seen) <= 3:
            trigger = Scripted("fire", payload=len(seen))
            self.defer(trigger=trigger, method_name="execute", kwargs={"seen": seen})
        return seen


class WaitsForRun(BaseOperator):
    def execute(self, context, event=None):
        if event is None:
            trigger = DagStateTrigger(
                dag_id="deferrals", run_ids=["other"], states=["success"], poll_interval=0.1, execution_dates=None
            )
            self.defer(trigger=trigger, method_name="execute")
        return event


class WaitsAWhile(BaseOperator):
    def execute(self, context):
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=1)), method_name="resume")

    def resume(self, context, event):
        return "waited"


with DAG("deferrals", schedule=None, catchup=False) as dag:
    for name in (
        "fire_twice", "tell", "fail", "end_silently", "exit", "fire_an_object", "succeed", "give_up", "skip",
        "hang", "block", "look_up", "exchange", "no_such_script",
    ):  # fmt: skip
        Waits(task_id=name, script=name)
    Waits(task_id="fire", script="fire", payload={"password": "trigger-s3cr3t", "pair": (1, 2)})
    Waits(task_id="times_out", script="hang", timeout=timedelta(seconds=1))
    Waits.partial(task_id="mapped", script="tell", map_index_template="{{ 'number ' ~ ti.map_index }}").expand(
        payload=[1, 2]
    )
    WaitsThrice(task_id="waits_thrice")
    WaitsForRun(task_id="waits_for_run")
    WaitsAWhile(task_id="waits_a_while")
    DateTimeSensorAsync(task_id="is_past", target_time="2020-01-01T00:00:00+00:00")

    @task
    def upstream():
        return {"answer": 42}

    upstream()
