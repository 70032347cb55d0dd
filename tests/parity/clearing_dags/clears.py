# mypy: ignore-errors
"""DAGs to be cleared: what fails or branches does something else once the folder of the run has a file ``mended``."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.sensors.filesystem import FileSensor
from airflow.sdk import dag, get_current_context, task, task_group


def a_dag(function):
    return dag(schedule=None, start_date=datetime(2024, 1, 1), default_args={"retries": 0})(function)()


def there_is(name):
    return Path(get_current_context()["dag_run"].conf["scratch"], name).exists()


@task
def works(*_):
    return get_current_context()["ti"].try_number


@task
def fails(*_):
    if not there_is("mended"):
        raise ValueError("not mended")


@task
def waits(*_):
    """Goes on once it may: in its second try, if that is what the file says."""
    while not there_is("go"):
        time.sleep(0.1)


@a_dag
def clears_chain():
    first, second = works.override(task_id="first")(), fails.override(task_id="second")()
    first >> second >> works.override(task_id="third")() >> works.override(task_id="fourth")()
    first >> works.override(task_id="beside")()


@a_dag
def clears_success():
    first = works.override(task_id="first")()
    second, other = works.override(task_id="second")(first), works.override(task_id="other")(first)
    works.override(task_id="last")(second, other)


@a_dag
def clears_while_running():
    first = works.override(task_id="first")()
    after_failure = EmptyOperator(task_id="after_failure")
    side, failure = works.override(task_id="side")(), fails.override(task_id="failure")()
    waiting = waits.override(task_id="waiting")()
    first >> [waiting, side, failure]
    failure >> after_failure
    side >> works.override(task_id="after_side")() >> (last := works.override(task_id="last")())
    waiting >> last


@a_dag
def clears_mapped():
    @task
    def values():
        return [1, 2] if there_is("mended") else [1, 2, 3]

    @task
    def work(value):
        if value == 2 and not there_is("mended"):
            raise ValueError(value)
        return value

    @task(trigger_rule="all_done")
    def total(numbers):
        return sum(numbers)

    total(work.expand(value=values()))


@a_dag
def clears_growing():
    @task
    def values():
        return [1, 2, 3, 4] if there_is("mended") else [1, 2]

    @task
    def work(value):
        return value

    @task
    def total(numbers):
        return sum(numbers)

    total(work.expand(value=values()))


@a_dag
def clears_mapped_group():
    @task
    def begin(value):
        return value

    @task
    def end(value):
        if value == 1 and not there_is("mended"):
            raise ValueError(value)
        return value

    @task_group
    def each(value):
        end(begin(value))

    each.expand(value=[0, 1, 2]) >> works.override(task_id="last")()


@a_dag
def clears_branch():
    @task.branch
    def choose():
        return "right" if there_is("mended") else "left"

    left, right = works.override(task_id="left")(), works.override(task_id="right")()
    choose() >> [left, right] >> EmptyOperator(task_id="join", trigger_rule="none_failed_min_one_success")


@a_dag
def clears_short_circuit():
    @task.short_circuit
    def check():
        return there_is("mended")

    check() >> works.override(task_id="second")() >> works.override(task_id="third")()


@a_dag
def clears_setup():
    made = works.override(task_id="made")().as_setup()
    gone = works.override(task_id="gone")().as_teardown(setups=made)
    made >> works.override(task_id="before")() >> fails.override(task_id="used")() >> gone
    gone >> works.override(task_id="after")()


@a_dag
def clears_trigger_rules():
    failure = fails.override(task_id="failure")()
    failure >> works.override(task_id="on_done", trigger_rule="all_done")()
    failure >> works.override(task_id="on_failure", trigger_rule="one_failed")()
    failure >> works.override(task_id="on_success")()


@a_dag
def clears_retry_wait():
    failure = fails.override(task_id="failure", retries=1, retry_delay=timedelta(hours=1))()
    failure >> works.override(task_id="last")()


@a_dag
def clears_tries():
    failure = fails.override(task_id="failure", retries=1, retry_delay=timedelta(seconds=1))()
    failure >> works.override(task_id="last")()


@a_dag
def clears_deferred():
    path = "{{ dag_run.conf['scratch'] }}/go"
    waiting = FileSensor(task_id="waiting", filepath=path, poke_interval=0.5, deferrable=True)
    works.override(task_id="first")() >> waiting >> works.override(task_id="last")()
