"""The XComs a try can see and those it wrote: own writes first, then what came with its input, then the run's.

Reads ask the worker for what isn't known here, and keep what they found until the try ends; writes are collected and
travel with the result, while those into another run go there at once. Large values go to object storage and are read
from there transparently. It must not know Airflow's messages, nor how the worker asks the run.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from temporal_airflow.models import XComPage, XComRecord, XComRequest, XComValue, XComWrite
from temporal_airflow.tasks import xcom_storage
from temporal_airflow.tasks.channel import Asker
from temporal_airflow.tasks.messages import AskRunsUntil, AskWrite, AskXCom

INLINE_VALUE_LIMIT = 64 * 1024
"""Bytes of the largest value that travels inside a result."""

FOREIGN_VALUE_LIMIT = 4 * 1024
"""Bytes of the largest value that is written into another run itself: its room is its own tasks'."""

UNMAPPED = -1


class RunKey(NamedTuple):
    """A run."""

    dag_id: str
    run_id: str


class Place(NamedTuple):
    """An XCom within a run."""

    task_id: str
    map_index: int
    key: str


class XComs:
    """The XComs of this run and of others."""

    def __init__(
        self,
        asker: Asker,
        own_run: RunKey,
        upstream: tuple[XComRecord, ...],
        budget: int,
        large_path: str,
        *,
        changes: int | None = None,
    ) -> None:
        """Start with nothing written.

        Args:
            asker: to ask the worker.
            own_run: the run that may be written to.
            upstream: values that came with the task's input.
            budget: bytes that this try may send inline in all.
            large_path: object storage path for the rest.
            changes: how often an XCom of this run had been changed when the try's attempt began.
        """
        self.own_run = own_run
        self._asker = asker
        self._budget = budget
        self._large_path = large_path
        self._changes = changes
        self._written: dict[Place, XComValue | None] = {}
        self._known = {(own_run, place_of(record)): record.content for record in upstream if record.content}
        self._sequences: dict[tuple[RunKey, str, str], dict[int, XComValue]] = {}

    def written(self) -> tuple[XComRecord, ...]:
        """The last write of each XCom, in the order of the first ones."""
        return tuple(
            XComRecord(task_id=place.task_id, map_index=place.map_index, key=place.key, content=content)
            for place, content in self._written.items()
        )

    def set(self, place: Place, value: Any) -> None:
        """Write a value of this run."""
        serialized = json.dumps(value)
        size = len(serialized)
        if size <= INLINE_VALUE_LIMIT and size <= self._budget - self._inline_bytes(other_than=place):
            self._written[place] = XComValue(value=serialized)
            return
        parts = (*self.own_run, place.task_id, str(place.map_index), place.key)
        self._written[place] = XComValue(reference=xcom_storage.write(self._large_path, parts, serialized))

    def delete(self, place: Place) -> None:
        """Delete a value of this run."""
        self._written[place] = None

    def set_elsewhere(self, run: RunKey, place: Place, value: Any, mapped_length: int | None) -> None:
        """Write a value of another run, which acknowledges it."""
        serialized = json.dumps(value)
        content = XComValue(value=serialized)
        if len(serialized) > FOREIGN_VALUE_LIMIT:
            parts = (*run, place.task_id, str(place.map_index), place.key)
            content = XComValue(reference=xcom_storage.write(self._large_path, parts, serialized))
        self._write_elsewhere(run, place, content, mapped_length)

    def delete_elsewhere(self, run: RunKey, place: Place) -> None:
        """Delete a value of another run, which acknowledges it."""
        self._write_elsewhere(run, place, None, None)

    def _write_elsewhere(self, run: RunKey, place: Place, content: XComValue | None, mapped_length: int | None) -> None:
        xcom = XComRecord(task_id=place.task_id, map_index=place.map_index, key=place.key, content=content)
        write = XComWrite(kind="xcom", xcom=xcom, mapped_length=mapped_length)
        self._asker.ask(AskWrite(dag_id=run.dag_id, run_id=run.run_id, write=write))
        self._known.pop((run, place), None)
        self._sequences.pop((run, place.task_id, place.key), None)

    def get(self, run: RunKey, place: Place) -> tuple[bool, Any]:
        """Read one value.

        Returns:
            Whether there is one, and the value.
        """
        content = self._find(run, place)
        return (False, None) if content is None else (True, self._value(content))

    def count(self, run: RunKey, task_id: str, key: str) -> int:
        """How many values a task, mapped or not, has for a key."""
        known = self._known_sequence(run, task_id, key)
        if known is None:
            request = XComRequest(task_id=task_id, key=key, known_only=True)
            found = {record.map_index for record in self._ask(run, request)}
            known = self._with_own(run, task_id, key, dict.fromkeys(found, XComValue()))
        return len(known)

    def until(self, run: RunKey) -> list[RunKey]:
        """A run and those of its DAG whose date isn't later, in the order in which Airflow looks through them."""
        ask = AskRunsUntil(dag_id=run.dag_id, run_id=run.run_id)
        return [RunKey(run.dag_id, run_id) for run_id in self._asker.ask(ask).run_ids]

    def sequence(self, run: RunKey, task_id: str, key: str) -> list[XComValue]:
        """The values of a task, mapped or not, by map index; :meth:`value` reads one."""
        known = self.by_map_index(run, task_id, key)
        return [known[index] for index in sorted(known)]

    def by_map_index(self, run: RunKey, task_id: str, key: str) -> dict[int, XComValue]:
        """The values of a task, mapped or not."""
        known = self._known_sequence(run, task_id, key)
        if known is None:
            records = self._ask(run, XComRequest(task_id=task_id, key=key))
            found = {record.map_index: record.content for record in records if record.content}
            if found:
                self._sequences[run, task_id, key] = found
            known = self._with_own(run, task_id, key, found)
        return known

    def value(self, content: XComValue) -> Any:
        """The value itself, from wherever it is."""
        return self._value(content)

    def _find(self, run: RunKey, place: Place) -> XComValue | None:
        if run == self.own_run and place in self._written:
            return self._written[place]
        if content := self._known.get((run, place)):
            return content
        if sequence := self._sequences.get((run, place.task_id, place.key)):
            return sequence.get(place.map_index)
        request = XComRequest(task_id=place.task_id, map_index=place.map_index, key=place.key)
        for record in self._ask(run, request):
            if record.content and place_of(record) == place:
                self._known[run, place] = record.content
                return record.content
        return None

    def _known_sequence(self, run: RunKey, task_id: str, key: str) -> dict[int, XComValue] | None:
        """A task that has a value without a map index isn't mapped: that value is all there is."""
        unmapped = Place(task_id, UNMAPPED, key)
        if run == self.own_run and unmapped in self._written:
            content = self._written[unmapped]
            return {UNMAPPED: content} if content else {}
        if content := self._known.get((run, unmapped)):
            return {UNMAPPED: content}
        found = self._sequences.get((run, task_id, key))
        return None if found is None else self._with_own(run, task_id, key, found)

    def _with_own(self, run: RunKey, task_id: str, key: str, found: dict[int, XComValue]) -> dict[int, XComValue]:
        if run != self.own_run:
            return found
        own = {place.map_index: content for place, content in self._written.items() if place[::2] == (task_id, key)}
        return {index: content for index, content in {**found, **own}.items() if content is not None}

    def _ask(self, run: RunKey, request: XComRequest) -> list[XComRecord]:
        records: list[XComRecord] = []
        offset: int | None = 0
        while offset is not None:
            changes = self._changes if run == self.own_run else None
            question = AskXCom(**run._asdict(), request=request, offset=offset, changes=changes)
            page = self._asker.ask(question).page or XComPage()
            records += page.records
            offset = page.next_offset
        return records

    def _inline_bytes(self, *, other_than: Place) -> int:
        contents = (content for place, content in self._written.items() if place != other_than)
        return sum(len(content.value) for content in contents if content and content.value)

    def _value(self, content: XComValue) -> Any:
        serialized = xcom_storage.read(content.reference) if content.reference else content.value
        return json.loads(serialized or "null")


def place_of(record: XComRecord) -> Place:
    """Where a record belongs."""
    return Place(record.task_id, record.map_index, record.key)
