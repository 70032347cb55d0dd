"""The XComs of one run: values by key, and the rows by which Airflow's scheduling code asks about them.

Airflow's decisions need to know which XComs exist (how long a mapped task is) and the value of one key (what a branch
skipped); all other values stay opaque text. It must not know why a value was written.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence

from airflow.models.dagrun import DagRun
from airflow.models.taskmap import TaskMap
from airflow.models.xcom import XComModel
from sqlalchemy.orm import Session

from temporal_airflow.engine.xcom_pages import content_size
from temporal_airflow.models import RETURN_KEY, XComRecord, XComValue

SKIP_KEY = "skipmixin_key"
"""What a branch or short circuit skipped (``airflow.models.skipmixin.XCOM_SKIPMIXIN_KEY``)."""


class XComStore:
    """XComs in memory, mirrored as rows of Airflow's tables.

    Attributes:
        changes: how often one was replaced or deleted: as long as that is the same, who has read one knows it.
    """

    def __init__(self, session: Session, dag_run: DagRun) -> None:
        self._session = session
        self._dag_run = dag_run
        self._by_task: defaultdict[str, dict[tuple[str, int], XComRecord]] = defaultdict(dict)
        self.inline_bytes = 0
        self.changes = 0

    def write(self, records: Iterable[XComRecord]) -> None:
        """Store or delete what a task wrote; the last write of a key stands."""
        for record in records:
            self._remove(record)
            if record.content is not None:
                self._by_task[record.task_id][record.key, record.map_index] = record
                self.inline_bytes += content_size(record.content)
                self._session.add(self._row(record, record.content))

    def resume(self, records: Iterable[XComRecord], changes: int) -> None:
        """Know again what the run's restored rows stand for."""
        self.changes = changes
        for record in records:
            self._by_task[record.task_id][record.key, record.map_index] = record
            self.inline_bytes += content_size(record.content)

    def record_mapped_length(self, task_id: str, map_index: int, length: int) -> None:
        """Remember how many task instances a return value expands into."""
        self._session.merge(
            TaskMap(self._dag_run.dag_id, task_id, self._dag_run.run_id, map_index, length=length, keys=None)
        )
        self._session.flush()

    def keys_of(self, task_id: str, map_index: int) -> tuple[str, ...]:
        """Keys a new try must clear; for an unmapped task instance those of every map index, as Airflow does."""
        return tuple(
            sorted({key for key, index in self._by_task.get(task_id, {}) if map_index < 0 or index == map_index})
        )

    def small_results(self, task_ids: Sequence[str], limit: int) -> tuple[XComRecord, ...]:
        """Return values of unmapped tasks that are small enough to travel in a task's input."""
        found = (self._by_task.get(task_id, {}).get((RETURN_KEY, -1)) for task_id in task_ids)
        return tuple(record for record in found if record and content_size(record.content) <= limit)

    def records(self) -> tuple[XComRecord, ...]:
        """Every XCom, by task id, key and map index."""
        return tuple(records[name] for _, records in sorted(self._by_task.items()) for name in sorted(records))

    def _remove(self, record: XComRecord) -> None:
        known = self._by_task.get(record.task_id, {}).pop((record.key, record.map_index), None)
        if known is None:
            return
        self.changes += 1
        self.inline_bytes -= content_size(known.content)
        self._session.flush()
        row = self._session.get(XComModel, (self._dag_run.id, record.task_id, record.map_index, record.key))
        if row is not None:
            self._session.delete(row)
            self._session.flush()

    def _row(self, record: XComRecord, content: XComValue) -> XComModel:
        return XComModel(
            dag_run_id=self._dag_run.id,
            dag_id=self._dag_run.dag_id,
            run_id=self._dag_run.run_id,
            task_id=record.task_id,
            map_index=record.map_index,
            key=record.key,
            value=json.loads(content.value) if record.key == SKIP_KEY and content.value else None,
        )
