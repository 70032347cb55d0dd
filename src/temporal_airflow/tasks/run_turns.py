"""Whose turn it is among the runs of a DAG: at most ``max_active_runs`` are active at once, the oldest first.

No one keeps the order: a queued run counts the open runs that were started before it. It must not know why a run is
queued, nor start any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from temporalio.client import Client

from temporal_airflow import run_listing
from temporal_airflow.models import TurnInput

LOOK = 1.0
"""Seconds between two looks."""

CLEAR_LOOKS = 2
"""Looks in a row that must find room: a run is listed a moment after its start."""


NEAR = 4
"""So near to ``max_active_runs`` a run is queued and looks again: others may just have been started."""


async def must_queue(client: Client, dag_id: str, max_active_runs: int) -> bool:
    """Whether a run that is about to be started has to wait for its turn; one that is alone never does."""
    active = len(await active_runs(client, dag_id))
    return active > 0 and active + NEAR >= max_active_runs


async def await_turn(client: Client, turn: TurnInput, heartbeat: Callable[[], None]) -> None:
    """Wait until it is a run's turn.

    Args:
        client: connected to the server.
        turn: the run that waits.
        heartbeat: called at every look.
    """
    clear = 0
    while clear < CLEAR_LOOKS:
        heartbeat()
        clear = clear + 1 if await _has_room(client, turn) else 0
        if clear < CLEAR_LOOKS:
            await asyncio.sleep(LOOK)


async def active_runs(client: Client, dag_id: str) -> list[tuple[datetime, str]]:
    """Start and run id of the open runs of a DAG that count, oldest first: not those that wait for a later moment."""
    now = datetime.now(UTC)
    return sorted(
        [(run.started_at, run.run_id) async for run in run_listing.open_runs(client, dag_id) if run.due <= now]
    )


async def _has_room(client: Client, turn: TurnInput) -> bool:
    run_ids = [run_id for _, run_id in await active_runs(client, turn.dag_id)]
    return turn.run_id in run_ids and run_ids.index(turn.run_id) < turn.max_active_runs
