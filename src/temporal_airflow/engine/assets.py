"""What of a run's assets is on its way: its file's assets to the catalogue, its tasks' events to whoever reads them.

Airflow's server does both in one transaction with what goes before. Here they are commands, and until one is done
nothing starts that could see the difference. It must not know where assets and events are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from airflow.models.taskinstance import TaskInstance
from airflow.serialization.definitions.assets import SerializedAsset

from temporal_airflow.engine.events import (
    AssetEventsPublished,
    AssetsRegistered,
    Command,
    PublishAssetEvents,
    RegisterAssets,
)
from temporal_airflow.models import (
    AssetChanges,
    AssetEvents,
    AssetKey,
    DagExecutionInput,
    KeptAssets,
    PublishAssetEventsInput,
    RegisterAssetsInput,
)

MOST_PUBLISHED = 300 * 1024
"""Bytes of events in one command, about; the server takes 2 MB, and other commands may go with it."""


class RunAssets:
    """Assets and asset events of one run."""

    def __init__(self, execution: DagExecutionInput) -> None:
        self._execution = execution
        self._of_file = execution.definition.assets
        self._unregistered = bool(self._of_file and self._of_file.assets)
        self._changes: list[AssetChanges] = []
        self._registering = False
        self._publishing = 0

    def kept(self) -> KeptAssets:
        """What there is to know besides the run's input."""
        return KeptAssets(
            unregistered=self._unregistered,
            registering=self._registering,
            publishing=self._publishing,
            changes=tuple(self._changes),
        )

    def resume(self, kept: KeptAssets) -> None:
        """Know it again."""
        self._unregistered, self._registering = kept.unregistered, kept.registering
        self._publishing, self._changes = kept.publishing, list(kept.changes)

    @property
    def on_the_way(self) -> bool:
        """Whether anything isn't done yet."""
        return self._registering or self._publishing > 0

    def may_start(self, ti: TaskInstance) -> bool:
        """Whether a task instance would find assets and events as they are to be."""
        task: Any = ti.task
        if self._registering:
            return not (task.inlets or task.outlets)
        return not (self._publishing and task.inlets)

    def declared_by(self, task: Any) -> tuple[AssetKey, ...]:
        """Inlets and outlets of a task that must be active when it starts."""
        if self._of_file is None:
            return ()
        assets = (port for port in (*task.inlets, *task.outlets) if isinstance(port, SerializedAsset))
        return tuple(AssetKey(name=asset.name, uri=asset.uri) for asset in assets)

    def succeeded(self, ti: TaskInstance, events: AssetEvents, now: datetime) -> None:
        """A task succeeded: what it has put out is to be published."""
        if self._of_file is None or not (events.task_outlets or events.outlet_events):
            return
        run = self._execution.run
        self._changes.append(
            AssetChanges(
                at=now,
                dag_id=run.dag_id,
                run_id=run.run_id,
                task_id=ti.task_id,
                map_index=ti.map_index,
                try_number=ti.try_number,
                partition_key=run.partition_key,
                events=events,
            )
        )

    def commands(self) -> list[Command]:
        """What is to be done since the last time."""
        commands: list[Command] = []
        task_queue = self._execution.task_queue
        if self._unregistered and self._of_file is not None:
            self._unregistered, self._registering = False, True
            commands.append(RegisterAssets(RegisterAssetsInput(task_queue=task_queue, file_assets=self._of_file)))
        for portion in _portions(self._changes):
            self._publishing += 1
            commands.append(PublishAssetEvents(PublishAssetEventsInput(task_queue=task_queue, changes=portion)))
        self._changes = []
        return commands

    def done(self, event: AssetsRegistered | AssetEventsPublished) -> None:
        """The assets of the run's file are known, or events are where tasks find them."""
        if isinstance(event, AssetsRegistered):
            self._registering = False
        else:
            self._publishing -= 1


def _portions(changes: Iterable[AssetChanges]) -> Iterator[tuple[AssetChanges, ...]]:
    """The same changes in portions of a bounded size, in the same order."""
    portion: list[AssetChanges] = []
    size = 0
    for change in changes:
        portion.append(change)
        size += len(change.events.model_dump_json())
        if size >= MOST_PUBLISHED:
            yield tuple(portion)
            portion, size = [], 0
    if portion:
        yield tuple(portion)
