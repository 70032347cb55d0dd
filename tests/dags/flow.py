"""DAGs of the fundamentals: one concept each."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Param, chain, dag, setup, task, task_group, teardown
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

SOON = timedelta(seconds=1)


def note(context, name: str, line: str) -> None:
    with (Path(context["dag_run"].conf["scratch"]) / name).open("a") as notes:
        notes.write(f"{line}\n")


def a_dag(**arguments):
    arguments.setdefault("start_date", datetime(2026, 1, 1))
    return dag(schedule=None, catchup=False, **arguments)


@a_dag()
def passes_data():
    @task
    def numbers():
        return [1, 2, 3]

    @task(multiple_outputs=True)
    def summary(values):
        return {"total": sum(values), "count": len(values)}

    @task
    def mean(total, count):
        return total / count

    result = summary(numbers())
    mean(result["total"], result["count"])


@a_dag(params={"name": Param("nobody", type="string")})
def renders_templates():
    bash = BashOperator(task_id="bash", bash_command="echo {{ params.name }} {{ ds }} {{ ti.task_id }}")

    @task
    def context(ti=None, params=None, dag_run=None, logical_date=None, **everything):
        ti.xcom_push(key="extra", value={"try": ti.try_number})
        return [params["name"], dag_run.run_id, logical_date.isoformat(), everything["ts_nodash"]]

    bash >> context()


@a_dag()
def fails_twice():
    @task(retries=2, retry_delay=SOON)
    def flaky(ti=None):
        if ti.try_number < 3:
            raise ValueError(f"try {ti.try_number}")
        return ti.try_number

    flaky()


@a_dag()
def always_fails():
    @task(retries=1, retry_delay=timedelta(0))
    def broken():
        raise ValueError("always")

    @task
    def never(_):
        raise AssertionError("must not run")

    @task
    def independent():
        return "ran"

    never(broken())
    independent()


@a_dag()
def never_retries():
    @task(retries=3)
    def final():
        raise AirflowFailException("no use")

    final()


@a_dag()
def backs_off():
    @task(retries=2, retry_delay=SOON, retry_exponential_backoff=True, max_retry_delay=timedelta(seconds=2))
    def flaky(ti=None):
        if ti.try_number < 3:
            raise ValueError("again")

    flaky()


@a_dag()
def branches():
    @task.branch
    def choose():
        return ["left", "group.inner"]

    left, right = EmptyOperator(task_id="left"), EmptyOperator(task_id="right")

    @task_group
    def group():
        @task
        def inner():
            return 1

        inner()

    join = EmptyOperator(task_id="join", trigger_rule="none_failed_min_one_success")
    after_right = EmptyOperator(task_id="after_right")
    chosen = choose()
    chosen >> [left, right, group()] >> join
    right >> after_right


@a_dag()
def short_circuits():
    @task.short_circuit
    def enough():
        return False

    first, last = EmptyOperator(task_id="first"), EmptyOperator(task_id="last", trigger_rule="all_done")
    enough() >> first >> last


@a_dag()
def skips():
    @task
    def skipped():
        raise AirflowSkipException("not today")

    follows = EmptyOperator(task_id="follows")
    always = EmptyOperator(task_id="always", trigger_rule="all_done")
    skipped() >> [follows, always]


@a_dag()
def maps():
    @task
    def names():
        return ["a", "b", "c"]

    @task(retries=1, retry_delay=timedelta(0))
    def double(name, ti=None):
        if name == "b" and ti.try_number == 1:
            raise ValueError("only b, only once")
        return name * 2

    @task
    def static(number):
        return number + 1

    @task
    def collect(doubled, numbers):
        return [*doubled, *numbers]

    @task
    def nothing():
        return []

    @task
    def over_nothing(item):
        raise AssertionError("must not run")

    collect(double.expand(name=names()), static.expand(number=[1, 2]))
    over_nothing.expand(item=nothing())


@a_dag()
def sets_up_and_tears_down():
    @setup
    def create():
        return "resource"

    @task
    def work():
        raise ValueError("work failed")

    @teardown
    def remove():
        return "removed"

    @task
    def after():
        return 1

    made, worked, gone = create(), work(), remove()
    chain(made, worked, gone)
    made >> gone
    worked >> after()


@a_dag(dagrun_timeout=timedelta(seconds=2))
def times_out():
    @task
    def quick():
        return 1

    slow = BashOperator(task_id="slow", bash_command="sleep 600")
    quick() >> slow >> EmptyOperator(task_id="never")


@a_dag(fail_fast=True)
def fails_fast():
    slow = BashOperator(task_id="slow", bash_command="sleep 600")

    @task
    def broken():
        raise ValueError("stop everything")

    broken()
    slow >> EmptyOperator(task_id="never")


@a_dag(max_active_tasks=2)
def is_limited():
    @task
    def works(number, **context):
        note(context, "limited", f"start {number}")
        note(context, "limited", f"end {number}")

    works.expand(number=list(range(6)))


@a_dag()
def pokes():
    @task.sensor(poke_interval=1, timeout=60, mode="reschedule")
    def arrives(**context):
        note(context, "pokes", f"try {context['ti'].try_number}")
        seen = Path(context["dag_run"].conf["scratch"], "pokes").read_text().count("try")
        return seen >= 3

    arrives() >> EmptyOperator(task_id="then")


def called(name):
    def callback(context):
        note(context, "callbacks", f"{name} {context['ti'].task_id} {context['ti'].try_number}")

    return callback


def dag_called(name):
    def callback(context):
        note(context, "callbacks", f"{name} {context['reason']}")

    return callback


@a_dag(on_success_callback=dag_called("dag success"), on_failure_callback=dag_called("dag failure"))
def calls_back():
    @task(on_execute_callback=called("execute"), on_success_callback=[called("success"), called("success 2")])
    def good():
        return 1

    @task(
        retries=1,
        retry_delay=timedelta(0),
        on_retry_callback=called("retry"),
        on_failure_callback=called("failure"),
    )
    def bad():
        raise ValueError("bad")

    @task(on_skipped_callback=called("skipped"))
    def skipped():
        raise AirflowSkipException

    good() >> bad()
    skipped()


passes_data()
renders_templates()
fails_twice()
always_fails()
never_retries()
backs_off()
branches()
short_circuits()
skips()
maps()
sets_up_and_tears_down()
times_out()
fails_fast()
is_limited()
pokes()
calls_back()


@a_dag(max_active_runs=1)
def runs_alone():
    @task
    def works(dag_run=None):
        gate = Path(dag_run.conf["scratch"], "gate")
        while dag_run.conf.get("held") and not gate.exists():
            time.sleep(0.05)

    works()


runs_alone()
