"""The database of a run goes with the run, however that goes."""

from __future__ import annotations

import gc
import logging
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from temporal_airflow.engine.airflow_library import import_scheduling_code
from temporal_airflow.engine.database import RunDatabase

import_scheduling_code()


class Pause:
    def __await__(self) -> Any:
        yield


async def _run(holder: SimpleNamespace) -> None:
    holder.database = RunDatabase()
    try:
        holder.database.session.execute(text("select 1"))
        await Pause()
    finally:
        holder.database.dispose()


def test_a_run_that_is_dropped_disposes_of_its_database_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    """A worker that ends drops its open runs: run, coroutine and database are garbage at once, in any order."""
    gc.collect()
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            holder = SimpleNamespace()
            run: Coroutine[Any, Any, None] = _run(holder)
            holder.run = run
            run.send(None)
        del holder, run
        gc.collect()
    assert [record.getMessage() for record in caplog.records] == []
