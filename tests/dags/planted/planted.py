"""A run in which secrets go everywhere that Airflow would hide them, or not show them at all.

``os.environ`` tells the values; each task says in its name through which channel a value goes.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import BaseHook, Connection, Param, RetryAction, RetryPolicy, Variable, dag, task
from airflow.sdk.definitions.retry_policy import RetryDecision
from airflow.sdk.log import mask_secret
from planted_parts import Defers, Takes

log = logging.getLogger(__name__)


def planted(channel):
    return os.environ.get(f"PLANTED_{channel}", "nothing-planted")


def tells(context):
    password = Connection.get("planted").password
    print("a callback knows", password)
    raise ValueError(f"a callback fails with {password}")


class Explains(RetryPolicy):
    def evaluate(self, exception, try_number, max_tries, context=None):
        return RetryDecision(RetryAction.RETRY, reason=f"because of {exception}")

    def serialize(self):
        return {}


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    default_args={"token": planted("DEFAULT_ARGS")},
    params={"api_key": Param(planted("PARAM")), "gate": "none"},
    on_failure_callback=tells,
    doc_md=f"How to use {planted('DOC')}",
)
def plants_secrets():  # noqa: C901  # one task for each channel
    @task(retries=1, retry_delay=0, retry_policy=Explains(), on_retry_callback=tells)
    def connection(ti=None):
        found = Connection.get("planted")
        log.info("logs %s", found.password)
        print("prints", found.password, found.extra_dejson["api_key"])
        os.write(2, f"writes {found.password}\n".encode())
        subprocess.run(["echo", "echoes", found.password], check=True)
        if ti.try_number == 1:
            raise ValueError(f"connection fails with {found.password} and {found.get_uri()}")

    @task
    def variable():
        token = Variable.get("planted_token")
        raise ValueError(f"variable fails with {token}")

    @task(on_failure_callback=tells)
    def secrets_backend():
        found = BaseHook.get_connection("planted_of_backend").password
        raise ValueError("caused") from ValueError(f"secrets_backend fails with {found}")

    @task
    def by_hand():
        mask_secret(planted("BY_HAND"))
        print("by hand", planted("BY_HAND"))
        raise ValueError(f"by_hand fails with {planted('BY_HAND')}")

    @task(on_failure_callback=tells)
    def killed():
        print("before its end", Connection.get("planted").password)
        sys.stderr.write(Connection.get("planted").password)
        sys.stderr.flush()
        os._exit(9)

    @task(map_index_template="{{ conn.planted.password }}")
    def names_itself(n):
        return n

    @task
    def visible():
        """What nobody hides is found: the scan can see."""
        print("visible", planted("VISIBLE"))
        return planted("VISIBLE")

    @task
    def visible_failure():
        raise ValueError(planted("VISIBLE"))

    @task
    def waits(params=None):
        gate = Path(params["gate"])
        while params["gate"] != "none" and not gate.exists():
            time.sleep(0.05)

    visible() >> waits()
    visible_failure()
    connection()
    variable()
    secrets_backend()
    by_hand()
    killed()
    names_itself.expand(n=[1])
    BashOperator(
        task_id="rendered",
        bash_command="echo {{ conn.planted.password }} {{ var.value.planted_token }}; true $SECRET",
        env={"SECRET": "{{ conn.planted.password }}"},
        do_xcom_push=False,
    )
    Defers(task_id="defers", password=planted("TRIGGER_KWARGS"), token=planted("NEXT_KWARGS"))
    Defers(task_id="defers_and_fails", password=planted("TRIGGER_KWARGS"), token=planted("NEXT_KWARGS"), fails=True)
    Takes(task_id="takes", password=planted("ARGUMENT"))
    Takes.partial(task_id="takes_partially", password=planted("PARTIAL")).expand_kwargs(
        [{"token": planted("EXPANDED")}, {"token": planted("EXPANDED")}]
    )


plants_secrets()
