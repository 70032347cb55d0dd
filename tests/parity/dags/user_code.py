# mypy: ignore-errors
"""Code of users beside the task itself: other interpreters, hooks, listeners, policies, plugins, retry policies."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from datetime import timedelta
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import (
    BranchExternalPythonOperator,
    ExternalPythonOperator,
    PythonOperator,
    PythonVirtualenvOperator,
)
from airflow.sdk import BaseOperator, ExceptionRetryPolicy, RetryAction, RetryPolicy, RetryRule, task
from airflow.sdk.definitions.retry_policy import RetryDecision
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
)
from airflow.sdk.timezone import utcnow
from leave_notes import a_dag, note, task_called
from parity_plugin import Fortnight, LongestFirst

SHORT = timedelta(seconds=3)
HERE = sys.executable


def adds(a, b):
    import os

    return {"sum": a + b, "other process": os.getpid() != os.getppid()}


def shows(*values):
    return [*values]


def nowhere():
    return []


@a_dag()
def runs_in_other_interpreters():  # noqa: C901  # one task for each way
    @task.virtualenv(system_site_packages=True)
    def in_new_environment(a, b):
        import sys

        return {"sum": a + b, "prefix": sys.prefix != sys.base_prefix}

    @task.external_python(python=HERE, expect_airflow=True, multiple_outputs=True)
    def in_external():
        import airflow.sdk

        return {"a": airflow.sdk.__name__, "b": [1, 2]}

    @task.external_python(python=HERE)
    def gets_context(ds=None, ts_nodash=None, run_id=None, params=None):
        return [ds, ts_nodash, run_id, sorted(params)]

    @task.external_python(python=HERE)
    def fails():
        raise ValueError("in external")

    @task.external_python(python=HERE, skip_on_exit_code=[5])
    def is_skipped():
        import sys

        sys.exit(5)

    @task.external_python(python=HERE, retries=1, retry_delay=SHORT)
    def exits():
        import os

        os._exit(3)

    @task.branch_external_python(python=HERE)
    def branches():
        return "taken"

    @task.short_circuit
    def goes_on():
        return True

    @task.external_python(python=HERE)
    def prints():
        print("a line")

    @task
    def echo(value):
        return value

    new = in_new_environment(1, 2)
    echo(new)
    external = in_external()
    echo.override(task_id="of_external")([external["a"], external["b"]])
    goes_on() >> gets_context()
    fails()
    is_skipped()
    exits()
    prints()
    branches() >> [echo.override(task_id="taken")(1), echo.override(task_id="not_taken")(2)]
    ExternalPythonOperator(
        task_id="classic", python=HERE, python_callable=adds, op_args=[1, 2], templates_dict={"ds": "{{ ds }}"}
    )
    ExternalPythonOperator(
        task_id="with_arguments", python=HERE, python_callable=shows, op_args=["{{ ds }}"], serializer="dill"
    )
    ExternalPythonOperator(task_id="no_such_python", python="/no/such/python", python_callable=adds, op_args=[1, 2])
    BranchExternalPythonOperator(task_id="branches_to_nothing", python=HERE, python_callable=nowhere) >> echo.override(
        task_id="after_nothing"
    )(3)
    ExternalPythonOperator.partial(task_id="mapped", python=HERE, python_callable=adds).expand(op_args=[[1, 2], [3, 4]])
    PythonVirtualenvOperator(
        task_id="without_requirements", python_callable=adds, op_args=[2, 3], system_site_packages=False
    )


@a_dag()
def runs_bash():
    for name, arguments in {
        "last_line": {"bash_command": "echo one; echo two"},
        "no_output": {"bash_command": "true"},
        "stderr": {"bash_command": "echo out; echo err >&2"},
        "environment": {"bash_command": 'echo "$A $AIRFLOW_CTX_DAG_RUN_ID ${HOME:-none}"', "env": {"A": "{{ ds }}"}},
        "appended": {"bash_command": 'test -n "$PATH" && echo "$A"', "env": {"A": "a"}, "append_env": True},
        "folder": {"bash_command": "pwd", "cwd": "/"},
        "no_folder": {"bash_command": "pwd", "cwd": "/no/such/folder"},
        "skips": {"bash_command": "exit 7", "skip_on_exit_code": 7},
        "skips_by_default": {"bash_command": "exit 99"},
        "never_skips": {"bash_command": "exit 99", "skip_on_exit_code": None},
        "fails": {"bash_command": "exit 3"},
        "fails_in_pipe": {"bash_command": "false | true"},
        "fails_early": {"bash_command": "set -e; false; echo not reached"},
        "not_there": {"bash_command": "no_such_command"},
        "json": {"bash_command": "echo '{\"a\": [1]}'", "output_processor": __import__("json").loads},
        "processor_fails": {"bash_command": "echo text", "output_processor": int},
        "unicode": {"bash_command": "echo 'ä😀'"},
        "binary": {"bash_command": "printf '\\xff\\xfe'", "output_encoding": "latin-1"},
        "killed": {"bash_command": "kill -9 $$"},
        "quoted": {"bash_command": "echo '{{ params }}' \"{{ dag.dag_id }}\""},
        "multiline": {"bash_command": "cat <<X\n{{ ds }}\nlast\nX\n"},
        "in_background": {"bash_command": "sleep 0.1 & wait; echo waited"},
        "not_pushed": {"bash_command": "echo hidden", "do_xcom_push": False},
        "retries": {"bash_command": "test {{ ti.try_number }} = 2", "retries": 1, "retry_delay": SHORT},
    }.items():
        BashOperator(task_id=name, **arguments)

    @task.bash(env={"A": "a"}, skip_on_exit_code=5)
    def decorated(code, ds=None):
        return f"echo $A {ds}; exit {code}"

    @task.bash
    def no_text():
        return 5

    decorated.override(task_id="decorated_skips")(5)
    decorated(0)
    decorated.expand(code=[0, 1])
    no_text()


class Hooked(BaseOperator):
    def __init__(self, fails_in=None, **arguments):
        super().__init__(**arguments)
        self.fails_in = fails_in

    def pre_execute(self, context):
        note(context, "hooks", f"pre {self.task_id}")
        self._fail("pre")

    def execute(self, context):
        note(context, "hooks", f"execute {self.task_id}")
        self._fail("execute")
        return self.task_id

    def post_execute(self, context, result=None):
        note(context, "hooks", f"post {self.task_id} {result}")
        self._fail("post")

    def _fail(self, where):
        if self.fails_in == where:
            raise ValueError(where)
        if self.fails_in == f"{where} skips":
            raise AirflowSkipException(where)


@a_dag()
def hooks_into_execution():
    for where in ("none", "pre", "execute", "post", "pre skips", "post skips"):
        Hooked(task_id=where.replace(" ", "_"), fails_in=where, on_failure_callback=task_called("failure"))

    def before(context):
        note(context, "hooks", f"before {context['ti'].task_id}")

    def after(context, result):
        note(context, "hooks", f"after {context['ti'].task_id} {result}")

    def fails(*_):
        raise ValueError("hook")

    PythonOperator(task_id="by_argument", python_callable=lambda: 1, pre_execute=before, post_execute=after)
    PythonOperator(task_id="by_failing_argument", python_callable=lambda: 1, pre_execute=fails, post_execute=after)
    PythonOperator(task_id="by_failing_end", python_callable=lambda: 1, pre_execute=before, post_execute=fails)
    Hooked.partial(task_id="mapped").expand(fails_in=["none", "post"])

    class Doubly(BaseOperator):
        """Called inside another operator: allowed with a warning, as in Airflow."""

        def execute(self, context):
            return Hooked(task_id="inner", dag=None).execute(context)

    Doubly(task_id="calls_another")

    @task
    async def several_at_once():
        return await asyncio.gather(*(asyncio.sleep(0.01, n) for n in range(3)))

    @task
    async def fails_asynchronously():
        raise ValueError("async")

    @task(execution_timeout=timedelta(seconds=1))
    async def times_out_asynchronously():
        await asyncio.sleep(60)

    @task
    async def skips_asynchronously():
        raise AirflowSkipException

    several_at_once()
    fails_asynchronously()
    times_out_asynchronously()
    skips_asynchronously()


@a_dag()
def is_listened_to():
    @task
    def succeeds(n=0):
        return n

    @task(retries=1, retry_delay=SHORT)
    def fails():
        raise ValueError("told")

    @task
    def skips():
        raise AirflowSkipException

    @task.sensor(mode="reschedule", poke_interval=4, timeout=60)
    def waits(**context):
        note(context, "pokes", "poke")
        return len(_lines(context)) > 1

    succeeds()
    fails()
    skips()
    waits()
    succeeds.override(task_id="mapped").expand(n=[1, 2])


@a_dag(fail_fast=True)
def obeys_policies():
    @task
    def is_retried(ti=None):
        if ti.try_number == 1:
            raise ValueError
        return ti.try_number

    @task
    def is_stopped():
        time.sleep(60)

    @task
    def runs_anyway(params=None):
        return params["by_policy"]

    @task
    def is_told(told=None):
        return told

    @task
    def calls_back():
        return sorted(value for name, value in os.environ.items() if "BY_POLICY" in name)

    is_stopped() >> runs_anyway()
    is_retried()
    is_told()
    calls_back()
    BashOperator(task_id="bash", bash_command='echo "$AIRFLOW_BY_POLICY"')


@a_dag(schedule=Fortnight(days=10))
def uses_plugins():
    @task(weight_rule=LongestFirst())
    def interval(data_interval_start=None, data_interval_end=None):
        return [str(data_interval_start), str(data_interval_end)]

    interval()
    BashOperator(task_id="linked", bash_command="echo {{ macros.parity_plugin.shout('ds') }}")
    BashOperator.partial(task_id="linked_mapped").expand(bash_command=["echo 1", "echo 2"])


class Thrice(RetryPolicy):
    """Decides by what the exception says."""

    def evaluate(self, exception, try_number, max_tries, context=None):
        if "now" in str(exception):
            return RetryDecision(RetryAction.RETRY, retry_delay=SHORT, reason=f"try {try_number} of {max_tries}")
        if "break" in str(exception):
            raise RuntimeError("a broken policy")
        return RetryDecision(RetryAction.FAIL, reason="not worth it")

    def serialize(self):
        return {}

    @classmethod
    def deserialize(cls, data):
        return cls()


@a_dag()
def retries_by_policy():
    rules = ExceptionRetryPolicy(
        rules=[
            RetryRule(exception=KeyError, action=RetryAction.FAIL, reason="no use"),
            RetryRule(exception="builtins.LookupError", retry_delay=SHORT, reason="looked up in vain"),
            RetryRule(exception=[OSError, TypeError], action=RetryAction.RETRY, match_subclasses=False),
            RetryRule(exception="no.such.Error", action=RetryAction.FAIL),
        ],
        default=RetryAction.DEFAULT,
    )
    common = {
        "retries": 2,
        "retry_delay": SHORT,
        "on_retry_callback": task_called("retry"),
        "on_failure_callback": task_called("failure"),
    }

    def raises(error, **context):
        note(context, "tries", f"{context['ti'].task_id} {context['ti'].try_number}")
        raise error

    for error in (KeyError("k"), IndexError("i"), FileNotFoundError("f"), TypeError("t"), AirflowFailException("a")):
        PythonOperator(
            task_id=type(error).__name__, python_callable=raises, op_args=[error], retry_policy=rules, **common
        )
    for text in ("now", "later", "break"):
        PythonOperator(
            task_id=f"by_code_{text}",
            python_callable=raises,
            op_args=[ValueError(text)],
            retry_policy=Thrice(),
            **common,
        )
    PythonOperator(task_id="beyond_retries", python_callable=raises, op_args=[ValueError("now")], retry_policy=Thrice())

    @task(retry_policy=rules, **common)
    def recovers(n, ti=None):
        if ti.try_number <= n:
            raise IndexError(n)
        return n

    recovers.expand(n=[0, 1, 2])


@a_dag()
def ends_in_odd_ways():  # noqa: C901  # one task for each way
    @task
    def base_exception():
        class Odd(BaseException):
            pass

        raise Odd("odd")

    @task
    def exception_group():
        raise ExceptionGroup("group", [ValueError(1), TypeError(2)])

    @task
    def chained():
        try:
            raise KeyError("first")
        except KeyError as error:
            raise AirflowException("second") from error

    @task
    def recursion():
        return recursion.function()

    @task
    def unprintable():
        class UnprintableError(Exception):
            def __str__(self):
                raise ValueError("no text")

        raise UnprintableError

    @task
    def generator():
        yield from (1, 2)

    @task
    def reschedules(**context):
        note(context, "pokes", "poke")
        if len(_lines(context)) < 2:
            raise AirflowRescheduleException(utcnow() + SHORT)
        return "rescheduled"

    @task
    def skips_with_reason():
        raise AirflowSkipException("with a reason")

    @task
    def changes_folder():
        os.chdir("/")
        os.environ["LEFT_BEHIND"] = "1"
        sys.path.insert(0, "/nowhere")

    @task
    def sees_nothing_of_it():
        return [os.environ.get("LEFT_BEHIND"), "/nowhere" in sys.path, str(Path.cwd()) == "/"]

    @task
    def leaves_a_thread():
        import threading

        threading.Thread(target=time.sleep, args=(0.5,)).start()
        return "left"

    @task
    def closes_output():
        sys.stdout.close()
        return "closed"

    @task
    def long_line():
        print("x" * 200_000)
        return "printed"

    for each in (
        base_exception, exception_group, chained, recursion, unprintable, generator, reschedules, skips_with_reason,
        leaves_a_thread, closes_output, long_line,
    ):  # fmt: skip
        each()
    changes_folder() >> sees_nothing_of_it()


def _lines(context):
    from leave_notes import scratch

    return (scratch(context) / "pokes").read_text().splitlines()


runs_in_other_interpreters()
runs_bash()
hooks_into_execution()
is_listened_to()
obeys_policies()
uses_plugins()
retries_by_policy()
ends_in_odd_ways()
