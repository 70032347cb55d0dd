"""What tasks had their run remember while they ran: kept over failed tries, deferrals and lost attempts.

Nothing here influences a decision: values are opaque. It must not know how writes reach the run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import assert_never

from temporal_airflow.engine.events import TaskKey
from temporal_airflow.models import (
    KeptTriggeredRun,
    Routing,
    TaskStateQuestion,
    TaskStateRecord,
    TaskStateValue,
    TaskStateWrite,
    TriggeredRun,
    TriggerWrite,
    WriteAnswer,
)

MAX_STATE_BYTES = 512 * 1024
"""Bytes of state values that one run keeps itself; larger values are in object storage anyway."""


class TaskMemory:
    """The state stores of a run's task instances, and which runs of other DAGs they started."""

    def __init__(self, routing: Routing) -> None:
        self._routing = routing
        self._states: defaultdict[TaskKey, dict[str, TaskStateValue]] = defaultdict(dict)
        self._triggered: dict[tuple[TaskKey, int], TriggeredRun] = {}

    def write(self, write: TaskStateWrite | TriggerWrite) -> WriteAnswer:
        """Take a write of a task that runs."""
        key = TaskKey(write.writer.task_id, write.writer.map_index)
        match write:
            case TaskStateWrite():
                return self._write_state(key, write)
            case TriggerWrite(triggered=triggered):
                self._triggered[key, write.writer.try_number] = triggered
                return WriteAnswer(routing=self._routing)
            case _:
                assert_never(write)

    def triggered(self, key: TaskKey, try_number: int) -> TriggeredRun | None:
        """The run that a try has started or was about to start."""
        return self._triggered.get((key, try_number))

    def all_triggered(self) -> tuple[TriggeredRun, ...]:
        """Every run that a try has started or was about to start, by task and try."""
        return tuple(triggered for _, triggered in sorted(self._triggered.items(), key=lambda item: item[0]))

    def _write_state(self, key: TaskKey, write: TaskStateWrite) -> WriteAnswer:
        states = self._states[key]
        if write.key is None:
            states.clear()
        elif write.content is None:
            states.pop(write.key, None)
        elif self._bytes() - _size(states.get(write.key)) + _size(write.content) > MAX_STATE_BYTES:
            return WriteAnswer(
                refusal=f"The state stores of this run hold {MAX_STATE_BYTES:,} bytes, which is all they can: delete "
                "keys that are no longer needed, or set [workers] state_store_backend."
            )
        else:
            states[write.key] = write.content
        return WriteAnswer()

    def clear_states(self, key: TaskKey) -> None:
        """Forget the state store of a task instance."""
        self._states.pop(key, None)

    def state(self, question: TaskStateQuestion) -> TaskStateValue | None:
        """A value, unless it has expired."""
        found = self._states.get(TaskKey(question.task_id, question.map_index), {}).get(question.key)
        return found if found and not _expired(found, question.now) else None

    def states(self, now: datetime) -> tuple[TaskStateRecord, ...]:
        """All values that haven't expired, by task id, map index and key."""
        return tuple(
            TaskStateRecord(task_id=task.task_id, map_index=task.map_index, key=key, content=content)
            for task, states in sorted(self._states.items())
            for key, content in sorted(states.items())
            if not _expired(content, now)
        )

    def all_states(self) -> tuple[TaskStateRecord, ...]:
        """All values, expired or not."""
        return tuple(
            TaskStateRecord(task_id=task.task_id, map_index=task.map_index, key=key, content=content)
            for task, states in self._states.items()
            for key, content in states.items()
        )

    def tries_that_triggered(self) -> tuple[KeptTriggeredRun, ...]:
        """Every run that a try has started or was about to start, with that try."""
        return tuple(
            KeptTriggeredRun(task_id=key.task_id, map_index=key.map_index, try_number=number, triggered=triggered)
            for (key, number), triggered in self._triggered.items()
        )

    def resume(self, states: Iterable[TaskStateRecord], triggered: Iterable[KeptTriggeredRun]) -> None:
        """Remember again."""
        for state in states:
            self._states[TaskKey(state.task_id, state.map_index)][state.key] = state.content
        for each in triggered:
            self._triggered[TaskKey(each.task_id, each.map_index), each.try_number] = each.triggered

    def _bytes(self) -> int:
        return sum(_size(content) for states in self._states.values() for content in states.values())


def _size(content: TaskStateValue | None) -> int:
    return len(content.value) if content and content.value else 0


def _expired(content: TaskStateValue, now: datetime) -> bool:
    return content.expires_at is not None and content.expires_at < now
