# mypy: ignore-errors
# ruff: noqa: DTZ001
"""XComs of every type, params, templates, context.

Not here: what a database decides (PostgreSQL refuses infinity and NUL characters, and sorts the keys of objects).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import attrs
import pendulum
import pydantic
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import Asset, Connection, Param, Variable, get_current_context, task
from leave_notes import a_dag


@dataclass
class Point:
    x: int
    y: int


@attrs.define
class Attrs:
    a: int


class Model(pydantic.BaseModel):
    name: str
    when: datetime


class Serializes:
    __version__ = 1

    def __init__(self, value):
        self.value = value

    def serialize(self):
        return {"value": self.value}

    @staticmethod
    def deserialize(data, version):
        return Serializes(data["value"])


def values():
    return {
        "none": None,
        "true": True,
        "int": 2**70,
        "float": 0.1,
        "text": "ä😀\n",
        "surrogate": "\ud83d",
        "bytes": b"bytes",
        "tuple": (1, (2,)),
        "set": {3},
        "frozenset": frozenset({4}),
        "nested": {"1": 1, "list": [{"deep": [1, None]}]},
        "datetime": datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        "naive": datetime(2024, 1, 2),
        "pendulum": pendulum.datetime(2024, 1, 2, tz="Europe/Berlin"),
        "date": date(2024, 1, 2),
        "timedelta": timedelta(days=1, seconds=2),
        "timezone": pendulum.timezone("Europe/Berlin"),
        "decimal": Decimal("1.10"),
        "uuid": UUID(int=5),
        "dataclass": Point(1, 2),
        "attrs": Attrs(1),
        "pydantic": Model(name="n", when=datetime(2024, 1, 2, tzinfo=UTC)),
        "custom": Serializes([1]),
        "unserializable": object(),
        "lambda": lambda: 1,
        "nan_key": {1: "int key"},
        "generator": range(3),
    }


@a_dag()
def pushes_every_type():
    @task
    def push(name):
        return values()[name]

    @task(trigger_rule="all_done")
    def describe(name, ti=None):
        value = ti.xcom_pull(task_ids=f"push_{name}")
        return f"{type(value).__name__} {value!r}"

    for name in values():
        push.override(task_id=f"push_{name}")(name) >> describe.override(task_id=f"describe_{name}")(name)


@a_dag()
def returns_an_asset():
    """It is in no DAG's outlets: not active, so that nothing is emitted."""

    @task
    def returns():
        return Asset("s3://parity/returned")

    returns()


@a_dag()
def passes_xcoms():
    @task(multiple_outputs=True)
    def several():
        return {"a": 1, "b": [2], "c": None}

    @task
    def inferred() -> dict[str, int]:
        return {"x": 1}

    @task(do_xcom_push=False)
    def silent():
        return 1

    @task
    def pushes(ti=None):
        ti.xcom_push(key="key", value="first")
        ti.xcom_push(key="key", value="second")
        ti.xcom_push(key="odd key/ä", value=1)
        ti.xcom_push(key="none", value=None)

    @task
    def none():
        return None

    @task
    def echo(*values):
        return list(values)

    @task
    def pulls(ti=None):
        return {
            "default": ti.xcom_pull(task_ids="absent", default="default"),
            "none": ti.xcom_pull(task_ids="none"),
            "several": ti.xcom_pull(task_ids=["several", "inferred", "silent"]),
            "key": ti.xcom_pull(task_ids="pushes", key="key"),
            "no task": ti.xcom_pull(key="key"),
            "prior": ti.xcom_pull(task_ids="pushes", key="key", include_prior_dates=True),
            "other dag": ti.xcom_pull(task_ids="pushes", dag_id="no_such_dag"),
        }

    out = several()
    consumers = [echo(out["a"], out["b"]), echo.override(task_id="nested")({"deep": [out["a"], inferred()]})]
    consumers.append(
        BashOperator(task_id="bash", bash_command="echo first; printf '%s' {{ ti.xcom_pull('pushes', key='key') }}")
    )
    [pushes(), silent(), none()] >> pulls()
    pushes.override(task_id="more")() >> consumers


@a_dag()
def deletes_and_overwrites():
    @task(retries=1, retry_delay=3)
    def pushes_then_fails(ti=None):
        if ti.try_number == 1:
            ti.xcom_push(key="lost", value=1)
            ti.xcom_push(key="again", value=1)
            raise ValueError
        ti.xcom_push(key="again", value=2)

    @task
    def fails_with_values(ti=None):
        ti.xcom_push(key="kept", value=1)
        raise ValueError

    pushes_then_fails()
    fails_with_values()


