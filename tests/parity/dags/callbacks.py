# mypy: ignore-errors
"""Callbacks: who is called, when, with what context."""

from __future__ import annotations

import os
import signal

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import BaseNotifier, task, task_group
from airflow.sdk.exceptions import AirflowSkipException
from leave_notes import a_dag, dag_called, note, task_called


class Notifier(BaseNotifier):
    template_fields = ("text",)

    def __init__(self, text):
        super().__init__()
        self.text = text

    def notify(self, context):
        note(context, "callbacks", f"notifier {self.text}")


def broken(context):
    note(context, "callbacks", "broken")
    raise ValueError("a callback that fails changes nothing")


def leaves_keys(context):
    note(context, "context", f"{context['ti'].task_id}: {' '.join(sorted(context))}")


EVERY = {
    "on_execute_callback": [task_called("execute"), leaves_keys],
    "on_success_callback": [task_called("success"), broken, task_called("success 2"), leaves_keys],
    "on_failure_callback": [broken, task_called("failure"), Notifier("{{ ti.task_id }} failed"), leaves_keys],
    "on_retry_callback": [task_called("retry"), Notifier("{{ ti.task_id }} {{ ti.try_number }}"), leaves_keys],
    "on_skipped_callback": [task_called("skipped"), leaves_keys],
}


@a_dag(
    default_args=EVERY,
    on_failure_callback=[dag_called("dag failure"), broken, dag_called("dag failure 2")],
    on_success_callback=dag_called("dag success"),
)
def calls_back():
    @task
    def good():
        return 1

    @task(retries=1, retry_delay=3)
    def bad():
        raise KeyError("bad")

    @task
    def skipped():
        raise AirflowSkipException("skipped")

    @task
    def mapped(n):
        if n == 2:
            raise ValueError(n)

    good() >> bad() >> EmptyOperator(task_id="upstream_failed")
    skipped() >> EmptyOperator(task_id="follows")
    mapped.expand(n=[1, 2])
    EmptyOperator(task_id="empty_with_callbacks")


@a_dag(
    on_failure_callback=dag_called("dag failure"),
    on_success_callback=[dag_called("1", last=True), dag_called("2", last=True)],
)
def calls_back_on_success():
    @task
    def last():
        return 1

    EmptyOperator(task_id="first") >> last()


@a_dag(on_failure_callback=dag_called("dag failure"), on_success_callback=dag_called("dag success", last=True))
def calls_back_on_empty_success():
    EmptyOperator(task_id="only")


@a_dag(on_failure_callback=dag_called("dag failure"), on_success_callback=dag_called("dag success", last=True))
def calls_back_on_skipped_run():
    @task
    def skipped():
        raise AirflowSkipException

    skipped() >> EmptyOperator(task_id="follows")


@a_dag(on_failure_callback=dag_called("dag failure", last=True))
def calls_back_on_failure():
    @task
    def fails():
        raise ValueError

    fails() >> EmptyOperator(task_id="upstream_failed")


@a_dag(default_args={"retries": 1, "retry_delay": 3, "on_retry_callback": Notifier("of the DAG")})
def calls_back_in_groups():
    """The nearest default arguments win; each mapped instance calls for itself."""
    nearer = {
        "on_failure_callback": task_called("of the group"),
        "on_retry_callback": task_called("retry of the group"),
    }

    @task_group(default_args=nearer)
    def group():
        @task
        def fails():
            raise ValueError("in a group")

        @task(on_failure_callback=[task_called("of the task"), Notifier("{{ ti.task_id }}")])
        def has_its_own():
            raise ValueError("in a group, too")

        fails()
        has_its_own()

    @task
    def outside():
        raise ValueError("outside")

    @task(on_failure_callback=task_called("failure"), on_retry_callback=task_called("retry"))
    def killed(n):
        if n:
            os.kill(os.getpid(), signal.SIGKILL)

    @task_group
    def mapped_group(n):
        @task(on_failure_callback=task_called("in a mapped group"), retries=0)
        def fails_in_mapped(n):
            raise ValueError(n)

        fails_in_mapped(n)

    group()
    outside()
    killed.expand(n=[0, 1])
    mapped_group.expand(n=[1, 2])


@a_dag()
def sends_mail():
    """To a file instead of an address."""
    mail = {"email": "{{ dag_run.conf.scratch }}/mails"}
    retried = {**mail, "retries": 1, "retry_delay": 3}

    @task(**retried)
    def fails():
        raise ValueError

    @task(**retried)
    def recovers(ti=None):
        if ti.try_number == 1:
            raise ValueError

    @task(**retried, email_on_retry=False)
    def fails_quietly():
        raise ValueError

    @task(**mail, email_on_failure=False)
    def sends_none():
        raise ValueError

    @task(**retried)
    def leaves():
        os._exit(7)

    @task(**retried)
    def leaves_well():
        os._exit(0)

    @task(**mail)
    def succeeds():
        return 1

    for each in (fails, recovers, fails_quietly, sends_none, leaves, leaves_well, succeeds):
        each()


calls_back()
calls_back_in_groups()
sends_mail()
calls_back_on_failure()
calls_back_on_success()
calls_back_on_empty_success()
calls_back_on_skipped_run()
