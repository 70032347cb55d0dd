# mypy: ignore-errors
"""Tasks that want more memory than there is: the system refuses it, or kills their process."""

from __future__ import annotations

import resource
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import task
from leave_notes import ON_RUN, RETRIED, a_dag, note

MARGIN = 256 << 20
TOO_MUCH = 1 << 30
"""Bytes."""

HOW_LONG_A_SIGNAL_MAY_TAKE = 60
"""Seconds."""


def limit():
    """Let this process have little more than it has; what it could have before."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + MARGIN, hard))
    return soft, hard


@contextmanager
def limited():
    before = limit()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def is_killed_from_outside():
    """As by the kernel when memory runs out: no warning, no last word."""
    subprocess.Popen(["/bin/sh", "-c", "kill -9 $PPID"])
    time.sleep(HOW_LONG_A_SIGNAL_MAY_TAKE)


@a_dag(**ON_RUN)
def runs_out_of_memory():
    @task(**RETRIED)
    def is_refused():
        with limited():
            return len(bytearray(TOO_MUCH))

    @task(**RETRIED)
    def is_refused_to_its_end():
        limit()
        return len(bytearray(TOO_MUCH))

    @task(**RETRIED)
    def is_refused_at_first(ti=None):
        with limited():
            return len(bytearray(TOO_MUCH if ti.try_number == 1 else 1))

    @task(**RETRIED)
    def does_with_less():
        with limited():
            try:
                return len(bytearray(TOO_MUCH))
            except MemoryError as error:
                return f"{type(error).__name__}: {error}"

    @task(**RETRIED)
    def is_killed(**context):
        note(context, "tries", f"is_killed {context['ti'].try_number}")
        is_killed_from_outside()

    @task(**RETRIED)
    def is_killed_at_first(ti=None):
        ti.xcom_push(key="try", value=ti.try_number)
        if ti.try_number == 1:
            is_killed_from_outside()
        return "second try"

    @task(trigger_rule="all_done")
    def comes_after():
        return "ran"

    is_refused()
    is_refused_to_its_end()
    is_refused_at_first()
    does_with_less()
    is_killed() >> comes_after()
    is_killed_at_first()
    BashOperator(
        task_id="child_is_refused",
        bash_command="ulimit -v 200000; python3 -S -c 'bytearray(1 << 30)' 2>&1 | tail -n 1; exit ${PIPESTATUS[0]}",
        **RETRIED,
    )
    BashOperator(task_id="child_is_killed", bash_command="sh -c 'kill -9 $$'", **RETRIED)


runs_out_of_memory()
