"""What of a serialized DAG travels: all that Airflow's scheduler reads, and nothing of what may be secret."""

from __future__ import annotations

import inspect
import json
import re
from datetime import UTC, datetime

from airflow.sdk import DAG, BaseOperator
from airflow.serialization.definitions import mappedoperator
from airflow.serialization.serialized_objects import DagSerialization

from temporal_airflow.engine.airflow_library import import_scheduling_code
from temporal_airflow.tasks import slim_dag

import_scheduling_code()


class LogsIn(BaseOperator):
    def __init__(self, password: str | None = None, user: str | None = None, **arguments: object) -> None:
        super().__init__(**arguments)  # type: ignore[arg-type]
        self.password, self.user = password, user


def test_an_operators_own_arguments_stay_behind_mapped_or_not() -> None:
    with DAG("d", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        LogsIn(task_id="plain", password="SECRET", retries=2)
        LogsIn.partial(task_id="mapped", password="SECRET", retries=3, pool="small").expand(user=["SECRET"])
    serialized = DagSerialization.to_dict(dag)
    reduced = slim_dag.reduce_to_structure(serialized, DagSerialization.from_dict(serialized))
    assert "SECRET" not in json.dumps(reduced)
    tasks = DagSerialization.from_dict(reduced).task_dict
    assert [(task.task_id, task.retries, task.pool) for task in tasks.values()] == [
        ("plain", 2, "default_pool"),
        ("mapped", 3, "small"),
    ]


def test_all_that_airflow_reads_of_a_mapped_tasks_partial_may_travel() -> None:
    source = inspect.getsource(mappedoperator)
    read = set(re.findall(r'(?:operator_default\(|partial_kwargs(?:\.get\(|\[))"(\w+)"', source))
    assert len(read) > 30
    assert read <= slim_dag._fields_of_every_task()
