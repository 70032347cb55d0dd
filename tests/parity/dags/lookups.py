# mypy: ignore-errors
"""Connections and variables from each place that Airflow looks into."""

from __future__ import annotations

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import BaseHook, Connection, Variable, get_current_context, task
from airflow.sdk.log import mask_secret
from leave_notes import a_dag


def facts(connection):
    return {
        "id": connection.conn_id,
        "type": connection.conn_type,
        "host": connection.host,
        "login": connection.login,
        "password": f"of length {len(connection.password)}" if connection.password else connection.password,
        "schema": connection.schema,
        "port": connection.port,
        "extra": connection.extra_dejson,
    }


@a_dag()
def looks_into_backends():  # noqa: C901  # one task for each way
    @task
    def connections():
        found = {}
        for conn_id in (
            "of_worker", "of_worker_by_uri", "of_worker_file", "of_server_file", "of_both", "of_environment",
            "of_environment_json", "of_worker_and_environment", "breaks", "absent",
        ):  # fmt: skip
            try:
                found[conn_id] = facts(Connection.get(conn_id))
            except Exception as error:  # noqa: BLE001  # which one is compared
                found[conn_id] = f"raises {type(error).__name__}: {error}"
        return found

    @task
    def variables():
        found = {}
        for key in (
            "of_worker", "of_worker_file", "of_server_file", "of_both", "of_environment", "OF_ENVIRONMENT",
            "of_worker_and_environment", "empty", "json", "breaks", "absent",
        ):  # fmt: skip
            try:
                found[key] = Variable.get(key)
            except Exception as error:  # noqa: BLE001  # which one is compared
                found[key] = f"raises {type(error).__name__}: {error}"
        return {**found, "json": Variable.get("json", deserialize_json=True)}

    @task
    def defaults():
        return [
            Variable.get("absent", default=None),
            Variable.get("absent", default={"a": 1}),
            Variable.get("absent", default="x", deserialize_json=True),
            Variable.get("of_worker", default="x"),
        ]

    @task
    def not_json():
        return Variable.get("of_worker", deserialize_json=True)

    @task
    def through_context():
        context = get_current_context()
        return [
            context["var"]["value"].of_worker,
            context["var"]["json"].get("json"),
            context["var"]["value"].get("absent", "fallback"),
            context["conn"].of_worker.host,
            context["conn"].get("absent", default_conn="fallback"),
            str(BaseHook.get_connection("of_worker_file").get_uri()),
        ]

    @task
    async def asynchronously():
        return [facts(await Connection.async_get("of_worker")), facts(await BaseHook.aget_connection("of_server_file"))]

    @task
    def masks():
        password = Connection.get("of_worker").password
        mask_secret("masked by hand")
        print(password, "masked by hand")
        raise ValueError(f"with {password} and masked by hand")

    connections()
    variables()
    defaults()
    not_json()
    through_context()
    asynchronously()
    masks()
    PythonOperator(
        task_id="templated",
        python_callable=lambda *arguments: list(arguments),
        op_args=[
            "{{ var.value.of_worker }}",
            "{{ var.value.of_server_file }}",
            "{{ var.json.json.list[1] }}",
            "{{ conn.of_worker.login }}",
            "{{ conn.of_server_file.extra_dejson.key }}",
            "{{ conn.get('absent', 'fallback') }}",
            "{{ var.value.get('absent', 'fallback') }}",
            "{{ conn.of_worker.extra_dejson }}",
        ],
    )
    PythonOperator(task_id="absent_variable", python_callable=print, op_args=["{{ var.value.absent }}"])
    PythonOperator(task_id="absent_connection", python_callable=print, op_args=["{{ conn.absent }}"])


looks_into_backends()
