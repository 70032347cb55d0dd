# mypy: ignore-errors
"""How tasks fail, and when they are tried again."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException, AirflowTaskTerminated
from leave_notes import ALL_CALLBACKS, ON_RUN, RETRIED, SHORT, a_dag, await_line, note


@a_dag(**ON_RUN)
def retries():  # noqa: C901  # one task for each way
    @task(**RETRIED)
    def recovers(ti=None):
        ti.xcom_push(key=f"try {ti.try_number}", value=ti.try_number)
        if ti.try_number == 1:
            raise ValueError("first try")
        return "recovered"

    @task(**RETRIED)
    def never_recovers(ti=None):
        raise AirflowException(f"try {ti.try_number}")

    @task(**RETRIED)
    def fails_for_good():
        raise AirflowFailException("no use")

    @task(**RETRIED)
    def is_skipped_at_second_try(ti=None):
        if ti.try_number == 1:
            raise ValueError("first try")
        raise AirflowSkipException("enough")

    @task(**RETRIED)
    def is_terminated():
        raise AirflowTaskTerminated("over")

    @task(retries=2, retry_delay=SHORT, retry_exponential_backoff=True, max_retry_delay=timedelta(seconds=5))
    def backs_off(**context):
        note(context, "tries", f"backs_off {context['ti'].try_number}")
        raise ValueError

    @task(**RETRIED, retry_exponential_backoff=3.0)
    def backs_off_threefold(ti=None):
        raise ValueError

    @task
    def pulls(ti=None):
        return {key: ti.xcom_pull(task_ids="recovers", key=key) for key in ("try 1", "try 2", "return_value")}

    recovers() >> [never_recovers(), pulls()]
    [fails_for_good(), is_skipped_at_second_try()] >> EmptyOperator(task_id="after")
    is_terminated()
    backs_off()
    backs_off_threefold()


@a_dag(**ON_RUN)
def processes_end():  # noqa: C901  # one task for each way
    """Deaths of the process that a task runs in: child callbacks can't run."""

    @task(**RETRIED)
    def exits():
        sys.exit(3)

    @task(**RETRIED)
    def exits_well():
        sys.exit(0)

    @task(**RETRIED)
    def leaves():
        os._exit(7)

    @task(**RETRIED)
    def leaves_well():
        os._exit(0)

    @task(**RETRIED)
    def kills_itself():
        os.kill(os.getpid(), signal.SIGKILL)

    @task(**RETRIED)
    def leaves_at_first(ti=None):
        if ti.try_number == 1:
            os._exit(7)
        return "second try"

    @task(**ALL_CALLBACKS)
    def leaves_without_retry():
        os._exit(1)

    @task(**RETRIED)
    def raises_system_exit_text():
        sys.exit("text")

    @task(**RETRIED)
    def raises_keyboard_interrupt():
        raise KeyboardInterrupt

    exits()
    exits_well()
    leaves()
    leaves_well()
    kills_itself()
    leaves_at_first()
    leaves_without_retry()
    raises_system_exit_text()
    raises_keyboard_interrupt()


@a_dag(**ON_RUN)
def times_out_in_tasks():
    class Slow(PythonOperator):
        def on_kill(self):
            note(self.seen, "killed", self.task_id)

        def execute(self, context):
            self.seen = context
            time.sleep(60)

    Slow(
        task_id="too_slow",
        python_callable=print,
        execution_timeout=timedelta(seconds=1),
        retries=1,
        retry_delay=SHORT,
        **ALL_CALLBACKS,
    )

    @task(execution_timeout=timedelta(seconds=30))
    def quick():
        return 1

    quick()


@a_dag(dagrun_timeout=timedelta(seconds=40), **ON_RUN)
def times_out_as_run():
    @task(**ALL_CALLBACKS)
    def quick():
        return 1

    slow = BashOperator(task_id="slow", bash_command="sleep 120", **ALL_CALLBACKS)
    quick() >> slow >> EmptyOperator(task_id="never")
    slow >> EmptyOperator(task_id="never_at_all", trigger_rule="all_done")


@a_dag(fail_fast=True, **ON_RUN)
def fails_fast():
    slow = BashOperator(
        task_id="slow", bash_command="echo begun >> {{ dag_run.conf.scratch }}/slow; sleep 120", **ALL_CALLBACKS
    )

    @task(retries=1, retry_delay=SHORT, **ALL_CALLBACKS)
    def broken(**context):
        await_line(context, "slow", "begun")
        raise ValueError("stop everything")

    broken() >> EmptyOperator(task_id="after_broken")
    slow >> EmptyOperator(task_id="never")


@a_dag(**ON_RUN)
def fails_before_it_runs():
    @task(**ALL_CALLBACKS)
    def pulls_what_is_not_there(value):
        return value

    @task
    def nothing():
        return {"a": 1}

    BashOperator(task_id="bad_template", bash_command="echo {{ no.such.thing }}", **ALL_CALLBACKS)
    BashOperator(task_id="bad_syntax", bash_command="echo {{ 1 + }}", **ALL_CALLBACKS)
    BashOperator(task_id="fails", bash_command="exit 3", **ALL_CALLBACKS)
    BashOperator(task_id="skips", bash_command="exit 99", **ALL_CALLBACKS)
    BashOperator(task_id="skips_otherwise", bash_command="exit 5", skip_on_exit_code=[4, 5], **ALL_CALLBACKS)
    pulls_what_is_not_there(nothing()["b"])


@a_dag(**ON_RUN)
def succeeds_after_all():
    """A run is what its leaves are."""

    @task
    def fails():
        raise ValueError

    fails() >> EmptyOperator(task_id="leaf", trigger_rule="all_done")


@a_dag(**ON_RUN)
def crashes():
    @task(**ALL_CALLBACKS)
    def segfaults():
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        ctypes.string_at(0)

    segfaults()


retries()
processes_end()
times_out_in_tasks()
times_out_as_run()
fails_fast()
fails_before_it_runs()
succeeds_after_all()
crashes()
