# mypy: ignore-errors
"""Tasks that Airflow defers without running them first. Only triggers of Airflow and its providers."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.providers.standard.sensors.filesystem import FileSensor
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import BaseOperator, task
from airflow.triggers.base import StartTriggerArgs
from leave_notes import a_dag, note, scratch, task_called

SHORT, LONG, PATIENCE = timedelta(seconds=1), timedelta(hours=1), timedelta(seconds=3)
CALLED = {
    "on_execute_callback": task_called("execute"),
    "on_failure_callback": task_called("failure"),
    "on_success_callback": task_called("success"),
    "on_retry_callback": task_called("retry"),
    "on_skipped_callback": task_called("skipped"),
}


class Starts(BaseOperator):
    """Starts in a trigger, goes on so many times, then returns or raises."""

    start_trigger_args = StartTriggerArgs(
        trigger_cls="airflow.providers.standard.triggers.temporal.TimeDeltaTrigger",
        trigger_kwargs={"delta": SHORT},
        next_method="resume",
        next_kwargs={"said": "this"},
        timeout=None,
    )
    start_from_trigger = True

    def __init__(self, more=0, error=0, trigger=None, **arguments):
        super().__init__(**arguments)
        self.more, self.error = more, error
        if trigger:
            self.start_trigger_args = replace(self.start_trigger_args, **trigger)

    def resume(self, context, said, done=0, event=None):
        ti = context["ti"]
        note(context, self.task_id, f"goes on {done}, try {ti.try_number}, was told {said}, {type(event).__name__}")
        ti.xcom_push(key=f"after_{done}", value=ti.try_number)
        if done < self.more:
            self.defer(trigger=TimeDeltaTrigger(SHORT), method_name="resume", kwargs={"said": said, "done": done + 1})
        if ti.try_number <= self.error:
            raise ValueError(f"try {ti.try_number}")
        return [said, done, ti.map_index]


@a_dag()
def starts_in_triggers():
    again = {"retries": 1, "retry_delay": SHORT}
    Starts(task_id="goes_on", more=2, **CALLED) >> EmptyOperator(task_id="after")
    Starts(task_id="recovers", error=1, **again, **CALLED)
    Starts(task_id="fails", error=2, **again, **CALLED) >> EmptyOperator(task_id="never")
    too_long = {"trigger_kwargs": {"delta": LONG}}
    Starts(task_id="too_long", trigger={**too_long, "timeout": PATIENCE}, **again, **CALLED)
    Starts(task_id="limited", trigger=too_long, execution_timeout=PATIENCE, **CALLED)
    Starts(task_id="no_trigger", trigger={"trigger_cls": "no_such_module.Trigger"}, **CALLED)
    Starts(task_id="no_arguments", trigger={"trigger_kwargs": {}}, **CALLED)
    Starts(task_id="no_more_arguments", trigger={"next_kwargs": None}, **CALLED)
    Starts(task_id="ends", trigger={"trigger_kwargs": {"delta": SHORT, "end_from_trigger": True}}, **CALLED)
    Starts.partial(task_id="mapped").expand(error=[0, 1])
    Starts.partial(task_id="mapped_over_result", **again).expand(error=numbers())


@task
def numbers():
    return [0, 1]


@a_dag(params={"name": "file"})
def starts_in_triggers_with_templates():
    @task
    def makes_files(**context):
        time.sleep(5)
        for name in ("file", "file-once", "file-twice"):
            (scratch(context) / name).write_text("there\n")
        return "once"

    made = makes_files()
    waits = {"fs_conn_id": "fs", "deferrable": True, "start_from_trigger": True, "poke_interval": 1, "timeout": 60}
    folder = "{{ dag_run.conf.scratch }}"
    FileSensor(task_id="by_params", filepath=folder + "/{{ params.name }}", **waits)
    by_xcom = FileSensor(task_id="by_xcom", filepath=folder + "/file-{{ ti.xcom_pull('makes_files') }}", **waits)
    made >> by_xcom
    FileSensor(task_id="by_nonsense", filepath=folder + "/{{ nonsense() }}", **waits, **CALLED)
    FileSensor(task_id="too_late", filepath=folder + "/nothing", **{**waits, "timeout": 3}, **CALLED)
    FileSensor.partial(task_id="mapped", **waits).expand(filepath=[folder + "/file", folder + "/file-twice"])
    DateTimeSensorAsync(task_id="moment", target_time="{{ logical_date }}", start_from_trigger=True)
    DateTimeSensorAsync(task_id="fixed", target_time="2024-01-01T00:00:00+00:00", start_from_trigger=True)


starts_in_triggers()
starts_in_triggers_with_templates()
