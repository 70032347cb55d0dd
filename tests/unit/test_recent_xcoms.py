"""What a worker remembers of the XComs that tasks have asked for, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from temporal_airflow.models import XComPage, XComQuestion, XComRecord, XComRequest, XComValue
from temporal_airflow.tasks.recent_xcoms import MOMENT, RecentXComs

RUN = "dag-d-r"


@dataclass
class Run:
    """A run that answers from a list, and counts; the clock is the test's."""

    records: list[XComRecord]
    asked: int = 0
    now: float = 0.0
    recent: Any = field(init=False)

    def __post_init__(self) -> None:
        self.recent = RecentXComs(self, clock=lambda: self.now)  # type: ignore[arg-type]

    async def page(self, _workflow_id: str, question: XComQuestion) -> XComPage:
        self.asked += 1
        wanted = question.request
        found = [
            record
            for record in self.records
            if record.task_id == wanted.task_id and wanted.map_index in (None, record.map_index)
        ]
        return XComPage(records=tuple(found))

    async def values(self, changes: int | None = 0, map_index: int | None = None) -> list[str | None]:
        request = XComRequest(task_id="numbers", key="return_value", map_index=map_index)
        page = await self.recent.page(RUN, XComQuestion(request=request), changes)
        return [record.content and record.content.value for record in page.records]


def xcom(value: str, map_index: int = -1) -> XComRecord:
    return XComRecord(task_id="numbers", key="return_value", map_index=map_index, content=XComValue(value=value))


@pytest.mark.parametrize("map_index", [None, -1])
async def test_tasks_that_ask_for_the_same_share_an_answer(map_index: int | None) -> None:
    run = Run([xcom("1")])
    assert [await run.values(map_index=map_index) for _ in range(3)] == [["1"]] * 3
    assert run.asked == 1


async def test_an_attempt_that_began_after_a_change_sees_it() -> None:
    run = Run([xcom("1")])
    await run.values()
    run.records = [xcom("2")]
    assert await run.values(changes=1) == ["2"]


async def test_a_late_question_is_asked_again() -> None:
    run = Run([xcom("1")])
    await run.values()
    run.records, run.now = [xcom("2")], MOMENT
    assert await run.values() == ["2"]


async def test_what_there_is_not_yet_is_asked_for_again() -> None:
    run = Run([])
    assert await run.values() == []
    run.records = [xcom("1")]
    assert await run.values() == ["1"]


async def test_values_of_a_mapped_task_may_become_more() -> None:
    run = Run([xcom("1", map_index=0)])
    assert await run.values() == ["1"]
    run.records.append(xcom("2", map_index=1))
    assert await run.values() == ["1", "2"]


async def test_one_value_of_a_mapped_task_is_known() -> None:
    run = Run([xcom("1", map_index=0), xcom("2", map_index=1)])
    assert [await run.values(map_index=1) for _ in range(2)] == [["2"]] * 2
    assert run.asked == 1


async def test_who_is_no_attempt_of_the_run_asks_it() -> None:
    run = Run([xcom("1")])
    await run.values()
    assert await run.values(changes=None) == ["1"]
    assert run.asked == 2
