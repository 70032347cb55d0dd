"""Which XComs a try sees, and what it asks the worker for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from temporal_airflow.exceptions import SettingsError
from temporal_airflow.models import XComPage, XComRecord, XComValue
from temporal_airflow.tasks.messages import Answer, AskXCom
from temporal_airflow.tasks.xcom import Place, RunKey, XComs

RUN = RunKey("dag", "run")
OTHER_RUN = RunKey("dag", "another run")


class Worker:
    """Answers from a list of records, one record a page."""

    def __init__(self, *records: XComRecord) -> None:
        self.records = records
        self.asked: list[AskXCom] = []

    def ask(self, question: AskXCom) -> Answer:
        self.asked.append(question)
        wanted = question.request
        found = [
            record
            for record in self.records
            if (record.task_id, record.key) == (wanted.task_id, wanted.key)
            and wanted.map_index in (None, record.map_index)
        ]
        following = question.offset + 1
        page = XComPage(
            records=tuple(found[question.offset : following]), next_offset=following if found[following:] else None
        )
        return Answer(id=1, page=page)


def record(value: Any, task_id: str = "up", map_index: int = -1, key: str = "return_value") -> XComRecord:
    return XComRecord(task_id=task_id, map_index=map_index, key=key, content=XComValue(value=json.dumps(value)))


def xcoms(
    worker: Worker, *upstream: XComRecord, budget: int = 10_000, large_path: str = "file:///nonexistent/root"
) -> XComs:
    return XComs(worker, RUN, upstream, budget, large_path)  # type: ignore[arg-type]


def place(task_id: str = "up", map_index: int = -1, key: str = "return_value") -> Place:
    return Place(task_id, map_index, key)


def test_a_value_that_came_along_is_not_asked_for() -> None:
    worker = Worker(record("from the run"))
    known = xcoms(worker, record("came along"))
    assert known.get(RUN, place()) == (True, "came along")
    assert [known.value(content) for content in known.sequence(RUN, "up", "return_value")] == ["came along"]
    assert known.count(RUN, "up", "return_value") == 1
    assert worker.asked == []


def test_values_of_another_run_are_never_mistaken_for_ours() -> None:
    worker = Worker(record("another run's"))
    assert xcoms(worker, record("ours")).get(OTHER_RUN, place()) == (True, "another run's")


def test_own_writes_and_deletions_come_first() -> None:
    ours = xcoms(Worker(record("old")), record("came along"))
    ours.set(place(), "new")
    assert ours.get(RUN, place()) == (True, "new")
    ours.delete(place())
    assert ours.get(RUN, place()) == (False, None)
    assert ours.count(RUN, "up", "return_value") == 0
    assert ours.written() == (XComRecord(task_id="up", key="return_value", content=None),)


def test_a_found_value_is_asked_for_once_and_a_missing_one_each_time() -> None:
    worker = Worker(record(1))
    seen = xcoms(worker)
    for _ in range(2):
        assert seen.get(RUN, place()) == (True, 1)
        assert seen.get(RUN, place("absent")) == (False, None)
    assert [question.request.task_id for question in worker.asked] == ["up", "absent", "absent"]


def test_a_mapped_sequence_is_ordered_by_map_index_and_asked_for_once() -> None:
    worker = Worker(*(record(index * 10, map_index=index) for index in (10, 2, 0)))
    seen = xcoms(worker)
    for _ in range(2):
        assert [seen.value(content) for content in seen.sequence(RUN, "up", "return_value")] == [0, 20, 100]
    assert len(worker.asked) == 3  # pages
    assert seen.get(RUN, place(map_index=2)) == (True, 20)
    assert len(worker.asked) == 3


def test_a_sequence_of_the_own_task_includes_the_own_value() -> None:
    mine = xcoms(Worker(record(0, "me", 0), record("old", "me", 1)))
    mine.set(place("me", 1), "new")
    mine.set(place("me", 2), "too")
    assert [mine.value(content) for content in mine.sequence(RUN, "me", "return_value")] == [0, "new", "too"]


def test_counting_asks_for_no_content() -> None:
    worker = Worker(*(record(index, map_index=index) for index in range(3)))
    assert xcoms(worker).count(RUN, "up", "return_value") == 3
    assert all(question.request.known_only for question in worker.asked)


def test_a_falsy_value_is_a_value() -> None:
    assert xcoms(Worker(record(None))).get(RUN, place()) == (True, None)


@pytest.mark.parametrize("value", ["☀", "\ud800", {"a": [1.5, None, True]}, 2**70])
def test_values_survive_as_ascii(value: Any) -> None:
    written = xcoms(Worker())
    written.set(place(), value)
    (stored,) = written.written()
    assert stored.content is not None
    assert (stored.content.value or "").isascii()
    assert XComRecord.model_validate_json(stored.model_dump_json()) == stored
    assert written.get(RUN, place()) == (True, value)


def test_the_budget_is_what_is_left_after_the_last_writes(tmp_path: Path) -> None:
    written = xcoms(Worker(), budget=100, large_path=f"file://{tmp_path}")
    for _ in range(5):
        written.set(place(key="same"), "x" * 60)  # overwrites itself
    written.set(place(key="more"), "y" * 60)
    same, more = (stored.content for stored in written.written())
    assert same is not None
    assert same.reference is None
    assert more is not None
    assert more.value is None
    assert written.get(RUN, place(key="more")) == (True, "y" * 60)


@pytest.mark.parametrize("awkward", ["..", ".", "a/b", "Ü ?#%", "manual__2026-05-01T00:00:00+00:00"])
def test_a_large_value_stays_inside_its_folder_whatever_the_names(tmp_path: Path, awkward: str) -> None:
    root = tmp_path / "root"
    large = XComs(Worker(), RunKey(awkward, awkward), (), 0, f"file://{root}")  # type: ignore[arg-type]
    large.set(place(awkward, key=awkward), "value")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert len(files[0].relative_to(root).parts) == 5
    assert large.get(RunKey(awkward, awkward), place(awkward, key=awkward)) == (True, "value")


def test_object_storage_that_fails_names_the_setting() -> None:
    with pytest.raises(SettingsError, match=r"\[temporal\] xcom_objectstorage_path"):
        xcoms(Worker(), budget=0, large_path="file:///proc/nowhere").set(place(), 1)
    missing = XComRecord(task_id="up", key="return_value", content=XComValue(reference="file:///nonexistent.json"))
    with pytest.raises(SettingsError, match="can't be read here"):
        xcoms(Worker(missing)).get(RUN, place())
