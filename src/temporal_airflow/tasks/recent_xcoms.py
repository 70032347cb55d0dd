"""XComs that tasks of a run have asked for a moment ago, so that the next one needn't ask the run.

Tasks that are mapped over an XCom all ask for the same. What the run said before counts for an attempt that began when
no XCom had been replaced or deleted since; and for a moment only, as an attempt may ask long after it began. That
there is none doesn't count: there may be one now. It must not know tasks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from temporal_airflow.models import XComPage, XComQuestion, XComRequest
from temporal_airflow.run_reader import RunReader

MOMENT = 1.0
"""Seconds."""

MOST = 200
"""Answers, of up to 1 MB each at worst, 64 KB as a rule."""

UNMAPPED = -1


class _Asked(NamedTuple):
    workflow_id: str
    changes: int
    request: tuple[str, str, int | None]


class RecentXComs:
    """Asks for XComs, or knows them."""

    def __init__(self, reader: RunReader, clock: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._clock = clock
        self._known: dict[_Asked, tuple[float, XComPage]] = {}

    async def page(self, workflow_id: str, question: XComQuestion, changes: int | None) -> XComPage:
        """One page of a run's XComs.

        Args:
            workflow_id: of the run.
            question: what is wanted.
            changes: how often an XCom of the run had been changed when the attempt that asks began; None if unknown.
        """
        asked = None if changes is None or question.offset else _asked(workflow_id, question.request, changes)
        if asked is None:
            return await self._reader.page(workflow_id, question)
        now = self._clock()
        if asked in self._known and now - self._known[asked][0] < MOMENT:
            return self._known[asked][1]
        page = await self._reader.page(workflow_id, question)
        self._forget_old(now)
        if _is_all_there_is(page, question.request):
            self._known[asked] = (now, page)
        return page

    def _forget_old(self, now: float) -> None:
        fresh = {asked: known for asked, known in self._known.items() if now - known[0] < MOMENT}
        self._known = dict(list(fresh.items())[-MOST + 1 :])


def _asked(workflow_id: str, request: XComRequest, changes: int) -> _Asked | None:
    """None for what can't be known: values of many tasks or keys."""
    if request.task_id is None or request.key is None or request.known_only:
        return None
    return _Asked(workflow_id, changes, (request.task_id, request.key, request.map_index))


def _is_all_there_is(page: XComPage, request: XComRequest) -> bool:
    """Whether there can be no more: a task that has a value without a map index isn't mapped."""
    one = page.next_offset is None and len(page.records) == 1
    return one and page.records[0].map_index == (UNMAPPED if request.map_index is None else request.map_index)
