"""DAGs whose tasks wait by deferral."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import DAG, BaseOperator
from airflow.triggers.base import StartTriggerArgs
from deferral_triggers import Scripted
from file_trigger import FileAppears


class Waits(BaseOperator):
    """Defers as often as it has steps, and returns the events it was resumed with."""

    def __init__(self, steps, **kwargs):
        super().__init__(**kwargs)
        self.steps = steps

    def execute(self, context, event=None, events=()):
        events = [*events, event]
        context["ti"].xcom_push(f"started-{len(events)}", context["ti"].try_number)
        if len(events) > len(self.steps):
            return events[1:]
        trigger = Scripted(self.steps[len(events) - 1], payload=len(events))
        self.defer(trigger=trigger, method_name="execute", kwargs={"events": events})
        return None


class WaitsForFile(BaseOperator):
    def __init__(self, timeout=None, **kwargs):
        super().__init__(**kwargs)
        self.timeout = timeout

    def execute(self, context):
        path = Path(context["dag_run"].conf["scratch"], "go")
        self.defer(trigger=FileAppears(str(path)), method_name="resume", timeout=self.timeout)

    def resume(self, context, event):
        return event


class StartsInTrigger(BaseOperator):
    """Has nothing to do before its trigger has fired, so it is not run before."""

    template_fields = ("payload",)
    start_from_trigger = True
    start_trigger_args = StartTriggerArgs(
        trigger_cls="deferral_triggers.Scripted",
        trigger_kwargs={"script": "fire", "payload": "{{ dag_run.run_id }}: PLANTED-IN-TRIGGER"},
        next_method="resume",
        next_kwargs={"known": "PLANTED-IN-NEXT"},
    )

    def __init__(self, payload=None, fails=0, password=None, **kwargs):
        super().__init__(**kwargs)
        self.password = password
        self.payload = payload
        self.fails = fails

    def resume(self, context, known, event):
        if context["ti"].try_number <= self.fails:
            raise ValueError("not yet")
        return [len(known), event.partition(":")[0]]


def a_dag(dag_id, **arguments):
    return DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1), catchup=False, **arguments)


with a_dag("waits_twice"):
    Waits(steps=["fire", "fire"], task_id="waits") >> EmptyOperator(task_id="then")

with a_dag("starts_waiting"):
    StartsInTrigger(task_id="starts", fails=1, retries=1, retry_delay=timedelta(0)) >> EmptyOperator(task_id="then")
    StartsInTrigger.partial(task_id="mapped", payload="PLANTED-IN-PARTIAL", password="PLANTED-PASSWORD").expand(
        fails=[0, 0]
    )

with a_dag("waits_in_vain"):
    Waits(steps=["no_such_script"], task_id="fails", retries=1, retry_delay=timedelta(0))
    WaitsForFile(task_id="times_out", timeout=timedelta(seconds=1))

with a_dag("ends_in_trigger"):
    Waits(steps=["succeed"], task_id="succeeds") >> EmptyOperator(task_id="then")
    Waits(steps=["give_up"], task_id="gives_up")
    Waits(steps=["skip"], task_id="skips")

with a_dag("waits_for_file"):
    WaitsForFile(task_id="waits") >> EmptyOperator(task_id="then")

with a_dag("waits_in_a_sensor"):
    TimeDeltaSensor(task_id="sensor", delta=timedelta(seconds=0), deferrable=True)

with a_dag("many_wait", max_active_tasks=100):
    for number in range(20):
        WaitsForFile(task_id=f"waits_{number}")