@a_dag(
    params={
        "text": Param("default", type="string", minLength=2),
        "number": Param(5, type="integer", minimum=1),
        "nullable": Param(None, type=["null", "string"]),
        "list": Param([1, 2], type="array"),
        "object": Param({"a": {"b": 1}}, type="object"),
        "plain": "plain",
        "scratch": "none",
    },
    user_defined_macros={"shout": lambda text: text.upper(), "constant": 7},
    user_defined_filters={"reverse_it": lambda text: text[::-1]},
    default_args={"params": {"from_default_args": 1}},
)
def renders():
    for text in (
        "ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz", "run_id", "logical_date", "data_interval_start",
        "data_interval_end", "dag.dag_id", "task.task_id", "ti.task_id", "ti.try_number", "ti.map_index",
        "ti.run_id", "dag_run.run_id", "dag_run.run_type", "dag_run.conf", "dag_run.logical_date",
        "task_instance_key_str",
        "prev_data_interval_start_success", "prev_start_date_success", "params.text", "params.number",
        "params.object.a",
        "params.nullable", "params.plain", "var.value.parity", "var.json.parity_json.key",
        "var.value.get('absent','fallback')", "conn.parity.host", "conn.parity.extra_dejson", "conn.parity.password",
        "constant", "shout('loud')", "'abc'|reverse_it", "macros.ds_add(ds,5)", "macros.datetime.min",
        "inlets", "outlets", "triggering_asset_events", "test_mode", "dag_run.run_after.year", "expanded_ti_count",
        "dag_run.data_interval_end", "dag_run.triggered_by", "dag_run.note", "ti.max_tries", "params",
        "dag_run.partition_key", "map_index_template", "ti.hostname", "ti.is_mapped", "dag_run.clear_number",
        "dag_run.consumed_asset_events", "dag_run.state", "ti.dag_version_id", "prev_end_date_success",
    ):  # fmt: skip
        operator = PythonOperator(
            task_id="".join(c if c.isalnum() else "_" for c in text),
            python_callable=lambda value: value,
            op_args=["{{ " + text + " }}"],
        )
        operator.doc = text


@a_dag(render_template_as_native_obj=True, params={"list": [1, 2], "scratch": "none"})
def renders_natively():
    @task
    def numbers():
        return {"a": [1, 2]}

    @task
    def kinds(*values):
        return [f"{type(value).__name__} {value}" for value in values]

    numbers() >> kinds(
        "{{ params.list }}", "{{ ti.xcom_pull('numbers') }}", "{{ 1 + 1 }}", "{{ ds }}", "{{ none }}", "text"
    )


@a_dag(template_searchpath=[])
def renders_files():
    BashOperator(task_id="script", bash_command="template.sh", params={"who": "world"})
    PythonOperator(
        task_id="templates",
        python_callable=lambda templates_dict, **_: templates_dict,
        templates_dict={"ds": "{{ ds }}", "file": "template.sql"},
        templates_exts=[".sql"],
    )
    BashOperator(
        task_id="environment",
        bash_command="echo $GREETING $AIRFLOW_CTX_TASK_ID",
        env={"GREETING": "hi {{ ds }}"},
        append_env=True,
    )


@a_dag()
def looks_up():
    @task
    def connection():
        found = Connection.get("parity")
        return [found.conn_id, found.conn_type, found.host, found.login, found.schema, found.port, found.extra_dejson]

    @task
    def variables():
        return [
            Variable.get("parity"),
            Variable.get("parity_json", deserialize_json=True),
            Variable.get("absent", default="default"),
        ]

    @task
    def sets_variable():
        Variable.set("parity_set", "value")
        return Variable.get("parity_set")

    @task
    def absent_variable():
        Variable.get("absent")

    @task
    def absent_connection():
        Connection.get("absent")

    @task
    def context():
        found = get_current_context()
        return sorted(found)

    @task
    def run_facts(dag_run=None, ti=None, dag=None, **everything):
        return {
            "run_type": str(dag_run.run_type),
            "state": str(ti.state),
            "conf": sorted(dag_run.conf),
            "interval": [str(dag_run.data_interval_start), str(dag_run.data_interval_end)],
            "tasks": sorted(dag.task_ids),
            "previous": str(ti.get_previous_dagrun()),
            "states": ti.get_task_states(dag_id=dag.dag_id, run_ids=[dag_run.run_id], task_ids=["connection"]),
            "count": ti.get_ti_count(dag_id=dag.dag_id, run_ids=[dag_run.run_id], task_ids=["connection"]),
            "run state": ti.get_dagrun_state(dag_id=dag.dag_id, run_id=dag_run.run_id),
            "runs": ti.get_dr_count(dag_id=dag.dag_id),
        }

    connection() >> run_facts()
    variables()
    sets_variable()
    absent_variable()
    absent_connection()
    context()


pushes_every_type()
returns_an_asset()
passes_xcoms()
deletes_and_overwrites()
renders()
renders_natively()
renders_files()
looks_up()
