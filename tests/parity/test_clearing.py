"""Cleared runs of ours against the records of stock Airflow: what is cleared, and what becomes of all tasks.

``python -m tests.parity.record_clearing`` records anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from temporal_airflow.connection import Connection

from .clearing import Clearer
from .ours import open_ours
from .situations import ENVIRONMENT, SITUATIONS, Seen, Situation

TASK_QUEUE = "clearing"
"""Of its own: one process may hold these runs and those of the other module."""

Runs = dict[str, asyncio.Task[Seen]]


@pytest_asyncio.fixture(scope="session")
async def cleared_runs(
    connection: Connection, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Runs]:
    """The runs of all situations that were selected, side by side."""
    home = tmp_path_factory.mktemp("clearing")
    selected: list[Situation] = [item.callspec.params["situation"] for item in _users_of_runs(request.session)]
    isolation = request.config.getoption("--isolation")
    async with open_ours(
        connection.client, home, home / "scratch", isolation, ENVIRONMENT, task_queue=TASK_QUEUE
    ) as ours:
        clearer = Clearer(ours)
        started = {each.name: asyncio.create_task(clearer.see(each)) for each in selected}
        yield started
        for run in started.values():
            run.cancel()


def _users_of_runs(session: pytest.Session) -> list[Any]:
    """The tests of this module that will be run; their parameters are no part of pytest's types."""
    return [item for item in session.items if "cleared_runs" in getattr(item, "fixturenames", ())]


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
async def test_a_cleared_run_goes_on_as_under_airflow(situation: Situation, cleared_runs: Runs) -> None:
    seen = (await cleared_runs[situation.name]).to_json()
    assert seen == {name: value for name, value in situation.record().items() if name != "airflow"}
