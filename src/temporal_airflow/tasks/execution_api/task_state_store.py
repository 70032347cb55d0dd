"""Namespace ``task_state_store``: what a task keeps over tries, deferrals and lost attempts.

A write returns once the task's run has acknowledged it. Values may be secrets: they leave this process sealed with
Airflow's Fernet key. The answers follow ``airflow/api_fastapi/execution_api/routes/task_state_store.py``. It must not
know how the worker reaches the run.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from airflow.sdk.api.datamodels._generated import TaskStateStorePutBody, TaskStateStoreResponse
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse, OKResponse

from temporal_airflow.models import TaskExecutionInput, TaskStateQuestion, TaskStateValue, TaskStateWrite, Writer
from temporal_airflow.tasks import sealing, xcom_storage
from temporal_airflow.tasks.channel import Asker
from temporal_airflow.tasks.messages import AskTaskState, AskWrite

INLINE_LIMIT = 16 * 1024
"""Bytes of the largest sealed value that the run keeps itself; a larger one goes to object storage."""


class TaskStateStore:
    """The namespace, for one attempt of a task."""

    def __init__(self, asker: Asker, task: TaskExecutionInput, large_path: str) -> None:
        """Ask through the worker.

        Args:
            asker: to ask the worker.
            task: whose store it is.
            large_path: object storage path for large values.
        """
        self._asker = asker
        self._run = task.run
        self._writer = writer_of(task)
        self._large_path = large_path

    def get(self, ti_id: UUID, key: str) -> TaskStateStoreResponse | ErrorResponse:  # noqa: ARG002  # Airflow's signature
        """A value; there is none once it has expired."""
        question = TaskStateQuestion(
            task_id=self._writer.task_id, map_index=self._writer.map_index, key=key, now=datetime.now(UTC)
        )
        ask = AskTaskState(dag_id=self._run.dag_id, run_id=self._run.run_id, question=question)
        content = self._asker.ask(ask).task_state
        if content is None:
            return ErrorResponse(error=ErrorType.TASK_STORE_NOT_FOUND, detail={"key": key})
        sealed = xcom_storage.read(content.reference) if content.reference else content.value
        return TaskStateStoreResponse(value=sealing.unseal(sealed or "")["value"])

    def set(self, ti_id: UUID, key: str, value: Any, expires_at: datetime | None) -> OKResponse:  # noqa: ARG002
        """Write a value."""
        body = TaskStateStorePutBody(value=value, expires_at=expires_at)
        sealed = sealing.seal({"value": body.value})
        if len(sealed) <= INLINE_LIMIT:
            content = TaskStateValue(value=sealed, expires_at=expires_at)
        else:
            parts = (self._run.dag_id, self._run.run_id, self._writer.task_id, str(self._writer.map_index), key)
            content = TaskStateValue(
                reference=xcom_storage.write(self._large_path, parts, sealed), expires_at=expires_at
            )
        return self._write(key, content)

    def delete(self, ti_id: UUID, key: str) -> OKResponse:  # noqa: ARG002
        """Delete a key, if there is one."""
        return self._write(key, None)

    def clear(self, ti_id: UUID) -> OKResponse:  # noqa: ARG002
        """Delete every key."""
        return self._write(None, None)

    def _write(self, key: str | None, content: TaskStateValue | None) -> OKResponse:
        write = TaskStateWrite(kind="task_state", writer=self._writer, key=key, content=content)
        self._asker.ask(AskWrite(dag_id=self._run.dag_id, run_id=self._run.run_id, write=write))
        return OKResponse(ok=True)


def writer_of(task: TaskExecutionInput) -> Writer:
    """How an attempt names itself to its run."""
    return Writer(task_id=task.task_id, map_index=task.map_index, try_number=task.try_number, attempt=task.attempt)
