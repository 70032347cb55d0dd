"""What leaves a task's process when it keeps state: sealed values, and the name of the attempt that writes."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
from airflow.sdk.api.datamodels._generated import TaskStateStoreResponse
from airflow.sdk.execution_time.comms import ErrorResponse
from airflow.utils.types import DagRunType
from cryptography.fernet import Fernet

from temporal_airflow.models import (
    BundleReference,
    DagRunIdentity,
    TaskExecutionInput,
    TaskStateValue,
    TaskStateWrite,
    Writer,
)
from temporal_airflow.tasks import sealing
from temporal_airflow.tasks.execution_api.task_state_store import TaskStateStore
from temporal_airflow.tasks.messages import Answer, AskTaskState, AskWrite, Question

NOW = datetime(2026, 5, 1, tzinfo=UTC)
TI_ID = uuid.uuid4()
TASK = TaskExecutionInput(
    task_instance_id=TI_ID,
    dag_version_id=uuid.uuid4(),
    run=DagRunIdentity(dag_id="dag", run_id="run", run_type=DagRunType.MANUAL, run_after=NOW),
    run_start_date=NOW,
    bundle=BundleReference(name="dags", relative_fileloc="dag.py"),
    task_id="task",
    map_index=3,
    try_number=2,
    attempt=4,
)


class Run:
    """Takes every write; what was written is also what is read."""

    def __init__(self) -> None:
        self.writes: list[TaskStateWrite] = []

    def ask(self, question: Question) -> Answer:
        if isinstance(question, AskTaskState):
            return Answer(id=1, task_state=self.writes[-1].content if self.writes else None)
        assert isinstance(question, AskWrite)
        assert isinstance(question.write, TaskStateWrite)
        self.writes.append(question.write)
        return Answer(id=1)


@pytest.fixture
def run() -> Run:
    return Run()


@pytest.fixture
def store(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskStateStore:
    fernet = Fernet(Fernet.generate_key())
    monkeypatch.setattr(sealing, "get_fernet", lambda: fernet)
    return TaskStateStore(run, TASK, f"file://{tmp_path}")


def written(run: Run) -> TaskStateValue:
    content = run.writes[-1].content
    assert content is not None
    return content


def test_a_value_leaves_the_process_sealed(run: Run, store: TaskStateStore) -> None:
    store.set(TI_ID, "key", {"password": "ossifrage"}, None)
    assert run.writes[-1].writer == Writer(task_id="task", map_index=3, try_number=2, attempt=4)
    assert "ossifrage" not in (written(run).value or "")
    assert store.get(TI_ID, "key") == TaskStateStoreResponse(value={"password": "ossifrage"})


def test_a_large_value_is_sealed_in_object_storage(run: Run, store: TaskStateStore) -> None:
    store.set(TI_ID, "key", "ossifrage" * 10_000, NOW)
    content = written(run)
    assert (content.value, content.expires_at) == (None, NOW)
    assert "ossifrage" not in Path((content.reference or "").removeprefix("file://")).read_text()
    assert store.get(TI_ID, "key") == TaskStateStoreResponse(value="ossifrage" * 10_000)


def test_what_was_never_written_is_not_found(store: TaskStateStore) -> None:
    assert isinstance(store.get(TI_ID, "key"), ErrorResponse)


def test_one_key_or_all_are_deleted(run: Run, store: TaskStateStore) -> None:
    store.delete(TI_ID, "key")
    store.clear(TI_ID)
    assert [(write.key, write.content) for write in run.writes] == [("key", None), (None, None)]
