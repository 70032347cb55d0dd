"""What a mutation hook says of task instances, asked as Airflow asks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from airflow import settings
from airflow.models import taskinstance
from airflow.sdk import DAG, task
from airflow.serialization.serialized_objects import DagSerialization
from airflow.utils.types import DagRunType

from engine_play import START
from temporal_airflow.exceptions import UnsupportedFeatureError
from temporal_airflow.models import DagRunIdentity, MutatedTaskInstances, RunLimits
from temporal_airflow.tasks.task_mutations import mutated_task_instances

RUN = DagRunIdentity(
    dag_id="d", run_id="run", run_type=DagRunType.MANUAL, logical_date=START, run_after=START, conf={"lane": "fast"}
)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[MutatedTaskInstances, ...]]:
    def ask(hook: Callable[..., None]) -> tuple[MutatedTaskInstances, ...]:
        for module in (settings, taskinstance):
            monkeypatch.setattr(module, "task_instance_mutation_hook", hook)
        with DAG("d", schedule=None, start_date=START) as dag:
            numbers = task(task_id="numbers")(lambda: [1])()
            task(task_id="unknown")(lambda x: x).expand(x=numbers)
            task(task_id="known")(lambda x: x).expand(x=[1, 2, 3])
        serialized = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        return mutated_task_instances(serialized, RUN, RunLimits(max_map_length=10))

    return ask


def test_equal_answers_of_neighbours_travel_once(answers: Callable[..., tuple[MutatedTaskInstances, ...]]) -> None:
    def hook(ti: Any, dag_run: Any = None) -> None:
        if dag_run is not None and ti.map_index >= 2:
            ti.queue = dag_run.conf["lane"]

    found = {(each.task_id, each.first, each.last): each.queue for each in answers(hook)}
    assert found == {
        ("numbers", -1, -1): "default",
        ("unknown", -1, 1): "default",
        ("unknown", 2, 9): "fast",
        ("known", 0, 1): "default",
        ("known", 2, 2): "fast",
    }


def test_a_hook_that_changes_more_is_refused(answers: Callable[..., tuple[MutatedTaskInstances, ...]]) -> None:
    def hook(ti: Any, dag_run: Any = None) -> None:
        ti.pool = "small"

    with pytest.raises(UnsupportedFeatureError, match="task_instance_mutation_hook changes pool of task 'numbers'"):
        answers(hook)
