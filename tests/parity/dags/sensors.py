# mypy: ignore-errors
"""Sensors in both modes."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.sensors.bash import BashSensor
from airflow.providers.standard.sensors.filesystem import FileSensor
from airflow.providers.standard.sensors.python import PythonSensor
from airflow.sdk import BaseSensorOperator, PokeReturnValue, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from leave_notes import a_dag, note, scratch, task_called

INTERVAL = {"poke": 1, "reschedule": 4}
"""Seconds; a sensor that is rescheduled sooner than the scheduler hears of it counts as lost under Airflow."""

PATIENCE = 600
"""Seconds, for sensors that don't time out however late they poke."""

BEYOND_TIMEOUT = {"poke": 1, "reschedule": 8}
"""Seconds; a sensor that is rescheduled once has timed out when it pokes again, be it early or late."""

CALLED = {
    "on_failure_callback": task_called("failure"),
    "on_skipped_callback": task_called("skipped"),
    "on_success_callback": task_called("success"),
    "on_retry_callback": task_called("retry"),
}


def count(context) -> int:
    """How often this sensor has poked, this time included."""
    name = context["ti"].task_id
    note(context, name, "poke")
    return (scratch(context) / name).read_text().count("poke")


class Nth(BaseSensorOperator):
    """True at its third poke; or raises then, and is true at its fourth."""

    def __init__(self, error=None, **arguments):
        super().__init__(**arguments)
        self.error = error

    def poke(self, context):
        pokes = count(context)
        if pokes == 3 and self.error:
            raise self.error
        return pokes >= 3


class Never(BaseSensorOperator):
    def poke(self, context):
        return False


class Broken(BaseSensorOperator):
    def poke(self, context):
        raise ValueError("broken")


@a_dag()
def pokes():
    for mode in ("poke", "reschedule"):
        common = {"mode": mode, "poke_interval": INTERVAL[mode], "timeout": PATIENCE, **CALLED}
        Nth(task_id=f"{mode}_third", **common)
        Nth(task_id=f"{mode}_skips", error=AirflowSkipException("skip"), **common)
        Nth(task_id=f"{mode}_fails", error=AirflowFailException("fail"), **common)
        Nth(task_id=f"{mode}_fails_softly", error=AirflowFailException("fail"), soft_fail=True, **common)
        Nth(task_id=f"{mode}_raises", error=ValueError("raise"), **common)
        Broken(task_id=f"{mode}_broken_softly", soft_fail=True, **common)
        Broken(task_id=f"{mode}_broken_never_fails", never_fail=True, **common)
        Nth(task_id=f"{mode}_silent", error=ValueError("silent"), silent_fail=True, **common)
        Nth(task_id=f"{mode}_backs_off", exponential_backoff=True, max_wait=timedelta(seconds=4), **common)


@a_dag()
def sensors_time_out():
    for mode in ("poke", "reschedule"):
        common = {"mode": mode, "poke_interval": BEYOND_TIMEOUT[mode], "timeout": 6, **CALLED}
        Never(task_id=f"{mode}_fails", **common) >> EmptyOperator(task_id=f"after_{mode}_fails")
        Never(task_id=f"{mode}_soft", soft_fail=True, **common) >> EmptyOperator(task_id=f"after_{mode}_soft")
        Never(task_id=f"{mode}_never", never_fail=True, **common)
        Never(task_id=f"{mode}_retries", retries=1, retry_delay=3, **common)


@a_dag()
def sensors_retry():
    """Each try of a rescheduling sensor counts from its own start."""

    @task.sensor(mode="reschedule", poke_interval=4, timeout=PATIENCE, retries=1, retry_delay=3)
    def fails_at_second_poke(**context):
        pokes = count(context)
        if pokes == 2:
            raise ValueError("second")
        return pokes >= 4

    fails_at_second_poke()


@a_dag()
def sensors_return_values():
    @task.sensor(poke_interval=1, timeout=PATIENCE)
    def returns_value() -> PokeReturnValue:
        return PokeReturnValue(is_done=True, xcom_value={"found": [1, 2]})

    @task.sensor(poke_interval=4, timeout=PATIENCE, mode="reschedule")
    def returns_value_later(**context) -> PokeReturnValue:
        return PokeReturnValue(is_done=count(context) >= 2, xcom_value="later")

    @task.sensor(poke_interval=1, timeout=PATIENCE)
    def returns_true():
        return True

    @task
    def echo(value):
        return value

    echo(returns_value())
    echo.override(task_id="echo_later")(returns_value_later())
    returns_true()


@a_dag()
def standard_sensors():
    @task
    def makes_file(**context):
        (scratch(context) / "file").write_text("there\n")

    path = "{{ dag_run.conf.scratch }}/file"
    FileSensor(task_id="file", filepath=path, fs_conn_id="fs", poke_interval=1, timeout=PATIENCE)
    later = FileSensor(task_id="file_later", filepath=path, fs_conn_id="fs", timeout=PATIENCE, mode="reschedule")
    BashSensor(task_id="bash", bash_command="test -e " + path, poke_interval=1, timeout=PATIENCE)
    BashSensor(task_id="bash_fails", bash_command="exit 4", retry_exit_code=3, poke_interval=1, timeout=3)
    PythonSensor(task_id="python", python_callable=lambda: True, poke_interval=1, timeout=PATIENCE)
    makes_file() >> later


@a_dag()
def maps_sensors():
    @task.sensor(mode="reschedule", poke_interval=4, timeout=PATIENCE)
    def waits(n, **context):
        name = f"waits {context['ti'].map_index}"
        note(context, name, "poke")
        return len((scratch(context) / name).read_text().splitlines()) > n

    waits.expand(n=[0, 1, 2])


pokes()
sensors_time_out()
sensors_retry()
sensors_return_values()
standard_sensors()
maps_sensors()
