"""DAGs about data: large values, many values, secrets."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from airflow.sdk import Connection, Variable, dag, task


def a_dag(function):
    return dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False)(function)


@a_dag
def large_values():
    @task
    def pushes(ti=None, dag_run=None):
        for kilobytes in dag_run.conf["kilobytes"]:
            ti.xcom_push(key=f"k{kilobytes}", value="x" * kilobytes * 1024)

    @task
    def pulls(ti=None, dag_run=None):
        return [len(ti.xcom_pull(task_ids="pushes", key=f"k{size}")) for size in dag_run.conf["kilobytes"]]

    pushes() >> pulls()


@a_dag
def grows():
    @task
    def many(dag_run=None):
        return list(range(dag_run.conf["many"]))

    @task
    def one(value):
        return value

    one.expand(value=many())


@a_dag
def odd_values():
    @task
    def pushes():
        return {"tuple": (1, 2), "set": {3}, "decimal": Decimal("1.10"), "when": datetime(2026, 1, 1), "big": 2**60}

    @task
    def pulls(value):
        assert value["tuple"] == (1, 2)
        assert value["set"] == {3}
        assert value["decimal"] == Decimal("1.10")
        assert value["when"].year == 2026
        return str(value["big"])

    pulls(pushes())


@a_dag
def knows_secrets():
    @task(retries=1, retry_delay=0, default_args={"token": "SECRET-IN-ARGUMENTS"})
    def uses(ti=None):
        password = Connection.get("vault").password
        token = Variable.get("api_token")
        print("log line with", password, token)
        if ti.try_number == 1:
            raise ValueError(f"error with {password} and {token}")
        return "done"

    uses()


large_values()
grows()
odd_values()
knows_secrets()
