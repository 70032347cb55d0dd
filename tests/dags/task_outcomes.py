"""One task for each way a try can end: driven task by task, never as a run."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import ShortCircuitOperator
from airflow.sdk import DAG, Asset, BaseHook, BaseOperator, BaseSensorOperator, Metadata, Variable, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

SCRATCH = Path(os.environ.get("TASK_TEST_SCRATCH", "/nonexistent"))
ORDERS = Asset(name="orders", uri="file://orders")


def note(name: str, text: object) -> None:
    part = SCRATCH / f"{name}.part"
    part.write_text(str(text))
    part.rename(SCRATCH / name)


class PokeLater(BaseSensorOperator):
    def poke(self, context):
        return False


class Stubborn(BaseOperator):
    def execute(self, context):
        stray = subprocess.Popen(["sleep", "600"], start_new_session=True)
        note("stubborn", f"{os.getpid()} {stray.pid}")
        time.sleep(600)

    def on_kill(self):
        note("on_kill", "ran")


with DAG("task_outcomes", schedule=None) as dag:

    @task
    def answer():
        return {"answer": 42, "weather": "☀"}

    @task(multiple_outputs=True)
    def several():
        return {"a": 1, "b": [1, 2]}

    @task
    def nothing():
        return None

    @task
    def add_one(value, ti=None):
        return [value + 1, ti.xcom_pull(task_ids="absent"), ti.xcom_pull(task_ids="absent", map_indexes=-1)]

    add_one(several()["a"])

    @task
    def total(values):
        return [sum(values), len(values), values[-1], values[1:]]

    @task
    def parts(number):
        return number * 10

    total(parts.expand(number=[0, 1, 2, 3, 4]))

    @task
    def failing():
        raise ValueError("bad\nvalue")

    @task
    def failing_for_good():
        raise AirflowFailException("no retry")

    @task
    def skipping():
        raise AirflowSkipException("because")

    @task
    def hard_exit():
        os._exit(7)

    @task
    def silent_exit():
        os._exit(0)

    @task
    def soft_exit():
        sys.exit(3)

    @task
    def crashing():
        ctypes.string_at(0)

    @task
    def killed():
        os.kill(os.getpid(), signal.SIGKILL)

    @task
    def outgrows_its_group():
        group = Path((SCRATCH / "group").read_text())
        (group / "cgroup.procs").write_text(str(os.getpid()))
        return len(bytearray(b"x") * (256 << 20))

    @task(execution_timeout=timedelta(seconds=1))
    def slow():
        time.sleep(600)

    Stubborn(task_id="stubborn")
    PokeLater(task_id="poke_later", mode="reschedule", poke_interval=60, timeout=600)
    BashOperator(task_id="templated", bash_command="echo {{ ti.xcom_pull(task_ids='answer')['answer'] }} {{ ds }}")
    BashOperator(
        task_id="bash_in_background",
        bash_command=f"setsid sleep 600 </dev/null >/dev/null 2>&1 & echo $! > {SCRATCH}/background; wait -n",
    )
    BashOperator(
        task_id="leaves_a_daemon",
        bash_command=f"setsid sleep 600 </dev/null >/dev/null 2>&1 & echo $! > {SCRATCH}/daemon",
    )
    ShortCircuitOperator(task_id="short_circuit", python_callable=lambda: False) >> BashOperator(
        task_id="after_short_circuit", bash_command="true"
    )

    @task.branch
    def branch():
        return "left"

    branch() >> [BashOperator(task_id="left", bash_command="true"), BashOperator(task_id="right", bash_command="true")]

    @task
    def large(size=200_000):
        return "x" * size

    @task
    def length_of(value):
        return len(value)

    length_of(large())

    @task
    def many_small(ti=None):
        for number in range(4):
            ti.xcom_push(f"part{number}", "y" * 1000)

    @task
    def items():
        return [1, 2, 3]

    @task
    def consume(item):
        return item

    consume.expand(item=items())

    @task
    def secretive():
        password = BaseHook.get_connection("vault").password
        print("the password is", password)
        raise ValueError(f"{password} was refused")

    @task
    def looks_up(ti=None):
        try:
            Variable.get("absent")
        except Exception as error:  # noqa: BLE001
            missing = str(error)
        return [Variable.get("present"), Variable.get("absent", default="fallback"), missing]

    @task(outlets=[ORDERS])
    def emits():
        yield Metadata(ORDERS, {"rows": 5})

    @task
    def asks(ti=None):
        counts = ti.get_ti_count(dag_id="task_outcomes", run_ids=["other"], states=["success"])
        states = ti.get_task_states(dag_id="task_outcomes", run_ids=["other"])
        runs = ti.get_dr_count("task_outcomes", run_ids=["other", "none"])
        return [counts, states, ti.get_dagrun_state("task_outcomes", "other"), runs]

    for each in (
        answer,
        nothing,
        failing,
        failing_for_good,
        skipping,
        hard_exit,
        silent_exit,
        soft_exit,
        crashing,
        killed,
        outgrows_its_group,
        slow,
        many_small,
        secretive,
        looks_up,
        emits,
        asks,
    ):
        each()
