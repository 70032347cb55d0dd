# mypy: ignore-errors
"""Setup and teardown."""

from __future__ import annotations

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import setup, task, task_group, teardown
from airflow.sdk.exceptions import AirflowSkipException
from leave_notes import a_dag


@task
def work(state="success"):
    if state == "failed":
        raise ValueError(state)
    if state == "skipped":
        raise AirflowSkipException
    return state


@a_dag()
def tears_down_in_order():
    first, second = work.override(task_id="first")().as_setup(), work.override(task_id="second")().as_setup()
    gone_second = work.override(task_id="gone_second")().as_teardown(setups=second)
    gone_first = work.override(task_id="gone_first")().as_teardown(setups=first)
    first >> second >> work() >> gone_second >> gone_first


@a_dag()
def teardown_fails_and_nothing_more():
    made = BashOperator(task_id="made", bash_command="echo made").as_setup()
    gone = BashOperator(task_id="gone", bash_command="exit 1").as_teardown(setups=made)
    made >> work() >> gone


@a_dag()
def teardown_fails_the_run():
    made = BashOperator(task_id="made", bash_command="echo made").as_setup()
    gone = BashOperator(task_id="gone", bash_command="exit 1").as_teardown(setups=made, on_failure_fail_dagrun=True)
    made >> work() >> gone


@a_dag()
def only_teardown_succeeds():
    made = EmptyOperator(task_id="made").as_setup()
    gone = work.override(task_id="gone")().as_teardown(setups=made, on_failure_fail_dagrun=True)
    made >> work("failed") >> gone


@a_dag()
def setup_is_skipped():
    made = work.override(task_id="made")("skipped").as_setup()
    gone = work.override(task_id="gone")().as_teardown(setups=made)
    made >> work() >> gone >> EmptyOperator(task_id="after")


@a_dag()
def teardown_as_context():
    @setup
    def makes():
        return "cluster"

    @teardown
    def removes(name):
        return f"no {name}"

    with removes(makes()):
        work("failed") >> EmptyOperator(task_id="never")
    work.override(task_id="outside")()


@a_dag()
def teardown_of_group():
    @task_group
    def group():
        @setup
        def makes():
            return 1

        @teardown
        def removes():
            return 1

        made, gone = makes(), removes()
        made >> work() >> gone
        made >> gone

    group() >> EmptyOperator(task_id="after")


@a_dag()
def teardown_in_mapped_group():
    @task_group
    def group(n):
        @setup
        def makes(n):
            return n

        @task
        def works(n):
            if n == 2:
                raise ValueError

        @teardown
        def removes(n):
            return -n

        made, gone = makes(n), removes(n)
        made >> works(n) >> gone
        made >> gone

    group.expand(n=[1, 2])


@a_dag()
def teardown_of_several_setups():
    good, bad = work.override(task_id="good")().as_setup(), work.override(task_id="bad")("failed").as_setup()
    gone = work.override(task_id="gone")().as_teardown(setups=[good, bad])
    gone_good = work.override(task_id="gone_good")().as_teardown(setups=good)
    [good, bad] >> work() >> [gone, gone_good]


@a_dag(fail_fast=True)
def fails_fast_but_tears_down():
    made = EmptyOperator(task_id="made").as_setup()
    gone = work.override(task_id="gone")().as_teardown(setups=made)
    made >> work("failed") >> EmptyOperator(task_id="never") >> gone
    made >> gone


tears_down_in_order()
teardown_fails_and_nothing_more()
teardown_fails_the_run()
only_teardown_succeeds()
setup_is_skipped()
teardown_as_context()
teardown_of_group()
teardown_in_mapped_group()
teardown_of_several_setups()
fails_fast_but_tears_down()
