"""Which asset events a task's success makes: Airflow's own ``TaskInstance.register_asset_changes_in_db``.

It runs on a database made for the purpose, with the assets that are known. It must not know where they are kept.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from airflow.models.asset import AssetActive, AssetEvent, AssetModel
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import select
from sqlalchemy.orm import Session

from temporal_airflow.engine.database import RunDatabase
from temporal_airflow.models import AssetChanges, AssetEventRecord, AssetRecord, KnownAsset

MICROSECONDS = 1_000_000
EVENTS_A_MICROSECOND = 1000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Outlet:
    """Airflow's ``AssetProfile``, without the package of its server."""

    type: str
    name: str | None = None
    uri: str | None = None


def asset_events(changes: Sequence[AssetChanges], known: Sequence[KnownAsset]) -> list[AssetEventRecord]:
    """The events of tasks that succeeded, always the same for the same changes.

    Args:
        changes: what the tasks have put out.
        known: the assets that there are, as far as the changes may concern them.
    """
    database = RunDatabase()
    try:
        _add_assets(known, database.session)
        found = [event for change in changes for event in _events(change, database.session)]
        return [event.model_copy(update={"id": _id(event.timestamp, n)}) for n, event in enumerate(found)]
    finally:
        database.dispose()


def _id(at: datetime, number: int) -> int:
    """Grows with the time, as the numbers of Airflow's table do."""
    return round(at.timestamp() * MICROSECONDS) * EVENTS_A_MICROSECOND + number % EVENTS_A_MICROSECOND


def _add_assets(known: Sequence[KnownAsset], session: Session) -> None:
    for asset in known:
        model = AssetModel(name=asset.name, uri=asset.uri, group=asset.group, extra=asset.extra)
        session.add(model)
        if asset.active:
            session.add(AssetActive.for_asset(model))
    session.flush()


def _events(change: AssetChanges, session: Session) -> Iterator[AssetEventRecord]:
    ti: Any = SimpleNamespace(
        dag_id=change.dag_id,
        run_id=change.run_id,
        task_id=change.task_id,
        map_index=change.map_index,
        dag_run=SimpleNamespace(partition_key=change.partition_key, partition_date=None),
        log=logger,
    )
    before = set(session.scalars(select(AssetEvent.id)))
    outlets: Any = [_Outlet(**outlet) for outlet in change.events.task_outlets]
    TaskInstance.register_asset_changes_in_db(ti, outlets, list(change.events.outlet_events), session=session)
    session.flush()
    session.expire_all()
    added = session.scalars(select(AssetEvent).where(AssetEvent.id.not_in(before)))
    # Airflow goes through sets of assets; of one asset its own order is that of the task
    numbers: Counter[int] = Counter()
    for event in sorted(added, key=lambda event: (event.asset.name, event.asset.uri, event.id)):
        yield _record(change, event, numbers[event.asset_id])
        numbers[event.asset_id] += 1


def _record(change: AssetChanges, event: AssetEvent, number: int) -> AssetEventRecord:
    asset = AssetRecord(
        name=event.asset.name, uri=event.asset.uri, group=event.asset.group, extra=event.asset.extra or {}
    )
    return AssetEventRecord(
        id=0,
        key=_key(change, asset, number),
        asset=asset,
        timestamp=change.at,
        extra=event.extra,
        partition_key=event.partition_key,
        aliases=tuple(sorted(alias.name for alias in event.source_aliases)),
        source_dag_id=change.dag_id,
        source_run_id=change.run_id,
        source_task_id=change.task_id,
        source_map_index=change.map_index,
    )


def _key(change: AssetChanges, asset: AssetRecord, number: int) -> str:
    source = (change.dag_id, change.run_id, change.task_id, change.map_index, change.try_number, change.at)
    return hashlib.sha256("\0".join(map(str, (*source, asset.name, asset.uri, number))).encode()).hexdigest()[:20]
