"""Where Airflow's clock and ids come from while the engine runs.

Inside an engine scope the time is the workflow's and ids are drawn from the run's own sequence; outside, both are the
real ones. Scopes are entered around one synchronous step: signal and query handlers run in other asyncio tasks, so a
scope must never span an ``await``. It must not know Airflow or Temporal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

_workflow_time: ContextVar[datetime | None] = ContextVar("workflow_time", default=None)
_id_sequence: ContextVar[IdSequence | None] = ContextVar("id_sequence", default=None)


@dataclass
class IdSequence:
    """Ids of one run, in the layout of a version 7 UUID: milliseconds of workflow time, then a hash.

    Airflow sorts by such ids, so time comes first; the hash replaces the randomness that a workflow must not have.
    """

    run_key: str
    drawn: int = 0

    def draw(self, now: datetime) -> UUID:
        """The next id of this run."""
        self.drawn += 1
        digest = hashlib.sha256(f"{self.run_key}\0{self.drawn}".encode()).digest()
        milliseconds = int(now.timestamp() * 1000) & 0xFFFFFFFFFFFF
        layout = (milliseconds << 80) | int.from_bytes(digest[:10], "big")
        layout = (layout & ~(0xF << 76)) | (0x7 << 76)
        layout = (layout & ~(0x3 << 62)) | (0x2 << 62)
        return UUID(int=layout)


def get_current_time() -> datetime:
    """The workflow's time inside an engine scope, else the real time; always in UTC."""
    return _workflow_time.get() or datetime.now(UTC)


def set_workflow_time(now: datetime) -> None:
    """Make ``now`` the current time of this context until :func:`clear_workflow_time`."""
    _workflow_time.set(now)


def clear_workflow_time() -> None:
    """Return this context to the real clock."""
    _workflow_time.set(None)


def in_engine_scope() -> bool:
    """Whether Airflow's code is being run by the engine right now."""
    return _id_sequence.get() is not None


def draw_id() -> UUID | None:
    """The next id of the run in whose scope this is called; None outside an engine scope."""
    sequence = _id_sequence.get()
    return sequence.draw(get_current_time()) if sequence else None


@contextmanager
def engine_scope(now: datetime, ids: IdSequence) -> Iterator[None]:
    """Run Airflow's code under the workflow's clock and the run's ids; no ``await`` inside."""
    time_token = _workflow_time.set(now)
    ids_token = _id_sequence.set(ids)
    try:
        yield
    finally:
        _id_sequence.reset(ids_token)
        _workflow_time.reset(time_token)
