"""What is known of assets, for a worker: which there are, their events, their state.

It decides what is kept where: the catalogue in one workflow of a task queue, events and state in one for each asset,
events that came through an alias in one for the alias, too. It must not know who asks.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from temporal_airflow import identifiers
from temporal_airflow.models import (
    AssetCatalogue,
    AssetChanges,
    AssetEventRecord,
    AssetKey,
    AssetLookup,
    AssetRecord,
    CatalogueChange,
    FileAssets,
    KnownAsset,
    StateChange,
)
from temporal_airflow.state_client import Place, StateClient

NO_ASSETS = AssetCatalogue()

MOST_AT_ONCE = 50
"""Events in one change: with the largest extras that assets may have, half of what the server takes."""


def asset_place(task_queue: str, asset: AssetKey) -> Place:
    """Where events and state of an asset are kept."""
    return Place(task_queue, "asset", (asset.name, asset.uri))


def alias_place(task_queue: str, alias: str) -> Place:
    """Where events are kept that came through an alias."""
    return Place(task_queue, "asset-alias", (alias,))


class AssetClient:
    """Reads and changes what is known of assets."""

    def __init__(self, states: StateClient) -> None:
        self._states = states

    async def register(self, task_queue: str, of_file: FileAssets) -> None:
        """Make the assets of a DAG file known, and those forgotten that only an older version of it referred to.

        Raises:
            StateRefusedError: if there are too many.
        """
        known = await self.find(task_queue, AssetLookup(files=(of_file.file,)))
        if {_text(asset) for asset in known} != {_text(asset) for asset in of_file.assets}:
            await self._change(task_queue, CatalogueChange(files={of_file.file: of_file.assets}))

    async def find(self, task_queue: str, lookup: AssetLookup) -> tuple[KnownAsset, ...]:
        """The assets that are named."""
        return await self._states.query(_catalogue(task_queue), "find", lookup, tuple[KnownAsset, ...]) or ()

    async def publish(self, task_queue: str, changes: Sequence[AssetChanges]) -> tuple[AssetEventRecord, ...]:
        """Record the events of tasks that succeeded; those that are recorded already stay as they are.

        Raises:
            StateRefusedError: if there is no room for an asset that an alias has brought.
        """
        from temporal_airflow.engine.asset_changes import asset_events  # Airflow: not before a worker is set up

        known = await self.find(task_queue, _concerned(changes))
        events = await asyncio.to_thread(asset_events, changes, known)
        aliases: defaultdict[str, list[AssetRecord]] = defaultdict(list)
        places: defaultdict[Place, list[AssetEventRecord]] = defaultdict(list)
        for event in events:
            places[asset_place(task_queue, event.asset)].append(event)
            for alias in event.aliases:
                aliases[alias].append(event.asset)
                places[alias_place(task_queue, alias)].append(event)
        if aliases:
            await self._change(task_queue, CatalogueChange(aliases={a: tuple(of) for a, of in aliases.items()}))
        for place, of_place in places.items():
            for portion in _portions(of_place):
                await self._states.change(place, StateChange(events=portion))
        return tuple(events)

    async def _change(self, task_queue: str, change: CatalogueChange) -> None:
        await self._states.update(_catalogue(task_queue), "change", change)


def _catalogue(task_queue: str) -> Place:
    return Place(task_queue, "assets", workflow_type=identifiers.ASSETS_WORKFLOW_TYPE, empty=NO_ASSETS)


def _concerned(changes: Iterable[AssetChanges]) -> AssetLookup:
    """The assets that Airflow's rules may look at."""
    outlets = [outlet for change in changes for outlet in change.events.task_outlets]
    emitted = [event["dest_asset_key"] for change in changes for event in change.events.outlet_events]
    emitted += [outlet for outlet in outlets if outlet["type"] == "Asset"]
    return AssetLookup(
        keys=tuple(AssetKey(name=key["name"], uri=key["uri"]) for key in emitted),
        names=tuple(outlet["name"] for outlet in outlets if outlet["type"] == "AssetNameRef"),
        uris=tuple(outlet["uri"] for outlet in outlets if outlet["type"] == "AssetUriRef"),
    )


def _portions(events: Sequence[AssetEventRecord]) -> Iterator[tuple[AssetEventRecord, ...]]:
    for start in range(0, len(events), MOST_AT_ONCE):
        yield tuple(events[start : start + MOST_AT_ONCE])


def _text(asset: AssetRecord) -> str:
    return asset.model_dump_json(include=set(AssetRecord.model_fields))
