# mypy: ignore-errors
"""Tasks that wait in a trigger. Only triggers of Airflow and its providers: Airflow's triggerer knows no DAG bundle."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.providers.standard.sensors.filesystem import FileSensor
from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import BaseOperator
from airflow.triggers.base import BaseTrigger, StartTriggerArgs
from definite_order import EndsAfter
from leave_notes import a_dag, note, scratch, task_called

SHORT = timedelta(seconds=1)
CALLED = {
    "on_execute_callback": task_called("execute"),
    "on_failure_callback": task_called("failure"),
    "on_success_callback": task_called("success"),
    "on_retry_callback": task_called("retry"),
    "on_skipped_callback": task_called("skipped"),
}


class Missing(BaseTrigger):
    """A trigger that no triggerer can import."""

    def serialize(self):
        return "no_such_module.Trigger", {}

    async def run(self):
        yield None


class Waits(BaseOperator):
    """Defers so many times, then returns or raises."""

    def __init__(self, times=1, error=None, trigger=None, patience=None, **arguments):
        super().__init__(**arguments)
        self.times, self.error, self.patience = times, error, patience
        self.trigger = trigger or TimeDeltaTrigger(SHORT)

    def execute(self, context):
        context["ti"].xcom_push(key="before", value=context["ti"].try_number)
        self.wait_again(0, context)

    def wait_again(self, done, context):
        note(context, self.task_id, f"defers {done} in try {context['ti'].try_number}")
        self.defer(trigger=self.trigger, method_name="resume", kwargs={"done": done + 1}, timeout=self.patience)

    def resume(self, context, done, event=None):
        if done < self.times:
            self.wait_again(done, context)
        if self.error and context["ti"].try_number <= self.error:
            raise ValueError(f"try {context['ti'].try_number}")
        return [done, type(event).__name__]


class StartsInTrigger(BaseOperator):
    """Its first process is the one that resumes."""

    start_trigger_args = StartTriggerArgs(
        trigger_cls="airflow.providers.standard.triggers.temporal.TimeDeltaTrigger",
        trigger_kwargs={"delta": SHORT},
        next_method="resume",
        next_kwargs=None,
        timeout=None,
    )
    start_from_trigger = True

    def resume(self, context, event=None):
        return type(event).__name__


class MakesFile(EndsAfter):
    """Makes the file that others wait for."""

    def end(self, context):
        (scratch(context) / "file").write_text("there\n")


@a_dag()
def defers():
    Waits(task_id="once", **CALLED) >> EmptyOperator(task_id="after")
    Waits(task_id="thrice", times=3)
    Waits(task_id="fails_after", error=1, **CALLED)
    Waits(task_id="recovers", error=1, retries=1, retry_delay=3, **CALLED)
    Waits(task_id="too_long", trigger=TimeDeltaTrigger(timedelta(hours=1)), patience=timedelta(seconds=3), **CALLED)
    Waits(
        task_id="too_long_twice",
        trigger=TimeDeltaTrigger(timedelta(hours=1)),
        patience=timedelta(seconds=3),
        retries=1,
        retry_delay=3,
        **CALLED,
    )
    Waits(task_id="no_trigger", trigger=Missing(), **CALLED)
    Waits.partial(task_id="mapped").expand(times=[1, 2])


@a_dag()
def starts_in_trigger():
    StartsInTrigger(task_id="starts") >> EmptyOperator(task_id="after")


@a_dag()
def defers_by_sensors():
    MakesFile(task_id="makes_file", after=["file"], states=["deferred"])
    path = "{{ dag_run.conf.scratch }}/file"
    TimeDeltaSensor(task_id="passed", delta=SHORT, deferrable=True)
    DateTimeSensorAsync(task_id="moment", target_time="{{ logical_date }}")
    FileSensor(task_id="file", filepath=path, fs_conn_id="fs", deferrable=True, poke_interval=1, timeout=60)
    FileSensor(
        task_id="no_file", filepath=path + "s", fs_conn_id="fs", deferrable=True, poke_interval=1, timeout=3, **CALLED
    )
    FileSensor(
        task_id="no_file_softly",
        filepath=path + "s",
        fs_conn_id="fs",
        deferrable=True,
        poke_interval=1,
        timeout=3,
        soft_fail=True,
        **CALLED,
    )


defers()
starts_in_trigger()
defers_by_sensors()
