"""DAGs whose runs outlast the history of one workflow execution."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import BaseOperator, dag, task
from file_trigger import FileAppears

PATH = "{{ dag_run.conf['scratch'] }}"


def a_dag(**arguments):
    return dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False, **arguments)


def note(context, name, line):
    with (Path(context["dag_run"].conf["scratch"]) / name).open("a") as notes:
        notes.write(f"{line}\n")


class WaitsForFile(BaseOperator):
    """Defers until there is a file."""

    template_fields = ("path",)

    def __init__(self, path, **arguments):
        super().__init__(**arguments)
        self.path = path

    def execute(self, context, event=None):
        if event is None:
            self.defer(trigger=FileAppears(self.path), method_name="execute")
        return event


@a_dag()
def outlasts():
    @task.sensor(poke_interval=0.2, timeout=600, mode="reschedule")
    def pokes(**context):
        note(context, "pokes", "poke")
        return len(Path(context["dag_run"].conf["scratch"], "pokes").read_text().splitlines()) >= 12

    @task(retries=3, retry_delay=timedelta(seconds=0.5))
    def retries(ti=None):
        if ti.try_number < 4:
            raise ValueError(ti.try_number)

    @task
    def numbers():
        return [1, 2, 3]

    @task
    def double(number):
        return 2 * number

    @task
    def total(doubled, waited):
        return [sum(doubled), waited]

    asked = HITLOperator(task_id="asks", subject="Go on?", options=["yes", "no"])
    waited = WaitsForFile(task_id="waits", path=f"{PATH}/go")
    poked = pokes()
    last = total(double.expand(number=numbers()), waited.output)
    [poked, retries(), asked] >> last


@a_dag()
def waits_twice():
    for number in (1, 2):
        WaitsForFile(task_id=f"waits_{number}", path=f"{PATH}/go")


@a_dag(max_active_tasks=100)
def maps_widely():
    @task
    def numbers(dag_run=None):
        return list(range(dag_run.conf["width"]))

    @task
    def one(number, **context):
        note(context, "ones", number)
        if number == 3:
            while not Path(context["dag_run"].conf["scratch"], "go").exists():
                time.sleep(0.05)
        return number

    @task
    def total(values):
        return sum(values)

    total(one.expand(number=numbers()))


outlasts()
waits_twice()
maps_widely()
