"""Assets on the wire: what DAG files say of them, the events that tasks emit, and what is known of both."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from temporal_airflow.models.base import CompactModel, WireModel

CHANGES_PER_RUN = 500
"""After so many changes a workflow that keeps state continues as new; a server takes 2000 updates in one run."""


class AssetKey(WireModel):
    """What makes an asset the same asset."""

    name: str
    uri: str


class AssetEvents(CompactModel):
    """What a successful task says of its assets, in the Execution API's own form."""

    task_outlets: tuple[dict[str, Any], ...] = ()
    outlet_events: tuple[dict[str, Any], ...] = ()


class AssetRecord(AssetKey):
    """An asset as a DAG file defines it."""

    group: str = "asset"
    extra: dict[str, Any] = Field(default_factory=dict)


class FileAssets(WireModel):
    """The assets that the DAGs of a file are scheduled by, take in or put out.

    Attributes:
        file: the same for the same file, whatever its content.
    """

    file: str
    assets: tuple[AssetRecord, ...] = ()


class AssetEventRecord(WireModel):
    """One asset event, as Airflow's table ``asset_event`` has it.

    Attributes:
        id: grows with the time; the same wherever the event is kept.
        key: the same whenever the same event is delivered again.
        aliases: through which it was emitted.
    """

    id: int
    key: str
    asset: AssetRecord
    timestamp: datetime
    extra: dict[str, Any] = Field(default_factory=dict)
    partition_key: str | None = None
    aliases: tuple[str, ...] = ()
    source_dag_id: str
    source_run_id: str
    source_task_id: str
    source_map_index: int = -1


class AssetCatalogue(WireModel):
    """Input of the workflow ``keep_airflow_assets``: every asset that a task queue knows, by who refers to it.

    Attributes:
        files: assets of each DAG file.
        aliases: assets that tasks emitted events of through an alias.
        active: those that no other of the same name or URI stands in the way of; the first one stays.
    """

    files: dict[str, tuple[AssetRecord, ...]] = Field(default_factory=dict)
    aliases: dict[str, tuple[AssetRecord, ...]] = Field(default_factory=dict)
    active: tuple[AssetKey, ...] = ()
    changes_per_run: int = CHANGES_PER_RUN


class CatalogueChange(WireModel):
    """The update ``change`` of that workflow.

    Attributes:
        files: now refer to these assets and no others.
        aliases: now refer to these assets, too.
    """

    files: dict[str, tuple[AssetRecord, ...]] = Field(default_factory=dict)
    aliases: dict[str, tuple[AssetRecord, ...]] = Field(default_factory=dict)


class AssetLookup(WireModel):
    """The query ``find`` of that workflow: assets that any of these names."""

    keys: tuple[AssetKey, ...] = ()
    names: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


class KnownAsset(AssetRecord):
    """An asset that is known, in the order in which it became known."""

    active: bool


class RegisterAssetsInput(WireModel):
    """Input of the activity ``register_airflow_assets``."""

    task_queue: str
    file_assets: FileAssets


class AssetChanges(WireModel):
    """What one task that succeeded has put out: what ``TaskInstance.register_asset_changes_in_db`` is given.

    Attributes:
        at: when the success was recorded.
        events: of the task, in the Execution API's own form.
    """

    at: datetime
    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    try_number: int
    partition_key: str | None = None
    events: AssetEvents


class PublishAssetEventsInput(WireModel):
    """Input of the activity ``publish_airflow_asset_events``; the same changes always make the same events."""

    task_queue: str
    changes: tuple[AssetChanges, ...]


class PublishedAssetEvents(WireModel):
    """Its result: the events, without what their assets' definitions add to each of them."""

    events: tuple[AssetEventRecord, ...] = ()
